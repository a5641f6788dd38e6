"""What goes into a task: a text that is one, its sentences, and examples of what comes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.errors import UsageError
from onrecord.models.calling import embed
from onrecord.models.model import Embedder
from onrecord.retrieval.document import Document, Fields
from onrecord.retrieval.loading.load import ROWS, load, load_rows
from onrecord.sentences import sentence_spans
from onrecord.words import words

Span = tuple[int, int]


class Example(msgspec.Struct, frozen=True):
    """A text and what a task should give for it: a label, a summary, a translation, values."""

    text: str
    output: Any


Examples = str | Path | Sequence[Example | tuple[str, Any] | Mapping[str, Any]] | None


def checked(text: object, what: str = "text") -> str:
    """A text that a task can work on. Raises UsageError for an empty or an endless one."""
    if not isinstance(text, str):
        raise UsageError(f"the {what} is no text but {type(text).__name__}", cure="Give a str.")
    if not text.strip():
        raise UsageError(f"the {what} is empty", cure="Give a task something to read.")
    if len(text) > LONGEST:
        raise UsageError(
            f"the {what} has {len(text):,} characters, and a task reads {LONGEST:,}",
            cure="Cut it into parts, or ingest it and ask the collection.",
        )
    return text


def examples_of(given: Examples) -> tuple[Example, ...]:
    """Examples from pairs, mappings or a file (CSV, JSON, JSON Lines with `text` and `label`, or
    `output`). Raises UsageError, LoadError."""
    if given is None:
        return ()
    if isinstance(given, str | Path):
        return tuple(_read(Path(given)))
    return tuple(_example(each, number) for number, each in enumerate(given, 1))


def settle_examples(options: Any) -> None:
    """Put the examples themselves in the place of a file's name, once: what was asked is then on
    record, and a file that changes later changes nothing. Raises UsageError, LoadError."""
    if options.examples is not None:
        msgspec.structs.force_setattr(options, "examples", examples_of(options.examples))


def _read(path: Path) -> Iterable[Example]:
    if not path.is_file():
        raise UsageError(
            "there is no such file of examples",
            where=str(path),
            cure="Give pairs (text, label), or the name of a file with text and label.",
        )
    rows = load_rows(path, "text") if path.suffix.lower() in ROWS else load(path, Fields(), "")
    for loaded in rows:
        if not isinstance(loaded, Document):
            raise UsageError(
                f"an example cannot be read: {loaded.reason}",
                where=str(path),
                cure="Mend that row, or take it out.",
            )
        yield _example({"text": loaded.text, **loaded.metadata}, loaded.title, str(path))


def _example(given: Any, number: object, where: str = "examples") -> Example:
    if isinstance(given, Example):
        return given
    if isinstance(given, tuple | list) and len(given) == 2:
        given = {"text": given[0], "output": given[1]}
    if isinstance(given, Mapping):
        text = given.get("text")
        output = next((given[name] for name in ("output", "label") if name in given), None)
        if isinstance(text, str) and text.strip() and output is not None:
            return Example(text, output)
    raise UsageError(
        f"example {number} has no text and label",
        where=where,
        cure='Give pairs (text, label), or {"text": …, "label": …} (or "output").',
    )


def sentences_of(text: str, least_words: int = 1) -> list[Span]:
    """The sentences of a text that have so many words, where any has; else all that have one."""
    spans = [span for span in sentence_spans(text) if words(text[slice(*span)])]
    long = [span for span in spans if len(words(text[slice(*span)])) >= least_words]
    return long or spans or [(0, len(text))]


def doubts(text: str, embedder: Embedder) -> str:
    """What a reader should know before trusting an embedder with a text; nothing, mostly."""
    letters = [letter for letter in text[:LOOKED_AT] if letter.isalpha()]
    if not words(text):
        return "There are no words in the text, so there is next to nothing to compare."
    if embedder.name == "embedded:minilm" and sum(map(str.isascii, letters)) * 2 < len(letters):
        return "embedded:minilm was made for English, and most of this text is in another script."
    return ""


async def vectors_of(embedder: Embedder, texts: Sequence[str], what: str) -> NDArray[np.float32]:
    """Vectors of parts of what stands on the record already: there are only said to be so many."""
    return await embed(embedder, texts, shown={what: len(texts)})


# A million characters are a thick book. Everything above is read by nobody in one call.
LONGEST = 1_000_000
# In which script a text is written shows at its beginning.
LOOKED_AT = 10_000
