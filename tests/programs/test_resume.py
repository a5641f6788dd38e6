"""Going on with a run: nothing that finished is made twice, and nothing is guessed."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import onrecord as on
from onrecord.errors import PausedError, ResumeError, UnknownNameError, UsageError
from onrecord.messages import Question
from onrecord.programs.flow import Flow, Recorded
from onrecord.programs.history import History
from onrecord.programs.tool import tool
from onrecord.prompts.prompt import prompt
from onrecord.records.record import Record
from onrecord.records.scope import context
from onrecord.records.store import Store
from onrecord.retrieval.document import Document

ROOT = Path(__file__).parent.parent.parent


class World:
    """What the functions of these tests do, and where they fail."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.failing: set[Any] = set()
        self.number: Any = 0

    def do(self, what: Any) -> None:
        """Fail here, or note that it was done."""
        if what in self.failing:
            raise RuntimeError(f"no {what} today")
        self.done.append(what)


world = World()


@pytest.fixture(autouse=True)
def a_new_world(project: Path) -> Iterator[None]:
    world.__init__()  # type: ignore[misc]  # the functions below know this one
    yield


@on.step
async def work(x: Any) -> int:
    world.do(x)
    return len(world.done)


@on.step
def threaded(x: int) -> int:
    world.do(x)
    return -x


@tool(idempotent=False)
async def refund(order: str, amount: int = 30) -> str:
    world.do((order, amount))
    return f"{amount} for {order}"


@on.flow
async def line(count: int) -> list[int]:
    return [await work(number) for number in range(count)]


def broken(flow: Flow[..., Any], *args: Any, at: Any, **kwargs: Any) -> str:
    """The id of a run that failed at `at`; from here on nothing fails."""
    world.failing = {at}
    with pytest.raises(RuntimeError):
        flow.run(*args, **kwargs)
    world.failing = set()
    return last().id


def last() -> Record:
    return runs()[0]


def runs() -> list[Record]:
    store = Store.open()
    try:
        return store.runs()
    finally:
        store.close()


def tree(run: str) -> list[Record]:
    store = Store.open()
    try:
        return store.run(run)
    finally:
        store.close()


def asked(flow: Flow[..., Any], run: str, **how: Any) -> Question:
    """The one question that going on with a run ends in."""
    with pytest.raises(PausedError) as paused:
        flow.resume.run(run, **how)
    (question,) = paused.value.questions
    return question


def test_what_has_finished_is_taken_from_its_record() -> None:
    run = broken(line, 4, at=2)
    assert world.done == [0, 1]
    assert line.resume.run(run) == [1, 2, 3, 4]
    assert world.done == [0, 1, 2, 3]
    records = tree(run)
    first, second = [each for each in records if each.kind == "flow"]
    assert (first.id, first.parent, first.state) == (run, None, "failed")
    assert (second.parent, second.source, second.state) == (run, run, "done")
    assert second.key == first.key and second.input == first.input
    steps = {each.id: each for each in records if each.kind == "step"}
    again = [each for each in steps.values() if each.parent == second.id]
    assert [each.source in steps for each in again] == [True, True, False, False]
    for each in again[:2]:
        assert each.source is not None and steps[each.source].parent == run
        assert each.output == steps[each.source].output and each.cost == 0


def test_many_attempts_are_one_run() -> None:
    run = broken(line, 6, at=1)
    for at in (3, 5):
        world.failing = {at}
        with pytest.raises(RuntimeError):
            line.resume.run(run)
    world.failing = set()
    assert line.resume.run(run) == [1, 2, 3, 4, 5, 6]
    assert world.done == [0, 1, 2, 3, 4, 5]
    sources = [each.source for each in tree(run) if each.kind == "step"]
    made = {each.id for each in tree(run) if each.kind == "step" and each.source is None}
    assert {each for each in sources if each} <= made  # always the call that was really made


