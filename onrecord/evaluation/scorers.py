"""Scorers: a number for one output, from 0 (nothing right) to 1.

A scorer is a plain function `(prediction, expected) -> float`. Both are plain JSON values; a model
that was asked in words gives a text, and where something else than a text is expected, the text is
read as JSON first.

Before anything is compared, texts are normalised: Unicode NFKC, case folded, white space made
single spaces, and taken off the ends of each word: brackets, quotation marks, Markdown's `*`, `_`
and backticks, and what ends sentences. Signs that change what a word means stay ("C++", "-5",
"5 %"), and so do articles, other than in the script of SQuAD (Rajpurkar et al., 2016), whose token
F1 this is otherwise: there, the label "A" would be no label at all.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

Scorer = Callable[[Any, Any], float]


def exact_match(prediction: Any, expected: Any) -> float:
    """1.0 where the two are equal after normalisation, else 0.0; lists keep their order."""
    return float(_comparable(_read(prediction, expected)) == _comparable(expected))


def token_f1(prediction: Any, expected: Any) -> float:
    """The harmonic mean of precision and recall of the normalised words, each as often as it is
    there; of lists and objects, the words of all their values."""
    found = Counter(_words(_read(prediction, expected)))
    wanted = Counter(_words(expected))
    if not found or not wanted:
        return float(found == wanted)
    both = (found & wanted).total()
    return 2 * both / (found.total() + wanted.total())


def normalised(text: str) -> str:
    """A text as scorers compare it. One that holds nothing but punctuation stays as it is."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = [bare for word in folded.split() if (bare := _bare(word))]
    return " ".join(words) or " ".join(folded.split())


def _bare(word: str) -> str:
    start, end = 0, len(word)
    while start < end and _is_around(word[start]):
        start += 1
    while end > start and _is_around(word[end - 1]):
        end -= 1
    return word[start:end]


def _is_around(character: str) -> bool:
    return character in _MARKS or unicodedata.category(character) in _BRACKETS_AND_QUOTES


def _read(prediction: Any, expected: Any) -> Any:
    """What a prediction says, as a value of the kind that is expected."""
    if isinstance(expected, str) or not isinstance(prediction, str):
        return prediction
    fenced = _FENCED.fullmatch(prediction.strip())
    try:
        return msgspec.json.decode(fenced[1] if fenced else prediction)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return prediction


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {"object": {name: _comparable(each) for name, each in value.items()}}
    if isinstance(value, list | tuple):
        return [_comparable(each) for each in value]
    if isinstance(value, bool) or value is None:
        return {"constant": str(value)}  # True is no 1 here
    return normalised(value) if isinstance(value, str) else value


def _words(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [word for each in value.values() for word in _words(each)]
    if isinstance(value, list | tuple):
        return [word for each in value for word in _words(each)]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return normalised(value if isinstance(value, str) else str(value)).split()


_MARKS = frozenset(".,;:!?…'\"*`_¡¿。、，．！？；：‚„")
_BRACKETS_AND_QUOTES = frozenset({"Ps", "Pe", "Pi", "Pf"})
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.DOTALL)
