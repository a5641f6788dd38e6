"""What a model is shown of the rows of a query.

    ["id","total"]
    [17,"49.90"]
    (1 row)

A line a row, each a JSON array, so that no value can pretend to be another row or the end of them.
"""

from __future__ import annotations

import datetime
import decimal
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from onrecord.prompts.untrusted import without_hidden


class Bounds(NamedTuple):
    """How much one query may take and give: rows, seconds, bytes of the answer."""

    rows: int
    seconds: float
    bytes: int


class Rows(NamedTuple):
    """The first rows of an answer, one more than may be shown where there are more."""

    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]


def shown(found: Rows, bounds: Bounds) -> str:
    """The text for the model, with a note where something is missing. Reads no more rows than it
    shows, and one."""
    lines = [_line(found.columns)]
    left = bounds.bytes - len(lines[0].encode())
    note = ""
    for number, row in enumerate(itertools.islice(found.rows, bounds.rows + 1)):
        if number == bounds.rows:
            note = "there are more: ask for fewer, or count them"
            break
        line = _line(row)
        left -= len(line.encode()) + 1
        if left < 0:
            note = f"an answer has {bounds.bytes:,} bytes at most: ask for fewer columns or rows"
            break
        lines.append(line)
    count = len(lines) - 1
    said = f"{count:,} row{'' if count == 1 else 's'}"
    lines.append(f"(the first {said}; {note}.)" if note else f"({said})")
    return "\n".join(lines)


def _line(values: Sequence[Any]) -> str:
    return _ENCODER.encode([_plain(each) for each in values]).decode()


def _plain(value: Any) -> Any:
    """A value as JSON has it: long texts are cut, and of bytes the first are written as in SQL."""
    if isinstance(value, str):
        text, _ = without_hidden(value)
        text = text.encode("utf-8", "replace").decode()
        return text if len(text) <= CELL else f"{text[:CELL]}… (cut)"
    if isinstance(value, bytes | memoryview):
        start = bytes(value[:_BYTES]).hex()
        return f"x'{start}'" if len(value) <= _BYTES else f"x'{start}…' ({len(value):,} bytes)"
    if isinstance(value, datetime.date | datetime.time | decimal.Decimal):
        return str(value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    return _plain(str(value))


CELL = 2_000
"""The longest text of one value, in characters."""
_BYTES = 32
_ENCODER = msgspec.json.Encoder()
