"""Whether a value is a plain JSON value: what a dataset can keep, and read again as it was."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

_ALWAYS = frozenset({str, bool, type(None)})
_TEXT = frozenset({str})
_LISTS = (list, tuple)  # a union would be made anew at each look
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1  # the whole numbers that msgspec writes


def objection(value: Any) -> str | None:
    """Why a value is no plain JSON value, to be put after "it"; None where it is one.

    A million cases are looked at on their way into a dataset: the usual ones are seen at once.
    """
    if type(value) in _ALWAYS:
        return None
    try:
        return _inside(value)
    except RecursionError:
        return "is nested too deep, or holds itself"


def _inside(value: Any) -> str | None:
    if isinstance(value, dict):
        if not _TEXT.issuperset(map(type, value)):
            for key in value:
                if not isinstance(key, str):
                    return f"has a key that is no text: {key!r:.40}"
        return _each(value.values())
    if isinstance(value, _LISTS):
        return _each(value)
    return _single(value)


def _each(values: Collection[Any]) -> str | None:
    if _ALWAYS.issuperset(map(type, values)):
        return None
    return next((reason for each in values if (reason := _inside(each)) is not None), None)


def _single(value: Any) -> str | None:
    if type(value) in _ALWAYS or isinstance(value, str):
        return None
    if isinstance(value, int):
        fits = _LOWEST <= value <= _HIGHEST
        return None if fits else "holds a whole number of more than 64 bits: write it as a text"
    if isinstance(value, float):
        finite = math.isfinite(value)
        return None if finite else f"holds {value}, which JSON has no form for: write None"
    return (
        f"holds {_article(type(value).__name__)}, which is no plain JSON value: write texts, "
        "numbers, lists and dicts"
    )


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
