"""Does a value have the form that it should have?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation.measuring.text import json_in
from onrecord.prompts.foreign_schemas import ForeignSchema


def fits_schema(prediction: Any, schema: Mapping[str, Any] | type, *, parse: bool = True) -> float:
    """1.0 where the prediction fits the schema, else 0.0. All as in `schema_errors`."""
    return float(not schema_errors(prediction, schema, parse=parse))


def schema_errors(
    prediction: Any, schema: Mapping[str, Any] | type, *, parse: bool = True
) -> list[str]:
    """What does not fit, one line each with its place ("$.items[0].price: …"); [] where all fits.

    `schema`: a JSON Schema (of the draft that its "$schema" names, else 2020-12), or a type that
    pydantic knows, read strictly. A prediction that is a text is read as JSON first, also inside a
    Markdown fence, unless `parse` is False. "format" is not checked, and a "$ref" to elsewhere is
    not fetched. Raises UsageError for a schema that is none.
    """
    if parse and isinstance(prediction, str):
        try:
            prediction = json_in(prediction)
        except ValueError as error:
            return [f"$: this is no JSON: {error}"]
    if isinstance(schema, Mapping):
        return _by_schema(prediction, schema)
    return _by_type(prediction, schema)


def _by_schema(value: Any, schema: Mapping[str, Any]) -> list[str]:
    try:
        written = msgspec.json.encode(schema)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the JSON Schema is no JSON: {error}") from error
    found = sorted(_schema(written).problems(value), key=lambda each: each[0])
    return [f"{place}: {what}" for place, what in found]


@lru_cache(maxsize=64)
def _schema(written: bytes) -> ForeignSchema:
    return ForeignSchema(msgspec.json.decode(written))


def _by_type(value: Any, kind: Any) -> list[str]:
    import pydantic

    if isinstance(kind, str):  # pydantic would read it as a name
        raise UsageError(_NO_SCHEMA, where=_short(repr(kind)), cure="Read it first: json.loads.")
    try:
        # As JSON: strict there still takes a text for a date, which has no other form in JSON.
        _adapter(kind).validate_json(_written(value), strict=True)
    except pydantic.ValidationError as error:
        return [f"{_path(each['loc'])}: {_short(each['msg'])}" for each in error.errors()]
    except (pydantic.errors.PydanticUserError, TypeError) as error:
        raise UsageError(_NO_SCHEMA, where=_short(repr(kind))) from error
    return []


def _written(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the prediction is no JSON value: {error}") from error


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _path(places: tuple[int | str, ...]) -> str:
    return "$" + "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in places)


_NO_SCHEMA = "the schema is neither a JSON Schema nor a type that pydantic knows"


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"
