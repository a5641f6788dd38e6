"""`onrecord evaluate`: an application on a dataset, scored, gated, reported."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from onrecord.cli.objects import named, scorer_of
from onrecord.cli.output import AsJson, complain, print_json, say
from onrecord.cli.paragraphs import say_text
from onrecord.cli.records_options import options
from onrecord.errors import (
    GateError,
    LimitError,
    LoadError,
    ModelError,
    OnrecordError,
)

if TYPE_CHECKING:
    from onrecord.evaluation.dataset import Dataset
    from onrecord.evaluation.experiments.changes import Changes
    from onrecord.evaluation.experiments.report import Report
    from onrecord.evaluation.gate import Verdict
    from onrecord.evaluation.scoring import Scorer
    from onrecord.evaluation.trial import Trial


def _running(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="How it runs", **more)


def _judging(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="What it must show", **more)


def _writing(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="What it writes", **more)


@dataclass(frozen=True, kw_only=True)
class What:
    """What is evaluated, on what, scored by what."""

    application: Annotated[
        str, typer.Argument(help="FILE.py:NAME or package.module:NAME.", metavar="APPLICATION")
    ]
    data: Annotated[
        str,
        typer.Option(
            "--data",
            "-d",
            help="The cases: a file (JSON Lines, CSV, Parquet) or a dataset's name.",
            show_default=False,
        ),
    ]
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            "--scorer",
            "-s",
            help="A scorer: exact_match, 'contains(\"refund\")', or FILE.py:NAME. Several: again.",
        ),
    ] = None
    where: Annotated[
        str | None, typer.Option("--where", "-w", help="Only cases whose metadata fit a filter.")
    ] = None

    def scorers(self) -> list[Scorer]:
        """Those that were named, or the usual ones. Raises UsageError."""
        return [scorer_of(each) for each in self.scorer or _USUAL]

    def cases(self) -> Dataset:
        """The cases that fit. Raises LoadError, FilterError."""
        from onrecord.evaluation.dataset import Dataset

        cases = Dataset.read(self.data)
        return cases if self.where is None else cases.where(self.where)


@dataclass(frozen=True, kw_only=True)
class Running:
    """How an experiment runs."""

    repeats: Annotated[int, _running("So many times each case.", min=1)] = 1
    concurrent: Annotated[
        int, _running("So many trials at once.", "--concurrent", "-j", min=1, max=1000)
    ] = 8
    seed: Annotated[
        int, _running("For an application with a parameter `seed`, and intervals.", min=0)
    ] = 0
    seconds: Annotated[
        float | None, _running("A trial that takes longer has failed; so has a scorer.")
    ] = None
    usd: Annotated[float | None, _running("Stop before more than this is spent: above 0.")] = None
    resume: Annotated[
        bool,
        _running(
            "Go on with the newest experiment like this that was interrupted. Only the "
            "application's own function is compared, not what it calls."
        ),
    ] = False
    skip: Annotated[
        list[str] | None,
        _running("A case that is not asked, and has failed: one that kills the process."),
    ] = None

    def options(self) -> dict[str, Any]:
        """What `evaluate` takes."""
        given = asdict(self)
        del given["usd"]
        return {**given, "skip": self.skip or ()}

    def budget(self) -> AbstractContextManager[object]:
        """What holds to --usd, if it was given."""
        from onrecord.records.ledger import budget
        from onrecord.records.limits import Limits

        return nullcontext() if self.usd is None else budget(Limits(usd=self.usd))


@dataclass(frozen=True, kw_only=True)
class Judging:
    """What a report is held against."""

    gate: Annotated[
        str | None, _judging("Exit with 11 unless it holds: 'f1 >= 0.8 and better(baseline, f1)'.")
    ] = None
    baseline: Annotated[
        str | None, _judging("What to compare with: an experiment's run, or a saved report.")
    ] = None
    margin: Annotated[
        float | None, _judging("A difference that is certainly smaller is equivalent.")
    ] = None
    intersection: Annotated[
        bool, _judging("Compare the cases that both have, where they are not the same.")
    ] = False

    def changes(self, report: Report, baseline: Report | None) -> Changes | None:
        """What changed since the baseline, if there is one."""
        from onrecord.evaluation.experiments.changes import compare, from_file

        if baseline is None:
            return None
        found = compare(baseline, report, margin=self.margin, intersection=self.intersection)
        return from_file(found, self.baseline or "")

    def opened(self, cases: Dataset, scorers: Sequence[Scorer]) -> Report | None:
        """The baseline, if there is one. Raises UsageError, before anything is spent, where it
        could not be compared with these cases by this margin, or the gate could not be decided."""
        from onrecord.evaluation.experiments.changes import check_margin
        from onrecord.evaluation.gate import check
        from onrecord.evaluation.scoring import Scorers

        facts = Scorers(scorers).facts
        baseline = None if self.baseline is None else _baseline(self.baseline)
        if baseline is not None:
            given = [name for name in baseline.measures if any(each.gave(name) for each in facts)]
            check_margin(self.margin, baseline, given)
            self.changes(_unanswered(cases), baseline)
        if self.gate is not None:
            check(self.gate, facts, baseline, self.margin)
        return baseline

    def verdict(self, report: Report, baseline: Report | None) -> Verdict | None:
        """What the gate says, if there is one."""
        from onrecord.evaluation.gate import gate

        if self.gate is None:
            return None
        return gate(self.gate, report, baseline, intersection=self.intersection, margin=self.margin)


@dataclass(frozen=True, kw_only=True)
class Writing:
    """The files that a report goes to."""

    save: Annotated[Path | None, _writing("The report as JSON, to be a baseline anywhere.")] = None
    html: Annotated[Path | None, _writing("The report as one page.")] = None
    markdown: Annotated[Path | None, _writing("A summary for a pull request.")] = None

    def write_report(self, report: Report) -> Iterator[Path]:
        """Save the report, before anything is said of it that may fail; give its path."""
        if self.save is not None:
            yield report.save(self.save)

    def write_page(
        self, report: Report, changes: Changes | None, verdict: Verdict | None
    ) -> Iterator[Path]:
        """Write the page, if one was asked for; give its path."""
        if self.html is not None:
            from onrecord.evaluation.reports.page import write_page

            yield write_page(self.html, report, changes, verdict)

    def write_markdown(
        self, report: Report, changes: Changes | None, verdict: Verdict | None
    ) -> Iterator[Path]:
        """Write the summary, if one was asked for; give its path."""
        if self.markdown is not None:
            from onrecord.evaluation.reports.markdown import write_markdown

            yield write_markdown(self.markdown, report, changes, verdict)


@options(what=What, running=Running, judging=Judging, writing=Writing)
def evaluate(
    what: What, running: Running, judging: Judging, writing: Writing, json: AsJson = False
) -> None:
    """Let an application answer every case of a dataset, and score the answers.

    The application is a flow, prompt, task or function of yours; a case's input gives its arguments
    by name, or is the only one. Without --scorer it is exact_match and token_f1. An interrupt keeps
    what was answered. The exit status is 11 when a gate does not hold. With --json, what the
    application prints goes to standard error. For example:
    `onrecord evaluate app.py:ask --data cases.jsonl --gate 'exact_match >= 0.8'`
    """
    from onrecord.evaluation.experiments.experiment import evaluate as perform

    with redirect_stdout(sys.stderr) if json else nullcontext():
        application, scorers, cases = named(what.application), what.scorers(), what.cases()
        baseline = judging.opened(cases, scorers)
        with _what_is_kept(), running.budget():
            report = perform.run(application, cases, scorers, **running.options())
    problem = _tell(report, baseline, judging, writing, json)
    if any(_is_late(each) for each in report):
        _leave(problem)
    if problem is not None:
        raise problem


def _baseline(given: str) -> Report:
    from onrecord.evaluation.experiments.report import Report

    try:
        return Report.open(given)
    except LoadError as error:
        cure = "A baseline is a file that --save wrote, or a run of `onrecord experiments list`."
        raise LoadError(error.what, where=error.where, cure=cure) from None


def _unanswered(cases: Dataset) -> Report:
    """A report on these cases, before any is answered."""
    from onrecord.evaluation.experiments.report import Report, Subject
    from onrecord.evaluation.trial import Trial

    trials = tuple(Trial(case=each.id, input=each.input, expected=each.expected) for each in cases)
    nothing = Subject("", "")
    return Report(application=nothing, dataset=nothing, scorers=(), trials=trials)


def _tell(
    report: Report, baseline: Report | None, judging: Judging, writing: Writing, json: bool
) -> OnrecordError | None:
    """Write and print all that can be told, whatever else fails; give what failed first, or why
    the command does not end well."""
    from onrecord.evaluation.gate import keep

    problems: list[OnrecordError] = []
    written: list[Path] = []
    changes: Changes | None = None
    verdict: Verdict | None = None
    with _kept(problems):
        written += writing.write_report(report)
    with _kept(problems):
        changes = judging.changes(report, baseline)
    with _kept(problems):
        verdict = judging.verdict(report, baseline)
    with _kept(problems):
        if verdict is not None:
            keep(verdict, report)
    with _kept(problems):
        written += writing.write_page(report, changes, verdict)
    with _kept(problems):
        written += writing.write_markdown(report, changes, verdict)
    if json:
        print_json(_document(report, changes, verdict))
    else:
        _say(report, changes, verdict, written)
    if verdict is not None and not verdict:
        problems.append(GateError(f"the gate does not hold: {verdict.gate}"))
    if len(report.failures) == len(report):
        problems.append(ModelError("the application failed on every case"))
    for also in problems[1:]:
        complain(f"error: {also}")
    return problems[0] if problems else None


@contextmanager
def _kept(problems: list[OnrecordError]) -> Iterator[None]:
    """Go on after an error: it is told when all else has been."""
    try:
        yield
    except OnrecordError as error:
        problems.append(error)


def _is_late(trial: Trial) -> bool:
    from onrecord.evaluation.scoring import LATE

    errors = (trial.error, *(each.error for each in trial.scores.values()))
    return any(each is not None and each.startswith(LATE) for each in errors)


def _leave(problem: OnrecordError | None) -> NoReturn:
    """End the process also where what was late in a trial never ends, and Python waits for it: for
    a thread of the user's own, say."""
    if problem is not None:
        complain(f"error: {problem}")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    atexit._run_exitfuncs()
    os._exit(0 if problem is None else problem.exit_status)


