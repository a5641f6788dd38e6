"""Metadata as all loaders write it: lower_snake_case keys, scalars or lists of text, ISO dates."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from onrecord.retrieval.document import Scalar


def metadata(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """Typed fields (JSON, YAML) as metadata: types kept, dates in ISO, nested values as JSON."""
    return _named({name: typed(value) for name, value in fields.items()})


def text_metadata(fields: Mapping[str, str]) -> dict[str, Any]:
    """Untyped fields (headers, CSV cells) as metadata; fields without a value are left out."""
    return _named({name: untyped(value) for name, value in fields.items() if value.strip()})


def key(name: str) -> str:
    """`name` in lower_snake_case: `Python-Version` and `pythonVersion` give `python_version`."""
    spaced = _HUMP.sub("_", name)
    plain = _NOT_WORD.sub("_", spaced).strip("_").lower()
    return plain if plain and not plain[0].isdigit() else f"field_{plain}".rstrip("_")


def typed(value: Any) -> Scalar | list[str]:
    """A JSON or YAML value as a metadata value.

    Numbers that no database column or JSON number holds (infinities, over 64 bits) become text.
    A nested value that is too long to be a field is None.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < _INT64 else _long_integer(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return iso_date(value) or value
    if isinstance(value, datetime.date):  # a datetime is a date too
        return value.isoformat()
    if isinstance(value, (list, tuple)) and all(isinstance(item, _PLAIN) for item in value):
        return [_item(item) for item in value]
    return json_text(value)


def untyped(text: str) -> Scalar | list[str]:
    """A header or cell as a metadata value: a date, a list of dates, an integer, or the text.

    Only what reads in one way is changed: `3.10` may be a version and `007` a name, so both stay.
    """
    text = text.strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    if date := iso_date(text):
        return date
    if "," in text and len(text) < _LONGEST_DATES:
        dates = [iso_date(part) for part in text.rstrip(", ").split(",")]
        if len(dates) > 1 and all(dates):
            return [date for date in dates if date]
    return text


def iso_date(text: str) -> str | None:
    """`text` as an ISO 8601 date or time, if it is one and reads in one way only.

    `04-Jun-2009`, `June 4, 2009`, `2009/06/04` and `2009-06-04 10:30` do; `04/06/2009` does not.
    """
    text = text.strip()
    if not 8 <= len(text) <= _LONGEST_DATE or not any(digit in text for digit in "0123456789"):
        return None
    try:
        if _ISO_TIME.fullmatch(text):
            return datetime.datetime.fromisoformat(text).isoformat()
        for pattern in _DATES:
            if match := pattern.fullmatch(text):
                month = _month(match["month"])
                return datetime.date(int(match["year"]), month, int(match["day"])).isoformat()
    except ValueError:  # 31-Feb-2020 looks like a date, and is none
        return None
    return None


def json_text(value: Any) -> str | None:
    """A nested value as JSON text, or None where it is circular or over 10,000 characters."""
    pieces: list[str] = []
    length = 0
    try:
        # Piece by piece, for a few lines of YAML with aliases can stand for gigabytes.
        for piece in json.JSONEncoder(ensure_ascii=False, default=str).iterencode(value):
            pieces.append(piece)
            length += len(piece)
            if length > _LONGEST_NESTED:
                return None
    except (ValueError, TypeError, RecursionError):
        return None
    return "".join(pieces)


def _named(fields: Mapping[Any, Any]) -> dict[str, Any]:
    names = distinct([key(str(name)) for name in fields], "_")
    return dict(zip(names, fields.values(), strict=True))


def distinct(names: Iterable[str], separator: str) -> list[str]:
    """The names, those that come again with a number: `a`, `b`, `a_2`."""
    used: dict[str, int] = {}
    result = []
    for name in names:
        candidate = name
        while candidate in used:
            used[name] += 1
            candidate = f"{name}{separator}{used[name]}"
        used[candidate] = 1
        result.append(candidate)
    return result


def _item(item: Any) -> str:
    if isinstance(item, bool) or item is None:
        return json.dumps(item)
    if isinstance(item, int):
        return _long_integer(item)
    return str(typed(item))


def _long_integer(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python refuses to write out more than 4,300 digits
        return hex(value)


def _month(name: str) -> int:
    if name.isdigit():
        return int(name)
    start = name.lower()
    for number, month in enumerate(_MONTHS, start=1):
        if month.startswith(start):
            return number
    raise ValueError(name)


_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_WORD = re.compile(r"[\W_]+")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}\S*", re.ASCII)
_DATES = (
    re.compile(r"(?P<year>\d{4})([-/])(?P<month>\d{1,2})\2(?P<day>\d{1,2})", re.ASCII),
    re.compile(r"(?P<day>\d{1,2})[ -](?P<month>[A-Za-z]{3,9})\.?,?[ -](?P<year>\d{4})", re.ASCII),
    re.compile(
        r"(?P<month>[A-Za-z]{3,9})\.? (?P<day>\d{1,2})(st|nd|rd|th)?,? (?P<year>\d{4})", re.ASCII
    ),
)
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_INT64 = 2**63
_PLAIN = (str, int, float, datetime.date, type(None))
_LONGEST_DATE = 40
_LONGEST_DATES = 5_000
_LONGEST_NESTED = 10_000
