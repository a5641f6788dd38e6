"""JSON Schemas that somebody else wrote: what of a value does not fit one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onrecord.errors import UsageError


class ForeignSchema:
    """A JSON Schema, of the draft that its "$schema" names, else 2020-12. What a "$ref" outside of
    it points to is not fetched. Raises UsageError for one that is none."""

    def __init__(self, schema: Any) -> None:
        import jsonschema
        from referencing import Registry

        kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
        try:
            kind.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise UsageError(
                f"this is no JSON Schema: {_short(error.message)}", where=error.json_path
            ) from None
        # The library's own registry would fetch what a "$ref" points to; this one is empty.
        self._validator = kind(schema, registry=Registry())

    def problems(self, value: Any) -> Iterator[tuple[str, str]]:
        """What does not fit: the place as a JSON path, and what is wrong there. Raises UsageError
        for a "$ref" to what is not in the schema."""
        from referencing.exceptions import Unresolvable

        try:
            for each in self._validator.iter_errors(value):
                yield each.json_path, _short(each.message)
        except Unresolvable as error:
            raise UsageError(
                f"the JSON Schema points to what is not in it: {error.ref}",
                cure="Put it into the schema, under $defs.",
            ) from error


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"