def test_resume_is_called_in_the_three_ways() -> None:
    run = broken(line, 2, at=1)

    async def awaited() -> list[int]:
        return await line.resume(run)

    world.failing = {1}
    with pytest.raises(RuntimeError):
        asyncio.run(awaited())
    world.failing = set()
    *events, result = line.resume.stream(run)
    assert result == on.Result([1, 2])
    assert [event.name for event in events] == ["work", "work", "line"]


def test_a_run_that_is_done_gives_its_result_again() -> None:
    assert line.run(2) == [1, 2]
    run = last().id
    assert line.resume.run(run) == line.resume.run(run[:24]) == [1, 2]
    assert len(tree(run)) == 3 and world.done == [0, 1]


def test_loops_nested_flows_threads_and_branches() -> None:
    @on.flow
    async def inner(name: str) -> list[int]:
        return [await work((name, 0)), await threaded(ord(name)), await work((name, 1))]

    @on.flow
    async def outer(names: list[str]) -> list[list[int]]:
        first = await inner(names[0])
        return [first, *await asyncio.gather(*map(inner, names[1:]))]

    run = broken(outer, ["a", "b", "c"], at=("b", 1))
    before = list(world.done)
    result = outer.resume.run(run)
    assert result[0][0] == 1 and len(world.done) == len(set(map(str, world.done)))
    assert world.done[: len(before)] == before
    flows = [each for each in tree(run) if each.name == "inner" and each.source is not None]
    assert flows  # a nested flow that finished was taken as a whole


def test_a_flow_that_calls_itself() -> None:
    @on.flow
    async def down(depth: int) -> int:
        await work(depth)
        return 1 + await down(depth - 1) if depth else 0

    run = broken(down, 4, at=0)
    assert world.done == [4, 3, 2, 1]
    assert down.resume.run(run) == 4
    assert world.done == [4, 3, 2, 1, 0]


def test_equal_calls_are_told_apart_by_their_number() -> None:
    @on.flow
    async def dice() -> list[int]:
        rolls = [await work("roll") for _ in range(3)]
        await work("end")
        return rolls

    run = broken(dice, at="end")
    assert dice.resume.run(run) == [1, 2, 3]


def test_a_retry_of_the_flows_own_is_not_made_again() -> None:
    attempts: list[int] = []

    @on.step
    async def shaky() -> str:
        attempts.append(len(attempts))
        if len(attempts) < 3:
            raise ConnectionError("no")
        return "at last"

    @on.flow
    async def stubborn() -> str:
        for _ in range(5):
            try:
                found = await shaky()
            except ConnectionError:
                continue
            await work("after")
            return found
        return "never"

    run = broken(stubborn, at="after")
    assert stubborn.resume.run(run) == "at last"
    assert attempts == [0, 1, 2]


def test_a_method() -> None:
    @dataclasses.dataclass
    class Shop:
        name: str

        @on.flow
        async def sell(self, items: list[str]) -> str:
            for item in items:
                await self.wrap(item)
            return self.name

        @on.step
        async def wrap(self, item: str) -> None:
            world.do(item)

    run = broken(Shop("A").sell, ["x", "y"], at="y")
    with pytest.raises(ResumeError, match="self"):
        Shop("B").sell.resume.run(run)
    assert Shop("A").sell.resume.run(run) == "A"
    assert world.done == ["x", "y"]


def test_models_and_prompts_are_not_asked_again() -> None:
    @prompt
    async def read(text: str) -> Animal:
        """Which animal is it?"""
        raise AssertionError

    @prompt
    async def say(text: str) -> str:
        """Say it."""
        raise AssertionError

    def model() -> on.Scripted:
        return on.Scripted(['{"name": "cat", "legs": 4}', "a cat"])

    used = [model(), model()]

    @on.flow
    async def describe(text: str) -> str:
        scripted = used[0]
        animal = await read.using(scripted)(text)
        assert animal == Animal("cat", 4)
        said = await say.using(scripted)(text)
        await work("publish")
        return f"{said} has {animal.legs} legs"

    run = broken(describe, "meow", at="publish")
    assert len(used.pop(0).requests) == 2
    with on.recording() as recording:
        assert describe.resume.run(run) == "a cat has 4 legs"
    assert used[0].requests == []
    assert recording.usage == on.Usage() and recording.cost == 0


