"""Asking a judge about many things at once, with a bar for a person who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from onrecord.messages import Progress
from onrecord.progress import shown

T = TypeVar("T")
R = TypeVar("R")


async def many(
    ask: Callable[[T], Awaitable[R]], things: Sequence[T], stage: str, concurrent: int
) -> list[R]:
    """What `ask` gives for each, in their order; the first error ends the rest."""
    found: dict[int, R] = {}
    waiting = iter(enumerate(things))
    with shown() as report:
        report(Progress(stage, 0, len(things)))

        async def work() -> None:
            for at, thing in waiting:
                found[at] = await ask(thing)
                report(Progress(stage, len(found), len(things)))

        tasks = [asyncio.ensure_future(work()) for _ in range(min(concurrent, len(things)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return [found[at] for at in range(len(things))]
