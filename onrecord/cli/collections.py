"""`onrecord ingest` and `onrecord search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onrecord.cli.output import AsJson, CollectionName, Where, complain, plural, print_json, say
from onrecord.errors import LoadError
from onrecord.messages import Passage
from onrecord.records.scope import recording
from onrecord.records.views.wording import duration

if TYPE_CHECKING:
    from onrecord.retrieval.ingesting import Ingested


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.", show_default=False)],
    collection: CollectionName = None,
    text: Annotated[str | None, typer.Option(help="The field of a row that is its text.")] = None,
    id: Annotated[str | None, typer.Option(help="The field of a row that names it.")] = None,
    title: Annotated[str | None, typer.Option(help="The field of a row that is its title.")] = None,
    json: AsJson = False,
) -> None:
    """Bring a collection up to date with files and folders.

    Reads text, Markdown, reStructuredText, HTML, CSV, JSON, JSON Lines, Python, e-mail, and with
    the `documents` extra PDF, Word, PowerPoint and Excel. What is unchanged is not read again; what
    is gone from PATHS is removed. The exit status is 3 when a file could not be read.
    """
    from onrecord.retrieval.collection import Collection

    docs = Collection.open(collection)
    result = docs.ingest.run(*paths, text=text, id=id, title=title)
    if json:
        print_json(result)
    else:
        _say_ingested(docs.name, result)
    if result.failed:
        raise typer.Exit(LoadError.exit_status)


def search(
    question: Annotated[str, typer.Argument(help="What to look for.", show_default=False)],
    k: Annotated[int, typer.Option("-k", help="How many passages.")] = 6,
    where: Where = None,
    min_score: Annotated[float, typer.Option(help="Leave out passages below this score.")] = 0.0,
    collection: CollectionName = None,
    json: AsJson = False,
) -> None:
    """Find the passages that fit a question best."""
    from onrecord.retrieval.collection import Collection

    docs = Collection.open(collection)
    with recording() as run:
        passages = docs.search.run(question, k, where=where, min_score=min_score)
    found = run.records[-1]
    if json:
        strategy = found.output["strategy"]
        seconds = round(found.seconds, 4)
        print_json(
            {"passages": passages, "strategy": strategy, "seconds": seconds, "run": found.run}
        )
        return
    for number, passage in enumerate(passages, 1):
        _say_passage(number, passage)
    say(f"{plural(len(passages), 'passage')}, {duration(found.seconds)}, run {found.run}")


def _say_ingested(name: str, result: Ingested) -> None:
    counts = [
        f"{count:,} {what}"
        for what, count in (
            ("added", result.added),
            ("changed", result.changed),
            ("removed", result.removed),
            ("unchanged", result.unchanged),
            ("failed", len(result.failed)),
        )
        if count
    ]
    say(f"{name}: {', '.join(counts) or 'there is no file here that can be read'}.")
    say(
        f"{plural(result.chunks, 'chunk')} in all; {plural(result.embedded, 'text')} embedded; "
        f"{duration(result.seconds)}."
    )
    for failure in result.failed[:_MOST_SHOWN]:
        complain(f"could not read {failure.path}: {failure.reason}")
    if len(result.failed) > _MOST_SHOWN:
        more = len(result.failed) - _MOST_SHOWN
        complain(f"... and {more:,} more; --json names them all")


def _say_passage(number: int, passage: Passage) -> None:
    place = f"{passage.document_id}, characters {passage.start:,}-{passage.end:,}"
    say(f"{number}. {passage.title}  ({passage.score:.2f})")
    say(f"   {place}")
    for line in passage.text.splitlines():
        say(f"   {line}")
    say()


_MOST_SHOWN = 20
