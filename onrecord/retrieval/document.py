"""What was loaded, what it is cut into, and the protocol of whatever cuts it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

Scalar = str | int | float | bool | None


class Document(msgspec.Struct, frozen=True):
    """A loaded text with its name and fields.

    `text` is what every offset counts in (characters, not bytes). `format` tells the splitter what
    structure to expect: "text", "markdown", "rst", "html", "python", "table" or "row".
    `metadata` holds scalars, or lists of strings; keys are lower_snake_case; dates are ISO 8601.
    """

    id: str
    title: str
    text: str
    format: str = "text"
    metadata: dict[str, Any] = {}


class Failure(msgspec.Struct, frozen=True):
    """A file that could not be loaded, and why, in one clause."""

    path: str
    reason: str


class Fields(msgspec.Struct, frozen=True):
    """Which fields of a row are its text, id and title; None lets the loader choose."""

    text: str | None = None
    id: str | None = None
    title: str | None = None


class Chunk(msgspec.Struct, frozen=True):
    """A span of a document: `text == document.text[start:end]`, always."""

    start: int
    end: int
    text: str


class Splitter(Protocol):
    """Cuts a document into chunks: ascending, inside the text, none empty or blank."""

    @property
    def version(self) -> str:
        """Name and parameters: changes whenever an equal text could be cut differently."""

    def split(self, document: Document) -> Iterable[Chunk]:
        """The chunks of a document, one after the other.

        It takes processor time, and may wait for an embedder: call it in a worker thread.
        """
