"""A list of tasks that an agent keeps: a tool whose result is the list."""

from __future__ import annotations

from typing import Literal

import msgspec

from onrecord.programs.tool import Tool, tool


class PlannedTask(msgspec.Struct, frozen=True):
    """One task of a plan."""

    title: str
    state: Literal["open", "doing", "done", "dropped"] = "open"


def plan_tool() -> Tool[[list[PlannedTask]], str]:
    """The tool `plan`: the agent writes its whole list, and reads it back."""

    @tool
    async def plan(tasks: list[PlannedTask]) -> str:
        """Keep your plan: write down the whole list of tasks before you begin with work of several
        steps, and again, with what has become of them, whenever one is done or has changed.
        """
        lines = [f"{_MARKS[each.state]} {each.title}" for each in tasks]
        left = sum(each.state in ("open", "doing") for each in tasks)
        return "\n".join([*lines, f"{left} of {len(tasks)} are left."])

    return plan


_MARKS = {"open": "[ ]", "doing": "[>]", "done": "[x]", "dropped": "[-]"}
