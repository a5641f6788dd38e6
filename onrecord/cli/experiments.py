"""`onrecord experiments`: what was evaluated, one report again, two of them compared."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onrecord.cli.output import AsJson, plural, print_json, say
from onrecord.cli.paragraphs import say_text
from onrecord.cli.records_screen import say_table
from onrecord.errors import UnknownNameError, UsageError
from onrecord.records.record import plain
from onrecord.records.views.wording import flat, shortened

if TYPE_CHECKING:
    from onrecord.evaluation.experiments.report import Report
    from onrecord.evaluation.experiments.steps import Step
    from onrecord.evaluation.trial import Trial

app = typer.Typer(help="See what was evaluated, and what changed.", no_args_is_help=True)

Run = Annotated[
    str, typer.Argument(help="An experiment's run, or any beginning of it; or a saved report.")
]
Html = Annotated[Path | None, typer.Option("--html", help="Write it as one page.")]


@app.command("list")
def list_experiments(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 20,
    json: AsJson = False,
) -> None:
    """List the experiments on record, newest first."""
    from onrecord.evaluation.experiments.stored import experiments, id_of

    found = experiments(limit)
    if json:
        print_json(
            [{"run": id_of(each), "state": each.state, **_facts(each.input)} for each in found]
        )
        return
    if not found:
        say("No experiments yet. `onrecord evaluate` makes one.")
        return
    rows = []
    for each in found:
        when = datetime.datetime.fromtimestamp(each.started_ns / 1e9)
        facts = _facts(each.input)
        rows.append(
            (
                id_of(each)[:20],
                f"{when:%Y-%m-%d %H:%M}",
                shortened(facts["application"], 30),
                shortened(facts["dataset"], 24),
                f"{facts['cases']:,}",
                each.state,
            )
        )
    say_table(("run", "when", "application", "dataset", "cases", "state"), rows, left=4)


@app.command()
def show(
    run: Run,
    case: Annotated[
        str | None, typer.Option("--case", help="One case: its steps beside the verdict.")
    ] = None,
    where: Annotated[
        str | None, typer.Option("--where", "-w", help="Only cases whose metadata fit a filter.")
    ] = None,
    repeat: Annotated[
        int | None, typer.Option("--repeat", min=1, help="With --case: only this repeat of it.")
    ] = None,
    worst: Annotated[int, typer.Option("--worst", min=0, help="So many of the worst trials.")] = 3,
    html: Html = None,
    json: AsJson = False,
) -> None:
    """Show the report of an experiment, or with --case one trial step by step."""
    from onrecord.evaluation.experiments.report import Report
    from onrecord.evaluation.reports.wording import versions

    report = Report.open(run)
    if where is not None:
        report = report.where(where)
    if case is not None:
        _show_case(report, case, repeat, json)
        return
    if repeat is not None:
        raise UsageError("--repeat is one of a case", cure="Name the case with --case ID.")
    if html is not None:
        from onrecord.evaluation.reports.page import write_page

        write_page(html, report)
    if json:
        print_json({**report.document(), "rows": list(map(plain, report))})
        return
    say_text(str(report))
    say_text(versions(report))
    if worst:
        _say_worst(report, worst)
    if html is not None:
        say(f"Written: {html}")


@app.command()
def compare(
    before: Run,
    after: Run,
    margin: Annotated[
        float | None,
        typer.Option("--margin", help="A difference that is certainly smaller is equivalent."),
    ] = None,
    intersection: Annotated[
        bool, typer.Option("--intersection", help="Of other cases: compare those that both have.")
    ] = False,
    html: Html = None,
    json: AsJson = False,
) -> None:
    """Compare two experiments on the same cases: differences with intervals, verdicts, flips."""
    from onrecord.evaluation.experiments.changes import compare as compared
    from onrecord.evaluation.experiments.report import Report

    new = Report.open(after)
    changes = compared(before, new, margin=margin, intersection=intersection)
    if html is not None:
        from onrecord.evaluation.reports.page import write_page

        write_page(html, new, changes)
    if json:
        print_json(changes.document())
        return
    say_text(str(changes))
    if html is not None:
        say(f"Written: {html}")


def _facts(input: object) -> dict[str, object]:
    if not isinstance(input, dict):  # it was kept without its bodies
        return {"application": "?", "dataset": "?", "cases": 0}
    asked: Any = input["asked"]
    return {
        "application": asked["application"]["name"],
        "dataset": asked["dataset"]["name"],
        "cases": asked["cases"],
    }


def _say_worst(report: Report, count: int) -> None:
    from onrecord.evaluation.reports.worst import worst

    found = list(worst(report, count, failures=True))
    for name, trials in found:
        say()
        say(f"Worst by {name}:")
        for trial in trials:
            said = trial.error if trial.error is not None else trial.answer
            asked = shortened(trial.input, 60)
            say(f"  {shortened(trial.case, 24)}  {asked} → {shortened(said, 60)}")
    if found:
        say("`--case ID` shows one step by step.")


def _show_case(report: Report, case: str, repeat: int | None, json: bool) -> None:
    from onrecord.evaluation.experiments.steps import first_wrong_of, never_called, steps

    trials = _trials(report, case, repeat)
    every = [(each, steps(each)) for each in trials]
    if json:
        told = (
            {"trial": plain(each), "steps": found, "first_wrong": first_wrong_of(found)}
            for each, found in every
        )
        print_json(list(told))
        return
    for trial, found in every:
        _say_trial(trial, report.repeats)
        wrong = first_wrong_of(found)
        say(f"{plural(len(found), 'step')}:" if found else "No step of it is on record.")
        for step in found:
            _say_step(step, wrong is not None and step.record.id == wrong.record.id)
        for name, close in never_called(trial, (each.record for each in found)) if found else ():
            guess = f"; did you mean '{shortened(close, 60)}'?" if close else ""
            say(f"  ✗ nothing was called '{shortened(name, 60)}', as the case's steps say{guess}")


def _trials(report: Report, case: str, repeat: int | None) -> list[Trial]:
    """The repeats of a case, or one of them. Raises UnknownNameError."""
    trials = [each for each in report if each.case == case]
    if not trials and case in report.begun:
        raise UnknownNameError(
            f"case '{shortened(case, 60)}' was begun and not ended",
            cure="The same `onrecord evaluate` with --resume asks it again, and with "
            f"--skip {shortened(case, 60)} does not.",
        )
    if not trials:
        near = [each.case for each in report if each.case.startswith(case)][:3]
        guess = f"Did you mean {', '.join(shortened(each, 60) for each in near)}?" if near else ""
        raise UnknownNameError(f"the report has no case '{shortened(case, 60)}'", cure=guess)
    chosen = [each for each in trials if repeat is None or each.repeat == repeat - 1]
    if not chosen:
        there = ", ".join(str(each.repeat + 1) for each in trials)
        raise UnknownNameError(
            f"case '{shortened(case, 60)}' has no repeat {repeat}", cure=f"There are {there}."
        )
    return chosen


def _say_trial(trial: Trial, repeats: int) -> None:
    repeat = f" (repeat {trial.repeat + 1} of {repeats})" if repeats > 1 else ""
    say(f"case {shortened(trial.case, 60)}{repeat}: {shortened(trial.input, 200)}")
    if trial.record:
        say(f"  record    {trial.record}")
    if trial.expected is not None:
        say(f"  expected  {shortened(trial.expected, 200)}")
    say(f"  answered  {shortened(trial.error or trial.answer, 200)}")
    for name, score in trial.scores.items():
        why = score.reason or score.error
        say_text(f"  {name}  {score.value}" + (f"  ({shortened(why, 600)})" if why else ""))


def _say_step(step: Step, is_first_wrong: bool) -> None:
    indent = "  " * step.depth
    mark = {"right": "✓", "wrong": "✗", "failed": "✗"}.get(step.state, " ")
    first = "   ← the first that went wrong" if is_first_wrong else ""
    say(f"  {mark} {indent}{step.record.kind} {flat(step.record.name)}{first}")
    say(f"      {indent}in   {shortened(step.record.input, 150)}")
    said = step.record.error or step.record.output
    say(f"      {indent}out  {shortened(said, 150)}")
    if step.state == "wrong":
        say(f"      {indent}expected  {shortened(step.expected, 150)}")
