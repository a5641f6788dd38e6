"""Several questions at once: p-values adjusted for how many were asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onrecord.errors import UsageError
from onrecord.evaluation.inference.samples import Numbers, numbers


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: below 0.05, the chance of even one false alarm among
    all is at most 5 %, however the questions depend on each other.

    Raises UsageError for no p-values, or one outside [0, 1]. Holm, "A simple sequentially rejective
    multiple test procedure" (Scandinavian Journal of Statistics 1979).
    """
    given = _p_values(p_values)
    order = np.argsort(given, kind="stable")
    steps = given[order] * np.arange(len(given), 0, -1)
    return _in_place(np.maximum.accumulate(steps), order)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: of those below 0.05, at most 5 % are false alarms on
    average. For questions that are independent or depend positively, as scores of the same answers
    do.

    Raises UsageError for no p-values, or one outside [0, 1]. Benjamini and Hochberg, "Controlling
    the false discovery rate" (Journal of the Royal Statistical Society B 1995).
    """
    given = _p_values(p_values)
    order = np.argsort(given, kind="stable")
    steps = given[order] * len(given) / np.arange(1, len(given) + 1)
    return _in_place(np.minimum.accumulate(steps[::-1])[::-1], order)


def _p_values(p_values: Sequence[float]) -> Numbers:
    given = numbers(p_values, "p-values")
    outside = given[(given < 0) | (given > 1)]
    if len(outside):
        raise UsageError(f"{outside[0]:g} is no p-value", cure="A p-value lies from 0 to 1.")
    return given


def _in_place(adjusted: Numbers, order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> list[float]:
    found = np.empty_like(adjusted)
    found[order] = np.minimum(adjusted, 1.0)
    return [float(each) for each in found]
