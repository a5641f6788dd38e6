"""Holes: runs of which some records were erased and others are left.

Nobody can tell from what is left what was done in the rest. A run like that is remembered by its
id, so that going on with it does not do again what must not happen twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from onrecord.records.database.engine import insert
from onrecord.records.database.schema import RECORD, SOURCE


def erased_note(run: str) -> str:
    """What is kept of a run with holes, among the sources of versions."""
    return f"{run} erased"


def remember_holes(connection: sa.Connection, ids: AbstractSet[str]) -> None:
    """These records are about to be erased: note the runs of which others stay.

    What only says something of a run (feedback) leaves no hole. A run that goes as a whole takes
    its note with it.
    """
    c = RECORD.c
    going: Counter[str] = Counter()
    made: set[str] = set()
    for some in _some(sorted(ids)):
        for row in connection.execute(sa.select(c.run, c.kind).where(c.id.in_(some))):
            going[row.run] += 1
            if row.kind != "feedback":
                made.add(row.run)
    for runs in _some(sorted(going)):
        count = sa.select(c.run, sa.func.count()).where(c.run.in_(runs)).group_by(c.run)
        there = {row[0]: int(row[1]) for row in connection.execute(count)}
        left = [run for run in runs if there[run] > going[run]]
        gone = [erased_note(run) for run in runs if there[run] == going[run]]
        connection.execute(sa.delete(SOURCE).where(SOURCE.c.version.in_(gone)))
        rows = [{"version": erased_note(run), "text": ""} for run in left if run in made]
        if rows:
            connection.execute(insert(connection, SOURCE).on_conflict_do_nothing(), rows)


def _some(items: list[str], size: int = 500) -> Iterator[list[str]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
