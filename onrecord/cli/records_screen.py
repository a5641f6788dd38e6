"""How records look in a terminal: colours, widths and tables."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from onrecord.cli.output import printable, say
from onrecord.records.views.drawing import Piece, Style, cut, padded, wide
from onrecord.records.views.wording import flat


def say_line(line: Iterable[Piece], *, fitting: bool = False) -> None:
    """Print the pieces of a line, in colour where a person looks on and has not said NO_COLOR.

    `fitting`: on a terminal, what does not fit into its width is cut off.
    """
    pieces = [Piece(printable(text).translate(_ENDS), style) for text, style in line]
    if fitting and sys.stdout.isatty():
        pieces = _cut(pieces, shutil.get_terminal_size().columns)
    if not _colours():
        typer.echo("".join(text for text, _ in pieces).rstrip())
        return
    typer.echo("".join(_styled(text, style) for text, style in pieces))


def say_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: int, last: Sequence[str] = ()
) -> None:
    """Print a table: `left` columns of names, then columns of numbers; `last` below a line.

    Names are cut so that the table fits into a terminal; elsewhere only those that are very long.
    """
    rows = [[flat(cell) for cell in row] for row in rows]
    everything = [heads, *rows, *([last] if last else [])]
    widths = [max(wide(row[at]) for row in everything) for at in range(len(heads))]
    _narrow(widths, left)

    def written(row: Sequence[str]) -> str:
        cells = [
            padded(cut(cell, widths[at]), widths[at], right=at >= left)
            for at, cell in enumerate(row)
        ]
        return "  ".join(cells).rstrip()

    say_line([Piece(written(heads), "dim")])
    for row in rows:
        say(written(row))
    if last:
        say_line([Piece("─" * (sum(widths) + 2 * (len(widths) - 1)), "dim")])
        say_line([Piece(written(last), "bold")])


def width() -> int:
    """The columns of the terminal, 40 at least; 100 where there is none."""
    return min(max(shutil.get_terminal_size((100, 24)).columns, 40), 200)


def _narrow(widths: list[int], left: int) -> None:
    """Take columns of names in until the table fits, the widest first; never below _NAME."""
    widths[:left] = [min(each, _LONGEST_NAME) for each in widths[:left]]
    if not sys.stdout.isatty():
        return
    over = sum(widths) + 2 * (len(widths) - 1) - shutil.get_terminal_size().columns
    for _ in range(over):
        widest = max(range(left), key=widths.__getitem__)
        if widths[widest] <= _NAME:
            return
        widths[widest] -= 1


def _cut(pieces: Iterable[Piece], room: int) -> list[Piece]:
    kept: list[Piece] = []
    for text, style in pieces:
        if wide(text) > room:
            return [*kept, Piece(printable(cut(text, room)) if room else "", style)]
        kept.append(Piece(text, style))
        room -= wide(text)
    return kept


def _colours() -> bool:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain


def _styled(text: str, style: Style) -> str:
    return typer.style(text, **_LOOKS[style]) if _LOOKS[style] else text


_ENDS = {ord("\n"): " ", ord("\t"): " "}  # they would tear a line apart
_LONGEST_NAME = 60
_NAME = 12
_LOOKS: dict[Style, dict[str, Any]] = {
    "": {},
    "dim": {"dim": True},
    "bold": {"bold": True},
    "bad": {"fg": "red"},
    "warn": {"fg": "yellow"},
    "good": {"fg": "green"},
    "bar": {"fg": "blue"},
}
