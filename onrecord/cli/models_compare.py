"""`onrecord models compare`: models side by side on the user's own cases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onrecord.cli.output import AsJson, complain, print_json, say
from onrecord.cli.records_options import options
from onrecord.cli.records_screen import say_table
from onrecord.errors import LimitError, ModelError, UsageError
from onrecord.records.views.wording import flat

if TYPE_CHECKING:
    from onrecord.evaluation.asking import Asking
    from onrecord.evaluation.comparison import Comparison
    from onrecord.evaluation.dataset import Dataset


def _asking(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="What is asked", **more)


@dataclass(frozen=True, kw_only=True)
class Question:
    """The options that say what the models are asked: words, or a task with its own options."""

    prompt: Annotated[
        str | None,
        _asking(
            "The words to send (default: {input}); {input} is the case's input, {name} a field "
            "of it."
        ),
    ] = None
    temperature: Annotated[
        float | None, _asking("How freely to draw; 0: not at all.", min=0, max=100)
    ] = None
    max_tokens: Annotated[int | None, _asking("How long an answer may get.", min=1)] = None
    task: Annotated[
        str | None, _asking("Instead of words: a task, as `onrecord task` knows it.")
    ] = None
    labels: Annotated[
        str | None, _asking("Of a task: a,b,c (default for classify: those that are expected).")
    ] = None
    to: Annotated[str | None, _asking("Of translate: into which language.")] = None
    fields: Annotated[str | None, _asking("Of extract: what to take out, a,b,c.")] = None
    examples: Annotated[
        str | None, _asking("Of a task: a file with text and label, or output.")
    ] = None
    instruction: Annotated[str | None, _asking("Of a task: what to tell the models besides.")] = (
        None
    )

    def asking(self, cases: Dataset) -> Asking:
        """The way to ask. Raises UsageError for options that do not belong together."""
        of_words = {name: getattr(self, name) for name in _OF_WORDS}
        of_task = {name: getattr(self, name) for name in _OF_TASKS}
        given = {name: value for name, value in of_task.items() if value is not None}
        if self.task is None:
            if given:
                option = next(iter(given))
                raise UsageError(
                    f"--{option} is an option of tasks", cure="Name one: --task classify."
                )
            return _words(**of_words)
        if any(value is not None for value in of_words.values()):
            raise UsageError(
                "a task brings its own words and parameters",
                cure="Leave out --prompt, --temperature and --max-tokens, or --task.",
            )
        return _task(self.task, given, cases)


@options(question=Question)
def compare(
    names: Annotated[
        list[str], typer.Argument(help="One or more: provider:name.", metavar="MODEL")
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
    question: Question,
    concurrent: Annotated[
        int, typer.Option("--concurrent", "-j", help="So many cases at once.", min=1, max=1000)
    ] = 4,
    usd: Annotated[
        float | None, typer.Option("--usd", help="Stop before more than this is spent.", min=0.0)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take what is on record already; ask only the rest.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Compare models on your own cases: quality, latency, cost, tokens, failures, memory.

    exact: equal after normalisation (case, white space, punctuation around words); F1: the same for
    the words of both. p50 and p95: seconds of an answer while so many cases are asked at once.
    memory: what models in this process add to its peak; "-" for those elsewhere. An interrupt keeps
    what was answered. The exit status is 5 when no model answered anything. For example:
    `onrecord models compare openai:gpt-6-luna hf:google/flan-t5-small --data cases.jsonl`
    """
    from onrecord.evaluation.comparing import compare_models
    from onrecord.evaluation.dataset import Dataset
    from onrecord.records.ledger import budget
    from onrecord.records.limits import Limits

    cases = Dataset.read(data)
    ask = question.asking(cases)
    with _what_is_kept(), nullcontext() if usd is None else budget(Limits(usd=usd)):
        compared = compare_models.run(names, cases, ask=ask, concurrent=concurrent, resume=resume)
    if json:
        print_json(compared.document())
    else:
        say_comparison(compared)
    if not any(each.answered for each in compared.results):
        raise typer.Exit(ModelError.exit_status)


@contextmanager
def _what_is_kept() -> Iterator[None]:
    """Say how to go on with a comparison that was cut short."""
    kept = "What was answered is on record: the same command with --resume goes on."
    try:
        yield
    except KeyboardInterrupt:
        complain(kept)
        raise typer.Exit(130) from None
    except LimitError:
        complain(kept)
        raise


def _words(prompt: str | None, temperature: float | None, max_tokens: int | None) -> Asking:
    from onrecord.evaluation.asking import Words
    from onrecord.models.model import Parameters

    parameters = Parameters(temperature=temperature, max_tokens=max_tokens)
    return Words("{input}" if prompt is None else prompt, parameters)


def _task(name: str, given: dict[str, Any], cases: Dataset) -> Asking:
    from onrecord.evaluation.asking import Tasked

    if "labels" in given:
        given["labels"] = [label.strip() for label in given["labels"].split(",")]
    elif name == "classify" and "examples" not in given:
        expected = {case.expected for case in cases if isinstance(case.expected, str)}
        given["labels"] = sorted(expected)
    return Tasked(name, **given)


def say_comparison(compared: Comparison) -> None:
    """Print the table, how far the others are from the best one, and what to know about both."""
    heads, rows = compared.table()
    say_table(heads, rows, left=1)
    heads, rows = compared.difference_table()
    if rows:
        say()
        say(compared.heading)
        say_table(heads, rows, left=2)
    say()
    say(compared.summary)
    for note in compared.notes:
        complain(f"note: {flat(note)}")


_OF_WORDS = ("prompt", "temperature", "max_tokens")
_OF_TASKS = ("labels", "to", "fields", "examples", "instruction")