def test_an_interrupted_prompt_does_not_ask_its_model_again() -> None:
    model = on.Scripted(["no json", RuntimeError("gone"), '{"value": 3}'])

    @prompt(repairs=1)
    async def count(text: str) -> int:
        """How many?"""
        raise AssertionError

    @on.flow
    async def counting(text: str) -> int:
        return await count.using(model)(text)

    with pytest.raises(RuntimeError):
        counting.run("x")
    assert counting.resume.run(last().id) == 3
    assert len(model.requests) == 3  # the first answer came from its record


def test_a_search_is_not_made_again() -> None:
    docs = on.Collection.open("gate")
    docs.add.run([Document("g", "Gate", "The gate opens at seven.", "markdown")], source="test")

    @on.flow
    async def look(question: str, collection: on.Collection | str) -> list[on.Passage]:
        if isinstance(collection, str):
            collection = on.Collection.open(collection)
        found = await collection.search(question, 1)
        await work("then")
        return found

    run = broken(look, "When does the gate open?", docs, at="then")
    found = look.resume.run(run)
    assert [each.document_id for each in found] == ["g"] and isinstance(found[0], on.Passage)
    assert [each.source is None for each in tree(run) if each.kind == "search"] == [True, False]
    assert sum(each.kind == "embed" for each in tree(run)) == 1


@dataclasses.dataclass
class Animal:
    name: str
    legs: int


# What must not happen twice


@on.flow
async def serve(order: str) -> str:
    await work("before")
    said = await refund(order)
    await work("after")
    return said


def test_what_has_happened_once_does_not_happen_again() -> None:
    run = broken(serve, "17", at="after")
    assert serve.resume.run(run) == "30 for 17"
    assert world.done == ["before", ("17", 30), "after"]


def test_a_failure_does_not_tell_whether_it_happened() -> None:
    run = broken(serve, "17", at=("17", 30))
    question = asked(serve, run)
    assert question.kind == "repeat"
    assert "`refund(amount=30, order='17')` was started at 20" in question.text
    assert "RuntimeError: no ('17', 30) today" in question.text
    assert asked(serve, run) == question  # whoever asks
    again = {question.id: {"repeat": True}}
    assert serve.resume.run(run, answers=again) == "30 for 17"
    assert world.done == ["before", ("17", 30), "after"]


def test_what_did_happen_is_told_with_its_output() -> None:
    run = broken(serve, "17", at=("17", 30))
    question = asked(serve, run)
    unfit = asked(serve, run, answers={question.id: {"output": 3}})
    assert unfit.id == question.id and "int is on record, not str" in unfit.text
    world.failing = {"after"}
    with pytest.raises(RuntimeError):
        serve.resume.run(run, answers={question.id: {"output": "done by hand"}})
    world.failing = set()
    assert serve.resume.run(run) == "done by hand"  # the answer is on record
    assert ("17", 30) not in world.done


def test_an_answer_is_good_for_one_time_only() -> None:
    run = broken(serve, "17", at=("17", 30))
    question = asked(serve, run)
    world.failing = {("17", 30)}
    with pytest.raises(RuntimeError):
        serve.resume.run(run, answers={question.id: {"repeat": True}})
    world.failing = set()
    other = asked(serve, run, answers={question.id: {"repeat": True}})
    assert other.id != question.id


def test_answers_that_do_not_fit() -> None:
    run = broken(serve, "17", at=("17", 30))
    question = asked(serve, run)
    for answer in ("yes", {"repeat": False}, {"output": 1, "repeat": True}, {}):
        with pytest.raises(UsageError, match="does not say whether tool refund is to be made"):
            serve.resume.run(run, answers={question.id: answer})
    with pytest.raises(UsageError, match="has no question 'x'"):
        serve.resume.run(run, answers={"x": {"repeat": True}})
    assert ("17", 30) not in world.done


