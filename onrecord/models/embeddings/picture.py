"""An embedding map as a picture: PNG, drawn by matplotlib, a plot for each view side by side."""

from __future__ import annotations

import importlib.util
import io
import math
import warnings

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
from onrecord.records.views.wording import shortened


def picture(found: EmbeddingMap, title: str = "Embeddings") -> tuple[bytes, tuple[str, ...]]:
    """The bytes of a PNG, and what has to be said of it: letters that its font does not have.

    Raises MissingExtraError without matplotlib.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError(
            "a PNG is drawn by matplotlib, which is not installed",
            cure="Install it with `pip install 'onrecord[look]'`, or write an HTML page.",
        )
    from matplotlib.figure import Figure

    columns = min(2, len(found.maps))
    rows = math.ceil(len(found.maps) / columns)
    # Pixels at 100 a inch, so that the places of labels are those of the page.
    wide, high = columns * (_FRAME.width + 30), rows * (_FRAME.height + 60) + _HEAD
    figure = Figure(figsize=(wide / 100, high / 100), dpi=100, facecolor="white")
    figure.text(20 / wide, 1 - 26 / high, _plain(title, 110), fontsize=12, parse_math=False)
    for at in range(len(found.maps)):
        row, column = divmod(at, columns)
        left, top = 15 + column * (_FRAME.width + 30), _HEAD + 45 + row * (_FRAME.height + 60)
        bottom = high - top - _FRAME.height
        box = (left / wide, bottom / high, _FRAME.width / wide, _FRAME.height / high)
        _plot(figure.add_axes(box), found, at)
    _legend(figure, found, wide, high)
    data = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(data, format="png", metadata={"Software": None})
    lacks = sum("missing from font" in str(each.message) for each in caught)
    note = f"{lacks} letters are drawn as boxes: matplotlib's font lacks them, a page shows them"
    return data.getvalue(), (note,) if lacks else ()


def _plot(axes: object, found: EmbeddingMap, at: int) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    view = found.maps[at]
    axes.set(xlim=(0, _FRAME.width), ylim=(_FRAME.height, 0), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color("#cfcfcf")
    heading = axes.set_title(
        f"{_plain(view.name, 60)}\n{caption(view, found.projection)}", loc="left", fontsize=9
    )
    heading.set_parse_math(False)
    labels = [_plain(label, LABEL) for label in found.labels]
    placed = dots(view, labels, _FRAME, _LETTER)
    chosen = colours(found)
    kinds = [chosen[group] for group in found.groups] or COLOURS[0]
    axes.scatter([dot.x for dot in placed], [dot.y for dot in placed], s=22, c=kinds, alpha=0.8)
    for dot, label in zip(placed, labels, strict=True):
        if dot.labelled:
            side = "right" if dot.left else "left"
            x = dot.x - 8 if dot.left else dot.x + 8
            axes.text(x, dot.y, label, ha=side, va="center", fontsize=7, parse_math=False)


def _legend(figure: object, found: EmbeddingMap, wide: float, high: float) -> None:
    from matplotlib.figure import Figure

    assert isinstance(figure, Figure)
    x = 20.0
    for name, colour in legend(found):
        words = _plain(name, LABEL)
        figure.text(x / wide, 1 - 48 / high, "●", color=colour, fontsize=9)
        figure.text((x + 14) / wide, 1 - 48 / high, words, fontsize=8, parse_math=False)
        x += 14 + _LETTER * len(words) * 1.25 + 18


def _plain(text: str, limit: int) -> str:
    return shortened(text, limit)


_FRAME = Frame(560, 440, 28)
_HEAD = 56
_LETTER = 5.6
