"""Tries, times, and several calls at once: what is on record, what a resumed run makes of it."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest

import onrecord as on
from onrecord.errors import DeadlineError, LimitError, UsageError
from onrecord.programs import trying

made: list[Any] = []


@pytest.fixture(autouse=True)
def _clean(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.clear()
    monkeypatch.setattr(trying, "_FIRST", 0.001)


@on.step
async def one(number: int) -> int:
    made.append(number)
    return number


def records(run: Any, name: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.state, each.tags) for each in run.records if each.name == name]


# -- tries ----------------------------------------------------------------------------------------


def test_each_try_is_a_record() -> None:
    @on.step(retries=2)
    async def shaky() -> int:
        made.append(1)
        if len(made) < 3:
            raise OSError("not yet")
        return len(made)

    with on.recording() as run:
        assert shaky.run() == 3
    states = [("failed", ()), ("failed", ("retry",)), ("done", ("retry",))]
    assert records(run, "shaky") == states


def test_what_onrecord_refuses_is_not_tried_again() -> None:
    @on.step(retries=5)
    async def wrong() -> None:
        made.append(1)
        raise UsageError("no")

    with pytest.raises(UsageError):
        wrong.run()
    assert made == [1]


def test_a_try_that_takes_too_long_is_made_again() -> None:
    @on.step(retries=1, seconds=0.05)
    async def slow() -> str:
        made.append(1)
        if len(made) == 1:
            await asyncio.sleep(30)
        return "now"

    assert slow.run() == "now" and len(made) == 2


def test_a_time_out_of_the_functions_own_is_its_own() -> None:
    @on.step(seconds=30)
    async def own() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as raised:
        own.run()
    assert not isinstance(raised.value, DeadlineError)


def test_failed_tries_do_not_shift_what_a_resumed_flow_is_given() -> None:
    @on.step(retries=2)
    async def shaky(number: int) -> int:
        made.append(("shaky", number))
        if made.count(("shaky", number)) < 2:
            raise OSError("not yet")
        return number * 10

    @on.flow
    async def several() -> list[Any]:
        first = [await shaky(1), await shaky(2), await shaky(1)]
        return [*first, await on.pause("Well?")]

    with pytest.raises(on.PausedError) as paused:
        several.run()
    before = list(made)
    (question,) = paused.value.questions
    given = several.resume.run(paused.value.run, answers={question.id: "yes"})
    assert given == [10, 20, 10, "yes"] and made == before


def test_a_flow_whose_tries_were_all_in_vain_is_resumed() -> None:
    healed = False

    @on.step(retries=1)
    async def shaky() -> str:
        made.append(1)
        if not healed:
            raise OSError("no")
        return "well"

    @on.flow
    async def patient() -> str:
        return await shaky()

    with on.recording() as run, pytest.raises(OSError):
        patient.run()
    healed = True
    assert patient.resume.run(run.records[-1].run) == "well" and len(made) == 3


def test_a_pause_inside_of_what_is_tried_again_is_no_failure() -> None:
    @on.step(retries=3)
    async def asks() -> Any:
        made.append(1)
        return await on.pause("Well?")

    @on.flow
    async def asking() -> Any:
        return await asks()

    with pytest.raises(on.PausedError) as paused:
        asking.run()
    assert made == [1]
    (question,) = paused.value.questions
    assert asking.resume.run(paused.value.run, answers={question.id: "yes"}) == "yes"


def test_waiting_for_another_try_ends_with_a_budgets_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trying, "_FIRST", 30.0)

    @on.step(retries=1)
    async def shaky() -> None:
        raise OSError("no")

    with on.budget(on.Limits(seconds=0.1)), pytest.raises(LimitError):
        shaky.run()


@pytest.mark.parametrize(
    "options",
    [
        {"retries": -1},
        {"retries": True},
        {"seconds": 0},
        {"seconds": float("nan")},
        {"seconds": "3"},
        {"retries": 1, "idempotent": False},
    ],
)
def test_what_cannot_be_tried_is_told(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        on.step(**options)
    with pytest.raises(UsageError):
        on.tool(**options)


# -- several calls at once ------------------------------------------------------------------------


def test_values_come_in_the_order_of_the_calls() -> None:
    async def late(number: int) -> int:
        await asyncio.sleep(0.001 * (5 - number))
        return number

    assert on.gather.run(*map(late, range(5))) == [0, 1, 2, 3, 4]
    assert on.gather.run((late(at) for at in range(5)), concurrent=2) == [0, 1, 2, 3, 4]
    assert on.gather.run([late(0), late(1)], late(2), concurrent=2) == [0, 1, 2]
    assert on.gather.run() == on.gather.run([]) == on.gather.run(iter([]), concurrent=3) == []


def test_the_first_failure_ends_the_others_and_leaves_nothing_unawaited() -> None:
    async def fails() -> int:
        await asyncio.sleep(0.01)
        raise OSError("no")

    async def waits() -> int:
        try:
            await asyncio.sleep(30)
        finally:
            made.append("cancelled")
        return 1

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for concurrent in (None, 2):
            calls = [fails(), waits(), waits(), waits()]
            with pytest.raises(OSError):
                on.gather.run(calls, concurrent=concurrent)
        gc.collect()
    assert made == ["cancelled"] * 4


@pytest.mark.parametrize("concurrent", [None, 2])
def test_a_generator_that_raises_ends_it(concurrent: int | None) -> None:
    def several() -> Iterator[Awaitable[int]]:
        yield one(1)
        yield one(2)
        raise KeyError("third")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(KeyError):
            on.gather.run(several(), concurrent=concurrent)
        gc.collect()


def test_a_generator_that_asks_itself_is_taken_one_by_one() -> None:
    """More workers than calls, and each call taken only when one is free."""
    alive = most = 0

    async def busy(number: int) -> int:
        nonlocal alive, most
        alive, most = alive + 1, max(most, alive + 1)
        await asyncio.sleep(0)
        alive -= 1
        return number

    taken = on.gather.run((busy(at) for at in range(1000)), concurrent=7)
    assert taken == list(range(1000)) and most <= 7


def test_many_at_once_of_a_generator_do_not_begin_more_workers_than_there_are_calls() -> None:
    assert on.gather.run((one(at) for at in range(3)), concurrent=1_000_000) == [0, 1, 2]


def test_a_call_given_twice_is_told() -> None:
    async def main() -> Any:
        call = one(1)
        return await on.gather(call, call)

    with pytest.raises((UsageError, RuntimeError)):
        asyncio.run(main())


def test_a_task_given_twice_gives_its_value_twice() -> None:
    async def main() -> Any:
        task = asyncio.ensure_future(one(1))
        return await on.gather(task, task)

    assert asyncio.run(main()) == [1, 1] and made == [1]


def test_what_is_no_call_is_told() -> None:
    calls: Any = [one(1), 3]
    with pytest.raises(UsageError, match="3 cannot be awaited"):
        on.gather.run(*calls)
    numbers: Any = 0
    with pytest.raises(UsageError, match="calls nobody"):
        on.gather.run(one(1), concurrent=numbers)
    several: Any = generated()
    with pytest.raises(UsageError, match="cannot be awaited"):
        on.gather.run(several)


async def generated() -> AsyncIterator[int]:
    yield 1


def test_all_that_wait_for_a_person_are_asked_together_and_the_others_end() -> None:
    @on.step
    async def asks(number: int) -> Any:
        return await on.pause(f"{number}?")

    @on.flow
    async def several() -> list[Any]:
        inner = on.gather(asks(2), asks(3))
        return await on.gather(asks(1), inner, one(4), concurrent=2)

    with pytest.raises(on.PausedError) as paused:
        several.run()
    questions = paused.value.questions
    assert sorted(each.text for each in questions) == ["1?", "2?", "3?"] and made == [4]
    answers = {each.id: each.text for each in questions}
    assert several.resume.run(paused.value.run, answers=answers) == ["1?", ["2?", "3?"], 4]
    assert made == [4]


def test_a_failure_beside_a_pause_is_the_failure() -> None:
    healed = False

    @on.step
    async def fails() -> int:
        await asyncio.sleep(0.01)
        if not healed:
            raise OSError("no")
        return 2

    @on.step
    async def asks() -> Any:
        return await on.pause("Well?")

    @on.flow
    async def several() -> list[Any]:
        return await on.gather(asks(), fails())

    with on.recording() as run, pytest.raises(OSError):
        several.run()
    healed = True
    with pytest.raises(on.PausedError) as paused:
        several.resume.run(run.records[-1].run)
    (question,) = paused.value.questions
    assert several.resume.run(paused.value.run, answers={question.id: 1}) == [1, 2]


def test_who_is_cancelled_cancels_all_and_waits_for_them() -> None:
    async def waits() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.01)
            made.append("ended")

    async def main() -> None:
        task = asyncio.ensure_future(on.gather(waits(), waits()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert made == ["ended", "ended"]

    asyncio.run(main())
