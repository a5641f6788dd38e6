"""Agents: what a turn costs beside the peers, many at once, and killed runs.

    python -m benchmarks.programs [loop] [crowd] [kills]

    loop     a model whose turns are written down calls two tools a turn, ten turns and an answer:
             microseconds a turn, everything recorded (ours), nothing traced (the peers)
    crowd    1,000 agents at once in one process: turns a second, and what memory they take
    kills    200 runs of an agent killed with SIGKILL at random instants and resumed: how often a
             tool ran that must not be repeated, and a step that had finished

Goals: at most 150 us a turn; flat memory; at most once, and never again. Results:
programs-*-DATE.json.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.records_calls import project
from benchmarks.reporting import ROOT, save, table
from benchmarks.rounds import Contender, Entry, Row, figures, measured, place, timed_async

TURNS = 10
AGENTS = 1_000
KILLS = 200


def main() -> None:
    """Measure, print and save."""
    if unknown := sorted(set(sys.argv[1:]) - set(PARTS)):
        raise SystemExit(f"there is no part '{unknown[0]}': choose from {', '.join(PARTS)}")
    for name in sys.argv[1:] or PARTS:
        print(f"-- {name}", flush=True)
        rows = PARTS[name]()
        table(rows)
        save(f"programs-{name}", rows)


def loop() -> list[Row]:
    """A run of ten turns and an answer, as microseconds a turn."""
    entries = {
        "onrecord": Entry(_ours, calls=40),
        "onrecord: record = false": Entry(partial(_ours, record=False), calls=40),
        "onrecord: thought, action, observation": Entry(partial(_ours, react=True), calls=40),
        "LangGraph: create_agent": Entry(_langgraph, "langgraph", 10),
        "pydantic-ai": Entry(_pydantic_ai, "pydantic_ai", 10),
        "smolagents: ToolCallingAgent": Entry(_smolagents, "smolagents", 10),
    }
    turns = TURNS + 1
    times = measured(entries, rounds=5)
    return [
        {"what": row["what"], "p50 us a turn": round(float(row["p50 us"]) / turns, 1)}
        | {"p99 us a turn": round(float(row["p99 us"]) / turns, 1), "runs": row["calls"]}
        for row in figures(times)
    ]


def crowd() -> list[Row]:
    """A thousand agents at once, again and again: does what they take grow?"""
    with tempfile.TemporaryDirectory(dir=place(), prefix="onrecord-bench-") as folder:
        project(Path(folder))
        os.chdir(folder)
        agent = _agent()

        async def everybody() -> float:
            began = time.perf_counter()
            outcomes = await asyncio.gather(*[agent("Go") for _ in range(AGENTS)])
            assert all(each.turns == TURNS + 1 for each in outcomes)
            return time.perf_counter() - began

        async def rounds() -> list[Row]:
            rows: list[Row] = []
            for number in range(1, 6):
                seconds = await everybody()
                gc.collect()
                turns = AGENTS * (TURNS + 1)
                rows.append(
                    {
                        "what": f"{AGENTS:,} agents at once, round {number}",
                        "turns/s": round(turns / seconds),
                        "memory after it, MB": round(_memory() / 1e6),
                    }
                )
            return rows

        return asyncio.run(rounds())


def kills() -> list[Row]:
    """Runs of an agent that are killed and resumed until they are done."""
    with tempfile.TemporaryDirectory(dir=place(), prefix="onrecord-bench-") as folder:
        command = ["-m", "tests.programs.resume_killing", folder, str(KILLS), "agent"]
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, check=True
        )
    counted = json.loads(done.stdout)
    wrong = counted.pop("wrong")
    rows: list[Row] = [{"what": name, "count": count} for name, count in counted.items()]
    return [*rows, {"what": "calls made again, or lost", "count": len(wrong)}]


def _memory() -> int:
    """The bytes of this process that are in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _agent(*, react: bool = False) -> Any:
    import onrecord as on
    from onrecord.messages import Completion, Message, ToolCall, text_message

    @on.tool
    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @on.tool
    async def look(name: str) -> str:
        """Look somebody up."""
        return f"{name} is here."

    def turn(number: int) -> Completion:
        if number == TURNS:
            message = text_message("assistant", "Final Answer: done" if react else "done")
        elif react:
            message = text_message("assistant", _REACT.format(number, number))
        else:
            sums = ToolCall("1", "add", json.dumps({"a": number, "b": 2}))
            names = ToolCall("2", "look", json.dumps({"name": f"Ann {number}"}))
            message = Message("assistant", (sums, names))
        return Completion(message, "scripted:turns", cost=0)

    said = [turn(at) for at in range(TURNS + 1)]

    class ByTurn:
        name, version = "scripted:turns", "1"
        structures = ("prompted",) if react else ("tool",)

        async def stream(self, request: Any) -> Any:
            yield said[sum(each.role == "assistant" for each in request.messages)]

    return on.Agent(ByTurn(), tools=[add, look], limits=on.Limits(steps=TURNS + 1))


