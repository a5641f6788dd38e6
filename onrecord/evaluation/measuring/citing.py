"""Were the right places quoted?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from onrecord.errors import UsageError
from onrecord.evaluation.measuring.precision_recall import PrecisionRecall


class Span(NamedTuple):
    """Characters `start` to before `end` of a document. A plain tuple of the three will do."""

    document_id: str
    start: int
    end: int


def citation_overlap(
    quoted: Iterable[tuple[str, int, int]], gold: Iterable[tuple[str, int, int]]
) -> PrecisionRecall:
    """Precision and recall of citations, in characters; all from 0 to 1.

    Precision: of the characters that were quoted, the share that lies in a gold span of the same
    document. Recall: of the characters of the gold spans, the share that was quoted. A character
    counts once, however many spans hold it. So a quotation of a whole page has full recall and
    little precision, and half of the gold sentence the other way round. Where nothing was quoted,
    or nothing is gold, all is 0; where neither is, all is 1.

    It says where the quotations are, not whether they support what was said. Raises UsageError
    for a span that is none.
    """
    one, other = _merged(quoted), _merged(gold)
    if not one or not other:
        same = float(one == other)
        return PrecisionRecall(same, same, same)
    both = sum(_common(spans, other.get(document, [])) for document, spans in one.items())
    return PrecisionRecall.of(both / _length(one), both / _length(other))


Stretches = list[tuple[int, int]]


def _merged(spans: Iterable[tuple[str, int, int]]) -> dict[str, Stretches]:
    """By document: stretches in order that do not touch each other; no empty ones."""
    if not isinstance(spans, Iterable):
        raise UsageError(f"there is no list of spans but {type(spans).__name__}")
    merged: dict[str, Stretches] = {}
    for document, start, end in sorted(map(_checked, spans)):
        stretches = merged.setdefault(document, [])
        if stretches and start <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], max(end, stretches[-1][1]))
        else:
            stretches.append((start, end))
    return merged


def _checked(span: tuple[str, int, int]) -> Span:
    try:
        document, start, end = span
        if 0 <= start < end:
            return Span(document, start, end)
    except (TypeError, ValueError):
        pass
    raise UsageError(
        "this is no span", where=repr(span)[:80], cure="Give (document_id, start, end), not empty."
    )


def _common(one: Stretches, other: Stretches) -> int:
    """The characters that both hold."""
    total = first = second = 0
    while first < len(one) and second < len(other):
        (start, end), (from_, to) = one[first], other[second]
        total += max(0, min(end, to) - max(start, from_))
        if end < to:
            first += 1
        else:
            second += 1
    return total


def _length(spans: dict[str, Stretches]) -> int:
    return sum(end - start for stretches in spans.values() for start, end in stretches)
