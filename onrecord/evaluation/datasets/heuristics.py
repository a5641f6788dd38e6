"""Questions about a document without a model: a gap in a sentence, a heading as a question.

    “Every employee has ____ days of paid leave a year.”        the number that is missing
    What does “Leave” say about “Parental leave”?               the first sentence of the section

They are what they are: a gap hands the words of its sentence to the search, and headings are seldom
questions that people ask. What words are, and months and numbers in words, is English.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Literal

import msgspec

from onrecord.retrieval.document import Document
from onrecord.retrieval.splitting.blocks import Block
from onrecord.retrieval.splitting.structure import document_blocks
from onrecord.sentences import sentence_spans
from onrecord.words import words

Way = Literal["cloze", "heading"]
Span = tuple[int, int]


class Draft(msgspec.Struct, frozen=True):
    """A question about a document, and where the answer stands.

    `document.text[start:end]` is the gold span: a sentence (`cloze`) or a section without its
    heading (`heading`); `answer_start` and `answer_end` are those of the answer in it. `swaps` are
    the names in the question that it would be another question without. `telling`: the gap is a
    date, a number or a name, and not just some word.
    """

    made: Way
    document: Document
    question: str
    start: int
    end: int
    answer_start: int
    answer_end: int
    swaps: tuple[str, ...] = ()
    telling: bool = True

    @property
    def answer(self) -> str:
        """The words of the document that are expected."""
        return self.document.text[self.answer_start : self.answer_end]


def drafts(document: Document) -> list[Draft]:
    """All questions that can be made about a document."""
    blocks = list(document_blocks(document))
    return [*_gaps(document, blocks), *_from_headings(document, blocks)]


def names_in(text: str) -> list[Span]:
    """Names: runs of words that begin with a capital; not a sentence's first word alone."""
    found: list[Span] = []
    tokens = list(_TOKEN.finditer(text))
    at = 0
    while at < len(tokens):
        run = at
        while (
            run < len(tokens)
            and tokens[run][0][0].isupper()
            and (run == at or text[tokens[run - 1].end() : tokens[run].start()] == " ")
        ):
            run += 1
        first = at
        while first < run and tokens[first][0].lower() in _SMALL_WORDS:
            first += 1
        if run > first and not (first == 0 and run == 1):
            found.append((tokens[first].start(), tokens[run - 1].end()))
        at = max(run, at + 1)
    return found


def _gaps(document: Document, blocks: list[Block]) -> Iterator[Draft]:
    text = document.text
    for block in blocks:
        if block.kind not in ("prose", "item"):
            continue
        for low, high in sentence_spans(text[block.start : block.end]):
            start, end = block.start + low, block.start + high
            if (draft := _gap(document, start, end)) is not None:
                yield draft


def _gap(document: Document, start: int, end: int) -> Draft | None:
    sentence = document.text[start:end]
    if not _can_stand_alone(sentence):
        return None
    for kind, (low, high) in _salient(sentence):
        answer = sentence[low:high]
        if len(re.findall(rf"(?<!\w){re.escape(answer)}(?!\w)", sentence)) != 1:
            continue  # what is missing would stand beside the gap
        gapped = " ".join(f"{sentence[:low]}____{sentence[high:]}".split())
        names = tuple(
            sentence[one:two] for one, two in names_in(sentence) if two <= low or one >= high
        )
        question = f"Which {kind} is missing: “{gapped}”"
        at = (start, end, start + low, start + high)
        return Draft("cloze", document, question, *at, names, kind != "word")
    return None


def _can_stand_alone(sentence: str) -> bool:
    """Whether a sentence says something to somebody who has not read the ones before it."""
    said = words(sentence)
    return (
        _SHORTEST <= len(said) <= _LONGEST
        and sentence[0].isupper()
        and sentence.rstrip("\"'”’)").endswith((".", "!"))
        and said[0] not in _POINTING
        and not _MARKUP.search(sentence)
    )


