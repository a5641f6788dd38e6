"""The front matter of a prompt's file: YAML that says who answers, and how."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from onrecord.errors import PromptError
from onrecord.models.model import Way


class FrontMatter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a prompt's file may say of itself.

    `output` is the way to hold the model to the form of its answer (structuring.py); what its
    answer is, the function's types say.
    """

    model: str | None = None
    parameters: dict[str, Any] = {}
    repairs: Annotated[int, msgspec.Meta(ge=0)] | None = None
    description: str = ""
    reasoning: bool | None = None
    untrusted: str | tuple[str, ...] = ()
    reminder: bool = False
    max_chars: Annotated[int, msgspec.Meta(gt=0)] | None = None
    demos: list[Any] | dict[str, Any] | None = None
    output: Way | None = None


def front_matter(text: str, where: str) -> FrontMatter:
    """What the front matter of a Markdown file says. Raises PromptError."""
    values = yaml_of(text, where)
    _check_names(values, where)
    try:
        return msgspec.convert(values, FrontMatter)
    except msgspec.ValidationError as error:
        raise PromptError(
            f"the front matter does not fit: {error}",
            where=where,
            cure=f"Its fields are {', '.join(FrontMatter.__struct_fields__)}.",
        ) from None


def yaml_of(text: str, where: str) -> Any:
    """The values of a front matter that begins in the second line. Raises PromptError."""
    import yaml

    if len(text) > _LONGEST_FRONT:
        raise PromptError(
            f"the front matter is longer than {_LONGEST_FRONT:,} characters",
            where=f"{where}:1",
            cure="Demos can be in a file of their own, NAME.demos.jsonl.",
        )
    try:
        values = yaml.safe_load(text) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark else 1
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise PromptError(
            f"the front matter does not parse: {problem}",
            where=f"{where}:{line}",
            cure="It is YAML: put a value with signs such as ':' or '{' between quotes.",
        ) from None
    if _is_endless(values):
        raise PromptError(
            "the aliases of the front matter repeat too much",
            where=f"{where}:1",
            cure="Write the values out.",
        )
    return values


def _is_endless(values: Any) -> bool:
    """Whether aliases make more of a few lines than anybody writes: a billion values, or a value
    that holds itself."""
    waiting, count = [values], 0
    while waiting:
        each = waiting.pop()
        inside = [*each, *each.values()] if isinstance(each, dict) else each
        if isinstance(inside, list | tuple | set):
            waiting += inside
            count += len(inside)
        if count > _LONGEST_FRONT:
            return True
    return False


def _check_names(values: Any, where: str) -> None:
    known = FrontMatter.__struct_fields__
    for name in values if isinstance(values, dict) else ():
        if name not in known:
            raise PromptError(
                f"the front matter has an unknown field '{name}'",
                where=where,
                cure=f"{guess(str(name), known)}Its fields are {', '.join(known)}.",
            )


def guess(name: str, known: Iterable[str]) -> str:
    """A sentence that names the closest of the known names, and ends with a blank; or nothing."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f"Did you mean '{close[0]}'? " if close else ""


# Characters; and values, those that aliases repeat included.
_LONGEST_FRONT = 200_000
