"""Chunks of a fixed number of tokens, whatever they hold: the yardstick of the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onrecord.errors import UsageError
from onrecord.models.model import Embedder
from onrecord.retrieval.document import Chunk, Document
from onrecord.retrieval.splitting.blocks import Span, trimmed
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
        return chunks_at(text, _ascending(text, parts))

    def _windows(self, text: str) -> Iterator[Span]:
        first = 0
        starts: list[int] = []
        for start in _token_starts(text, self._tokens):
            starts.append(start)
            if len(starts) > self.size:
                border = self._word(text, starts, self.size)
                yield first, starts[border]
                again = self._word(text, starts, border - self.overlap) if self.overlap else border
                starts = starts[max(again, 1) :]
                first = starts[0]
        yield first, len(text)

    def _word(self, text: str, starts: list[int], border: int) -> int:
        """The last token up to `border` that begins a word, if that is not far."""
        for place in range(border, max(border - self.size // 4, 0), -1):
            if starts[place] > 0 and text[starts[place] - 1].isspace():
                return place
        return border


def _token_starts(text: str, tokens: Tokens) -> Iterator[int]:
    """Where the tokens of a text begin, without ever tokenizing more than one segment of it.

    The tokens of one character (an emoji may be many bytes) all begin where it does.
    """
    start = previous = 0
    while start < len(text):
        stop = _segment_end(text, start)
        for first, _ in tokens(text[start:stop]):
            previous = max(previous, whole(text, start + first, previous - 1))
            yield previous
        start = stop


def _ascending(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """Spans that begin and end later than the one before: where a window was cut once more, the
    next one may lie inside it."""
    first, last = -1, 0
    for span in spans:
        start, end = trimmed(text, *span)
        if start <= first:
            start, end = trimmed(text, last, end)
        if start < end and end > last:
            yield start, end
            first, last = start, end


def _segment_end(text: str, start: int) -> int:
    stop = start + _SEGMENT
    if stop >= len(text):
        return len(text)
    blank = max(text.rfind(sign, start + _SEGMENT // 2, stop) for sign in " \n")
    return blank if blank > start else whole(text, stop, start)


_SEGMENT = 20_000
