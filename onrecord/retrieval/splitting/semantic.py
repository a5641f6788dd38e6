"""Cut where the meaning changes most from one sentence to the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from onrecord.calling import run
from onrecord.errors import UsageError
from onrecord.models.calling import embed
from onrecord.models.model import Embedder
from onrecord.retrieval.document import Chunk, Document
from onrecord.retrieval.splitting.blocks import Span, sentences
from onrecord.retrieval.splitting.gathering import budget, chunks_at, measured_by
from onrecord.retrieval.splitting.packing import Packer, Piece
from onrecord.retrieval.splitting.sizes import Ruler


class Semantic:
    """Sentences together until their vectors part.

    Each sentence is embedded with its neighbours; a border falls where the cosine distance to the
    next one is above the given percentile of all such distances in the document (the idea is Greg
    Kamradt's, "5 Levels of Text Splitting", 2023). A chunk over `max_tokens` is cut at its largest
    distances. Every sentence is embedded, so an ingest costs at least twice; one change can move
    any border, because the percentile is that of the whole document.
    """

    def __init__(
        self, embedder: Embedder, *, percentile: float = 90.0, max_tokens: int | None = None
    ) -> None:
        """Raises UsageError where a parameter is out of range."""
        if not 0 <= percentile <= 100:
            raise UsageError(f"percentile={percentile} is out of range", cure="Choose 0 to 100")
        self.percentile = percentile
        self.max_tokens, _ = budget(embedder, max_tokens, None)
        self._embedder = embedder
        self._ruler = Ruler(embedder.tokens, self.max_tokens)

    @property
    def version(self) -> str:
        """Name and parameters; the vectors decide, so the embedder is one of them."""
        measure = measured_by(self._embedder)
        return f"semantic-1 percentile={self.percentile:g} max={self.max_tokens} {measure}"

    def split(self, document: Document) -> Iterator[Chunk]:
        """The chunks of a document: ascending, disjoint. Waits for the embedder."""
        text = document.text
        spans = list(sentences(text, 0, len(text)))
        yield from chunks_at(text, self._spans(text, spans, run(self._distances(text, spans))))

    async def _distances(self, text: str, spans: Sequence[Span]) -> NDArray[np.float32]:
        """Cosine distance of each sentence to the one before, shape (sentences,); 0 at first."""
        distances = np.zeros(len(spans), np.float32)
        before: NDArray[np.float32] | None = None
        for first in range(0, len(spans), _BATCH):
            texts = [
                text[spans[max(at - 1, 0)][0] : spans[min(at + 1, len(spans) - 1)][1]][:_REACH]
                for at in range(first, min(first + _BATCH, len(spans)))
            ]
            # How many, not which: what leaves a collection must be in no record of it either.
            vectors = await embed(self._embedder, texts, shown={"texts": len(texts)})
            previous = np.vstack([vectors[:1] if before is None else before, vectors[:-1]])
            distances[first : first + len(vectors)] = 1 - np.sum(vectors * previous, axis=1)
            before = vectors[-1:]
        return distances

    def _spans(
        self, text: str, spans: Sequence[Span], distances: NDArray[np.float32]
    ) -> Iterator[Span]:
        drops = distances[1:]
        threshold = np.percentile(drops, self.percentile) if len(drops) else 0.0
        # Packed up to the very limit: the target leaves the packer its quarter.
        packer = Packer(text, self._ruler, self.max_tokens * 4 // 5)
        for sentence, distance in zip(spans, distances, strict=True):
            if distance > threshold:
                yield from packer.flush()
            rank = round((2 - float(distance)) * _STEPS)
            for start, end, size in self._ruler.halves(text, *sentence):
                piece = Piece(start, end, size, rank if start == sentence[0] else 2 * _STEPS)
                yield from packer.add(piece)
        yield from packer.flush()


_BATCH = 256
# Characters embedded with a sentence: its neighbours, unless they are very long.
_REACH = 3000
# Distances as whole numbers, for the ranks of the packer.
_STEPS = 1_000_000
