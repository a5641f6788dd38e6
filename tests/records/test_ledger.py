"""The ledger: nothing is spent beyond a limit, by any number of threads, tasks and processes."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import math
import multiprocessing
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.ledger_load import Load, run
from onrecord.errors import LimitError, StorageError, UsageError
from onrecord.records.database.engine import open_engine
from onrecord.records.ledger import Budget, budget, held, in_time, longest_answer, seconds_left
from onrecord.records.limits import Asked, Caps, Limits, Spent, Tally, Worst

CHEAP = Worst(10, 10)


class Place(NamedTuple):
    engine: Any


async def call(worst: Worst = CHEAP, tokens: int | None = 1, cost: int | None = 1) -> None:
    async with held(worst) as hold:
        await asyncio.sleep(0)
        hold.settle(tokens, cost)


async def unsettled(worst: Worst = CHEAP) -> None:
    async with held(worst):
        raise ConnectionError("reset by peer")


def sums(spent_by: Budget) -> tuple[int, int, int, int, int, int]:
    spent = spent_by.spent()
    reserved = (spent.reserved_cost, spent.reserved_tokens, spent.reserved_calls)
    return (spent.cost, spent.tokens, spent.calls, *reserved)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def kept(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How a budget is opened: in memory, in the project's store, in PostgreSQL."""
    if request.param == "memory":
        return {}
    if request.param == "sqlite":
        return {"key": "customer-7"}
    url = request.getfixturevalue("postgres")
    return {"key": "customer-7", "store": Place(open_engine(Path(), url))}


def test_a_call_is_reserved_at_its_worst_and_settled_at_what_it_took(kept: dict[str, Any]) -> None:
    async def one(mine: Budget) -> None:
        async with held(Worst(600, 50)) as hold:
            assert await asyncio.to_thread(sums, mine) == (0, 0, 0, 600, 50, 1)
            hold.settle(30, 400)

    with budget(Limits(usd=0.001, tokens=100, calls=5), **kept) as mine:
        asyncio.run(one(mine))
        assert sums(mine) == (400, 30, 1, 0, 0, 0)
        with pytest.raises(LimitError) as refused:
            asyncio.run(call(Worst(601, 1)))
        assert sums(mine) == (400, 30, 1, 0, 0, 0)
        said = str(refused.value)
        assert "could take $0.000601, and of $0.001 $0.0004 are spent and $0.00 reserved" in said
        assert ("customer-7" if kept else "this process") in said
        assert "Raise `usd`" in said
        asyncio.run(call(Worst(600, 1)))
    assert refused.value.exit_status == 7


EXACT = [
    (Limits(usd=0.00003), Worst(10, 0), "$0.00003"),
    (Limits(usd=Decimal("0.00003")), Worst(10, 0), "$0.00003"),
    (Limits(tokens=39), Worst(0, 10), "10 tokens, and of 39 tokens 30 are spent"),
    (Limits(calls=3), Worst(None, 10), "1 calls, and of 3 calls 3 are spent"),
    (Limits(calls=3, usd=1), Worst(0, 0), "3 calls"),
]


def test_each_limit_is_exact(kept: dict[str, Any]) -> None:
    for number, (limits, worst, said) in enumerate(EXACT):
        with budget(limits, **{**kept, **({"key": str(number)} if kept else {})}):
            for _ in range(3):
                asyncio.run(call(worst, worst.tokens, worst.cost))
            with pytest.raises(LimitError) as refused:
                asyncio.run(call(worst))
        assert said in str(refused.value)
        asyncio.run(call(worst))  # outside, nothing is limited


def test_a_tenth_of_a_dollar_is_a_tenth() -> None:
    assert Limits(usd=0.1).caps.cost == 100_000
    assert Limits(usd=0.29).caps.cost == 290_000  # 0.29 * 1e6 is less
    assert Limits(usd=1e-6).caps.cost == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"max_output": 5},
        *({name: value} for name in ("usd", "seconds") for value in (0, -1, math.nan, math.inf)),
        *({name: value} for name in ("tokens", "calls") for value in (0, -1, 1.5, "1", True)),
        {"usd": "5"},
        {"usd": Decimal("NaN")},
        {"usd": Decimal("sNaN")},
        {"usd": 1e-7},
        {"usd": 1e12},
        {"tokens": 10**20},
        {"calls": 1, "max_output": 0},
        {"calls": 1, "max_output": None},
    ],
    ids=str,
)
def test_limits_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        Limits(**wrong)
    assert refused.value.cure


