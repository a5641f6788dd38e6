"""How a person points at a run in few characters: a piece of an id, or its number in the list.

All ids of a day begin alike, and those of one process end alike: whoever types one takes the digits
in between, or `@1` for the newest run.
"""

from __future__ import annotations

import re

import sqlalchemy as sa

from onrecord.errors import UnknownNameError
from onrecord.records.database.schema import RECORD
from onrecord.records.query import Query
from onrecord.records.store import Store
from onrecord.records.views.listing import connected, page


def run_of(store: Store, said: str) -> str:
    """The id of the run that `said` points at: `@1` is the newest run, `@2` the one before; else
    how the id of one of its calls begins or ends, or any piece of one, of four digits at least.

    Raises UnknownNameError where there is none, or more than one run.
    """
    if numbered := _NUMBER.fullmatch(said):
        return _newest(store, int(numbered[1]))
    try:
        return store.run_of(said)
    except UnknownNameError:
        runs = _with_piece(store, said) if _PIECE.fullmatch(said) else []
        if not runs:
            raise
    if len(runs) > 1:
        raise UnknownNameError(
            f"more than one run has an id with '{said}' in it",
            cure="`onrecord records` lists the runs and their ids; @1 is the newest.",
        )
    return runs[0]


def _newest(store: Store, number: int) -> str:
    found = page(store, Query(), calls=False, limit=number)
    if len(found) < number:
        raise UnknownNameError(
            f"there is no run @{number}: {len(found):,} are on record",
            cure="`onrecord records` lists them, the newest first.",
        )
    return found[-1].run


def _with_piece(store: Store, piece: str) -> list[str]:
    """Two runs at most: an index on ids cannot answer it, so all of them are looked through."""
    query = sa.select(RECORD.c.run).where(RECORD.c.id.contains(piece, autoescape=True))
    with connected(store) as connection:
        return list(connection.scalars(query.distinct().limit(2)))


_NUMBER = re.compile("@([1-9][0-9]{0,5})")
_PIECE = re.compile("[0-9a-f]{4,32}")
