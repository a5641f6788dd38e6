"""How an agent ends: it is done, it waits for a person, or it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Concatenate, Generic, Literal, TypeVar

import msgspec

from onrecord.calling import Operation
from onrecord.messages import Message, Question, ToolCall, ToolResult

T = TypeVar("T")

Reason = Literal["steps", "calls", "tokens", "usd", "seconds", "repeats", "output", "refused"]
"""Why an agent was stopped: a limit of that name; the same call again and again; no answer that
fits; or the model declined."""


class Turn(msgspec.Struct, frozen=True, tag="turn"):
    """One turn of an agent, and an event of its stream: what the model said, which tools it called
    and what came back. `messages` is the conversation behind it."""

    number: int
    said: str
    calls: tuple[ToolCall, ...]
    results: tuple[ToolResult, ...]
    messages: tuple[Message, ...] = ()


ENDED = "ended"
"""What tells the output of an agent from others on record."""


class Ended(msgspec.Struct, frozen=True, tag=ENDED):
    """What is on record of an agent's end. `value`: the answer as plain JSON values; `reason`: why
    it was stopped, None where it is done; `said`: the model's last words, or what was wrong."""

    value: Any
    messages: tuple[Message, ...]
    turns: int
    reason: Reason | None = None
    said: str = ""


class Done(msgspec.Struct, Generic[T], frozen=True):
    """The agent has answered. `messages` is the conversation, to go on with: `history=`."""

    value: T
    messages: tuple[Message, ...]
    turns: int
    run: str = ""


class Stopped(msgspec.Struct, frozen=True):
    """The agent was stopped before it could answer. `said`: its last words, or what was wrong."""

    reason: Reason
    said: str
    messages: tuple[Message, ...]
    turns: int
    run: str = ""


class Paused(msgspec.Struct, Generic[T], frozen=True):
    """The agent waits for a person. `outcome.resume.run({request.id: "approve"})` goes on, and so
    does `agent.resume.run(outcome.run, …)` in any other process."""

    requests: tuple[Question, ...]
    run: str
    going_on: Callable[..., Any] | None = None

    @property
    def resume(self) -> Operation[Concatenate[Mapping[str, Any], ...], Outcome[T]]:
        """Go on with answers by the ids of the requests."""

        async def resume(answers: Mapping[str, Any]) -> Outcome[T]:
            assert self.going_on is not None
            outcome: Outcome[T] = await self.going_on(self.run, answers=answers)
            return outcome

        return Operation(resume)


Outcome = Done[T] | Stopped | Paused[T]
