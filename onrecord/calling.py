"""The one calling rule: a public coroutine function is awaited, run, or streamed.

    await search("…")             inside asynchronous code
    search.run("…")               anywhere else: blocks until the value is there
    async for event in search.stream("…")    (or a plain `for`): events, then one Result

All three drive the same coroutine. `run` hands it to one background event loop a process, so it
works in scripts, notebooks, threads and beside a running loop. Work that is under way tells its
listener what happens with `emit`; `stream` is a listener with a queue.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import copy
import functools
import os
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from onrecord.messages import Result

P = ParamSpec("P")
P2 = ParamSpec("P2")
R = TypeVar("R")
S = TypeVar("S")
Op = TypeVar("Op", bound="Operation[Any, Any]")


class Operation(Generic[P, R]):
    """A coroutine function with `.run` and `.stream`. Works on functions and on methods."""

    def __init__(self, function: Callable[P, Awaitable[R]]) -> None:
        self._function = function
        functools.update_wrapper(self, function)

    async def _perform(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """What a call does; a subclass adds to it (recording, rendering, …)."""
        return await self._function(*args, **kwargs)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it: `await operation(...)`."""
        return await self._perform(*args, **kwargs)

    def run(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it and block until its value is there."""
        return run(self(*args, **kwargs))

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> Stream[R]:
        """Call it and yield its events; the last one is a Result with its value."""
        return Stream(lambda: self(*args, **kwargs))

    @overload
    def __get__(self: Op, instance: None, owner: type | None = None) -> Op: ...
    @overload
    def __get__(
        self: Operation[Concatenate[S, P2], R], instance: S, owner: type | None = None
    ) -> Operation[P2, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound = copy.copy(self)
        bound._function = functools.partial(self._function, instance)
        return bound


class Stream(Generic[R]):
    """The events of one call, once: `async for` in asynchronous code, `for` anywhere else.

    Leaving the loop early cancels the call.
    """

    def __init__(self, start: Callable[[], Coroutine[Any, Any, R]]) -> None:
        self._start = start

    async def __aiter__(self) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Any] = asyncio.Queue()

        def listen(event: object) -> None:
            # Work may emit from any thread. All events go through the loop's one line of
            # callbacks: that wakes the loop, and keeps their order, the end marker's too.
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(events.put_nowait, event)

        token = _listener.set(listen)
        try:
            task = asyncio.create_task(self._start())
        finally:
            _listener.reset(token)
        task.add_done_callback(lambda _: events.put_nowait(_END))
        try:
            while (event := await events.get()) is not _END:
                yield event
            yield Result(task.result())
        finally:
            await _cancel(task)

    def __iter__(self) -> Iterator[Any]:
        events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        context = contextvars.copy_context()
        context.run(_listener.set, events.put)
        call = _Call(self._start(), context)
        call.value.add_done_callback(lambda _: events.put(_END))
        try:
            while (event := events.get()) is not _END:
                yield event
            yield Result(call.value.result())
        finally:
            call.cancel()


def emit(event: object) -> None:
    """Tell whoever streams the call under way that something happened; nobody listening is fine."""
    listener = _listener.get()
    if listener is not None:
        listener(event)


def run(coroutine: Coroutine[Any, Any, R]) -> R:
    """Drive a coroutine on the background loop and block until its value is there.

    Context variables are those of the caller. Ctrl-C cancels the coroutine and waits for its
    clean-up before it is raised again.
    """
    call = _Call(coroutine, contextvars.copy_context())
    try:
        return call.value.result()
    except KeyboardInterrupt:
        call.cancel()
        raise


@contextlib.contextmanager
def overhearing(listener: Callable[[object], None]) -> Iterator[None]:
    """Events of the block go to `listener` alone: it passes on what whoever listened before
    (`listening`) has to hear."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # collected unfinished, in another context
            _listener.reset(token)


_END = object()
_CLEAN_UP_SECONDS = 10.0
_listener: contextvars.ContextVar[Callable[[object], None] | None] = contextvars.ContextVar(
    "onrecord_listener", default=None
)

listening = _listener.get
"""Who streams the call under way, or None. The variable's own method: every call asks."""

_beside: contextvars.ContextVar[bool] = contextvars.ContextVar("onrecord_beside", default=False)


class _Call(Generic[R]):
    """A coroutine under way on a loop in another thread."""

    def __init__(self, coroutine: Coroutine[Any, Any, R], context: contextvars.Context) -> None:
        self.value: concurrent.futures.Future[R] = concurrent.futures.Future()
        # A synchronous helper called inside a flow may block the background loop's own thread:
        # waiting for that same loop would never end, so this call, and every call inside it, gets
        # a loop of its own.
        if context.get(_beside, False) or _Loop.is_this_thread():
            context.run(_beside.set, True)
            self._loop, self._thread = _start_loop(self.value)
        else:
            self._loop, self._thread = _Loop.current()
        self._loop.call_soon_threadsafe(self._begin, coroutine, context)

    def _begin(self, coroutine: Coroutine[Any, Any, R], context: contextvars.Context) -> None:
        self._task = self._loop.create_task(_settle(coroutine, self.value), context=context)

    def cancel(self) -> None:
        """Cancel the coroutine if it has not ended, and wait for its clean-up."""
        if self.value.done():
            return
        with contextlib.suppress(RuntimeError):  # it has just ended, and its loop is closed
            self._loop.call_soon_threadsafe(lambda: self._task.cancel())
        # A forgotten stream may be collected on any thread, the one that has to clean up too.
        if threading.current_thread() is not self._thread:
            concurrent.futures.wait([self.value], timeout=_CLEAN_UP_SECONDS)


class _Loop:
    """The background loop of this process. A forked child has none of its parent's threads, so the
    loop is remembered together with the process it was started in."""

    _lock = threading.Lock()
    _running: tuple[int, asyncio.AbstractEventLoop, threading.Thread] | None = None

    @classmethod
    def current(cls) -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
        with cls._lock:
            running = cls._running
            if running is None or running[0] != os.getpid() or not running[2].is_alive():
                never: concurrent.futures.Future[None] = concurrent.futures.Future()
                running = cls._running = (os.getpid(), *_start_loop(never))
            return running[1:]

    @classmethod
    def is_this_thread(cls) -> bool:
        running = cls._running
        return running is not None and running[::2] == (os.getpid(), threading.current_thread())


def _start_loop(
    until: concurrent.futures.Future[Any],
) -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    """A loop in a thread of its own, until the future is done."""
    runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)  # its clean-up is asyncio.run's
    loop = runner.get_loop()

    def drive() -> None:
        with runner:
            while not until.done():
                # asyncio lets an exit in any task end the loop. Here it belongs to the caller who
                # waits for that task, and the loop to everybody.
                with contextlib.suppress(SystemExit, KeyboardInterrupt):
                    loop.run_forever()

    until.add_done_callback(lambda _: loop.stop())  # it is settled on the loop's own thread
    thread = threading.Thread(target=drive, name="onrecord", daemon=True)
    thread.start()
    return loop, thread


async def _settle(coroutine: Coroutine[Any, Any, R], future: concurrent.futures.Future[R]) -> None:
    try:
        future.set_result(await coroutine)
    except BaseException as error:  # the future carries it to the caller, an exit too
        future.set_exception(error)


async def _cancel(task: asyncio.Task[Any]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
