"""The request that an operation makes of arguments: each value in the place and the style that the
document says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from onrecord.errors import UsageError
from onrecord.programs.tools.http_client.fetching import Asked


class Parameter(NamedTuple):
    """An argument that goes into the path, the query, a header or a cookie, under its own name."""

    name: str
    place: str
    required: bool
    style: str
    explode: bool
    is_json: bool


class Body(NamedTuple):
    """The body: of one argument (`parts` is empty), or an object of several."""

    media: str
    required: bool
    parts: Mapping[str, str]
    """The names of its properties by those of the arguments."""


def written(
    method: str,
    base: str,
    path: str,
    parameters: Mapping[str, Parameter],
    body: Body | None,
    arguments: Mapping[str, Any],
) -> Asked:
    """The request. Raises UsageError for what a path, a header or JSON cannot hold."""
    try:
        url, headers = _head(base, path, parameters, arguments)
        kind, content = ({}, None) if body is None else _body(body, arguments)
    except (ValueError, RecursionError) as error:  # halves of characters, infinite numbers
        raise UsageError(f"the arguments cannot be sent: {str(error)[:200]}") from None
    return Asked(method, url, headers | kind, content)


def _head(
    base: str, path: str, parameters: Mapping[str, Parameter], arguments: Mapping[str, Any]
) -> tuple[str, dict[str, str]]:
    query: list[tuple[str, str]] = []
    cookies: list[str] = []
    headers = {"accept": "application/json"}
    for name, parameter in parameters.items():
        value = arguments.get(name)
        if value is None:
            if parameter.place == "path":
                raise UsageError(f"the argument {name} is missing")
        elif parameter.place == "path":
            path = path.replace(f"{{{parameter.name}}}", _segment(name, value, parameter))
        elif parameter.place == "query":
            query += _pairs(value, parameter)
        elif parameter.place == "header":
            headers[parameter.name.lower()] = _header(name, value, parameter)
        else:
            cookies += [f"{each}={quote(text)}" for each, text in _pairs(value, parameter)]
    if cookies:
        headers["cookie"] = "; ".join(cookies)
    asked = f"?{urlencode(query, quote_via=quote)}" if query else ""
    return base.rstrip("/") + path + asked, headers


def _body(body: Body, arguments: Mapping[str, Any]) -> tuple[dict[str, str], bytes | None]:
    if body.parts:
        value: Any = {
            part: arguments[each] for each, part in body.parts.items() if each in arguments
        }
        if not value and not body.required:
            return {}, None
    elif BODY in arguments:
        value = arguments[BODY]
    else:
        return {}, None
    if body.media == FORM:
        fields = value if isinstance(value, Mapping) else {}
        form = [(each, _text(one)) for each, many in fields.items() for one in _several(many)]
        return {"content-type": FORM}, urlencode(form).encode()
    return {"content-type": body.media}, json.dumps(value, allow_nan=False).encode()


def _segment(argument: str, value: Any, parameter: Parameter) -> str:
    """A value as a part of a path: it stays in its place whatever it holds."""
    text = quote(_joined(value, parameter, ","), safe=",")
    if text.strip(".") == "" or not text:
        raise UsageError(f"the argument {argument} is no part of a path: {text!r}")
    return text


def _header(argument: str, value: Any, parameter: Parameter) -> str:
    text = _joined(value, parameter, ",")
    if not text.isascii() or not text.isprintable():
        raise UsageError(f"the argument {argument} holds characters that no header has")
    return text


def _pairs(value: Any, parameter: Parameter) -> list[tuple[str, str]]:
    """A value as the pairs of a query."""
    name = parameter.name
    if parameter.is_json:
        return [(name, json.dumps(value))]
    if isinstance(value, Mapping) and parameter.style == "deepObject":
        return [(f"{name}[{key}]", _text(each)) for key, each in value.items()]
    if isinstance(value, Mapping) and parameter.explode:
        return [(str(key), _text(each)) for key, each in value.items()]
    if isinstance(value, list) and parameter.explode:
        return [(name, _text(each)) for each in value]
    between = {"spaceDelimited": " ", "pipeDelimited": "|"}.get(parameter.style, ",")
    return [(name, _joined(value, parameter, between))]


def _joined(value: Any, parameter: Parameter, between: str) -> str:
    if parameter.is_json:
        return json.dumps(value)
    if isinstance(value, Mapping):
        return between.join(f"{_text(key)}{between}{_text(each)}" for key, each in value.items())
    return between.join(map(_text, _several(value)))


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


BODY = "body"
FORM = "application/x-www-form-urlencoded"
