"""Names in a case that stand nowhere, though one much like them does: perhaps a slip of the pen.

A scorer that misses what a case names says so in its reason; `doubts` reads the reasons of a whole
report, so that it can be told once.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable

from onrecord.evaluation.trial import Trial


def told(name: object, there: Iterable[object]) -> str:
    """A name that was missed, and if there is one much like it among what is there, that one."""
    said = str(name)
    close = closest(said, [str(each) for each in there])
    return f"“{said}” (did you mean “{close}”?)" if close else said


def closest(name: str, there: Iterable[str]) -> str:
    """The name that was probably meant; "" where none is alike, or it is there itself.

    A path with and without its beginning or its ending are alike, and so are names of nearly the
    same letters, but not "leave-2023" and "leave-2024".
    """
    others = sorted(set(there))
    if name in others:
        return ""
    same = [each for each in others if _is_same(name, each)]
    if same:
        return same[0]
    numbered = [each for each in others if _NUMBERS.findall(each) == _NUMBERS.findall(name)]
    return next(iter(difflib.get_close_matches(name, numbered, 1, _LIKENESS)), "")


def doubts(trials: Iterable[Trial]) -> list[tuple[str, str, int]]:
    """What reasons of scores doubt: a name, the one that may be meant, and in how many trials."""
    found: Counter[tuple[str, str]] = Counter()
    for trial in trials:
        reasons = (each.reason for each in trial.scores.values())
        found.update({pair for reason in reasons for pair in _DOUBT.findall(reason)})
    return [(name, close, count) for (name, close), count in found.most_common()]


def _is_same(one: str, other: str) -> bool:
    """Whether one is the other in other letters, without its folder, or without its ending."""
    one, other = one.casefold().strip("/"), other.casefold().strip("/")
    short, long = sorted((one, other), key=len)
    return bool(short) and f"/{long}".endswith((f"/{short}", *_ended(f"/{short}", long)))


def _ended(short: str, long: str) -> tuple[str, ...]:
    ending = re.search(r"\.\w{1,5}$", long)
    return (f"{short}{ending[0]}",) if ending else ()


_DOUBT = re.compile("“([^”]*)” \\(did you mean “([^”]*)”\\?\\)")
_NUMBERS = re.compile(r"\d+")
_LIKENESS = 0.8