def _salient(sentence: str) -> Iterator[tuple[str, Span]]:
    """What could be asked for, the most telling first: dates, numbers, names, terms."""
    for kind, pattern in (("date", _DATE), ("number", _NUMBER)):
        for found in pattern.finditer(sentence):
            yield kind, found.span()
    for span in names_in(sentence):
        if span[0] > 0 and span[1] - span[0] > 1:
            yield "name", span
    terms = [
        found
        for found in _TOKEN.finditer(sentence)
        if found[0].islower()
        and len(found[0]) >= _TERM
        and not found[0].endswith(("ly", "'s", "’s"))
    ]
    for found in sorted(terms, key=lambda each: (-len(each[0]), each.start())):
        yield "word", found.span()


def _from_headings(document: Document, blocks: list[Block]) -> Iterator[Draft]:
    text = document.text
    titles = [_title(text, block) if block.kind == "heading" else "" for block in blocks]
    often = Counter(title.lower() for title in titles if title)
    for at, title in enumerate(titles):
        if not title or often[title.lower()] > 1 or not _asks(title, document.title):
            continue
        section: list[Block] = []
        for block in blocks[at + 1 :]:
            if block.kind == "heading":
                break
            section.append(block)
        answer = _first_sentence(text, section)
        if answer is None:
            continue
        question = (
            title if title.endswith("?") else (f"What does “{document.title}” say about “{title}”?")
        )
        yield Draft(
            "heading", document, question, section[0].start, section[-1].end, *answer, (title,)
        )


def _title(text: str, block: Block) -> str:
    """The words of a heading, without its marks and its rules."""
    for line in text[block.start : block.end].splitlines():
        title = line.strip().strip("#=").strip()
        if any(character.isalnum() for character in title):
            return " ".join(title.replace("`", "").replace("*", "").split())
    return ""


def _asks(title: str, document_title: str) -> bool:
    said = words(title)
    usual = title.lower() in _USUAL_HEADINGS or title.lower() == document_title.lower()
    return bool(said) and not usual and len(said) <= _LONGEST_HEADING


def _first_sentence(text: str, section: list[Block]) -> Span | None:
    for block in section:
        if block.kind in ("prose", "item"):
            for low, high in sentence_spans(text[block.start : block.end]):
                if len(words(text[block.start + low : block.start + high])) >= _SHORTEST_ANSWER:
                    return block.start + low, block.start + high
    return None


_SHORTEST, _LONGEST = 7, 40
_SHORTEST_ANSWER = 5
_LONGEST_HEADING = 12
_TERM = 8
_TOKEN = re.compile(r"[^\W\d_][\w’'-]*[\w]|[^\W\d_]")
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DATE = re.compile(
    rf"(?<!\w)(?:\d{{4}}-\d\d-\d\d|\d{{1,2}} (?:{_MONTHS})(?:,? \d{{4}})?"
    rf"|(?:{_MONTHS}) \d{{1,2}}(?:, \d{{4}})?(?![\d.]*\d)|(?:{_MONTHS}) \d{{4}}"
    r"|1[0-9]{3}|20[0-9]{2})(?!\w)(?![.,]\d)"
)
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_ONES = "two|three|four|five|six|seven|eight|nine"
_NUMBER = re.compile(
    r"(?<![\w.,-])(?:[$€£]\s?)?\d+(?:[.,:]\d+)*(?:\s?%)?(?![\w-])"
    rf"|(?<![\w-])(?:(?:{_TENS})(?:-(?:one|{_ONES}))?|{_ONES}|ten|eleven|twelve|thirteen|fourteen"
    r"|fifteen|sixteen|seventeen|eighteen|nineteen)(?![\w-])"
)
_MARKUP = re.compile(r"https?:|[|<>{}=\\`\[\]]|::|__|\*\*")
_POINTING = frozenset(
    "he she it its they them their this that these those such here there then however therefore "
    "thus also but and or so his her we our i my you your for".split()
)
_SMALL_WORDS = frozenset(
    "the a an in on at of to by for from with as if when while after before since until no not and "
    "or but every each all some most many few both its this that these those it he she they we "
    "there here however although because during under over between among our their his her".split()
)
_USUAL_HEADINGS = frozenset(
    "abstract introduction overview contents conclusion conclusions references copyright summary "
    "license licence acknowledgements acknowledgments index appendix notes example examples".split()
) | {"table of contents", "see also", "further reading", "change log", "rejected ideas"}
