"""The ledger: what may be spent, and what was.

    with budget(Limits(usd=0.20, calls=50)) as mine:     every call inside, sub-agents' too
        ...
    with budget(Limits(usd=5), key="customer-7", per="day"):   every process, until midnight UTC
        ...

Before a call its worst case is reserved in every budget around it, or in none; after the call what
it really took is settled. Spent plus reserved never passes a limit. A call that ends without a
bill, or never ends because its process was killed, stays spent at its worst case: nobody knows
what the provider charged.

What this cannot do: hold a provider to the worst case. One that charges more is recorded as it is
(`Spent.over_cost`), and the next call is refused.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import os
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar

import msgspec

from onrecord.errors import LimitError, UsageError
from onrecord.records.call import current
from onrecord.records.limits import Asked, Bill, Caps, Limits, Spent, Tally, Worst, refusal
from onrecord.records.views.wording import shortened

if TYPE_CHECKING:
    import sqlalchemy as sa

    from onrecord.records.ledger_page import Claim
    from onrecord.records.ledger_store import Accounts

T = TypeVar("T")


class Budget:
    """The budget of one `with budget(...)` block."""

    def __init__(self, limits: Limits, lock: threading.Lock, stored: _Stored | None) -> None:
        self.limits = limits
        self._caps = limits.caps
        self._stored = stored
        self._tally = Tally()
        self._lock = lock
        self._process = os.getpid()
        self._began = time.monotonic()
        self._steps = 0
        self._in_a_run = current() is not None

    @property
    def key(self) -> str | None:
        """The key it is kept under in the store; None for one of this process."""
        return self._stored.key if self._stored else None

    @property
    def ends(self) -> float:
        """When its seconds are over, by `time.monotonic()`; infinite without such a limit."""
        seconds = self.limits.seconds
        return math.inf if seconds is None else self._began + seconds

    def spent(self) -> Spent:
        """What is spent and reserved by now; with a key, by all processes together.

        Asks the store, and waits for its answer, where there is a key. Raises StorageError.
        """
        seconds = time.monotonic() - self._began
        if self._stored is not None:
            return msgspec.structs.replace(self._stored.spent(self._caps), seconds=seconds)
        with self._lock:
            return Spent(seconds=seconds, **msgspec.structs.asdict(self._tally))


class Hold:
    """What is reserved for one call under way. Say what the call took before the block ends;
    without a word the worst case stays spent."""

    __slots__ = ("_bill", "_claims", "_scope", "_worst")

    def __init__(self, scope: _Scope, worst: Worst) -> None:
        self._scope = scope
        self._worst = worst
        self._bill = _UNKNOWN
        self._claims: tuple[tuple[Accounts, Claim], ...] = ()

    def settle(self, tokens: int | None, cost: int | None) -> None:
        """The call took so many tokens (input and output) and micro-dollars; None: not known."""
        self._bill = Bill(cost, tokens)

    def give_back(self) -> None:
        """The call was not made: its request surely never reached the provider."""
        self._bill = _NOTHING

    async def __aenter__(self) -> Hold:
        scope, worst = self._scope, self._worst
        if scope.local:
            _reserve_here(scope.local, worst)
        if scope.stored:
            try:
                await self._reserve_in_store()
            except BaseException:
                if scope.local:
                    _settle_here(scope.local, worst, _NOTHING)
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._scope.local:
            _settle_here(self._scope.local, self._worst, self._bill)
        if self._claims:
            # All are on their way before the first is waited for: a cancelled wait loses none.
            settled = [accounts.settle(claim, self._bill) for accounts, claim in self._claims]
            for each in settled:
                await when_done(each)

    async def _reserve_in_store(self) -> None:
        try:
            for accounts, asked in _asked(self._scope.stored):
                claim = await accounts.reserve(asked, self._worst)
                self._claims = (*self._claims, (accounts, claim))
        except BaseException:
            for accounts, claim in self._claims:
                accounts.settle(claim, _NOTHING)
            raise


@contextmanager
def budget(
    limits: Limits,
    *,
    key: str | None = None,
    per: Literal["day"] | None = None,
    store: HasEngine | None = None,
) -> Iterator[Budget]:
    """Limit what the calls inside the block take, in this task and in all that it starts.

    Budgets are nested: a call must fit into every one around it. Without a key the budget is this
    process's, for this block. With a key it is kept in the project's store (or in `store`) and
    shared by all blocks and processes that name it, for good or, with `per="day"`, from midnight
    to midnight UTC; `limits` are those of this block, only what was spent is kept. `seconds` is the
    block's own, with and without a key.

    A call that does not fit raises LimitError before it is made. Raises UsageError for a budget
    that cannot be, StorageError where the store cannot be opened.
    """
    if not isinstance(limits, Limits):
        raise UsageError(
            f"a budget takes Limits, not {shortened(repr(limits), 80)}",
            cure="Write on.budget(on.Limits(usd=0.20)).",
        )
    around = _scope.get()
    stored = _stored(key, per, store)
    lock = around.lock if around is not None else threading.Lock()
    opened = Budget(limits, lock, stored)
    token = _scope.set(_Scope(opened, around))
    try:
        yield opened
    finally:
        _scope.reset(token)


def held(worst: Worst) -> AbstractAsyncContextManager[Hold]:
    """Reserve the worst case of one call for as long as the block lasts, then settle it.

    Do not `yield` to a caller inside the block. Raises LimitError before the call where it does
    not fit, and when a limit of seconds runs out inside; UsageError in a process that was forked
    inside a budget without a key.
    """
    scope = _scope.get()
    if scope is None:
        return _FREE
    hold = Hold(scope, worst)
    return hold if scope.soonest is None else _in_time(hold, scope.soonest)


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """For waiting that is no call: raises LimitError when a limit of seconds around runs out."""
    scope = _scope.get()
    if scope is None or scope.soonest is None:
        yield
    else:
        async with _in_time(_FREE, scope.soonest):
            yield


def take_step() -> None:
    """An agent takes its next turn. Raises LimitError where a budget around allows no more."""
    scope = _scope.get()
    if scope is None:
        return
    with scope.lock:
        for each in scope.stepped:
            if each._steps >= (each.limits.steps or 0):
                over = LimitError(
                    f"the {each.limits.steps:,} steps of a budget are taken",
                    where=f"the budget '{each.key}'" if each.key else "a budget of this process",
                    cure="Raise `steps` in its Limits.",
                )
                over.limit, over.budget = "steps", each
                raise over
        for each in scope.stepped:
            each._steps += 1


def book_again(before: Spent, steps: int) -> None:
    """A run goes on, and calls of it come from their records: budgets that were opened in the run,
    and are opened anew, have spent before what these took."""
    scope = _scope.get()
    if scope is None:
        return
    with scope.lock:
        for each in scope.local:
            if each._in_a_run:
                each._steps += steps
                each._tally.book(before)


def is_around(over: LimitError) -> bool:
    """Whether the budget that refused a call is around here too, and not only around that call."""
    scope = _scope.get()
    if scope is None or over.budget is None:
        return False
    return any(over.budget in (each, each.key) for each in (*scope.local, *scope.stored))


def longest_answer() -> int | None:
    """The bound, in tokens, of an answer whose request names none; None where none is needed."""
    scope = _scope.get()
    return None if scope is None else scope.max_output


def seconds_left() -> float | None:
    """How long until the first limit of seconds around runs out (0.0: it has); None without one."""
    scope = _scope.get()
    if scope is None or scope.soonest is None:
        return None
    return max(scope.soonest.ends - time.monotonic(), 0.0)


async def when_done(future: Future[T]) -> T:
    """The value of work in another thread. A caller who is cancelled leaves the work alone."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def wake(_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_finish, done)

    future.add_done_callback(wake)
    await done
    return future.result()


