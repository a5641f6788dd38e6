"""Likeness of meaning, piece by piece: in the manner of BERTScore, with any embedder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from onrecord.calling import Operation
from onrecord.errors import UsageError
from onrecord.evaluation.measuring.checking import a_text, same_length
from onrecord.evaluation.measuring.precision_recall import PrecisionRecall
from onrecord.models.calling import embed
from onrecord.models.model import Embedder
from onrecord.models.names import embedder as embedder_named

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@Operation
async def embedding_f1(
    predictions: Sequence[str],
    references: Sequence[str],
    embedder: str | Embedder = "embedded:minilm",
    *,
    span: int = 3,
) -> list[PrecisionRecall]:
    """One PrecisionRecall a pair: greedy matching of short spans by the cosine of their vectors.

    Each span of `span` neighbouring words (by white space; a shorter text is one span) is matched
    with the most similar span of the other text, however often that one is taken. Precision is the
    mean over the spans of the prediction, recall over those of the reference; a negative mean is 0.

    The matching is that of Zhang et al., "BERTScore: Evaluating Text Generation with BERT" (ICLR
    2020). **It is not BERTScore**, whose tokens are embedded each in the light of its whole text:
    an embedder gives one vector a text, so here a span is embedded by itself. Numbers compare only
    with those of the same embedder and `span`, and unrelated texts score well above 0. Word order
    across spans, negation and figures weigh little. Two blank texts score 1, one of them 0.

    Raises UsageError for lists that make no pairs, UnknownNameError, and what the embedder raises.
    """
    same_length(predictions, references, "predictions and references")
    if span < 1:
        raise UsageError(f"a span of {span} words holds nothing", cure="Give 1 or more.")
    answering = embedder_named(embedder)
    pairs = [
        (_spans(a_text(one, "a prediction"), span), _spans(a_text(other, "a reference"), span))
        for one, other in zip(predictions, references, strict=True)
    ]
    results: list[PrecisionRecall] = []
    for group in _groups(pairs):
        rows = {
            each: at
            for at, each in enumerate(dict.fromkeys(s for p in group for t in p for s in t))
        }
        vectors = await embed(answering, list(rows), shown={"spans": len(rows)}) if rows else None
        results += [_matched(one, other, rows, vectors) for one, other in group]
    return results


def _spans(text: str, span: int) -> list[str]:
    """The windows of `span` words, one word apart."""
    words = text.split()
    if not words:
        return []
    last = max(len(words) - span, 0)
    return [" ".join(words[start : start + span]) for start in range(last + 1)]


Spans = tuple[list[str], list[str]]


def _groups(pairs: list[Spans]) -> Iterator[list[Spans]]:
    """Pairs that are embedded together: so many that memory stays small."""
    group: list[Spans] = []
    size = 0
    for one, other in pairs:
        if group and size + len(one) + len(other) > _AT_ONCE:
            yield group
            group, size = [], 0
        group.append((one, other))
        size += len(one) + len(other)
    if group:
        yield group


def _matched(
    one: list[str], other: list[str], rows: dict[str, int], vectors: NDArray[np.float32] | Any
) -> PrecisionRecall:
    if not one or not other:
        return PrecisionRecall.of(float(one == other), float(one == other))
    cosines = vectors[[rows[each] for each in one]] @ vectors[[rows[each] for each in other]].T
    precision, recall = cosines.max(axis=1).mean(), cosines.max(axis=0).mean()
    return PrecisionRecall.of(_share(float(precision)), _share(float(recall)))


def _share(mean: float) -> float:
    return min(max(mean, 0.0), 1.0)


_AT_ONCE = 4_096  # spans: 6 MB of vectors of 384 numbers
