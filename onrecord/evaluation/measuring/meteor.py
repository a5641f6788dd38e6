"""METEOR without its synonyms: words that are equal, then words whose stems are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from onrecord.evaluation.measuring.checking import a_text, accepted, finite
from onrecord.words import stem, words


class Pair(NamedTuple):
    """A word of the prediction and the word of the reference that it is matched with: places."""

    found: int
    wanted: int


def meteor(
    prediction: str,
    references: str | Iterable[str],
    *,
    alpha: float = 0.9,
    beta: float = 3.0,
    gamma: float = 0.5,
) -> float:
    """METEOR with the modules "exact" and "stem", from 0 to 1: the best over the references.

    Banerjee and Lavie, "METEOR: An Automatic Metric for MT Evaluation" (2005); in the notation of
    Lavie and Agarwal (WMT 2007), of whom also is the tuned set alpha=0.81, beta=0.83, gamma=0.28:
    the score is Fmean (1 - gamma (chunks / matches)^beta), Fmean = P R / (alpha P + (1 - alpha) R).
    A chunk is a run of matched words that are neighbours in both texts.

    **Synonyms are not matched**: that module needs WordNet. So a number is at most that of the
    whole METEOR, and lower where a paraphrase says the same. Words are those of `onrecord.words`
    (lower case, no accents, no punctuation), stems those of Porter: English. Two texts without any
    word score 0. Where a word is there more than once, the matches are chosen word by word so
    that few lines between the texts cross. Raises UsageError.
    """
    for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        finite(value, name)
    found = words(a_text(prediction, "the prediction"))
    return max(
        _score(found, words(reference), alpha, beta, gamma) for reference in accepted(references)
    )


def _score(found: list[str], wanted: list[str], alpha: float, beta: float, gamma: float) -> float:
    pairs = aligned(found, wanted)
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / len(found), len(pairs) / len(wanted)
    mean = precision * recall / (alpha * precision + (1 - alpha) * recall)
    fragmentation: float = (_chunks(pairs) / len(pairs)) ** beta
    return mean * (1 - gamma * fragmentation)


def aligned(found: Sequence[str], wanted: Sequence[str]) -> list[Pair]:
    """The pairs of equal words, then of equal stems among the words that are left, in order."""
    pairs = _paired(dict(enumerate(found)), dict(enumerate(wanted)), [])
    left = set(range(len(found))) - {pair.found for pair in pairs}
    open_ = set(range(len(wanted))) - {pair.wanted for pair in pairs}
    stems = {at: stem(found[at]) for at in sorted(left)}
    others = {at: stem(wanted[at]) for at in sorted(open_)}
    return sorted(_paired(stems, others, pairs))


def _paired(found: dict[int, str], wanted: dict[int, str], pairs: list[Pair]) -> list[Pair]:
    """`pairs`, and as many more as there can be between equal words of the two."""
    here, there = _places(found), _places(wanted)
    shared = [word for word in here if word in there]
    pairs = list(pairs)
    # Where there are as many on both sides nothing is to be chosen, so these come first.
    for word in sorted(shared, key=lambda word: len(here[word]) != len(there[word])):
        pairs += _chosen(here[word], there[word], pairs)
    return pairs


def _places(words: dict[int, str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for at, word in words.items():
        places.setdefault(word, []).append(at)
    return places


def _chosen(found: list[int], wanted: list[int], pairs: list[Pair]) -> list[Pair]:
    """Which places of one word belong together: in order, at the least cost."""
    if len(found) == len(wanted):
        return [Pair(*both) for both in zip(found, wanted, strict=True)]
    turned = len(found) > len(wanted)
    few, many = (wanted, found) if turned else (found, wanted)
    lines = [Pair(pair.wanted, pair.found) for pair in pairs] if turned else pairs
    # best[b]: the least cost of the first places of `few`, matched among the first b of `many`.
    best: list[tuple[_Cost, tuple[Pair, ...]]] = [((0, 0, 0), ())] * (len(many) + 1)
    for number, one in enumerate(few, 1):
        row: list[tuple[_Cost, tuple[Pair, ...]]] = [(_NEVER, ())] * (len(many) + 1)
        for reach in range(number, len(many) - (len(few) - number) + 1):
            cost, before = best[reach - 1]
            line = Pair(one, many[reach - 1])
            taken = (_sum(cost, _cost(line, lines)), (*before, line))
            row[reach] = min(row[reach - 1], taken, key=lambda each: each[0])
        best = row
    chosen = best[len(many)][1]
    return [Pair(line.wanted, line.found) for line in chosen] if turned else list(chosen)


_Cost = tuple[float, float, float]
_NEVER: _Cost = (float("inf"), 0, 0)


def _cost(line: Pair, lines: list[Pair]) -> _Cost:
    """Lines crossed; then whether it continues no chunk; then how far it leads."""
    crossed = sum((line.found < one.found) != (line.wanted < one.wanted) for one in lines)
    alone = not any(line.found - one.found == line.wanted - one.wanted in (-1, 1) for one in lines)
    return crossed, alone, abs(line.found - line.wanted)


def _sum(one: _Cost, other: _Cost) -> _Cost:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _chunks(pairs: list[Pair]) -> int:
    breaks = sum(
        (after.found - before.found, after.wanted - before.wanted) != (1, 1)
        for before, after in pairwise(pairs)
    )
    return breaks + 1
