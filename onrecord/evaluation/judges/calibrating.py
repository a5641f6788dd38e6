"""Asking a judge about the answers that people have labelled, and about the rest of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation.judges.calibration import Calibration, Disagreement, Unlabelled
from onrecord.evaluation.judges.correction import Confusion
from onrecord.evaluation.judges.many import many
from onrecord.evaluation.scoring import Scorers
from onrecord.evaluation.trial import Score, Trial
from onrecord.records.call import call
from onrecord.records.record import pack, plain

if TYPE_CHECKING:
    from onrecord.evaluation.experiments.report import Report
    from onrecord.evaluation.judges.judge import Judge


class Labelling:
    """Trials with what people say of them, and the report that they are from.

    Raises UsageError where labels are no booleans, name cases that are not there, are too few, or
    all the same.
    """

    def __init__(
        self,
        labels: Mapping[str, bool] | Sequence[tuple[Trial, bool]],
        report: Report | None,
    ) -> None:
        self.report = report
        pairs = _by_case(labels, report) if isinstance(labels, Mapping) else _pairs(labels)
        self.left_out = sum(trial.error is not None for trial, _ in pairs)
        self.pairs = [(trial, label) for trial, label in pairs if trial.error is None]
        places = [(trial.case, trial.repeat) for trial, _ in self.pairs]
        for place in places:
            if report is not None and places.count(place) > 1:
                raise UsageError(
                    f"case '{place[0]}' is labelled twice", cure="Settle on one verdict for each."
                )
        check([label for _, label in self.pairs], "labels of answers")

    @property
    def inside(self) -> bool:
        """Whether all labelled answers are answers of the report."""
        answers = {(each.case, each.repeat): each.output for each in self.report or ()}
        return bool(answers) and all(
            (trial.case, trial.repeat) in answers
            and answers[trial.case, trial.repeat] == trial.output
            for trial, _ in self.pairs
        )

    @property
    def rest(self) -> list[Trial]:
        """The answers of the report that nobody has labelled."""
        done = {(each.case, each.repeat) for each, _ in self.pairs} if self.inside else set()
        return [
            each
            for each in self.report or ()
            if each.error is None and (each.case, each.repeat) not in done
        ]


def check(labels: Sequence[bool], what: str) -> None:
    """Raises UsageError where labels say nothing of a judge."""
    if len(labels) < _LEAST:
        raise UsageError(
            f"{len(labels)} {what} are too few to calibrate a judge by",
            cure=f"Label {_LEAST} at least; 100 give intervals that are worth having.",
        )
    if len(set(labels)) < 2:
        said = "pass" if labels[0] else "fail"
        raise UsageError(
            f"all {len(labels)} {what} say {said}: what the judge does with the others is not seen",
            cure="Label answers until there are some of both kinds.",
        )


async def calibrated(
    judge: Judge, given: Labelling, of: str | None, at_least: float | None, concurrent: int
) -> Calibration:
    """What the labels say of a judge, on one record."""
    asked = {
        "judge": plain(judge.card),
        "labels": {f"{each.case} {each.repeat}": label for each, label in given.pairs},
        "report": given.report.run if given.report is not None else "",
    }
    reader = Calibration(
        judge=judge.name,
        version=judge.version,
        confusion=Confusion(0, 0, 0, 0),
        of=_criterion(judge, of),
        at_least=at_least,
    )
    with call("flow", "calibrate", asked, version=judge.version) as this:
        trials = [each for each, _ in given.pairs] + given.rest
        seen = await many(_Seeing(judge, given.report), trials, judge.name, concurrent)
        labelled, rest = seen[: len(given.pairs)], seen[len(given.pairs) :]
        labels = [label for _, label in given.pairs]
        result = _summary(reader, list(zip(labelled, labels, strict=True)), rest, given)
        this.output = msgspec.structs.replace(result, unlabelled=())
    return result


class _Seeing:
    """A trial with the judge's scores: those that the report has, else new ones."""

    def __init__(self, judge: Judge, report: Report | None) -> None:
        facts = report.scorers if report is not None else ()
        known = any((each.name, each.version) == (judge.name, judge.version) for each in facts)
        self._known = {id(each) for each in report or ()} if known else set()
        self._scorers = Scorers([judge])

    async def __call__(self, trial: Trial) -> Trial:
        if id(trial) in self._known:
            return trial
        scores, _ = await self._scorers.scored(trial)
        return msgspec.structs.replace(trial, scores=scores)


