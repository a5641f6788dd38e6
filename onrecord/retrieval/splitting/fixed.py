"""Chunks of a fixed number of tokens, whatever they hold: the yardstick of the others."""

from __future__ import annotations

from collections.abc import Iterator

from onrecord.errors import UsageError
from onrecord.models.model import Embedder
from onrecord.retrieval.document import Chunk, Document
from onrecord.retrieval.splitting.blocks import Span
from onrecord.retrieval.splitting.gathering import budget, chunks_at, measured_by
from onrecord.retrieval.splitting.sizes import Ruler, Tokens, whole


class FixedTokens:
    """Windows of `size` tokens; each begins `overlap` tokens before the end of the one before it.

    A window ends a little early where that spares a word from being cut. A change moves all that
    follows it.
    """

    def __init__(self, embedder: Embedder, *, size: int | None = None, overlap: int = 0) -> None:
        """`size` defaults to half of what the embedder reads, 128 at most.

        Raises UsageError where a parameter is out of range.
        """
        longest, half = budget(embedder, size, None)
        self.size = longest if size is not None else half
        self.overlap = overlap
        if not 0 <= overlap <= self.size // 2:
            raise UsageError(
                f"overlap={overlap} is out of range",
                where="splitter",
                cure=f"Choose 0 to {self.size // 2}, half of a chunk",
            )
        self._tokens = embedder.tokens
        self._ruler = Ruler(embedder.tokens, self.size)
        self._measure = measured_by(embedder)

    @property
    def version(self) -> str:
        """Name and parameters."""
        return f"fixed-1 size={self.size} overlap={self.overlap} {self._measure}"

    def split(self, document: Document) -> Iterator[Chunk]:
        """The chunks of a document: ascending, overlapping by `overlap` tokens."""
        text = document.text
        # Cut inside a word, the rest of it may be more tokens than it was.
        parts = (
            (start, end)
            for window in self._windows(text)
            for start, end, _ in self._ruler.halves(text, *window)
        )
        return chunks_at(text, parts)

    def _windows(self, text: str) -> Iterator[Span]:
        starts = [0]
        for start in _token_starts(text, self._tokens):
            starts.append(start)
            if len(starts) > self.size:
                border = self._word(text, starts, self.size)
                yield starts[0], starts[border]
                again = self._word(text, starts, border - self.overlap) if self.overlap else border
                starts = starts[max(again, 1) :]
        yield starts[0], len(text)

    def _word(self, text: str, starts: list[int], border: int) -> int:
        """The last token up to `border` that begins a word, if that is not far."""
        for place in range(border, max(border - self.size // 4, 0), -1):
            if text[starts[place] - 1].isspace():
                return place
        return border


def _token_starts(text: str, tokens: Tokens) -> Iterator[int]:
    """Where the tokens of a text begin, without ever tokenizing more than one segment of it."""
    start = previous = 0
    while start < len(text):
        stop = _segment_end(text, start)
        for first, _ in tokens(text[start:stop]):
            place = whole(text, start + first, previous)
            if place > previous:
                yield place
                previous = place
        start = stop


def _segment_end(text: str, start: int) -> int:
    stop = start + _SEGMENT
    if stop >= len(text):
        return len(text)
    blank = max(text.rfind(sign, start + _SEGMENT // 2, stop) for sign in " \n")
    return blank if blank > start else whole(text, stop, start)


_SEGMENT = 20_000
