"""What the statistics are given: numbers, pairs of them, clusters; refused where it cannot be."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from onrecord.errors import UsageError

Numbers = NDArray[np.float64]


def numbers(values: Sequence[float], what: str = "values") -> Numbers:
    """Finite numbers in one row; `what` names them in the message of a UsageError."""
    try:
        given = np.asarray(values)
    except ValueError:  # rows of different lengths
        given = np.empty((0, 0))
    if given.ndim != 1:
        raise UsageError(
            f"the {what} are not one row of numbers",
            cure="Give one number for each case.",
        )
    if not len(given):
        raise UsageError(f"there are no {what}", cure="Give the scores of at least one case.")
    if given.dtype.kind not in "biuf":
        raise _not_a_number(values, what)
    found = given.astype(np.float64)
    if not np.isfinite(found).all():
        raise _not_a_number(values, what)
    return found


def pairs(a: Sequence[float], b: Sequence[float]) -> tuple[Numbers, Numbers]:
    """Two rows of numbers, the same cases in the same order."""
    if len(a) != len(b) or not len(a):
        raise UsageError(
            f"{len(a)} and {len(b)} scores make no pairs",
            cure="Give the scores of the same cases, at least of one.",
        )
    return numbers(a, "scores of a"), numbers(b, "scores of b")


def cluster_numbers(clusters: Sequence[Hashable], count: int) -> NDArray[np.intp]:
    """The clusters of `count` values as 0, 1, 2, ... in the order in which they first appear."""
    if len(clusters) != count:
        raise UsageError(
            f"{len(clusters)} clusters are named for {count} values",
            cure="Name the cluster of each value, in the order of the values.",
        )
    seen: dict[Hashable, int] = {}
    try:
        return np.array([seen.setdefault(each, len(seen)) for each in clusters], np.intp)
    except TypeError as error:
        raise UsageError(
            f"a cluster has no name: {error}",
            cure="Name clusters by strings or numbers, for example the id of the source.",
        ) from None


def cluster_sums(values: Numbers, clusters: Sequence[Hashable]) -> Numbers:
    """The sum of each cluster's values: shape (clusters,)."""
    # Without the cast it is typed as the counts that bincount gives where there are no weights.
    return np.bincount(cluster_numbers(clusters, len(values)), values).astype(np.float64)


def whole(number: int, what: str, least: int = 1) -> int:
    """A whole number of at least `least`."""
    is_number = isinstance(number, int | float | np.number) and not isinstance(number, bool)
    if not is_number or not np.isfinite(number) or number != int(number) or number < least:
        raise UsageError(f"{number!r} is no number of {what}", cure=f"It is {least} or more.")
    return int(number)


def between(number: float, what: str, low: float, high: float, *, closed: bool = False) -> float:
    """A number between two others, `high` itself included where it is `closed`."""
    if not (low < number < high or (closed and number == high)):
        limits = f"above {low:g}" + (
            "" if high == np.inf else f" and {'at most' if closed else 'below'} {high:g}"
        )
        raise UsageError(f"{number!r} is no {what}", cure=f"It is a number {limits}.")
    return float(number)


def level_of(level: float) -> float:
    """A level of confidence; 0.95 is that of a 95 % interval."""
    return between(level, "level", 0.0, 1.0)


def _not_a_number(values: Sequence[float], what: str) -> UsageError:
    for at, each in enumerate(values):
        if not isinstance(each, int | float | np.number | np.bool_) or not np.isfinite(each):
            found = f"{each!r}, number {at + 1} of the {what}, is not a finite number"
            break
    else:
        found = f"the {what} are not finite numbers"
    return UsageError(
        found, cure="Leave the case out, or say what it counts: a case without an answer counts 0."
    )
