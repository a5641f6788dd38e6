"""Where sentences begin and end: exact character spans, in prose, markup, lists and code.

Rules, not a model, so that the same text always gives the same spans, at a few megabytes a second. What
the rules look at follows Kiss and Strunk, "Unsupervised Multilingual Sentence Boundary Detection"
(Computational Linguistics 32(4), 2006): whether the word before a full stop is an abbreviation or an
initial, and whether the word behind it usually begins a sentence.

The limits: abbreviations are English; a language without spaces or sentence marks (Thai) is cut at the bound;
a title such as "Dr." at the true end of a sentence joins it to the next one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

Span = tuple[int, int]


def sentence_spans(text: str) -> list[Span]:
    """The sentences of a text as ``(start, end)`` character offsets.

    Spans ascend, do not overlap, hold no whitespace at their ends, and together hold every character
    that is not whitespace. A line break inside a paragraph is only whitespace; a blank line, a heading, a list
    item, a table row and a fence end what came before. No span is longer than ``LONGEST`` characters.
    Linear in the length of the text.
    """
    return [
        piece
        for block in _blocks(text)
        for sentence in _block_sentences(text, *block)
        for piece in _bounded(text, *sentence)
    ]


def _blocks(text: str) -> Iterator[Span]:
    """Runs of lines that belong together: a paragraph, an item, a heading with its underline, a row."""
    start: int | None = None
    end, fenced = 0, False
    for line in _LINE.finditer(text):
        kind = line.lastgroup
        if kind == "fence":
            fenced = not fenced
            if not fenced:
                yield line.start() if start is None else start, line.end()
                start = None
                continue
        elif fenced and kind != "blank":
            kind = "words"
        if start is not None and kind in _OPENS:
            yield start, end
            start = None
        if kind == "blank":
            continue
        start, end = line.start() if start is None else start, line.end()
        # A rule with nothing above it is the overline of a heading: the title and its underline follow.
        if kind in _CLOSES or (kind == "rule" and start != line.start()):
            yield start, end
            start = None
    if start is not None:
        yield start, end


def _block_sentences(text: str, start: int, end: int) -> Iterator[Span]:
    start, end = _trimmed(text, start, end)
    cased = not text[start:end].islower()
    for stop in _STOP.finditer(text, _after_marker(text, start, end), end):
        if _ends_sentence(text, stop, start, end, cased):
            yield start, stop.end()
            start = _skip_space(text, stop.end(), end)
    if start < end:
        yield start, end


def _ends_sentence(text: str, stop: re.Match[str], start: int, end: int, cased: bool) -> bool:
    """``cased``: the block has capitals, so a word in lower case does not begin a sentence."""
    if stop.end() == end:
        return True
    mark = stop["mark"]
    if mark[0] in _UNSPACED_MARKS:
        return True
    if not text[stop.end()].isspace():
        return False
    following = _skip_space(text, stop.end(), end)
    if cased and not _may_begin(text, stop.end(), following, end):
        return False
    return mark != "." or _is_full_stop(text, stop.start(), start, following, end)


def _may_begin(text: str, stopped: int, following: int, end: int) -> bool:
    """Whether what follows a mark can begin a sentence: anything but a word in lower case.

    Documentation begins sentences with identifiers: after two blanks, or quoted as code, they count.
    """
    if text[following] == "`" or (following - stopped > 1 and "\n" not in text[stopped:following]):
        return True
    first = _OPENERS.match(text, following, end)
    at = first.end() if first else following
    return at >= end or not text[at].islower()


def _is_full_stop(text: str, stop: int, start: int, following: int, end: int) -> bool:
    """Whether a lone "." ends a sentence rather than an abbreviation, an initial or a number."""
    match = _WORD_BEFORE.search(text, max(start, stop - _WORD_REACH), stop)
    word = match.group().lower() if match else ""
    if word in _NEVER_LAST:
        return False
    if word in _BEFORE_NUMBER:
        return not text[following].isdigit()
    if word in _SELDOM_LAST or _is_initials(word):
        return _usual_beginning(text, following, end)
    return True


def _is_initials(word: str) -> bool:
    """``J`` of "J. Bach", ``u.s`` of "U.S. Army"; the pronoun I is a word."""
    letters = word.split(".")
    return word != "i" and all(len(letter) == 1 and letter.isalpha() for letter in letters)


def _usual_beginning(text: str, following: int, end: int) -> bool:
    word = _WORD.match(text, following, end)
    return bool(word) and word.group().lower() in _BEGINNERS  # type: ignore[union-attr]


def _after_marker(text: str, start: int, end: int) -> int:
    """Where the words begin: the "." of an item's number ends no sentence."""
    marker = _MARKER.match(text, start, end)
    return marker.end() if marker else start


def _bounded(text: str, start: int, end: int) -> Iterator[Span]:
    """Cut what is longer than ``LONGEST`` at a line end, else at a clause, else at a blank, else anywhere."""
    while end - start > LONGEST:
        cut = _cut(text, start)
        yield _trimmed(text, start, cut)
        start = _skip_space(text, cut, end)
    if start < end:
        yield start, end


