"""Experiments on record: which there are, one of them as a report, the one that was interrupted."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from onrecord.errors import UnknownNameError, UsageError
from onrecord.evaluation.scoring import Facts
from onrecord.evaluation.statistics import Interval
from onrecord.evaluation.trial import Score, Trial
from onrecord.messages import Usage
from onrecord.records.call import RESUMED
from onrecord.records.frames import Start
from onrecord.records.query import Query
from onrecord.records.record import Record, pack
from onrecord.settings import Settings

if TYPE_CHECKING:
    from onrecord.evaluation.experiments.report import Report
    from onrecord.records.store import Store

FLOW, STEP = "evaluate", "trial"
"""What the records of an experiment, and of a trial, are called."""


def experiments(limit: int = 20) -> list[Record]:
    """The experiments on record, newest first: of each its newest attempt; also those that were
    kept without their bodies, so that only their time and state are known. Raises StorageError."""
    found: dict[str, Record] = {}
    with reading() as store:
        for record in _attempts(store, unreadable=True):
            if found.setdefault(id_of(record), record) is record and len(found) == limit:
                break
    return list(found.values())


def id_of(attempt: Record | Start) -> str:
    """What an experiment is called: the id of its run, whichever attempt at it this is; where it
    was made inside of another flow, that of its own call."""
    is_outermost = attempt.parent is None or RESUMED in attempt.tags
    return attempt.run if is_outermost else attempt.id


def run_of(experiment: str) -> str:
    """The run that an experiment's records are in: most often its own. Raises StorageError."""
    with reading() as store:
        return store.record(experiment).run


def opened(run: str) -> Report:
    """The report of an experiment; of one that was interrupted, of the trials that it finished.

    Raises UnknownNameError for a run that is none, or that holds several; StorageError.
    """
    from onrecord.evaluation.experiments.report import Report, Subject

    with reading() as store:
        attempts = _experiment(store, run)
        answered = list(_trials(store, attempts))
        is_whole = any(each.state == "done" for each in attempts)
        begun = () if is_whole else _begun(store, attempts, [trial for trial, _ in answered])
    question = msgspec.convert(attempts[0].input["asked"], _Question)
    summary = next((each.output for each in attempts if isinstance(each.output, dict)), {})
    return Report(
        application=Subject(**question.application),
        dataset=Subject(**question.dataset),
        scorers=tuple(question.scorers),
        trials=tuple(trial for trial, _ in answered),
        run=id_of(attempts[0]),
        repeats=question.repeats,
        seed=question.seed,
        started_ns=attempts[0].started_ns,
        seconds=sum(each.seconds for each in attempts),
        scoring_cost=summed(cost for _, cost in answered),
        overall=msgspec.convert(summary.get("overall", {}), dict[str, Interval]),
        unanswered=0 if is_whole else question.cases * question.repeats - len(answered),
        begun=begun,
    )


def finished(run: str) -> dict[tuple[str, int], str]:
    """The ids of the records of an experiment's finished trials, by case and repeat."""
    with reading() as store:
        trials = _trials(store, _experiment(store, run))
        return {(each.case, each.repeat): each.record for each, _ in trials}


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
    other: Record | None = None
    ended: set[str] = set()
    with reading() as store:
        for record in _attempts(store):
            id = id_of(record)
            if id != record.run:
                continue  # inside of another flow: that one is what can be resumed
            if record.state == "done":
                ended.add(id)
            if pack(record.input["asked"]) == wanted:
                return None if id in ended else id
            if other is None and id not in ended and _is_alike(record.input["asked"], asked):
                other = record
    if other is not None:
        _log.warning(
            "%s begins anew: run %s was interrupted, but %s other than now",
            asked["application"]["name"],
            other.run,
            _differing(other.input["asked"], asked),
        )
    return None


def _attempts(store: Store, *, unreadable: bool = False) -> Iterator[Record]:
    """The outermost calls of experiments, the newest first; not a user's flow of that name."""
    before: str | None = None
    while page := store.records(Query(kinds=("flow",), name=FLOW), 100, before):
        for record in page:
            if _is_experiment(record) or (unreadable and record.input is None):
                yield record
        before = page[-1].id


