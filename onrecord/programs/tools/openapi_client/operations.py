"""One operation of an OpenAPI document: what it takes, as one object, and the request it makes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from onrecord.errors import UsageError
from onrecord.programs.tools.http_client.fetching import Asked
from onrecord.programs.tools.openapi_client.document import Document
from onrecord.programs.tools.openapi_client.requests import BODY, FORM, Body, Parameter, written
from onrecord.programs.tools.openapi_client.schemas import Schemas, shortened


class Operation(NamedTuple):
    """What a tool is made of. `schema`: of all arguments, as one object."""

    name: str
    words: str
    method: str
    path: str
    servers: Mapping[str, Any]
    """The part of the document that may name a server of its own."""
    schema: dict[str, Any]
    parameters: Mapping[str, Parameter]
    body: Body | None

    def asked(self, base: str, arguments: Mapping[str, Any]) -> Asked:
        """The request. Raises UsageError for what a path or a header cannot hold."""
        return written(self.method, base, self.path, self.parameters, self.body, arguments)


class Unusable(NamedTuple):
    """An operation that no tool can be made of, and why."""

    name: str
    method: str
    why: str


def operations(document: Document) -> Iterator[Operation | Unusable]:
    """The operations of a document, each with a name of its own that a model may call."""
    taken: set[str] = set()
    for path, item in document.paths.items():
        try:
            found = document.resolved(item)
        except UsageError as error:
            yield Unusable(str(path), "", error.what)
            continue
        for method in _METHODS:
            if not isinstance(described := found.get(method), Mapping):
                continue
            name = _name(described.get("operationId"), method, str(path), taken)
            taken.add(name)
            try:
                yield _operation(document, name, method.upper(), str(path), found, dict(described))
            except UsageError as error:
                yield Unusable(name, method.upper(), error.what)


def _operation(
    document: Document,
    name: str,
    method: str,
    path: str,
    item: Mapping[str, Any],
    described: Mapping[str, Any],
) -> Operation:
    schemas = Schemas(document)
    properties: dict[str, Any] = {}
    parameters: dict[str, Parameter] = {}
    required: list[str] = []
    for parameter, schema in _parameters(document, schemas, item, described):
        argument = _argument(parameter.name, parameter.place, properties)
        properties[argument], parameters[argument] = schema, parameter
        if parameter.required:
            required.append(argument)
    missing = set(_HOLE.findall(path)) - {
        each.name for each in parameters.values() if each.place == "path"
    }
    if missing or not path.startswith("/"):
        raise UsageError(f"its path {path[:100]!r} names what is no parameter")
    body = _body(document, schemas, described, properties, required)
    words = "\n\n".join(
        dict.fromkeys(
            text.strip()
            for key in ("summary", "description")
            if isinstance(text := described.get(key), str) and text.strip()
        )
    )
    schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    } | ({"$defs": schemas.definitions} if schemas.definitions else {})
    servers = described if "servers" in described else item
    words = shortened(words or f"{method} {path}", _LONGEST_WORDS)
    return Operation(name, words, method, path, servers, schema, parameters, body)


def _parameters(
    document: Document, schemas: Schemas, item: Mapping[str, Any], described: Mapping[str, Any]
) -> Iterator[tuple[Parameter, Any]]:
    """The parameters with their schemas; those of the operation in place of those of its path."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for listed in (item.get("parameters"), described.get("parameters")):
        for each in listed if isinstance(listed, list) else ():
            one = document.resolved(each)
            found[str(one.get("name", "")), str(one.get("in", ""))] = one
    for (name, place), one in found.items():
        if place not in _STYLES or not name:
            raise UsageError(f"its parameter {name[:80]!r} is in {place[:20]!r}")
        if place == "header" and name.lower() in _OWN_HEADERS:
            continue  # the document may not set them: the standard says so of the first three
        if place in ("header", "cookie") and not _TOKEN.fullmatch(name):
            raise UsageError(f"its {place} {name[:80]!r} is no name of one")
        content = one.get("content")
        media = next(iter(content.values()), {}) if isinstance(content, Mapping) else one
        schema = schemas.converted(media.get("schema", {}) if isinstance(media, Mapping) else {})
        if isinstance(schema, dict) and isinstance(words := one.get("description"), str):
            schema = {**schema, "description": shortened(words, _LONGEST_WORDS)}
        style = str(one.get("style") or _STYLES[place])
        explode = one.get("explode")
        yield (
            Parameter(
                name,
                place,
                place == "path" or one.get("required") is True,
                style,
                explode if isinstance(explode, bool) else style == "form",
                isinstance(content, Mapping),
            ),
            schema,
        )


