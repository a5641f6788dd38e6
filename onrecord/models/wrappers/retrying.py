"""`retry(model)`: asked again where that may help, within one budget of attempts and seconds.

    asked -> an answer
          -> no connection, time-out, failing or busy server: wait, ask again
          -> any other failure: raised, for asking again would give it again

A wait is what the server asks for (Retry-After), else it doubles from attempt to attempt. Both are
jittered, so that callers who failed together do not come back together.

The loop is our own. stamina, the library for it, waits as long as a hook says even where that is
longer than its time limit, does not end an attempt that hangs, and has switches for the whole
process, which another part of the application may turn.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator
from datetime import timedelta

from onrecord.errors import ModelUnavailableError, UsageError
from onrecord.messages import Completion
from onrecord.models.http.failures import note
from onrecord.models.model import Event, Model, Request
from onrecord.models.names import model as model_named
from onrecord.models.wrappers.attempting import Attempts
from onrecord.records.ledger import in_time


class Retrying:
    """A model that is asked again after a failure. Made by `retry`."""

    def __init__(self, model: str | Model, attempts: int, seconds: float, hold: bool) -> None:
        self.wrapped = (model_named(model),)
        self.name = f"retry:{self.wrapped[0].name}"
        self._attempts = attempts
        self._seconds = seconds
        self._hold = hold

    @property
    def version(self) -> str:
        """That of the model behind it."""
        return self.wrapped[0].version

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """The model's answer. Raises ModelError, the last attempt's, with how many there were."""
        yield await self._answer(request)

    def __repr__(self) -> str:
        return f"retry({self.wrapped[0]!r}, attempts={self._attempts}, seconds={self._seconds:g})"

    async def _answer(self, request: Request) -> Completion:
        clock = asyncio.get_running_loop().time
        ends = clock() + self._seconds
        attempts = Attempts(hold=self._hold)
        number = 1
        while True:
            try:
                completion = await self._attempt(attempts, request, number, ends)
            except ModelUnavailableError as error:
                wait = _wait(number, error.retry_after)
                reason = self._enough(attempts, number, wait, ends - clock())
                if reason is not None:
                    raise _given_up(error, *reason) from error
            else:
                attempts.pass_on()
                return completion
            async with in_time():
                await asyncio.sleep(wait)
            number += 1

    async def _attempt(
        self, attempts: Attempts, request: Request, number: int, ends: float
    ) -> Completion:
        tag = "retry" if number > 1 else ""
        try:
            async with asyncio.timeout_at(None if ends == math.inf else ends) as limit:
                return await attempts.ask(self.wrapped[0], request, tag=tag)
        except TimeoutError:
            if not limit.expired():
                raise
            raise ModelUnavailableError(
                f"there was no whole answer within {self._seconds:g} seconds",
                where=self.name,
                cure="Try again later, or give retry more `seconds`.",
            ) from None

    def _enough(
        self, attempts: Attempts, number: int, wait: float, left: float
    ) -> tuple[str, str] | None:
        """Why there is no further attempt, and what to do about it; None: there is one."""
        times = "once" if number == 1 else f"{number} times"
        if attempts.begun:
            return (
                f"asked {times}; a part of the answer was passed on already, and another attempt"
                " would not go on with it",
                "Ask again, or let retry(..., hold=True) hold an answer back until it is whole.",
            )
        if number >= self._attempts:
            return f"asked {times}", "Try again later, or allow more `attempts`."
        if left <= 0:
            return f"asked {times}", ""
        if wait >= left:
            return (
                f"asked {times}; the next attempt would be in {wait:.1f} seconds, and retry has"
                f" {left:.1f} left of its {self._seconds:g}",
                "Try again later, or give retry more `seconds`.",
            )
        return None


def retry(
    model: str | Model,
    *,
    attempts: int = 3,
    seconds: float | timedelta | None = 600,
    hold: bool = False,
) -> Retrying:
    """`model`, asked again where that may help: `retry("openai:gpt-6-luna", attempts=3)`.

    One budget for a call: at most `attempts` of them (the first included) in at most `seconds`, the
    waits between them included; an attempt under way is ended then. None: no limit of seconds.
    Asked again is after a ModelUnavailableError only. What a server asks to wait (Retry-After) is
    waited for, and where that is longer than the seconds left, the call fails at once.

    Each attempt is a record, with its error, and reserves for itself in the budgets around. From
    the second on they have the tag "retry".

    Nothing is streamed twice: once words of an answer were passed on to whoever streams the call,
    its failure is raised. `hold=True` passes them on when the answer is whole, so that it can be
    asked again until then. Where nobody streams there is no difference.
    """
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
        raise UsageError(f"attempts={attempts!r} is no number of attempts", cure="Give at least 1.")
    length = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if length is None:
        length = math.inf
    elif not (isinstance(length, int | float) and length > 0):
        raise UsageError(
            f"seconds={seconds!r} is no time for a call", cure="Give seconds above 0, or None."
        )
    return Retrying(model, attempts, length, hold)


def _wait(number: int, asked: float | None) -> float:
    """Seconds until the next attempt, after attempt `number` (from 1)."""
    if asked is not None:  # never less than the server asks for
        return asked * random.uniform(1, 1 + _JITTER)
    longest = min(_LONGEST, _FIRST * 2.0 ** min(number - 1, 30))
    return random.uniform(longest / 2, longest)


def _given_up(error: ModelUnavailableError, why: str, cure: str) -> ModelUnavailableError:
    given_up = ModelUnavailableError(
        f"{error.what}; {why}", where=error.where, cure=cure or error.cure
    )
    return note(given_up, sent=error.sent, usage=error.usage, retry_after=error.retry_after)


_FIRST, _LONGEST = 0.5, 30.0
_JITTER = 0.1
