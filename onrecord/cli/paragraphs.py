"""Lines of a text on a terminal: broken between words, and not in the middle of one."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator

from onrecord.cli.output import printable, say
from onrecord.records.views.drawing import wide


def say_text(text: str) -> None:
    """Print a text of several lines; on a terminal those that are too long go on in the next,
    indented. Elsewhere each line stays one: whoever looks for something in them finds it."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for line in printable(text).split("\n"):
        for part in broken(line, columns) if columns else (line,):
            say(part)


def broken(line: str, columns: int) -> Iterator[str]:
    """A line as several of at most so many columns, the later ones indented."""
    if wide(line) <= columns:
        yield line
        return
    # Characters of two columns are rare here: half of the room is then left empty.
    room = columns if wide(line) == len(line) else columns // 2
    yield from textwrap.wrap(
        line, max(room, 20), subsequent_indent="    ", break_on_hyphens=False
    ) or [line]
