"""The server behind the OpenAI protocol: where it is, how it is asked, why it refuses."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from onrecord.errors import ModelError, ModelRefusedError, ModelUnavailableError
from onrecord.models import connections
from onrecord.models.failures import may_have_begun, note, retry_after
from onrecord.models.openai_refusals import refusal, scrub, shown_url

if TYPE_CHECKING:
    import httpx


class Server:
    """The address of an OpenAI-compatible API, with the key and the patience to use on it.

    `key` None: the one in OPENAI_API_KEY; empty: none. `timeout` is in seconds, between two signs
    of life.
    """

    def __init__(
        self, base_url: str | None = None, key: str | None = None, timeout: float = 120.0
    ) -> None:
        url = base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ModelRefusedError(
                f"the address of the model's server is not an http URL: {shown_url(url)!r}",
                cure="Set OPENAI_BASE_URL to something like http://localhost:8000/v1.",
            )
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._key = key

    @property
    def shown(self) -> str:
        """The address without user, password and query."""
        return shown_url(self.url)

    @property
    def is_openai(self) -> bool:
        """Whether this is OpenAI's own server."""
        return (urlsplit(self.url).hostname or "").endswith(".openai.com")

    @property
    def key(self) -> str:
        """The key, or nothing."""
        return os.environ.get("OPENAI_API_KEY", "") if self._key is None else self._key

    def __repr__(self) -> str:
        return f"Server({self.shown!r})"

    @asynccontextmanager
    async def post(
        self, path: str, body: dict[str, Any], where: str
    ) -> AsyncIterator[httpx.Response]:
        """Send a request; the response's body is still to be read. Raises ModelError."""
        import httpx

        key = self.key
        if not key and self.is_openai:
            keyless = ModelRefusedError(
                "there is no key for OpenAI",
                where=where,
                cure="Set OPENAI_API_KEY, or OPENAI_BASE_URL for another server.",
            )
            raise note(keyless, sent=False)
        client = await connections.client()
        try:
            async with client.stream(
                "POST",
                f"{self.url}/{path}",
                # ASCII escapes: half a surrogate pair in a document's text is no reason to fail
                # here.
                content=json.dumps(body).encode("ascii"),
                headers=_headers(key, where),
                timeout=httpx.Timeout(self.timeout, connect=min(10.0, self.timeout)),
            ) as response:
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            unavailable = self._unavailable(error, where)
            # Without a whole request no model has begun; whoever read one may have.
            begun = httpx.ReadError | httpx.ReadTimeout | httpx.RemoteProtocolError
            note(unavailable, sent=isinstance(error, begun | httpx.DecodingError))
            raise unavailable from None

    def _unavailable(self, error: Exception, where: str) -> ModelUnavailableError:
        import httpx

        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return ModelUnavailableError(
                "no connection to the model's server",
                where=where,
                cure="Start the server, or check OPENAI_BASE_URL and the network.",
            )
        if isinstance(error, httpx.TimeoutException):
            return ModelUnavailableError(
                f"the server gave no sign of life for {self.timeout:g} seconds",
                where=where,
                cure="Try again later, or allow it more time.",
            )
        said = scrub(str(error), self.key) or type(error).__name__
        return ModelUnavailableError(
            f"the connection to the server broke: {said}", where=where, cure="Try again."
        )


async def refused(response: httpx.Response, where: str, server: Server) -> tuple[ModelError, bytes]:
    """The error that a response with an error's status means, and what the server said."""
    body = b""
    async for received in response.aiter_bytes():
        body += received
        if len(body) > _LONGEST_REFUSAL:
            break
    error = refusal(
        response.status_code,
        body,
        where=where,
        key=server.key,
        retry_after=response.headers.get("retry-after", ""),
    )
    sent = may_have_begun(response.status_code)
    return note(error, sent=sent, retry_after=retry_after(response.headers)), body


def _headers(key: str, where: str) -> dict[str, str]:
    if not key:
        return _JSON
    if not (key.isascii() and key.isprintable()):
        useless = ModelRefusedError(
            "the key holds characters that no key has",
            where=where,
            cure="Check OPENAI_API_KEY for line breaks and quotation marks.",
        )
        raise note(useless, sent=False)
    return {**_JSON, "Authorization": f"Bearer {key}"}


_OPENAI = "https://api.openai.com/v1"
_JSON = {"Content-Type": "application/json"}
_LONGEST_REFUSAL = 100_000
