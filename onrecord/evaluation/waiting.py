"""Waiting for a user's code: beside the event loop, and no longer than it may take.

A plain function runs in a thread, where it holds nobody up, and what is late is not waited for. It
may go on all the same: a plain function cannot be stopped, nor can one that takes no notice of
being cancelled. `left` says what it was at.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from onrecord.calling import Operation
from onrecord.threads import begin

R = TypeVar("R")


class Late(Exception):
    """Work took longer than it may."""


class Clock:
    """How long some code worked, in seconds: those in which its answer was there and nobody came
    for it do not count."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began: float | None = None

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if self._began is not None:
            self.seconds += time.perf_counter() - self._began
        self._began = None

    def has_ended_within(self, seconds: float) -> bool:
        """Whether the code is not at work any more, and took no longer."""
        return self._began is None and 0 < self.seconds <= seconds


class Waiting:
    """The calls of one thing that a user made."""

    def __init__(self) -> None:
        self._begun: list[tuple[str, _Work]] = []

    def left(self) -> list[str]:
        """The cases that it is still at work on, though nobody waits for it any more."""
        return list(dict.fromkeys(case for case, work in self._begun if not work.done()))

    async def in_thread(self, case: str, clock: Clock, function: Callable[..., R], *args: Any) -> R:
        """What a plain function gives. Its thread is its own: one that never ends takes no place of
        another, and does not keep the process from ending."""

        def timed() -> R:
            with clock:
                return function(*args)

        work = begin(getattr(function, "__name__", case), timed)
        self._keep(case, work)
        return await asyncio.wrap_future(work)

    async def at_most(
        self, seconds: float | None, case: str, work: Coroutine[Any, Any, R], clock: Clock
    ) -> R:
        """What the work gives. Raises Late where that takes longer than so many seconds: then it is
        cancelled, and where it goes on nobody waits for it. None: as long as it takes."""
        if seconds is None:
            return await work
        task = asyncio.ensure_future(_outcome(work))
        try:
            await asyncio.wait([task], timeout=seconds)
            if not task.done() and clock.has_ended_within(seconds):  # the loop was held up
                await asyncio.wait([task], timeout=_CLEAN_UP_SECONDS)
        finally:
            is_late = not task.done()
            if is_late:
                task.cancel()
                await asyncio.wait([task], timeout=_CLEAN_UP_SECONDS)
                self._keep(case, task)
        if is_late:
            raise Late
        ended: tuple[R, None] | tuple[None, BaseException] = task.result()
        if ended[1] is not None:
            raise ended[1]
        return ended[0]

    def _keep(self, case: str, work: _Work) -> None:
        self._begun = [each for each in self._begun if not each[1].done()] + [(case, work)]


class _Work(Protocol):
    def done(self) -> bool: ...


async def _outcome(
    work: Coroutine[Any, Any, R],
) -> tuple[R, None] | tuple[None, BaseException]:
    """What came of it, as a value: an exit that leaves a task ends the loop that runs it."""
    try:
        return await work, None
    except BaseException as error:
        return None, error


def is_asynchronous(called: Any) -> bool:
    """Whether calling it gives something to wait for: an operation, a coroutine function, an object
    that is called like one, or a partial of these."""
    while isinstance(called, functools.partial):
        called = called.func
    if isinstance(called, Operation) or inspect.iscoroutinefunction(called):
        return True
    return inspect.iscoroutinefunction(getattr(type(called), "__call__", None))  # noqa: B004  # its code


_CLEAN_UP_SECONDS = 1.0
"""So long may work take to end after it was cancelled."""
