"""`gather`: several calls at once, so many at a time.

    pages = await on.gather((read(url) for url in urls), concurrent=8)

Values come in the order of the calls. The first failure ends the rest and is raised. A call that
waits for a person does not: the others go on to their ends, and then the flow waits for all
answers together.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from onrecord.calling import Operation
from onrecord.errors import UsageError
from onrecord.messages import Question
from onrecord.records.call import PauseSignal, is_pause

R = TypeVar("R")


@Operation
async def gather(
    *calls: Awaitable[R] | Iterable[Awaitable[R]], concurrent: int | None = None
) -> list[R]:
    """What several calls give, in their order, made at once: `concurrent` at a time, or all.

    `calls`: awaitables, or iterables of them, of which each is taken when its turn comes: a
    generator of a million calls never holds more than `concurrent`. Raises the first error; calls
    under way are cancelled then, and the others are not begun. Raises UsageError for what cannot be
    awaited.
    """
    several = _Several(calls)
    workers: list[asyncio.Future[None]] = []
    try:
        if concurrent is not None and (type(concurrent) is not int or concurrent < 1):
            raise UsageError(f"concurrent={concurrent!r} calls nobody", cure="Give 1 or more.")
        begun = several.begin(concurrent)
        workers += (asyncio.ensure_future(several.work()) for _ in range(begun))
        if workers:
            await asyncio.gather(*workers)
    except BaseException:
        if under_way := [each for each in workers if not each.done()]:
            for each in under_way:
                each.cancel()
            await asyncio.wait(under_way)
        several.leave()
        raise
    if several.questions:
        raise PauseSignal(*several.questions)
    return [several.values[at] for at in range(len(several.values))]


class _Several:
    """Calls that are made by workers, each taking the next one."""

    def __init__(self, calls: Sequence[Any]) -> None:
        self.values: dict[int, Any] = {}
        self.questions: list[Question] = []
        self._left: Iterator[tuple[int, Any]] = enumerate(_each(calls))
        self._given = [each for each in calls if not isinstance(each, Iterator)]
        self._first: list[tuple[int, Any]] = []

    def begin(self, most: int | None) -> int:
        """Take the calls that are made first, as many as may be made at once: one for a worker."""
        for each in itertools.islice(self._left, most):
            self._first.append(each)  # one by one: what has been taken is closed if the next raises
        self._left = itertools.chain(self._first, self._left)
        return len(self._first)

    async def work(self) -> None:
        """Make one call after the other. Raises what one raises, a pause excepted."""
        for at, call in self._left:
            if not inspect.isawaitable(call):
                raise UsageError(
                    f"{call!r:.60} cannot be awaited", cure="Give calls: gather(look(1), look(2))."
                )
            try:
                self.values[at] = await call
            except BaseException as error:
                if not is_pause(error):
                    raise
                self.questions += _questions(error)

    def leave(self) -> None:
        """Close the calls that were given and not begun: nobody will await them."""
        for each in (*_each(self._given), *(call for _, call in self._first)):
            if inspect.iscoroutine(each) and inspect.getcoroutinestate(each) == "CORO_CREATED":
                each.close()


def _each(calls: Iterable[Any]) -> Iterator[Any]:
    for each in calls:
        if inspect.isawaitable(each) or not isinstance(each, Iterable):
            yield each
        else:
            yield from each


def _questions(error: BaseException) -> Iterator[Question]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _questions(each)
    else:
        yield from error.args