class HasEngine(Protocol):
    """A store: whatever has an engine."""

    @property
    def engine(self) -> sa.Engine:
        """SQLite or PostgreSQL."""


class _Stored(NamedTuple):
    """Where a budget with a key is kept."""

    accounts: Accounts
    key: str
    per: Literal["day"] | None

    def asked(self, caps: Caps) -> Asked:
        # The day is that of the reservation; its settlement goes where the reservation is.
        day = time.strftime("%Y-%m-%d", time.gmtime()) if self.per else ""
        return Asked(self.key, day, caps)

    def spent(self, caps: Caps) -> Spent:
        return self.accounts.spent(self.asked(caps))


class _Scope:
    """All budgets around, and what every call asks of them, found once."""

    __slots__ = ("local", "lock", "max_output", "soonest", "stepped", "stored")

    def __init__(self, opened: Budget, around: _Scope | None) -> None:
        self.lock = opened._lock
        self.local: tuple[Budget, ...] = around.local if around else ()
        self.stored: tuple[Budget, ...] = around.stored if around else ()
        if opened._stored:
            self.stored = (*self.stored, opened)
        else:
            self.local = (*self.local, opened)
        budgets = (*self.local, *self.stored)
        bounded = (each for each in budgets if each._caps[:2] != (None, None))
        self.max_output = min((each.limits.max_output for each in bounded), default=None)
        self.stepped = tuple(each for each in budgets if each.limits.steps is not None)
        first = min(budgets, key=lambda each: each.ends)
        self.soonest: Budget | None = None if first.ends == math.inf else first


