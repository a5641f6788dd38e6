"""What a model's server answers with: server-sent events, or one JSON object."""

from __future__ import annotations

import asyncio
import codecs
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from onrecord.errors import ModelUnavailableError
from onrecord.models.http.refusals import Names, foreign

if TYPE_CHECKING:
    import httpx


class EventDecoder:
    """Server-sent events, from bytes cut anywhere to the data of each event.

    Only `data` fields are kept. Line ends are those of the standard (CR, LF, both) and no others:
    JSON may hold U+2028.
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("replace").decode
        self._line = ""
        self._data: list[str] = []

    def feed(self, received: bytes, last: bool = False) -> list[str]:
        """The data of the events that these bytes complete; `last` also ends what is open."""
        text = self._line + self._decode(received, last)
        # A CR at the very end may be half of a CR LF.
        held = "\r" if text.endswith("\r") and not last else ""
        *lines, rest = _LINE_END.split(text[: len(text) - len(held)])
        self._line = rest + held
        if len(self._line) > _LONGEST_LINE:
            raise ModelUnavailableError("the server sent a line without end")
        if last:
            lines += [self._line, ""]
            self._line = ""
        return [event for line in lines for event in self._take(line)]

    def _take(self, line: str) -> Iterator[str]:
        if not line and self._data:
            yield "\n".join(self._data)
            self._data = []
        elif line.startswith("data:"):
            self._data.append(line[5:].removeprefix(" "))


async def events(response: httpx.Response) -> AsyncGenerator[str, None]:
    """The data of each event, as soon as it is there."""
    decoder = EventDecoder()
    async for received in response.aiter_bytes():
        for data in decoder.feed(received):
            yield data
    for data in decoder.feed(b"", last=True):
        yield data


async def data_of(response: httpx.Response, where: str, names: Names) -> AsyncGenerator[str, None]:
    """The data of each event; a server that does not stream sends its one answer whole."""
    if content_type(response).endswith("/html"):
        raise foreign(f"a web page ({content_type(response)}) and no answer", where, names)
    if is_json(response):
        yield await text_of(response)
        return
    async with aclosing(events(response)) as received:
        async for data in received:
            yield data


async def text_of(response: httpx.Response) -> str:
    """All that the server sends, as text."""
    return (await response.aread()).decode("utf-8-sig", "replace")


def is_json(response: httpx.Response) -> bool:
    """Whether the answer comes whole, and not as a stream."""
    return "json" in content_type(response)


async def drain(events: AsyncIterator[str]) -> None:
    """Read what is left after the last event: only a connection read to its end is used again."""
    import httpx

    with suppress(httpx.HTTPError, ModelUnavailableError, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            async for _ in events:
                pass


def content_type(response: httpx.Response) -> str:
    """What the server says it sends, without parameters; empty where it does not say."""
    said: str = response.headers.get("content-type", "")
    return said.partition(";")[0].strip().lower()


NO_REASON = "The server did not say why its answer ended: it may be cut off."
_LINE_END = re.compile(r"\r\n|\r|\n")
_LONGEST_LINE = 4_000_000
_PATIENCE = 0.5  # seconds; the answer itself is there already
