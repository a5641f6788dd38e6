"""What every metric asks of its arguments, and the packages that some of them need."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

from onrecord.errors import MissingExtraError, UsageError


def a_text(value: Any, name: str) -> str:
    """The value, which has to be a text. Raises UsageError."""
    if isinstance(value, str):
        return value
    raise UsageError(
        f"{name} is no text but {type(value).__name__}",
        cure="Give a str; write a value as text first (str, json.dumps).",
    )


def accepted(
    references: str | Iterable[str], name: str = "references", *, none: bool = False
) -> tuple[str, ...]:
    """One text or several as a tuple; none at all only where that says something. UsageError."""
    if isinstance(references, str):
        return (references,)
    if not isinstance(references, Iterable):
        raise UsageError(f"{name} is neither a text nor a list of texts")
    texts = tuple(a_text(each, f"one of the {name}") for each in references)
    if not texts and not none:
        raise UsageError(f"there are no {name}", cure="Give at least one text to compare with.")
    return texts


def same_length(first: Sized, second: Sized, what: str) -> int:
    """The length of both, at least 1. Raises UsageError: `what` names the two."""
    for each in (first, second):
        if isinstance(each, str | bytes | Mapping) or not isinstance(each, Sized):
            told = "a text" if isinstance(each, str | bytes) else type(each).__name__
            raise UsageError(f"{what} are lists, and one of them is {told}", cure="Give two lists.")
    if len(first) != len(second):
        raise UsageError(
            f"{what} make no pairs: there are {len(first)} and {len(second)}",
            cure="Give the same cases in the same order.",
        )
    if not len(first):
        raise UsageError(f"{what} are empty", cure="Give at least one case.")
    return len(first)


def shares(values: Sequence[float], name: str) -> list[float]:
    """The values as floats, each from 0 to 1. Raises UsageError, with the place of the first."""
    numbers = floats(values, name)
    for place, number in enumerate(numbers):
        if not 0.0 <= number <= 1.0:
            raise UsageError(
                f"{number} is no {name}", where=f"item {place}", cure="Give numbers from 0 to 1."
            )
    return numbers


def floats(values: Iterable[float], name: str) -> list[float]:
    """The values as floats. Raises UsageError, with the place of the first that is none."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise UsageError(f"there is no list of numbers but {type(values).__name__}", where=name)
    found = []
    for place, value in enumerate(values):
        try:
            found.append(float(value))
        except (TypeError, ValueError):
            raise UsageError(f"{value!r:.40} is no {name}", where=f"item {place}") from None
    return found


def finite(value: float, name: str, *, at_least: float = 0.0) -> float:
    """The value, a number that is not below `at_least`. Raises UsageError."""
    if not (math.isfinite(value) and value >= at_least):
        raise UsageError(f"{name} is {value}", cure=f"Give a number of at least {at_least:g}.")
    return value


def needed(module: str, package: str, what: str) -> Any:
    """An optional module, imported now. Raises MissingExtraError: `what` needs `package`."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{what} needs {package}, which is not installed",
            cure="Install it with `pip install 'onrecord[evaluation]'`.",
        ) from error
