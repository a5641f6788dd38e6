"""A flow that waits for a person, and goes on."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import onrecord as on
from onrecord.errors import PausedError, UsageError
from onrecord.messages import Question
from onrecord.programs.pausing import pause
from onrecord.programs.tool import tool
from onrecord.records.store import Store

ROOT = Path(__file__).parent.parent.parent
done: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done(project: Path) -> Iterator[None]:
    done.clear()
    yield


@on.step
async def note(text: str) -> str:
    done.append(text)
    return text


@on.flow
async def refunding(amount: int) -> str:
    await note("before")
    answer = await pause(f"May I refund ${amount}?", options=["yes", "no"])
    await note(f"after {answer}")
    return str(answer)


def paused(flow: Any, *args: Any, **kwargs: Any) -> PausedError:
    """How a call of a flow stops."""
    with pytest.raises(PausedError) as error:
        flow.run(*args, **kwargs)
    return error.value


def test_a_flow_stops_at_a_question_and_goes_on_with_the_answer() -> None:
    error = paused(refunding, 30)
    (question,) = error.questions
    assert question == Question(question.id, "May I refund $30?", ("yes", "no"), "answer")
    assert f"FLOW.resume.run('{error.run}', answers={{'{question.id}': …}})" in str(error)
    assert done == ["before"] and error.exit_status == 10
    again = paused(refunding.resume, error.run)
    assert again.questions == error.questions  # the same place has the same id
    assert refunding.resume.run(error.run, answers={question.id: "yes"}) == "yes"
    assert done == ["before", "after yes"]
    records = Store.open().run(error.run)
    assert [each.state for each in records if each.kind == "pause"] == ["paused", "paused", "done"]
    assert [each.state for each in records if each.kind == "flow"] == ["paused", "paused", "done"]
    assert all(each.error is None for each in records)


def test_the_error_crosses_processes() -> None:
    error = paused(refunding, 30)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.run, copy.questions, str(copy)) == (error.run, error.questions, str(error))


def test_days_later_in_another_process(project: Path) -> None:
    script = project / "app.py"
    script.write_text(
        """
import json, sys
import onrecord as on
from onrecord.errors import PausedError
from onrecord.programs.pausing import pause

@on.flow
async def ask(name: str) -> str:
    return name + ": " + await pause("Who are you?")

try:
    if len(sys.argv) == 1:
        print(ask.run("Ada"))
    else:
        print(ask.resume.run(sys.argv[1], answers=json.loads(sys.argv[2])))
except PausedError as paused:
    print(json.dumps([paused.run, paused.questions[0].id]))
