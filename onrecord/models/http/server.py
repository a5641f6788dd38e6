"""The server behind a protocol: where it is, how it is asked, why it does not answer.

A redirect is never followed: the key is for the server that was named.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urljoin, urlsplit

from onrecord.errors import ModelError, ModelRefusedError, ModelUnavailableError, UsageError
from onrecord.models.http import connections
from onrecord.models.http.addresses import behind, problem_of, shown_url
from onrecord.models.http.failures import may_have_begun, note, retry_after
from onrecord.models.http.refusals import Names, parse, refusal, scrub

if TYPE_CHECKING:
    import httpx


class Api(NamedTuple):
    """What sets one protocol's servers apart from another's.

    `home` is the address of the company's own server, `domain` how its host names end, `example`
    what the address of another one looks like. `headers` go with every request, `key_header` names
    the one that holds the key.
    """

    names: Names
    home: str
    domain: str
    example: str
    headers: Mapping[str, str] = {}
    key_header: str = "Authorization"


class Server:
    """The address of an API, with the key and the patience to use on it.

    `key` None: the one in the environment; empty: none. `timeout` is in seconds, between two signs
    of life. A query in the address goes with every request, and is shown as little as the key.
    """

    def __init__(
        self, api: Api, base_url: str | None = None, key: str | None = None, timeout: float = 120.0
    ) -> None:
        url = base_url or os.environ.get(api.names.url_variable) or api.home
        check_address(url, api)
        if key is not None and not isinstance(key, str):
            raise UsageError("a key is a text", cure='Give key="…", or "" to send none.')
        number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
        if not (number and timeout > 0):
            raise UsageError(
                f"timeout={timeout!r:.40} is no time to wait", cure="Give seconds above 0."
            )
        self.api = api
        self.url = behind(url, "")
        self.timeout = timeout
        self._key = key
        self._secrets = _secrets(urlsplit(url).query)

    @property
    def shown(self) -> str:
        """The address without user, password and query."""
        return shown_url(self.url)

    @property
    def is_home(self) -> bool:
        """Whether this is the own server of the company that made the protocol."""
        return (urlsplit(self.url).hostname or "").endswith(self.api.domain)

    @property
    def key(self) -> str:
        """The key, or nothing."""
        if self._key is not None:
            return self._key
        return os.environ.get(self.api.names.key_variable, "")

    def parse(self, text: str, where: str) -> dict[str, Any]:
        """A JSON object that the server sent. Raises ModelUnavailableError on anything else."""
        return parse(self._without_query(text), where=where, key=self.key, names=self.api.names)

    def __repr__(self) -> str:
        return f"Server({self.shown!r})"

    @asynccontextmanager
    async def post(
        self, path: str, body: dict[str, Any], where: str
    ) -> AsyncIterator[httpx.Response]:
        """Send a request; the response's body is still to be read. Raises ModelError."""
        import httpx

        headers = self._headers(where)
        # ASCII escapes: half a surrogate pair in a document's text is no reason to fail here.
        content = json.dumps(body).encode("ascii")
        # No bound on the wait for a free connection: that is our own queue, and not the server.
        patience = httpx.Timeout(self.timeout, connect=min(10.0, self.timeout), pool=None)
        client = await connections.client()
        try:
            async with client.stream(
                "POST", behind(self.url, path), content=content, headers=headers, timeout=patience
            ) as response:
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            unavailable = self._unavailable(error, where)
            # Without a whole request no model has begun; whoever read one may have.
            begun = httpx.ReadError | httpx.ReadTimeout | httpx.RemoteProtocolError
            note(unavailable, sent=isinstance(error, begun | httpx.DecodingError))
            raise unavailable from None

    async def refused(self, response: httpx.Response, where: str) -> tuple[ModelError, bytes]:
        """The error that a response with another status than 200 means, and what was said."""
        body = b""
        async for received in response.aiter_bytes():
            body += received
            if len(body) > _LONGEST_REFUSAL:
                break
        if self._secrets:
            body = self._without_query(body.decode("utf-8", "replace")).encode()
        if 300 <= response.status_code < 400 and "location" in response.headers:
            return note(self._moved(response, where), sent=False), body
        error = refusal(
            response.status_code,
            body,
            where=where,
            key=self.key,
            names=self.api.names,
            retry_after=response.headers.get("retry-after", ""),
        )
        sent = may_have_begun(response.status_code)
        return note(error, sent=sent, retry_after=retry_after(response.headers)), body

    def _moved(self, response: httpx.Response, where: str) -> ModelError:
        here = str(response.request.url)
        try:
            there = urljoin(here, response.headers["location"])
            same = urlsplit(there).netloc == urlsplit(here).netloc
        except ValueError:
            there, same = response.headers["location"], False
        what = "to another address" if same else "to another host"
        shown = self._without_query(scrub(shown_url(there), self.key))
        return ModelRefusedError(
            f"the server sends the request on {what}, {shown}, which is not followed:"
            " the key is for this one",
            where=where,
            cure=f"Set {self.api.names.url_variable} to the address that is meant.",
        )

    def _without_query(self, text: str) -> str:
        """A text without the values of the address's query: one of them may be a key."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text

    def _headers(self, where: str) -> dict[str, str]:
        key, names = self.key, self.api.names
        headers = {"Content-Type": "application/json", **self.api.headers}
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            useless = ModelRefusedError(
                "the key holds characters that no key has",
                where=where,
                cure=f"Check {names.key_variable} for blanks and line breaks.",
            )
            raise note(useless, sent=False)
        if not key and self.is_home:
            keyless = ModelRefusedError(
                f"there is no key for {names.company}",
                where=where,
                cure=f"Set {names.key_variable}, or {names.url_variable} for another server.",
            )
            raise note(keyless, sent=False)
        if not key:
            return headers
        bearer = self.api.key_header == "Authorization"
        return {**headers, self.api.key_header: f"Bearer {key}" if bearer else key}

    def _unavailable(self, error: Exception, where: str) -> ModelUnavailableError:
        import httpx

        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return ModelUnavailableError(
                "no connection to the model's server",
                where=where,
                cure=f"Start the server, or check {self.api.names.url_variable} and the network.",
            )
        if isinstance(error, httpx.TimeoutException):
            return ModelUnavailableError(
                f"the server gave no sign of life for {self.timeout:g} seconds",
                where=where,
                cure="Try again later, or allow it more time: on.model(..., timeout="
                f"{math.ceil(2 * self.timeout)}).",
            )
        said = self._without_query(scrub(str(error), self.key)) or type(error).__name__
        return ModelUnavailableError(
            f"the connection to the server broke: {said}", where=where, cure="Try again."
        )


def check_address(url: object, api: Api) -> None:
    """Raises ModelRefusedError for an address that nothing can be sent to."""
    if problem := problem_of(url):
        shown = shown_url(url) if isinstance(url, str) else url
        raise ModelRefusedError(
            f"the address of the model's server {problem}: {shown!r:.200}",
            cure=f"Set {api.names.url_variable} to something like {api.example}, or give such a"
            " base_url.",
        )


def _secrets(query: str) -> list[str]:
    """What of a query is not to be seen: "key=value", and values that are long enough to be keys,
    as they are and as they are written."""
    pairs = [each for each in query.split("&") if not each.startswith("api-version=")]
    written = [each.partition("=")[2] for each in pairs]
    values = [value for _, value in parse_qsl("&".join(pairs))]
    return [*filter(None, pairs), *(each for each in (*written, *values) if len(each) > 3)]


_LONGEST_REFUSAL = 100_000
