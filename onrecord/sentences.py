"""Where sentences begin and end: exact character spans, in prose, markup, lists and code.

Rules and no model: the same text always has the same spans, at some megabytes a second. What the
rules look at follows Kiss and Strunk, "Unsupervised Multilingual Sentence Boundary Detection"
(Computational Linguistics 32(4), 2006): whether the word before a full stop is an abbreviation or
an initial, and whether the word behind it usually begins a sentence.

The limits: abbreviations are English; a language without sentence marks (Thai) is cut at the bound;
a title such as "Dr." that does end a sentence joins it to the next one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

Span = tuple[int, int]


def sentence_spans(text: str) -> list[Span]:
    """The sentences of a text as `(start, end)` character offsets.

    Spans ascend, do not overlap, have no whitespace at their ends, and together hold every other
    character. A line break inside a paragraph is only whitespace; a blank line, a heading, a list
    item, a table row and a fence end what came before. No span is longer than `LONGEST`. Takes
    time in proportion to the length of the text.
    """
    return [
        piece
        for block in _blocks(text)
        for sentence in _block_sentences(text, *block)
        for piece in _bounded(text, *sentence)
    ]


def _blocks(text: str) -> Iterator[Span]:
    """Lines that belong together: a paragraph, an item, a heading with its underline, a row."""
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
        # A rule with nothing above it is the overline of a heading: title and underline follow.
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
    """`cased`: the block has capitals, so a word in lower case does not begin a sentence."""
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

    Documentation begins sentences with identifiers; after two blanks, or quoted as code, they do.
    """
    if text[following] == "`" or (following - stopped > 1 and "\n" not in text[stopped:following]):
        return True
    first = _OPENERS.match(text, following, end)
    at = first.end() if first else following
    return at >= end or not text[at].islower()


def _is_full_stop(text: str, stop: int, start: int, following: int, end: int) -> bool:
    """Whether a lone "." ends a sentence rather than an abbreviation, an initial or a number."""
    match = _WORD_BEFORE.search(text, max(start, stop - _WORD_REACH), stop)
    written = match.group() if match else ""
    word = written.lower()
    if word in _NEVER_LAST:
        return False
    if word in _BEFORE_NUMBER:
        return not text[following].isdigit()
    if word in _SELDOM_LAST or _is_initials(written):
        return _usual_beginning(text, following, end)
    return True


def _is_initials(word: str) -> bool:
    """`J` of "J. Bach", `U.S` of "U.S. Army", `p.m`; the pronoun I is a word, and x is a name."""
    letters = word.split(".")
    if not all(len(letter) == 1 and letter.isalpha() for letter in letters):
        return False
    return len(letters) > 1 or (word.isupper() and word != "I")


def _usual_beginning(text: str, following: int, end: int) -> bool:
    word = _WORD.match(text, following, end)
    return word is not None and word.group().lower() in _BEGINNERS


def _after_marker(text: str, start: int, end: int) -> int:
    """Where the words begin: the "." of an item's number ends no sentence."""
    marker = _MARKER.match(text, start, end)
    return marker.end() if marker else start


def _bounded(text: str, start: int, end: int) -> Iterator[Span]:
    """Cut what is too long: at a line's end, else a clause's, else a blank, else anywhere."""
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
    while at > least and _continues(text, at):
        at -= 1
    return at


def _continues(text: str, at: int) -> bool:
    """Whether the code point here belongs to the character before it."""
    mark = text[at]
    return unicodedata.combining(mark) > 0 or mark in _JOINERS or text[at - 1] == _JOINERS[0]


def _trimmed(text: str, start: int, end: int) -> Span:
    while end > start and text[end - 1].isspace():
        end -= 1
    return _skip_space(text, start, end), end


def _skip_space(text: str, at: int, end: int) -> int:
    match = _SPACE.match(text, at, end)
    return match.end() if match else at


# About what the embedded encoder reads of a text: 256 tokens of some four characters.
LONGEST = 1000

