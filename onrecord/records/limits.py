"""The values of the ledger: what may be spent, what one call can take, the sums of a budget."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import msgspec

from onrecord.errors import LimitError, UsageError
from onrecord.records.views.wording import dollars

MOST = 10**15  # micro-dollars, tokens, calls: sums of them stay within 64 bits


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a budget allows: dollars, tokens (input and output together), calls (every attempt
    counts), steps (turns of agents, sub-agents' too), seconds. None leaves one open; at least one
    must be named. Steps and seconds are those of the block, also where it has a key.

    `max_output` is the longest answer, in tokens, of a call that names no `max_tokens` while
    dollars or tokens are limited: it is sent along, because a worst case needs a bound.
    `seconds` counts from the beginning of the block; a call under way then is cancelled.
    Raises UsageError for a limit that is not a finite number above 0.
    """

    usd: float | Decimal | None = None
    tokens: int | None = None
    calls: int | None = None
    steps: int | None = None
    seconds: float | None = None
    max_output: int = 4096

    def __post_init__(self) -> None:
        limits = {"usd": self.usd, "tokens": self.tokens, "calls": self.calls}
        limits |= {"steps": self.steps, "seconds": self.seconds}
        named = {name: value for name, value in limits.items() if value is not None}
        if not named:
            raise UsageError(
                "Limits without a limit", cure="Name usd, tokens, calls, steps or seconds."
            )
        for name, value in {**named, "max_output": self.max_output}.items():
            _check(name, value, whole=name not in ("usd", "seconds"))

    @property
    def caps(self) -> Caps:
        """The limits that are reserved against, in micro-dollars, tokens and calls."""
        cost = None if self.usd is None else int(_exact(self.usd) * 1_000_000)
        return Caps(cost, self.tokens, self.calls)


class Caps(NamedTuple):
    """The most that a budget may hold: micro-dollars, tokens, calls; None is no limit."""

    cost: int | None
    tokens: int | None
    calls: int | None


class Worst(msgspec.Struct, frozen=True, gc=False):
    """The most that one call can take: micro-dollars, rounded up (None: its price is not known),
    and tokens, input and output together (0: nothing bounds them, because nobody limits tokens or
    dollars)."""

    cost: int | None
    tokens: int

    def __post_init__(self) -> None:
        if self.tokens < 0 or (self.cost is not None and self.cost < 0):
            raise ValueError(f"a worst case below 0: {self}")


class Bill(msgspec.Struct, frozen=True, gc=False):
    """What one call took: micro-dollars and tokens (None: not known; below 0 is taken as 0), and
    how often it counts."""

    cost: int | None
    tokens: int | None
    calls: int = 1


class Spent(msgspec.Struct, frozen=True):
    """What a budget has spent, and what is reserved for calls under way.

    Costs are in micro-dollars; `seconds` since its block began. Included in what is spent:
    `lost` calls, whose process died before it settled them, at their worst case; `over_cost` and
    `over_tokens`, by which calls took more than their worst case (0 where nothing limits tokens or
    dollars: there is no worst case). `unpriced` calls were made while no price was known: they are
    not in `cost`.
    """

    cost: int = 0
    tokens: int = 0
    calls: int = 0
    seconds: float = 0.0
    reserved_cost: int = 0
    reserved_tokens: int = 0
    reserved_calls: int = 0
    over_cost: int = 0
    over_tokens: int = 0
    unpriced: int = 0
    lost: int = 0


