"""Small charts as inline SVG: an interval on an axis, a histogram. They are drawn with classes, so
that the page's style gives them their colours; each says in words what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from onrecord.evaluation.statistics import Interval
from onrecord.notebook import escaped
from onrecord.records.views.wording import shortened

_WIDTH, _HEIGHT, _EDGE = 180.0, 18.0, 6.0


class Axis(NamedTuple):
    """What the two ends of a chart stand for."""

    low: float
    high: float

    def at(self, value: float, width: float = _WIDTH, edge: float = _EDGE) -> float:
        """Where a value stands, in pixels from the left."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return edge + min(max(share, 0.0), 1.0) * (width - 2 * edge)


def axis(intervals: Sequence[Interval], *, zero: bool = False) -> Axis:
    """An axis that holds all of these: 0 to 1 where they fit, and 0 itself if it is asked for."""
    low = min((each.low for each in intervals), default=0.0)
    high = max((each.high for each in intervals), default=1.0)
    if zero:
        reach = max(abs(low), abs(high)) or 1.0
        return Axis(-reach, reach)
    if low >= 0 and high <= 1:
        return Axis(0.0, 1.0)
    return Axis(min(low, 0.0), high)


def whisker(interval: Interval, on: Axis, said: str, look: str = "") -> str:
    """A dot at the mean, a line over the interval, a mark at zero if the axis has one inside."""
    left, right, middle = on.at(interval.low), on.at(interval.high), _HEIGHT / 2
    zero = ""
    if on.low < 0 < on.high:
        zero = f'<line class="zero" x1="{on.at(0):.1f}" x2="{on.at(0):.1f}" y1="1" y2="17"/>'
    return (
        f'<svg class="whisker {look}" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" '
        f'aria-label="{escaped(said)}"><title>{escaped(said)}</title>'
        f'<line class="axis" x1="{_EDGE:g}" x2="{_WIDTH - _EDGE:g}" y1="{middle:g}" '
        f'y2="{middle:g}"/>{zero}'
        f'<line class="reach" x1="{left:.1f}" x2="{right:.1f}" y1="{middle:g}" y2="{middle:g}"/>'
        f'<circle cx="{on.at(interval.mean):.1f}" cy="{middle:g}" r="4"/></svg>'
    )


def histogram(
    values: Sequence[float], said: str, interval: Interval | None = None, bins: int = 24
) -> str:
    """How often values are where, with their mean and its interval; the two ends of the axis stand
    below it."""
    if not values:
        return ""
    low, high = min(values), max(values)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        high = low + (abs(low) or 1.0)
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    width, height = 300.0, 60.0
    bar = width / bins
    most = int(counts.max())
    bars = "".join(
        f'<rect x="{at * bar + 0.5:.1f}" width="{bar - 1:.1f}" y="{height * (1 - n / most):.1f}" '
        f'height="{height * n / most:.1f}"><title>{first:.4g} to {last:.4g}: {n:,}</title></rect>'
        for at, (n, first, last) in enumerate(
            zip(counts.tolist(), edges[:-1], edges[1:], strict=True)
        )
        if n
    )
    return (
        f'<figure class="histogram"><svg viewBox="0 0 {width:g} {height + 14:g}" role="img" '
        f'aria-label="{escaped(said)}">{bars}'
        f'<line class="axis" x1="0" x2="{width:g}" y1="{height:g}" y2="{height:g}"/>'
        f"{_mean_on(interval, Axis(float(edges[0]), float(edges[-1])), width, height)}"
        f'<text x="0" y="{height + 12:g}">{edges[0]:.4g}</text>'
        f'<text x="{width:g}" y="{height + 12:g}" text-anchor="end">{edges[-1]:.4g}</text>'
        f"</svg><figcaption>{escaped(said)}</figcaption></figure>"
    )


def _mean_on(interval: Interval | None, on: Axis, width: float, height: float) -> str:
    if interval is None:
        return ""
    left, middle, right = (
        on.at(each, width, 0) for each in (interval.low, interval.mean, interval.high)
    )
    return (
        f'<g class="mean"><line x1="{left:.1f}" x2="{right:.1f}" y1="{height:g}" y2="{height:g}"/>'
        f'<circle cx="{middle:.1f}" cy="{height:g}" r="3"/></g>'
    )


def bars(counts: Mapping[str, int], said: str, most: int = 12) -> str:
    """How often each label was given, the most frequent first; what is beyond `most` together."""
    shown = list(counts.items())[:most]
    if rest := list(counts.values())[most:]:
        shown.append((f"{len(rest):,} others", sum(rest)))
    total = sum(counts.values()) or 1
    rows = "".join(
        f"<tr><td>{escaped(shortened(label, 40))}</td>"
        f'<td><svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{100 * count / total:.1f} %"><rect width="{100 * count / total:.2f}" '
        f'height="10"/></svg></td><td class="n">{count:,}</td>'
        f'<td class="n">{100 * count / total:.1f} %</td></tr>'
        for label, count in shown
    )
    return (
        f'<figure class="bars"><table><tbody>{rows}</tbody></table>'
        f"<figcaption>{escaped(said)}</figcaption></figure>"
    )