def test_a_step_may_be_one_that_must_not_happen_twice() -> None:
    @on.step(idempotent=False)
    def send(text: str) -> None:
        world.do(text)

    @on.flow
    async def mail(text: str) -> None:
        await send(text)

    run = broken(mail, "hello", at="hello")
    question = asked(mail, run)
    mail.resume.run(run, answers={question.id: {"output": None}})
    assert world.done == []


def test_a_retry_by_the_flow_itself_of_what_must_not_happen_twice() -> None:
    @on.flow
    async def insist(order: str) -> str:
        for amount in (1, 2):
            try:
                return await refund(order, amount)
            except RuntimeError:
                world.failing = {"end"}
        return "nothing"

    @on.flow
    async def whole(order: str) -> str:
        said = await insist(order)
        await work("end")
        return said

    run = broken(whole, "17", at=("17", 1))
    # `insist` has finished: what happened inside is nobody's business any more.
    assert whole.resume.run(run) == "2 for 17"
    assert world.done == [("17", 2), "end"]


def test_another_input_in_the_place_of_what_must_not_happen_twice() -> None:
    @on.flow
    async def dated() -> str:
        said = await refund("17", world.number)
        await work("after")
        return said

    world.number = 1
    run = broken(dated, at="after")
    world.number = 2
    with pytest.raises(ResumeError, match="tool refund is not what it was"):
        dated.resume.run(run)
    question = asked(dated, run, changed="repeat")
    assert "(amount=1, order='17')` was started" in question.text
    assert "Now `refund(order='17', amount=2)`" in question.text
    assert "in its place" in question.text
    answers = {question.id: {"output": "1 for 17"}}
    assert dated.resume.run(run, answers=answers, changed="repeat") == "1 for 17"
    assert world.done == [("17", 1), "after"]


def test_the_same_thing_at_another_place_is_asked_about() -> None:
    @on.step
    async def wrapped(order: str, at: Any) -> str:
        return await refund(order)

    @on.flow
    async def shop(order: str) -> str:
        _, said = await asyncio.gather(pause_a_little(), wrapped(order, world.number))
        await work("after")
        return said

    @on.step
    async def pause_a_little() -> None:
        await asyncio.sleep(0.002)

    run = broken(shop, "17", at="after")
    world.number = 5  # the input of a call that others ran beside: it says nothing by its place
    question = asked(shop, run)
    assert "finished at another place of the run" in question.text
    answers = {question.id: {"output": "30 for 17"}}
    assert shop.resume.run(run, answers=answers) == "30 for 17"
    assert world.done.count(("17", 30)) == 1


# What has changed

CODE = """
import onrecord as on

@on.step
async def greet(name: str) -> str:
    world.do("greet")
    return f"{greeting} " + name

@on.flow
async def hello(name: str) -> str:
    text = await greet({argument})
    world.do("after")
    return text
"""