def _body(
    document: Document,
    schemas: Schemas,
    described: Mapping[str, Any],
    properties: dict[str, Any],
    required: list[str],
) -> Body | None:
    """The body; what it takes is added to the properties and to those that are required."""
    found = document.resolved(described.get("requestBody"))
    content = found.get("content")
    if not isinstance(content, Mapping) or not content:
        return None
    media = next((each for each in content if _JSON.fullmatch(str(each))), None)
    media = FORM if media is None and FORM in content else media
    if media is None:
        if found.get("required") is not True:
            return None
        raise UsageError(f"its body is {', '.join(map(str, content))[:100]}, and not JSON")
    needed = found.get("required") is True
    inner = content[media]
    schema = inner.get("schema", {}) if isinstance(inner, Mapping) else {}
    parts = _parts(document, schema)
    if parts is None:
        name = BODY
        if name in properties:
            raise UsageError(f"its parameter {name!r} has the name of its body")
        properties[name] = schemas.converted(schema)
        required += [name] if needed else []
        return Body(media, needed, {})
    names = {}
    for part, each in parts.properties.items():
        argument = _argument(part, "body", properties)
        names[argument] = part
        properties[argument] = schemas.converted(each)
        if needed and part in parts.required:
            required.append(argument)
    return Body(media, needed, names)


class _Parts(NamedTuple):
    properties: dict[str, Any]
    required: set[str]


def _parts(document: Document, schema: Any, depth: int = 0) -> _Parts | None:
    """The properties of a body that is a plain object (or all of several); None where it is more
    than these."""
    plain = document.resolved(schema)
    if plain.get("additionalProperties") is False:
        del plain["additionalProperties"]
    if depth > _DEEPEST or plain.keys() - _OF_PLAIN_OBJECTS or plain.get("nullable") is True:
        return None
    if plain.get("type", "object") != "object":
        return None
    merged = _Parts({}, set())
    several = plain.get("allOf", [])
    for each in several if isinstance(several, list) else []:
        inner = _parts(document, each, depth + 1)
        if inner is None:
            return None
        merged.properties.update(inner.properties)
        merged.required.update(inner.required)
    own, required = plain.get("properties"), plain.get("required")
    for name, each in (own if isinstance(own, Mapping) else {}).items():
        if not (isinstance(each, Mapping) and each.get("readOnly") is True):
            merged.properties[str(name)] = each
    merged.required.update(map(str, required if isinstance(required, list) else ()))
    return merged if merged.properties or depth else None


def _name(given: Any, method: str, path: str, taken: set[str]) -> str:
    """The operation's id, else its method and path; as a model may call it, and not taken."""
    text = given if isinstance(given, str) and given else f"{method}_{path.strip('/')}"
    name = _UNFIT.sub("_", text).strip("_")[:_LONGEST_NAME] or method
    name = name if name[0].isalpha() else f"{method}_{name}"[:_LONGEST_NAME]
    numbers = iter(range(2, len(taken) + 3))
    free = name
    while free in taken:
        ending = f"_{next(numbers)}"
        free = name[: _LONGEST_NAME - len(ending)] + ending
    return free


def _argument(name: str, place: str, taken: Mapping[str, Any]) -> str:
    """The name of an argument, as models take it; two of one name are told apart by their place."""
    plain = _UNFIT.sub("_", name).strip("_")[:_LONGEST_NAME] or place
    free = plain
    number = 1
    while free in taken:
        ending = f"_{place}" if number == 1 else f"_{place}_{number}"
        free, number = plain[: _LONGEST_NAME - len(ending)] + ending, number + 1
    return free


_METHODS = ("get", "head", "options", "post", "put", "patch", "delete")
_JSON = re.compile(r"application/(.+\+)?json(;.*)?", re.IGNORECASE)
_STYLES = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}
_OWN_HEADERS = frozenset(
    """
    accept content-type authorization accept-encoding connection content-length cookie expect host
    keep-alive proxy-authorization te trailer transfer-encoding upgrade
    """.split()
)
_OF_PLAIN_OBJECTS = frozenset(
    """
    type properties required allOf title description example examples xml externalDocs nullable
    deprecated
    """.split()
)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HOLE = re.compile(r"\{([^{}]*)\}")
_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME = 64
_LONGEST_WORDS = 1_000
_DEEPEST = 10