# One line with its end, named by what it is. Each alternative takes the line whole, so every
# character is looked at a few times at most.
_BREAKS = "\n\r\f\x0b\x1c-\x1e\x85\u2028\u2029"
_EOL = rf"(?:\r\n|[{_BREAKS}]|\Z)"
_REST = rf"[^{_BREAKS}]*{_EOL}"
_BULLET = r"[-*+•‣▪●–][ \t]"
_NUMBER = r"(?:\d{1,3}[.)]|[A-Za-z]\))[ \t]"
_FIELD = r":[a-zA-Z][^:\n]{0,60}:"
_RULES = r'=[= ]+|-[- ]+|~[~ ]+|\^+|"{2,}|\*[* ]+|\#{2,}|_[_ ]+|\+[-=+ ]+'
_LINE = re.compile(
    rf"""(?P<blank>(?=[^\S{_BREAKS}]*[{_BREAKS}])[^\S{_BREAKS}]*{_EOL})
    |[ \t]*(?:
      (?P<fence>(?:```|~~~){_REST})
    | (?P<heading>\#{{1,6}}[ \t]{_REST})
    | (?P<item>(?:{_BULLET}|{_NUMBER}|{_FIELD}){_REST})
    | (?P<row>\|{_REST})
    | (?P<rule>(?:{_RULES})[ \t]*{_EOL})
    | (?P<words>{_REST})
    )""",
    re.VERBOSE,
)
_OPENS = {"blank", "fence", "heading", "item", "row"}
_CLOSES = {"heading", "row"}

# Marks that end a sentence; then closing quotes, brackets, emphasis; then notes as in Wikipedia.
_STOP = re.compile(
    r"""(?P<mark>[.!?…‼⁇-⁉؟۔।॥。！？｡．]+(?:[ ]\.(?!\w))*)
    ["'”’»)\]}」』）】*_]*
    (?:\[\d{1,3}\])*""",
    re.VERBOSE,
)
# These need no space behind them.
_UNSPACED_MARKS = "。！？｡．؟۔।॥"
_OPENERS = re.compile(r"[\"'“‘«(\[{<*_¿¡—–-]{1,8}")
_SPACE = re.compile(r"\s+")
_MARKER = re.compile(r"(?:[-*+•–][ \t]+)?(?:\d{1,3}(?:\.\d{1,3}){0,4}|[A-Za-z])[.)]\s")
_WORD_REACH = 24
_WORD_BEFORE = re.compile(r"[^\W_]+(?:\.[^\W_]+)*\Z")
_WORD = re.compile(r"[^\W\d_]+")
# The zero-width joiner, variation selectors, skin tones.
_JOINERS = "\u200d\ufe0e\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"

# Titles, and words that always announce more.
_NEVER_LAST = frozenset(
    "mr mrs ms mx dr prof rev hon st ste mt ft gen col lt capt cmdr adm sgt maj cpl pvt gov sen rep"
    " pres messrs mme mlle fr e.g i.e eg ie cf viz vs v resp incl excl esp approx ca b d".split()
)
# An abbreviation before a number, a word elsewhere ("... he said no. Then").
_BEFORE_NUMBER = frozenset(
    "no nos vol vols fig figs eq eqs ch chap sec sect pp p pt art op par jan feb mar apr jun jul"
    " aug sep sept oct nov dec".split()
)
# Abbreviations that do end sentences: only before a word that usually begins one.
_SELDOM_LAST = frozenset(
    "etc al jr sr inc ltd co corp bros dept univ assn ave blvd rd est ed eds ph.d m.d b.a m.a b.c"
    " a.d a.m p.m mon tue tues wed thu thur thurs fri sat sun min max temp tel ext".split()
)
_BEGINNERS = frozenset(
    "a after all although an and another as at because before both but by despite during each even"
    " every few for from he her here his how however i if in instead is it its later many more most"
    " moreover no not of on once one only or other our over several she since so some such that the"
    " their then there these they this those though through thus to today under unlike until using"
    " we what when where whether which while who why with within without you your".split()
)
