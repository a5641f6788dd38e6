"""Small pieces packed into chunks, with borders that depend only on what is near them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import msgspec

from onrecord.retrieval.splitting.blocks import Span
from onrecord.retrieval.splitting.sizes import Ruler


class Piece(msgspec.Struct, frozen=True):
    """A span with its size in tokens. `rank`: how good its start is as a border, 0 the best."""

    start: int
    end: int
    size: int
    rank: int = 0


class Packer:
    """Packs pieces that follow each other into chunks of up to `target` tokens.

    Filling every chunk to the brim would move all later borders whenever a word is added, and
    every later chunk would be embedded again. So the border is set by content: in the second half
    of a full chunk, before the piece whose rank, then whose checksum, is the least. A change moves
    the borders near it, and the next ones fall where they fell before (Muthitacharoen et al., "A
    Low-bandwidth Network File System", SOSP 2001).

    A chunk is cut when a quarter more than `target` has come, so the last one is never a crumb.
    """

    def __init__(self, text: str, ruler: Ruler, target: int) -> None:
        self.size = 0
        self._text = text
        self._ruler = ruler
        self._target = target
        self._full = min(target + target // 4, ruler.most)
        self._pieces: list[Piece] = []

    def add(self, piece: Piece) -> Iterator[Span]:
        """Take the next piece; yields the chunks that are complete."""
        if self._pieces:
            start, end = self._pieces[-1].end, piece.start
            if end - start > WIDE:
                yield from self.flush()
            else:
                self.size += self._ruler.gap(self._text, start, end)
        self._pieces.append(piece)
        self.size += piece.size
        while self.size > self._full and len(self._pieces) > 1:
            yield self._cut()

    def flush(self) -> Iterator[Span]:
        """What is left, as one chunk."""
        if self._pieces:
            yield self._pieces[0].start, self._pieces[-1].end
        self._pieces, self.size = [], 0

    def _cut(self) -> Span:
        sizes = self._sizes()
        border = self._border(sizes)
        chunk = self._pieces[:border]
        self._pieces = self._pieces[border:]
        self.size -= sizes[border]
        return chunk[0].start, chunk[-1].end

    def _border(self, sizes: list[int]) -> int:
        """How many pieces the next chunk takes."""
        fitting = [n for n in range(1, len(self._pieces)) if sizes[n] <= self._target]
        good = [n for n in fitting if sizes[n] >= self._target // 2]
        if good:
            return min(good, key=lambda n: (self._pieces[n].rank, self._checksum(n)))
        return fitting[-1] if fitting else 1

    def _sizes(self) -> list[int]:
        """Tokens up to the start of each piece, the gap before it included."""
        sizes, total = [], 0
        for position, piece in enumerate(self._pieces):
            if position:
                before = self._pieces[position - 1]
                total += before.size + self._ruler.gap(self._text, before.end, piece.start)
            sizes.append(total)
        return sizes

    def _checksum(self, n: int) -> int:
        piece = self._pieces[n]
        return zlib.crc32(self._text[piece.start : piece.end].encode("utf-8", "surrogatepass"))


# Whitespace wider than this (characters) is a border: it would fill a chunk with nothing.
WIDE = 400
