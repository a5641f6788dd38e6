"""How far ids are from the times of the calls they name.

An id begins with the time at which it was made, so calls of a time are looked for among the ids.
But ids of a process ascend even where its clock is set back, and records from elsewhere have the
ids they came with. The table `skew` says how far off the ids of this store are, at most, where
that is more than CLOSE.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from onrecord.records.database import insert
from onrecord.records.schema import SKEW

CLOSE = 60_000
"""Milliseconds that nobody notes."""


def note(connection: sa.Connection, rows: Sequence[tuple[str, int]]) -> None:
    """Take note of the ids of rows that are being written, each with when its call started."""
    for side, ms in beyond(rows):
        row = insert(connection, SKEW).values(side=side, ms=ms)
        further = sa.case((SKEW.c.ms < ms, ms), else_=SKEW.c.ms)
        connection.execute(row.on_conflict_do_update(index_elements=["side"], set_={"ms": further}))


def beyond(rows: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """The largest distances of ids ("ahead" of their starts, or "behind") that are not CLOSE."""
    try:
        distances = [
            int(id[:12].ljust(12, "0"), 16) - started_ns // 1_000_000 for id, started_ns in rows
        ]
    except ValueError:  # an id of somebody's own making: it may stand anywhere among the others
        return [("ahead", _FAR), ("behind", _FAR)]
    ahead, behind = max(distances, default=0), -min(distances, default=0)
    return [(side, ms) for side, ms in (("ahead", ahead), ("behind", behind)) if ms > CLOSE]


def ids_between(
    connection: sa.Connection, since_ns: int | None, until_ns: int | None
) -> tuple[str | None, str | None]:
    """What the ids of calls that started at or after, and before, these times are not below, and
    below. None: nothing is known."""
    found = {row.side: int(row.ms) for row in connection.execute(sa.select(SKEW))}
    first = last = None
    if since_ns is not None:
        first = _beginning(since_ns // 1_000_000 - found.get("behind", CLOSE))
    if until_ns is not None:
        last = _beginning(until_ns // 1_000_000 + found.get("ahead", CLOSE) + 2)
    return first, last


def _beginning(ms: int) -> str | None:
    return f"{ms:012x}" if 0 <= ms <= _LAST else None


_LAST = 2**48 - 1
_FAR = 2**49
