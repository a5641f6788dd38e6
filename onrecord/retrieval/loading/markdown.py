"""Markdown: the text is the file; its front matter is also metadata. And how to write tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from onrecord.retrieval.document import Document, Fields
from onrecord.retrieval.loading.encoding import read_text
from onrecord.retrieval.loading.values import metadata


def load_markdown(path: Path, fields: Fields, document_id: str) -> Iterator[Document]:
    """Markdown with YAML front matter, which stays in the text so that offsets are the file's.

    The title is the front matter's, else the first heading, else the file's name.
    """
    text, notes = read_text(path)
    front, end = _front_matter(text)
    title = front.pop("title", None) or first_heading(text[end : end + _HEAD]) or path.stem
    yield Document(document_id, str(title), text, "markdown", {**front, **notes})


def first_heading(text: str) -> str:
    """The first heading of a Markdown text outside its code blocks, or an empty string."""
    fence = ""
    before = ""
    for line in text.splitlines():
        if fence:
            fence = "" if line.strip() == fence else fence
        elif opening := _FENCE.match(line):
            fence = opening[1]
        elif heading := _HEADING.match(line):
            return heading[1].rstrip("# \t")
        elif _UNDERLINE.fullmatch(line) and before.strip():
            return before.strip()
        before = line
    return ""


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table, the first one its header; cells become one line each."""
    width = max((len(row) for row in rows), default=0)
    if not width:
        return ""
    lines = []
    for number, row in enumerate(rows):
        cells = [cell_text(cell) for cell in row] + [""] * (width - len(row))
        lines.append(f"| {' | '.join(cells)} |")
        if number == 0:
            lines.append(f"|{' --- |' * width}")
    return "\n".join(lines)


def cell_text(text: str) -> str:
    """Text fit for a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _front_matter(text: str) -> tuple[dict[str, Any], int]:
    """The fields between the first two `---` lines and where they end; none if broken."""
    match = _FRONT.match(text, 0, _LONGEST_FRONT) if text.startswith("---") else None
    if not match:
        return {}, 0
    import yaml

    try:
        fields = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        fields = None  # broken front matter is text like any other
    return (metadata(fields) if isinstance(fields, dict) else {}), match.end()


_HEAD = 64 * 1024
_LONGEST_FRONT = 64 * 1024
_FRONT = re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(\S.*)")
_UNDERLINE = re.compile(r" {0,3}(=+|-{3,})[ \t]*")
