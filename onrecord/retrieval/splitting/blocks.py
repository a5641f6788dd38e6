"""What a document is made of: blocks, and the finer blocks a block is made of when it is too long.

A block is a span that starts and ends with a character that is not whitespace. Nothing here slices
more than a line or a window of the text, so a document of any size is read in one pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from onrecord.sentences import sentence_spans

Span = tuple[int, int]
Kind = Literal["heading", "prose", "item", "code", "class", "stanza", "table", "row", "sentence"]


class Block(msgspec.Struct, frozen=True):
    """A span of a text and what it is.

    `parts` are the blocks it is made of where the parser knew them (a class and its methods);
    empty where they follow from the kind. `leads`: it belongs to what follows it (a heading, an
    introduction that ends with a colon).
    """

    start: int
    end: int
    kind: Kind
    leads: bool = False
    parts: tuple[Block, ...] = ()


def finer(text: str, block: Block) -> Iterator[Block]:
    """The blocks that a block which is too long is made of; a sentence is not divided further."""
    if block.parts:
        return iter(block.parts)
    return _DIVISIONS[block.kind](text, block)


def trimmed(text: str, start: int, end: int) -> Span:
    """The span without whitespace at its ends; empty (start == end) where there is nothing else."""
    while start < end:
        step = text[start : min(start + _STEP, end)]
        kept = step.lstrip()
        start += len(step) - len(kept)
        if kept:
            break
    while start < end:
        step = text[max(end - _STEP, start) : end]
        kept = step.rstrip()
        end -= len(step) - len(kept)
        if kept:
            break
    return start, end


def sentences(text: str, start: int, end: int) -> Iterator[Span]:
    """The sentences of a span of any length, in memory of one window."""
    while start < end:
        stop = min(start + _WINDOW, end)
        spans = sentence_spans(text[start:stop])
        # The window may have cut its last sentence: that one is read again with the next window.
        again = spans.pop() if stop < end and len(spans) > 1 else (stop - start, 0)
        yield from ((start + first, start + last) for first, last in spans)
        start += again[0]


def _sentences(text: str, block: Block) -> Iterator[Block]:
    for start, end in sentences(text, block.start, block.end):
        yield Block(start, end, "sentence")


def _stanzas(text: str, block: Block) -> Iterator[Block]:
    """Code between blank lines."""
    return _between(text, block, _BLANK_LINES, "stanza")


def _lines(text: str, block: Block) -> Iterator[Block]:
    return _between(text, block, _LINE_ENDS, "row")


def _rows(text: str, block: Block) -> Iterator[Block]:
    """Rows of a table: lines, or, in a grid table, what lies between two rules."""
    rule = _GRID_RULE.match(text, block.start, block.end)
    return _between(text, block, _GRID_RULES if rule else _LINE_ENDS, "row")


def _between(text: str, block: Block, borders: re.Pattern[str], kind: Kind) -> Iterator[Block]:
    start = block.start
    for border in borders.finditer(text, block.start, block.end):
        yield from _block(text, start, border.end(), kind)
        start = border.end()
    yield from _block(text, start, block.end, kind)


def _block(text: str, start: int, end: int, kind: Kind) -> Iterator[Block]:
    start, end = trimmed(text, start, end)
    if start < end:
        yield Block(start, end, kind)


_STEP = 4096
_WINDOW = 50_000

# The line ends of str.splitlines.
EOL = r"(?:\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029])"
_LINE_ENDS = re.compile(EOL)
_BLANK_LINES = re.compile(rf"{EOL}(?:[ \t]*{EOL})+")
_GRID_RULE = re.compile(r"\+[-=]")
_GRID_RULES = re.compile(rf"{EOL}[ \t]*\+[-=+]+\+[ \t]*(?={EOL}|\Z)")
_DIVISIONS: dict[Kind, Callable[[str, Block], Iterator[Block]]] = {
    "heading": _sentences,
    "prose": _sentences,
    "item": _sentences,
    "code": _stanzas,
    "class": _stanzas,
    "stanza": _lines,
    "table": _rows,
    "row": _sentences,
}
