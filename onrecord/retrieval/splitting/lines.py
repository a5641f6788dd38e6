"""The lines of a text, one after the other, with a look ahead."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

import msgspec

from onrecord.retrieval.splitting.blocks import EOL


class Line(msgspec.Struct, frozen=True):
    """A line without its end and without whitespace around it; blank where `start == end`.

    `head` is its beginning, enough to see what it is. `indent` is in columns, tabs reach the
    next multiple of four.
    """

    start: int
    end: int
    indent: int
    head: str

    @property
    def blank(self) -> bool:
        """Nothing but whitespace."""
        return self.start == self.end


class Lines:
    """The lines of a text that are still to be read, and what the last paragraph announced.

    `literal`: the indent of a reStructuredText paragraph that ended with "::", so that what is
    indented deeper is literal; None where none did. `listed`: the last thing at the left margin was
    a list item, so that what is indented belongs to it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.literal: int | None = None
        self.listed = False
        self._rest = _lines(text)
        self._ahead: deque[Line] = deque()

    def peek(self, ahead: int = 0) -> Line | None:
        """The next line but `ahead`, not taken yet; None behind the last one."""
        while len(self._ahead) <= ahead:
            line = next(self._rest, None)
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[ahead]

    def take(self, count: int = 1) -> Line:
        """Take `count` lines that were peeked at; returns the last of them."""
        for _ in range(count - 1):
            self._ahead.popleft()
        return self._ahead.popleft()


def _lines(text: str) -> Iterator[Line]:
    for match in _LINE.finditer(text):
        raw = match.group()
        content = raw.strip()
        if not content:
            if raw:
                yield Line(match.end(), match.end(), 0, "")
            continue
        margin = raw[: raw.find(content[0])]
        start = match.start() + len(margin)
        yield Line(start, start + len(content), len(margin.expandtabs(4)), content[:_HEAD])


_HEAD = 200
_LINE = re.compile(rf"[^\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]*(?:{EOL}|\Z)")
