"""Chunks of whole sections: from one heading to the next."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from onrecord.models.model import Embedder
from onrecord.retrieval.document import Chunk, Document
from onrecord.retrieval.splitting.blocks import Block, Span
from onrecord.retrieval.splitting.gathering import budget, chunks_at, measured_by
from onrecord.retrieval.splitting.sizes import CHARACTERS, Ruler
from onrecord.retrieval.splitting.structure import document_blocks, packed


class Sections:
    """A section a chunk, with headings as the format of the document has them.

    A section over `max_tokens` is cut as `Structure` does. A heading right under another belongs to
    the same section.
    """

    def __init__(self, embedder: Embedder, *, max_tokens: int | None = None) -> None:
        """Raises UsageError where `max_tokens` is out of range."""
        self.max_tokens, self._target = budget(embedder, max_tokens, None)
        self._ruler = Ruler(embedder.tokens, self.max_tokens)
        self._measure = measured_by(embedder)

    @property
    def version(self) -> str:
        """Name and parameters."""
        return f"sections-1 max={self.max_tokens} {self._measure}"

    def split(self, document: Document) -> Iterator[Chunk]:
        """The chunks of a document: ascending, disjoint."""
        return chunks_at(document.text, self._spans(document))

    def _spans(self, document: Document) -> Iterator[Span]:
        text = document.text
        for section in _sections(document_blocks(document)):
            # Only as many blocks are held as could fit one chunk.
            held: list[Block] = []
            for block in section:
                held.append(block)
                if block.end - held[0].start > CHARACTERS * self.max_tokens:
                    break
            start, end = held[0].start, held[-1].end
            if self._ruler.size(text, start, end) <= self.max_tokens:
                yield start, end
            else:
                yield from packed(text, chain(held, section), self._ruler, self._target)


def _sections(blocks: Iterator[Block]) -> Iterator[Iterator[Block]]:
    """The blocks of each section, read as far as they are asked for."""
    following = next(blocks, None)

    def section() -> Iterator[Block]:
        nonlocal following
        body = False
        while following is not None and not (body and following.kind == "heading"):
            body = body or following.kind != "heading"
            block, following = following, next(blocks, None)
            yield block

    while following is not None:
        yield section()
