"""What the records say of models and applications: sums made by the database, no bodies."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from onrecord.evaluation.picking import is_named_as_own
from onrecord.records.database.schema import RECORD, SOURCE

Part = tuple[str, str]
"""Kind and name of what is called."""


class Calls(msgspec.Struct, frozen=True):
    """Calls of one kind, name and version. Times in nanoseconds since 1970; `cost` in micro-dollars
    holds what is known, `unpriced` counts the calls whose cost is not. `reused` were answered from
    a record. `last` is the id of the last call, `run` its run."""

    kind: str
    name: str
    version: str
    calls: int
    failed: int
    unfinished: int
    reused: int
    redacted: int
    first_ns: int
    last_ns: int
    cost: int
    unpriced: int
    last: str
    run: str = ""

    @property
    def part(self) -> Part:
        """What was called."""
        return self.kind, self.name


class People(msgspec.Struct, frozen=True):
    """How many users, tenants and sessions the outermost calls of an application name, and how
    many of these calls name no user."""

    users: int = 0
    tenants: int = 0
    sessions: int = 0
    nameless: int = 0


def models(connection: sa.Connection, since_ns: int | None) -> list[Calls]:
    """The calls of models and embedders, by name and version; the last used first."""
    kinds = RECORD.c.kind.in_(("model", "embed"))
    return _calls(connection, RECORD.c, RECORD, [kinds, *_since(since_ns)])


def roots(connection: sa.Connection, since_ns: int | None) -> list[Calls]:
    """The outermost calls, by kind, name and version; the last made first."""
    return _calls(connection, RECORD.c, RECORD, [RECORD.c.parent.is_(None), *_since(since_ns)])


def inside(connection: sa.Connection, since_ns: int | None) -> dict[Part, list[Calls]]:
    """What is called inside of outermost calls: by kind and name of the outermost call."""
    root = RECORD.alias("root")
    joined = RECORD.join(root, root.c.id == RECORD.c.run)
    conditions = [RECORD.c.parent.is_not(None), root.c.parent.is_(None), *_since(since_ns)]
    rows = _grouped(connection, [root.c.kind, root.c.name], joined, conditions)
    found: dict[Part, list[Calls]] = {}
    for kind, name, calls in rows:
        found.setdefault((kind, name), []).append(calls)
    return found


def own(connection: sa.Connection, roots: Sequence[Calls]) -> list[Calls]:
    """The outermost calls that Onrecord makes to measure and to generate. They keep no code, and
    the code of a user's flow that is called the same is kept, where anything is."""
    doubted = [each for each in roots if is_named_as_own(each.kind, each.name)]
    kept = sources(connection, (each.version for each in doubted))
    return [each for each in doubted if each.version not in kept]


def people(connection: sa.Connection, since_ns: int | None) -> dict[Part, People]:
    """Whom the outermost calls name, by their kind and name."""
    c = RECORD.c
    distinct = [sa.func.count(c[name].distinct()) for name in ("user", "tenant", "session")]
    query = (
        sa.select(c.kind, c.name, *distinct, _count(c.user.is_(None)))
        .where(c.parent.is_(None), *_since(since_ns))
        .group_by(c.kind, c.name)
    )
    return {(kind, name): People(*rest) for kind, name, *rest in connection.execute(query)}


def count(connection: sa.Connection) -> int:
    """How many records there are."""
    return connection.scalar(sa.select(sa.func.count()).select_from(RECORD)) or 0


def first_model(connection: sa.Connection, run: str, parent: str) -> str | None:
    """The id of the first call of a model right inside of a call."""
    c = RECORD.c
    conditions = (c.run == run, c.parent == parent, c.kind == "model")
    return connection.scalar(sa.select(c.id).where(*conditions).order_by(c.id).limit(1))


def limited(connection: sa.Connection, since_ns: int | None) -> int:
    """How many outermost calls ended because a limit was reached."""
    c = RECORD.c
    conditions = [c.parent.is_(None), c.state != "done", c.error.startswith("LimitError")]
    query = sa.select(sa.func.count()).where(*conditions, *_since(since_ns))
    return connection.scalar(query) or 0


