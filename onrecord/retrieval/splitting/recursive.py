"""Cut at the coarsest separator that is there, and what is still too long at the next finer one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onrecord.errors import UsageError
from onrecord.models.model import Embedder
from onrecord.retrieval.document import Chunk, Document
from onrecord.retrieval.splitting.blocks import Span, trimmed
from onrecord.retrieval.splitting.gathering import budget, chunks_at, measured_by
from onrecord.retrieval.splitting.packing import WIDE
from onrecord.retrieval.splitting.sizes import Ruler


class Recursive:
    """Parts between separators, filled up to `size` tokens.

    A part without any separator is halved near its middle, at a clause or a word where there is
    one. A change moves what follows it up to the next long part.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        size: int | None = None,
        separators: Sequence[str] = ("\n\n", "\n", ". "),
    ) -> None:
        """`size` defaults to half of what the embedder reads, 128 at most.

        Raises UsageError where a parameter is out of range.
        """
        if not all(separators):
            raise UsageError("a separator is empty", cure="Name the characters to cut behind")
        longest, half = budget(embedder, size, None)
        self.size = longest if size is not None else half
        self.separators = tuple(separators)
        self._ruler = Ruler(embedder.tokens, self.size)
        self._measure = measured_by(embedder)

    @property
    def version(self) -> str:
        """Name and parameters."""
        return f"recursive-1 size={self.size} separators={self.separators!r} {self._measure}"

    def split(self, document: Document) -> Iterator[Chunk]:
        """The chunks of a document: ascending, disjoint."""
        return chunks_at(document.text, self._spans(document.text))

    def _spans(self, text: str) -> Iterator[Span]:
        first: int | None = None
        last = total = 0
        for start, end, size in self._parts(text, 0, len(text), 0):
            if first is not None:
                wide = start - last > WIDE
                total += 0 if wide else self._ruler.gap(text, last, start)
                if wide or total + size > self.size:
                    yield first, last
                    first, total = None, 0
            first = start if first is None else first
            last, total = end, total + size
        if first is not None:
            yield first, last

    def _parts(self, text: str, start: int, end: int, level: int) -> Iterator[tuple[int, int, int]]:
        start, end = trimmed(text, start, end)
        if start == end:
            return
        size = self._ruler.size(text, start, end)
        if size <= self.size:
            yield start, end, size
        elif level == len(self.separators):
            yield from self._ruler.halves(text, start, end)
        else:
            separator = self.separators[level]
            while (at := text.find(separator, start, end)) >= 0:
                yield from self._parts(text, start, at + len(separator), level + 1)
                start = at + len(separator)
            yield from self._parts(text, start, end, level + 1)
