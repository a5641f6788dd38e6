"""What paused runs wait for: the questions that nobody has answered yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from onrecord.records.query import Query
from onrecord.records.record import Record
from onrecord.records.store import Store
from onrecord.records.views.tree import question_of


class Waiting(NamedTuple):
    """A question that a run waits with: `id` is what the answer is given under."""

    id: str
    text: str


def waiting(store: Store, latest: Iterable[Record]) -> dict[str, list[Waiting]]:
    """The open questions of runs, by run; `latest` are their last goes, paused or not.

    What an earlier go had asked, the last one asks again, unless it was answered.
    """
    found: dict[str, list[Waiting]] = {}
    for attempt in latest:
        if attempt.state != "paused":
            continue
        asked = store.records(Query(run=attempt.run, states=("paused",)), _MOST)
        for record in reversed(asked):  # oldest first
            text = question_of(record)
            if record.id > attempt.id and text is not None:
                found.setdefault(attempt.run, []).append(Waiting(_answer_id(record), text))
    return found


def _answer_id(record: Record) -> str:
    if isinstance(record.output, Mapping) and isinstance(id := record.output.get("id"), str):
        return id
    return record.id


_MOST = 100
