"""Step by step: what happened inside of a trial, and where it first went wrong.

    Case("17", "How long is the notice?", "four weeks",
         {"steps": {"search": {"any_of": [["handbook.md"]]}, "plan": "look it up"}})

`steps` in a case's metadata says what steps of these names should give. A step is wrong where it
gives something else, or where it failed; the first that was wrong is where to look.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from onrecord.evaluation.experiments.stored import reading
from onrecord.evaluation.metrics import exact_match
from onrecord.evaluation.scoring import Accepting, Scorer, name_of, version_of
from onrecord.evaluation.trial import Score, Trial
from onrecord.records.query import Query
from onrecord.records.record import Record

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
    records = sorted(trial.steps or _stored(trial), key=lambda each: (each.started_ns, each.id))
    depths: dict[str, int] = {}
    found = []
    for record in records:
        depth = depths[record.id] = depths.get(record.parent or "", -1) + 1
        found.append(_step(record, depth, trial))
    return found


def first_wrong(trial: Trial) -> Step | None:
    """The first step that failed or gave something else than it should; of a failure that went
    through several, the innermost. None where no step is known to be wrong."""
    wrong = [each for each in steps(trial) if each.state in ("wrong", "failed")]
    if not wrong:
        return None
    first = wrong[0]
    inside = [each for each in wrong if each.record.ended_ns <= first.record.ended_ns]
    return min(inside, key=lambda each: each.record.ended_ns)


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
        self._scorer = scorer

    async def __call__(self, trial: Trial) -> Score | None:
        """The mean of what it says, or the most frequent label."""
        said: list[Any] = []
        for record in trial.steps:
            if record.name == self.step:
                value = self._scorer(as_trial(record, trial))
                said.append(await value if inspect.isawaitable(value) else value)
        values = [each.value if isinstance(each, Score) else each for each in said]
        known: list[Any] = [each for each in values if each is not None]
        if not known:
            return None
        if isinstance(known[0], str):
            return Score(max(known, key=known.count))
        if isinstance(known[0], Mapping):
            raise TypeError("a scorer of steps gives one value, not several by name")
        mean = sum(known) / len(known)
        return Score(bool(mean) if len(known) == 1 and isinstance(known[0], bool) else mean)


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


def _stored(trial: Trial) -> list[Record]:
    """The records below the trial's own; without those of its scores."""
    if not trial.record:
        return []
    with reading() as store:
        run = store.record(trial.record).run
        records = list(store.each(Query(run=run)))
    inside = list(_inside(trial.record, records))
    scores = {each.id for each in inside if each.kind == "score"}
    for each in inside:
        if each.parent in scores:
            scores.add(each.id)
    return [each for each in inside if each.id not in scores]


_RIGHT = Accepting(exact_match)
