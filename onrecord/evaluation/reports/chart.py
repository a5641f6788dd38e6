"""Small charts as inline SVG: an interval on an axis, a histogram. They are drawn with classes, so
that the page's style gives them their colours; each says in words what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from onrecord.evaluation.statistics import Interval

_WIDTH, _HEIGHT, _EDGE = 180.0, 18.0, 6.0


class Axis(NamedTuple):
    """What the two ends of a chart stand for."""

    low: float
    high: float

    def at(self, value: float, width: float = _WIDTH) -> float:
        """Where a value stands, in pixels from the left."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return _EDGE + min(max(share, 0.0), 1.0) * (width - 2 * _EDGE)


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
        f'aria-label="{escape(said)}"><title>{escape(said)}</title>'
        f'<line class="axis" x1="{_EDGE:g}" x2="{_WIDTH - _EDGE:g}" y1="{middle:g}" '
        f'y2="{middle:g}"/>{zero}'
        f'<line class="reach" x1="{left:.1f}" x2="{right:.1f}" y1="{middle:g}" y2="{middle:g}"/>'
        f'<circle cx="{on.at(interval.mean):.1f}" cy="{middle:g}" r="4"/></svg>'
    )


def histogram(values: Sequence[float], said: str, bins: int = 24) -> str:
    """How often values are where; the two ends of the axis stand below it."""
    if not values:
        return ""
    low, high = min(values), max(values)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    counts, edges = np.histogram(values, bins=bins, range=(low, high if high > low else low + 1))
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
        f'aria-label="{escape(said)}">{bars}'
        f'<line class="axis" x1="0" x2="{width:g}" y1="{height:g}" y2="{height:g}"/>'
        f'<text x="0" y="{height + 12:g}">{edges[0]:.4g}</text>'
        f'<text x="{width:g}" y="{height + 12:g}" text-anchor="end">{edges[-1]:.4g}</text>'
        f"</svg><figcaption>{escape(said)}</figcaption></figure>"
    )
