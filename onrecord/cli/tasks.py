"""`onrecord task`."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from onrecord.cli.output import AsJson, complain, plural, print_json, say
from onrecord.cli.records_options import options
from onrecord.errors import EmptyDocumentError, LoadError, UsageError
from onrecord.records.record import plain
from onrecord.records.scope import recording
from onrecord.records.views.wording import dollars, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onrecord.programs.tasks.results import Evidence
    from onrecord.programs.tasks.task import Task


def _own(help: str, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Of one task", show_default=False)


def _rows(help: str, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="A task for each row of a file")


def told_of(
    *,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Who does it: provider:name, or 'auto'.")
    ] = None,
    embedder: Annotated[str | None, typer.Option(help="What compares meanings.")] = None,
    examples: Annotated[
        Path | None,
        typer.Option(help="A file of examples: CSV or JSON Lines with text and label (or output)."),
    ] = None,
    instruction: Annotated[str | None, typer.Option(help="What to tell the model besides.")] = None,
    long: Annotated[
        str | None,
        typer.Option(help="For texts longer than the model reads: map-reduce or refine."),
    ] = None,
    window: Annotated[
        int | None, typer.Option(help="How many tokens of a text one request may hold.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="How long an answer may get.")] = None,
) -> dict[str, Any]:
    """The options that most tasks have, those that were given."""
    return _given(locals())


def wanted_of(
    *,
    labels: Annotated[str | None, _own("classify, sentiment: choose from a,b,c.")] = None,
    label: Annotated[
        list[str] | None,
        _own("classify, sentiment: one label, NAME or NAME=WHAT IT IS FOR; repeat it."),
    ] = None,
    to: Annotated[str | None, _own("translate: into which language.")] = None,
    source: Annotated[str | None, _own("translate: from which language.")] = None,
    question: Annotated[str | None, _own("answer: the question.", "--question", "-q")] = None,
    fields: Annotated[str | None, _own("extract: what to take out of the text, a,b,c.")] = None,
    candidate: Annotated[
        list[str] | None, _own("similar: what to compare with; repeat it.")
    ] = None,
    sentences: Annotated[int | None, _own("summarize: how many.")] = None,
) -> dict[str, Any]:
    """The options that one task has, those that were given. Raises UsageError."""
    return _given(
        {
            "labels": _labels(labels, label or []),
            "to": to,
            "source": source,
            "question": question,
            "fields": fields,
            "candidates": candidate or None,
            "sentences": sentences,
        }
    )


class Rows(NamedTuple):
    """How a batch is done: see `Task.over`."""

    out: Path
    column: str | None
    together: int
    retry: bool


def rows_of(
    *,
    batch: Annotated[
        bool, _rows("Do it for each row of the file; write --out.", "--batch")
    ] = False,
    out: Annotated[Path | None, _rows("The JSON Lines file to write.", "--out", "-o")] = None,
    column: Annotated[
        str | None, _rows("Which column of CSV, which field of JSON Lines is the text.")
    ] = None,
    together: Annotated[int, _rows("So many rows at the same time.")] = 4,
    retry: Annotated[bool, _rows("Do the rows again that failed.", "--retry")] = False,
) -> Rows | None:
    """The batch that is asked for, if one is. Raises UsageError."""
    if not batch:
        if out is not None or column is not None or retry:
            raise UsageError(
                "--out, --column and --retry belong to --batch",
                cure="Add --batch, or leave them out.",
            )
        return None
    if out is None:
        raise UsageError("a --batch needs a file to write", cure="Name it: --out results.jsonl.")
    return Rows(out, column, together, retry)


@options(told=told_of, wanted=wanted_of, rows=rows_of)
def task(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="summarize, sentiment, translate, classify, answer, extract, generate or similar.",
            show_default=False,
        ),
    ],
    input: Annotated[
        str,
        typer.Argument(
            metavar="FILE|TEXT|-", help="What to read; - is standard input.", show_default=False
        ),
    ],
    told: dict[str, Any],
    wanted: dict[str, Any],
    rows: Rows | None,
    json: AsJson = False,
) -> None:
    """Do one of the usual tasks with a text: a file of any format that can be ingested, or words.

    `onrecord task summarize report.pdf` · `onrecord task classify "My bill is wrong" --labels
    billing,technical` · `onrecord task sentiment reviews.csv --examples seen.csv --batch -o
    labelled.jsonl`, which goes on where it stopped when it is run again.
    """
    from onrecord.programs.tasks.task import task as made

    with _spelled():
        asked = made(name, **told, **wanted)
        if rows is None:
            _once(asked, _text(input), json)
        else:
            _over(asked, input, rows, json)


@contextmanager
def _spelled() -> Iterator[None]:
    """A mistake in an option is told with the names that options have here."""
    from onrecord.programs.tasks.spelling import OptionError, Spelled

    try:
        yield
    except OptionError as error:
        spelled = {name: Spelled(*each) for name, each in _SPELLINGS.items()}
        raise error.spelled(spelled) from None


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _labels(listed: str | None, each: list[str]) -> dict[str, str] | list[str] | None:
    """Labels with what they are for, where that is said. Raises UsageError."""
    names = [] if listed is None else [name.strip() for name in listed.split(",")]
    pairs = [*((name, "") for name in names), *(_pair(one) for one in each)]
    if not pairs:
        return None
    if len({name for name, _ in pairs}) < len(pairs):
        return [name for name, _ in pairs]  # refused where all labels are
    return dict(pairs)


def _pair(said: str) -> tuple[str, str]:
    name, _, words = said.partition("=")
    return name.strip(), words.strip()


def _once(asked: Task[..., Any], text: str, json: bool) -> None:
    with recording() as run:
        result = asked.run(text)
    record = run.records[-1]
    if json:
        print_json(
            {
                "task": asked.name,
                **plain(result),
                "seconds": round(record.seconds, 4),
                "cost_usd": None if run.cost is None else run.cost / 1e6,
                "run": record.run,
            }
        )
        return
    _say_result(result)
    say(f"{result.model}, {duration(record.seconds)}, {dollars(run.cost)}, run {record.run}")


def _over(asked: Task[..., Any], input: str, rows: Rows, json: bool) -> None:
    if input == "-":
        raise UsageError("a --batch reads a file and no standard input", cure="Name the file.")
    try:
        report = asked.over.run(
            Path(input),
            rows.out,
            column=rows.column,
            together=rows.together,
            retry=rows.retry,
        )
    except KeyboardInterrupt:
        complain(f"{rows.out} holds what was done: the same command goes on where it stopped")
        raise
    if json:
        said = plain(report)
        cost = said.pop("cost")
        print_json({**said, "cost_usd": None if cost is None else cost / 1e6})
        return
    failed = f", {report.failed:,} failed (their rows say why)" if report.failed else ""
    before = f", {report.already:,} of them there before" if report.already else ""
    say(f"{rows.out}: {plural(report.rows, 'row')}, {report.done:,} done{before}{failed}.")
    say(f"This run took {duration(report.seconds)}, {dollars(report.cost)}.")
    if report.failed:
        complain(f"{plural(report.failed, 'row')} failed; --retry does them again")


def _text(input: str) -> str:
    """The words themselves, standard input, or the text of a file. Raises LoadError, UsageError."""
    if input == "-":
        data = sys.stdin.buffer.read()
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise LoadError(
                f"standard input is no UTF-8 text at byte {error.start}",
                cure="Give the name of the file instead: then its format is recognised.",
            ) from None
    if _is(Path.is_file, input):
        return _loaded(Path(input))
    if input and _is(Path.is_dir, input):
        raise LoadError(
            "this is a folder, and a task reads one text",
            where=input,
            cure="Name a file in it; a word that is called like it can be given through '-'.",
        )
    if _like_path(input):
        raise LoadError("there is no such file", where=input, cure="Check how it is written.")
    return input


def _is(kind: Callable[[Path], bool], input: str) -> bool:
    try:
        return kind(Path(input))
    except (OSError, ValueError):  # longer than a path can be, or with a zero byte
        return False


def _like_path(input: str) -> bool:
    """Whether somebody meant a file: no blank in it, and the end or the folders of one."""
    from onrecord.retrieval.loading.registry import can_load

    if any(letter.isspace() for letter in input) or len(input) > 255 or "://" in input:
        return False
    begins = input.startswith(("/", "./", "../", "~"))
    return can_load(Path(input)) or begins or input.endswith("/")


def _loaded(path: Path) -> str:
    from onrecord.retrieval.document import Document, Fields
    from onrecord.retrieval.loading.load import load

    texts = []
    for each in load(path, Fields(), path.name):
        if not isinstance(each, Document):
            raise LoadError(each.reason, where=str(path))
        texts.append(each.text)
    if not texts:
        raise EmptyDocumentError("empty", where=str(path))
    return "\n\n".join(texts)


def _say_result(result: Any) -> None:
    from onrecord.programs.tasks.results import (
        AnswerResult,
        LabelResult,
        SimilarResult,
        ValueResult,
    )

    if isinstance(result, LabelResult):
        sure = "" if result.confidence is None else f"  (confidence {result.confidence:.2f})"
        say(f"{result.label}{sure}")
        _say_scores(result.scores)
    elif isinstance(result, SimilarResult):
        say(f"{result.score:.2f}  {_line(result.label)}")
        if len(result.scores) > 1:
            say(f"  all, in their order: {', '.join(f'{each:.2f}' for each in result.scores)}")
    elif isinstance(result, ValueResult):
        _say_values(result.value)
    elif isinstance(result, AnswerResult) and result.refused:
        say(f"No answer: {result.note}")
    else:
        say(str(result.text))
        if result.confidence is not None:
            say(f"  evidence {result.confidence:.2f}")
    _say_evidence(result.evidence)
    if result.note and not getattr(result, "refused", False):
        say(f"\n(Note: {result.note})")
    say()


def _say_scores(scores: dict[str, float]) -> None:
    wide = max(map(len, scores), default=0)
    for label, score in list(scores.items())[:MOST_SCORES]:
        say(f"  {label:<{wide}}  {score:.2f}  {'█' * round(score * 20)}")
    if len(scores) > MOST_SCORES:
        say(f"  and {len(scores) - MOST_SCORES} more")


def _say_values(value: Any) -> None:
    for name, each in value.items() if isinstance(value, dict) else [("value", value)]:
        shown = ", ".join(map(str, each)) if isinstance(each, list) else each
        say(f"{name}: {'–' if shown in (None, '') else _line(str(shown))}")


def _say_evidence(evidence: tuple[Evidence, ...]) -> None:
    for each in evidence[:MOST_EVIDENCE]:
        score = "" if each.score is None else f", score {each.score:.2f}"
        say(f"\n  “{_line(each.quote)}”\n  characters {each.start:,}-{each.end:,}{score}")
    if len(evidence) > MOST_EVIDENCE:
        say(f"\n  and {len(evidence) - MOST_EVIDENCE} more; --json has them all")


def _line(text: str) -> str:
    return " ".join(text.split())


# How each option of a task is written here, and an example of what follows it.
_SPELLINGS = {
    "candidates": ("--candidate", " TEXT"),
    "column": ("--column", " text"),
    "described": ("--label", " 'a=what it is for'"),
    "embedder": ("--embedder", " hf:NAME"),
    "examples": ("--examples", " FILE"),
    "fields": ("--fields", " name,date"),
    "instruction": ("--instruction", " TEXT"),
    "labels": ("--labels", " a,b"),
    "long": ("--long", " refine"),
    "max_tokens": ("--max-tokens", " 500"),
    "model": ("--model", " hf:NAME"),
    "out": ("--out", " results.jsonl"),
    "question": ("--question", " TEXT"),
    "sentences": ("--sentences", " 3"),
    "source": ("--source", " English"),
    "together": ("--together", " 4"),
    "to": ("--to", " German"),
    "window": ("--window", " 1000"),
}
MOST_SCORES = 10
MOST_EVIDENCE = 10
