"""Half an answer as half a value, while the rest of it is still being written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from onrecord.calling import overhearing
from onrecord.messages import Partial, TextDelta
from onrecord.prompts.structured import NOTHING, Considered, Output
from onrecord.records.record import Record


@contextmanager
def partials(output: Output, listener: Callable[[object], None]) -> Iterator[None]:
    """`listener` hears of the block, beside each TextDelta, the Partial that it makes of the
    answer. Each is another one than the one before; the last is all that the answer holds."""
    if not (output.schema or isinstance(output, Considered)):
        yield
        return
    half = half_json if output.schema else str
    growing, ended = Growing(half, output.part), False

    def hear(event: object) -> None:
        nonlocal growing, ended
        listener(event)
        if isinstance(event, TextDelta):
            if ended:  # a wrapper asks again, or another model: its words are not the next ones
                growing, ended = Growing(half, output.part), False
            tell(growing.add(event.text))
        elif isinstance(event, Record) and event.kind == "model":
            ended = True

    def tell(value: Any) -> None:
        if value is not NOTHING:
            listener(Partial(value))

    with overhearing(hear):
        yield
    tell(growing.rest())


class Growing:
    """An answer that gets longer, read again and again.

    `half` reads a text without its end, `part` takes the value out of what it finds.

    Each reading begins at its start, so it is read when it has got longer by a share of itself
    (1/128): the whole work is then a multiple of its length and not of that length's square. Up to
    128 characters that is at every delta.
    """

    def __init__(self, half: Callable[[str], Any], part: Callable[[Any], Any]) -> None:
        self._half = half
        self._part = part
        self._pieces: list[str] = []
        self._length = self._due = self._seen = 0
        self._last: Any = NOTHING

    def add(self, text: str) -> Any:
        """The value with this text, if it is time to look and there is a change; else NOTHING."""
        self._pieces.append(text)
        self._length += len(text)
        return self._look() if self._length >= self._due else NOTHING

    def rest(self) -> Any:
        """The value with all there is, if that was not looked at; else NOTHING."""
        return self._look() if self._length > self._seen else NOTHING

    def _look(self) -> Any:
        text = "".join(self._pieces)
        self._pieces = [text]
        self._seen, self._due = self._length, self._length + self._length // _SHARE
        found = self._half(text)
        value = NOTHING if found is NOTHING else self._part(found)
        if value is NOTHING or value == self._last:
            return NOTHING
        self._last = value
        return value


def half_json(text: str) -> Any:
    """The object that an answer begins, without what is not sure yet: half a key, half a number,
    half a `true`. NOTHING where none has begun.

    Words before it, a code fence and `<think>` are skipped.
    """
    from pydantic_core import from_json

    at = 0
    if text.lstrip().startswith("<think>"):
        at = text.find("</think>")
        if at < 0:
            return NOTHING
    sure = _OPEN_NUMBER.sub("", text[-_TAIL:])
    text = text[: max(0, len(text) - _TAIL)] + sure
    for _ in range(_STARTS):
        at = text.find("{", at)
        if at < 0:
            return NOTHING
        try:
            half = text[at:].encode("utf-8", "replace")  # half a surrogate pair is no text
            found = from_json(half, allow_partial="trailing-strings", allow_inf_nan=False)
        except ValueError:
            at += 1
        else:
            return found if isinstance(found, dict) else NOTHING
    return NOTHING


_SHARE = 128
_TAIL = 64
# In a string it holds a number back for a moment, which does no harm.
_OPEN_NUMBER = re.compile(r"(?<=[:\[,\s])-?[0-9][0-9.eE+-]*\Z")
# Braces among the words before the answer.
_STARTS = 20
