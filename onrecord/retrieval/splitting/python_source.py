"""The blocks of Python source: its top-level statements, and within them what they are made of.

A block reaches from the end of the statement before it, so that comments and decorators go with
what they speak of. Source that does not parse is cut before what looks like a definition.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence

from onrecord.retrieval.splitting.blocks import EOL, Block, Kind, trimmed


def python_blocks(text: str) -> Iterator[Block]:
    """The blocks of a source text: ascending, disjoint, holding all that is not whitespace."""
    tree = _parsed(text)
    if tree is None:
        return _unparsed(text)
    starts = [0, *(end.end() for end in _LINE_ENDS.finditer(text)), len(text)]
    return iter(_statements(text, starts, tree.body, 0, len(text)))


def _parsed(text: str) -> ast.Module | None:
    if len(text) > _PARSED:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _statements(
    text: str, starts: Sequence[int], body: Sequence[ast.stmt], start: int, end: int
) -> tuple[Block, ...]:
    """The blocks of a body that lies in a span; what follows its last statement goes with it."""
    blocks: list[Block] = []
    for position, statement in enumerate(body):
        last = position == len(body) - 1
        stop = end if last else max(start, _behind(starts, statement))
        blocks.extend(_block(text, starts, statement, start, stop))
        start = stop
    if not body:
        blocks.extend(_code(text, start, end))
    return tuple(blocks)


def _block(
    text: str, starts: Sequence[int], statement: ast.stmt, start: int, end: int
) -> Iterator[Block]:
    first, last = trimmed(text, start, end)
    if first == last:
        return
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        # A docstring is prose; its first line may be a heading of nothing.
        yield Block(first, last, "prose")
        return
    body = getattr(statement, "body", None)
    parts = _parts(text, starts, body, first, last) if isinstance(body, list) and body else ()
    kind: Kind = "class" if isinstance(statement, ast.ClassDef) else "code"
    yield Block(first, last, kind, parts=parts)


def _parts(
    text: str, starts: Sequence[int], body: Sequence[ast.stmt], start: int, end: int
) -> tuple[Block, ...]:
    """Of a compound statement: its head with the docstring, then its body."""
    inside = _docstring_end(starts, body[0])
    if inside is None:
        head, rest = starts[_first_line(body[0]) - 1], body
    else:
        head, rest = inside, body[1:]
    if not start < head < end:
        return ()
    return (
        *_code(text, start, head, leads=inside is None),
        *_statements(text, starts, rest, head, end),
    )


def _docstring_end(starts: Sequence[int], statement: ast.stmt) -> int | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return _behind(starts, statement)
    return None


def _code(text: str, start: int, end: int, *, leads: bool = False) -> Iterator[Block]:
    start, end = trimmed(text, start, end)
    if start < end:
        yield Block(start, end, "code", leads=leads)


def _behind(starts: Sequence[int], statement: ast.stmt) -> int:
    """Where the line after the last one of a statement begins."""
    return starts[statement.end_lineno or statement.lineno]


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _unparsed(text: str) -> Iterator[Block]:
    start = 0
    for definition in _DEFINITION.finditer(text):
        yield from _code(text, start, definition.start())
        start = definition.start()
    yield from _code(text, start, len(text))


# A syntax tree takes a hundred times the memory of its text.
_PARSED = 2_000_000
# Python's own line ends: a form feed or a line separator does not end a line of source.
_LINE_ENDS = re.compile(r"\r\n|\n|\r")
# A decorated definition begins with its first decorator.
_DEFINITION = re.compile(
    rf"(?:(?<=[\n\r])|\A)(?:@[^\n\r]*{EOL}){{0,20}}(?:async[ \t]+def|def|class)[ \t]+\w",
    re.MULTILINE,
)