def module(project: Path, **code: str) -> ModuleType:
    """A module of the user's, written anew."""
    path = project / "greeting_module.py"
    path.write_text(
        CODE.replace("{greeting}", code.get("greeting", "Hello")).replace(
            "{argument}", code.get("argument", "name")
        )
    )
    spec = importlib.util.spec_from_file_location("greeting_module", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    importlib.invalidate_caches()
    made.__dict__["world"] = world
    exec(compile(path.read_text(), str(path), "exec"), made.__dict__)
    import linecache

    linecache.checkcache(str(path))
    return made


def test_changed_code_is_shown(project: Path) -> None:
    old = module(project)
    run = broken(old.hello, "Ada", at="after")
    new = module(project, greeting="Good morning,")
    with pytest.raises(ResumeError) as error:
        new.hello.resume.run(run)
    said = str(error.value)
    assert "step greet is not what it was when the run began" in said
    assert "Hello" in said and "Good morning," in said and 'changed="repeat"' in said
    assert world.done == ["greet"]
    assert new.hello.resume.run(run, changed="repeat") == "Good morning, Ada"
    assert world.done == ["greet", "greet", "after"]


def test_changed_code_of_the_flow_itself_is_shown(project: Path) -> None:
    run = broken(module(project).hello, "Ada", at="after")
    new = module(project, argument='name + "!"')
    with pytest.raises(ResumeError, match="flow hello is not what it was"):
        new.hello.resume.run(run)
    # The flow's own code may be another one now; what its step is asked is another thing, too.
    assert new.hello.resume.run(run, changed="repeat") == "Hello Ada!"


def test_changed_input_is_shown() -> None:
    @on.flow
    async def nondeterministic() -> int:
        found = await work(f"item {world.number}")
        await work("after")
        return found

    run = broken(nondeterministic, at="after")
    world.number = 7
    with pytest.raises(ResumeError) as error:
        nondeterministic.resume.run(run)
    assert "step work" in str(error.value)
    assert "item 0" in str(error.value) and "item 7" in str(error.value)
    assert nondeterministic.resume.run(run, changed="repeat") == 2
    assert world.done == ["item 0", "item 7", "after"]


def test_an_unfinished_call_may_change() -> None:
    @on.flow
    async def nondeterministic() -> int:
        return await work(f"item {world.number}")

    run = broken(nondeterministic, at="item 0")
    world.number = 7
    assert nondeterministic.resume.run(run) == 1


def test_what_finished_inside_of_changed_code_is_kept(project: Path) -> None:
    def made(code: str) -> Recorded[..., Any]:
        space: dict[str, Any] = {"work": work, "refund": refund, "world": world}
        exec(f"async def inner(x):\n await refund(x)\n await work('a')\n {code}", space)
        return on.flow(space["inner"])

    inner = made("world.do('bug')")

    @on.flow
    async def outer(x: str) -> None:
        await inner(x)

    run = broken(outer, "17", at="bug")
    inner = made("world.do('mended')")
    with pytest.raises(ResumeError, match="flow inner is not what it was"):
        outer.resume.run(run)
    outer.resume.run(run, changed="repeat")
    assert world.done == [("17", 30), "a", "mended"]


def test_another_order_of_what_runs_at_once_is_no_change() -> None:
    @on.flow
    async def pipeline(names: list[str]) -> list[int]:
        ready = asyncio.Queue[str]()

        async def fetch(name: str) -> None:
            await work(f"fetch {name}")
            await asyncio.sleep(0)
            ready.put_nowait(name)

        async def each() -> int:
            name = await ready.get()
            await asyncio.sleep(0)
            return await slow(name)

        order = names if not world.number else names[::-1]
        *_, a, b, c = await asyncio.gather(*map(fetch, order), each(), each(), each())
        await work("after")
        return [a, b, c]

    @on.step
    async def slow(name: str) -> int:
        world.do(name)
        await asyncio.sleep(0.002)
        return len(name)

    run = broken(pipeline, ["a", "bb", "ccc"], at="ccc")
    before = list(world.done)
    world.number = 1
    assert sorted(pipeline.resume.run(run)) == [1, 2, 3]
    assert "fetch ccc" in before and world.done.count("fetch ccc") == 1


def test_finished_calls_that_nobody_asks_for_are_told(caplog: pytest.LogCaptureFixture) -> None:
    @on.flow
    async def picky() -> None:
        if not world.number:
            await work("first")
        await threaded(1)

    run = broken(picky, at=1)
    world.number = 1
    with caplog.at_level(logging.WARNING):
        picky.resume.run(run)
    assert f"run {run}: calls that had finished were not asked for again: step work" in caplog.text


# What a record cannot give back


@dataclasses.dataclass
class Receipt:
    amount: int


def test_an_object_of_a_type_that_nobody_names(caplog: pytest.LogCaptureFixture) -> None:
    @on.step
    async def unnamed(x):  # type: ignore[no-untyped-def]  # what the test is about
        world.do(x)
        return Receipt(1) if x == "receipt" else {"amount": 1}

    @on.flow
    async def buy(what: str) -> int:
        found = await unnamed(what)
        await work("after")
        return len(found) if isinstance(found, dict) else int(found.amount)

    plainly = broken(buy, "dict", at="after")
    run = broken(buy, "receipt", at="after")
    with pytest.raises(ResumeError) as error:
        buy.resume.run(run)
    assert "what step unnamed returned" in str(error.value)
    assert "-> Receipt" in str(error.value)
    assert buy.resume.run(run, changed="repeat") == 1
    assert world.done == ["dict", "receipt", "receipt", "after"]
    # The function has returned such objects, so nobody can know what this one was.
    with pytest.raises(ResumeError, match="unnamed"):
        buy.resume.run(plainly)


def test_plain_values_need_no_annotation() -> None:
    @on.step
    async def unnamed(x):  # type: ignore[no-untyped-def]  # what the test is about
        world.do(x)
        return [x, {"a": None}]

    @on.flow
    async def buy(what):  # type: ignore[no-untyped-def]  # what the test is about
        found = await unnamed(what)
        await work("after")
        return found

    run = broken(buy, "x", at="after")
    assert buy.resume.run(run) == buy.resume.run(run) == ["x", {"a": None}]
    assert world.done == ["x", "after"]


def test_vectors_are_made_again(caplog: pytest.LogCaptureFixture) -> None:
    @on.step
    async def vector(x: int) -> np.ndarray:
        world.do(x)
        return np.full(3, x)

    @on.flow
    async def search() -> float:
        found = await vector(2)
        await work("after")
        return float(found.sum())

    run = broken(search, at="after")
    assert search.resume.run(run) == 6
    assert world.done == [2, 2, "after"]
    assert "step vector: its output cannot be made of its record" in caplog.text


LONG = "x" * 300


@on.step
async def long(x: int) -> str:
    world.do(("long", x))
    return LONG


@tool(idempotent=False)
async def charge(card: str) -> str:
    world.do("charge")
    return LONG


def test_what_was_removed_from_the_record_is_made_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    @on.flow
    async def pay() -> int:
        found = await long(1)
        await work("after")
        return len(found)

    monkeypatch.setenv("ONRECORD_MAX_BODY_MB", "0.0002")
    run = broken(pay, at="after")
    assert pay.resume.run(run) == 300
    assert world.done.count(("long", 1)) == 2
    assert caplog.text.count("step long: its output was removed from the record") == 1


def test_what_was_removed_and_must_not_happen_twice_is_asked_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @on.flow
    async def pay() -> str:
        said = await charge("card")
        await work("after")
        return said

    monkeypatch.setenv("ONRECORD_MAX_BODY_MB", "0.0002")
    run = broken(pay, at="after")
    question = asked(pay, run)
    assert "finished, but its output was removed from the record" in question.text
    answers = {question.id: {"output": "charged"}}
    assert pay.resume.run(run, answers=answers) == "charged"
    assert world.done == ["charge", "after"]


# Arguments


@on.flow
async def with_arguments(
    card: str, receipt: Receipt, *more: int, flag: bool = True, **rest: str
) -> str:
    await work("before")
    await work("after")
    return f"{card} {receipt.amount} {more} {flag} {rest}"


def test_arguments_are_made_again_by_their_annotations() -> None:
    run = broken(with_arguments, "x", Receipt(3), 1, 2, flag=False, a="b", at="after")
    assert with_arguments.resume.run(run) == "x 3 (1, 2) False {'a': 'b'}"


CARD = "4111 1111 1111 1111"


def test_arguments_that_were_removed_are_asked_for() -> None:
    run = broken(with_arguments, CARD, Receipt(3), at="after")
    with pytest.raises(ResumeError, match=r"something was removed .* given="):
        with_arguments.resume.run(run)
    with pytest.raises(ResumeError, match="card"):
        with_arguments.resume.run(run, given={"card": "another"})
    assert with_arguments.resume.run(run, given={"card": CARD}).startswith(CARD)


def test_objects_are_passed_in_again() -> None:
    class Client:
        name, version = "client", "1"

    @on.flow
    async def call(client: Client, untyped, text: str) -> str:  # type: ignore[no-untyped-def]  # what the test is about
        await work("after")
        return client.name + untyped["a"] + text

    run = broken(call, Client(), {"a": "b"}, "c", at="after")
    with pytest.raises(ResumeError, match=r"'client' of call .* given=\{'client': …\}"):
        call.resume.run(run)
    with pytest.raises(ResumeError, match=r"'untyped' of call .* no annotation"):
        call.resume.run(run, given={"client": Client()})
    with pytest.raises(UsageError, match="no parameter 'clint'"):
        call.resume.run(run, given={"clint": Client()})
    given = {"client": Client(), "untyped": {"a": "b"}}
    with pytest.raises(ResumeError, match="Its input has changed"):
        call.resume.run(run, given={**given, "text": "d"})
    assert call.resume.run(run, given=given) == "clientbc"


# Refused


def test_runs_that_there_are_not_or_that_are_others() -> None:
    run = broken(serve, "17", at="after")
    with pytest.raises(UnknownNameError):
        line.resume.run("nonsense")
    with pytest.raises(ResumeError, match="of the flow 'serve', not of the flow 'line'"):
        line.resume.run(run)
    work.run(1)
    with pytest.raises(ResumeError, match="of the step 'work'"):
        line.resume.run(last().id)
    with pytest.raises(UsageError, match="neither 'refuse' nor 'repeat'"):
        serve.resume.run(run, changed="maybe")  # type: ignore[arg-type]  # the mistake under test


def test_a_run_that_is_still_going() -> None:
    here, go = threading.Event(), threading.Event()

    @on.flow
    def waiting() -> str:
        here.set()
        go.wait(10)
        return "done"

    thread = threading.Thread(target=waiting.run)
    thread.start()
    try:
        assert here.wait(10)
        with pytest.raises(ResumeError, match="still going"):
            waiting.resume.run(last().id)
    finally:
        go.set()
        thread.join()
    assert waiting.resume.run(last().id) == "done"


def test_one_process_at_a_time() -> None:
    run = broken(line, 2, at=1)
    script = f"""
import sys
from onrecord.programs.past import Past
from onrecord.settings import Settings
past = Past.take(Settings.load(), {run!r})
print("held", flush=True)
sys.stdin.read()
"""
    other = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    with pytest.raises(ResumeError, match="another process goes on with the run"):
        line.resume.run(run)
    other.communicate()
    assert line.resume.run(run) == [1, 2]
    assert list(Path(".onrecord/resuming").iterdir()) == []


def test_without_records_there_is_nothing_to_go_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    run = broken(line, 2, at=1)
    for setting in ("record", "bodies"):
        with monkeypatch.context() as off:
            off.setenv(f"ONRECORD_{setting.upper()}", "false")
            with pytest.raises(ResumeError, match=f"the setting '{setting}' is off"):
                line.resume.run(run)
    script = """
import onrecord as on
@on.flow
async def line(count: int) -> list[int]:
    raise RuntimeError
line.run(1)
"""
    subprocess.run(
        [sys.executable, "-c", script],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ONRECORD_BODIES": "false"},
    )
    (other,) = {each.id for each in runs()} - {run}
    with pytest.raises(ResumeError, match="the arguments of the run are not on record"):
        line.resume.run(other)


def test_a_resumed_run_is_on_behalf_of_whom_it_began_for() -> None:
    world.failing = {1}
    with context(user="u-17", session="s", tags=("beta",)), pytest.raises(RuntimeError):
        line.run(2)
    world.failing = set()
    run = last().id
    line.resume.run(run)
    assert {(each.user, each.session, "beta" in each.tags) for each in tree(run)} == {
        ("u-17", "s", True)
    }


def test_a_flow_may_resume_another() -> None:
    run = broken(serve, "17", at=("17", 30))

    @on.flow
    async def supervise(run: str) -> str:
        try:
            return await serve.resume(run)
        except PausedError as paused:
            answers = {each.id: {"repeat": True} for each in paused.questions}
            return await serve.resume(run, answers=answers)

    assert supervise.run(run) == "30 for 17"
    assert last().name == "supervise" and len(tree(last().id)) == 1


# The logic of a run, made of records alone


def a_record(id: int, parent: int | None, key: str, **fields: Any) -> Record:
    given: dict[str, Any] = {"name": "work", "state": "done", "kind": "step", "input": {}}
    return Record(
        id=str(id),
        run="1",
        parent=None if parent is None else str(parent),
        key=key,
        started_ns=id * 1000,
        **{**given, "ended_ns": id * 1000 + 500, **fields},
    )


def a_flow(id: int, parent: int | None = None, **fields: Any) -> Record:
    return a_record(id, parent, "f", kind="flow", name="f", state="interrupted", **fields)


def test_a_place_is_the_same_in_every_attempt() -> None:
    history = History(
        [
            a_flow(1),
            a_record(2, 1, "a", output=1),
            a_record(3, 1, "a", state="interrupted"),
            a_record(4, 1, "b", state="interrupted"),
            a_record(5, 4, "c", output=2),
            a_flow(6, 1, tags=("resumed",)),
            a_record(7, 6, "a", source="2", output=1),
            a_record(8, 6, "b", state="failed"),
            a_record(9, 8, "c", source="5", output=2),
        ]
    )
    assert [each.id for each in history.attempts] == ["1", "6"]
    places = [("2", "7"), ("3",), ("4", "8"), ("5", "9")]
    for ids in places:
        assert [each.id for each in history.of[ids[0]].records] == list(ids)
        assert len({id(history.of[each]) for each in ids}) == 1
    assert history.origin(history.of["9"].records[-1]) == "5"
    assert history.of["5"].parent is history.of["8"]


def test_what_was_taken_stands_where_it_came_from_and_not_where_it_was_asked_for() -> None:
    history = History(
        [
            a_flow(1),
            a_record(2, 1, "a", state="interrupted"),
            a_record(3, 1, "a", output=1),
            a_flow(4, 1, tags=("resumed",)),
            a_record(5, 4, "a", source="3", output=1),
            a_record(6, 4, "a", output=2),
        ]
    )
    assert [each.id for each in history.of["3"].records] == ["3", "5"]
    assert [each.id for each in history.of["2"].records] == ["2", "6"]


def test_a_call_that_was_only_asked_about_has_not_begun() -> None:
    asking = {"id": "2", "text": "Again?"}
    history = History(
        [
            a_flow(1),
            a_record(2, 1, "a", state="interrupted"),
            a_flow(3, 1, tags=("resumed",)),
            a_record(4, 3, "a", state="paused", output=asking),
            a_record(5, 3, "b", state="failed", output="refused"),
        ]
    )
    made = history.of["2"].made
    assert made is not None and made.id == "2"
    assert "4" not in history.of and "5" not in history.of


def test_a_flow_that_calls_itself_is_no_attempt() -> None:
    history = History([a_flow(1), a_flow(2, 1), a_flow(3, 1, tags=("resumed",))])
    assert [each.id for each in history.attempts] == ["1", "3"]
    assert history.of["2"].parent is history.top is history.of["3"]


def test_calls_that_ran_beside_others_say_nothing_by_their_order() -> None:
    records = [a_flow(1)] + [a_record(id, 1, str(id)) for id in (2, 3, 4)]
    beside = a_record(5, 1, "5", ended_ns=9000)
    history = History([*records, beside, a_record(6, 1, "6", state="open", ended_ns=0)])
    certain = [history.is_certain(history.of[str(id)]) for id in (2, 3, 4, 5, 6)]
    assert certain == [True, True, True, False, False]


def test_a_history_without_its_beginning() -> None:
    with pytest.raises(ResumeError, match="first call is gone"):
        History([a_record(2, 1, "a")])


@pytest.mark.parametrize("program", ["flow", "agent"])
def test_killed_again_and_again(tmp_path: Path, program: str) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.programs.resume_killing", str(folder), "15", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout)
    assert counted["wrong"] == [] and counted["kills"] >= 15 and counted["taken"] > 0
