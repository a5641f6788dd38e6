"""The experiments on record as an audit needs them: what was measured, and what took part.

What answered is told from what judged: calls inside of a record of scores are a judge's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from onrecord.evaluation.audit.calls import Part
from onrecord.evaluation.experiments.report import Measure
from onrecord.evaluation.experiments.stored import FLOW, STEP, id_of
from onrecord.evaluation.gate import RECORDED, Verdict
from onrecord.records.database.schema import RECORD
from onrecord.records.query import Query
from onrecord.records.record import Record
from onrecord.records.store import Store
from onrecord.records.views.listing import connected

Version = tuple[str, str, str]
"""Kind, name and version of what was called."""


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment. `id` is that of its run, or of its own call where a flow made several;
    `answered`: the outermost calls inside of its trials; `parts`: all calls of the application's;
    `judges`: the models that its scorers asked; `gate`: the newest verdict."""

    id: str
    state: str
    started_ns: int
    application: str
    dataset: str
    dataset_version: str
    cases: int
    measures: tuple[Measure, ...]
    scorers: tuple[str, ...]
    answered: frozenset[Version]
    parts: frozenset[Version]
    judges: frozenset[str]
    gate: Verdict | None = None

    @property
    def models(self) -> frozenset[str]:
        """The models that answered."""
        return frozenset(name for kind, name, _ in self.parts if kind in ("model", "embed"))

    @property
    def called(self) -> frozenset[Part]:
        """What was called, in whatever version."""
        return frozenset((kind, name) for kind, name, _ in self.parts)

    def in_versions(self, part: Part) -> frozenset[str]:
        """The versions of a part that took part."""
        return frozenset(v for kind, name, v in self.parts if (kind, name) == part)


class Experiments(msgspec.Struct, frozen=True):
    """The experiments on record, the newest first. `versions` are those of their outermost calls,
    so that a flow of a user's that is called `evaluate`, too, is not taken for one. `older` may
    have been left out, `unreadable` were kept without their bodies."""

    found: tuple[Experiment, ...] = ()
    versions: frozenset[str] = frozenset()
    older: bool = False
    unreadable: int = 0


def experiments(store: Store, most: int = 200) -> Experiments:
    """The newest experiments, `most` of them. Raises StorageError."""
    attempts: dict[str, list[Record]] = {}
    versions: set[str] = set()
    unreadable = 0
    page = store.records(Query(kinds=("flow",), name=FLOW), 5 * most)
    for record in page:
        if isinstance(record.input, dict):
            if not isinstance(record.input.get("asked"), dict):
                continue  # a user's own
            attempts.setdefault(id_of(record), []).append(record)
        else:
            unreadable += 1
        versions.add(record.version)
    newest = list(attempts)[:most]
    found = [each for id in newest if (each := _experiment(store, id, attempts[id])) is not None]
    older = len(page) == 5 * most or len(attempts) > most
    return Experiments(tuple(found), frozenset(versions), older, unreadable)


def _experiment(store: Store, id: str, attempts: list[Record]) -> Experiment | None:
    try:
        asked = msgspec.convert(attempts[-1].input["asked"], _Asked)
    except msgspec.ValidationError:
        return None
    document = next((each.output for each in attempts if isinstance(each.output, dict)), {})
    run, calls = attempts[0].run, {each.id for each in attempts}
    with connected(store) as connection:
        answered, parts, judges = _parts(connection, run, calls)
    return Experiment(
        id=id,
        state="done" if any(each.state == "done" for each in attempts) else attempts[0].state,
        started_ns=attempts[-1].started_ns,
        application=asked.application.name,
        dataset=asked.dataset.name,
        dataset_version=asked.dataset.version,
        cases=asked.cases,
        measures=tuple(_measures(document.get("measures"))),
        scorers=tuple(each.name for each in asked.scorers),
        answered=frozenset(answered),
        parts=frozenset(parts),
        judges=frozenset(judges),
        gate=_gate(store, run, calls),
    )


def _gate(store: Store, run: str, attempts: set[str]) -> Verdict | None:
    """The newest verdict of a gate on an experiment; None where none is on record, or as a whole.
    It stands beside the trials; a scorer of that name is inside of one."""
    query = Query(run=run, kinds=("score",), name=RECORDED)
    for record in sorted(store.each(query), key=lambda each: each.id, reverse=True):
        if record.parent in attempts:
            try:
                return msgspec.convert(record.output, Verdict)
            except msgspec.ValidationError:
                return None
    return None


def _parts(
    connection: sa.Connection, run: str, attempts: set[str]
) -> tuple[set[Version], set[Version], set[str]]:
    """Who answered, all that was called for it, and who judged, in the trials of these attempts.
    One pass: an id is later than that of the call around it."""
    c = RECORD.c
    columns = (c.id, c.parent, c.kind, c.name, c.version)
    rows = connection.execute(sa.select(*columns).where(c.run == run).order_by(c.id))
    role: dict[str, str] = {}
    answered: set[Version] = set()
    parts: set[Version] = set()
    judges: set[str] = set()
    for id, parent, kind, name, version in rows:
        around = role.get(parent or "", "")
        if kind == "step" and name == STEP and parent in attempts:
            role[id] = "trial"
        elif around and kind == "score":
            role[id] = "judge"
        elif around == "judge":
            role[id] = "judge"
            if kind == "model":
                judges.add(name)
        elif around:
            role[id] = "part"
            parts.add((kind, name, version))
            if around == "trial":
                answered.add((kind, name, version))
    return answered, parts, judges


def _measures(found: Any) -> Iterator[Measure]:
    for each in found.values() if isinstance(found, dict) else ():
        try:
            yield msgspec.convert(each, Measure)
        except msgspec.ValidationError:  # of another version
            continue


class _Named(msgspec.Struct):
    name: str
    version: str = ""


class _Asked(msgspec.Struct):
    application: _Named
    dataset: _Named
    scorers: list[_Named] = []
    cases: int = 0