def _document(report: Report, changes: Changes | None, verdict: Verdict | None) -> dict[str, Any]:
    document = report.document()
    if changes is not None:
        document["changes"] = changes.document()
    if verdict is not None:
        document["gate"] = {
            "gate": verdict.gate,
            "passed": verdict.passed,
            "reasons": list(verdict.reasons),
        }
    return document


def _say(
    report: Report, changes: Changes | None, verdict: Verdict | None, written: list[Path]
) -> None:
    say_text(str(report))
    if changes is not None:
        say()
        say_text(str(changes))
    if verdict is not None:
        say()
        for reason in verdict.reasons:
            say_text(reason)
        if verdict:
            say_text(f"The gate holds: {verdict.gate}")
    for path in written:
        say(f"Written: {path}")


@contextmanager
def _what_is_kept() -> Iterator[None]:
    """Say how to go on with an experiment that was cut short: by Ctrl-C, by a CI job that is
    cancelled (SIGTERM), or by a limit."""
    kept = "What was answered is on record: the same command with --resume goes on."
    status = 128 + signal.SIGINT

    def terminated(*_: object) -> NoReturn:
        nonlocal status
        status = 128 + signal.SIGTERM
        raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, terminated) if is_main else None
    try:
        yield
    except KeyboardInterrupt:
        interrupted = OnrecordError("interrupted", cure=kept)
        interrupted.exit_status = status
        _leave(interrupted)
    except LimitError:
        complain(kept)
        raise
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


_USUAL = ("exact_match", "token_f1")
