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
import contextvars
import copy
import functools
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

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
        queue: asyncio.Queue[Any] = asyncio.Queue()
        token = _listener.set(queue.put_nowait)
        try:
            task = asyncio.create_task(self._start())
        finally:
            _listener.reset(token)
        task.add_done_callback(lambda _: queue.put_nowait(_END))
        try:
            while (event := await queue.get()) is not _END:
                yield event
            yield Result(task.result())
        finally:
            await _cancel(task)

    def __iter__(self) -> Iterator[Any]:
        events = cast("Any", self.__aiter__())
        try:
            while (event := run(_next(events))) is not _END:
                yield event
        finally:
            run(events.aclose())


def emit(event: object) -> None:
    """Tell whoever streams the call under way that something happened; nobody listening is fine."""
    listener = _listener.get()
    if listener is not None:
        listener(event)


def listening() -> bool:
    """Whether anybody streams the call under way."""
    return _listener.get() is not None


def run(coroutine: Coroutine[Any, Any, R]) -> R:
    """Drive a coroutine on the background loop and block until its value is there.

    Context variables are those of the caller. Ctrl-C cancels the coroutine and waits for its
    clean-up before it is raised again.
    """
    context = contextvars.copy_context()
    if threading.current_thread() is _Loop.thread_of(os.getpid()):
        return _run_beside(coroutine, context)
    loop = _Loop.current()
    future: concurrent.futures.Future[R] = concurrent.futures.Future()
    cell: list[asyncio.Task[None]] = []

    def start() -> None:
        cell.append(loop.create_task(_settle(coroutine, future), context=context))

    loop.call_soon_threadsafe(start, context=context)
    try:
        return future.result()
    except KeyboardInterrupt:
        loop.call_soon_threadsafe(lambda: cell and cell[0].cancel())
        concurrent.futures.wait([future], timeout=_CLEAN_UP_SECONDS)
        raise


_END = object()
_CLEAN_UP_SECONDS = 10.0
_listener: contextvars.ContextVar[Callable[[object], None] | None] = contextvars.ContextVar(
    "onrecord_listener", default=None
)


class _Loop:
    """The background loop of this process. A forked child has none of its parent's threads, so the
    loop is remembered together with the process it was started in."""

    _lock = threading.Lock()
    _running: tuple[int, asyncio.AbstractEventLoop, threading.Thread] | None = None

    @classmethod
    def current(cls) -> asyncio.AbstractEventLoop:
        with cls._lock:
            if cls._running is None or cls._running[0] != os.getpid():
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name="onrecord", daemon=True)
                thread.start()
                cls._running = (os.getpid(), loop, thread)
            return cls._running[1]

    @classmethod
    def thread_of(cls, pid: int) -> threading.Thread | None:
        running = cls._running
        return running[2] if running is not None and running[0] == pid else None


def _run_beside(coroutine: Coroutine[Any, Any, R], context: contextvars.Context) -> R:
    # A synchronous helper called inside a flow calls `.run` on the loop's own thread: waiting for
    # that same loop would never end, so this one call gets a loop of its own.
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(context.run, asyncio.run, coroutine).result()


async def _settle(coroutine: Coroutine[Any, Any, R], future: concurrent.futures.Future[R]) -> None:
    try:
        future.set_result(await coroutine)
    except BaseException as error:
        future.set_exception(error)
        if not isinstance(error, Exception | asyncio.CancelledError):
            raise


async def _cancel(task: asyncio.Task[Any]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait([task])


async def _next(events: Any) -> Any:
    return await anext(events, _END)
