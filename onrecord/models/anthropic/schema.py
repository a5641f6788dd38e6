"""JSON schemas as Anthropic's `output_config.format` takes them.

It holds a model to the types, names, choices and closed objects of a schema. Bounds, lengths and
patterns are told in the descriptions instead, as Anthropic's own client does; the answer is
validated against the whole schema by whoever reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class Inexpressible(Exception):
    """A schema that `output_config.format` has no form for. The text says what in it."""


def enforced(schema: object) -> dict[str, Any]:
    """As much of a schema as the server enforces. Raises Inexpressible."""
    rest = dict(_mapping(schema))
    kept: dict[str, Any] = {}
    for name in ("$defs", "definitions"):
        if name in rest:
            kept[name] = _all(rest.pop(name))
    if "$ref" in rest:
        return {**kept, "$ref": rest["$ref"]}
    types = rest.get("type")
    if isinstance(types, list):
        rest.pop("type")
        common: dict[str, Any] = {
            name: rest.pop(name) for name in ("title", "description") if name in rest
        }
        return {**kept, **common, "anyOf": [enforced({**rest, "type": each}) for each in types]}
    for name in ("title", "description", "enum", "const"):
        if name in rest:
            kept[name] = rest.pop(name)
    for name, choice in (("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")):
        if name in rest:
            kept[choice] = [enforced(each) for each in _list(rest.pop(name))]
    _typed(rest, kept)
    rest = {name: value for name, value in rest.items() if name not in _SAYS_NOTHING}
    if rest:
        told = ", ".join(f"{name}: {json.dumps(value)}" for name, value in rest.items())
        kept["description"] = "\n\n".join(filter(None, [kept.get("description"), f"({told})"]))
    return kept


def _typed(rest: dict[str, Any], kept: dict[str, Any]) -> None:
    """Move over what belongs to the type of a schema."""
    kind = rest.pop("type", None)
    if kind is None:
        if not {"enum", "const", "anyOf", "allOf"} & kept.keys():
            raise Inexpressible("a value of any type")
        return
    kept["type"] = kind
    if kind == "object":
        properties, open = rest.pop("properties", None), rest.pop("additionalProperties", None)
        if open not in (None, False) or (properties is None and open is None):
            raise Inexpressible("an object whose keys are not known")
        kept["properties"] = _all(properties or {})
        kept["required"] = list(_list(rest.pop("required", [])))
        kept["additionalProperties"] = False
    elif kind == "array":
        if not isinstance(rest.get("items"), Mapping):
            raise Inexpressible("a list whose elements have no one type")
        kept["items"] = enforced(rest.pop("items"))
        if rest.get("minItems") in (0, 1):
            kept["minItems"] = rest.pop("minItems")
    elif kind == "string" and rest.get("format") in _FORMATS:
        kept["format"] = rest.pop("format")


def _all(schemas: object) -> dict[str, Any]:
    return {key: enforced(each) for key, each in _mapping(schemas).items()}


def _mapping(value: object) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise Inexpressible("a value of any type" if value is True else "a part that is no schema")


def _list(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    raise Inexpressible("a part that is no schema")


_SAYS_NOTHING = ("$schema", "$id", "$comment", "default", "discriminator")
_FORMATS = (
    *("date-time", "time", "date", "duration"),
    *("email", "hostname", "uri", "ipv4", "ipv6", "uuid"),
)
