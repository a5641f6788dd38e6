"""How often the intervals of a calibrated judge hold the truth.

    python -m benchmarks.judges [draws]

For each true rate, TPR and TNR: an experiment of 1,000 answers is drawn, 100 of them are labelled,
and the 95 % interval of the corrected rate is looked at, 500 times: how often it holds the true
rate, and how wide it is on average. Each row has draws of its own. Four ways from the same labels:

    double       the labels are of the answers themselves, drawn at random
    which        50 at random, and 50 more as `Calibration.which` says
    carried      the labels are of another 100 answers (Rogan and Gladen)
    uncorrected  the judge's own rate with Wilson's interval, for comparison

Goal: the first three hold the truth in 93-97 %. The share of 500 draws is itself known to
+- 1.9 points: with more draws, less. Result: judges-DATE.json.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.reporting import save, table
from onrecord.evaluation.judges.calibration import Calibration, Unlabelled
from onrecord.evaluation.judges.correction import Confusion, Counts
from onrecord.evaluation.statistics import Interval, wilson

RATES = (0.1, 0.3, 0.5, 0.7, 0.9)
JUDGES = ((0.7, 0.7), (0.8, 0.95), (0.9, 0.8), (0.95, 0.95))
ANSWERS, LABELS = 1_000, 100
Flags = NDArray[np.bool_]


def main() -> None:
    """Measure, print and save."""
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    rows = [
        coverage(rate, tpr, tnr, draws, seed=seed)
        for seed, (rate, (tpr, tnr)) in enumerate(itertools.product(RATES, JUDGES))
    ]
    table(rows)
    for way in ("double", "which", "carried", "uncorrected"):
        found = [row[way] for row in rows]
        print(f"{way}: {min(found):.3f} to {max(found):.3f}, on average {np.mean(found):.3f}")
    save("judges", rows)


def coverage(
    rate: float,
    tpr: float,
    tnr: float,
    draws: int = 500,
    *,
    answers: int = ANSWERS,
    labels: int = LABELS,
    seed: int = 0,
) -> dict[str, Any]:
    """How often each way's interval holds `rate`, and its mean width."""
    random = np.random.default_rng(seed)
    held: dict[str, list[bool]] = {}
    widths: dict[str, list[float]] = {}
    for _ in range(draws):
        for way, interval in _intervals(random, rate, tpr, tnr, answers, labels).items():
            held.setdefault(way, []).append(interval.low <= rate <= interval.high)
            widths.setdefault(way, []).append(interval.high - interval.low)
    row: dict[str, Any] = {"rate": rate, "TPR": tpr, "TNR": tnr, "draws": draws}
    row |= {way: round(float(np.mean(each)), 3) for way, each in held.items()}
    return row | {f"width {way}": round(float(np.mean(each)), 3) for way, each in widths.items()}


def _intervals(
    random: np.random.Generator, rate: float, tpr: float, tnr: float, answers: int, labels: int
) -> dict[str, Interval]:
    good, passed = _drawn(random, rate, tpr, tnr, answers)
    other_good, other_passed = _drawn(random, rate, tpr, tnr, labels)
    double = _calibration(good, passed, np.arange(labels))
    first = _calibration(good, passed, np.arange(labels // 2))
    chosen = [int(each.case) for each in first.which(labels - labels // 2, seed=labels)]
    which = _calibration(good, passed, np.array([*range(labels // 2), *chosen]))
    carried = msgspec.structs.replace(
        _calibration(other_good, other_passed, np.arange(labels)),
        judged=_counts(passed),
        inside=False,
    )
    found = {"double": double.rate, "which": which.rate, "carried": carried.rate}
    return {name: each for name, each in found.items() if each is not None} | {
        "uncorrected": wilson(int(passed.sum()), answers)
    }


def _drawn(
    random: np.random.Generator, rate: float, tpr: float, tnr: float, count: int
) -> tuple[Flags, Flags]:
    """What people and the judge would say of some answers."""
    good = random.random(count) < rate
    return good, random.random(count) < np.where(good, tpr, 1 - tnr)


def _calibration(good: Flags, passed: Flags, labelled: NDArray[np.int_]) -> Calibration:
    people, judge = good[labelled], passed[labelled]
    rest = np.setdiff1d(np.arange(len(good)), labelled)
    return Calibration(
        judge="judge",
        version="",
        confusion=Confusion(
            int((judge & people).sum()),
            int((judge & ~people).sum()),
            int((~judge & people).sum()),
            int((~judge & ~people).sum()),
        ),
        judged=_counts(passed),
        answered=Counts(len(good), 0),
        inside=True,
        unlabelled=tuple(Unlabelled(str(at), 0, bool(passed[at])) for at in rest),
    )


def _counts(passed: Flags) -> Counts:
    return Counts(int(passed.sum()), int((~passed).sum()))


if __name__ == "__main__":
    main()
