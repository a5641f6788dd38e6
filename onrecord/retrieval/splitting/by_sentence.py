"""Chunks of a number of sentences."""

from __future__ import annotations

from collections.abc import Iterator

from onrecord.errors import UsageError
from onrecord.models.model import Embedder
from onrecord.retrieval.document import Chunk, Document
from onrecord.retrieval.splitting.blocks import Span, sentences
from onrecord.retrieval.splitting.gathering import budget, chunks_at, measured_by
from onrecord.retrieval.splitting.packing import WIDE
from onrecord.retrieval.splitting.sizes import Ruler


class Sentences:
    """`count` sentences a chunk, fewer where they are more than `max_tokens`."""

    def __init__(
        self, embedder: Embedder, *, count: int = 5, max_tokens: int | None = None
    ) -> None:
        """Raises UsageError where a parameter is out of range."""
        if count < 1:
            raise UsageError(f"sentences={count} is out of range", cure="Choose 1 or more")
        self.count = count
        self.max_tokens, _ = budget(embedder, max_tokens, None)
        self._ruler = Ruler(embedder.tokens, self.max_tokens)
        self._measure = measured_by(embedder)

    @property
    def version(self) -> str:
        """Name and parameters."""
        return f"sentences-1 count={self.count} max={self.max_tokens} {self._measure}"

    def split(self, document: Document) -> Iterator[Chunk]:
        """The chunks of a document: ascending, disjoint."""
        return chunks_at(document.text, self._spans(document.text))

    def _spans(self, text: str) -> Iterator[Span]:
        first: int | None = None
        last = taken = total = 0
        for sentence in sentences(text, 0, len(text)):
            for start, end, size in self._ruler.halves(text, *sentence):
                if first is not None:
                    wide = start - last > WIDE
                    total += 0 if wide else self._ruler.gap(text, last, start)
                    if wide or taken >= self.count or total + size > self.max_tokens:
                        yield first, last
                        first, taken, total = None, 0, 0
                first = start if first is None else first
                last, total = end, total + size
            taken += 1
        if first is not None:
            yield first, last