@pytest.mark.parametrize(
    "options", [{"per": "day"}, {"key": ""}, {"key": 7}, {"key": "a", "per": "week"}]
)
def test_budgets_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError), budget(Limits(calls=1), **options):
        pass


@pytest.mark.parametrize("limits", [None, 5, {"usd": 1}])
def test_a_budget_of_something_else_is_refused(limits: Any) -> None:
    with pytest.raises(UsageError, match="a budget takes Limits, not"), budget(limits):
        pass


def test_a_worst_case_below_0_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="below 0"):
        Worst(-1, 0)


def test_an_unknown_price_does_not_fit_under_dollars(kept: dict[str, Any]) -> None:
    with budget(Limits(usd=1), **kept) as mine:
        with pytest.raises(LimitError, match=r"\[prices\] in onrecord.toml"):
            asyncio.run(call(Worst(None, 1)))
        assert sums(mine) == (0, 0, 0, 0, 0, 0)
    with budget(Limits(tokens=100), **kept) as mine:
        asyncio.run(call(Worst(None, 1), 1, None))
        assert mine.spent().unpriced == 1 and mine.spent().tokens == 1


def test_what_is_not_settled_stays_spent_and_what_was_not_sent_does_not(
    kept: dict[str, Any],
) -> None:
    async def not_sent() -> None:
        async with held(CHEAP) as hold:
            hold.give_back()
            raise ConnectionRefusedError

    with budget(Limits(usd=1, tokens=100, calls=5), **kept) as mine:
        with pytest.raises(ConnectionRefusedError):
            asyncio.run(not_sent())
        assert sums(mine) == (0, 0, 0, 0, 0, 0)
        with pytest.raises(ConnectionError):
            asyncio.run(unsettled())
        assert sums(mine) == (10, 10, 1, 0, 0, 0)
        asyncio.run(call(tokens=None, cost=None))
        assert sums(mine) == (20, 20, 2, 0, 0, 0)


def test_more_than_the_worst_case_is_told_and_ends_the_spending(kept: dict[str, Any]) -> None:
    with budget(Limits(usd=0.00001, tokens=100), **kept) as mine:
        asyncio.run(call(tokens=15, cost=25))
        spent = mine.spent()
        assert (spent.cost, spent.over_cost, spent.over_tokens) == (25, 15, 5)
        with pytest.raises(LimitError):
            asyncio.run(call(Worst(0, 0)))


def test_tokens_that_nothing_limited_are_not_over(kept: dict[str, Any]) -> None:
    with budget(Limits(calls=5), **kept) as mine:
        asyncio.run(call(Worst(None, 0), tokens=15, cost=25))  # as `complete` asks, then
        spent = mine.spent()
        assert (spent.tokens, spent.cost, spent.over_tokens, spent.over_cost) == (15, 25, 0, 0)


def test_nested_budgets_are_reserved_all_or_none() -> None:
    with budget(Limits(calls=3)) as outer, budget(Limits(calls=9), key="shared") as shared:
        with budget(Limits(calls=1)) as inner:
            asyncio.run(call())
            with pytest.raises(LimitError, match="1 calls 1 are spent"):
                asyncio.run(call())
            assert [sums(each)[2] for each in (outer, shared, inner)] == [1, 1, 1]
        with budget(Limits(calls=1), key="shared"), pytest.raises(LimitError, match="'shared'"):
            asyncio.run(call())
        assert [sums(each)[2::3] for each in (outer, shared)] == [(1, 0), (1, 0)]
        asyncio.run(call())
        asyncio.run(call())
        with pytest.raises(LimitError, match="this process"):
            asyncio.run(call())
        assert [sums(each)[2::3] for each in (outer, shared)] == [(3, 0), (3, 0)]


def test_one_key_twice_is_charged_once_within_both_limits() -> None:
    with budget(Limits(calls=9, tokens=30), key="k") as outer:
        with budget(Limits(calls=2), key="k"):
            asyncio.run(call(tokens=10))
            asyncio.run(call(tokens=10))
            assert sums(outer)[1:3] == (20, 2)
            with pytest.raises(LimitError, match="2 calls"):
                asyncio.run(call())
        with budget(Limits(calls=9), key="k"):
            asyncio.run(call(tokens=10))
            with pytest.raises(LimitError, match="30 tokens"):
                asyncio.run(call())
        with budget(Limits(calls=1), key="k", per="day") as today:  # another budget
            with pytest.raises(LimitError, match="30 tokens"):
                asyncio.run(call())
            assert sums(today)[2::3] == (0, 0)


