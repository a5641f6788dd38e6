"""What a cascade's threshold costs and gives: the curve of quality against cost, on labelled cases.

Each case was answered by both models, so that every threshold can be tried without asking again.
The quality of the chosen threshold is reported on cases that it was not chosen on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from onrecord.errors import UsageError

Kind = Literal["quality", "usd", "escalated"]


class Outcome(msgspec.Struct, frozen=True):
    """One case: how sure the small model was (None: it gave no answer, or no confidence, and
    `problem` says why), how good both answers are (0 to 1), and what both took, in micro-dollars
    (None: not known)."""

    confidence: float | None
    small: float
    large: float
    small_cost: int | None
    large_cost: int | None
    problem: str = ""


class Point(msgspec.Struct, frozen=True):
    """A threshold, and what the cascade gives with it.

    `quality` is a mean with its 95 % interval from `low` to `high` (Wilson; for qualities that are
    not 0 or 1 it is wider than needed). `usd`: dollars a case, None where a price is not known.
    `escalated`: the share of cases that the large model answers.
    """

    threshold: float
    quality: float
    low: float
    high: float
    usd: float | None
    escalated: float


class Target(msgspec.Struct, frozen=True):
    """What a threshold is chosen for: a quality of at least, or dollars a case or a share escalated
    of at most `value`."""

    kind: Kind
    value: float

    def __str__(self) -> str:
        if self.kind == "quality":
            return f"quality at least {self.value:g}"
        if self.kind == "usd":
            return f"at most ${self.value:g} a case"
        return f"at most {self.value:.0%} escalated"


class Calibration(msgspec.Struct, frozen=True):
    """A cascade's threshold and the cases it was chosen on: `cascade(small, large, accept=this)`.

    `chosen` is its point on the curve, measured on the cases it was chosen on; `held_out` the same
    choice measured on cases that it was not made on (cross-validation): believe that one. `points`
    is the curve. `notes` say what is doubtful. `choose` makes another choice, without asking again.
    """

    small: str
    small_version: str
    large: str
    large_version: str
    measure: str
    target: Target
    chosen: Point
    held_out: Point
    outcomes: tuple[Outcome, ...]

    @property
    def threshold(self) -> float:
        """The lowest confidence with which the small model's answer is taken."""
        return self.chosen.threshold

    @property
    def cases(self) -> int:
        """How many there were."""
        return len(self.outcomes)

    @property
    def points(self) -> tuple[Point, ...]:
        """One point for each threshold that makes a difference, ascending: from all answers of the
        small model to none."""
        return curve(self.outcomes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is doubtful, one sentence each."""
        return tuple(_notes(self))

    def choose(
        self,
        *,
        quality: float | None = None,
        usd: float | None = None,
        escalated: float | None = None,
    ) -> Calibration:
        """The same cases, and the threshold for another target. Raises UsageError where it cannot
        be reached."""
        target = target_of(quality, usd, escalated)
        chosen = best(self.points, target)
        held_out = _held_out(self.outcomes, target, chosen.threshold)
        return msgspec.structs.replace(self, target=target, chosen=chosen, held_out=held_out)

    def __str__(self) -> str:
        lines = [_title(self), " ".join(f"{head:>15}" for head in _HEADS)]
        for point in _shown(self):
            mark = " <- chosen" if point == self.chosen else ""
            lines.append(" ".join(f"{cell:>15}" for cell in _cells(point)) + mark)
        lines.append(_believe(self))
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        from onrecord.notebook import escaped, fragment, words

        rows = "".join(
            f"<tr{' style=font-weight:bold' if point == self.chosen else ''}>"
            + "".join(f"<td>{escaped(cell)}</td>" for cell in _cells(point))
            + "</tr>"
            for point in _shown(self)
        )
        heads = "".join(f"<th>{escaped(head)}</th>" for head in _HEADS)
        notes = (words(note, "small", "warn") for note in self.notes)
        table = f"<table><tr>{heads}</tr>{rows}</table>"
        return fragment(words(_title(self)), table, words(_believe(self)), *notes)


def calibrated(
    small: tuple[str, str],
    large: tuple[str, str],
    measure: str,
    target: Target,
    outcomes: Sequence[Outcome],
) -> Calibration:
    """The calibration of two models, each a name and a version. Raises UsageError where there are
    too few cases, or the target cannot be reached."""
    check_enough(len(outcomes))
    kept = tuple(outcomes)
    problems = [each.problem for each in kept if each.confidence is None]
    if len(problems) == len(kept):
        raise UsageError(
            f"the small model was sure of none of {len(kept)} cases: no threshold can be chosen",
            where=problems[0],
            cure="Look at its records; another measure, confidence='agreement', may work with it.",
        )
    chosen = best(curve(kept), target)
    held_out = _held_out(kept, target, chosen.threshold)
    return Calibration(*small, *large, measure, target, chosen, held_out, kept)


def check_enough(cases: int) -> None:
    """Raises UsageError where there are too few to choose a threshold on."""
    if cases < _FEWEST:
        raise UsageError(
            f"{cases} labelled cases are too few to choose a threshold on",
            cure=f"Label at least {_FEWEST}; 200 and more make the quality a number to rely on.",
        )


def target_of(quality: float | None, usd: float | None, escalated: float | None) -> Target:
    """The one target that is named. Raises UsageError."""
    targets: tuple[tuple[Kind, float | None], ...] = (
        ("quality", quality),
        ("usd", usd),
        ("escalated", escalated),
    )
    named = [Target(kind, value) for kind, value in targets if value is not None]
    if len(named) != 1:
        raise UsageError(
            "a threshold is chosen for one target",
            cure="Name one: quality=0.9 (at least), usd=0.002 a case or escalated=0.3 (at most).",
        )
    target = named[0]
    highest = math.inf if target.kind == "usd" else 1.0
    if not 0 <= target.value <= highest:
        raise UsageError(
            f"{target.kind}={target.value!r} is no target",
            cure="Dollars are from 0, a quality and a share from 0 to 1.",
        )
    return target


def curve(outcomes: Sequence[Outcome]) -> tuple[Point, ...]:
    """One point for each threshold that makes a difference, ascending."""
    found = sorted({each.confidence for each in outcomes if each.confidence is not None})
    if not found:
        return ()
    # From nobody escalated but those without a confidence on, one by one in their order.
    order = sorted(outcomes, key=_sureness)
    small = sum(each.small for each in order)
    cost, unknown = _sum([each.small_cost for each in order])
    points, at = list[Point](), 0
    # The last is just above the surest: nothing is accepted.
    for threshold in [*found, math.nextafter(found[-1], math.inf)]:
        while at < len(order) and _sureness(order[at]) < threshold:
            small += order[at].large - order[at].small
            more, missing = _sum([order[at].large_cost])
            cost, unknown, at = cost + more, unknown + missing, at + 1
        points.append(_mean(threshold, small, None if unknown else cost, at, len(order)))
    return tuple(points)


def best(points: Sequence[Point], target: Target) -> Point:
    """The cheapest point that is good enough, or the best one that is cheap enough."""
    if not points:
        raise UsageError(
            "the small model was sure of nothing: there is no threshold to choose",
            cure="Look at its records; another measure, confidence='agreement', may work with it.",
        )
    if target.kind == "usd" and any(point.usd is None for point in points):
        raise UsageError(
            "what the models cost is not known, so no threshold can be chosen for it",
            cure="Set their prices in onrecord.toml, or choose by quality= or escalated=.",
        )
    enough = [point for point in points if _fits(point, target)]
    if not enough:
        reached = {
            "quality": f"the best that any threshold gives is {max(p.quality for p in points):.3f}",
            "usd": f"the cheapest takes ${min(p.usd or 0 for p in points):g}",
            "escalated": f"the least is {min(p.escalated for p in points):.1%}",
        }[target.kind]
        raise UsageError(f"no threshold gives {target}: {reached}", cure="Set another target.")
    if target.kind == "quality":
        return min(enough, key=lambda point: (_cost(point), -point.quality))
    return max(enough, key=lambda point: (point.quality, [-each for each in _cost(point)]))


def wilson(share: float, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927)."""
    middle = share + _Z**2 / (2 * of)
    half = _Z * math.sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2))
    around = 1 + _Z**2 / of
    return max(0.0, (middle - half) / around), min(1.0, (middle + half) / around)


