"""Reading the store: from a query to records, and to totals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from onrecord.errors import UsageError
from onrecord.messages import Usage
from onrecord.records.database.engine import is_postgresql
from onrecord.records.database.schema import BODY, COMMON, RARE, RECORD, REFERENCE, TAG
from onrecord.records.folding import skew
from onrecord.records.query import GROUPS, Query, Total
from onrecord.records.record import Record, unpacked


def matching(
    connection: sa.Connection, query: Query, *, by_id: bool = True
) -> list[sa.ColumnElement[bool]]:
    """What must hold of the rows of RECORD that a query asks for.

    `by_id`: times are looked for among the ids first, which ascend with them.
    """
    c = RECORD.c
    conditions: list[sa.ColumnElement[bool]] = []
    for name in ("run", "name", "session", "user", "tenant", "release"):
        if (wanted := getattr(query, name)) is not None:
            conditions.append(c[name] == wanted)
    if query.kinds:
        if COMMON.isdisjoint(query.kinds):  # a partial index knows these
            conditions += [_one_of(c.kind, query.kinds), *RARE]
        else:  # no index shall be taken for these: it would find too many, and not in order
            conditions.append(_one_of(c.kind.concat(""), query.kinds))
    if query.states:
        conditions.append(_one_of(c.state, query.states))
        if "done" not in query.states:
            conditions.append(c.state != "done")  # a partial index knows these
    if query.ids is not None:
        conditions.append(c.id.in_(query.ids))
    conditions += _in_time(connection, query, by_id)
    for tag in query.tags:
        tagged = sa.select(TAG.c.record).where(TAG.c.tag == tag)
        conditions.append(c.id.in_(tagged))
    if query.error is not None:
        conditions += [c.state != "done", _holds(connection, c.error, query.error)]
    if query.text is not None:
        found = [_in_body(connection, c[name], query.text) for name in ("input", "output")]
        conditions.append(sa.or_(*found, _holds(connection, c.error, query.text)))
    return conditions


def select(
    connection: sa.Connection,
    query: Query,
    *,
    limit: int | None,
    before: str | None = None,
    after: str | None = None,
    newest_first: bool = True,
    roots: bool = False,
    bodies: bool = True,
) -> list[Record]:
    """A page of records by id: those `before` or `after` the last one of the page before."""
    conditions = matching(connection, query)
    if before is not None:
        conditions.append(RECORD.c.id < before)
    if after is not None:
        conditions.append(RECORD.c.id > after)
    if roots:
        conditions.append(RECORD.c.parent.is_(None))
    order = RECORD.c.id.desc() if newest_first else RECORD.c.id.asc()
    columns = _WHOLE if bodies else _OUTLINE
    chosen = sa.select(*columns).where(*conditions).order_by(order).limit(limit)
    # Plain tuples: 100,000 of them are read four times as fast as SQLAlchemy's rows.
    result = connection.execute(chosen)
    try:
        rows = result.cursor.fetchall()
    except Exception as error:  # what SQLAlchemy would have made of it
        raise sa.exc.DatabaseError(None, None, error) from None
    if not bodies:
        return [_record(row, None, None) for row in rows]
    long = _long_bodies(connection, rows)
    return [_record(row, _body(row[_INPUT], long), _body(row[_OUTPUT], long)) for row in rows]


def runs_of(connection: sa.Connection, beginning: str) -> list[str]:
    """The runs, two at most, of the calls whose ids begin like this."""
    # A range, which the index on ids answers: of what follows an id's beginning, g comes after
    # every hexadecimal digit.
    begins = sa.and_(RECORD.c.id >= beginning, RECORD.c.id < beginning + "g")
    return list(connection.scalars(sa.select(RECORD.c.run).where(begins).distinct().limit(2)))


def totals(connection: sa.Connection, query: Query, by: Sequence[str]) -> list[Total]:
    """Totals of the records of a query, by the names in GROUPS; the dearest first.

    Raises UsageError for a group that there is not.
    """
    groups = [_group(name) for name in by]
    conditions = matching(connection, query)
    if "model" in by:
        conditions.append(RECORD.c.kind.in_(("model", "embed")))
    root = RECORD.alias("root")
    origin = RECORD.outerjoin(root, root.c.id == RECORD.c.run) if "flow" in by else RECORD
    rows = (
        sa.select(*[group(root).label(f"g{at}") for at, group in enumerate(groups)], *_SUMMED)
        .select_from(origin)
        .where(*conditions)
        .subquery()
    )
    keys = [rows.c[f"g{at}"] for at in range(len(groups))]
    rank = sa.func.row_number().over(partition_by=keys, order_by=rows.c.took.nulls_last())
    ended = sa.func.count(rows.c.took).over(partition_by=keys)
    ranked = sa.select(*rows.c, rank.label("rank"), ended.label("ended")).subquery()
    names = [ranked.c[f"g{at}"] for at in range(len(groups))]
    summed = (
        sa.select(*names, *_sums(ranked.c))
        .group_by(*names)
        .order_by(sa.desc("cost"), sa.desc("calls"), *names)
    )
    return [_total(row, by) for row in connection.execute(summed)]


_OUTLINE = [
    RECORD.c[name]
    for name in Record.__struct_fields__
    if name not in ("input", "output")  # bodies
]
_WHOLE = [*_OUTLINE, RECORD.c.input, RECORD.c.output]
_SUMMED = [
    *(RECORD.c[name] for name in ("state", "source", "cost")),
    *(RECORD.c[f"{name}_tokens"] for name in ("input", "output", "cached", "reasoning")),
    sa.case((RECORD.c.ended_ns > 0, RECORD.c.ended_ns - RECORD.c.started_ns)).label("took"),
]
_INPUT, _OUTPUT = len(_OUTLINE), len(_OUTLINE) + 1
_DAY = 86_400_000_000_000
_usage = msgspec.msgpack.Decoder(Usage).decode
_tags = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_NONE_USED = Usage()
_MISSING = "<missing>"


def _one_of(column: sa.ColumnElement[str], values: Sequence[str]) -> sa.ColumnElement[bool]:
    # One value is written as an equation: an index then also gives the order.
    return column == values[0] if len(values) == 1 else column.in_(values)


def _in_time(connection: sa.Connection, query: Query, by_id: bool) -> list[sa.ColumnElement[bool]]:
    c, since, until = RECORD.c, query.since_ns, query.until_ns
    if since is None and until is None:
        return []
    first, last = skew.ids_between(connection, since, until) if by_id else (None, None)
    return [
        *([c.started_ns >= since] if since is not None else []),
        *([c.started_ns < until] if until is not None else []),
        *([c.id >= first] if first is not None else []),
        *([c.id < last] if last is not None else []),
    ]


def _holds(
    connection: sa.Connection, column: sa.ColumnElement[Any], text: str
) -> sa.ColumnElement[bool]:
    find = sa.func.strpos if is_postgresql(connection) else sa.func.instr
    return find(column, text) > 0


def _in_body(
    connection: sa.Connection, column: sa.ColumnElement[bytes], text: str
) -> sa.ColumnElement[bool]:
    """Words in a body. MessagePack holds texts as they are, so their bytes are looked for."""
    wanted = sa.literal(text.encode("utf-8", "replace"))

    def within(content: sa.ColumnElement[bytes]) -> sa.ColumnElement[bool]:
        if is_postgresql(connection):
            return sa.func.position(wanted.op("IN")(content)) > 0
        return sa.func.instr(content, wanted) > 0

    long = (
        sa.select(sa.literal(1))
        .where(BODY.c.hash == sa.func.substr(column, 2), within(BODY.c.content))
        .correlate(RECORD)
        .exists()
    )
    is_long = sa.func.substr(column, 1, 1) == REFERENCE
    return sa.or_(within(column), sa.and_(is_long, long))


def _group(name: str) -> Callable[[Any], Any]:
    c = RECORD.c
    if name == "flow":
        return lambda root: sa.func.coalesce(root.c.name, sa.literal("(elsewhere)"))
    if name == "day":
        return lambda root: c.started_ns // _DAY
    if name == "model":
        return lambda root: c.name
    if name in GROUPS:
        return lambda root: c[name]
    raise UsageError(
        f"totals cannot be grouped by '{name}'", cure=f"Choose from {', '.join(GROUPS)}."
    )


def _sums(r: Any) -> list[sa.ColumnElement[Any]]:
    """The columns of a Total, from rows with the columns of _SUMMED, the rank of their times and
    how many of them ended."""

    def percentile(hundredths: int) -> sa.ColumnElement[Any]:
        return sa.func.max(sa.case((r.rank == (r.ended * hundredths + 99) // 100, r.took)))

    return [
        sa.func.count().label("calls"),
        _count(r.state == "failed").label("failed"),
        _count(r.source.is_not(None)).label("reused"),
        percentile(50).label("p50"),
        percentile(95).label("p95"),
        sa.func.sum(r.input_tokens).label("input"),
        sa.func.sum(r.output_tokens).label("output"),
        sa.func.sum(r.cached_tokens).label("cached"),
        sa.func.sum(r.reasoning_tokens).label("reasoning"),
        sa.func.coalesce(sa.func.sum(r.cost), 0).label("cost"),
        _count(r.cost.is_(None)).label("unpriced"),
    ]


def _count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((condition, 1), else_=0))


def _total(row: Any, by: Sequence[str]) -> Total:
    group = {name: _shown(name, row[at]) for at, name in enumerate(by)}
    return Total(
        group=group,
        calls=row.calls,
        failed=int(row.failed),
        reused=int(row.reused),
        seconds_p50=None if row.p50 is None else int(row.p50) / 1e9,
        seconds_p95=None if row.p95 is None else int(row.p95) / 1e9,
        usage=Usage(int(row.input), int(row.output), int(row.cached), int(row.reasoning)),
        cost=int(row.cost),
        unpriced=int(row.unpriced),
    )


def _shown(name: str, value: Any) -> str | None:
    if name == "day" and value is not None:
        import datetime

        start = datetime.date(1970, 1, 1) + datetime.timedelta(days=int(value))
        return start.isoformat()
    return value if value is None else str(value)


def _long_bodies(connection: sa.Connection, rows: Sequence[Any]) -> dict[bytes, bytes]:
    wanted = {
        bytes(packed[1:])
        for row in rows
        for packed in (row[_INPUT], row[_OUTPUT])
        if packed is not None and packed[:1] == REFERENCE
    }
    found: dict[bytes, bytes] = {}
    hashes = sorted(wanted)
    for at in range(0, len(hashes), 500):  # SQLite bounds the number of variables
        some = sa.select(BODY.c.hash, BODY.c.content).where(BODY.c.hash.in_(hashes[at : at + 500]))
        found.update((bytes(hash), bytes(content)) for hash, content in connection.execute(some))
    return found


def _body(packed: bytes | None, long: dict[bytes, bytes]) -> Any:
    if packed is None:
        return None
    packed = bytes(packed)
    if packed[:1] != REFERENCE:
        return unpacked(packed)
    content = long.get(packed[1:])
    return _MISSING if content is None else unpacked(content)


def _record(row: Any, input: Any, output: Any) -> Record:
    """The record of a row with the columns of _OUTLINE, and maybe more behind them."""
    # fmt: off
    (id, run, parent, kind, name, key, started_ns, error, ended_ns, usage, cost, state,
     release, session, user, tags, tenant, version, source, redacted, *_) = row
    return Record(
        id, run, parent, kind, name, input, key, started_ns, output, error, ended_ns,
        _NONE_USED if usage is None else _usage(usage), cost, state,
        release, session, user, () if tags is None else _tags(tags),
        tenant, version, source, bool(redacted),
    )
    # fmt: on
