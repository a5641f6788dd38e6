"""Types as JSON schemas, and decoded JSON as values of a type.

pydantic describes what it knows; msgspec its own structs (and TypedDict on Python 3.11).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from typing import Any, NamedTuple, cast

import msgspec

from onrecord.errors import PromptError


class Unfit(Exception):
    """An answer that is not what was asked for. The text tells the model why."""


class Codec(NamedTuple):
    """A type's JSON schema, and the way from decoded JSON to a value of it (raises Unfit)."""

    schema: dict[str, Any]
    validate: Callable[[object], Any]


def codec_of(annotation: Any) -> Codec:
    """pydantic's where it knows the type, else msgspec's (Struct; TypedDict on Python 3.11)."""
    import pydantic
    from pydantic_core import PydanticSerializationError, to_json

    try:
        adapter = pydantic.TypeAdapter(annotation)
        schema = adapter.json_schema()
    except (pydantic.errors.PydanticUserError, NameError):
        return _struct_codec(annotation)

    def validate(found: object) -> Any:
        try:
            # From JSON and not from Python values: dates, decimals and tuples have no JSON of
            # their own.
            return adapter.validate_json(to_json(found))
        except pydantic.ValidationError as error:
            raise Unfit(" ".join(map(_said, error.errors()[:_PROBLEMS]))) from None
        except PydanticSerializationError:
            raise Unfit("It is nested too deeply, or no JSON.") from None

    return Codec(_fillable(schema, annotation), validate)


def _struct_codec(annotation: Any) -> Codec:
    try:
        (described,), components = msgspec.json.schema_components(
            [annotation], ref_template="#/$defs/{name}"
        )
        decoder = msgspec.json.Decoder(annotation)
    except (TypeError, RuntimeError) as error:
        reason = next(
            (line for line in str(error).splitlines() if line.endswith("not supported")), ""
        )
        if repr(annotation) in reason:  # that says the same
            reason = ""
        raise PromptError(
            f"no JSON schema can be made of the type {annotation!r}"
            + (f": {reason[0].lower()}{reason[1:]}" if reason else ""),
            cure="Return str, a dataclass, a pydantic model, a Struct, a TypedDict or a list.",
        ) from None
    schema = {**described, "$defs": components} if components else described

    def validate(found: object) -> Any:
        try:
            return decoder.decode(msgspec.json.encode(found))
        except msgspec.ValidationError as error:
            raise Unfit(f"{error}.") from None

    return Codec(_fillable(schema, annotation), validate)


def closed_object(properties: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A closed object of these properties, all required, with their definitions moved to the top,
    where references look for them."""
    definitions: dict[str, Any] = {}
    return {
        "type": "object",
        "properties": {name: _lifted(each, definitions) for name, each in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    } | ({"$defs": definitions} if definitions else {})


def _lifted(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    definitions.update(schema.get("$defs", {}))
    kept = {key: value for key, value in schema.items() if key != "$defs"}
    if "anyOf" in kept:
        kept["anyOf"] = [_lifted(each, definitions) for each in kept["anyOf"]]
    return kept


def _fillable(schema: dict[str, Any], annotation: Any) -> dict[str, Any]:
    """The plain schema. Raises PromptError where nothing can ever fit it: an enum without members,
    a type that needs another one of itself, a number from 5 to 3."""
    definitions = schema.get("$defs", {})
    known: set[str] = set()
    while found := {
        name
        for name, each in definitions.items()
        if name not in known and _can_be_filled(each, known)
    }:
        known |= found
    if not _can_be_filled(schema, known):
        raise PromptError(
            f"no answer can ever fit the type {annotation!r}",
            cure="See to enums without members, types that need one of themselves, and bounds.",
        )
    return _plain(schema)


def _can_be_filled(schema: Any, known: Container[str]) -> bool:
    """Whether a value may fit a schema; `known` are the definitions that some value fits."""
    if not isinstance(schema, dict):
        return schema is not False
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2] in known
    if any(_is_crossed(schema, *bounds) for bounds in _BOUNDS):
        return False
    for one_of in ("anyOf", "oneOf"):
        if one_of in schema and not any(_can_be_filled(each, known) for each in schema[one_of]):
            return False
    properties = schema.get("properties", {})
    needed = [properties[name] for name in schema.get("required", ()) if name in properties]
    needed += schema.get("allOf", ())
    if schema.get("minItems"):
        needed += schema.get("prefixItems", ())[: schema["minItems"]]
        if len(schema.get("prefixItems", ())) < schema["minItems"]:
            needed.append(schema.get("items", True))
    return schema.get("enum") != [] and all(_can_be_filled(each, known) for each in needed)


def _is_crossed(schema: dict[str, Any], low: str, high: str) -> bool:
    least, most = schema.get(low), schema.get(high)
    if not isinstance(least, int | float) or not isinstance(most, int | float):
        return False
    return least > most or (least == most and "exclusive" in low + high)


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that servers take: closed, and with no reference at the top."""
    top = schema.get("$ref", "").rpartition("/")[2]
    if top in schema.get("$defs", {}):
        schema = {**schema["$defs"][top], "$defs": schema["$defs"]}
    return cast("dict[str, Any]", _closed(schema))


def _closed(schema: Any) -> Any:
    """A schema whose objects allow nothing beside their properties, where it does not say
    otherwise.

    Servers that hold a model to a schema ask for that; it tells the model nothing new.
    """
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        key: value if key in _LITERAL else _closed(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


def compact(schema: dict[str, Any]) -> str:
    """A schema as a model is told of it."""
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def _said(problem: Any) -> str:
    place = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in problem["loc"])
    # What a validator of the type's own raised is said in its words alone.
    raised = problem.get("ctx", {}).get("error") if problem["type"] == "value_error" else None
    words = " ".join(str(raised or problem["msg"]).split()).rstrip(".")
    return f"{place.lstrip('.') or 'The value'}: {words}."


_LITERAL = ("enum", "const", "default", "examples", "required")
_BOUNDS = (
    ("minimum", "maximum"),
    ("exclusiveMinimum", "maximum"),
    ("minimum", "exclusiveMaximum"),
    ("exclusiveMinimum", "exclusiveMaximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
)
_PROBLEMS = 5
