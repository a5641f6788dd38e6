"""A user's code beside the event loop: it holds nobody up, and nobody waits too long for it."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import onrecord as on
from onrecord.evaluation import scoring
from onrecord.evaluation.dataset import Case, Dataset
from onrecord.evaluation.experiments.experiment import evaluate
from onrecord.evaluation.trial import Trial
from onrecord.evaluation.waiting import Clock, Waiting, is_asynchronous


def cases(*inputs: Any) -> Dataset:
    return Dataset([Case(f"c{at}", each) for at, each in enumerate(inputs)])


def same(text: Any) -> Any:
    return text


class Meeting:
    """A scorer, or an application, of which all calls have to be under way at once."""

    def __init__(self, several: int) -> None:
        self.all_there = threading.Barrier(several)

    def __call__(self, given: Any) -> bool:
        self.all_there.wait(timeout=20)
        return True


def test_slow_plain_scorers_run_beside_each_other() -> None:
    report = evaluate.run(same, cases(*"abcd"), [Meeting(4)], concurrent=4)
    assert report.measure("Meeting").mean == 1


def test_a_slow_plain_scorer_holds_up_no_application() -> None:
    asked = threading.Event()

    async def app(text: str) -> str:
        if text == "b":
            await asyncio.sleep(0)
            asked.set()
        return text

    def waits(trial: Trial) -> bool:  # for another trial, that could not be answered meanwhile
        return trial.input == "b" or asked.wait(timeout=20)

    report = evaluate.run(app, cases("a", "b"), [waits], concurrent=2)
    assert report.measure("waits").mean == 1


def test_time_in_which_the_loop_was_held_up_is_not_the_functions() -> None:
    waiting, clock, called = Waiting(), Clock(), threading.Event()

    async def hold_up() -> None:
        await asyncio.to_thread(called.wait)
        time.sleep(0.6)  # as a judge does that computes on the loop

    async def main() -> str:
        work = waiting.in_thread("c", clock, lambda: called.set() or "x")
        answer = waiting.at_most(0.3, "c", work, clock)
        return (await asyncio.gather(answer, hold_up()))[0]

    assert asyncio.run(main()) == "x" and clock.has_ended_within(0.3)


def test_a_quick_scorer_needs_no_thread_and_a_slow_one_gets_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "_QUICK_SECONDS", 0.3)
    threads: list[str] = []

    def score(trial: Trial) -> bool:
        threads.append(threading.current_thread().name)
        if trial.input == 30:
            time.sleep(0.4)
        return True

    evaluate.run(same, cases(*range(60)), [score], concurrent=1)
    assert threads[0] == "score" and threads[29] == threads[30] == "onrecord"
    assert threads[31] == "score" and threads[-1] == "onrecord"


@pytest.mark.parametrize("kind", ["object", "partial"])
def test_plain_objects_and_partials_run_in_threads(kind: str) -> None:
    def meet(meeting: Meeting, text: str) -> bool:
        return meeting(text)

    meeting = Meeting(4)
    app = meeting if kind == "object" else functools.partial(meet, meeting)
    report = evaluate.run(app, cases(*"abcd"), [], concurrent=4)
    assert not report.failures


class Asked:
    async def __call__(self, text: str) -> str:
        return threading.current_thread().name


async def asked(much: int, text: str) -> str:
    return threading.current_thread().name


@on.flow
async def flow(text: str, much: int = 1) -> str:
    return threading.current_thread().name


@pytest.mark.parametrize(
    "app", [Asked(), functools.partial(asked, 3), flow, functools.partial(flow, much=2)]
)
def test_what_is_asynchronous_stays_on_the_loop(app: Any) -> None:
    assert is_asynchronous(app) and not is_asynchronous(same)
    assert evaluate.run(app, cases("a"), []).trials[0].output == "onrecord"


@pytest.mark.parametrize("is_plain", [True, False])
def test_a_scorer_that_never_ends_is_a_score_with_an_error(
    is_plain: bool, caplog: pytest.LogCaptureFixture
) -> None:
    end = threading.Event()

    def plain(trial: Trial) -> bool:
        return trial.input != "b" or end.wait(timeout=60)

    async def judge(trial: Trial) -> bool:
        await asyncio.sleep(60 if trial.input == "b" else 0)
        return True

    scorer = plain if is_plain else judge
    report = evaluate.run(same, cases(*"abc"), [scorer], seconds=0.3)
    end.set()
    errors = [each.scores[scorer.__name__].error for each in report]
    assert errors == [None, "it took longer than 0.3 s", None]
    assert ("plain is still running, in case c1" in caplog.text) is is_plain


def test_who_takes_no_notice_of_being_cancelled_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    end = threading.Event()

    async def app(text: str) -> str:
        while text == "b" and not end.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                logging.getLogger("test").info("not me")
        return text

    report = evaluate.run(app, cases("a", "b"), [], seconds=0.2)
    end.set()
    assert [each.error for each in report] == [None, "it took longer than 0.2 s"]
    assert "app is still running, in case c1" in caplog.text


def test_who_is_late_and_ends_has_cleaned_up_before_the_trial_ends() -> None:
    @on.step
    async def inside(text: str) -> str:
        await asyncio.sleep(60)
        return text

    async def app(text: str) -> str:
        return await inside(text)

    report = evaluate.run(app, cases("a"), [], seconds=0.1)
    store = on.Store.open()
    (found,) = [each for each in store.run(report.run) if each.name == "inside"]
    store.close()
    assert (found.state, found.error) == ("failed", "cancelled")


@pytest.mark.parametrize("seconds", [None, 20])
@pytest.mark.parametrize("error", [StopIteration, GeneratorExit])
def test_what_a_coroutine_takes_for_its_end_is_one_trial(
    error: type[BaseException], seconds: float | None
) -> None:
    def app(text: str) -> str:
        if text == "b":
            raise error
        return text

    def score(trial: Trial) -> bool:
        if trial.input == 30:
            raise error
        return True

    report = evaluate.run(app, cases("a", "b"), [], seconds=seconds)
    assert report.trials[1].error == f"RuntimeError: app raised {error.__name__}"
    scored = evaluate.run(same, cases(*range(40)), [score], seconds=seconds, concurrent=1)
    assert scored.measure("score").errors == 1
    assert error.__name__ in (scored.trials[30].scores["score"].error or "")


def pieces(text: str) -> Iterator[str]:
    yield from ("the ", "answer")


async def stream(text: str) -> AsyncIterator[str]:
    for each in ("the ", "answer"):
        yield each


def numbers(text: str) -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("app", [pieces, stream])
def test_a_text_in_pieces_is_joined(app: Any) -> None:
    assert evaluate.run(app, cases("a"), []).trials[0].output == "the answer"


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (numbers, "TypeError: it gave a generator of int: pieces of a text are joined"),
        (lambda text: object(), "TypeError: it gave an object of object, which has no JSON form"),
        (lambda text: {"a": [range(3)]}, "an object of range, which has no JSON form"),
        (lambda text: {"a", "b"}, "TypeError: it gave a set, which has no order: return a list"),
    ],
)
def test_what_has_no_json_form_is_the_trials_error(app: Any, said: str) -> None:
    (trial,) = evaluate.run(app, cases("a"), [on.scorers.exact_match])
    assert said in (trial.error or "") and trial.output is None
