"""A text or a value beside the one that is expected: equal, overlapping, containing, matching.

Both are plain JSON values. A model that was asked in words gives a text, and a cell of a CSV file
is one: where the other side is something else, `exact_match` and `token_f1` read the text as JSON
first.

Before these two compare, texts are normalised: Unicode NFKC, case folded, white space made
single spaces, and taken off the ends of each word: brackets, quotation marks, Markdown's `*`, `_`
and backticks, and what ends sentences. Signs that change what a word means stay ("C++", "-5",
".5", "5 %"), and so do articles, other than in the script of SQuAD (Rajpurkar et al., 2016), whose
token F1 this is otherwise: there, the label "A" would be no label at all.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Any

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation.measuring.checking import a_text
from onrecord.evaluation.measuring.scripts import is_spaceless, pieces


def exact_match(prediction: Any, expected: Any) -> float:
    """1.0 where the two are equal after normalisation, else 0.0; lists keep their order."""
    one, other = _alike(prediction, expected)
    return float(_comparable(one) == _comparable(other))


def token_f1(prediction: Any, expected: Any) -> float:
    """The harmonic mean of precision and recall of the normalised words, each as often as it is
    there; of lists and objects, the words of all their values. From 0 to 1.

    In scripts without spaces (Chinese, Japanese, Thai …) each character is a word."""
    found, wanted = (Counter(_words(each)) for each in _alike(prediction, expected))
    if not found or not wanted:
        return float(found == wanted)
    both = (found & wanted).total()
    return 2 * both / (found.total() + wanted.total())


def contains(
    prediction: str, expected: str, *, case: bool = False, whole_words: bool = False
) -> float:
    """1.0 where `expected` stands somewhere in `prediction`, else 0.0.

    Before, Unicode is made NFKC, white space single spaces, and unless `case` matters, case is
    folded; punctuation stays. Without `whole_words`, "5" stands in "15"; with it, no letter or
    digit may stand right before or after (of no use in scripts without spaces). Raises UsageError
    for values that are no texts, and for an empty `expected`, which stands everywhere.
    """
    text = _folded(a_text(prediction, "the prediction"), case)
    part = _folded(a_text(expected, "what is expected"), case)
    if not part:
        raise UsageError("an empty text stands in every text", cure="Say what has to be there.")
    if not whole_words:
        return float(part in text)
    return float(re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) is not None)


def regex_match(prediction: str, pattern: str, *, whole: bool = False) -> float:
    """1.0 where the regular expression matches somewhere (`whole`: all of the text), else 0.0.

    Python's `re`, with flags inside of the pattern ("(?i)yes"). The text is taken as it is. Raises
    UsageError for a pattern that cannot be read. A pattern that backtracks without end is not
    stopped.
    """
    compiled = _compiled(a_text(pattern, "the pattern"))
    text = a_text(prediction, "the prediction")
    return float((compiled.fullmatch(text) if whole else compiled.search(text)) is not None)


def normalised(text: str) -> str:
    """A text as metrics compare it. One that holds nothing but punctuation stays as it is."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = [bare for word in folded.split() if (bare := _bare(word))]
    return " ".join(words) or " ".join(folded.split())


def json_in(text: str) -> Any:
    """The JSON value that a text is, also inside a Markdown fence. Raises ValueError."""
    fenced = _FENCED.fullmatch(text.strip())
    try:
        return msgspec.json.decode(fenced[1] if fenced else text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _bare(word: str) -> str:
    start, end = 0, len(word)
    while start < end and _is_around(word[start]) and not _begins_number(word, start):
        start += 1
    while end > start and _is_around(word[end - 1]):
        end -= 1
    return word[start:end]


def _begins_number(word: str, at: int) -> bool:
    """Whether the point of ".5" stands there, and not the last one of "...5"."""
    return word[at] == "." and word[at + 1 : at + 2].isdigit() and word[at - 1 : at] != "."


def _is_around(character: str) -> bool:
    return character in _MARKS or unicodedata.category(character) in _BRACKETS_AND_QUOTES


def _folded(text: str, case: bool) -> str:
    plain = " ".join(unicodedata.normalize("NFKC", text).split())
    return plain if case else plain.casefold()


def _alike(prediction: Any, expected: Any) -> tuple[Any, Any]:
    """The two, and where one alone is a text, what that says as JSON."""
    if isinstance(prediction, str) and not isinstance(expected, str):
        return _read(prediction), expected
    if isinstance(expected, str) and not isinstance(prediction, str) and prediction is not None:
        return prediction, _read(expected)
    return prediction, expected


def _read(text: str) -> Any:
    try:
        return json_in(text)
    except ValueError:
        return text


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
    text = normalised(value if isinstance(value, str) else str(value))
    if not is_spaceless(text):
        return text.split()
    found = (_bare(piece) for word in text.split() for piece in pieces(word))
    return [word for word in found if word] or text.split()


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"the regular expression cannot be read: {error.msg}",
            where=f"{pattern!r}, character {error.pos}",
        ) from error


_MARKS = frozenset(".,;:!?…'\"*`_¡¿。、，．！？；：‚„")
_BRACKETS_AND_QUOTES = frozenset({"Ps", "Pe", "Pi", "Pf"})
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.DOTALL)
