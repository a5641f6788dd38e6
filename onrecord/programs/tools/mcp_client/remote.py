"""A server at an address, spoken to over streamable HTTP."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

import httpx2
from mcp.client.streamable_http import streamable_http_client

from onrecord.errors import OnrecordError, ToolError, UsageError
from onrecord.programs.tools.mcp_client.results import MOST_BYTES


class RemoteServer:
    """The address of a server, and the headers of every request to it. Redirects to another host
    are not followed: the headers are for this one."""

    def __init__(self, url: str, headers: Mapping[str, str], name: str) -> None:
        split = _split(url)
        self._url = url
        self._headers = dict(headers)
        host = split.netloc.rpartition("@")[2]
        self.key = name or urlunsplit((split.scheme, host, split.path, "", ""))
        """What its pins are kept under: without the user, the password and the query."""
        self.where = self.key
        self._refusal = ""

    def last_words(self) -> str:
        """What the server answered instead of a message."""
        return self._refusal

    @asynccontextmanager
    async def connected(self, lost: Callable[[], None]) -> AsyncIterator[Any]:
        """The streams of a new session, as the SDK takes them."""
        self._refusal = ""
        # No compression: a few bytes could become a billion.
        headers = {"accept-encoding": "identity"} | self._headers
        timeout = httpx2.Timeout(_CONNECT, read=None)
        hooks = {"response": [self._bounded]}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=timeout, event_hooks=hooks) as client,
            streamable_http_client(
                self._url, http_client=client, max_sse_event_size=MOST_BYTES
            ) as streams,
        ):
            yield streams

    async def _bounded(self, response: httpx2.Response) -> None:
        """Every answer that is no stream of events has a bound; the SDK bounds each event."""
        status = response.status_code
        if status >= 400:
            self._refusal = f"It answered with the HTTP status {status}."
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            self._refusal = "Its answer is compressed, which was not asked for."
            raise ToolError(self._refusal)
        kind = response.headers.get("content-type", "").lower()
        if not kind.startswith("text/event-stream"):
            response.stream = _Bounded(response.stream, self._too_long)

    def _too_long(self) -> OnrecordError:
        self._refusal = f"It sent a message of more than {MOST_BYTES:,} bytes."
        return ToolError(self._refusal)


class _Bounded(httpx2.AsyncByteStream):
    """The bytes of an answer, as far as the bound."""

    def __init__(self, stream: Any, too_long: Callable[[], Exception]) -> None:
        self._stream = stream
        self._too_long = too_long

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length = 0
        async for some in self._stream:
            length += len(some)
            if length > MOST_BYTES:
                raise self._too_long()
            yield some

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._stream.aclose()


def _demoted(record: logging.LogRecord) -> bool:
    """The SDK logs what a server answers wrongly with a traceback; whoever calls has an error that
    says so."""
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


logging.getLogger("mcp.client.streamable_http").addFilter(_demoted)


def _split(url: str) -> SplitResult:
    try:
        split = urlsplit(url)
        if split.scheme in ("http", "https") and split.hostname:
            return split
    except (ValueError, AttributeError, TypeError):
        pass
    raise UsageError(
        f"{url!r:.80} is no address of an MCP server",
        cure="Write on.tools.mcp('https://host/mcp') or command=['server', '--flag'].",
    )


_CONNECT = 30.0
