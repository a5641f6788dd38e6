"""reStructuredText: the text is the file; the fields at its top are also metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from onrecord.retrieval.document import Document, Fields
from onrecord.retrieval.loading.encoding import read_text
from onrecord.retrieval.loading.values import text_metadata


def load_rst(path: Path, fields: Fields, document_id: str) -> Iterator[Document]:
    """reStructuredText with its header fields, which stay in the text so that they can be quoted.

    A header is the `Key: value` lines that the file begins with (PEPs), or the `:Key: value` list
    that follows its title, if it has one. The title is the Title field, else the first heading,
    else the file's name.
    """
    text, notes = read_text(path)
    lines = text[:_HEAD].splitlines()
    header = _header(lines)
    header = {name: _LINK.sub(r"\1", value) for name, value in header.items()}
    title = header.pop("Title", "") or header.pop("title", "") or _first_heading(lines)
    yield Document(document_id, title or path.stem, text, "rst", {**text_metadata(header), **notes})


def _header(lines: Sequence[str]) -> dict[str, str]:
    start = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
    mail_like = _fields(lines[start:], _MAIL_FIELD)
    if len(mail_like) > 1:  # a single one may be a sentence, such as "Note: ..."
        return mail_like
    for number in range(start, len(lines)):
        line = lines[number]
        if _LIST_FIELD.match(line):
            return _fields(lines[number:], _LIST_FIELD)
        if line.strip() and not _may_precede_fields(lines, number):
            break
    return {}


def _may_precede_fields(lines: Sequence[str], number: int) -> bool:
    """Comments, targets and the document's title come before its field list."""
    line = lines[number]
    if line.startswith((".. ", "   ")) or line == ".." or _is_rule(line):
        return True
    return number + 1 < len(lines) and _is_rule(lines[number + 1])


def _fields(lines: Sequence[str], pattern: re.Pattern[str]) -> dict[str, str]:
    """The fields that `lines` begin with, continuation lines joined; none if it is no such block.

    A field that comes twice holds both values.
    """
    fields: dict[str, str] = {}
    name = ""
    for line in lines:
        if not line.strip():
            break
        if match := pattern.match(line):
            name, value = match[1], (match[2] or "").strip()
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        elif name and line[0].isspace():
            fields[name] = f"{fields[name]} {line.strip()}".strip()
        else:
            return {}
    return fields


def _first_heading(lines: Sequence[str]) -> str:
    for number in range(1, len(lines)):
        title, rule = lines[number - 1], lines[number]
        if not title.strip() or _is_rule(title) or not _is_rule(rule):
            continue
        above = lines[number - 2] if number > 1 else ""
        overlined = _is_rule(above) and above.rstrip() == rule.rstrip()
        if overlined or not title[0].isspace():  # an indented title must have a line above it
            return title.strip()
    return ""


def _is_rule(line: str) -> bool:
    return _RULE.fullmatch(line.rstrip()) is not None


_HEAD = 64 * 1024
_MAIL_FIELD = re.compile(r"([A-Z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*):(?:[ \t]+(.*))?$")
_LIST_FIELD = re.compile(r":([^:`\s][^:`]{0,60}):(?:[ \t]+(.*))?$")
_LINK = re.compile(r"`([^`<]{1,200}?)\s*<[^`>]{1,2000}>`__?")  # the text of a link is its value
_RULE = re.compile(r"([!-/:-@\[-`{-~])\1{2,}")