def _fits(point: Point, target: Target) -> bool:
    if target.kind == "quality":
        return point.quality >= target.value
    if target.kind == "usd":
        return point.usd is not None and point.usd <= target.value
    return point.escalated <= target.value


def _cost(point: Point) -> tuple[float, float]:
    return point.usd or 0.0, point.escalated


def _sureness(outcome: Outcome) -> float:
    return -math.inf if outcome.confidence is None else outcome.confidence


def _sum(costs: Sequence[int | None]) -> tuple[int, int]:
    """Their sum, and how many are not known."""
    known = [cost for cost in costs if cost is not None]
    return sum(known), len(costs) - len(known)


def _mean(threshold: float, quality: float, cost: int | None, escalated: int, of: int) -> Point:
    # Without the last digits: sums in another order are not another quality.
    mean = round(min(1.0, max(0.0, quality / of)), 12)
    usd = None if cost is None else cost / 1e6 / of
    return Point(threshold, mean, *wilson(mean, of), usd, escalated / of)


def _held_out(outcomes: Sequence[Outcome], target: Target, threshold: float) -> Point:
    """Each case under the threshold that the other folds choose."""
    thresholds = [0.0] * len(outcomes)
    for fold in range(_FOLDS):
        others = [each for at, each in enumerate(outcomes) if at % _FOLDS != fold]
        try:
            chosen = best(curve(others), target).threshold
        except UsageError:  # out of their reach: nothing is accepted
            chosen = math.inf
        thresholds[fold::_FOLDS] = [chosen] * len(thresholds[fold::_FOLDS])
    accepted = [_sureness(each) >= at for each, at in zip(outcomes, thresholds, strict=True)]
    both = list(zip(outcomes, accepted, strict=True))
    quality = sum(each.small if taken else each.large for each, taken in both)
    costs = [each.small_cost for each in outcomes]
    costs += [each.large_cost for each, taken in both if not taken]
    cost, unknown = _sum(costs)
    escalated = accepted.count(False)
    return _mean(threshold, quality, None if unknown else cost, escalated, len(outcomes))


