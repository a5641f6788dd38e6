"""The arguments of a tool: described to a model as a JSON schema, and read from what it writes."""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, get_args

from onrecord.arguments import closest
from onrecord.errors import PromptError, UsageError
from onrecord.prompts.foreign_schemas import ForeignSchema
from onrecord.prompts.schemas import Codec, Unfit, closed_object, codec_of
from onrecord.records.record import plain


class Arguments(Protocol):
    """What a tool takes."""

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name, as the values that the tool takes. Raises Unfit, in words that
        tell the model what to write instead."""


class Typed:
    """The arguments of a typed function: the schema comes from its annotations, what is said of
    each from `Annotated[str, "…"]` or its docstring.

    Raises UsageError for a type that has no JSON schema, and for `*args` and `**kwargs`.
    """

    def __init__(
        self, name: str, parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, Any]
    ) -> None:
        self._codecs = {
            each: _codec(name, parameter, hints) for each, parameter in parameters.items()
        }
        self._defaults = {
            each: parameter.default
            for each, parameter in parameters.items()
            if parameter.default is not parameter.empty
        }
        self._by_name = [
            each for each, parameter in parameters.items() if parameter.kind is _KEYWORD_ONLY
        ]
        self._said = {each: _annotated(hints.get(each)) for each in parameters}

    def described(self, said: Mapping[str, str]) -> dict[str, Any]:
        """The schema, with what a docstring says of each argument that says nothing itself."""
        properties = {}
        for name, codec in self._codecs.items():
            words = self._said[name] or codec.schema.get("description") or said.get(name)
            each = {**codec.schema, "description": words} if words else dict(codec.schema)
            default = self._defaults.get(name)
            if default is not None and (known := _as_json(default)) is not None:
                each["default"] = known
            properties[name] = each
        schema = closed_object(properties)
        schema["required"] = [each for each in properties if each not in self._defaults]
        return schema

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name. Raises Unfit."""
        problems = [_unknown(name, self._codecs) for name in given if name not in self._codecs]
        missing = [
            name for name in self._codecs if name not in given and name not in self._defaults
        ]
        problems += [f"{name}: it is missing." for name in missing]
        values: dict[str, Any] = {}
        for name, codec in self._codecs.items():
            if name in given:
                try:
                    values[name] = codec.validate(given[name])
                except Unfit as unfit:
                    problems.append(_at(name, str(unfit)))
            elif name in self._defaults:
                values[name] = self._defaults[name]
        if problems:
            raise Unfit(" ".join(problems))
        return values

    def passed(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as a call passes them: by position, where that is possible, for a name may
        be one of the call's own (`self`)."""
        by_name = {each: arguments[each] for each in self._by_name if each in arguments}
        args = (arguments[each] for each in self._codecs if each not in self._by_name)
        return tuple(args), by_name


class Foreign:
    """The arguments of a tool that somebody else describes: an MCP server, an OpenAPI document.
    Raises UsageError for a schema that is none."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = ForeignSchema(dict(schema))

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as they are. Raises Unfit where they do not fit the schema."""
        try:
            found = list(itertools.islice(self._schema.problems(dict(given)), _PROBLEMS))
        except UsageError as error:  # of the schema itself
            raise Unfit(f"{error.what}.") from None
        if found:
            raise Unfit(" ".join(f"{place}: {what}." for place, what in found))
        return dict(given)


def decoded(text: str) -> dict[str, Any]:
    """The arguments that a model wrote: a JSON object, or nothing at all. Raises Unfit."""
    if text.strip() in ("", "null"):  # so do models say that there are none
        return {}
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        said = getattr(error, "msg", "it is nested too deeply")
        raise Unfit(f"The arguments are no JSON: {said}.") from None
    if not isinstance(given, dict):
        raise Unfit(f"The arguments are an object with names, not {text.strip()[:80]}")
    return given


def said_of(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """What a docstring says of a function, and of each of its arguments (Google's, NumPy's or
    Sphinx' way of writing them)."""
    import docstring_parser

    text = inspect.getdoc(function) or ""
    try:
        read = docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return text.strip(), {}
    said = {each.arg_name: each.description or "" for each in read.params}
    return (read.description or "").strip(), {name: words for name, words in said.items() if words}


def _codec(tool: str, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Codec:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise UsageError(
            f"the tool '{tool}' takes {parameter}: a model has to be told each argument",
            cure="Name them, or take one argument of the type dict[str, str].",
        )
    try:
        return codec_of(hints.get(parameter.name, Any))
    except PromptError as error:
        raise UsageError(
            f"the tool '{tool}' cannot be described to a model: {error.what}",
            where=f"its argument '{parameter.name}'",
            cure="Take a str, a number, a list, a dataclass, a pydantic model or a Struct.",
        ) from None


def _annotated(hint: Any) -> str:
    """What `Annotated[…, "words"]` says of an argument."""
    words = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, str)]
    return " ".join(words) if get_args(hint) else ""


def _as_json(default: Any) -> Any:
    """A default as the schema names it; None where it has no JSON."""
    try:
        return plain(default)
    except Exception:  # a default of any type: the model need not know it
        return None


def _at(name: str, problem: str) -> str:
    """What is wrong with an argument, or with a part of it."""
    if problem.startswith(_WHOLE):
        return problem.replace(_WHOLE, f"{name}: ")
    return f"In {name}: {problem}"


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    return f"{name}: there is no such argument. {closest(name, known)}".strip()


_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
_WHOLE = "The value: "
_PROBLEMS = 5
