"""Blocking work beside the event loop, in threads that nobody has to wait for.

A pool's threads are joined when the process ends, so one call that never comes back would keep it
for ever. These are not: whoever gives up waiting is free, and so is the process at its end.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def begin(
    name: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
) -> concurrent.futures.Future[R]:
    """Call a function in a new thread called `name`, with the caller's context variables; the
    future carries what it returns or raises."""
    value: concurrent.futures.Future[R] = concurrent.futures.Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            value.set_result(context.run(function, *args, **kwargs))
        except (StopIteration, GeneratorExit) as error:  # what awaits takes these for its own end
            wrong = RuntimeError(f"{name} raised {type(error).__name__}")
            wrong.__cause__ = error
            value.set_exception(wrong)
        except BaseException as error:  # whoever waits gets it, an exit too
            value.set_exception(error)

    value.set_running_or_notify_cancel()  # whoever gives up does not settle it: the thread does
    threading.Thread(target=work, name=name, daemon=True).start()
    return value


async def in_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """What a plain function gives, called in a thread of its own. Who is cancelled while waiting
    leaves the thread alone: a plain function cannot be stopped."""
    name = getattr(function, "__name__", "onrecord")
    return await asyncio.wrap_future(begin(name, function, *args, **kwargs))
