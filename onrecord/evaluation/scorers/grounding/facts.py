"""What a sentence cannot be reworded without: its numbers, its names, whether it denies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from onrecord.evaluation.metrics import numbers_in
from onrecord.words import plain, stem, words


class Facts(NamedTuple):
    """The facts of a text. `counted`: each number with the stems of the next two words, where these
    carry a meaning: what it counts, its unit. `bounds`: on which side of what ("<", a number or a
    stem): "at most 5", "before the war". `names`: words in capitals, in small letters; one that
    begins a sentence only before another one."""

    numbers: frozenset[float]
    counted: frozenset[tuple[float, str]]
    bounds: frozenset[tuple[str, str]]
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
            following = _PAUSE.split(digits[number.end() : number.end() + 40])[0]
            counted.update((value[0], stem) for stem in _meaning(words(following)[:2]))
    return Facts(
        numbers,
        frozenset(counted),
        frozenset(_bounds(digits)),
        frozenset(_names(text)),
        denies(text),
    )


def denies(text: str) -> bool:
    """Whether a text denies: two denials are none, and "no more than 5" is none."""
    return bool(len(_DENIALS.findall(_BOUND.sub(" ", text))) % 2)


def clauses_of(text: str) -> list[str]:
    """The parts of a sentence that may be denied by themselves."""
    return [each for each in _CLAUSE.split(text) if each.strip()]


def content(text: str) -> frozenset[str]:
    """The stems of the words that carry the meaning: no function words, no denials, no numbers."""
    return frozenset(_meaning(words(_DENIALS.sub(" ", text))))


def opposites(one: frozenset[str], other: frozenset[str]) -> tuple[str, str] | None:
    """A stem of the first and its opposite among those of the second, if there is such a pair."""
    for first, second in _OPPOSITES:
        for here, there in ((first, second), (second, first)):
            if one & here and other & there and not (one & there or other & here):
                return min(one & here), min(other & there)
    return None


def other_unit(number: float, thing: str, counted: Iterable[tuple[float, str]]) -> str | None:
    """In what other unit of the same kind a number stands there: "kg" beside "lb"."""
    there = {same for value, same in counted if value == number}
    for kind in _UNITS_OF:
        if thing in kind and not any(kind.get(each) == kind[thing] for each in there):
            return min((each for each in there if each in kind), default=None)
    return None


def _meaning(found: Iterable[str]) -> Iterable[str]:
    for word in found:
        if word not in _FUNCTION and not word.isdigit() and word not in _VALUES:
            yield stem(word)


def _bounds(text: str) -> Iterable[tuple[str, str]]:
    for match in _BOUND.finditer(text):
        following = _PAUSE.split(text[match.end() : match.end() + 40])[0]
        known = numbers_in(following)[:1]
        things = [f"{known[0]:g}"] if known else list(_meaning(words(following)))[:1]
        yield from (("<" if match["below"] else ">", thing) for thing in things)


def _names(text: str) -> Iterable[str]:
    for match in _CAPITAL.finditer(text):
        before = text[: match.start()].rstrip()
        begins = not before or before[-1] in ".!?:;\n\"'“‘(•-*"
        word = match[0]
        if begins:
            several = _CAPITAL.match(text[match.end() :].lstrip()) and plain(word) not in _FUNCTION
            if not several and not (word.isupper() and len(word) > 1):
                continue
        if word != "I":
            yield plain(word)


def _as_digits(text: str) -> str:
    """Numbers in one way of writing, so that they compare: twenty-eight, 4.2 million, $5, 7 %."""

    def digits(match: re.Match[str]) -> str:
        return str(sum(_VALUES[part] for part in re.split(r"[-\s]+", match[0].lower())))

    def whole(match: re.Match[str]) -> str:
        found = numbers_in(match[1])
        return f"{found[0] * _SCALES[match[2].lower()]:.10g}" if len(found) == 1 else match[0]

    found = _MONEY.sub(lambda match: f"{match[2]} {_SIGNS[match[1]]}", _WORDED.sub(digits, text))
    return _SCALED.sub(whole, found).replace("%", " percent ")


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
_SIGNS = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen"}
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_SCALE = "|".join(_SCALES)
_MONEY = re.compile(
    rf"([{''.join(_SIGNS)}])\s?({_NUMBER.pattern}(?:\s(?:{_SCALE})\b)?)", re.IGNORECASE
)
_SCALED = re.compile(rf"({_NUMBER.pattern})\s({_SCALE})\b", re.IGNORECASE)
_CAPITAL = re.compile(r"\b[^\W\d_a-z][\w’'-]*", re.UNICODE)
_PAUSE = re.compile(r"[.,;:!?]\s|[|()]")
_CLAUSE = re.compile(
    r"[,;:()–—]\s|\b(?:but|although|though|while|whereas|unless|except)\b", re.IGNORECASE
)
_BOUND = re.compile(
    r"\b(?:(?P<below>no (?:more|later|longer|higher) than|not (?:more|later) than"
    r"|(?:less|fewer|lower|earlier|shorter) than|at most|up to|under|below|before)"
    r"|(?:no|not) (?:less|fewer|earlier|sooner|shorter) than"
    r"|(?:more|higher|greater|later|longer) than|at least|over|above|after)\b",
    re.IGNORECASE,
)
_DENIALS = re.compile(
    r"\b(?:not(?! only\b)|no(?!\.\s?\d)|never|none|nobody|nothing|neither|nor|cannot|without)\b"
    r"|n['’]t\b",
    re.IGNORECASE,
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


def _stems(said: str) -> frozenset[str]:
    return frozenset(map(stem, said.split()))


_OPPOSITES = tuple(
    (_stems(one), _stems(other))
    for one, other in (
        ("increase rise rose risen grow grew grown", "decrease fall fell fallen decline drop"),
        ("higher", "lower"),
        ("allowed permitted", "forbidden prohibited"),
        ("required mandatory", "optional"),
        ("paid", "unpaid"),
        ("open opened", "closed"),
        ("earlier", "later"),
        ("first", "last"),
        ("minimum", "maximum"),
        ("include", "exclude"),
        ("accept accepted", "reject rejected"),
        ("win won", "lose lost"),
        ("true", "false"),
        ("public", "private"),
        ("free", "charged"),
        ("north", "south"),
        ("east", "west"),
        ("old", "new"),
    )
)
_UNITS_OF = tuple(
    {stem(word): at for at, unit in enumerate(units.split("|")) for word in unit.split()}
    for units in (
        "second sec|minute min|hour hr|day|week|month|quarter|year|decade|century",
        "mg milligram|g gram|kg kilogram kilo|ton tonne|lb pound|oz ounce",
        "mm millimetre|cm centimetre|m metre meter|km kilometre kilometer|inch|foot feet|yard|mile",
        "dollar usd|euro eur|pound gbp|yen jpy",
        "byte|kb|mb|gb|tb",
        "celsius|fahrenheit",
    )
)
