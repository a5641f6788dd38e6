"""Statistics, simulated: does an interval hold the truth, is "equivalent" said where it is not so?

    python -m benchmarks.simulations

    coverage      how often the 95 % interval of a mean between 0 and 1 holds the true mean, and how
                  wide it is: `bootstrap` beside `bounded_mean`, which reports use
    equivalence   how often `tost` says "equivalent" where the true difference is the margin: one
                  case in fifty drops to 0, all others change by about 0.002. At most 5 % is allowed
    power         how often it says so where there is no difference but noise, with a margin of 0.02

Results: simulations-*-DATE.json.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.reporting import save, table
from benchmarks.rounds import Row
from onrecord.evaluation.statistics import bootstrap, bounded_mean, tost

RUNS = 500
Draw = Callable[[int], "np.ndarray[tuple[int], np.dtype[np.float64]]"]


def main() -> None:
    """Simulate, print and save."""
    for name, rows in (
        ("coverage", coverage()),
        ("equivalence", equivalence()),
        ("power", power()),
    ):
        print(f"-- {name}")
        table(rows)
        save(f"simulations-{name}", rows)


def coverage() -> list[Row]:
    """Intervals of means."""
    random = np.random.default_rng(3)
    rows: list[Row] = []
    kinds: dict[str, tuple[Draw, float]] = {
        "95 % ones, else uniform": (lambda n: _mostly_ones(random, n), 0.975),
        "uniform": (random.random, 0.5),
    }
    for name, (draw, truth) in kinds.items():
        for n in (5, 10, 20, 30):
            held, widths = np.zeros(2), np.zeros(2)
            for _ in range(RUNS):
                scores = draw(n).tolist()
                for at, found in enumerate(
                    (bootstrap(scores, resamples=2000), bounded_mean(scores))
                ):
                    held[at] += found.low <= truth <= found.high
                    widths[at] += found.high - found.low
            shares, wide = held / RUNS, widths / RUNS
            rows.append(
                {
                    "scores": name,
                    "cases": n,
                    "bootstrap": _percent(shares[0]),
                    "width": f"{wide[0]:.3f}",
                    "bounded_mean": _percent(shares[1]),
                    "its width": f"{wide[1]:.3f}",
                }
            )
    return rows


def equivalence() -> list[Row]:
    """Where the truth is the margin."""
    random = np.random.default_rng(4)
    rows: list[Row] = []
    for n in (20, 50, 100, 200, 300, 400):
        said = [tost(*_dropping(random, n), 0.02 * 5 / 7).equivalent for _ in range(RUNS)]
        rows.append({"cases": n, '"equivalent" wrongly': _percent(float(np.mean(said)))})
    return rows


def power() -> list[Row]:
    """Where there is nothing but noise."""
    random = np.random.default_rng(5)
    rows: list[Row] = []
    for noise in (0.02, 0.05, 0.1):
        row: Row = {"noise": noise}
        for n in (160, 200, 300, 400):
            said = [
                tost(np.clip(0.5 + random.normal(0, noise, n), 0, 1).tolist(), [0.5] * n, 0.02)
                for _ in range(RUNS // 5)
            ]
            row[f"{n} cases"] = _percent(float(np.mean([each.equivalent for each in said])))
        rows.append(row)
    return rows


def _mostly_ones(
    random: np.random.Generator, n: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.where(random.random(n) < 0.95, 1.0, random.random(n))


def _dropping(random: np.random.Generator, n: int) -> tuple[list[float], list[float]]:
    """Scores of a mean of 5/7, and the same after: a fiftieth of them is lost."""
    before = random.beta(5, 2, n)
    after = np.clip(before + random.normal(0, 0.002, n), 0, 1)
    return before.tolist(), np.where(random.random(n) < 0.02, 0.0, after).tolist()


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    main()
