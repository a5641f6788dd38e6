"""A run that is killed again and again, and resumed until it is done.

    python -m tests.programs.resume_killing FOLDER KILLS [agent]

Every attempt is a process of its own; SIGKILL comes at a random instant. A person's answers are
read from what the effects file says. Prints one JSON object: what was counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from onrecord.errors import PausedError
from onrecord.messages import Completion, text_message
from onrecord.models.model import Request
from onrecord.programs.agents.agent import Agent
from onrecord.programs.agents.outcome import Paused
from onrecord.programs.flow import flow, step
from onrecord.programs.tool import tool
from onrecord.records.limits import Limits
from onrecord.records.store import Store
from tests.programs.agents.scripts import ByTurn, calls

EFFECTS, ATTEMPTS = Path("effects.txt"), Path("attempts.txt")
PARTS = 16
_CHANCE = random.Random()


def effect(name: str) -> None:
    """What the world sees: one line, in the file before this returns."""
    file = os.open(EFFECTS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, f"{name}\n".encode())
    os.close(file)


def effects() -> Counter[str]:
    """How often each effect was seen."""
    return Counter(EFFECTS.read_text().splitlines() if EFFECTS.exists() else ())


@step
async def work(number: int) -> int:
    """Repeatable work, in the loop."""
    await asyncio.sleep(_CHANCE.random() / 500)
    effect(f"work {number}")
    return number


@step
def threaded(number: int) -> int:
    """Repeatable work, in a thread."""
    time.sleep(_CHANCE.random() / 500)
    effect(f"threaded {number}")
    return number


@tool(idempotent=False)
async def refund(number: int) -> str:
    """What must happen once."""
    await asyncio.sleep(_CHANCE.random() / 500)
    effect(f"refund {number}")
    await asyncio.sleep(_CHANCE.random() / 500)
    return f"refunded {number}"


@flow
async def part(number: int) -> list[Any]:
    """A flow inside the flow: things at once, and one after the other."""
    at_once = await asyncio.gather(work(number), threaded(number), refund(number))
    return [*at_once, await work(number + 1000)]


@flow
async def everything(count: int) -> list[Any]:
    """Parts, two at a time."""
    limit = asyncio.Semaphore(2)

    async def limited(number: int) -> list[Any]:
        async with limit:
            return await part(number)

    return await asyncio.gather(*map(limited, range(count)))


def expected(count: int) -> list[Any]:
    """What `everything` returns."""
    return [[each, each, f"refunded {each}", each + 1000] for each in range(count)]


@tool
async def look(number: int) -> int:
    """Repeatable work of the agent's."""
    await asyncio.sleep(_CHANCE.random() / 500)
    effect(f"look {number}")
    return number


def turn(request: Request) -> Completion:
    """The next calls of the agent: work, and what must happen once; at last an answer."""
    number = sum(each.role == "assistant" for each in request.messages)
    if number == PARTS:
        return Completion(text_message("assistant", "done"), "scripted:turns", cost=0)
    return calls(("look", {"number": number}), ("refund", {"number": number}))


class Program(NamedTuple):
    """What is killed: how it begins and goes on, and what comes of it. Both raise PausedError."""

    begin: Callable[[], Any]
    go_on: Callable[[str, dict[str, Any]], Any]
    result: Any


def flow_program() -> Program:
    """The flow `everything`."""
    return Program(
        lambda: everything.run(PARTS),
        lambda run, answers: everything.resume.run(run, answers=answers),
        expected(PARTS),
    )


def agent_program() -> Program:
    """An agent that makes two calls a turn."""
    agent = Agent(ByTurn(turn), tools=[look, refund], limits=Limits(steps=PARTS + 1))

    def told(outcome: Any) -> Any:
        if isinstance(outcome, Paused):
            raise PausedError(outcome.run, outcome.requests)
        return outcome.value

    return Program(
        lambda: told(agent.run("Go")),
        lambda run, answers: told(agent.resume.run(run, answers=answers)),
        "done",
    )


def attempt(program: Program) -> None:
    """Begin the run, or go on with it, answering what is asked; in a process of its own."""
    store = Store.open()
    runs = store.runs(1)
    with ATTEMPTS.open("a") as file:
        file.write("begun\n")
    answers: dict[str, Any] = {}
    while True:
        try:
            result = program.go_on(runs[0].id, answers) if runs else program.begin()
        except PausedError as paused:
            for question in paused.questions:
                input = store_record(question.id)
                happened = effects()[f"refund {input['number']}"]
                output = {"output": f"refunded {input['number']}"}
                answers[question.id] = output if happened else {"repeat": True}
        else:
            Path("result.json").write_text(json.dumps(result))
            return


def store_record(id: str) -> Any:
    """The input of a call on record."""
    store = Store.open()
    try:
        return store.record(id).input
    finally:
        store.close()


def killed(program: Program, seconds: float) -> bool:
    """One attempt, killed after a while; whether it was still at work then."""
    child = os.fork()
    if child == 0:
        _CHANCE.seed()
        try:
            attempt(program)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status:
                raise SystemExit(f"an attempt failed with status {status}")
            return False
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main(folder: Path, kills: int, program: Program) -> dict[str, Any]:
    """Run after run, until so many kills hit one at work; the last run is let through."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    number = 0
    while counts["kills"] < kills or not counts["runs"]:
        number += 1
        home = folder / str(number)
        home.mkdir()
        os.chdir(home)
        seen = 0
        while killed(program, _CHANCE.uniform(0.05, 0.2) if counts["kills"] < kills else 60):
            begun = len(ATTEMPTS.read_text().splitlines()) if ATTEMPTS.exists() else 0
            counts["kills"] += begun > seen  # else it came before the run went on
            seen = begun
        counts["runs"] += 1
        wrong += check(counts, program.result)
    return {**counts, "wrong": wrong}


def check(counts: Counter[str], result: Any) -> list[str]:
    """What is wrong with a run that is done."""
    seen = effects()
    store = Store.open()
    (run,) = store.runs()
    records = store.run(run.id)
    store.close()
    made = Counter(
        f"{each.name} {each.input['number']}"
        for each in records
        if each.state == "done" and each.source is None and each.kind in ("step", "tool")
    )
    counts["attempts"] += sum("resumed" in each.tags for each in records) + 1
    counts["taken"] += sum(each.source is not None for each in records)
    counts["asked"] += sum(each.state == "paused" and each.kind == "tool" for each in records)
    wrong = [f"{name}: {made[name]} ends" for name in made if made[name] != 1]
    wrong += [f"{name}: {n} times" for name, n in seen.items() if name[:3] == "ref" and n != 1]
    wrong += [f"{name} is missing" for name in made.keys() - seen.keys()]
    if json.loads(Path("result.json").read_text()) != result:
        wrong.append("the result is another one")
    return wrong


if __name__ == "__main__":
    os.environ.setdefault("ONRECORD_FOLD_SECONDS", "0")
    chosen = agent_program() if "agent" in sys.argv[3:] else flow_program()
    print(json.dumps(main(Path(sys.argv[1]).absolute(), int(sys.argv[2]), chosen)))
