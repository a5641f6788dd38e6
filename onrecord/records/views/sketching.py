"""The outline of a run from the store, also of one with 100,000 calls or a million.

Reading that many calls takes longer than anybody wants to wait for a picture of twenty lines. Of a
very large run, its beginning is read, and what did not end well, and how it was resumed; SQL sums
up the rest by name.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from onrecord.messages import Usage
from onrecord.records.call import RESUMED
from onrecord.records.database.schema import RECORD, TAG
from onrecord.records.record import Record
from onrecord.records.store import Store
from onrecord.records.views.listing import connected
from onrecord.records.views.tree import NOTHING_USED, Hidden, Sums, Tree


def sketch(store: Store, run: str, whole: int = 20_000) -> Tree:
    """The tree of a run, without inputs and outputs; `run` is its whole id.

    Of a run of more than `whole` calls, the first half as many are in it, some that did not end
    well, and sums of the others.
    """
    c = RECORD.c
    with connected(store) as connection, _uncollected():
        number = connection.scalar(sa.select(sa.func.count()).where(c.run == run)) or 0
        head = _outlines(connection, c.run == run, limit=None if number <= whole else whole // 2)
        if len(head) >= number:
            return Tree(head)
        rest = (c.run == run, c.id > head[-1].id)
        known = {record.id for record in head}
        telling = _telling(connection, run, rest, known)
        others = (*rest, c.id.not_in([record.id for record in telling]))
        return Tree([*head, *telling], _summed(connection, others))


def skeleton(store: Store, run: str) -> list[Record]:
    """Every call of a run with what its tree is made of, and nothing else: who called whom, when,
    tokens in and out, cost, state. `run` is its whole id."""
    with connected(store) as connection, _uncollected():
        return _outlines(connection, RECORD.c.run == run)


_Condition = sa.ColumnElement[bool]


def _telling(
    connection: sa.Connection, run: str, rest: Sequence[_Condition], known: set[str]
) -> list[Record]:
    """Calls of the rest that did not end well, and attempts to go on; with their callers."""
    c = RECORD.c
    resumed = sa.select(TAG.c.record).where(TAG.c.tag == RESUMED)
    attempts = _outlines(
        connection, *rest, c.parent == run, c.kind == "flow", c.id.in_(resumed), limit=_MOST_TELLING
    )
    found = attempts + _outlines(connection, *rest, c.state != "done", limit=_MOST_TELLING)
    telling = {record.id: record for record in found}
    missing = _parents(found, known | telling.keys())
    while missing:
        found = _outlines(connection, c.run == run, c.id.in_(missing))
        telling.update((record.id, record) for record in found)
        missing = _parents(found, known | telling.keys())
    return list(telling.values())


def _parents(records: Iterable[Record], known: set[str]) -> list[str]:
    return sorted({each.parent for each in records if each.parent is not None} - known)


def _summed(connection: sa.Connection, conditions: Sequence[_Condition]) -> list[Hidden]:
    """Sums of calls by name, most calls first."""
    c = RECORD.c
    query = (
        sa.select(
            c.kind,
            c.name,
            c.state,
            sa.func.count(),
            sa.func.sum(c.input_tokens),
            sa.func.sum(c.output_tokens),
            sa.func.coalesce(sa.func.sum(c.cost), 0),
            sa.func.count() - sa.func.count(c.cost),
            sa.func.min(c.started_ns),
            sa.func.max(c.started_ns),
            sa.func.max(c.ended_ns),
        )
        .where(*conditions)
        .group_by(c.kind, c.name, c.state)
    )
    times = _some_times(connection, conditions)
    groups: dict[str, Hidden] = {}
    for kind, name, state, calls, fed, made, cost, unpriced, begin, last, end in connection.execute(
        query
    ):
        label = f"{kind} {name}"
        sums = Sums(int(fed), int(made), int(cost), int(unpriced), Counter({state: calls}))
        part = Hidden(
            label, calls, 0, _median(times.get(label, [])), sums, begin, max(end, last), later=True
        )
        known = groups.get(label)
        groups[label] = part if known is None else _together(label, known, part)
    ordered = sorted(groups.values(), key=lambda each: -each.calls)
    if len(ordered) > _MOST_NAMES:
        others = ordered[_MOST_NAMES]
        for each in ordered[_MOST_NAMES + 1 :]:
            others = _together("", others, each)
        ordered[_MOST_NAMES:] = [others._replace(p50=None)]
    return ordered


def _together(name: str, one: Hidden, other: Hidden) -> Hidden:
    return one._replace(
        name=name,
        calls=one.calls + other.calls,
        sums=one.sums + other.sums,
        begin_ns=min(one.begin_ns, other.begin_ns),
        end_ns=max(one.end_ns, other.end_ns),
    )


def _some_times(
    connection: sa.Connection, conditions: Sequence[_Condition]
) -> dict[str, list[int]]:
    """How long calls took, by name: of one in sixteen, by the digits of their ids."""
    c = RECORD.c
    query = sa.select(c.kind, c.name, c.ended_ns - c.started_ns).where(
        *conditions, c.ended_ns > 0, sa.func.substr(c.id, 31, 1) == "7"
    )
    times: dict[str, list[int]] = {}
    for kind, name, took in connection.execute(query):
        times.setdefault(f"{kind} {name}", []).append(took)
    return times


def _median(times: list[int]) -> float | None:
    return max(sorted(times)[(len(times) - 1) // 2], 0) / 1e9 if times else None


def _outlines(
    connection: sa.Connection, *conditions: _Condition, limit: int | None = None
) -> list[Record]:
    """Calls without what their place in a tree does not need."""
    query = sa.select(*_COLUMNS).where(*conditions).order_by(RECORD.c.id).limit(limit)
    used: dict[tuple[int, int], Usage] = {}
    none = NOTHING_USED
    calls = []
    rows: Iterable[Any] = connection.execute(query)
    for id, run, parent, kind, name, state, began, ended, fed, made, cost, source in rows:
        usage = none
        if fed or made:
            usage = used.get((fed, made)) or used.setdefault((fed, made), Usage(fed, made))
        calls.append(
            Record(
                id=id,
                run=run,
                parent=parent,
                kind=kind,
                name=name,
                input=None,
                key="",
                started_ns=began,
                ended_ns=ended,
                usage=usage,
                cost=cost,
                state=state,
                source=source,
            )
        )
    return calls


_c = RECORD.c
_COLUMNS = (
    _c.id,
    _c.run,
    _c.parent,
    _c.kind,
    _c.name,
    _c.state,
    _c.started_ns,
    _c.ended_ns,
    _c.input_tokens,
    _c.output_tokens,
    _c.cost,
    _c.source,
)
_MOST_TELLING = 200
_MOST_NAMES = 20


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector, which would look at the same records over and over while
    more of them are made."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
