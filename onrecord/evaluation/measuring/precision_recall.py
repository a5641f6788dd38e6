"""Precision, recall, and what balances them."""

from __future__ import annotations

from typing import Self

import msgspec


class PrecisionRecall(msgspec.Struct, frozen=True):
    """How much of what was given is right, how much of what is right was given; all from 0 to 1.

    `f1`: their harmonic mean (van Rijsbergen, "Information Retrieval", 1979, chapter 7), 0 where
    both are 0. Of an average over classes it is the average of the classes' own F1, which is
    another number than the harmonic mean of the averages.
    """

    precision: float
    recall: float
    f1: float

    @classmethod
    def of(cls, precision: float, recall: float) -> Self:
        """With the harmonic mean of the two."""
        return cls(precision, recall, harmonic(precision, recall))


def harmonic(precision: float, recall: float) -> float:
    """The harmonic mean; 0 where one of them is 0."""
    if precision <= 0 or recall <= 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def share(part: float, whole: float) -> float:
    """`part` of `whole`; 0 of nothing."""
    return part / whole if whole else 0.0
