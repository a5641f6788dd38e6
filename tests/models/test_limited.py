"""`limited`: so many at once and a minute, first come first served, over loops and threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import onrecord as on
from onrecord.errors import LimitError, ModelUnavailableError, UsageError
from onrecord.messages import Completion, TextDelta, Usage, text_message
from onrecord.models.calling import complete
from onrecord.models.model import Event, Parameters, Request
from onrecord.models.wrappers.limited import Limited, Minute
from tests.models.test_retrying import HELLO, heard
from tests.models.virtual_time import VIRTUAL, now

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL


def asking(text: str, **parameters: int) -> Request:
    return Request((text_message("user", text),), Parameters(**parameters))


def by_the_loop(model: Limited) -> Limited:
    """Its minutes are those of the loop's clock."""
    model._line._clock = now
    return model


class Working:
    """Takes a second of the loop's time; knows how many it was asked at once, and when."""

    name, version = "scripted:working", "1"

    def __init__(self, output: int = 0) -> None:
        self.lock = threading.Lock()
        self.under_way = self.most = 0
        self.asked: list[tuple[float, str]] = []
        self.output = output

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        with self.lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self.asked.append((now(), request.messages[-1].text))
        try:
            yield TextDelta("so ")
            await self.work()
        finally:
            with self.lock:
                self.under_way -= 1
        usage = Usage(input=1, output=self.output) if self.output else Usage()
        yield Completion(text_message("assistant", "so it is"), self.name, usage, cost=0)

    async def work(self) -> None:
        await asyncio.sleep(1)


async def test_no_more_than_so_many_at_once_and_in_the_order_they_came() -> None:
    model = Working()
    limited = on.limited(model, concurrent=3)
    await asyncio.gather(*(complete(limited, asking(str(at))) for at in range(10)))
    assert model.most == 3
    assert [text for _, text in model.asked] == [str(at) for at in range(10)]
    assert now() == pytest.approx(4)  # 3 + 3 + 3 + 1, each a second


async def test_no_more_than_so_many_in_any_minute() -> None:
    model = Working()
    limited = by_the_loop(on.limited(model, concurrent=None, per_minute=10))
    await asyncio.sleep(55)  # the minutes are not those of the clock
    await asyncio.gather(*(complete(limited, asking(str(at))) for at in range(35)))
    times = [at for at, _ in model.asked]
    assert len(times) == 35
    assert all(later - one >= 60 for one, later in zip(times, times[10:], strict=False))
    assert times[34] == pytest.approx(55 + 180)


async def test_tokens_are_estimated_and_then_counted() -> None:
    model = Working(output=499)
    limited = by_the_loop(on.limited(model, tokens_per_minute=1000))
    for at in range(4):
        await complete(limited, asking(str(at)))
    # Each took 500: two have room in a minute, though the second was estimated at a little more.
    times = [at for at, _ in model.asked]
    assert times[1] < 60 <= times[2] < 62


async def test_the_longest_answer_that_is_asked_for_is_the_first_estimate() -> None:
    model = Working()
    limited = by_the_loop(on.limited(model, tokens_per_minute=1000))
    wishes = (complete(limited, asking(str(at), max_tokens=400)) for at in range(3))
    await asyncio.gather(*wishes)
    times = [at for at, _ in model.asked]
    assert times[1] == 0 and times[2] == pytest.approx(60)


async def test_a_request_above_the_limit_has_a_minute_for_itself() -> None:
    model = Working(output=5000)
    limited = by_the_loop(on.limited(model, tokens_per_minute=1000))
    for at in range(3):
        await complete(limited, asking(str(at)))
    times = [at for at, _ in model.asked]
    assert [round(at) for at in times] == [0, 60, 120]


async def test_a_failure_and_a_cancelled_call_leave_their_places() -> None:
    down = ModelUnavailableError("down")
    limited = on.limited(on.Scripted([down, "Hello."]), concurrent=1)
    with pytest.raises(ModelUnavailableError):
        await complete(limited, HELLO)
    assert (await complete(limited, HELLO)).text == "Hello."

    model = Working()
    limited = on.limited(model, concurrent=1)
    calls = [asyncio.create_task(complete(limited, asking(str(at)))) for at in range(4)]
    await asyncio.sleep(0.5)
    calls[0].cancel()  # under way
    calls[1].cancel()  # in line
    await asyncio.gather(*calls, return_exceptions=True)
    assert [text for _, text in model.asked] == ["0", "2", "3"]


async def test_waiting_counts_against_the_seconds_around_and_reserves_nothing() -> None:
    model = Working()
    limited = by_the_loop(on.limited(model, per_minute=1))
    await complete(limited, HELLO)
    with on.budget(on.Limits(seconds=30, calls=1)) as budget:
        with pytest.raises(LimitError, match="30 seconds"):
            await complete(limited, HELLO)
        assert budget.spent().calls == 0
    assert len(model.asked) == 1
    await complete(limited, HELLO)  # whoever comes next is not held up by the one that left


async def test_it_streams_as_it_goes() -> None:
    words, completion = await heard(on.limited(Working()))
    assert words == ["so "] and isinstance(completion, Completion)


class Meeting(Working):
    """Its answers come when so many were asked at the same time, in whatever threads."""

    def __init__(self, together: int) -> None:
        super().__init__()
        self.barrier = threading.Barrier(together)

    async def work(self) -> None:
        await asyncio.to_thread(self.barrier.wait, 30)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_one_line_for_all_threads_and_their_event_loops() -> None:
    model = Meeting(together=3)
    limited = on.limited(model, concurrent=3)

    async def some() -> None:
        await asyncio.gather(*(complete(limited, HELLO) for _ in range(3)))

    threads = [threading.Thread(target=asyncio.run, args=(some(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join, 60)
    # Each answer needed three at once, and there were never four.
    assert len(model.asked) == 12 and model.most == 3


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_whose_loop_is_gone_holds_nobody_up() -> None:
    model = Meeting(together=2)
    limited = on.limited(model, concurrent=1)
    first = asyncio.create_task(complete(limited, HELLO))
    while not model.asked:
        await asyncio.sleep(0)

    def leave() -> None:
        loop = asyncio.new_event_loop()
        waiting.append(loop.create_task(complete(limited, HELLO)))
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()

    waiting: list[asyncio.Task[Completion]] = []
    thread = threading.Thread(target=leave)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert len(limited._line._waiting) == 1
    third = asyncio.create_task(complete(limited, HELLO))
    await asyncio.to_thread(model.barrier.wait, 30)
    await first
    await asyncio.to_thread(model.barrier.wait, 30)
    assert (await third).text == "so it is" and len(model.asked) == 2
    waiting[0]._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own switch


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(1, 60), st.floats(0, 40)), max_size=60),
)
def test_no_minute_ever_holds_more_than_its_limit(
    limit: int, wishes: list[tuple[int, float]]
) -> None:
    minute, clock, taken = Minute(limit), 0.0, list[tuple[float, int]]()
    for amount, pause in wishes:
        clock += pause
        while (wait := minute.wait(amount, clock)) > 0:
            clock += wait
        taken.append((clock, amount))
        minute.take(amount, clock)
    for at, amount in taken:
        held = [each for began, each in taken if began <= at < began + 60]
        assert sum(held) <= max(limit, amount)


@pytest.mark.parametrize(
    "wrong", [{"concurrent": 0}, {"per_minute": 0.5}, {"tokens_per_minute": -1}]
)
async def test_limits_that_are_none(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="limits nothing"):
        on.limited("scripted:demo", **wrong)
