"""Which texts are equal, or nearly so: character 4-grams, MinHash, and an exact count at the end.

Broder, "On the resemblance and containment of documents" (1997): the share of equal minima over
many hash functions estimates the Jaccard similarity of two sets. 16 bands of 4 minima bring pairs
together (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3): of pairs that
share 0.8 of their 4-grams all but about 1 in 100. What was brought together is then counted
exactly, so that no pair is called near that is not. In a crowd (thousands of texts of one template)
each text is counted against two of each bucket: so the time stays linear, if many times that of
different texts, and chains whose pairs are just near enough are not all found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.records.record import plain
from onrecord.words import words

Pairs = NDArray[np.int64]
"""Indexes of texts, of shape (pairs, 2)."""


def normalised(value: Any) -> str:
    """An input as the text that is compared: lower case, no accents, punctuation or spacing.

    Of an object it is the keys, in order, and the values. What has no words (“?!”, “🙂”) stays as
    it is. So "3 + 2" and "3 - 2" are equal here: they are kept together, which harms nobody.
    """
    text = _flat(value)
    return " ".join(words(text)) or text.strip()


class Joined:
    """Sets of numbers that grow together: union-find, with paths halved."""

    def __init__(self, size: int) -> None:
        self._above = list(range(size))

    def root(self, at: int) -> int:
        """The number that stands for the set of `at`: its lowest."""
        above = self._above
        while above[at] != at:
            above[at] = at = above[above[at]]
        return at

    def join(self, one: int, other: int) -> None:
        """Make one set of two."""
        low, high = sorted((self.root(one), self.root(other)))
        self._above[high] = low

    def roots(self) -> NDArray[np.int64]:
        """The root of each number."""
        above = np.array(self._above, dtype=np.int64)
        while not np.array_equal(above, further := above[above]):
            above = further
        return above


def near_groups(texts: Sequence[str], least: float) -> Joined:
    """Different texts, joined where two are at least so similar; chains count."""
    joined = Joined(len(texts))
    signatures = _signatures(texts)
    for pairs in _neighbours(signatures):
        roots = joined.roots()
        apart = pairs[roots[pairs[:, 0]] != roots[pairs[:, 1]]]
        for one, other in _likely(apart, signatures, least).tolist():
            if (
                joined.root(one) != joined.root(other)
                and similarity(texts[one], texts[other]) >= least
            ):
                joined.join(one, other)
    return joined


def near_across(
    texts: Sequence[str], others: Sequence[str], least: float
) -> Iterator[tuple[int, int, float]]:
    """A text and the most similar of the others that are not equal, as far as it is at least so
    similar; of a crowd in one bucket the first few are looked at."""
    signatures = _signatures([*others, *texts])
    best: dict[int, tuple[float, int]] = {}
    seen: set[tuple[int, int]] = set()
    for pairs in _across(signatures, len(others)):
        for other, one in map(tuple, _likely(pairs, signatures, least).tolist()):
            if (other, one) not in seen and others[other] != texts[one - len(others)]:
                seen.add((other, one))
                found = similarity(others[other], texts[one - len(others)])
                if found >= max(least, best.get(one, (0.0, 0))[0]):
                    best[one] = (found, other)
    for one, (found, other) in sorted(best.items()):
        yield one - len(others), other, found


def similarity(text: str, other: str) -> float:
    """The Jaccard similarity of the sets of character 4-grams of two texts, from 0 to 1."""
    one, two = _grams(text), _grams(other)
    both = len(one & two)
    return both / (len(one) + len(two) - both)


def _flat(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "\n".join(f"{key} {_flat(value[key])}" for key in sorted(value, key=str))
    if isinstance(value, list | tuple):
        return "\n".join(map(_flat, value))
    return msgspec.json.encode(plain(value)).decode()


def _grams(text: str) -> frozenset[str]:
    return _kept_grams(text) if len(text) < _LONG else _made_grams(text)


def _made_grams(text: str) -> frozenset[str]:
    padded = _padded(text)
    return frozenset({padded[at : at + _GRAM] for at in range(len(padded) - _GRAM + 1)})


# Pairs that follow each other in a bucket share their texts.
_kept_grams = lru_cache(maxsize=64)(_made_grams)


def _padded(text: str) -> str:
    return f" {text} ".ljust(_GRAM)


def _signatures(texts: Sequence[str]) -> NDArray[np.uint32]:
    """The minima of each text, of shape (texts, HASHES). Takes 16 bytes a character at a time, of
    a few million characters."""
    made = np.empty((len(texts), _HASHES), dtype=np.uint32)
    start = 0
    while start < len(texts):
        end, characters = start, 0
        while end < len(texts) and characters < _BLOCK:
            characters += len(texts[end])
            end += 1
        made[start:end] = _minima([_padded(text) for text in texts[start:end]])
        start = end
    return made


def _minima(texts: Sequence[str]) -> NDArray[np.uint32]:
    joined = "".join(texts).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(joined, dtype=np.uint32).astype(np.uint64)
    lengths = np.array([len(text) for text in texts])
    grams = np.zeros(len(codes) - _GRAM + 1, dtype=np.uint64)
    for at in range(_GRAM):
        grams = grams * _MIX + codes[at : len(codes) - _GRAM + 1 + at]
    grams ^= grams >> np.uint64(29)
    ends = np.cumsum(lengths)
    whole = np.ones(len(codes), dtype=bool)  # grams that lie inside of one text
    for back in range(1, _GRAM):
        whole[ends - back] = False
    grams = grams[whole[: len(grams)]]
    counts = lengths - _GRAM + 1
    starts = np.cumsum(counts) - counts
    made = np.empty((len(texts), _HASHES), dtype=np.uint32)
    for at in range(_HASHES):
        hashed = ((grams * _FACTORS[at] + _SUMMANDS[at]) >> np.uint64(32)).astype(np.uint32)
        made[:, at] = np.minimum.reduceat(hashed, starts)
    return made


def _bands(signatures: NDArray[np.uint32]) -> Iterator[NDArray[np.uint64]]:
    """A number for each text, equal where the minima of one band are, band after band."""
    for band in range(0, _HASHES, _ROWS):
        key = np.zeros(len(signatures), dtype=np.uint64)
        for at in range(band, band + _ROWS):
            key = (key + signatures[:, at]) * _MIX
            key ^= key >> np.uint64(29)
        yield key


def _neighbours(signatures: NDArray[np.uint32]) -> Iterator[Pairs]:
    """In each band: every text with the one before it in its bucket, and with the first."""
    for key in _bands(signatures):
        order = np.argsort(key, kind="stable")
        same = np.flatnonzero(key[order][1:] == key[order][:-1]) + 1
        begins = np.flatnonzero(np.r_[True, key[order][1:] != key[order][:-1]])
        first = begins[np.searchsorted(begins, same, side="right") - 1]
        both = np.stack([same - 1, same, first, same], axis=1).reshape(-1, 2)
        is_new = np.ones(len(both), dtype=bool)
        is_new[1::2] = first < same - 1  # of the second in a bucket the first is the one before
        yield order[both[is_new]]


def _across(signatures: NDArray[np.uint32], border: int) -> Iterator[Pairs]:
    """In each band: every text from the border on with the first few before it in its bucket."""
    for key in _bands(signatures):
        order = np.argsort(key, kind="stable")  # those before the border come first in a bucket
        keys = key[order]
        later = np.flatnonzero(order >= border)
        begins = np.searchsorted(keys, keys[later], side="left")
        for step in range(_CROWD):
            at = begins + step
            fits = at < later
            fits[fits] = order[at[fits]] < border
            yield np.stack([order[at[fits]], order[later[fits]]], axis=1)


def _likely(pairs: Pairs, signatures: NDArray[np.uint32], least: float) -> Pairs:
    """The pairs, without those whose minima say that they are clearly less similar."""
    kept = [pairs[:0]]
    for start in range(0, len(pairs), _CHUNK):
        some = pairs[start : start + _CHUNK]
        equal = (signatures[some[:, 0]] == signatures[some[:, 1]]).mean(axis=1)
        kept.append(some[equal >= least - _SLACK])
    return np.concatenate(kept)


_GRAM = 4
_HASHES, _ROWS = 64, 4
_BLOCK = 2_000_000
_LONG = 10_000  # characters; the grams of longer texts are not kept
_CHUNK = 200_000
_CROWD = 8
_SLACK = 0.12  # more than two standard errors of the share of 64 minima
_MIX = np.uint64(0x9E3779B97F4A7C15)
_random = np.random.default_rng(20_000)  # any numbers do, but always the same
_FACTORS = _random.integers(1, 2**64, _HASHES, dtype=np.uint64) | np.uint64(1)
_SUMMANDS = _random.integers(0, 2**64, _HASHES, dtype=np.uint64)
