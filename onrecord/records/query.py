"""Which records: the values that ask for them, and the totals that come back."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from onrecord.arguments import closest
from onrecord.errors import UsageError
from onrecord.messages import Usage
from onrecord.records.record import Kind, State, identity
from onrecord.records.views.wording import shortened


class _Spelled(msgspec.StructMeta):
    """Says which field was meant where somebody names one that there is not."""

    def __call__(cls, *args: Any, **fields: Any) -> Any:
        check_fields(fields)
        return super().__call__(*args, **fields)


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True, metaclass=_Spelled):
    """Which records. Everything is optional, and what is given must hold together.

    `run`: the id of a run. `kinds`, `states`: one of them. `name`, `release`, `session`, `user`,
    `tenant`: exactly this. `tags`: all of them. `since_ns`, `until_ns`: started at or after, before
    (nanoseconds since 1970). `error` and `text`: words in the error; in the input, output or error
    (upper and lower case are told apart). `ids`: one of these; an empty tuple finds nothing. Raises
    UsageError.
    """

    run: str | None = None
    kinds: tuple[Kind, ...] = ()
    name: str | None = None
    states: tuple[State, ...] = ()
    error: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    tags: tuple[str, ...] = ()
    session: str | None = None
    user: str | None = None
    tenant: str | None = None
    release: str | None = None
    text: str | None = None
    ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in _SEVERAL:
            self._check_several(name)
        for name in _TEXTS:
            if not isinstance(value := getattr(self, name), str | None):
                raise _wrong(name, "a text", value)
            if value is not None and name in _IDENTITIES:
                msgspec.structs.force_setattr(self, name, identity(value))
            elif value == "":
                raise UsageError(
                    f"the query's {name} is empty", cure="Leave it out to find all records."
                )
        for name in ("since_ns", "until_ns"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and -_LAST <= value <= _LAST):
                cure = "`onrecord.records.query.moment` reads a date, a time or an age."
                raise _wrong(name, "nanoseconds since 1970", value, cure)

    def _check_several(self, name: str) -> None:
        values = getattr(self, name)
        if isinstance(values, str):
            raise UsageError(
                f"the {name} of a query are several, not one", cure=f"Write ({values!r},)."
            )
        if isinstance(values, list | set | frozenset):
            values = tuple(values)
            msgspec.structs.force_setattr(self, name, values)
        if values is None and name == "ids":
            return
        if not isinstance(values, tuple) or not all(isinstance(each, str) for each in values):
            raise _wrong(name, "a tuple of texts", values)
        if name == "tags":
            msgspec.structs.force_setattr(self, name, tuple(map(identity, values)))
        choices = _SEVERAL[name]
        for value in values:
            if choices and value not in choices:
                raise UsageError(
                    f"there is no {name[:-1]} {value!r}", cure=f"Choose from {', '.join(choices)}."
                )


def query_of(query: object, fields: Mapping[str, Any] = {}) -> Query:
    """The query that somebody gave, with fields of it as keywords. Raises UsageError for what is
    none."""
    if not isinstance(query, Query):
        hint = f'Write on.Query(kinds=("{query}",)).' if query in get_args(Kind) else ""
        raise UsageError(
            f"{shortened(repr(query), 80)} does not say which records",
            cure=hint or "Give an on.Query(...), which says what they have in common.",
        )
    check_fields(fields)
    return msgspec.structs.replace(query, **fields) if fields else query


def check_fields(fields: Mapping[str, Any]) -> None:
    """Raises UsageError for names that a query has no field of."""
    names = Query.__struct_fields__
    for name, value in fields.items():
        if name not in names:
            one_of = f"{name}s" in _SEVERAL
            hint = f"Write {name}s=({value!r:.80},)." if one_of else closest(name, names).strip()
            raise UsageError(
                f"a query has no field '{name}'", cure=hint or f"It has {', '.join(names)}."
            )


class Total(msgspec.Struct, frozen=True):
    """Records of one group, together.

    `group` has a value for each name that was asked for. `seconds_p50` and `seconds_p95` are of
    calls that ended, None where none has. `cost` is in micro-dollars and holds what is known;
    `unpriced` counts the calls whose cost is not. `reused` counts calls that were not made but
    taken from a record.
    """

    group: dict[str, str | None]
    calls: int
    failed: int
    reused: int
    seconds_p50: float | None
    seconds_p95: float | None
    usage: Usage
    cost: int
    unpriced: int


class Receipt(msgspec.Struct, frozen=True):
    """What an erasure removed, and what it could not reach. `at_ns`: nanoseconds since 1970."""

    at_ns: int
    query: Query
    records: int
    bodies: int
    frames: int
    cases: int
    remaining: tuple[str, ...] = ()


GROUPS = (
    "model",
    "flow",
    "name",
    "kind",
    "day",
    "release",
    "session",
    "user",
    "tenant",
    "state",
)
"""What totals can be grouped by. `model` counts model and embedding calls only; `flow` is the
outermost call of the run; `day` is that of the start, in UTC."""


_SEVERAL: dict[str, tuple[str, ...]] = {
    "kinds": get_args(Kind),
    "states": get_args(State),
    "tags": (),
    "ids": (),
}
_IDENTITIES = ("session", "user", "tenant", "release")
_TEXTS = ("run", "name", "error", "session", "user", "tenant", "release", "text")


def _wrong(name: str, takes: str, value: object, cure: str = "") -> UsageError:
    return UsageError(
        f"the query's {name} takes {takes}, not {shortened(repr(value), 80)}", cure=cure
    )


def moment(text: str, now: datetime.datetime | None = None) -> int:
    """A point in time as nanoseconds since 1970: "2026-11-21", "2026-11-21T10:00", or an age such
    as "90d", "12h", "30m". Times without a zone are local. Raises UsageError."""
    try:
        ns = _moment(text.strip(), now or datetime.datetime.now().astimezone())
    except (ValueError, OverflowError):
        raise UsageError(
            f"'{text}' is no point in time",
            cure="Write a date (2026-11-21), a time (2026-11-21T10:00) or an age (90d, 12h, 30m).",
        ) from None
    return max(min(ns, _LAST), 0)


def _moment(text: str, here: datetime.datetime) -> int:
    if age := _AGE.fullmatch(text):
        return int((here.timestamp() - float(age[1]) * _SECONDS[age[2]]) * 1e9)
    read = datetime.datetime.fromisoformat(text)
    return int((read if read.tzinfo else read.replace(tzinfo=here.tzinfo)).timestamp() * 1e9)


_LAST = 2**63 - 1  # what a database can compare: the year 2262
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
