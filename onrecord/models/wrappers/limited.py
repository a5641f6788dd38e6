"""`limited(model)`: so many requests at once, and so many requests and tokens a minute.

    wait in line -> a free place, room in the minute -> ask -> leave the place to the next one

One line for all tasks, event loops and threads of the process: first come, first served. A minute
is any sixty seconds, not one of the clock's, so that no two bursts meet at its turn.

The line is our own: an asyncio.Semaphore and aiolimiter's AsyncLimiter belong to one event loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count

from onrecord.errors import UsageError
from onrecord.messages import Text, ToolCall, ToolResult, Usage
from onrecord.models.calling import complete
from onrecord.models.model import Event, Model, Request
from onrecord.models.names import model as model_named
from onrecord.records.ledger import in_time


class Limited:
    """A model that is not asked faster than its limits say. Made by `limited`."""

    def __init__(self, model: str | Model, line: Line) -> None:
        self.wrapped = (model_named(model),)
        self.name = f"limited:{self.wrapped[0].name}"
        self._line = line
        self._answer = 0.0  # tokens of an answer, as a moving average

    @property
    def version(self) -> str:
        """That of the model behind it."""
        return self.wrapped[0].version

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """The model's answer, as soon as its turn comes. Raises ModelError; LimitError where a
        limit of seconds around runs out while it waits."""
        async with self._line.place(self._estimate(request)) as place:
            completion = await complete(self.wrapped[0], request)
            self._learn(completion.usage)
            if taken := completion.usage.input + completion.usage.output:
                place.took(taken)
        yield completion

    def __repr__(self) -> str:
        return f"limited({self.wrapped[0]!r})"

    def _estimate(self, request: Request) -> int:
        """How many tokens a request will take, before anybody has counted them."""
        longest = request.parameters.max_tokens
        answer = int(self._answer)
        if longest is not None:
            answer = min(answer, longest) if answer else longest
        return _read(request) + answer

    def _learn(self, usage: Usage) -> None:
        if usage.output:
            known = self._answer
            self._answer = known + (usage.output - known) / 8 if known else usage.output


def limited(
    model: str | Model,
    *,
    concurrent: int | None = 8,
    per_minute: int | None = None,
    tokens_per_minute: int | None = None,
) -> Limited:
    """`model`, asked by so many at once: `limited("openai:gpt-6-luna", concurrent=8)`.

    `concurrent`: requests under way at the same time. `per_minute`: requests begun in any sixty
    seconds. `tokens_per_minute`: tokens, read and written, of the requests begun in any sixty
    seconds; an estimate until the answer is there (a token for four bytes of text, and an answer as
    long as those before), then what was counted. So the minute can hold more than allowed, and the
    next ones wait for it. None: not limited.

    The limits belong to the object, in one process: make it once, and pass it to whoever asks. All
    its tasks, event loops and threads wait in one line. The waiting is in the time of the wrapper's
    record, and counts against `Limits(seconds=…)`; nothing is reserved while it lasts.
    """
    limits = {
        "concurrent": concurrent,
        "per_minute": per_minute,
        "tokens_per_minute": tokens_per_minute,
    }
    for name, limit in limits.items():
        if limit is not None and (
            isinstance(limit, bool) or not isinstance(limit, int) or limit < 1
        ):
            raise UsageError(f"{name}={limit!r} limits nothing", cure="Give at least 1, or None.")
    return Limited(model, Line(concurrent, Minute(per_minute), Minute(tokens_per_minute)))


class Minute:
    """What was taken in the last sixty seconds, against a limit; None: there is none."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._taken: deque[_Taken] = deque()
        self._sum = 0

    def wait(self, amount: int, now: float) -> float:
        """Seconds until so much has room; 0.0: now. What is more than the limit has it alone."""
        if self._limit is None:
            return 0.0
        self._forget(now)
        over = self._sum + amount - self._limit
        if over <= 0 or not self._taken:
            return 0.0
        for each in self._taken:
            over -= each.amount
            if over <= 0:
                return each.at + _MINUTE - now
        return self._taken[-1].at + _MINUTE - now

    def take(self, amount: int, now: float) -> _Taken:
        """So much is taken now."""
        taken = _Taken(now, amount)
        if self._limit is not None:
            self._taken.append(taken)
            self._sum += amount
        return taken

    def correct(self, taken: _Taken, amount: int) -> None:
        """What was taken turned out to be another amount."""
        if not taken.is_over:
            self._sum += amount - taken.amount
        taken.amount = amount

    def _forget(self, now: float) -> None:
        while self._taken and self._taken[0].at + _MINUTE <= now:
            over = self._taken.popleft()
            over.is_over = True
            self._sum -= over.amount


