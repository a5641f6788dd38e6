"""Experiments on record: which there are, one of them as a report, the one that was interrupted."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

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
from onrecord.records.views.wording import shortened
from onrecord.settings import Settings

if TYPE_CHECKING:
    from onrecord.evaluation.experiments.report import Report
    from onrecord.records.store import Store

FLOW, STEP = "evaluate", "trial"
"""What the records of an experiment, and of a trial, are called."""


class Earlier(NamedTuple):
    """What attempts at an experiment have done: the ids of the records of the trials that they
    finished, by case and repeat, and the seconds that they took."""

    ids: dict[tuple[str, int], str]
    seconds: float


def experiments(limit: int = 20) -> list[Record]:
    """The experiments on record, newest first: of each its newest attempt; also those that were
    kept without their bodies, so that only their time and state are known. One that was cancelled
    (Ctrl-C) is "interrupted", as one that was killed. Raises StorageError."""
    found: dict[str, Record] = {}
    with reading() as store:
        for record in map(_interrupted, _attempts(store, unreadable=True)):
            if found.setdefault(id_of(record), record) is record and len(found) == limit:
                break
    return list(found.values())


def _interrupted(record: Record) -> Record:
    is_cancelled = record.state == "failed" and record.error == "cancelled"
    return msgspec.structs.replace(record, state="interrupted") if is_cancelled else record


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
        took = _took(store, attempts)
    _tell_not_kept([trial for trial, _ in answered])
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
        seconds=took,
        scoring_cost=summed(cost for _, cost in answered),
        overall=msgspec.convert(summary.get("overall", {}), dict[str, Interval]),
        unanswered=0 if is_whole else question.cases * question.repeats - len(answered),
        begun=begun,
    )


def earlier(run: str) -> Earlier:
    """What the attempts at an experiment have done until now. Raises UnknownNameError,
    StorageError."""
    with reading() as store:
        attempts = _experiment(store, run)
        trials = _trials(store, attempts)
        ids = {(each.case, each.repeat): each.record for each, _ in trials}
        return Earlier(ids, _took(store, attempts))


def _took(store: Store, attempts: list[Record]) -> float:
    """The seconds that an experiment took: as its report said, else until the end of the last
    record of each attempt, for one that was killed has no end of its own."""
    for each in attempts:
        if isinstance(each.output, dict) and isinstance(each.output.get("seconds"), int | float):
            return float(each.output["seconds"])
    ends = {each.id: each.ended_ns for each in attempts}
    for record in store.each(Query(run=attempts[0].run, kinds=("step",), name=STEP)):
        if record.parent in ends:
            ends[record.parent] = max(ends[record.parent], record.ended_ns)
    return sum(max(ends[each.id] - each.started_ns, 0) for each in attempts) / 1e9


def _tell_not_kept(trials: Iterable[Trial]) -> None:
    """Which outputs are not in the report, because they were too large to be kept."""
    if not (found := [each for each in trials if each.not_kept]):
        return
    some = ", ".join(f"{shortened(each.case, 40)} ({each.not_kept:,} bytes)" for each in found[:3])
    several = "1 output was" if len(found) == 1 else f"{len(found):,} outputs were"
    _log.warning(
        "%s too large to be kept (setting max_body_mb), and only what it scored is there: %s%s",
        several,
        some,
        " …" if len(found) > 3 else "",
    )


def unfinished(asked: dict[str, Any]) -> str | None:
    """The newest experiment of this question that has not ended well; where there is none, the log
    says so. Raises UsageError where nothing is recorded, StorageError."""
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
                if id not in ended:
                    return id
                _log.warning(
                    "%s begins anew: the newest experiment like this, run %s, has come to its end",
                    asked["application"]["name"],
                    id,
                )
                return None
            if other is None and id not in ended and _is_alike(record.input["asked"], asked):
                other = record
    if other is not None:
        _log.warning(
            "%s begins anew: run %s was interrupted, but %s other than now",
            asked["application"]["name"],
            other.run,
            _differing(other.input["asked"], asked),
        )
    else:
        name = asked["application"]["name"]
        _log.warning("%s begins anew: no experiment like this was interrupted", name)
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
        if record.parent not in inside:
            continue
        answered = _trial(record) if record.state == "done" else None
        if answered is not None:
            cases.setdefault(answered[0].case, len(cases))
            found.setdefault((answered[0].case, answered[0].repeat), answered)
        elif isinstance(record.input, dict):
            cases.setdefault(str(record.input.get("case")), len(cases))
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
    """None where it has no body, or is of another version. Of an input that was too large to be
    kept, what stands there in its place."""
    try:
        answered = msgspec.convert(record.output, _Kept)
        if isinstance(record.input, str) and answered.case:
            asked = _Asked(answered.case, answered.repeat, record.input, None, {})
        else:
            asked = msgspec.convert(record.input, _Asked)
    except msgspec.ValidationError:
        return None
    fields = {**msgspec.structs.asdict(answered), **msgspec.structs.asdict(asked)}
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
    case: str = ""
    repeat: int = 0
    not_kept: int = 0


_log = logging.getLogger("onrecord")
