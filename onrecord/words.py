"""What counts as a word: the same tokens and stems as SQLite's `porter unicode61` tokenizer.

Search finds with SQLite and scores here what it found, so the two must agree on what a word is;
the tests compare them. Stemming is Porter, "An algorithm for suffix stripping" (Program 14(3),
1980), with the two later departures of its author (`bli`, `logi`) that SQLite has too.

The limits: suffixes of English only, and a run of a script without spaces is one word.
"""

from __future__ import annotations

import math
import re
import unicodedata
from functools import lru_cache


def words(text: str) -> list[str]:
    """The words of a text in order, lower case, without accents; not stemmed."""
    if text.isascii():
        return text.encode().translate(_ASCII).decode().split()
    return _WORD.findall(plain(text))


def plain(text: str) -> str:
    """Lower case, Latin letters without their accent. May change the length: no offsets from it."""
    text = text.lower()
    return text if text.isascii() else "".join(map(_plain_letter, text))


@lru_cache(maxsize=4_096)
def _plain_letter(letter: str) -> str:
    """`é` to `e`; as in SQLite, a letter with two marks or of another script stays whole."""
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
    """Inverse document frequency of a word that `frequency` of `texts` texts hold.

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
    word = _replaced(_replaced(word, _DOUBLE), _SINGLE)
    return _tidied(_residual(word))


def _plurals(word: str) -> str:
    # Of words that are nothing but a suffix, SQLite takes the shorter one; the paper does not say.
    if (word.endswith("sses") and len(word) > 4) or (word.endswith("ies") and len(word) > 3):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _past_and_gerund(word: str) -> str:
    if word.endswith("eed") and len(word) > 3:
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for suffix in ("ed", "ing"):
        rest = word[: -len(suffix)]
        if word.endswith(suffix) and _has_vowel(rest):
            return _restored(rest)
    return word


def _restored(word: str) -> str:
    """`hopp` to `hop`, `fil` to `file`, `conflat` to `conflate`."""
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if word[-1:] == word[-2:-1] and word[-1] not in "lszaeiou":
        return word[:-1]
    if _measure(word) == 1 and _is_short(word):
        return word + "e"
    return word


def _replaced(word: str, suffixes: dict[str, str]) -> str:
    """The longest suffix that matches is the only one tried, as in the paper."""
    for size in range(min(len(word) - 1, 7), 1, -1):
        suffix = word[-size:]
        if suffix in suffixes:
            rest = word[:-size]
            return rest + suffixes[suffix] if _measure(rest) > 0 else word
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
    """Consonants and vowels: `toy` is `cvc`, `syzygy` is `cvcvcv`."""
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


# Letters and digits; unlike `\w`, no underscore: SQLite separates there too.
_WORD = re.compile(r"[^\W_]+")
# The same for ASCII, three times as fast: capitals to small letters, all but letters to blanks.
_ASCII = bytes(ord(chr(i).lower()) if i < 128 and chr(i).isalnum() else 32 for i in range(256))
# Letters that lower-case alike but are written with two code points: final sigma, micro, long s.
_SAME = {"ς": "σ", "µ": "μ", "ſ": "s"}

_DOUBLE = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize",
    "logi": "log", "bli": "ble", "alli": "al", "entli": "ent", "eli": "e", "ousli": "ous",
    "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al", "iveness": "ive",
    "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble",
}  # fmt: skip
_SINGLE = {
    "icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": "",
}  # fmt: skip
_RESIDUAL = frozenset(
    "al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize".split()
)
