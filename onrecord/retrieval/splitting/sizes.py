"""How long a span is, in the tokens of an embedder, and how one that is too long is halved."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

from onrecord.retrieval.splitting.blocks import Span

Tokens = Callable[[str], list[Span]]


class Ruler:
    """Measures spans up to `most` tokens.

    An encoder makes one unknown token of a word it does not know, however long: a megabyte of
    base64 would count one. So at least one token is counted for `CHARACTERS` characters.
    """

    def __init__(self, tokens: Tokens, most: int) -> None:
        self.most = most
        self._tokens = tokens
        self._gaps: dict[str, int] = {}

    def size(self, text: str, start: int, end: int) -> int:
        """Tokens of a span. A span that is sure to be too long is not tokenized."""
        least = -(-(end - start) // CHARACTERS)
        if least > self.most:
            return least
        return max(least, len(self._tokens(text[start:end])), 1)

    def gap(self, text: str, start: int, end: int) -> int:
        """What the whitespace between two spans costs: nothing for most embedders."""
        gap = text[start:end]
        if gap not in self._gaps:
            if len(self._gaps) > _GAPS:
                self._gaps.clear()
            self._gaps[gap] = len(self._tokens(gap))
        return self._gaps[gap]

    def halves(self, text: str, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """A span cut until each part fits, at clauses, blanks, characters: (start, end, tokens)."""
        size = self.size(text, start, end)
        cut = _middle(text, start, end) if size > self.most else start
        if cut in (start, end):
            yield start, end, size
            return
        yield from self.halves(text, start, cut)
        following = _BLANK.match(text, cut, end)
        yield from self.halves(text, following.end() if following else cut, end)


def whole(text: str, at: int, least: int) -> int:
    """The last place up to `at` (and after `least`) that does not take a character apart.

    A base keeps its combining marks, an emoji its modifiers, a line end both its signs. A run of
    marks without end is cut all the same.
    """
    place = at
    while place > max(least, at - _LONGEST_CHARACTER):
        if not _joined(text, place):
            return place
        place -= 1
    return at


def _joined(text: str, at: int) -> bool:
    if not 0 < at < len(text):
        return False
    after, before = text[at], text[at - 1]
    return (
        unicodedata.combining(after) > 0
        or after in _EXTENDERS
        or before == "\u200d"
        or (before == "\r" and after == "\n")
        or (after in _FLAGS and _flags_before(text, at) % 2 == 1)
    )


def _flags_before(text: str, at: int) -> int:
    """Regional indicators in a row: two make a flag, so only an even number may be cut off."""
    count = 0
    while count < min(at, _LONGEST_ROW) and text[at - 1 - count] in _FLAGS:
        count += 1
    return count


def _middle(text: str, start: int, end: int) -> int:
    """Where to cut a span in two: near its middle, and as seldom as can be inside a word."""
    middle, reach = (start + end) // 2, min((end - start) // 4, _REACH)
    low, high = middle - reach, middle + reach
    for border in (_CLAUSE, _BLANK):
        places = [match.end() for match in border.finditer(text, low, high)]
        places = [place for place in places if start < place < end]
        if places:
            cut = min(places, key=lambda place: abs(place - middle))
            return cut - _blanks_before(text, start, cut)
    return whole(text, middle, start)


def _blanks_before(text: str, start: int, cut: int) -> int:
    return cut - start - len(text[start:cut].rstrip())


# Most that is counted as one token: four times what English prose has.
CHARACTERS = 16

_GAPS = 1000
_REACH = 1000
_LONGEST_CHARACTER = 32
_LONGEST_ROW = 1000
_EXTENDERS = "\u200d\ufe0e\ufe0f\u20e3" + "".join(map(chr, range(0x1F3FB, 0x1F400)))
_FLAGS = "".join(map(chr, range(0x1F1E6, 0x1F200)))
_CLAUSE = re.compile(r"[;:,\u2014)\]}\u060c\u061b\u3001\uff0c\uff1b]+\s|[\u3001\uff0c\uff1b]")
_BLANK = re.compile(r"\s+")
