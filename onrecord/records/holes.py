"""Holes: runs of which some records were erased and others are left.

Nobody can tell from what is left what was done in the rest. A run like that is remembered by its
id, so that going on with it does not do again what must not happen twice.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from onrecord.records.database import insert
from onrecord.records.schema import RECORD, SOURCE


def erased_note(run: str) -> str:
    """What is kept of a run with holes, among the sources of versions."""
    return f"{run} erased"


def remember_holes(connection: sa.Connection, ids: AbstractSet[str]) -> None:
    """These records are about to be erased: note the runs of which others stay.

    What only says something of a run (feedback) leaves no hole. A run that goes as a whole takes
    its note with it.
    """
    c = RECORD.c
    made: set[str] = set()
    touched: set[str] = set()
    for some in _some(sorted(ids)):
        for row in connection.execute(sa.select(c.run, c.kind).where(c.id.in_(some))):
            touched.add(row.run)
            if row.kind != "feedback":
                made.add(row.run)
    staying = {run for run in touched if not _goes(connection, run, ids)}
    for some in _some([erased_note(run) for run in sorted(touched - staying)]):
        connection.execute(sa.delete(SOURCE).where(SOURCE.c.version.in_(some)))
    rows = [{"version": erased_note(run), "text": ""} for run in sorted(made & staying)]
    if rows:
        connection.execute(insert(connection, SOURCE).on_conflict_do_nothing(), rows)
