"""`evaluate`: an application answers every case, scorers look at every answer.

    flow evaluate             what was evaluated, on what; its output is the report's measures
      step trial              one case, answered once: the answer, what it took, its scores
        …                     the application's own records
        score NAME            what an asynchronous scorer said: what a judge asked is inside

An experiment that was interrupted goes on from its records: what has finished is not asked again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from onrecord.calling import Operation
from onrecord.errors import PausedError, ResumeError, UsageError
from onrecord.evaluation.dataset import Dataset
from onrecord.evaluation.experiments.application import Application, own
from onrecord.evaluation.experiments.plan import Plan
from onrecord.evaluation.experiments.report import Report, Subject
from onrecord.evaluation.experiments.steps import NeverCalled
from onrecord.evaluation.experiments.stored import Earlier, earlier, id_of, summed, unfinished
from onrecord.evaluation.scorers import exact_match, token_f1
from onrecord.evaluation.scoring import LATE, Scorer, Scorers, failure, is_its_own
from onrecord.evaluation.trial import Score, Trial
from onrecord.evaluation.waiting import Clock, Late
from onrecord.messages import Progress, Usage
from onrecord.programs.flow import Flow, Recorded
from onrecord.programs.pausing import under_way
from onrecord.progress import shown
from onrecord.records.call import PauseSignal, current
from onrecord.records.record import Record, pack
from onrecord.records.scope import recording
from onrecord.records.views.wording import dollars, shortened

Asked = tuple[str, int, Any, Any, dict[str, Any]]
"""A case's id, the number of the repeat, the case's input, what is expected, its metadata."""


class Answered(msgspec.Struct, frozen=True):
    """What is on record of a trial; the fields are those of Trial. `scoring_cost`: what the scorers
    took, in integer micro-dollars."""

    output: Any
    error: str | None
    seconds: float
    cost: int | None
    usage: Usage
    scores: dict[str, Score]
    scoring_cost: int | None
    case: str = ""
    repeat: int = 0
    not_kept: int = 0


@Operation
async def evaluate(
    application: Any,
    dataset: Dataset,
    scorers: Sequence[Scorer] | None = None,
    *,
    repeats: int = 1,
    concurrent: int = 8,
    seed: int = 0,
    seconds: float | None = None,
    resume: bool = False,
    skip: Collection[str] = (),
) -> Report:
    """Let an application answer every case of a dataset, and score the answers.

    `application`: a flow, prompt, task or function; it is called with a case's input (an object
    whose keys are its parameters: by name). `scorers`: functions that take a trial, such as those
    of `on.scorers`; if you say nothing, exact_match and token_f1. `repeats`: so many times each
    case; a parameter `seed` of the application gets `seed` + the number of the repeat.
    `concurrent`: so many at once. `seconds`: so long the application may take for a trial, and so
    long each scorer; a plain function that takes longer runs on, in a thread that nobody waits for,
    and an asynchronous one that never awaits cannot be ended. `resume`: go on with the newest
    experiment of the same application, cases and scorers that was interrupted; where there is none,
    all begins anew, and the log says so. `skip`: the ids of cases that are not asked, and are
    failures: one that kills the process.

    The trials of the report are in the order of the cases, whichever was done first. An application
    that fails is a trial with an `error`, and so is one that waits for a person. Raises UsageError
    before anything is asked where application, cases and scorers do not fit; LimitError where a
    budget around ends, and then `resume` goes on.
    """
    experiment = _Experiment(
        Application(application),
        _checked(dataset),
        Scorers(_given(scorers)),
        Plan(repeats, concurrent, seed, seconds, skip),
    )
    experiment.check()
    flow = Flow(experiment.function())
    run = await asyncio.to_thread(unfinished, experiment.asked) if resume else None
    if run is None:
        await flow(experiment.asked)
        return experiment.report
    experiment.go_on_from(await asyncio.to_thread(earlier, run))
    await _go_on(flow, run)
    return experiment.report


async def _go_on(flow: Flow[Any, Any], run: str) -> None:
    try:
        await flow.resume(run)
    except ResumeError as error:
        raise ResumeError(
            f"the experiment cannot go on: {error.what}",
            where=error.where,
            cure=error.cure or "What it calls has changed since: begin anew, without `resume`.",
        ) from None


def _checked(dataset: Any) -> Dataset:
    if not isinstance(dataset, Dataset):
        raise UsageError(
            f"the cases are a {type(dataset).__name__}, not a dataset",
            cure="Write on.Dataset([on.Case(…), …]), or read a file: on.Dataset.read(PATH).",
        )
    return dataset


def _given(scorers: Any) -> Any:
    """The scorers, or the usual ones. Raises UsageError for names of scorers."""
    if scorers is None:
        return exact_match, token_f1
    several = scorers if isinstance(scorers, list | tuple) else [scorers]
    for each in several:
        if isinstance(each, str):
            raise UsageError(
                f"a scorer is a function, not the name '{shortened(each, 40)}'",
                cure="Write scorers=[on.scorers.exact_match], without quotes.",
            )
    return scorers


class _Experiment:
    """The work, and the report that it ends with."""

    report: Report

    def __init__(
        self, application: Application, dataset: Dataset, scorers: Scorers, plan: Plan
    ) -> None:
        self._application = application
        self._dataset = dataset
        self._scorers = scorers
        self._plan = plan
        self._subjects = (
            Subject(application.name, application.version),
            Subject(dataset.name, dataset.version),
        )
        self._trial = Recorded(self._recorded_trial(), "step")
        self._ids: dict[tuple[str, int], str] = {}
        """The ids of the trials' records; no part of what is on record of a trial."""
        self._large: dict[tuple[str, int], Any] = {}
        """Outputs that are too large for a record, until they are in the report."""
        self._seconds_before = 0.0
        self._never_called = NeverCalled()

    @property
    def asked(self) -> dict[str, Any]:
        """The question, as it stands on record; `resume` looks for one that is the same."""
        application, dataset = map(msgspec.to_builtins, self._subjects)
        return {
            "application": application,
            "dataset": dataset,
            "scorers": [msgspec.to_builtins(each) for each in self._scorers.facts],
            "cases": len(self._dataset),
            "repeats": self._plan.repeats,
            "seed": self._plan.seed,
        }

    def go_on_from(self, earlier: Earlier) -> None:
        """What earlier attempts have done."""
        self._ids.update(earlier.ids)
        self._seconds_before = earlier.seconds

    def check(self) -> None:
        """Raises UsageError where there is nothing to do, or it cannot be done."""
        if not len(self._dataset):
            raise UsageError(
                "there is nothing to evaluate on: the dataset has no cases",
                where=self._dataset.place or self._dataset.name,
            )
        self._plan.check(self._dataset)
        self._application.check(self._dataset, self._plan.seed)

    def function(self) -> Callable[..., Any]:
        """The function that is recorded."""

        async def evaluate(asked: dict[str, Any]) -> dict[str, Any]:
            started_ns, began = time.time_ns(), time.monotonic() - self._seconds_before
            here = current()
            run = id_of(here.start) if here is not None and here.home is not None else ""
            trials = await self._trials()
            self._tell_left()
            self._never_called.tell()
            every = tuple(trial for trial, _ in trials)
            overall = await asyncio.to_thread(self._scorers.overall, every)
            application, dataset = self._subjects
            self.report = Report(
                application=application,
                dataset=dataset,
                scorers=self._scorers.facts,
                trials=every,
                run=run,
                repeats=self._plan.repeats,
                seed=self._plan.seed,
                started_ns=started_ns,
                seconds=time.monotonic() - began,
                scoring_cost=summed(cost for _, cost in trials),
                overall=overall,
            )
            return await asyncio.to_thread(self.report.document)

        return evaluate

    def _tell_left(self) -> None:
        """What nobody waits for any more and is still at work."""
        applications = {self._application.name: self._application.left()}
        for name, left in {**self._scorers.left(), **applications}.items():
            if not left:
                continue
            some = ", ".join(shortened(each, 60) for each in left[:_SHOWN])
            more = f" and {len(left) - _SHOWN:,} more" if len(left) > _SHOWN else ""
            _log.warning(
                "%s is still running, in %s %s%s: it cannot be stopped",
                name,
                "case" if len(left) == 1 else "cases",
                some,
                more,
            )

    async def _trials(self) -> list[tuple[Trial, int | None]]:
        repeats = range(self._plan.repeats)
        places = [(case, repeat) for repeat in repeats for case in self._dataset]
        done: dict[tuple[str, int], tuple[Trial, int | None]] = {}
        waiting = iter(places)
        with shown() as report:
            told = _Told(report, self._application.name, len(places))

            async def work() -> None:
                for case, repeat in waiting:
                    asked = (case.id, repeat, case.input, case.expected, case.metadata)
                    answered, place = await self._trial(*asked), (case.id, repeat)
                    if place in self._large:  # here it is whole; of an earlier attempt it is not
                        whole = self._large.pop(place)
                        answered = msgspec.structs.replace(answered, output=whole, not_kept=0)
                    trial = _trial(asked, answered, self._ids.get(place, ""))
                    done[place] = trial, answered.scoring_cost
                    told.one_more(trial, answered.scoring_cost)

            await _all([work() for _ in range(min(self._plan.concurrent, len(places)))])
        return [done[case.id, repeat] for case in self._dataset for repeat in repeats]

    def _recorded_trial(self) -> Callable[..., Any]:
        async def trial(
            case: str, repeat: int, input: Any, expected: Any, metadata: dict[str, Any]
        ) -> Answered:
            here = current()
            record = here.id if here is not None and here.home is not None else ""
            self._ids[case, repeat] = record
            with recording() as watch:
                output, error, seconds = await self._answer(case, input, repeat)
            used = (watch.cost, watch.usage)
            answered = Answered(output, error, seconds, *used, {}, 0, case, repeat)
            asked = (case, repeat, own(input), own(expected), own(metadata))
            given = msgspec.structs.replace(answered, output=own(output))
            seen = _trial(asked, given, record, tuple(watch.records))
            if record:  # else nothing of it is recorded, and nothing known of what was called
                self._never_called.look(seen, watch.records)
            if error is not None:
                return answered
            scores, cost = await self._scorers.scored(seen, self._plan.seconds)
            return self._kept(msgspec.structs.replace(answered, scores=scores, scoring_cost=cost))

        return trial

    def _kept(self, answered: Answered) -> Answered:
        """What a record can hold of it: always the scores; the output unless it is too large."""
        here = current()
        if here is None or here.home is None:
            return answered
        size = len(pack(answered))
        if size <= int(here.settings.max_body_mb * 1e6):
            return answered
        self._large[answered.case, answered.repeat] = answered.output
        said = f"<{size:,} bytes, not kept: max_body_mb>"
        return msgspec.structs.replace(answered, output=said, not_kept=size)

    async def _answer(self, case: str, input: Any, repeat: int) -> tuple[Any, str | None, float]:
        """The output, or what went wrong, and how many seconds it took."""
        plan = self._plan
        if case in plan.skip:
            return None, "skipped: it was not asked", 0.0
        output, error, clock = None, None, Clock()
        try:
            output = await self._application.answer(
                case, input, plan.seed + repeat, clock, plan.seconds
            )
        except PauseSignal as signal:
            error = _waits(signal)
        except PausedError as paused:
            error = f"it waits for a person: {paused}"
        except Late:
            return None, f"{LATE} {plan.seconds:g} s", plan.seconds or 0.0
        except BaseException as failed:  # whatever it does, it is one trial
            if not is_its_own(failed):
                raise
            error = failure(failed)
        return output, error, clock.seconds


