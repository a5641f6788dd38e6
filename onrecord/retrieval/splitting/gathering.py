"""What every splitter does at its ends: its sizes checked, its spans made chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onrecord.errors import UsageError
from onrecord.models.model import Embedder
from onrecord.retrieval.document import Chunk
from onrecord.retrieval.splitting.blocks import Span, trimmed


def budget(embedder: Embedder, max_tokens: int | None, target: int | None) -> tuple[int, int]:
    """The sizes of a splitter in tokens: what no chunk exceeds, and what it is filled up to."""
    most = embedder.max_tokens
    if max_tokens is not None and not LEAST <= max_tokens <= most:
        raise UsageError(
            f"max_tokens={max_tokens} is out of range",
            where="splitter",
            cure=f"{embedder.name} reads {most} tokens; choose {LEAST} to {most}",
        )
    longest = max_tokens if max_tokens is not None else min(most, PASSAGE)
    if target is not None and not LEAST <= target <= longest:
        raise UsageError(
            f"target={target} is out of range",
            where="splitter",
            cure=f"Choose {LEAST} to {longest}, the max_tokens of this splitter",
        )
    return longest, target if target is not None else max(longest // 2, 1)


def measured_by(embedder: Embedder) -> str:
    """For versions: sizes depend on whose tokens they are."""
    return f"tokens={embedder.name}@{embedder.version}"


def chunks_at(text: str, spans: Iterable[Span]) -> Iterator[Chunk]:
    """Chunks of spans, trimmed; a blank span makes none."""
    for first, last in spans:
        start, end = trimmed(text, first, last)
        if start < end:
            yield Chunk(start, end, text[start:end])


# The longest default chunk: what a person reads as one passage, even where an embedder reads more.
PASSAGE = 256
# Below this, a chunk says nothing, and one character may be more than a chunk.
LEAST = 8