def _ours(folder: Path, *, react: bool = False, **settings: bool) -> Contender:
    project(folder, fold_seconds=0.0, **settings)
    agent = _agent(react=react)

    async def run() -> None:
        outcome = await agent("Go")
        assert outcome.turns == TURNS + 1, outcome

    return Contender(timed_async(run))


def _langgraph(folder: Path) -> Contender:
    from langchain.agents import create_agent
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool

    os.environ.update(LANGSMITH_TRACING="false", LANGCHAIN_TRACING_V2="false")

    @tool
    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @tool
    async def look(name: str) -> str:
        """Look somebody up."""
        return f"{name} is here."

    class Scripted(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **_: Any) -> Any:
            return self

    def turn(number: int) -> Any:
        if number == TURNS:
            return AIMessage("done")
        calls = [
            {"name": "add", "args": {"a": 1, "b": 2}, "id": f"{number}a"},
            {"name": "look", "args": {"name": "Ann"}, "id": f"{number}b"},
        ]
        return AIMessage("", tool_calls=calls)

    script = (turn(at % (TURNS + 1)) for at in itertools.count())
    agent = create_agent(Scripted(messages=script), [add, look])

    async def run() -> None:
        given = {"messages": [("user", "Go")]}
        found = await agent.ainvoke(given, {"recursion_limit": 100})
        assert found["messages"][-1].content == "done" and len(found["messages"]) == 3 * TURNS + 2

    return Contender(timed_async(run))


def _pydantic_ai(folder: Path) -> Contender:
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel

    def turn(messages: Any, info: Any) -> Any:
        if sum(each.kind == "response" for each in messages) == TURNS:
            return ModelResponse([TextPart("done")])
        return ModelResponse(
            [ToolCallPart("add", {"a": 1, "b": 2}), ToolCallPart("look", {"name": "Ann"})]
        )

    agent = Agent(FunctionModel(turn))

    @agent.tool_plain
    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @agent.tool_plain
    async def look(name: str) -> str:
        """Look somebody up."""
        return f"{name} is here."

    async def run() -> None:
        assert (await agent.run("Go")).output == "done"

    return Contender(timed_async(run))


def _smolagents(folder: Path) -> Contender:
    from smolagents import ChatMessage, Model, Tool, ToolCallingAgent
    from smolagents.models import ChatMessageToolCall, ChatMessageToolCallFunction, MessageRole
    from smolagents.monitoring import LogLevel

    class Add(Tool):
        name, description, output_type = "add", "Add two numbers.", "integer"
        inputs: ClassVar[dict[str, Any]] = {
            "a": {"type": "integer", "description": "one"},
            "b": {"type": "integer", "description": "another"},
        }

        def forward(self, a: int, b: int) -> int:
            return a + b

    class Look(Tool):
        name, description, output_type = "look", "Look somebody up.", "string"
        inputs: ClassVar[dict[str, Any]] = {"name": {"type": "string", "description": "who"}}

        def forward(self, name: str) -> str:
            return f"{name} is here."

    turns = itertools.cycle(range(TURNS + 1))

    def called(name: str, arguments: dict[str, Any]) -> Any:
        function = ChatMessageToolCallFunction(name=name, arguments=arguments)
        return ChatMessageToolCall(id=name, type="function", function=function)

    class Scripted(Model):
        def generate(self, messages: Any, **_: Any) -> Any:
            if next(turns) == TURNS:
                calls = [called("final_answer", {"answer": "done"})]
            else:
                calls = [called("add", {"a": 1, "b": 2}), called("look", {"name": "Ann"})]
            return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=calls)

    agent = ToolCallingAgent(
        tools=[Add(), Look()], model=Scripted(), verbosity_level=LogLevel.OFF, max_steps=50
    )

    async def run() -> None:  # it has no asynchronous form
        assert agent.run("Go") == "done"

    return Contender(timed_async(run))


_REACT = """Thought: I use both.
Action: add
Action Input: {{"a": {}, "b": 2}}
Action: look
Action Input: {{"name": "Ann {}"}}"""
PARTS: dict[str, Callable[[], list[Row]]] = {"loop": loop, "crowd": crowd, "kills": kills}

if __name__ == "__main__":
    main()
