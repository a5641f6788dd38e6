from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

import pytest

from onrecord import calling
from onrecord.calling import Operation, emit, run
from onrecord.messages import Progress, Result

T = TypeVar("T")


def ending(function: Callable[[], T]) -> T:
    """The value of a call that may hang where the rule is broken: a test that fails, not stalls."""
    values: queue.SimpleQueue[T] = queue.SimpleQueue()
    threading.Thread(target=lambda: values.put(function()), daemon=True).start()
    return values.get(timeout=20)


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


@Operation
async def leaving(error: type[BaseException]) -> None:
    raise error


@Operation
async def leaving_in_a_task(error: type[BaseException]) -> None:
    await asyncio.gather(asyncio.create_task(leaving(error)))


@Operation
async def leaving_while_streamed(error: type[BaseException]) -> None:
    async for _ in leaving.stream(error):
        pass


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("operation", [leaving, leaving_in_a_task, leaving_while_streamed])
def test_an_exit_reaches_the_caller_and_later_calls_still_work(
    operation: Operation[[type[BaseException]], None], error: type[BaseException]
) -> None:
    def caught(call: Callable[[], object]) -> type[BaseException] | None:
        try:
            call()
        except (SystemExit, KeyboardInterrupt) as exit:
            return type(exit)
        return None

    @Operation
    async def outer() -> type[BaseException] | None:
        return caught(lambda: operation.run(error))  # on the background loop's own thread

    assert ending(lambda: caught(lambda: operation.run(error))) is error
    assert ending(lambda: caught(lambda: list(operation.stream(error)))) is error
    assert ending(outer.run) is error
    assert ending(lambda: double.run(4)) == 8


def test_an_exit_keeps_its_code() -> None:
    @Operation
    async def stopping() -> None:
        sys.exit(3)

    with pytest.raises(SystemExit) as caught:
        stopping.run()
    assert caught.value.code == 3


def test_a_background_loop_whose_thread_is_gone_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.new_event_loop()
    monkeypatch.setattr(calling._Loop, "_running", (os.getpid(), loop, threading.Thread()))
    assert ending(lambda: double.run(4)) == 8
    loop.close()


def test_a_synchronous_helper_streams_inside_the_background_loop() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    @Operation
    async def named() -> str:
        emit(variable.get())
        await asyncio.sleep(0)
        return variable.get()

    @Operation
    async def outer() -> list[object]:
        variable.set("mine")
        return [*counting.stream(2), *named.stream()]

    assert ending(outer.run) == [
        Progress("counting", 0, 2),
        Progress("counting", 1, 2),
        Result("done"),
        "mine",
        Result("mine"),
    ]


def test_leaving_a_stream_inside_the_background_loop_cancels_the_call() -> None:
    ended = threading.Event()

    @Operation
    async def waiting() -> None:
        try:
            emit("under way")
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    @Operation
    async def outer() -> bool:
        for event in waiting.stream():
            assert event == "under way"
            break
        return ended.is_set()  # the clean-up is waited for

    assert ending(outer.run)


def test_synchronous_helpers_nest() -> None:
    @Operation
    async def inner() -> int:
        return double.run(2) + await asyncio.to_thread(double.run, 3)

    @Operation
    async def outer() -> list[object]:
        return [inner.run(), *inner.stream()]

    assert ending(outer.run) == [10, Result(10)]


def test_an_event_from_another_thread_wakes_the_listener() -> None:
    seen = threading.Event()

    @Operation
    async def step() -> None:
        emit("from the background loop")

    def work() -> bool:
        step.run()
        emit("from a thread")
        return seen.wait(10)

    @Operation
    async def flow() -> bool:
        return await asyncio.to_thread(work)

    def see(event: object) -> object:
        if event == "from a thread":
            seen.set()
        return event

    async def collected() -> list[object]:
        return [see(event) async for event in flow.stream()]

    expected = ["from the background loop", "from a thread", Result(True)]
    assert asyncio.run(collected()) == expected
    seen.clear()
    assert [see(event) for event in flow.stream()] == expected


def test_events_from_several_threads_keep_their_order() -> None:
    @Operation
    async def mixed() -> str:
        context = contextvars.copy_context()
        for i in range(0, 100, 2):
            thread = threading.Thread(target=context.run, args=(emit, i))
            thread.start()
            thread.join()
            emit(i + 1)
        await asyncio.to_thread(emit, 100)
        thread = threading.Thread(target=context.run, args=(emit, 101))
        thread.start()
        thread.join()
        return "done"  # the end comes after an event that was emitted right before it

    async def collected() -> list[object]:
        return [event async for event in mixed.stream()]

    expected = [*range(102), Result("done")]
    assert asyncio.run(collected()) == expected
    assert list(mixed.stream()) == expected


def test_an_event_after_the_listeners_loop_is_closed_is_dropped() -> None:
    contexts: list[contextvars.Context] = []

    @Operation
    async def remembering() -> None:
        contexts.append(contextvars.copy_context())

    async def collected() -> list[object]:
        return [event async for event in remembering.stream()]

    assert asyncio.run(collected()) == [Result(None)]
    contexts[0].run(emit, "too late")
