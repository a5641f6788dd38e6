"""`onrecord models map`: texts as points, in a page or a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from onrecord.cli.models_tokens import names_in, read_file
from onrecord.cli.output import AsJson, complain, plural, print_json, say
from onrecord.cli.records_options import options
from onrecord.cli.records_screen import say_table
from onrecord.errors import LoadError, StorageError, UsageError
from onrecord.records.views.wording import flat

if TYPE_CHECKING:
    from onrecord.models.embeddings.map import EmbeddingMap


class Texts(NamedTuple):
    """Texts to draw, and the label of each; no labels where there are none."""

    texts: list[str]
    labels: list[str]


def _points(help: str) -> Any:
    return typer.Option(help=help, rich_help_panel="What a point is")


@dataclass(frozen=True, kw_only=True)
class Points:
    """The options that say what is drawn of a file."""

    by: Annotated[str, _points("line, sentence or word.")] = "line"
    labels: Annotated[
        str | None,
        _points("What the points are coloured by: a file with a label a line, or a column."),
    ] = None
    column: Annotated[str | None, _points("The column of the text, in a table.")] = None

    def texts(self, file: Path) -> Texts:
        """The texts of a file, cut into points. Raises UsageError, LoadError."""
        if self.by not in ("line", "sentence", "word"):
            raise UsageError(f"there is no --by {self.by}", cure="Use line, sentence or word.")
        if file.suffix.lower() in _TABLES:
            rows = _rows(file, self.column, self.labels)
            return _sentences(rows) if self.by == "sentence" else rows
        if self.column is not None:
            raise UsageError(
                "--column is for tables", where=str(file), cure="Name a .csv, .tsv or .jsonl file."
            )
        lines = _lines(file)
        if self.by == "sentence":
            lines = _sentences(Texts(["\n".join(lines)], [])).texts
        return Texts(lines, [] if self.labels is None else _label_lines(self.labels))


@options(points=Points)
def draw_map(
    file: Annotated[
        Path,
        typer.Argument(
            help="A text; or .csv, .tsv, .jsonl with a text a row.",
            metavar="FILE",
            show_default=False,
        ),
    ],
    points: Points,
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="bow, tfidf, word2vec, or an embedder: embedded:minilm, hf:NAME, openai:NAME.",
            show_default="tfidf,embedded:minilm",
        ),
    ] = None,
    projection: Annotated[str, typer.Option(help="pca, or tsne.")] = "pca",
    most: Annotated[
        int, typer.Option(help="Draw at most so many points.", min=3, max=20_000)
    ] = 500,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where to: a page (.html), or a picture (.png).")
    ] = Path("embeddings.html"),
    json: AsJson = False,
) -> None:
    """Draw the lines, sentences or words of a file in two dimensions, once for each embedding.

    The page loads nothing from anywhere: it can be sent on, and read without a network.
    For example: `onrecord models map reviews.csv --labels stars --with tfidf,embedded:minilm`
    """
    from onrecord.models.embeddings.map import embedding_map

    _check_target(out)
    given = points.texts(file)
    found = embedding_map.run(
        given.texts,
        views=names_in(with_) or ("tfidf", "embedded:minilm"),
        by_word=points.by == "word",
        groups=given.labels,
        projection=projection,
        most=most,
    )
    notes = (*found.notes, *_write(out, found, file.name))
    if json:
        print_json({"out": str(out), "map": found, "notes": notes})
    else:
        _say_map(found, out, notes)


def _say_map(found: EmbeddingMap, out: Path, notes: Sequence[str]) -> None:
    rows = [(each.name, f"{each.dimensions:,}", _held(each.held)) for each in found.maps]
    say_table(("embedding", "dimensions", "held by the two drawn"), rows, left=1)
    say(f"{plural(len(found.labels), 'point')} in {flat(str(out))}")
    for note in notes:
        complain(f"note: {flat(note)}")


def _held(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _check_target(out: Path) -> None:
    """Before any work is done. Raises UsageError, StorageError."""
    if out.suffix.lower() not in (".html", ".htm", ".png"):
        raise UsageError(
            "the drawing can be a page or a picture", where=str(out), cure="Name a .html or .png."
        )
    if not out.parent.is_dir():
        raise StorageError(
            "there is no such folder", where=str(out.parent), cure="Make it, or name another."
        )
    if out.is_dir():
        raise StorageError("this is a folder", where=str(out), cure="Name a file in it.")


def _write(out: Path, found: EmbeddingMap, title: str) -> tuple[str, ...]:
    from onrecord.records.whole_file import write, write_bytes

    try:
        if out.suffix.lower() == ".png":
            from onrecord.models.embeddings.picture import picture

            data, notes = picture(found, title)
            write_bytes(out, data)
            return notes
        from onrecord.models.embeddings.page import page

        write(out, page(found, title))
        return ()
    except OSError as error:
        raise StorageError(
            f"the drawing cannot be written: {error.strerror or error}",
            where=str(out),
            cure="Name a place that can be written to.",
        ) from None


def _label_lines(labels: str) -> list[str]:
    if not Path(labels).is_file():
        raise UsageError(
            "there is no such file of labels",
            where=labels,
            cure="Name a file with a label a line; columns are for .csv, .tsv and .jsonl.",
        )
    return _lines(Path(labels))


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in read_file(file).split("\n") if line.strip()]


def _rows(file: Path, column: str | None, labels: str | None) -> Texts:
    from onrecord.retrieval.document import Failure, Fields
    from onrecord.retrieval.loading.load import load

    if not file.is_file():
        raise UsageError("there is no such file", where=str(file), cure="Look at its name.")
    texts, found = [], []
    for row in load(file, Fields(text=column), file.name):
        if isinstance(row, Failure):
            raise LoadError(row.reason, where=str(file), cure="Mend that row, or take it out.")
        texts.append(row.text)
        found.append(row.metadata)
    if labels is None:
        return Texts(texts, [])
    if not any(labels in row for row in found):
        there = ", ".join(sorted({name for row in found for name in row}))
        raise UsageError(
            f"no row has a column '{labels}'",
            where=str(file),
            cure=f"Beside the text there are: {there or 'none'}.",
        )
    return Texts(texts, [str(row.get(labels, "")) for row in found])


def _sentences(rows: Texts) -> Texts:
    """The sentences of texts, each with the label of its text."""
    from onrecord.sentences import sentence_spans

    labels: Sequence[str] = rows.labels or [""] * len(rows.texts)
    cut = [
        (text[start:end], label)
        for text, label in zip(rows.texts, labels, strict=True)
        for start, end in sentence_spans(text)
    ]
    return Texts([text for text, _ in cut], [label for _, label in cut] if rows.labels else [])


_TABLES = {".csv", ".tsv", ".jsonl"}