class Place:
    """A place that a call has taken."""

    def __init__(self, line: Line, tokens: _Taken) -> None:
        self._line = line
        self._tokens = tokens

    def took(self, tokens: int) -> None:
        """The call took so many tokens."""
        self._line.correct(self._tokens, tokens)


class Line:
    """First come, first served, over all event loops and threads of the process."""

    def __init__(
        self,
        concurrent: int | None,
        requests: Minute,
        tokens: Minute,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free = concurrent
        self._requests = requests
        self._tokens = tokens
        self._clock = clock
        # Reentrant: a forgotten call may be collected, and leave the line, while it is held.
        self._lock = threading.RLock()
        self._numbers = count()
        self._waiting: dict[int, _Waiting] = {}  # in the order in which they came

    @asynccontextmanager
    async def place(self, tokens: int) -> AsyncIterator[Place]:
        """Wait for a place and have it as long as the block lasts. Raises LimitError where a limit
        of seconds around runs out before."""
        async with in_time():
            place = await self._enter(tokens)
        try:
            yield place
        finally:
            with self._lock:
                if self._free is not None:
                    self._free += 1
                self._wake()

    def correct(self, taken: _Taken, tokens: int) -> None:
        """What a call took of the minute's tokens was another amount."""
        with self._lock:
            self._tokens.correct(taken, tokens)
            self._wake()

    async def _enter(self, tokens: int) -> Place:
        me = _Waiting(asyncio.get_running_loop())
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = me
        try:
            while True:
                with self._lock:
                    me.woken.clear()
                    wait = self._turn(number, tokens)
                    if wait == 0.0:
                        return self._take(tokens)
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await me.woken.wait()
        finally:
            with self._lock:  # whether it got its place or gave up: the next one is first now
                self._waiting.pop(number, None)
                self._wake()

    def _turn(self, number: int, tokens: int) -> float | None:
        """Seconds until it is worth another look; 0.0: it is its turn; None: others wake it."""
        if self._first() != number or self._free == 0:
            return None
        now = self._clock()
        return max(self._requests.wait(1, now), self._tokens.wait(tokens, now))

    def _take(self, tokens: int) -> Place:
        now = self._clock()
        if self._free is not None:
            self._free -= 1
        self._requests.take(1, now)
        return Place(self, self._tokens.take(tokens, now))

    def _first(self) -> int | None:
        """The first in line. Whose event loop was closed while they waited never comes back."""
        for number, waiting in list(self._waiting.items()):
            if not waiting.loop.is_closed():
                return number
            del self._waiting[number]
        return None

    def _wake(self) -> None:
        if (first := self._first()) is not None:
            waiting = self._waiting[first]
            with suppress(RuntimeError):  # its loop was closed this very moment
                waiting.loop.call_soon_threadsafe(waiting.woken.set)


class _Waiting:
    """Somebody in line."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.woken = asyncio.Event()


class _Taken:
    """An amount, and when it was taken."""

    def __init__(self, at: float, amount: int) -> None:
        self.at = at
        self.amount = amount
        self.is_over = False


def _read(request: Request) -> int:
    """About the tokens of what a request says."""
    size = 0
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, Text | ToolResult):
                size += len(part.text.encode("utf-8", "replace"))
            elif isinstance(part, ToolCall):
                size += len(part.arguments.encode("utf-8", "replace"))
    return size // 4 + 1


_MINUTE = 60.0