def sources(connection: sa.Connection, versions: Iterable[str]) -> dict[str, str]:
    """The texts that versions stand for, where they are kept."""
    wanted = sorted(set(versions))
    found: dict[str, str] = {}
    for at in range(0, len(wanted), 500):  # SQLite bounds the number of variables
        some = SOURCE.c.version.in_(wanted[at : at + 500])
        query = sa.select(SOURCE.c.version, SOURCE.c.text).where(some)
        found.update((version, text) for version, text in connection.execute(query))
    return found


def roots_of(connection: sa.Connection, runs: Iterable[str]) -> dict[str, Part]:
    """The outermost calls of runs."""
    wanted = sorted(set(runs))
    found: dict[str, Part] = {}
    for at in range(0, len(wanted), 500):
        some = RECORD.c.id.in_(wanted[at : at + 500])
        query = sa.select(RECORD.c.id, RECORD.c.kind, RECORD.c.name).where(some)
        found.update((id, (kind, name)) for id, kind, name in connection.execute(query))
    return found


def is_idempotent(source: str | None) -> bool | None:
    """Whether a tool may happen twice, as its decorator says; None where that is not to be seen.

    The decorator has to be written where the function is: a name that stands for one is not
    followed.
    """
    try:
        body = ast.parse(_flush(source)).body if source else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    function = body[0] if body else None
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    for decorator in function.decorator_list:
        is_call = isinstance(decorator, ast.Call)
        named = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = named.attr if isinstance(named, ast.Attribute) else getattr(named, "id", "")
        if name != "tool":
            continue
        said = {each.arg: each.value for each in decorator.keywords} if is_call else {}  # type: ignore[attr-defined]  # a call, as is_call says
        if "idempotent" not in said:
            return None if None in said else True  # **options may hold it
        value = said["idempotent"]
        return bool(value.value) if isinstance(value, ast.Constant) else None
    return None


def _flush(source: str) -> str:
    """The source of a function that stands in another, without its indentation."""
    import textwrap

    return textwrap.dedent(source)


def _since(since_ns: int | None) -> list[sa.ColumnElement[bool]]:
    return [] if since_ns is None else [RECORD.c.started_ns >= since_ns]


def _calls(connection: sa.Connection, c: Any, table: Any, conditions: list[Any]) -> list[Calls]:
    found = [calls for (calls,) in _grouped(connection, [], table, conditions)]
    runs = _runs(connection, [each.last for each in found])
    whole = [msgspec.structs.replace(each, run=runs.get(each.last, "")) for each in found]
    return sorted(whole, key=lambda each: -each.last_ns)


def _grouped(
    connection: sa.Connection, also: Sequence[Any], table: Any, conditions: list[Any]
) -> Iterator[tuple[Any, ...]]:
    """Rows of `also`, and Calls."""
    c = RECORD.c
    keys = [*also, c.kind, c.name, c.version]
    cost = sa.case((c.source.is_not(None), 0), else_=c.cost)
    sums = [
        sa.func.count(),
        _count(c.state == "failed"),
        _count(c.state.in_(("open", "interrupted", "paused"))),
        _count(c.source.is_not(None)),
        _count(c.redacted),
        sa.func.min(c.started_ns),
        sa.func.max(c.started_ns),
        sa.func.coalesce(sa.func.sum(cost), 0),
        _count(sa.and_(c.cost.is_(None), c.source.is_(None))),
        sa.func.max(c.id),
    ]
    query = sa.select(*keys, *sums).select_from(table).where(*conditions).group_by(*keys)
    width = len(also)
    for row in connection.execute(query):
        kind, name, version, *numbers, last = row[width:]
        given = {"kind": kind, "name": name, "version": version, "last": last}
        counts = dict(zip(_COUNTS, map(int, numbers), strict=True))
        yield (*row[:width], msgspec.convert({**given, **counts}, Calls))


def _runs(connection: sa.Connection, ids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for at in range(0, len(ids), 500):
        query = sa.select(RECORD.c.id, RECORD.c.run).where(RECORD.c.id.in_(ids[at : at + 500]))
        found.update((id, run) for id, run in connection.execute(query))
    return found


def _count(condition: Any) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)


_COUNTS = (
    "calls",
    "failed",
    "unfinished",
    "reused",
    "redacted",
    "first_ns",
    "last_ns",
    "cost",
    "unpriced",
)
