"""`onrecord audit`: what a project knows of its providers, models and applications."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onrecord.cli.output import AsJson, plural, print_json, say
from onrecord.cli.records_screen import width
from onrecord.cli.records_store import opened
from onrecord.errors import GateError, UsageError


def audit(
    init: Annotated[
        bool, typer.Option("--init", help="Write audit.toml: every question, to be answered.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the whole audit as one HTML page.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write the whole audit as Markdown.")
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option("--answers", help="The answers (default: audit.toml of the project)."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Only uses from then on: a date, or an age (12h, 30d)."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 11 while there are gaps.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Say what is known of providers, models and applications, and name every gap.

    The three layers are those of Mökander et al., "Auditing large language models" (AI and Ethics,
    2024). What only people know is asked in audit.toml; the rest comes from records, settings,
    experiments, datasets, prompts and model cards at hand. Nobody is asked over a network. Gaps are
    findings: the exit status is 0, but for --strict. For example: `onrecord audit --out audit.html`
    """
    if init:
        _check_alone(out, markdown, answers, since, strict)
        _init(json)
        return
    from onrecord.evaluation.audit.auditing import audit as perform
    from onrecord.evaluation.audit.screen import text
    from onrecord.records.query import moment

    since_ns = None if since is None else moment(since)
    made = perform.run(opened(), answers, since_ns=since_ns)
    written = [made.html(out)] if out is not None else []
    if markdown is not None:
        made.markdown(markdown)
        written.append(markdown)
    if json:
        print_json(made.document())
    else:
        say(text(made, width()))
        say()
        for path in written:
            say(f"Written: {path}")
        if not written:
            say("--out audit.html writes all of it, with the evidence.")
    if strict and made.gaps:
        raise GateError(
            f"the audit has {plural(len(made.gaps), 'gap')}",
            cure="Each is named above, with what closes it.",
        )


def _check_alone(*others: object) -> None:
    if any(others):
        raise UsageError(
            "--init writes the questions, and audits nothing",
            cure="Leave the other options out; audit when they are answered.",
        )


def _init(json: bool) -> None:
    from onrecord.evaluation.audit.answers import init
    from onrecord.evaluation.audit.auditing import place_of_answers, questions_of

    path = init(place_of_answers(), questions_of(opened()))
    if json:
        print_json({"path": path})
        return
    say(f"Written: {path}")
    say("Answer what you can: `onrecord audit` names what is left.")
