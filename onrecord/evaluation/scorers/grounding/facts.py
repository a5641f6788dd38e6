"""What a sentence cannot be reworded without: its numbers, its names, whether it denies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from onrecord.evaluation.metrics import numbers_in
from onrecord.words import plain, stem, words


class Facts(NamedTuple):
    """The facts of a text. `counted`: each number with the stems of the next two words, which are
    what it counts. `names`: words in capitals that do not begin a sentence, in small letters."""

    numbers: frozenset[float]
    counted: frozenset[tuple[float, str]]
    names: frozenset[str]
    denies: bool


def facts_of(text: str) -> Facts:
    """The facts of a sentence or two."""
    digits = _as_digits(text)
    numbers = frozenset(numbers_in(digits))
    counted: set[tuple[float, str]] = set()
    for number in _NUMBER.finditer(digits):
        value = numbers_in(number[0])
        if value and value[0] in numbers:  # no part of a word, a version, a span of years
            following = words(digits[number.end() : number.end() + 40])[:2]
            counted.update((value[0], stem(word)) for word in following)
    return Facts(
        numbers,
        frozenset(counted),
        frozenset(_names(text)),
        bool(len(_DENIALS.findall(text)) % 2),
    )


def content(text: str) -> frozenset[str]:
    """The stems of the words that carry the meaning: no function words, no denials, no numbers."""
    found = [word for word in words(_DENIALS.sub(" ", text)) if word not in _FUNCTION]
    return frozenset(stem(word) for word in found if not word.isdigit() and word not in _VALUES)


def opposites(one: Iterable[str], other: Iterable[str]) -> tuple[str, str] | None:
    """A stem of the first and its opposite among those of the second, if there is such a pair."""
    here, there = set(one), set(other)
    for first, second in _OPPOSITES:
        for left, right in ((first, second), (second, first)):
            if left in here and left not in there and right in there and right not in here:
                return left, right
    return None


def _names(text: str) -> Iterable[str]:
    for match in _CAPITAL.finditer(text):
        before = text[: match.start()].rstrip()
        begins = not before or before[-1] in ".!?:;\n\"'“‘(•-*"
        word = match[0]
        if word == "I" or (begins and not (word.isupper() and len(word) > 1)):
            continue
        yield plain(word)


def _as_digits(text: str) -> str:
    """Number words (twenty-eight) as digits, so that they compare."""

    def digits(match: re.Match[str]) -> str:
        return str(sum(_VALUES[part] for part in re.split(r"[-\s]+", match[0].lower())))

    return _WORDED.sub(digits, text)


_UNITS = "zero one two three four five six seven eight nine".split()
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_VALUES = {
    **{word: at for at, word in enumerate([*_UNITS, *_TEENS])},
    **{word: 10 * at for at, word in enumerate(_TENS, 2)},
}
_ONES = "|".join(_UNITS[1:])
# "one" alone is mostly no number: "one of them", "this one".
_WORDED = re.compile(
    rf"\b(?:(?:{'|'.join(_TENS)})(?:[-\s](?:{_ONES}))?|{'|'.join(_TEENS)}"
    rf"|{'|'.join(each for each in _UNITS if each != 'one')})\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d[\d.,]*(?<![.,])")
_CAPITAL = re.compile(r"\b[^\W\d_a-z][\w’'-]*", re.UNICODE)
_DENIALS = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|cannot|without)\b|n['’]t\b", re.IGNORECASE
)
_FUNCTION = frozenset(
    "a about after all also an and any are as at be because been before being between both but by"
    " can could did do does done during each either every for from had has have having he her here"
    " hers him his how i if in into is it its itself just may me might more most much must my of"
    " off on once one only or other our out over own per same shall she should so some such than"
    " that the their them then there these they this those through to too under until up upon us"
    " very was we were what when where which while who whom whose why will with would you your s t"
    "".split()
)
_OPPOSITES = tuple(
    (stem(one), stem(other))
    for one, other in (
        ("increase", "decrease"),
        ("rise", "fall"),
        ("higher", "lower"),
        ("allowed", "forbidden"),
        ("allowed", "prohibited"),
        ("required", "optional"),
        ("paid", "unpaid"),
        ("open", "closed"),
        ("before", "after"),
        ("earlier", "later"),
        ("first", "last"),
        ("minimum", "maximum"),
        ("include", "exclude"),
        ("accept", "reject"),
        ("win", "lose"),
        ("true", "false"),
        ("always", "never"),
        ("public", "private"),
        ("free", "charged"),
        ("more", "less"),
        ("north", "south"),
        ("east", "west"),
        ("old", "new"),
    )
)