def _cut(text: str, start: int) -> int:
    least, most = start + LONGEST // 2, start + LONGEST
    for marks in ("\n", ";", ",", " "):
        at = text.rfind(marks, least, most)
        if at >= 0:
            return at + 1
    # Between whole characters: not before a combining mark, a joiner or a variation selector.
    at = most
    while at > least and (
        unicodedata.combining(text[at]) or text[at] in _JOINERS or text[at - 1] == "\u200d"
    ):
        at -= 1
    return at


def _trimmed(text: str, start: int, end: int) -> Span:
    while end > start and text[end - 1].isspace():
        end -= 1
    return _skip_space(text, start, end), end


def _skip_space(text: str, at: int, end: int) -> int:
    match = _SPACE.match(text, at, end)
    return match.end() if match else at


# About what the embedded encoder reads of a text: 256 tokens of about four characters.
LONGEST = 1000

# One line with its end, named by what it is. Every alternative takes the whole line, so no character is
# looked at more than a few times.
_EOL = r"(?:\r\n|[\n\r\f\x0b\x1c-\x1e\x85\u2028\u2029]|\Z)"
_REST = r"[^\n\r\f\x0b\x1c-\x1e\x85\u2028\u2029]*"
_LINE = re.compile(
    rf"""(?P<blank>(?=[^\S\n\r]*[\n\r\f\x0b\x1c-\x1e\x85\u2028\u2029])[^\S\n\r\f\x0b\x1c-\x1e\x85\u2028\u2029]*{_EOL})
    |[ \t]*(?:
      (?P<fence>(?:```|~~~){_REST}{_EOL})
    | (?P<heading>\#{{1,6}}[ \t]{_REST}{_EOL})
    | (?P<item>(?:[-*+\u2022\u2023\u25aa\u25cf\u2013][ \t]|(?:\d{{1,3}}|[A-Za-z])[.)][ \t]|:[a-zA-Z][^:\n]{{0,60}}:){_REST}{_EOL})
    | (?P<row>\|{_REST}{_EOL})
    | (?P<prompt>>>>[ \t]{_REST}{_EOL})
    | (?P<rule>(?:=[= ]+|-[- ]+|~[~ ]+|\^[^ ]+|"["]+|\*[* ]+|\#[#]+|_[_ ]+|\+[-=+ ]+)[ \t]*{_EOL})
    | (?P<words>{_REST}{_EOL})
    )""",
    re.VERBOSE,
)
_OPENS = {"blank", "fence", "heading", "item", "row"}
_CLOSES = {"heading", "row"}

_STOP = re.compile(
    r"""(?P<mark>[.!?\u2026\u203c\u2047-\u2049\u061f\u06d4\u0964\u0965\u3002\uff01\uff1f\uff61\uff0e]+(?:[ ]\.(?!\w))*)
    ["'\u201d\u2019\u00bb)\]}\u300d\u300f\uff09\u3011*_]*     # closing quotes, brackets, emphasis
    (?:\[\d{1,3}\])*                                          # footnote marks, as in Wikipedia""",
    re.VERBOSE,
)
_UNSPACED_MARKS = "\u3002\uff01\uff1f\uff61\uff0e\u061f\u06d4\u0964\u0965"
_OPENERS = re.compile(r"[\"'\u201c\u2018\u00ab(\[{<*_\u00bf\u00a1\u2014\u2013-]{1,8}")
_SPACE = re.compile(r"\s+")
_MARKER = re.compile(r"(?:[-*+\u2022\u2013][ \t]+)?(?:\d{1,3}(?:\.\d{1,3}){0,4}|[A-Za-z])[.)]\s")
_WORD_REACH = 24
_WORD_BEFORE = re.compile(r"[^\W_]+(?:\.[^\W_]+)*\Z")
_WORD = re.compile(r"[^\W\d_]+")
_JOINERS = "\u200d\ufe0e\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"

# Titles, and words that always announce more.
_NEVER_LAST = frozenset(
    "mr mrs ms mx dr prof rev hon st ste mt ft gen col lt capt cmdr adm sgt maj cpl pvt gov sen rep pres"
    " messrs mme mlle fr e.g i.e eg ie cf viz vs v resp incl excl esp approx ca b d née".split()
)
# An abbreviation before a number, a word elsewhere ("... he said no. Then").
_BEFORE_NUMBER = frozenset(
    "no nos vol vols fig figs eq eqs ch chap sec sect pp p pt art op par jan feb mar apr jun jul aug sep"
    " sept oct nov dec".split()
)
# Abbreviations that do end sentences: only before a word that usually begins one.
_SELDOM_LAST = frozenset(
    "etc al jr sr inc ltd co corp bros dept univ assn ave blvd rd est ed eds ph.d m.d b.a m.a b.c a.d a.m p.m"
    " mon tue tues wed thu thur thurs fri sat sun min max temp tel ext mfg intl natl".split()
)
_BEGINNERS = frozenset(
    "a after all although an and another as at because before both but by despite during each even every few for"
    " from he her here his how however i if in instead is it its later many more most moreover no not of on once"
    " one only or other our over several she since so some such that the their then there these they this those"
    " though through thus to today under unlike until using we what when where whether which while who why"
    " with within without you your".split()
)
