"""Scripts that are written without spaces: there a character is what a word is elsewhere.

Chinese, Japanese, Thai, Lao, Burmese and Khmer. Splitting them into words takes a dictionary, and
two dictionaries give two numbers; characters are what sacrebleu's `zh` counts, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator


def is_spaceless(text: str) -> bool:
    """Whether some character of it is of a script without spaces."""
    return not text.isascii() and _SPACELESS.search(text) is not None


def is_mostly_not_latin(text: str) -> bool:
    """Whether more than half of its letters are of other scripts than the Latin one."""
    if text.isascii():
        return False
    letters = [each for each in text if each.isalpha()]
    others = sum(not each.isascii() and not _is_latin(each) for each in letters)
    return 2 * others > len(letters)


def pieces(word: str) -> Iterator[str]:
    """A word as it is; where it holds a script without spaces, each of those characters with the
    marks on it, and what stands between them: "2024年度" is "2024", "年", "度"."""
    if not is_spaceless(word):
        yield word
        return
    piece, alone = "", False
    for each in word:
        own = _SPACELESS.match(each) is not None
        if unicodedata.category(each).startswith("M") and piece:
            piece += each
        elif own or alone:
            if piece:
                yield piece
            piece, alone = each, own
        else:
            piece += each
    yield piece


def _is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(("LATIN", "FULLWIDTH LATIN"))


_SPACELESS = re.compile(
    "[\u0e01-\u0e3a\u0e40-\u0e5b\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, …
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana, and marks of repetition
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"  # Han
)
