"""Verifying quotations: is this quote in that text, and where exactly?

A model that copies a sentence changes its spacing and its typography: a line break becomes a
blank, a curly quote a straight one, a dash a hyphen, three dots an ellipsis. These differences are
folded away on both sides; every other character has to be equal. What is found is reported in the
offsets of the original text, and what is shown is the original text.

What this does not cover: a quotation that is really there may still not support the claim it
stands beside.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from onrecord.messages import Citation, Passage


def locate(quote: str, text: str) -> tuple[int, int] | None:
    """Where `quote` stands in `text`: the first ``(start, end)`` in characters, or None.

    Whitespace runs and typographic quotes, dashes and ellipses are equal to their plain forms. An
    ellipsis or quotation marks around the whole quote are dropped where the quote is not found
    with them. A blank quote is nowhere. Linear in the length of both.
    """
    return next(_spans(quote, text), None)


def cite(quote: str, passages: Sequence[Passage], number: int | None = None) -> Citation | None:
    """The citation for `quote`, or None where no passage holds it.

    The passage with the given `number` (counted from 1) is looked at first, then the others in
    order. A quote that begins or ends inside a word or a number is not a quotation: "5 days" is
    not what a text says that speaks of "15 days".
    """
    for passage in _in_order(passages, number):
        for start, end in _spans(quote, passage.text):
            if not (_cuts(passage.text, start) or _cuts(passage.text, end)):
                return Citation(
                    document_id=passage.document_id,
                    title=passage.title,
                    quote=passage.text[start:end],
                    start=passage.start + start,
                    end=passage.start + end,
                )
    return None


def _in_order(passages: Sequence[Passage], number: int | None) -> Iterator[Passage]:
    if number is not None and 1 <= number <= len(passages):
        yield passages[number - 1]
    yield from (passage for at, passage in enumerate(passages, 1) if at != number)


def _spans(quote: str, text: str) -> Iterator[tuple[int, int]]:
    """Where the quote stands, for the first of its wordings that stands there at all."""
    folded = _Folded(text)
    for wanted in _wordings(_Folded(quote.strip()).text):
        at = folded.text.find(wanted)
        if at < 0:
            continue
        for _ in range(_OCCURRENCES):
            yield folded.original(at, at + len(wanted))
            at = folded.text.find(wanted, at + 1)
            if at < 0:
                return
        return


def _wordings(quote: str) -> Iterator[str]:
    """The quote as it is, then without what a writer puts around a quotation."""
    seen = {""}
    unmarked = quote.strip(_MARKS)
    wordings = (quote, _ELLIPSES.sub("", quote), unmarked, _ELLIPSES.sub("", unmarked))
    for wording in map(str.strip, wordings):
        if wording not in seen:
            seen.add(wording)
            yield wording


class _Folded:
    """A text with its spacing and typography made plain, and the way back to the original's
    offsets.

    Most characters are folded one to one; only where a run of blanks shrinks or an ellipsis grows
    do the offsets shift, so the map holds those places alone.
    """

    def __init__(self, text: str) -> None:
        plain = text.translate(_PLAIN)
        pieces: list[str] = []
        self._at: list[int] = []
        self._shifts: list[tuple[int, int, int]] = []  # folded end, original start, original end
        copied = length = 0
        for match in _SHIFTS.finditer(plain):
            start, end = match.span()
            put = " " if plain[start] == " " else "..."
            length += start - copied
            self._at.append(length)
            length += len(put)
            self._shifts.append((length, start, end))
            pieces += (plain[copied:start], put)
            copied = end
        pieces.append(plain[copied:])
        self.text = "".join(pieces)

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original that a span of the folded text came from."""
        return self._one(start)[0], self._one(end - 1)[1]

    def _one(self, at: int) -> tuple[int, int]:
        """The original span of one folded character."""
        nearest = bisect_right(self._at, at) - 1
        if nearest < 0:
            return at, at + 1
        folded_end, start, end = self._shifts[nearest]
        if at < folded_end:
            return start, end
        return end + at - folded_end, end + at - folded_end + 1


def _cuts(text: str, at: int) -> bool:
    """Whether the border before character `at` lies inside a word or a number."""
    before, after = text[max(0, at - 2) : at], text[at : at + 2]
    if not before or not after:
        return False
    if before[-1].isalnum() and after[0].isalnum():
        return not (_UNSPACED.match(before[-1]) or _UNSPACED.match(after[0]))
    decimal = before + after[0] if after[0].isdigit() else before[-1] + after
    return bool(_DECIMAL.fullmatch(decimal))


# A quote of one letter may stand a million times inside words; nobody reads past the first few.
_OCCURRENCES = 64

_WHITESPACE = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_PLAIN = str.maketrans(
    {
        **dict.fromkeys(_WHITESPACE, " "),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\xab\xbb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        # The prompts write these for the angle brackets of a passage that imitates its own frame.
        "\u2039": "<",
        "\u203a": ">",
    }
)
_SHIFTS = re.compile(r" {2,}|\u2026")
_ELLIPSES = re.compile(r"^(?:\[\.\.\.\]|\.\.\.)\s*|\s*(?:\[\.\.\.\]|\.\.\.)$")
_MARKS = "\"'`"
_DECIMAL = re.compile(r"\d[.,]\d")
# Scripts that are written without blanks between words: a border there cuts nothing that can be
# seen.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff]"
)
