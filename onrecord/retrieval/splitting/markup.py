"""The blocks of prose and markup: plain text, Markdown, reStructuredText, HTML made text, tables.

Each construct has a reader: it takes its lines and returns a block, or takes none and returns None.
A dialect is the list of its readers, in order; `_paragraph` is the last of each and takes anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from onrecord.retrieval.splitting.blocks import Block, Kind
from onrecord.retrieval.splitting.lines import Line, Lines

Reader = Callable[[Lines], Block | None]


def markup_blocks(text: str, dialect: str) -> Iterator[Block]:
    """The blocks of a text: ascending, disjoint, holding every character that is not whitespace."""
    readers = _DIALECTS.get(dialect, _TEXT)
    lines = Lines(text)
    while (line := lines.peek()) is not None:
        if line.blank:
            lines.take()
        else:
            yield next(block for reader in readers if (block := reader(lines)) is not None)


def _front_matter(lines: Lines) -> Block | None:
    first = _next(lines)
    if first.start > 1 or first.head != "---":
        return None
    # Metadata is short: where no end comes soon, the rule was only a rule.
    for ahead in range(1, _FRONT_MATTER):
        line = lines.peek(ahead)
        if line is None:
            return None
        if line.head in ("---", "..."):
            return Block(first.start, lines.take(ahead + 1).end, "code")
    return None


def _fence(lines: Lines) -> Block | None:
    """From a fence to its end: the same sign, at least as often; to the end of the text without."""
    opening = _FENCE.match(_next(lines).head)
    if opening is None:
        return None
    first = last = lines.take()
    sign = opening.group()
    while (line := lines.peek()) is not None:
        lines.take()
        last = last if line.blank else line
        if len(line.head) >= len(sign) and not line.head.strip(sign[0]):
            break
    return Block(first.start, last.end, "code")


def _hash_heading(lines: Lines) -> Block | None:
    line = _next(lines)
    if not _HASHES.match(line.head) or line.indent > 3:
        return None
    return _heading(lines, 1)


def _wiki_heading(lines: Lines) -> Block | None:
    return _heading(lines, 1) if _WIKI.fullmatch(_next(lines).head) else None


def _setext_heading(lines: Lines) -> Block | None:
    return _underlined(lines, _SETEXT)


def _adorned_heading(lines: Lines) -> Block | None:
    """A title between two equal rules, or above one."""
    over, title, under = _next(lines), lines.peek(1), lines.peek(2)
    if title and under and _ADORNMENT.fullmatch(over.head) and over.head == under.head:
        named = not title.blank and not _ADORNMENT.fullmatch(title.head)
        if named and title.end - title.start <= over.end - over.start:
            return _heading(lines, 3)
    return _underlined(lines, _ADORNMENT)


def _underlined(lines: Lines, adornment: re.Pattern[str]) -> Block | None:
    title, rule = _next(lines), lines.peek(1)
    if rule is None or not adornment.fullmatch(rule.head) or adornment.fullmatch(title.head):
        return None
    # A short rule below a long line is a separator; docutils, too, wants four signs at least.
    enough = rule.end - rule.start >= min(4, title.end - title.start)
    if not enough or rule.indent > 3 or _ITEM.match(title.head) or len(title.head) >= _WRAPPED:
        return None
    return _heading(lines, 2)


def _heading(lines: Lines, count: int) -> Block:
    lines.listed, lines.literal = False, None
    start = _next(lines).start
    return Block(start, lines.take(count).end, "heading", leads=True)


def _pipe_table(lines: Lines) -> Block | None:
    """Lines that start with "|", or a line with "|" above a rule of dashes and pipes."""
    line, rule = _next(lines), lines.peek(1)
    ruled = rule is not None and "|" in rule.head and not rule.head.strip("|-: \t")
    if not line.head.startswith("|") and not ("|" in line.head and ruled):
        return None
    return _while(lines, "table", lambda row: "|" in lines.text[row.start : row.end])


def _grid_table(lines: Lines) -> Block | None:
    if not _GRID.match(_next(lines).head):
        return None
    return _while(lines, "table", lambda row: row.head[0] in "+|")


def _simple_table(lines: Lines) -> Block | None:
    """Columns under rules of "=": it ends with the third rule, or a second one before a blank."""
    if not _COLUMNS.fullmatch(_next(lines).head):
        return None
    first = last = lines.take()
    rules, blanks = 1, 0
    while (line := lines.peek()) is not None:
        blanks = blanks + 1 if line.blank else 0
        if blanks == 2 or (blanks and rules >= 2 and _COLUMNS.fullmatch(last.head)):
            break
        lines.take()
        last = last if line.blank else line
        rules += bool(_COLUMNS.fullmatch(line.head))
        if rules == 3:
            break
    return Block(first.start, last.end, "table")


def _plain_table(lines: Lines) -> Block | None:
    return _while(lines, "table", lambda row: not _HASHES.match(row.head))


def _indented_code(lines: Lines) -> Block | None:
    if _next(lines).indent < 4 or lines.listed:
        return None
    return _deeper(lines, 3)


def _literal(lines: Lines) -> Block | None:
    base, lines.literal = lines.literal, None
    if base is None or _next(lines).indent <= base:
        return None
    return _deeper(lines, base)


def _directive(lines: Lines) -> Block | None:
    """A directive whose body is not prose, with its body."""
    line = _next(lines)
    return _deeper(lines, line.indent) if _CODE_DIRECTIVE.match(line.head) else None


def _deeper(lines: Lines, indent: int) -> Block:
    """The next line and all that follow with a larger indent, blank ones between them."""
    first = last = lines.take()
    while (line := lines.peek()) is not None and (line.blank or line.indent > indent):
        lines.take()
        last = last if line.blank else line
    return Block(first.start, last.end, "code")


def _doctest(lines: Lines) -> Block | None:
    if not _next(lines).head.startswith(">>> "):
        return None
    return _while(lines, "code", lambda line: True)


def _item(lines: Lines) -> Block | None:
    if not _ITEM.match(_next(lines).head):
        return None
    lines.listed = True
    return _words(lines, "item")


def _paragraph(lines: Lines) -> Block:
    lines.listed = lines.listed and _next(lines).indent > 0
    return _words(lines, "prose")


def _words(lines: Lines, kind: Kind) -> Block:
    """Lines up to a blank one or one that starts something else.

    A line that nobody wrapped is a paragraph of its own: many texts have no blank lines between.
    """
    first = last = lines.take()
    while (line := lines.peek()) is not None and not line.blank:
        if max(len(line.head), len(last.head)) >= _WRAPPED or _starts(lines, line):
            break
        last = lines.take()
    ending = lines.text[max(first.start, last.end - 2) : last.end]
    if ending == "::":
        lines.literal = first.indent
    return Block(first.start, last.end, kind, leads=ending.endswith((":", "：")))


def _starts(lines: Lines, line: Line) -> bool:
    """Whether a line ends the paragraph above it."""
    if _INTERRUPTS.match(line.head):
        return True
    under = lines.peek(1)
    # Only a rule as long as the line makes a heading of the last line of a paragraph.
    return (
        under is not None
        and _ADORNMENT.fullmatch(under.head) is not None
        and under.end - under.start >= line.end - line.start
        and not _ADORNMENT.fullmatch(line.head)
    )


def _while(lines: Lines, kind: Kind, belongs: Callable[[Line], bool]) -> Block:
    """The next line and those after it, up to a blank one, that belong to it."""
    first = last = lines.take()
    while (line := lines.peek()) is not None and not line.blank and belongs(line):
        last = lines.take()
    return Block(first.start, last.end, kind)


def _next(lines: Lines) -> Line:
    line = lines.peek()
    assert line is not None
    return line


# A line of this many characters was not wrapped by hand. Equal to what Line.head holds at most.
_WRAPPED = 200
_FRONT_MATTER = 100

_FENCE = re.compile(r"`{3,}(?=[^`]*\Z)|~{3,}")
_HASHES = re.compile(r"#{1,6}(?:\s|\Z)")
_WIKI = re.compile(r"(={1,6})\s*[^\s=].*[^=]\1")
_SETEXT = re.compile(r"={2,}|-{2,}")
_ADORNMENT = re.compile(r"([=\-~^\"'`#*+_:.<>!$%&,;?@])\1+")
_GRID = re.compile(r"\+[-=]+\+")
_COLUMNS = re.compile(r"=+(?:[ \t]+=+)+")
_CODE_DIRECTIVE = re.compile(
    r"\.\. (?:code|code-block|sourcecode|highlight|literalinclude|parsed-literal|math|doctest"
    r"|testcode|testoutput|productionlist|graphviz|digraph|csv-table|include)::"
)
_ITEM = re.compile(
    r"[-*+\u2022\u2023\u25aa\u25cf\u2013][ \t]"
    r"|\(?(?:\d{1,3}|[A-Za-z]|#)[.)][ \t]"
    r"|:[^\s:][^:]{0,60}:\s"
)
_INTERRUPTS = re.compile(
    r"`{3,}[^`]*\Z|~{3,}|#{1,6}\s|\|"
    r"|[-*+\u2022\u2023\u25aa\u25cf][ \t]|\d{1,3}[.)][ \t]|:[a-z][^:]{0,60}:\s"
)

_MARKDOWN: list[Reader] = [
    _front_matter,
    _fence,
    _hash_heading,
    _pipe_table,
    _setext_heading,
    _indented_code,
    _doctest,
    _item,
    _paragraph,
]
_RST: list[Reader] = [
    _literal,
    _directive,
    _simple_table,
    _grid_table,
    _adorned_heading,
    _doctest,
    _item,
    _paragraph,
]
_TEXT: list[Reader] = [
    _fence,
    _wiki_heading,
    _hash_heading,
    _pipe_table,
    _adorned_heading,
    _item,
    _paragraph,
]
_DIALECTS: dict[str, list[Reader]] = {
    "markdown": _MARKDOWN,
    "html": _MARKDOWN,
    "rst": _RST,
    "text": _TEXT,
    "row": _TEXT,
    "table": [_hash_heading, _plain_table],
}
