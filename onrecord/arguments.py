"""What a caller wrote, looked at once, at the door: what does not fit is told in one sentence."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from onrecord.errors import UsageError


def several(values: Any, noun: str, *, texts: bool = False) -> tuple[Any, ...]:
    """The values of an argument that means several. Raises UsageError for one text, whose letters
    would be taken for them, for what holds none, and where they should be `texts` and one is not.
    """
    if isinstance(values, str | bytes):
        raise UsageError(
            f"{noun} are several, not one: {values!r:.80}", cure=f"Write [{values!r:.80}]."
        )
    if isinstance(values, Mapping) or not isinstance(values, Iterable):
        raise UsageError(f"{noun} are several, not {values!r:.80}", cure="Write a list of them.")
    found = tuple(values)
    for each in found:
        if texts and not isinstance(each, str):
            raise UsageError(f"{noun} are texts, and {each!r:.80} is none", cure="Write a str.")
    return found


def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether a function can be called with so many values."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # written in C: nobody knows
        return True
    return True


def closest(name: str, known: Iterable[str], quote: str = "'") -> str:
    """'Did you mean …? ' for a name that there is not; empty where none is like it."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"Did you mean {quote}{near[0]}{quote}? " if near else ""
