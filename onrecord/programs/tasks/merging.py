"""Values that were taken out of the parts of a text, as the values of the whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec


class Merged(msgspec.Struct, frozen=True):
    """Plain values of a whole; `differing` names the fields of which parts said different things,
    of which the first is kept."""

    value: Any
    differing: list[str]


def merged(values: Sequence[Any], name: str = "value") -> Merged:
    """The plain values of parts, in order, as one: lists one after the other, each item once;
    objects field by field; of all else the first that says anything (no null, no empty text)."""
    told = [each for each in values if each not in (None, "", [], {})]
    if not told:
        return Merged(values[0], [])
    if all(isinstance(each, list) for each in told):
        items = {json.dumps(item, sort_keys=True): item for each in told for item in each}
        return Merged(list(items.values()), [])
    if all(isinstance(each, dict) for each in told):
        names = dict.fromkeys(field for each in values for field in each or {})
        fields = {
            field: merged([each[field] for each in values if field in (each or {})], field)
            for field in names
        }
        value = {field: each.value for field, each in fields.items()}
        return Merged(value, [field for each in fields.values() for field in each.differing])
    return Merged(told[0], [name] if any(each != told[0] for each in told) else [])
