"""The default splitter: chunks are the blocks of the document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onrecord.models.model import Embedder
from onrecord.retrieval.document import Chunk, Document
from onrecord.retrieval.splitting.blocks import Block, Kind, Span, finer, trimmed
from onrecord.retrieval.splitting.gathering import budget, chunks_at, measured_by
from onrecord.retrieval.splitting.markup import markup_blocks
from onrecord.retrieval.splitting.packing import WIDE, Packer, Piece
from onrecord.retrieval.splitting.python_source import python_blocks
from onrecord.retrieval.splitting.sizes import Ruler


class Structure:
    """Cuts where the document has its seams: headings, paragraphs, lists, code, tables.

    A block of a quarter of `target` tokens or more is a chunk of its own. Smaller ones are packed
    together up to `target`; a heading, or a paragraph that ends with a colon, stays with what
    follows. A block over `max_tokens` is cut at sentences, then clauses, words, characters; code at
    blank lines, then lines; a table between rows; a definition between its statements. Chunks do
    not overlap, and hold every character of the document that is not whitespace.

    Where a border falls depends only on what is near it: when a paragraph is moved, the other
    chunks keep their text, and need not be embedded again.
    """

    def __init__(
        self, embedder: Embedder, *, max_tokens: int | None = None, target: int | None = None
    ) -> None:
        """`max_tokens` defaults to what the embedder reads, 256 at most; `target` to half of it.

        Raises UsageError where they are out of range.
        """
        self.max_tokens, self.target = budget(embedder, max_tokens, target)
        self._ruler = Ruler(embedder.tokens, self.max_tokens)
        self._measure = measured_by(embedder)

    @property
    def version(self) -> str:
        """Name and parameters."""
        return f"structure-1 max={self.max_tokens} target={self.target} {self._measure}"

    def split(self, document: Document) -> Iterator[Chunk]:
        """The chunks of a document: ascending, disjoint, none longer than `max_tokens`."""
        text = document.text
        start, end = trimmed(text, 0, len(text))
        if document.format == "row" and self._ruler.size(text, start, end) <= self.max_tokens:
            return chunks_at(text, [(start, end)])
        return chunks_at(text, packed(text, document_blocks(document), self._ruler, self.target))


def document_blocks(document: Document) -> Iterator[Block]:
    """The blocks of a document, by its format; an unknown format is read as plain text."""
    if document.format == "python":
        return python_blocks(document.text)
    return markup_blocks(document.text, document.format)


def packed(text: str, blocks: Iterable[Block], ruler: Ruler, target: int) -> Iterator[Span]:
    """The spans of the chunks that blocks make."""
    small = max(target // 4, 1)
    packer = Packer(text, ruler, target)
    lead: Piece | None = None
    for block, size in _measured(text, blocks, ruler):
        leads = block.leads and size <= target
        alone = size >= small and not leads
        if alone or (block.kind == "heading" and packer.size >= small):
            yield from packer.flush()
        most = target if block.kind == "heading" else ruler.most
        for piece in pieces(text, block, ruler, size):
            if lead is not None:
                both = _joined(text, lead, piece, ruler, most)
                if both is None:
                    yield from packer.flush()
                    yield lead.start, lead.end
                piece, lead = both or piece, None
            if leads:
                lead = piece
            else:
                yield from packer.add(piece)
        if alone:
            yield from packer.flush()
    if lead is not None:
        yield from packer.add(lead)
    yield from packer.flush()


def _measured(text: str, blocks: Iterable[Block], ruler: Ruler) -> Iterator[tuple[Block, int]]:
    """Blocks with their sizes; a class that is too long is the blocks it is made of."""
    for block in blocks:
        size = ruler.size(text, block.start, block.end)
        if block.kind == "class" and block.parts and size > ruler.most:
            yield from _measured(text, block.parts, ruler)
        else:
            yield block, size


def pieces(text: str, block: Block, ruler: Ruler, size: int | None = None) -> Iterator[Piece]:
    """The largest parts of a block that fit, down to single characters."""
    if size is None:
        size = ruler.size(text, block.start, block.end)
    rank = _RANKS[block.kind]
    if size <= ruler.most:
        yield Piece(block.start, block.end, size, rank)
    elif block.kind == "sentence":
        for start, end, part in ruler.halves(text, block.start, block.end):
            yield Piece(start, end, part, rank if start == block.start else rank + 1)
    else:
        for part_block in finer(text, block):
            yield from pieces(text, part_block, ruler)


def _joined(text: str, lead: Piece, piece: Piece, ruler: Ruler, most: int) -> Piece | None:
    """A lead and what follows it as one piece, where that is no more than `most` tokens."""
    if piece.start - lead.end > WIDE:
        return None
    size = lead.size + ruler.gap(text, lead.end, piece.start) + piece.size
    if size > most:
        return None
    return Piece(lead.start, piece.end, size, min(lead.rank, piece.rank))


# Where two borders would do, the one before the lower rank is taken.
_RANKS: dict[Kind, int] = {
    "heading": 0,
    "prose": 1,
    "code": 1,
    "class": 1,
    "table": 1,
    "stanza": 2,
    "item": 2,
    "row": 3,
    "sentence": 4,
}