class Tally(msgspec.Struct):
    """The sums of one budget; the fields are those of Spent."""

    cost: int = 0
    tokens: int = 0
    calls: int = 0
    reserved_cost: int = 0
    reserved_tokens: int = 0
    reserved_calls: int = 0
    over_cost: int = 0
    over_tokens: int = 0
    unpriced: int = 0

    def short_of(self, caps: Caps, worst: Worst) -> str | None:
        """The first limit that a call could pass, by its name in Limits; None where it fits."""
        cost, tokens, calls = caps
        if calls is not None and self.calls + self.reserved_calls >= calls:
            return "calls"
        if tokens is not None and self.tokens + self.reserved_tokens + worst.tokens > tokens:
            return "tokens"
        if cost is None:
            return None
        fits = worst.cost is not None and self.cost + self.reserved_cost + worst.cost <= cost
        return None if fits else "usd"

    def reserve(self, worst: Worst) -> None:
        """Put the worst case of one call aside."""
        self.reserved_cost += worst.cost or 0
        self.reserved_tokens += worst.tokens
        self.reserved_calls += 1

    def book(self, before: Spent) -> None:
        """Book calls that were made, and paid, before this budget was opened."""
        self.cost += before.cost
        self.tokens += before.tokens
        self.calls += before.calls

    def settle(self, worst: Worst, bill: Bill) -> None:
        """Take a call's worst case back and book what it took; the worst where that is unknown."""
        self.reserved_cost -= worst.cost or 0
        self.reserved_tokens -= worst.tokens
        self.reserved_calls -= 1
        cost = worst.cost if bill.cost is None else bill.cost
        tokens = worst.tokens if bill.tokens is None else bill.tokens
        if tokens < 0:
            tokens = 0
        if cost is None:
            self.unpriced += bill.calls
            cost = 0
        elif cost < 0:
            cost = 0
        elif worst.cost is not None and cost > worst.cost:
            self.over_cost += cost - worst.cost
        if 0 < worst.tokens < tokens:
            self.over_tokens += tokens - worst.tokens
        self.cost += cost
        self.tokens += tokens
        self.calls += bill.calls


class Asked(NamedTuple):
    """A stored budget that a call asks: its key, its period ("" or a day) and its limits."""

    key: str
    period: str
    caps: Caps


def refusal(limit: str, caps: Caps, tally: Tally, worst: Worst, *, where: str = "") -> LimitError:
    """The error of a call that could pass `limit`: how much is spent, reserved and asked for."""
    error = _refusal(limit, caps, tally, worst, where or "a budget of this process")
    error.limit = limit
    return error


def _refusal(limit: str, caps: Caps, tally: Tally, worst: Worst, where: str) -> LimitError:
    if limit == "usd" and worst.cost is None:
        return LimitError(
            "the price of the call is not known, and a budget limits dollars",
            where=where,
            cure="Set the model's price under [prices] in onrecord.toml, or limit tokens.",
        )
    allowed, spent, reserved, asked = {
        "usd": (caps.cost, tally.cost, tally.reserved_cost, worst.cost),
        "tokens": (caps.tokens, tally.tokens, tally.reserved_tokens, worst.tokens),
        "calls": (caps.calls, tally.calls, tally.reserved_calls, 1),
    }[limit]
    said = dollars if limit == "usd" else "{:,}".format
    unit = "" if limit == "usd" else f" {limit}"
    cure = f"Raise `{limit}` in its Limits."
    if limit != "calls":
        cure = f"Raise `{limit}` in its Limits, or bound the answer with a smaller max_tokens."
    return LimitError(
        f"the call could take {said(asked or 0)}{unit}, and of {said(allowed or 0)}{unit} "
        f"{said(spent)} are spent and {said(reserved)} reserved for calls that are not settled",
        where=where,
        cure=cure,
    )


def _check(name: str, value: float | Decimal, *, whole: bool) -> None:
    if problem := _problem(name, value, whole):
        cure = "Name a number above 0, or leave the limit out to have none."
        raise UsageError(f"the limit {name}={value!r} {problem}", cure=cure)


def _problem(name: str, value: float | Decimal, whole: bool) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return "is no number"
    exact = _exact(value)
    if not exact.is_finite() or exact <= 0:
        return "is not a finite number above 0"
    if whole and not isinstance(value, int):
        return "is not a whole number"
    if name == "usd":
        exact *= 1_000_000
        if exact < 1:
            return "is less than a millionth of a dollar, the unit of the ledger"
    return "is more than the ledger can count" if exact > MOST else ""


def _exact(value: float | Decimal) -> Decimal:
    """0.1 as a tenth: what was written, not the nearest number to the base 2."""
    return Decimal(str(value)) if isinstance(value, float) else Decimal(value)
