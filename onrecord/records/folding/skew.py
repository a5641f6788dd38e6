"""How far ids are from the times of the calls they name.

An id begins with the time at which it was made, so calls of a time are looked for among the ids.
But ids of a process ascend even where its clock is set back, and records from elsewhere have the
ids they came with. The table `skew` says, for each hour in which such calls started, between which
times their ids are; those that are CLOSE to the call's own time are not noted.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from onrecord.records.database.engine import insert
from onrecord.records.database.schema import SKEW

CLOSE = 60_000
"""Milliseconds that nobody notes."""


def note(connection: sa.Connection, rows: Iterable[tuple[str, int]]) -> None:
    """Take note of the ids of rows that are being written, each with when its call started."""
    hours = astray(rows)
    if not hours:
        return
    row = insert(connection, SKEW)
    c, new = SKEW.c, row.excluded
    wider = {
        "first": sa.case((new.first < c.first, new.first), else_=c.first),
        "last": sa.case((new.last > c.last, new.last), else_=c.last),
    }
    connection.execute(
        row.on_conflict_do_update(index_elements=["hour"], set_=wider),
        [{"hour": hour, "first": hours[hour][0], "last": hours[hour][1]} for hour in sorted(hours)],
    )


def astray(rows: Iterable[tuple[str, int]]) -> dict[int, tuple[int, int]]:
    """By hour of their starts: the first and last time, in ms, of the ids that are not CLOSE."""
    hours: dict[int, tuple[int, int]] = {}
    for id, started_ns in rows:
        try:
            first = last = int(id[:12], 16)
        except ValueError:
            first, last = _ANYWHERE
        if abs(first - started_ns // 1_000_000) > CLOSE:
            if len(id) < 12:
                first, last = _ANYWHERE
            hour = started_ns // _HOUR
            before = hours.get(hour, (first, last))
            hours[hour] = (min(first, before[0]), max(last, before[1]))
    return hours


def ids_between(
    connection: sa.Connection, since_ns: int | None, until_ns: int | None
) -> tuple[str | None, str | None]:
    """What the ids of calls that started at or after, and before, these times are not below, and
    below. None: nothing is known."""
    query = sa.select(sa.func.min(SKEW.c.first), sa.func.max(SKEW.c.last))
    if since_ns is not None:
        query = query.where(SKEW.c.hour >= since_ns // _HOUR)
    if until_ns is not None:
        query = query.where(SKEW.c.hour <= until_ns // _HOUR)
    lowest, highest = connection.execute(query).one()
    first = last = None
    if since_ns is not None:
        close = since_ns // 1_000_000 - CLOSE
        first = _beginning(close if lowest is None else min(close, int(lowest)))
    if until_ns is not None:
        close = until_ns // 1_000_000 + CLOSE + 2
        last = _beginning(close if highest is None else max(close, int(highest) + 1))
    return first, last


def _beginning(ms: int) -> str | None:
    return f"{ms:012x}" if 0 <= ms <= _LAST else None


_HOUR = 3_600_000_000_000
_LAST = 2**48 - 1
_ANYWHERE = (-(2**49), 2**49)  # an id of somebody's own making may stand anywhere among the others
