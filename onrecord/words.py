"""What counts as a word: the same tokens and stems as SQLite's ``porter unicode61`` tokenizer.

Search finds with SQLite and scores what it found here; the two must agree on what a word is, and the
tests compare them on real text. Stemming is Porter, "An algorithm for suffix stripping" (Program 14(3), 1980),
with the two later departures of its author (``bli``, ``logi``) that SQLite has too.

The limits: English suffixes only; scripts written without spaces are one word up to the next mark.
"""

from __future__ import annotations

import math
import re
import unicodedata
from functools import lru_cache


def words(text: str) -> list[str]:
    """The words of a text in order, lower case, without diacritics; not stemmed."""
    return _WORD.findall(plain(text))


def plain(text: str) -> str:
    """Lower case, Latin letters without their accent. May change the length: no offsets from it."""
    text = text.lower()
    return text if text.isascii() else "".join(map(_plain_letter, text))


@lru_cache(maxsize=4_096)
def _plain_letter(letter: str) -> str:
    """``é`` to ``e``; as in SQLite, a letter with two marks or outside the Latin script stays whole."""
    if letter in _SAME:
        return _SAME[letter]
    parts = unicodedata.normalize("NFD", letter)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha():
        return parts[0]
    return "" if "\u0300" <= letter <= "\u036f" else letter


def stems(text: str) -> list[str]:
    """The stems of the words of a text in order."""
    return [stem(word) for word in words(text)]


def rarity(frequency: int, texts: int) -> float:
    """Inverse document frequency of a word that ``frequency`` of ``texts`` texts hold.

    The variant that is always positive, so that it also works where there are two texts.
    """
    return math.log1p((max(texts - frequency, 0) + 0.5) / (frequency + 0.5))


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """The Porter stem of one lower-case word; "relational", "relate" and "relates" share theirs."""
    if not word.isascii():
        # SQLite counts bytes, and a byte that is no ASCII letter is a consonant.
        return _stem(word.encode().decode("latin-1")).encode("latin-1").decode(errors="ignore")
    return _stem(word)


def _stem(word: str) -> str:
    if not 3 <= len(word) <= 64:
        return word
    word = _plurals(word)
    word = _past_and_gerund(word)
    if word[-1] == "y" and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    for suffixes, least in ((_DOUBLE, 0), (_SINGLE, 0)):
        word = _replaced(word, suffixes, least)
    return _tidied(_residual(word))


def _plurals(word: str) -> str:
    if word.endswith(("sses", "ies")):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _past_and_gerund(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for suffix in ("ed", "ing"):
        rest = word[: -len(suffix)]
        if word.endswith(suffix) and _has_vowel(rest):
            return _restored(rest)
    return word


def _restored(word: str) -> str:
    """``hopp`` to ``hop``, ``fil`` to ``file``, ``conflat`` to ``conflate``."""
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if len(word) > 1 and word[-1] == word[-2] and word[-1] not in "lsz" and _pattern(word)[-1] == "c":
        return word[:-1]
    if _measure(word) == 1 and _is_short(word):
        return word + "e"
    return word


def _replaced(word: str, suffixes: dict[str, str], least: int) -> str:
    """The longest suffix that matches is the only one tried, as in the paper."""
    for size in range(min(len(word) - 1, 7), 1, -1):
        suffix = word[-size:]
        if suffix in suffixes:
            rest = word[:-size]
            return rest + suffixes[suffix] if _measure(rest) > least else word
    return word


def _residual(word: str) -> str:
    for size in (5, 4, 3, 2):
        suffix = word[-size:]
        if len(word) > size and suffix in _RESIDUAL:
            rest = word[:-size]
            if suffix == "ion" and not rest.endswith(("s", "t")):
                return word
            return rest if _measure(rest) > 1 else word
    return word


def _tidied(word: str) -> str:
    if word.endswith("e"):
        measure = _measure(word[:-1])
        if measure > 1 or (measure == 1 and not _is_short(word[:-1])):
            word = word[:-1]
    if word.endswith("ll") and _measure(word[:-1]) > 1:
        word = word[:-1]
    return word


def _pattern(word: str) -> str:
    """Consonants and vowels: ``toy`` is ``cvc``, ``syzygy`` is ``cvcvcv``."""
    kinds: list[str] = []
    for letter in word:
        vowel = letter in "aeiou" or (letter == "y" and bool(kinds) and kinds[-1] == "c")
        kinds.append("v" if vowel else "c")
    return "".join(kinds)


def _measure(word: str) -> int:
    """How often a consonant follows a vowel: the paper's m."""
    return _pattern(word).count("vc")


def _has_vowel(word: str) -> bool:
    return "v" in _pattern(word)


def _is_short(word: str) -> bool:
    """Ends consonant, vowel, consonant, the last not w, x or y."""
    return _pattern(word).endswith("cvc") and word[-1] not in "wxy"


# Letters and digits; unlike ``\w``, no underscore: SQLite separates there too.
_WORD = re.compile(r"[^\W_]+")
# Letters that lower-case alike but are written with two code points: final sigma, micro, long s.
_SAME = {"ς": "σ", "µ": "μ", "ſ": "s"}  # noqa: RUF001

_DOUBLE = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "logi": "log",
    "bli": "ble", "alli": "al", "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize",
    "ation": "ate", "ator": "ate", "alism": "al", "iveness": "ive", "fulness": "ful", "ousness": "ous",
    "aliti": "al", "iviti": "ive", "biliti": "ble",
}  # fmt: skip
_SINGLE = {
    "icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": "",
}  # fmt: skip
_RESIDUAL = frozenset(
    "al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize".split()
)
