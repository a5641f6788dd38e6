"""An embedding map as a picture: PNG, drawn by matplotlib, a plot for each view side by side."""

from __future__ import annotations

import importlib.util
import io
import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from onrecord.errors import MissingExtraError
from onrecord.models.embeddings.drawing import (
    COLOURS,
    LABEL,
    Frame,
    caption,
    colours,
    dots,
    legend,
)
from onrecord.models.embeddings.map import EmbeddingMap
from onrecord.records.views.drawing import wide
from onrecord.records.views.wording import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def picture(found: EmbeddingMap, title: str = "Embeddings") -> tuple[bytes, tuple[str, ...]]:
    """The bytes of a PNG, and what has to be said of it: letters that its font does not have.

    Raises MissingExtraError without matplotlib.
    """
    figure, data = figure_of(found, title), io.BytesIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(data, format="png", metadata={"Software": None})
    lacks = len({str(each.message) for each in caught if _NO_LETTER in str(each.message)})
    note = f"matplotlib's font lacks some letters ({lacks:,}), drawn as boxes; a page shows them"
    return data.getvalue(), (note,) if lacks else ()


def figure_of(found: EmbeddingMap, title: str) -> Figure:
    """The drawing, at 100 pixels an inch. Raises MissingExtraError without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError(
            "a PNG is drawn by matplotlib, which is not installed",
            cure="Install it with `pip install 'onrecord[look]'`, or write an HTML page.",
        )
    from matplotlib.figure import Figure

    columns = min(2, len(found.maps))
    rows = math.ceil(len(found.maps) / columns)
    room = columns * (_FRAME.width + 30)
    entries = list(_legend(found, room))
    head = _HEAD + _ROW * max((entry.row for entry in entries), default=0)
    high = rows * (_FRAME.height + 60) + head
    figure = Figure(figsize=(room / 100, high / 100), dpi=100, facecolor="white")
    most = int((room - 40) / _TITLE_LETTER)
    figure.text(20 / room, 1 - 26 / high, shortened(title, most), fontsize=12, parse_math=False)
    for entry in entries:
        y = 1 - (48 + _ROW * entry.row) / high
        figure.text(entry.x / room, y, "●", color=entry.colour, fontsize=9)
        figure.text((entry.x + 14) / room, y, entry.name, fontsize=8, parse_math=False)
    for at in range(len(found.maps)):
        row, column = divmod(at, columns)
        left, top = 15 + column * (_FRAME.width + 30), head + 45 + row * (_FRAME.height + 60)
        bottom = high - top - _FRAME.height
        box = (left / room, bottom / high, _FRAME.width / room, _FRAME.height / high)
        _plot(figure.add_axes(box), found, at)
    return figure


class Entry(NamedTuple):
    """A name of the legend: where it stands, in pixels from the left and in which row."""

    x: float
    row: int
    name: str
    colour: str


def _legend(found: EmbeddingMap, room: float) -> Iterator[Entry]:
    """The entries, in as many rows as they need."""
    x, row = 20.0, 0
    for name, colour in legend(found):
        long = 14 + _LETTER * 1.25 * wide(name) + 18
        if x + long > room and x > 20:
            x, row = 20.0, row + 1
        yield Entry(x, row, name, colour)
        x += long


def _plot(axes: Axes, found: EmbeddingMap, at: int) -> None:
    view = found.maps[at]
    axes.set(xlim=(0, _FRAME.width), ylim=(_FRAME.height, 0), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color("#cfcfcf")
    heading = axes.set_title(
        f"{shortened(view.name, 60)}\n{caption(view, found.projection)}", loc="left", fontsize=9
    )
    heading.set_parse_math(False)
    labels = [shortened(label, LABEL) for label in found.labels]
    placed = dots(view, labels, _FRAME, _LETTER)
    chosen = colours(found)
    kinds = [chosen[group] for group in found.groups] or COLOURS[0]
    axes.scatter([dot.x for dot in placed], [dot.y for dot in placed], s=22, c=kinds, alpha=0.8)
    for dot, label in zip(placed, labels, strict=True):
        if dot.labelled:
            side = "right" if dot.left else "left"
            x = dot.x - 8 if dot.left else dot.x + 8
            axes.text(x, dot.y, label, ha=side, va="center", fontsize=7, parse_math=False)


_FRAME = Frame(560, 440, 28)
_HEAD, _ROW = 56, 18
_TITLE_LETTER = 10.5
_NO_LETTER = "missing from font"
_LETTER = 5.6