def _notes(calibration: Calibration) -> list[str]:
    notes = []
    held, target, cases = calibration.held_out, calibration.target, calibration.cases
    half = (held.high - held.low) / 2
    if half > _SURE:
        spread = max(held.quality * (1 - held.quality), 0.05)
        enough = math.ceil(_Z**2 * spread / _SURE**2 / 50) * 50
        notes.append(
            f"{cases} cases are few: the quality is known to ±{half:.2f} only; some {enough} would"
            f" make it ±{_SURE:g}."
        )
    if not _fits(held, target):
        notes.append(f"On cases it was not chosen on, the threshold does not give {target}.")
    if none := [each.problem for each in calibration.outcomes if each.confidence is None]:
        why = f" The first: {none[0]}" if none[0] else ""
        notes.append(
            f"Of {len(none)} cases the small model gave no confidence: they are escalated.{why}"
        )
    if calibration.chosen.escalated == 1:
        notes.append("The large model answers everything: the small one only adds to the cost.")
    return notes


def _shown(calibration: Calibration) -> list[Point]:
    """As many points as fit on a page, evenly along the curve, the chosen one among them."""
    points = calibration.points
    step = max(1.0, (len(points) - 1) / (_ROWS - 1))
    kept = {round(row * step) for row in range(_ROWS) if round(row * step) < len(points)}
    kept |= {0, len(points) - 1, points.index(calibration.chosen)}
    return [points[at] for at in sorted(kept)]


def _cells(point: Point) -> tuple[str, ...]:
    usd = "unknown" if point.usd is None else f"{point.usd:.6f}"
    interval = f"{point.low:.3f}-{point.high:.3f}"
    return (
        "above all" if point.escalated == 1 else f"{point.threshold:.4f}",
        f"{point.quality:.3f}",
        interval,
        usd,
        f"{point.escalated:.1%}",
    )


def _title(calibration: Calibration) -> str:
    return (
        f"{calibration.small}, escalated to {calibration.large}; {calibration.measure};"
        f" {calibration.cases} cases; chosen for {calibration.target}"
    )


def _believe(calibration: Calibration) -> str:
    held = calibration.held_out
    usd = "cost unknown" if held.usd is None else f"${held.usd:.6f} a case"
    return (
        f"On cases it was not chosen on: quality {held.quality:.3f} ({held.low:.3f}-"
        f"{held.high:.3f}), {usd}, {held.escalated:.1%} escalated."
    )


_FEWEST = 20
_FOLDS = 5
_ROWS = 12
_SURE = 0.05
_Z = 1.959963984540054  # 95 %
_HEADS = ("threshold", "quality", "95 % interval", "usd a case", "escalated")