def test_budgets_of_two_stores_are_reserved_all_or_none(tmp_path: Path) -> None:
    places = [Place(open_engine(tmp_path / name, "")) for name in ("a", "b")]
    with (
        budget(Limits(calls=9), key="k", store=places[0]) as first,
        budget(Limits(calls=1), key="k", store=places[1]) as second,
    ):
        asyncio.run(call())
        with pytest.raises(LimitError):
            asyncio.run(call())
        assert sums(first)[2::3] == sums(second)[2::3] == (1, 0)


@pytest.mark.parametrize(
    "key", ["a\0b", "\ud800", "'; DROP TABLE budget; --", "ключ 🔑", "x" * 9999]
)
def test_a_key_may_be_any_text(key: str, kept: dict[str, Any]) -> None:
    if not kept:
        return
    with budget(Limits(calls=1), **{**kept, "key": key}), budget(Limits(calls=9), **kept) as other:
        asyncio.run(call())
        with pytest.raises(LimitError) as refused:
            asyncio.run(call())
        assert str(refused.value).isprintable()
        assert sums(other)[2] == 1
    with budget(Limits(calls=1), **{**kept, "key": key + "!"}):
        asyncio.run(call())


def test_a_day_is_a_budget_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_700_000_000.0

    def at(seconds: float) -> None:
        monkeypatch.setattr(time, "gmtime", lambda: original(now + seconds))

    original = time.gmtime

    async def over_midnight() -> None:
        async with held(CHEAP) as hold:
            at(86_400)
            hold.settle(5, 5)

    with budget(Limits(calls=1), key="k", per="day") as mine:
        at(0)
        asyncio.run(over_midnight())
        assert sums(mine)[2::3] == (0, 0)  # the next day's
        asyncio.run(call())
        at(0)  # a clock that was put back
        assert sums(mine) == (5, 5, 1, 0, 0, 0)
        with pytest.raises(LimitError, match=r"'k' of 2023-11-14 \(UTC\)"):
            asyncio.run(call())


def test_a_budget_goes_on_in_tasks_and_copied_contexts_and_ends_with_its_block() -> None:
    async def nested() -> None:
        with budget(Limits(calls=2)):
            await asyncio.gather(call(), call())

    with budget(Limits(calls=3)) as mine:
        asyncio.run(nested())
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(asyncio.run, call()))
        thread.start()
        thread.join()
        assert sums(mine)[2] == 3
        with pytest.raises(LimitError):
            asyncio.run(call())
    asyncio.run(call())


def test_a_block_may_end_before_its_calls(kept: dict[str, Any]) -> None:
    async def late() -> Budget:
        with budget(Limits(calls=3, usd=1), **kept) as mine:
            hold = held(CHEAP)
            entered = await hold.__aenter__()
        entered.settle(3, 4)
        await hold.__aexit__(None, None, None)
        return mine

    assert sums(asyncio.run(late())) == (4, 3, 1, 0, 0, 0)


def test_a_thousand_calls_at_once_are_made_as_often_as_allowed(kept: dict[str, Any]) -> None:
    made = under_way = most = 0

    async def one() -> None:
        nonlocal made, under_way, most
        async with held(Worst(10, 0)) as hold:
            made += 1
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1
            hold.settle(0, 10)

    async def all_at_once() -> list[object]:
        return await asyncio.gather(*(one() for _ in range(1000)), return_exceptions=True)

    with budget(Limits(usd=0.004), **kept) as mine:
        outcomes = asyncio.run(all_at_once())
        assert sums(mine) == (4000, 0, 400, 0, 0, 0)
    assert made == 400
    assert sum(isinstance(each, LimitError) for each in outcomes) == 600


def test_threads_never_spend_more_than_there_is(kept: dict[str, Any]) -> None:
    charged: list[int] = []

    async def calls(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(100):
            try:
                async with held(Worst(10, 10)) as hold:
                    cost = dice.randrange(11)
                    charged.append(cost)
                    hold.settle(cost, cost)
            except LimitError:
                pass

    with budget(Limits(usd=0.0015), **kept) as mine:
        contexts = [contextvars.copy_context() for _ in range(4)]
        threads = [
            threading.Thread(target=context.run, args=(asyncio.run, calls(seed)))
            for seed, context in enumerate(contexts)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sums(mine)[0] == sum(charged) <= 1500
        assert sum(charged) > 1490 and sums(mine)[3:] == (0, 0, 0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "fail", "give back", "cancel"]),
        st.integers(0, 12),
        st.integers(0, 12),
        st.integers(0, 7),
    ),
    max_size=30,
)