class _Told:
    """What a person who waits is told."""

    def __init__(self, report: Callable[[Progress], None], name: str, total: int) -> None:
        self._report = report
        self._name = shortened(name, 24)
        self._total = total
        self._done = self._failed = 0
        self._cost: int | None = 0
        report(Progress(self._name, 0, total))

    def one_more(self, trial: Trial, scoring_cost: int | None) -> None:
        """A trial is done. Its cost is what was spent: the scorers' is part of it."""
        self._done += 1
        self._failed += trial.error is not None
        self._cost = summed((self._cost, trial.cost, scoring_cost))
        failed = f" · {self._failed:,} failed" if self._failed else ""
        cost = f" · {dollars(self._cost)}" if self._cost != 0 else ""
        done = f"{self._done:,} of {self._total:,}"
        self._report(Progress(f"{self._name} {done}{failed}{cost}", self._done, self._total))


def _trial(asked: Asked, answered: Answered, record: str, steps: tuple[Record, ...] = ()) -> Trial:
    case, repeat, input, expected, metadata = asked
    return Trial(
        case=case,
        input=input,
        output=answered.output,
        expected=expected,
        metadata=metadata,
        repeat=repeat,
        error=answered.error,
        seconds=answered.seconds,
        cost=answered.cost,
        usage=answered.usage,
        record=record,
        steps=steps,
        scores=answered.scores,
        not_kept=answered.not_kept,
    )


def _waits(signal: PauseSignal) -> str:
    """The question of a flow that waits for a person, which nobody answers here."""
    attempt = under_way.get()
    for question in signal.args:
        if attempt is not None:
            attempt.questions.pop(question.id, None)
    return f"it waits for a person: “{'; '.join(each.text for each in signal.args)}”"


async def _all(work: Sequence[Any]) -> None:
    """Do all of it at once; the first error ends the rest, and is the one that is raised."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_SHOWN = 3
_log = logging.getLogger("onrecord")
