"""What the records know of prompts: which versions were called, how often, by whom answered, at
what cost."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from onrecord.prompts.versions import MARK, Kept, read_kept
from onrecord.records.database.schema import RECORD, SOURCE
from onrecord.records.store import Store
from onrecord.records.views.listing import connected


class Use(msgspec.Struct, frozen=True):
    """The calls of one version of a prompt.

    `reused` of them were answered from a record. Times are nanoseconds since 1970. `cost` is in
    micro-dollars, of the models and embedders that were asked; `unpriced` of those calls have a
    cost that nobody knows. `models` answered, the last one first. `kept` is the version's text,
    None where it was not kept.
    """

    name: str
    version: str
    calls: int
    failed: int
    reused: int
    first_ns: int
    last_ns: int
    cost: int = 0
    unpriced: int = 0
    models: tuple[str, ...] = ()
    kept: Kept | None = None


def uses(store: Store, names: Iterable[str] = (), *, only: str | None = None) -> list[Use]:
    """What was called of the prompts whose text is kept, and of those of these names; the last
    used first. `only`: of this prompt alone."""
    with connected(store) as connection:
        texts = _kept(connection)
        found = [
            each
            for each in _calls(connection, only)
            if each.version in texts or (each.name in names and _is_version(each.version))
        ]
        # A step of the program's may have a prompt's name: the source of its code is kept.
        unsure = [each.version for each in found if each.version not in texts]
        code = _with_source(connection, unsure)
        found = [each for each in found if each.version not in code]
        costs = _costs(connection, only) if found else {}
    whole = [
        msgspec.structs.replace(
            each,
            kept=texts.get(each.version),
            **costs.get((each.name, each.version), {}),
        )
        for each in found
    ]
    return sorted(whole, key=lambda each: -each.last_ns)


def _kept(connection: sa.Connection) -> dict[str, Kept]:
    query = sa.select(SOURCE.c.version, SOURCE.c.text).where(SOURCE.c.text.contains(MARK))
    read = {version: read_kept(text) for version, text in connection.execute(query)}
    return {version: kept for version, kept in read.items() if kept is not None}


def _calls(connection: sa.Connection, only: str | None) -> list[Use]:
    c = RECORD.c
    query = (
        sa.select(
            c.name,
            c.version,
            sa.func.count(),
            _count(c.state == "failed"),
            _count(c.source.is_not(None)),
            sa.func.min(c.started_ns),
            sa.func.max(c.started_ns),
        )
        .where(c.kind == "step", *([c.name == only] if only is not None else []))
        .group_by(c.name, c.version)
    )
    return [Use(*row) for row in map(tuple, connection.execute(query))]


def _costs(connection: sa.Connection, only: str | None) -> dict[tuple[str, str], dict[str, object]]:
    """Of each prompt and version: cost, unpriced calls, models.

    Each call of a model is followed up to the step it belongs to: a wrapper's attempts are calls
    below its own. That way every record is found by its id.
    """
    c, above, step = RECORD.c, RECORD.alias("above"), RECORD.alias("step")
    made = sa.cast(sa.case((c.source.is_not(None), 0), else_=c.cost), sa.BigInteger)
    up = (
        sa.select(
            c.parent.label("at"),
            made.label("cost"),
            sa.cast(sa.case((c.kind == "model", c.name)), sa.String).label("model"),
            c.started_ns.label("began"),
        )
        .where(c.kind.in_(("model", "embed")), c.parent.is_not(None))
        .cte("up", recursive=True)
    )
    between = above.c.kind.in_(("model", "search"))
    # What a wrapper asked is paid for, and the wrapper is who answered.
    up = up.union_all(
        sa.select(above.c.parent, up.c.cost, sa.cast(None, sa.String), up.c.began)
        .join(above, above.c.id == up.c.at)
        .where(between, above.c.parent.is_not(None))
    )
    query = (
        sa.select(
            step.c.name,
            step.c.version,
            up.c.model,
            sa.func.coalesce(sa.func.sum(up.c.cost), 0),
            _count(up.c.cost.is_(None)),
            sa.func.max(up.c.began).label("last"),
        )
        .join(step, step.c.id == up.c.at)
        .where(step.c.kind == "step", *([step.c.name == only] if only is not None else []))
        .group_by(step.c.name, step.c.version, up.c.model)
        .order_by(sa.desc("last"))
    )
    sums: dict[tuple[str, str], tuple[int, int, tuple[str, ...]]] = {}
    for name, version, model, cost, unpriced, _ in connection.execute(query):
        before = sums.get((name, version), (0, 0, ()))
        models = before[2] if model is None else (*before[2], model)
        sums[name, version] = before[0] + int(cost), before[1] + int(unpriced), models
    return {
        key: {"cost": cost, "unpriced": unpriced, "models": models}
        for key, (cost, unpriced, models) in sums.items()
    }


def _with_source(connection: sa.Connection, versions: list[str]) -> set[str]:
    found: set[str] = set()
    for at in range(0, len(versions), _SOME):
        some = SOURCE.c.version.in_(versions[at : at + _SOME])
        found |= set(connection.scalars(sa.select(SOURCE.c.version).where(some)))
    return found


def _count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)


def _is_version(version: str) -> bool:
    return len(version) == _LENGTH


_SOME = 500
_LENGTH = 32