def _summary(
    reader: Calibration,
    labelled: list[tuple[Trial, bool]],
    rest: list[Trial],
    given: Labelling,
) -> Calibration:
    judged = [
        (trial, verdict, label)
        for trial, label in labelled
        if (verdict := reader.passes(trial)) is not None
    ]
    if not judged:
        first = next((each.error for trial, _ in labelled for each in trial.scores.values()), None)
        raise UsageError(
            f"the judge has a verdict on none of {len(labelled)} labelled answers",
            where=reader.judge,
            cure=f"The first error: {first}" if first else "It applies to none of them.",
        )
    check([label for _, _, label in judged], "labels with a verdict of the judge")
    counts = [0, 0, 0, 0]
    for _, verdict, label in judged:
        counts[2 * (not verdict) + (not label)] += 1
    every = [trial for trial, _ in labelled] + rest if given.inside else rest
    failed = [each for each in given.report or () if each.error is not None]
    known, answered = reader.counted(every + failed) if given.report is not None else (None, None)
    return msgspec.structs.replace(
        reader,
        confusion=Confusion(*counts),
        judged=known,
        answered=answered,
        inside=given.inside,
        factor=len({trial.case for trial, _, _ in judged}) / len(judged),
        unanswered=len(labelled) - len(judged),
        left_out=given.left_out,
        disagreements=tuple(
            Disagreement(trial.case, trial.repeat, label, verdict, _reason(reader, trial))
            for trial, verdict, label in judged
            if verdict != label
        ),
        wavering=_wavering(reader, every),
        unlabelled=tuple(
            Unlabelled(each.case, each.repeat, said)
            for each in rest
            if (said := reader.passes(each)) is not None
        ),
    )


def _wavering(reader: Calibration, trials: Sequence[Trial]) -> tuple[str, ...]:
    """The cases whose equal answers got different verdicts."""
    seen: dict[tuple[str, bytes], bool] = {}
    found: dict[str, None] = {}
    for trial in trials:
        verdict = reader.passes(trial)
        if verdict is not None and seen.setdefault(_same(trial), verdict) is not verdict:
            found[trial.case] = None
    return tuple(found)


def _same(trial: Trial) -> tuple[str, bytes]:
    return trial.case, pack(trial.output)


def _reason(reader: Calibration, trial: Trial) -> str:
    name = f"{reader.judge}.{reader.of}" if reader.of else reader.judge
    return trial.scores.get(name, Score(None)).reason


def _criterion(judge: Judge, of: str | None) -> str:
    there = judge.asking.criteria
    if of is None and len(there) < 2:
        return "".join(there)
    if of not in there:
        said = f"has no criterion '{of}'" if of else f"has {len(there)} criteria"
        raise UsageError(
            f"the judge '{judge.name}' {said}, and one is calibrated at a time",
            cure=f"Say which: of= one of {', '.join(there)}." if there else "Leave `of` out.",
        )
    return of


def _by_case(labels: Mapping[str, Any], report: Report | None) -> list[tuple[Trial, bool]]:
    if report is None:
        raise UsageError(
            "labels by case need the report with the answers",
            cure="Write judge.calibrate(labels, report), or give pairs of a trial and a label.",
        )
    trials: dict[str, list[Trial]] = {}
    for trial in report:
        trials.setdefault(trial.case, []).append(trial)
    missing = [each for each in labels if each not in trials]
    if missing:
        more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
        raise UsageError(
            f"the report has no case {', '.join(map(repr, missing[:3]))}{more}",
            cure="Labels are by the ids of its cases.",
        )
    for case in labels:
        if len(trials[case]) > 1:
            raise UsageError(
                f"case '{case}' was answered {len(trials[case])} times: which one is labelled?",
                cure="Give pairs: [(trial, True), …], with the trials of the report.",
            )
    return [(trials[case][0], _bool(label, case)) for case, label in labels.items()]


def _pairs(labels: Any) -> list[tuple[Trial, bool]]:
    found = []
    for at, pair in enumerate(labels):
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], Trial)):
            raise UsageError(
                f"label {at + 1} is no pair of a trial and a verdict: {pair!r:.80}",
                cure="Write [(trial, True), …], or {case: True} with a report.",
            )
        found.append((pair[0], _bool(pair[1], pair[0].case)))
    return found


def _bool(label: Any, case: str) -> bool:
    value = label.item() if type(label).__module__ == "numpy" else label
    if not isinstance(value, bool):
        raise UsageError(
            f"the label of case '{case}' is {label!r:.40}, and a label is True or False",
            cure="Leave out the cases that nobody could decide.",
        )
    return value


_LEAST = 10
