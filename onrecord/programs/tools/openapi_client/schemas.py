"""The schemas of an OpenAPI document as JSON Schema, for a model that fills them in.

OpenAPI 3.0 has a dialect of its own (`nullable`, `exclusiveMinimum: true`); what it points to moves
to `$defs`, so that a schema that contains itself stays finite.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from onrecord.errors import UsageError
from onrecord.programs.tools.openapi_client.document import Document


class Schemas:
    """Converts the schemas of one operation; `definitions` are what they point to.

    Raises UsageError for one that is too large, too deep, or points out of the document.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self.definitions: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        self._left = _MOST

    def converted(self, schema: Any, depth: int = 0) -> Any:
        """A schema as JSON Schema 2020-12."""
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise UsageError("its schema is too large, or nested too deeply")
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return self._plain(schema, depth)
        found = {"$ref": f"#/$defs/{self._defined(reference, depth)}"}
        if self._document.is_3_0:  # there, nothing stands beside a reference
            return found
        return {**self._plain({**schema, "$ref": None}, depth), **found}

    def _defined(self, reference: str, depth: int) -> str:
        """The name of the definition of what a reference points to."""
        if reference not in self._names:
            name = _UNFIT.sub("_", reference.rpartition("/")[2])[:80] or "it"
            while name in self._names.values():
                name += "_"
            self._names[reference] = name
            self.definitions[name] = True  # it may point to itself
            self.definitions[name] = self.converted(self._document.at(reference), depth + 1)
        return self._names[reference]

    def _plain(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in schema.items():
            if key in _OF_ONE and isinstance(value, Mapping | bool):
                found[key] = self.converted(value, depth + 1)
            elif key in _OF_SEVERAL and isinstance(value, list):
                found[key] = [self.converted(each, depth + 1) for each in value]
            elif key in _OF_NAMED and isinstance(value, Mapping):
                found[key] = {
                    str(name): self.converted(each, depth + 1)
                    for name, each in value.items()
                    if not (isinstance(each, Mapping) and each.get("readOnly") is True)
                }
            elif key in _AS_THEY_ARE:
                found[key] = value
        self._mend(found, schema)
        return found

    def _mend(self, found: dict[str, Any], schema: Mapping[str, Any]) -> None:
        """What OpenAPI says otherwise than JSON Schema does."""
        if isinstance(found.get("description"), str):
            found["description"] = shortened(found["description"], _LONGEST_WORDS)
        if isinstance(required := found.get("required"), list):
            known = found.get("properties", {})
            hidden = schema.get("properties") or {}
            found["required"] = [each for each in required if each in known or each not in hidden]
        elif "required" in found:  # in old documents, a flag of the property itself
            del found["required"]
        for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if isinstance(flag := found.get(exclusive), bool):
                del found[exclusive]
                if flag and bound in found:
                    found[exclusive] = found.pop(bound)
        if "example" in schema and "examples" not in found:
            found["examples"] = [schema["example"]]
        if "pattern" in found and not _is_pattern(found["pattern"]):
            del found["pattern"]  # one of another language: the server checks it
        if schema.get("nullable") is True:
            _allow_null(found)


def _allow_null(found: dict[str, Any]) -> None:
    kind = found.get("type")
    if isinstance(kind, str):
        found["type"] = [kind, "null"]
        if isinstance(found.get("enum"), list) and None not in found["enum"]:
            found["enum"] = [*found["enum"], None]
    elif kind is None and found:
        inner = dict(found)
        found.clear()
        found["anyOf"] = [inner, {"type": "null"}]


def _is_pattern(pattern: Any) -> bool:
    try:
        re.compile(pattern)
    except (re.error, TypeError, RecursionError, OverflowError):
        return False
    return True


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters, which shows where it was cut."""
    text = text.strip()
    return text if len(text) <= most else f"{text[:most]}…"


_MOST = 5_000  # schemas within one operation
_DEEPEST = 60
_LONGEST_WORDS = 500
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]")
_OF_ONE = frozenset(
    """
    items additionalProperties not if then else contains propertyNames additionalItems
    unevaluatedItems unevaluatedProperties
    """.split()
)
_OF_SEVERAL = frozenset("allOf anyOf oneOf prefixItems".split())
_OF_NAMED = frozenset("properties patternProperties dependentSchemas".split())
_AS_THEY_ARE = frozenset(
    """
    type format enum const default examples description pattern minimum maximum exclusiveMinimum
    exclusiveMaximum multipleOf minLength maxLength minItems maxItems uniqueItems minContains
    maxContains minProperties maxProperties required dependentRequired deprecated
    """.split()
)