def _experiment(store: Store, given: str) -> list[Record]:
    """The attempts at one experiment, the first one first."""
    whole = store.run_of(given)
    found: dict[str, list[Record]] = {}
    for each in store.each(Query(run=whole, kinds=("flow",), name=FLOW)):
        if _is_experiment(each):
            found.setdefault(id_of(each), []).append(each)
    if not found:
        raise UnknownNameError(
            "this run is no experiment",
            where=f"run {whole}",
            cure="`onrecord experiments list` shows those there are.",
        )
    named = [id for id in found if id.startswith(given)] if len(found) > 1 else list(found)
    if len(named) != 1:
        raise UnknownNameError(
            f"this run holds {len(found):,} experiments",
            where=f"run {whole}",
            cure=f"Name one of them: {', '.join(found)}.",
        )
    return sorted(found[named[0]], key=lambda each: each.id)


def _is_experiment(record: Record) -> bool:
    if not isinstance(record.input, dict):
        return False
    try:
        msgspec.convert(record.input.get("asked"), _Question)
    except msgspec.ValidationError:
        return False
    return True


def _is_alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two questions are of the same application and dataset, by name."""
    return all(one[each]["name"] == other[each]["name"] for each in ("application", "dataset"))


def _differing(one: dict[str, Any], other: dict[str, Any]) -> str:
    found = [each for each in other if pack(one.get(each)) != pack(other[each])]
    return f"{' and '.join(found)} {'was' if len(found) == 1 else 'were'}"


@contextmanager
def reading() -> Iterator[Store]:
    """The project's store, for as long as the block takes. Raises StorageError."""
    from onrecord.records.store import Store

    store = Store.open()
    try:
        yield store
    finally:
        store.close()


def _trials(store: Store, attempts: list[Record]) -> Iterator[tuple[Trial, int | None]]:
    """The finished trials of an experiment with what scoring each cost, in the order of its cases:
    that in which they were begun, if ever. Of one that is there again, because the experiment was
    resumed, the first."""
    inside = {each.id for each in attempts}
    found: dict[tuple[str, int], tuple[Trial, int | None]] = {}
    cases: dict[str, int] = {}
    for record in store.each(Query(run=attempts[0].run, kinds=("step",), name=STEP)):
        if record.parent not in inside or not isinstance(record.input, dict):
            continue
        cases.setdefault(str(record.input.get("case")), len(cases))
        if record.state == "done" and (answered := _trial(record)) is not None:
            found.setdefault((answered[0].case, answered[0].repeat), answered)
    yield from sorted(found.values(), key=lambda each: (cases[each[0].case], each[0].repeat))


def _begun(store: Store, attempts: list[Record], answered: Iterable[Trial]) -> tuple[str, ...]:
    """The cases of the trials that were begun and never answered."""
    inside = {each.id for each in attempts}
    ended = {(each.case, each.repeat) for each in answered}
    found = [
        str(each.input["case"])
        for each in store.each(Query(run=attempts[0].run, kinds=("step",), name=STEP))
        if each.parent in inside
        and isinstance(each.input, dict)
        and (each.input.get("case"), each.input.get("repeat")) not in ended
    ]
    return tuple(dict.fromkeys(found))


def _trial(record: Record) -> tuple[Trial, int | None] | None:
    """None where it has no body, or is of another version."""
    try:
        asked = msgspec.convert(record.input, _Asked)
        answered = msgspec.convert(record.output, _Kept)
    except msgspec.ValidationError:
        return None
    fields = {**msgspec.structs.asdict(asked), **msgspec.structs.asdict(answered)}
    cost = fields.pop("scoring_cost")
    return Trial(**fields, record=record.id), cost


def summed(costs: Iterable[int | None]) -> int | None:
    """Costs together; None where one of them is not known."""
    total = 0
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return total


class _Question(msgspec.Struct):
    """What an experiment was asked, as it stands on record."""

    application: dict[str, str]
    dataset: dict[str, str]
    scorers: list[Facts]
    cases: int
    repeats: int
    seed: int


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
    scoring_cost: int | None = 0


_log = logging.getLogger("onrecord")