"""
    )

    def app(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, str(script), *arguments],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ).stdout.strip()

    run, question = json.loads(app())
    assert app(run, json.dumps({question: "a countess"})) == "Ada: a countess"


def test_answers_that_do_not_fit_stop_nothing_and_start_nothing() -> None:
    error = paused(refunding, 30)
    (question,) = error.questions
    with pytest.raises(UsageError, match=r"'maybe' is no answer to .* Choose from 'yes', 'no'"):
        refunding.resume.run(error.run, answers={question.id: "maybe"})
    assert len(Store.open().run(error.run)) == 3
    refunding.resume.run(error.run, answers={question.id: "no"})
    with pytest.raises(UsageError, match="has been answered already: 'no'"):
        refunding.resume.run(error.run, answers={question.id: "yes"})
    assert refunding.resume.run(error.run, answers={question.id: "no"}) == "no"


def test_the_answer_is_on_record_when_it_fails_later() -> None:
    fails = [True]

    @on.flow
    async def twice() -> list[Any]:
        answers = [await pause("First?"), await pause("Second?")]
        if fails.pop():
            raise RuntimeError
        return answers

    error = paused(twice)
    first = error.questions[0].id
    second = paused(twice.resume, error.run, answers={first: {"a": [1]}}).questions[0].id
    with pytest.raises(RuntimeError):
        twice.resume.run(error.run, answers={second: 2})
    fails.append(False)
    assert twice.resume.run(error.run) == [{"a": [1]}, 2]


def test_no_handler_takes_a_pause_for_a_failure() -> None:
    @on.step
    async def careful() -> Any:
        try:
            return await pause("Sure?")
        except Exception:
            return "failed"

    @on.flow
    async def inner() -> Any:
        return await careful()

    @on.flow
    async def outer() -> Any:
        try:
            return await inner()
        except Exception:
            return "failed"

    error = paused(outer)
    states = {each.kind: each.state for each in Store.open().run(error.run)}
    assert states == {"flow": "paused", "step": "paused", "pause": "paused"}
    assert outer.resume.run(error.run, answers={error.questions[0].id: "yes"}) == "yes"


def test_pause_in_a_thread_and_from_plain_functions() -> None:
    @on.step
    def in_a_thread(text: str) -> Any:
        return pause.run(text)

    @on.flow
    def plain() -> list[Any]:
        return [in_a_thread.run("A?"), pause.run("B?")]

    error = paused(plain)
    answers = {error.questions[0].id: "a"}
    error = paused(plain.resume, error.run, answers=answers)
    answers |= {error.questions[0].id: "b"}
    assert plain.resume.run(error.run, answers=answers) == ["a", "b"]


def test_branches_that_ask_at_once_are_told_together() -> None:
    @on.step
    async def ask(name: str) -> str:
        return f"{name}: {await pause(f'{name}?')}"

    @on.flow
    async def gathered() -> list[str]:
        return await asyncio.gather(*map(ask, "abb"))

    error = paused(gathered)
    assert [each.text for each in error.questions] == ["a?", "b?", "b?"]
    ids = [each.id for each in error.questions]
    assert len(set(ids)) == 3
    rest = paused(gathered.resume, error.run, answers={ids[1]: "first"})
    assert [each.id for each in rest.questions] == [ids[0], ids[2]]
    answers = {ids[0]: "x", ids[2]: "second"}
    assert gathered.resume.run(error.run, answers=answers) == ["a: x", "b: first", "b: second"]


def test_a_task_group_may_pause() -> None:
    @on.flow
    async def grouped() -> list[Any]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.wait_for(pause(text), 9)) for text in ("a?", "b?")]
        return [task.result() for task in tasks]

    error = paused(grouped)
    assert {each.text for each in error.questions} <= {"a?", "b?"}
    answers = {each.id: each.text for each in error.questions}
    while True:
        try:
            assert grouped.resume.run(error.run, answers=answers) == ["a?", "b?"]
            break
        except PausedError as more:
            answers |= {each.id: each.text for each in more.questions}


def test_a_pause_cannot_be_passed_by() -> None:
    @on.flow
    async def passing() -> int:
        results = await asyncio.gather(pause("Well?"), note("beside"), return_exceptions=True)
        return len(results)

    error = paused(passing)
    assert error.questions[0].text == "Well?" and done == ["beside"]
    assert passing.resume.run(error.run, answers={error.questions[0].id: 1}) == 2
    assert done == ["beside"]


def test_other_branches_stop_when_one_has_paused() -> None:
    @tool(idempotent=False)
    async def send(name: str) -> str:
        done.append(f"begin {name}")
        await asyncio.sleep(0.02)
        done.append(f"end {name}")
        return name

    async def branch() -> list[str]:
        first = await send("one")
        return [first, await send("two")]

    async def ask() -> Any:
        while not done:
            await asyncio.sleep(0)
        return await pause("Go on?")

    @on.flow
    async def both() -> Any:
        return await asyncio.gather(ask(), branch())

    error = paused(both)
    # What must not happen twice was waited for, and the next one was not begun.
    assert done == ["begin one", "end one"]
    answers = {error.questions[0].id: "yes"}
    assert both.resume.run(error.run, answers=answers) == ["yes", ["one", "two"]]
    assert done == ["begin one", "end one", "begin two", "end two"]


def test_a_question_with_other_words_is_another_question() -> None:
    amounts = [30, 300, 300]

    @on.flow
    async def changing() -> Any:
        return await pause(f"May I refund ${amounts.pop(0)}?")

    error = paused(changing)
    other = paused(changing.resume, error.run, answers={error.questions[0].id: "yes"})
    assert other.questions[0].text == "May I refund $300?"
    assert other.questions[0].id != error.questions[0].id
    assert changing.resume.run(error.run, answers={other.questions[0].id: "no"}) == "no"


def test_where_a_pause_has_no_place() -> None:
    with pytest.raises(UsageError, match="a pause needs a flow around it"):
        pause.run("Anybody?")

    @on.step
    async def alone() -> Any:
        return await pause("Anybody?")

    with pytest.raises(UsageError, match="the outermost call"):
        alone.run()

    @tool(idempotent=False)
    async def refund() -> Any:
        return await pause("May I?")

    @on.flow
    async def refunds() -> Any:
        return await refund()

    with pytest.raises(UsageError, match="refund must not be repeated, so it cannot pause"):
        refunds.run()

    @on.flow
    async def fine() -> Any:
        return await pause("Here?")

    found: list[BaseException] = []

    def in_a_thread_of_its_own() -> None:
        try:
            pause.run("Here?")
        except UsageError as error:
            found.append(error)

    thread = threading.Thread(target=in_a_thread_of_its_own)
    thread.start()
    thread.join()
    assert len(found) == 1


@pytest.mark.parametrize("setting", ["record", "bodies"])
def test_a_pause_needs_records(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv(f"ONRECORD_{setting.upper()}", "false")
    with pytest.raises(UsageError, match=f"the setting '{setting}' is off"):
        refunding.run(30)


def test_a_stream_ends_in_the_question() -> None:
    events = []
    with pytest.raises(PausedError):
        for event in refunding.stream(30):
            events.append(event.name)
    assert events == ["note", "pause", "refunding"]
