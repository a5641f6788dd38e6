from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import threading

import pytest

from onrecord.calling import Operation, emit, run
from onrecord.messages import Progress, Result


@Operation
async def double(x: int) -> int:
    """Twice."""
    await asyncio.sleep(0)
    return 2 * x


class Box:
    def __init__(self, size: int) -> None:
        self.size = size

    @Operation
    async def grown(self, by: int = 1) -> int:
        return self.size + by


@Operation
async def counting(n: int) -> str:
    for i in range(n):
        emit(Progress("counting", i, n))
        await asyncio.sleep(0)
    return "done"


def test_the_three_ways_to_call() -> None:
    async def awaited() -> int:
        return await double(3)

    assert asyncio.run(awaited()) == 6
    assert double.run(4) == 8
    assert list(double.stream(5)) == [Result(10)]
    assert double.__doc__ == "Twice."


def test_methods_are_bound() -> None:
    box = Box(7)
    assert box.grown.run() == 8
    assert box.grown.run(by=3) == 10
    assert list(box.grown.stream(2)) == [Result(9)]
    assert isinstance(Box.grown, Operation)


def test_run_works_beside_a_running_loop_and_inside_the_background_loop() -> None:
    async def notebook() -> int:
        return double.run(1)  # a synchronous call in a cell, while the notebook's loop runs

    assert asyncio.run(notebook()) == 2

    @Operation
    async def outer() -> int:
        return double.run(2) + double.run(3)  # blocks the background loop it runs on

    assert outer.run() == 10


def test_run_from_many_threads_at_once() -> None:
    results: dict[int, int] = {}
    threads = [
        threading.Thread(target=lambda i=i: results.update({i: double.run(i)})) for i in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: 2 * i for i in range(20)}


def test_run_sees_the_callers_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("mine")

    async def read() -> str:
        await asyncio.sleep(0)
        return variable.get()

    assert run(read()) == "mine"


def test_errors_reach_the_caller_as_they_are() -> None:
    @Operation
    async def broken() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        broken.run()
    with pytest.raises(KeyError, match="lost"):
        list(broken.stream())


def test_stream_gives_events_and_then_the_result() -> None:
    events = list(counting.stream(3))
    assert events == [Progress("counting", i, 3) for i in range(3)] + [Result("done")]

    async def collected() -> list[object]:
        return [event async for event in counting.stream(2)]

    assert asyncio.run(collected())[-1] == Result("done")


def test_leaving_a_stream_cancels_the_call() -> None:
    ended = threading.Event()

    @Operation
    async def endless() -> None:
        try:
            while True:
                emit("tick")
                await asyncio.sleep(0)
        finally:
            ended.set()

    stream = iter(endless.stream())
    assert next(stream) == "tick"
    stream.close()  # type: ignore[attr-defined]  # a generator behind the Iterator type
    assert ended.wait(10)


def _in_child(results: multiprocessing.SimpleQueue[int]) -> None:
    results.put(double.run(21))


def test_run_works_in_a_forked_child_of_a_process_that_has_used_it() -> None:
    assert double.run(1) == 2
    context = multiprocessing.get_context("fork")
    results: multiprocessing.SimpleQueue[int] = context.SimpleQueue()
    child = context.Process(target=_in_child, args=(results,))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert results.get() == 42
