"""What a drawing of an embedding map shows, whatever it is drawn with: places, colours, labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from onrecord.models.embeddings.map import EmbeddingMap, View
from onrecord.records.views.drawing import wide
from onrecord.records.views.wording import shortened

# Okabe and Ito's colours, which most people with a colour-vision deficiency can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8A7A00")
OTHER = "#888888"
LABEL = 28


class Frame(NamedTuple):
    """A plot's size, and what is left free around its points, in pixels."""

    width: float
    height: float
    margin: float


class Dot(NamedTuple):
    """A point of a plot: where it is, and whether there is room for its label beside it."""

    x: float
    y: float
    labelled: bool
    left: bool


def caption(view: View, projection: str) -> str:
    """What stands above a plot: "tfidf, 812 dimensions: two of PCA hold 12.3 % of the variance"."""
    dimensions = f"{view.dimensions:,} dimension{'s' * (view.dimensions != 1)}"
    if len(set(view.points)) == 1:
        return f"{dimensions}: all vectors are the same"
    if projection == "tsne" or view.held is None:
        return f"{dimensions}, drawn by t-SNE: neighbours are kept, distances are not"
    return f"{dimensions}, two of PCA hold {100 * view.held:.1f} % of the variance"


def colours(found: EmbeddingMap) -> dict[str, str]:
    """The colour of each group, the largest first; those beyond the colours there are share one."""
    order = [group for group, _ in Counter(found.groups).most_common()]
    return {group: dict(enumerate(COLOURS)).get(at, OTHER) for at, group in enumerate(order)}


def legend(found: EmbeddingMap) -> list[tuple[str, str]]:
    """Names and colours, for those who read the drawing."""
    chosen = colours(found)
    shown = [(shortened(name, LABEL) or "–", c) for name, c in chosen.items() if c != OTHER]
    others = sum(colour == OTHER for colour in chosen.values())
    return [*shown, (f"{others} others", OTHER)] if others else shown


def dots(view: View, labels: Sequence[str], frame: Frame, letter: float) -> list[Dot]:
    """Where the points are drawn, one unit of both axes being as long, and which get a label.

    A label is drawn, right of its point or left, where it covers no other one: in the order of the
    points. `letter` is the width of an average letter; a line is twice as high, and so wide are
    Chinese, Japanese and Korean ones.
    """
    places = _placed(view.points, frame)
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in places] if len(places) <= _CROWD else []
    found = []
    for (x, y), label in zip(places, labels, strict=True):
        long = letter * wide(label)
        found.append(Dot(x, y, False, False))
        for left in (False, True):
            start = x - 8 - long if left else x + 8
            box = (start, y - letter, start + long, y + letter)
            fits = box[0] >= 0 and box[2] <= frame.width
            if fits and label and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                found[-1] = Dot(x, y, True, left)
                break
    return found


def _placed(points: Sequence[tuple[float, float]], frame: Frame) -> list[tuple[float, float]]:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    middle = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    room_x, room_y = frame.width - 2 * frame.margin, frame.height - 2 * frame.margin
    scale = min(room_x / (max(xs) - min(xs) or 1e-12), room_y / (max(ys) - min(ys) or 1e-12), 1e12)
    return [
        (frame.width / 2 + (x - middle[0]) * scale, frame.height / 2 - (y - middle[1]) * scale)
        for x, y in points
    ]


_Box = tuple[float, float, float, float]
_CROWD = 80  # with more points than these, labels may cover points


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
