"""Experiments on record: which there are, one of them as a report, the one that was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from onrecord.errors import UnknownNameError, UsageError
from onrecord.evaluation.scoring import Facts
from onrecord.evaluation.statistics import Interval
from onrecord.evaluation.trial import Score, Trial
from onrecord.messages import Usage
from onrecord.records.query import Query
from onrecord.records.record import Record, pack
from onrecord.settings import Settings

if TYPE_CHECKING:
    from onrecord.evaluation.experiments.report import Report
    from onrecord.records.store import Store

FLOW, STEP = "evaluate", "trial"
"""What the records of an experiment, and of a trial, are called."""


def experiments(limit: int = 20) -> list[Record]:
    """The experiments on record, newest first: their outermost calls. Raises StorageError."""
    with reading() as store:
        return store.records(Query(kinds=("flow",), name=FLOW), limit)


def opened(run: str) -> Report:
    """The report of an experiment; of one that was interrupted, of the trials that it finished.

    Raises UnknownNameError for a run that is none, StorageError.
    """
    from onrecord.evaluation.experiments.report import Report, Subject

    with reading() as store:
        whole = store.run_of(run)
        roots = [
            each
            for each in store.each(Query(run=whole, kinds=("flow",), name=FLOW))
            if isinstance(each.input, dict) and "asked" in each.input
        ]
        if not roots:
            raise UnknownNameError(
                "this run is no experiment",
                where=f"run {whole}",
                cure="`onrecord experiments list` shows those there are.",
            )
        trials = _trials(store, whole)
    asked = roots[0].input["asked"]
    summary = next((each.output for each in roots if isinstance(each.output, dict)), {})
    return Report(
        application=Subject(**asked["application"]),
        dataset=Subject(**asked["dataset"]),
        scorers=tuple(msgspec.convert(each, Facts) for each in asked["scorers"]),
        trials=tuple(trials),
        run=whole,
        repeats=asked["repeats"],
        seed=asked["seed"],
        started_ns=roots[0].started_ns,
        seconds=sum(each.seconds for each in roots),
        overall=msgspec.convert(summary.get("overall", {}), dict[str, Interval]),
    )


def finished(run: str) -> dict[tuple[str, int], str]:
    """The ids of the records of an experiment's finished trials, by case and repeat."""
    with reading() as store:
        return {(each.case, each.repeat): each.record for each in _trials(store, run)}


def unfinished(asked: dict[str, Any]) -> str | None:
    """The newest experiment of this question that has not ended well. Raises UsageError where
    nothing is recorded, StorageError."""
    settings = Settings.load()
    if not (settings.record and settings.bodies):
        raise UsageError(
            "there is nothing to go on from: the records are what is kept",
            where="the settings 'record' and 'bodies'",
            cure="Switch them on, or begin anew.",
        )
    wanted = pack(asked)
    before: str | None = None
    with reading() as store:
        while page := store.records(Query(kinds=("flow",), name=FLOW), 100, before):
            for record in page:
                same = isinstance(record.input, dict) and pack(record.input.get("asked")) == wanted
                if same:
                    return None if record.state == "done" else record.run
            before = page[-1].id
    return None


@contextmanager
def reading() -> Iterator[Store]:
    """The project's store, for as long as the block takes. Raises StorageError."""
    from onrecord.records.store import Store

    store = Store.open()
    try:
        yield store
    finally:
        store.close()


def _trials(store: Store, run: str) -> Iterator[Trial]:
    """The finished trials of a run, in the order of its cases; of one that is there again, because
    the experiment was resumed, the first."""
    found: dict[tuple[str, int], Trial] = {}
    for record in store.each(Query(run=run, kinds=("step",), name=STEP, states=("done",))):
        trial = _trial(record)
        if trial is not None:
            found.setdefault((trial.case, trial.repeat), trial)
    cases = {case: at for at, case in enumerate(dict.fromkeys(case for case, _ in found))}
    yield from sorted(found.values(), key=lambda each: (cases[each.case], each.repeat))


def _trial(record: Record) -> Trial | None:
    """None where the record is another's: a user's own step may have the name, too."""
    if not isinstance(record.input, dict) or not isinstance(record.output, dict):
        return None
    try:
        asked = msgspec.convert(record.input, _Asked)
        answered = msgspec.convert(record.output, _Kept)
    except msgspec.ValidationError:
        return None
    fields = {**msgspec.structs.asdict(asked), **msgspec.structs.asdict(answered)}
    return Trial(**fields, record=record.id)


class _Asked(msgspec.Struct):
    case: str
    repeat: int
    input: Any
    expected: Any
    metadata: dict[str, Any]


class _Kept(msgspec.Struct):
    output: Any
    error: str | None
    seconds: float
    cost: int | None
    usage: Usage
    scores: dict[str, Score]