class _Free(Hold):
    """No budget is around: nothing is reserved."""

    __slots__ = ()

    def __init__(self) -> None:
        pass

    def settle(self, tokens: int | None, cost: int | None) -> None:
        pass

    def give_back(self) -> None:
        pass

    async def __aenter__(self) -> Hold:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


_UNKNOWN = Bill(None, None)
_NOTHING = Bill(0, 0, calls=0)
_FREE = _Free()
_scope: contextvars.ContextVar[_Scope | None] = contextvars.ContextVar(
    "onrecord_budgets", default=None
)


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():  # it may have been cancelled
        done.set_result(None)


def _stored(key: str | None, per: Literal["day"] | None, store: HasEngine | None) -> _Stored | None:
    if per not in (None, "day"):
        raise UsageError(f"a budget per {per!r} is not known", cure='Say per="day", or nothing.')
    if key is None:
        if per is not None or store is not None:
            raise UsageError("a budget that is kept in the store needs a key", cure="Name key=.")
        return None
    if not isinstance(key, str) or not key:
        raise UsageError(f"the key of a budget is a text, not {key!r}", cure="Name whose it is.")
    from onrecord.records.ledger_store import accounts_of

    return _Stored(accounts_of(store.engine if store is not None else None), key, per)


def _reserve_here(budgets: tuple[Budget, ...], worst: Worst) -> None:
    """Reserve in all of these budgets of one process, or in none."""
    if budgets[0]._process != os.getpid():
        raise UsageError(
            "this process was forked inside a budget, which would be spent twice",
            cure='Give the budget a key, budget(..., key="…"): then processes share it.',
        )
    with budgets[0]._lock:  # nested budgets have one lock in common
        for each in budgets:
            if (limit := each._tally.short_of(each._caps, worst)) is not None:
                over = refusal(limit, each._caps, each._tally, worst)
                over.budget = each
                raise over
        for each in budgets:
            each._tally.reserve(worst)


def _settle_here(budgets: tuple[Budget, ...], worst: Worst, bill: Bill) -> None:
    with budgets[0]._lock:
        for each in budgets:
            each._tally.settle(worst, bill)


def _asked(budgets: tuple[Budget, ...]) -> Iterable[tuple[Accounts, list[Asked]]]:
    """What to reserve in which store. A budget named twice is charged once, within both limits."""
    stores: dict[Accounts, dict[tuple[str, str], Asked]] = {}
    for each in budgets:
        if each._stored is not None:
            asked = each._stored.asked(each._caps)
            of_store = stores.setdefault(each._stored.accounts, {})
            known = of_store.get(asked[:2])
            caps = _tighter(known.caps, asked.caps) if known else asked.caps
            of_store[asked[:2]] = asked._replace(caps=caps)
    return [(accounts, list(asked.values())) for accounts, asked in stores.items()]


def _tighter(one: Caps, other: Caps) -> Caps:
    pairs = zip(one, other, strict=True)
    return Caps(*(min((x for x in pair if x is not None), default=None) for pair in pairs))


@asynccontextmanager
async def _in_time(hold: Hold, soonest: Budget) -> AsyncIterator[Hold]:
    over = LimitError(
        f"the {soonest.limits.seconds:g} seconds of a budget are over",
        where=f"the budget '{soonest.key}'" if soonest.key else "a budget of this process",
        cure="Raise `seconds` in its Limits.",
    )
    over.limit, over.budget = "seconds", soonest
    if soonest.ends <= time.monotonic():
        raise over
    async with hold:
        left = soonest.ends - time.monotonic()
        if left <= 0:  # reserving took what was left
            hold.give_back()
            raise over
        try:
            async with asyncio.timeout(left) as limit:
                yield hold
        except TimeoutError:
            if limit.expired():
                raise over from None
            raise
