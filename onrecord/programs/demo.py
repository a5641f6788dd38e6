"""The demonstration: the documentation of Python's standard library, and questions about it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import msgspec

import onrecord
from onrecord.calling import Operation
from onrecord.retrieval.collection import Collection
from onrecord.retrieval.document import Document
from onrecord.retrieval.ingesting import Ingested
from onrecord.retrieval.loading.docstrings import standard_library


class Question(msgspec.Struct, frozen=True):
    """A question with the ids of the documents that answer it; none if nothing does."""

    question: str
    objects: tuple[str, ...]


@Operation
async def ingest_documentation(docs: Collection) -> Ingested:
    """Fill a collection with the standard library's docstrings and Onrecord's own pages."""
    return await docs.add([*standard_library(), *own_pages()], source="documentation")


def own_pages() -> Iterator[Document]:
    """Onrecord's documentation: its pages, as far as they are installed."""
    package = Path(onrecord.__path__[0])
    for folder in (package / "data" / "docs", package.parent / "docs"):
        for path in sorted(folder.glob("*.md")):
            text = path.read_text(encoding="utf-8")
            title = text.splitlines()[0].lstrip("# ")
            yield Document(f"onrecord/{path.name}", title, text, "markdown", {"kind": "page"})


def questions() -> list[Question]:
    """The question set written for this corpus, before anything was measured on it.

    Two rules were made after its first results were seen: that words which only ask ("how do I")
    are not searched for, and that "I" is no name. So it is a demonstration, no held-out test.
    """
    text = (resources.files("onrecord") / "data" / "demo" / "questions.jsonl").read_bytes()
    return [msgspec.json.decode(line, type=Question) for line in text.splitlines()]
