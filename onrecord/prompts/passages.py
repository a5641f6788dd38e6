"""Passages as a model reads them: numbered, framed blocks that no text can break out of."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from onrecord.messages import Passage


class Passages(tuple[Passage, ...]):
    """The passages of one argument. `first` is the number of the first one; a model cites by
    number.

    In a template, `{{ passages }}` shows them all; `{% for passage in passages %}` gives them one
    by one, and then the template itself answers for telling them from its instructions.
    """

    first: int

    @classmethod
    def numbered(cls, passages: Iterable[Passage], first: int) -> Passages:
        """Passages with their numbers."""
        self = cls(passages)
        self.first = first
        return self

    @property
    def shown(self) -> str:
        """The blocks, one below the other."""
        return "\n\n".join(_block(at, each) for at, each in enumerate(self, self.first)) or _NONE


def framed(name: str, text: str) -> str:
    """A text between tags with this name, which the text itself can neither close nor open."""
    return f"<{name}>\n{unframed(name, text)}\n</{name}>"


def unframed(name: str, text: str) -> str:
    """A text that neither opens nor closes a tag with this name."""
    # The sign put in its place is one that quotations are compared without regard to
    # (citations.py).
    return _tag(name).sub("‹", text) if "<" in text else text


def _block(number: int, passage: Passage) -> str:
    title, document = _attribute(passage.title), _attribute(passage.document_id)
    text = unframed("passage", passage.text)
    return f'<passage number="{number}" title="{title}" document="{document}">\n{text}\n</passage>'


def _attribute(text: str) -> str:
    return " ".join(text.split()).replace('"', "'").replace("<", "‹").replace(">", "›")


@functools.lru_cache(maxsize=256)
def _tag(name: str) -> re.Pattern[str]:
    return re.compile(rf"<(?=[\s/]*{re.escape(name)}\b)", re.IGNORECASE)


_NONE = "(no passages)"