@pytest.mark.parametrize("key", [None, "k"])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, caps=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9)))
def test_any_order_of_events_keeps_every_limit(
    key: str | None, steps: list[tuple[str, int, int, int]], caps: tuple[int, int, int]
) -> None:
    """Against a model that keeps a list of open calls and two sums."""
    cost, tokens, calls = caps
    limits = Limits(usd=Decimal(cost) / 1_000_000, tokens=tokens, calls=calls)
    spent = Tally()
    fresh = None if key is None else f"{key} {next(_numbers)}"

    async def play(mine: Budget) -> None:
        under_way: list[tuple[Any, Any, Worst]] = []
        for what, a, b, which in steps:
            if what == "reserve":
                worst = Worst(a, b)
                fits = (
                    spent.cost + sum(each[2].cost or 0 for each in under_way) + a <= cost
                    and spent.tokens + sum(each[2].tokens for each in under_way) + b <= tokens
                    and spent.calls + len(under_way) + 1 <= calls
                )
                manager = held(worst)
                try:
                    under_way.append((manager, await manager.__aenter__(), worst))
                except LimitError:
                    assert not fits
                else:
                    assert fits
            elif under_way:
                manager, hold, worst = under_way.pop(which % len(under_way))
                took = (worst.cost or 0, worst.tokens, 1)
                if what == "settle":
                    took = (min(a, took[0]), min(b, took[1]), 1)
                    hold.settle(took[1], took[0])
                elif what == "give back":
                    took = (0, 0, 0)
                    hold.give_back()
                await manager.__aexit__(None, None, None)
                spent.cost += took[0]
                spent.tokens += took[1]
                spent.calls += took[2]
            now = mine.spent()
            assert (now.cost, now.tokens, now.calls) == (spent.cost, spent.tokens, spent.calls)
            assert now.cost + now.reserved_cost <= cost
            assert now.tokens + now.reserved_tokens <= tokens
            assert now.calls + now.reserved_calls <= calls
            assert now.reserved_calls == len(under_way)

    with budget(limits, key=fresh) as mine:
        asyncio.run(play(mine))


_numbers = itertools.count()


def test_a_cancelled_call_stays_spent_and_is_settled(kept: dict[str, Any]) -> None:
    async def cancelled_in_the_call() -> None:
        inside = asyncio.Event()

        async def endless() -> None:
            async with held(CHEAP):
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(endless())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with budget(Limits(calls=9), **kept) as mine:
        asyncio.run(cancelled_in_the_call())
        assert sums(mine) == (10, 10, 1, 0, 0, 0)


