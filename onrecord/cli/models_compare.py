"""`onrecord models compare`: models side by side on the user's own cases."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onrecord.cli.output import AsJson, complain, print_json, say
from onrecord.cli.records_screen import say_table
from onrecord.errors import UsageError
from onrecord.records.views.wording import flat

if TYPE_CHECKING:
    from onrecord.evaluation.asking import Asking
    from onrecord.evaluation.comparison import Comparison
    from onrecord.evaluation.dataset import Dataset


def _asking(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="What is asked", **more)


def compare(
    names: Annotated[
        list[str],
        typer.Argument(help="Two models or more: provider:name.", metavar="MODEL"),
    ],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            "-d",
            help="The cases: a file of JSON Lines with `input` and `expected`, or a dataset's "
            "name.",
            show_default=False,
        ),
    ],
    prompt: Annotated[
        str | None,
        _asking(
            "The words to send (default: {input}); {input} is the case's input, {name} a field "
            "of it."
        ),
    ] = None,
    task: Annotated[
        str | None, _asking("Instead of words: a task, as `onrecord task` knows it.")
    ] = None,
    labels: Annotated[
        str | None, _asking("Of a task: a,b,c (default for classify: those that are expected).")
    ] = None,
    temperature: Annotated[float | None, _asking("How freely to draw; 0: not at all.")] = None,
    max_tokens: Annotated[int | None, _asking("How long an answer may get.", min=1)] = None,
    concurrent: Annotated[
        int, typer.Option("--concurrent", "-j", help="So many cases at once.", min=1, max=1000)
    ] = 4,
    usd: Annotated[
        float | None,
        typer.Option("--usd", help="Stop before more than this is spent.", min=0.0),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Take what is on record already; ask only the rest."),
    ] = False,
    json: AsJson = False,
) -> None:
    """Compare models on your own cases: quality, latency, cost, tokens, failures, memory.

    exact: equal after normalisation (case, white space, punctuation around words); F1: the same for
    the words of both. p50 and p95: seconds of an answer while so many cases are asked at once.
    memory: what models in this process add to its peak; "-" for those elsewhere. An interrupt keeps
    what was answered. For example:
    `onrecord models compare openai:gpt-5-mini hf:google/flan-t5-small --data cases.jsonl`
    """
    from onrecord.evaluation.comparing import compare_models
    from onrecord.evaluation.dataset import Dataset
    from onrecord.records.ledger import budget
    from onrecord.records.limits import Limits

    cases = Dataset.read(data)
    if task is None:
        ask = _words(prompt, labels, temperature, max_tokens)
    else:
        ask = _task(task, labels, cases, {prompt, temperature, max_tokens} != {None})
    try:
        with nullcontext() if usd is None else budget(Limits(usd=usd)):
            compared = compare_models.run(
                names, cases, ask=ask, concurrent=concurrent, resume=resume
            )
    except KeyboardInterrupt:
        complain("What was answered is on record: the same command with --resume goes on.")
        raise typer.Exit(130) from None
    if json:
        print_json(compared.document())
        return
    say_comparison(compared)


def _words(
    prompt: str | None, labels: str | None, temperature: float | None, max_tokens: int | None
) -> Asking:
    from onrecord.evaluation.asking import Words
    from onrecord.models.model import Parameters

    if labels is not None:
        raise UsageError("--labels are those of a task", cure="Name one with --task classify.")
    parameters = Parameters(temperature=temperature, max_tokens=max_tokens)
    return Words("{input}" if prompt is None else prompt, parameters)


def _task(name: str, labels: str | None, cases: Dataset, has_words: bool) -> Asking:
    from onrecord.evaluation.asking import Tasked

    if has_words:
        raise UsageError(
            "a task brings its own words and parameters",
            cure="Leave out --prompt, --temperature and --max-tokens, or --task.",
        )
    if labels is not None:
        return Tasked(name, labels=[label.strip() for label in labels.split(",")])
    if name == "classify":
        expected = {case.expected for case in cases if isinstance(case.expected, str)}
        return Tasked(name, labels=sorted(expected))
    return Tasked(name)


def say_comparison(compared: Comparison) -> None:
    """Print the table, how far the others are from the best one, and what to know about both."""
    heads, rows = compared.table()
    say_table(heads, rows, left=1)
    heads, rows = compared.difference_table()
    best = compared.best
    if best is not None and rows:
        say()
        say(f"best: {compared.label(best)}. Beside it, on the same {compared.scored} cases:")
        say_table(heads, rows, left=2)
    say()
    say(compared.summary)
    for note in compared.notes:
        complain(f"note: {flat(note)}")
