"""Values of attributes, in the form that the table gives them, and fields as a record."""

from __future__ import annotations

from typing import Any

import msgspec

from onrecord.records.exchange.conventions import Form
from onrecord.records.record import Record


def checked(fields: dict[str, Any]) -> Record:
    """A record of these fields. Raises ValueError where one has not its type."""
    for name in _TEXTS:
        if isinstance(text := fields.get(name), str):
            fields[name] = text.replace("\0", "\ufffd")  # PostgreSQL holds none
    fields["tags"] = tuple(tag.replace("\0", "\ufffd") for tag in fields["tags"])
    for name in ("started_ns", "ended_ns", "cost"):
        number = fields.get(name)
        if isinstance(number, int) and not -(2**63) <= number < 2**63:
            raise ValueError(f"its {name} has more than 64 bits")
    return msgspec.convert(fields, Record)


def parsed(value: Any, form: Form) -> Any:
    """A value in the form that a row has, None where it has not."""
    if value is None:
        return None
    match form:
        case "text":
            return value if isinstance(value, str) else None
        case "int":
            return _whole(value)
        case "double":
            return _number(value)
        case "bool":
            return value if isinstance(value, bool) else None
        case "texts":
            value = unfolded(value)
            value = [value] if isinstance(value, str) else value
            texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
            return value if texts else None
        case "json":
            return unfolded(value)


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and len(value) < 24 and value.strip().lstrip("-").isdecimal():
        return int(value)
    if isinstance(value, float) and abs(value) < 2**53:
        return int(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None
    return None if isinstance(value, bool) else number


def unfolded(value: Any) -> Any:
    """What a text says that is JSON of more than a scalar; everything else as it is."""
    if isinstance(value, str) and value[:1] in _OPENING:
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value


def listed(value: Any) -> list[Any]:
    """A list as it is, one value as a list of it, None as none."""
    return value if isinstance(value, list) else [] if value is None else [value]


_OPENING = ("{", "[")
_TEXTS = ("name", "error", "session", "user", "release", "tenant", "version", "key", "source")