def test_cancelled_at_any_instant_a_call_is_booked_or_given_back(kept: dict[str, Any]) -> None:
    """Calls are cancelled while they reserve, while they run and while they settle."""
    began = 0

    async def one() -> None:
        nonlocal began
        async with held(CHEAP) as hold:
            began += 1
            await asyncio.sleep(0)
            hold.settle(10, 10)

    async def storm() -> None:
        dice = random.Random(3)
        for _ in range(60):
            task = asyncio.create_task(one())
            for _ in range(dice.randrange(8)):
                await asyncio.sleep(0.0001 if kept else 0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    with budget(Limits(calls=900), **kept) as mine:
        asyncio.run(storm())
        # What was cancelled while it was reserved is given back a moment after it is reserved, by
        # the ledger's thread: before it answers this question's successor.
        mine.spent()
        assert sums(mine) == (10 * began, 10 * began, began, 0, 0, 0)


def test_time_that_runs_out_ends_a_call_under_way() -> None:
    async def endless() -> None:
        async with held(CHEAP):
            await asyncio.Event().wait()

    with budget(Limits(seconds=0.02)) as mine:
        left = seconds_left()
        assert left is not None and 0 <= left <= 0.02
        with pytest.raises(LimitError, match=r"the 0.02 seconds of a budget are over"):
            asyncio.run(endless())
        assert sums(mine) == (10, 10, 1, 0, 0, 0)
        assert seconds_left() == 0.0
        with pytest.raises(LimitError, match="seconds"):
            asyncio.run(call())
        assert sums(mine)[2] == 1
    assert seconds_left() is None


def test_the_nearest_end_counts_and_other_timeouts_stay_what_they_are() -> None:
    async def timing_out() -> None:
        async with held(CHEAP):
            raise TimeoutError("of somebody else")

    async def cancelled() -> None:
        task = asyncio.create_task(call_forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def call_forever() -> None:
        async with held(CHEAP):
            await asyncio.Event().wait()

    with budget(Limits(seconds=900)), budget(Limits(seconds=100), key="k"):
        with budget(Limits(seconds=500)):
            left = seconds_left()
            assert left is not None and left <= 100
        with pytest.raises(TimeoutError, match="of somebody else"):
            asyncio.run(timing_out())
        asyncio.run(cancelled())
        asyncio.run(call())


def test_the_longest_answer_is_the_smallest_bound_of_those_that_need_one() -> None:
    assert longest_answer() is None
    with budget(Limits(calls=3, max_output=5)):
        assert longest_answer() is None
        with budget(Limits(usd=3)):
            assert longest_answer() == 4096
            with budget(Limits(tokens=9, max_output=100), key="k"):
                assert longest_answer() == 100
                with budget(Limits(usd=1, max_output=700)):
                    assert longest_answer() == 100


def test_waiting_that_is_no_call_ends_with_the_seconds() -> None:
    async def wait(seconds: float) -> None:
        async with in_time():
            await asyncio.sleep(seconds)

    asyncio.run(wait(0))
    with budget(Limits(calls=1)) as mine:
        asyncio.run(wait(0))
    with budget(Limits(seconds=0.05)) as mine, pytest.raises(LimitError, match="seconds"):
        asyncio.run(wait(60))
    assert mine.spent().calls == 0


def test_without_a_budget_anything_goes() -> None:
    async def free() -> int:
        async with held(Worst(None, 10**30)) as hold:
            hold.settle(1, None)
            hold.give_back()
            return 1

    assert sum(asyncio.run(free()) for _ in range(3)) == 3
    with budget(Limits(calls=1)) as mine:  # and nothing of it is booked later
        assert sums(mine) == (0, 0, 0, 0, 0, 0)


def test_amounts_beyond_all_measure_fit_into_the_store(kept: dict[str, Any]) -> None:
    with budget(Limits(calls=3), **kept) as mine:
        asyncio.run(call(Worst(10**30, 10**30), -5, -5))
        assert sums(mine) == (0, 0, 1, 0, 0, 0)
        asyncio.run(call(CHEAP, 10**30, 10**30))
        assert sums(mine)[2] == 2


def test_a_refusal_can_be_sent_between_processes() -> None:
    with budget(Limits(calls=1), key="k"):
        asyncio.run(call())
        with pytest.raises(LimitError) as refused:
            asyncio.run(call())
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


def _call_in_child(answers: Any) -> None:
    try:
        asyncio.run(call())
    except (LimitError, UsageError) as error:
        answers.put(f"{type(error).__name__}: {error}")
    else:
        answers.put("made")


@pytest.mark.parametrize(
    ("key", "answer"), [(None, "UsageError: this process was forked"), ("k", "made")]
)
def test_a_forked_child_shares_a_budget_with_a_key_and_no_other(
    key: str | None, answer: str
) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with budget(Limits(calls=2), key=key) as mine:
        asyncio.run(call())  # the parent's connection and thread are there to be inherited
        child = context.Process(target=_call_in_child, args=(answers,))
        child.start()
        assert answers.get().startswith(answer)
        child.join()
        assert sums(mine)[2] == (2 if key else 1)
        if key:
            with pytest.raises(LimitError):
                asyncio.run(call())


@pytest.mark.parametrize(("at_once", "kills"), [(1, 0), (8, 0), (1, 4), (8, 4)])
def test_processes_never_overspend_even_when_they_are_killed(
    project: Path, at_once: int, kills: int
) -> None:
    outcome = run(Load(project, processes=4, calls=120, at_once=at_once, kills=kills, seed=kills))
    assert outcome.overspend == 0
    booked = outcome.spent.cost + outcome.spent.reserved_cost
    assert outcome.charged <= booked <= outcome.allowed
    assert outcome.spent.reserved_calls == 0
    assert outcome.spent.calls - outcome.spent.lost <= outcome.made <= outcome.spent.calls
    if not kills:
        assert outcome.charged == booked and outcome.spent.lost == 0
        assert outcome.charged > outcome.allowed - 1000 * 4 * at_once


@pytest.mark.parametrize("kills", [0, 4])
def test_processes_never_overspend_in_postgresql(project: Path, postgres: str, kills: int) -> None:
    outcome = run(Load(project, processes=3, calls=80, at_once=4, kills=kills, store=postgres))
    assert outcome.overspend == 0
    assert outcome.charged <= outcome.spent.cost <= outcome.allowed
    assert outcome.spent.reserved_calls == 0


def test_many_may_be_the_first_to_use_a_database(postgres: str) -> None:
    from onrecord.records.ledger_store import Accounts  # it loads SQLAlchemy

    everybody = [Accounts(open_engine(Path(), postgres)) for _ in range(6)]
    at_once = threading.Barrier(len(everybody))
    seen: list[Spent] = []

    def first(accounts: Accounts) -> None:
        accounts.engine.connect().close()
        at_once.wait(timeout=60)
        seen.append(accounts.spent(Asked("k", "", Caps(None, None, 1))))

    threads = [threading.Thread(target=first, args=(each,)) for each in everybody]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [Spent()] * 6


KILLED = """
import asyncio, os, signal
from onrecord.records.ledger import budget, held
from onrecord.records.limits import Limits, Worst

async def main():
    with budget(Limits(usd=1), key="k"):
        async with held(Worst(700_000, 70)):
            os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_a_killed_call_stays_spent_and_is_said_to_be_lost(project: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=project)
    assert done.returncode == -signal.SIGKILL
    with budget(Limits(usd=1), key="k") as mine:
        spent = mine.spent()
        assert (spent.cost, spent.tokens, spent.calls, spent.lost) == (700_000, 70, 1, 1)
        assert (spent.reserved_cost, spent.reserved_tokens, spent.reserved_calls) == (0, 0, 0)
        with pytest.raises(LimitError):
            asyncio.run(call(Worst(300_001, 0)))
        asyncio.run(call(Worst(300_000, 0)))


def test_another_machines_calls_are_lost_after_a_day() -> None:
    with budget(Limits(usd=1), key="k") as mine:
        asyncio.run(call())
        with sqlite3.connect(".onrecord/ledger.db") as database:
            ((row,),) = database.execute("SELECT id FROM budget")
            for id, age in (("new", 3600), ("old", 90_000)):
                made = time.time_ns() - age * 10**9
                values = (id, row, 5, 5, made, "elsewhere:1:aa")
                database.execute("INSERT INTO reservation VALUES (?, ?, ?, ?, ?, ?)", values)
            database.execute("UPDATE budget SET reserved_cost = 10, reserved_calls = 2")
        database.close()
        spent = mine.spent()
        assert (spent.cost, spent.reserved_cost, spent.lost) == (6, 5, 1)


LEAVING = """
import asyncio
from onrecord.records.ledger import budget, held
from onrecord.records.limits import Limits, Worst

async def one():
    async with held(Worst(10, 10)) as hold:
        hold.settle(1, 1)

async def main():
    asyncio.current_task().get_loop().call_later(0.05, lambda: None)
    tasks = [asyncio.create_task(one()) for _ in range(50)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

with budget(Limits(usd=1), key="k"):
    asyncio.run(main())
"""


def test_leaving_with_calls_under_way_is_quiet_and_loses_nothing(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVING], cwd=project, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    with budget(Limits(usd=1), key="k") as mine:
        spent = mine.spent()
        assert spent.lost == spent.reserved_calls == 0 and spent.calls >= 1


def test_a_store_that_cannot_be_written_is_told(project: Path) -> None:
    (project / ".onrecord").write_text("no folder")
    with pytest.raises(StorageError, match="ledger"), budget(Limits(calls=1), key="k"):
        pass


def test_a_store_that_breaks_before_the_call_refuses_it_and_after_it_does_not(
    caplog: pytest.LogCaptureFixture, project: Path
) -> None:
    async def breaking() -> str:
        async with held(CHEAP) as hold:
            with sqlite3.connect(project / ".onrecord" / "ledger.db") as database:
                database.execute("ALTER TABLE budget RENAME TO moved")
            database.close()
            hold.settle(1, 1)
        return "the answer"

    with budget(Limits(calls=9), key="k") as mine:
        assert asyncio.run(breaking()) == "the answer"
        assert "stays booked at its worst case" in caplog.text
        with pytest.raises(StorageError):
            asyncio.run(call())
        with pytest.raises(StorageError):
            mine.spent()


def test_importing_the_ledger_is_light() -> None:
    script = "import sys, onrecord.records.ledger; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False"
