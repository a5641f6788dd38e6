"""Options as somebody gives them, beside the types that the tasks declare for them."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from onrecord.models.model import Embedder, Model, Parameters
from onrecord.programs.tasks.long_inputs import LEAST
from onrecord.programs.tasks.spelling import OptionError


def check_options(given: Mapping[str, Any], holder: type) -> None:
    """Raises UsageError for an option that does not fit its type in `holder`, or is too small."""
    hints = get_type_hints(holder)
    for name, value in given.items():
        check_option(name, value, hints[name])
        if value is not None and name in _LEAST and value < _LEAST[name]:
            raise OptionError(
                f"{value} is too small", cure=f"{{{name}:alone}} may be {_LEAST[name]} or more."
            )


def check_option(name: str, value: Any, hint: Any) -> None:
    """Raises UsageError, with what the option may be."""
    if not _fits(value, hint):
        words = [_words(each) for each in _choices(hint)]
        listed = " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
        shown = repr(value)
        shown = shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}…"
        raise OptionError(f"{shown} does not fit", cure=f"{{{name}:alone}} may be {listed}.")


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType, Literal) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is Any:
        return True
    if kind in (Union, UnionType):
        return any(_fits(value, each) for each in inner)
    if kind is Literal:
        return isinstance(value, str) and value in inner
    if kind is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if kind in _MEMBERS:  # without a look at the values: a version may be a file's hash
        return all(inspect.getattr_static(value, each, None) is not None for each in _MEMBERS[kind])
    if not isinstance(value, kind):
        return False
    # Of lists of anything else than texts, whoever reads them says which of their items is wrong.
    if inner == (str,):
        return all(isinstance(each, str) for each in value)
    if inner == (str, str):
        return all(isinstance(each, str) for pair in value.items() for each in pair)
    return True


def _words(hint: Any) -> str:
    if isinstance(hint, str):
        return f"'{hint}'"
    kind, of_texts = get_origin(hint) or hint, get_args(hint) in ((str,), (str, str))
    words = _WORDS.get(kind, getattr(kind, "__name__", str(kind)))
    return f"{words} of texts" if of_texts else words


_WORDS = {
    str: "a text",
    int: "a whole number",
    NoneType: "None",
    Path: "a path",
    Model: "a model",
    Embedder: "an embedder",
    Parameters: "Parameters",
    Sequence: "a list",
    list: "a list",
    Mapping: "a mapping",
}
# What all that tasks take for a model has: a head that was fine-tuned does not stream.
_MEMBERS: Mapping[Any, Sequence[str]] = {
    Model: ("name", "version"),
    Embedder: ("name", "version", "embed", "tokens"),
}
_LEAST = {"max_tokens": 1, "window": LEAST}
LONGEST_SHOWN = 60
