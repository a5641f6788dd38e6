"""Step by step: what happened inside of a trial, and where it first went wrong.

    Case("17", "How long is the notice?", "four weeks",
         {"steps": {"search": {"any_of": [["handbook.md"]]}, "plan": "look it up"}})

`steps` in a case's metadata says what steps of these names should give. A step is wrong where it
gives something else, or where it failed; the first that was wrong is where to look.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from onrecord.evaluation.experiments.stored import reading
from onrecord.evaluation.meant import closest
from onrecord.evaluation.metrics import exact_match
from onrecord.evaluation.scoring import Accepting, Scorer, name_of, version_of
from onrecord.evaluation.statistics import Interval
from onrecord.evaluation.trial import Score, Trial
from onrecord.records.query import Query
from onrecord.records.record import Record
from onrecord.records.views.wording import shortened

if TYPE_CHECKING:
    from onrecord.records.store import Store

State = Literal["", "right", "wrong", "failed"]


class Step(msgspec.Struct, frozen=True):
    """One recorded call inside of a trial: `depth` 0 is the application's own. `state` is empty
    where nobody said what it should give."""

    record: Record
    depth: int
    state: State = ""
    expected: Any = None


def steps(trial: Trial) -> list[Step]:
    """The calls inside of a trial in the order in which they began, each with its verdict.

    They come with the trial while it is scored, and from the records later. Raises StorageError.
    """
    return steps_of(trial, trial.steps or recorded([trial]).get(trial.record, ()))


def steps_of(trial: Trial, records: Iterable[Record]) -> list[Step]:
    """The same of records that are at hand: those that `recorded` gave for several trials."""
    records = sorted(records, key=lambda each: (each.started_ns, each.id))
    depths: dict[str, int] = {}
    found = []
    for record in records:
        depth = depths[record.id] = depths.get(record.parent or "", -1) + 1
        found.append(_step(record, depth, trial))
    return found


def first_wrong(trial: Trial) -> Step | None:
    """The first step that failed or gave something else than it should; of a failure that went
    through several, the innermost. None where no step is known to be wrong."""
    return first_wrong_of(steps(trial))


def first_wrong_of(steps: Sequence[Step]) -> Step | None:
    """The same of steps that are at hand."""
    wrong = [each for each in steps if each.state in ("wrong", "failed")]
    if not wrong:
        return None
    first = wrong[0]
    inside = [each for each in wrong if each.record.ended_ns <= first.record.ended_ns]
    return min(inside, key=lambda each: each.record.ended_ns)


def never_called(trial: Trial, records: Iterable[Record]) -> list[tuple[str, str]]:
    """The names under `steps` of a case that nothing inside was called by, each with the name that
    was perhaps meant, or "". `records`: those inside of the trial."""
    there = {each.name for each in records}
    return [(name, closest(name, there)) for name in _expected(trial) if name not in there]


class NeverCalled:
    """The names under `steps` that nothing was called by in any trial of an experiment: told once,
    at its end, for one of them is perhaps misspelt."""

    def __init__(self) -> None:
        self._missing: dict[str, tuple[int, str]] = {}
        """Of each name, in how many trials it was missed, and what was perhaps meant."""
        self._there: set[str] = set()

    def look(self, trial: Trial, records: Sequence[Record]) -> None:
        """Take a trial in that was recorded, with what was called inside."""
        self._there.update(each.name for each in records)
        if trial.error is not None:  # it may have ended before it came to that step
            return
        for name, close in never_called(trial, records):
            count, other = self._missing.get(name, (0, ""))
            self._missing[name] = count + 1, other or close

    def tell(self) -> None:
        """Warn of those names."""
        for name, (count, close) in self._missing.items():
            if name in self._there:
                continue
            guess = f": did you mean '{shortened(close, 60)}'?" if close else ""
            _log.warning(
                "nothing was called '%s', as the steps of %s say%s",
                shortened(name, 60),
                "a case" if count == 1 else f"{count:,} trials",
                guess,
            )


class OnStep:
    """A scorer for the calls of one name inside of a trial: what it says of each, as their mean.

    The scorer sees a trial whose input and output are the step's; expected is what the case's
    metadata say under `steps`. It does not apply where no such call was made.
    """

    def __init__(self, step: str, scorer: Scorer) -> None:
        self.step = step
        self.name = f"{step}: {name_of(scorer)}"
        self.version = version_of(scorer)
        self.better = getattr(scorer, "better", "higher")
        if hasattr(scorer, "worst"):  # of one that does not say, it is what `scoring` says
            self.worst = scorer.worst
        self._scorer = scorer
        self._others: set[str] = set()
        """What else was called, where this never was."""
        self._is_met = False

    async def __call__(self, trial: Trial) -> Score | None:
        """The mean of what it says, or the most frequent label."""
        said: list[Any] = []
        for record in trial.steps:
            if record.name != self.step:
                self._others.add(record.name)
            else:
                self._is_met = True
                value = self._scorer(as_trial(record, trial))
                said.append(await value if inspect.isawaitable(value) else value)
        values = [each.value if isinstance(each, Score) else each for each in said]
        known: list[Any] = [each for each in values if each is not None]
        if not known:
            return _why_nothing([each for each in said if isinstance(each, Score)])
        if isinstance(known[0], str):
            return Score(max(known, key=known.count))
        if isinstance(known[0], Mapping):
            raise TypeError("a scorer of steps gives one value, not several by name")
        mean = sum(known) / len(known)
        return Score(bool(mean) if len(known) == 1 and isinstance(known[0], bool) else mean)

    def overall(self, trials: Sequence[Trial]) -> dict[str, Interval]:
        """Nothing; but where no step of that name was ever called, the log says so. Where cases
        name the step themselves, the experiment does."""
        is_told = any(self.step in _expected(each) for each in trials)
        if self._others and not self._is_met and not is_told:
            close = closest(self.step, self._others)
            guess = f": did you mean '{close}'?" if close else ""
            _log.warning("no step was called '%s'%s", self.step, guess)
        self._others, self._is_met = set(), False
        return {}


def _why_nothing(scores: Sequence[Score]) -> Score | None:
    """Of scores without a value the first that failed, else the first that says why."""
    failed = next((each for each in scores if each.error is not None), None)
    return failed or next((each for each in scores if each.reason), None)


def as_trial(record: Record, trial: Trial) -> Trial:
    """A call as a trial of its own, with what the case says that it should give."""
    return Trial(
        case=trial.case,
        input=record.input,
        output=record.output,
        expected=_expected(trial).get(record.name),
        metadata=trial.metadata,
        repeat=trial.repeat,
        error=record.error,
        seconds=record.seconds,
        cost=record.cost,
        usage=record.usage,
        record=record.id,
        steps=tuple(_inside(record.id, trial.steps)),
    )


def _step(record: Record, depth: int, trial: Trial) -> Step:
    expected = _expected(trial).get(record.name)
    if record.error is not None or record.state == "failed":
        return Step(record, depth, "failed", expected)
    if expected is None:
        return Step(record, depth)
    right = _RIGHT(as_trial(record, trial))
    return Step(record, depth, "right" if right else "wrong", expected)


def _expected(trial: Trial) -> Mapping[str, Any]:
    said = trial.metadata.get("steps")
    return said if isinstance(said, Mapping) else {}


def _inside(id: str, records: Sequence[Record]) -> Iterable[Record]:
    inside = {id}
    for each in sorted(records, key=lambda each: each.id):
        if each.parent in inside:
            inside.add(each.id)
            yield each


def recorded(trials: Iterable[Trial]) -> dict[str, tuple[Record, ...]]:
    """What is on record inside of these trials, by the ids of their records; without their scores.

    A trial that is not on record here has nothing. Raises StorageError.
    """
    wanted = [each.record for each in trials if each.record]
    if not wanted:
        return {}
    with reading() as store:
        runs = {each.run for each in _by_id(store, wanted)}
        inside = {id: ids for run in runs for id, ids in _ids(store.run(run, bodies=False), wanted)}
        found = {
            each.id: each for each in _by_id(store, [id for ids in inside.values() for id in ids])
        }
    return {id: tuple(found[each] for each in ids if each in found) for id, ids in inside.items()}


def _ids(records: list[Record], wanted: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The ids of what was called inside of each of these, scores and what they called left out."""
    of: dict[str, str] = {id: id for id in wanted}
    found: dict[str, list[str]] = {id: [] for id in wanted}
    for each in sorted(records, key=lambda each: each.id):
        trial = of.get(each.parent or "")
        if trial is not None and each.kind != "score":
            of[each.id] = trial
            found[trial].append(each.id)
    known = {each.id for each in records}
    yield from ((id, ids) for id, ids in found.items() if id in known)


def _by_id(store: Store, ids: Sequence[str]) -> Iterator[Record]:
    for at in range(0, len(ids), _AT_ONCE):
        yield from store.each(Query(ids=tuple(ids[at : at + _AT_ONCE])))


_log = logging.getLogger("onrecord")
_AT_ONCE = 400
_RIGHT = Accepting(exact_match)
