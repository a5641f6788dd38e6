"""One request and what came of it: redirects by hand, every bound kept.

A redirect is a new request: its URL is read, its host looked for among those allowed and its
address checked as if the model had written it. What a developer gave along for one host stays
there.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar
from urllib.parse import urljoin

from onrecord.errors import DeadlineError, ToolError, UsageError
from onrecord.models.http.connections import trust
from onrecord.programs.tools.http_client.credentials import Credentials, Headers
from onrecord.programs.tools.http_client.hosts import Hosts, Target, target_of
from onrecord.programs.tools.http_client.unpacking import ACCEPTED, unpacking
from onrecord.threads import in_thread

if TYPE_CHECKING:
    import httpcore

    from onrecord.programs.tools.http_client.connecting import Resolve


P = ParamSpec("P")
R = TypeVar("R")


class Bounds(NamedTuple):
    """`seconds` for all of it, redirects included; `max_bytes` of a body, packed and unpacked;
    `max_characters` of a text that a model is given. Raises UsageError in `check`."""

    seconds: float = 10.0
    max_bytes: int = 1_000_000
    max_characters: int = 20_000

    def check(self) -> Bounds:
        """Itself. Raises UsageError for what is no bound."""
        for name, value in self._asdict().items():
            whole = isinstance(value, int) or name == "seconds"
            number = isinstance(value, int | float) and not isinstance(value, bool) and whole
            if not (number and 0 < value < float("inf")):
                raise UsageError(f"{name}={value!r:.40} is no bound", cure="Give a number above 0.")
        return self


class Fetched(NamedTuple):
    """A response. `headers` have lower-case names; `body` is unpacked; `is_cut`: there was more of
    it than `max_bytes`. `url` is where the redirects led."""

    status: int
    reason: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    is_cut: bool

    @property
    def content_type(self) -> str:
        """The media type in lower case, without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Asked(NamedTuple):
    """A request. `headers`: of this one, such as the type of its body."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes | None = None


class Client:
    """Makes requests to the hosts that are allowed, one connection each, and keeps nothing of one
    for another: no cookies, no proxies of the environment.

    `certificates`: what to trust in place of the public authorities. `resolve` and `network`: how
    names become addresses, and connections are made.
    """

    def __init__(
        self,
        hosts: Hosts,
        bounds: Bounds = Bounds(),  # noqa: B008  # frozen
        headers: Headers | None = None,
        certificates: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        if certificates is not None and not isinstance(certificates, ssl.SSLContext):
            raise UsageError(
                "certificates are an ssl.SSLContext",
                cure='ssl.create_default_context(cafile="company.pem")',
            )
        self.hosts = hosts
        self.bounds = bounds.check()
        self.credentials = Credentials(headers, hosts)
        self._certificates = certificates
        self._seams: dict[str, Any] = {} if resolve is None else {"resolve": resolve}
        self._seams |= {} if network is None else {"network": network}

    def __repr__(self) -> str:
        return f"Client({self.hosts.shown!r})"

    async def fetch(self, asked: Asked) -> Fetched:
        """What the server answers, whatever its status. Raises UsageError for an address that is
        not allowed, DeadlineError, and ToolError where there is no whole answer."""
        target = target_of(asked.url)
        self.hosts.find(target)
        late = f"{target.authority} did not give its whole answer"
        return await self._in_time(self._followed(asked, target), late)

    async def read(self, reading: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What a function makes of an answer, in a thread: a page may be made to be read slowly.
        Raises DeadlineError."""
        return await self._in_time(in_thread(reading, *args, **kwargs), "the answer was not read")

    async def _in_time(self, work: Awaitable[R], late: str) -> R:
        seconds = self.bounds.seconds
        try:
            async with asyncio.timeout(seconds) as limit:
                return await work
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineError(f"{late} within {seconds:g} s") from None

    async def _followed(self, asked: Asked, target: Target) -> Fetched:
        first = target
        for _ in range(_REDIRECTS + 1):
            # Once it went elsewhere, nothing is given along: not even when it is led back.
            given = self.credentials.sent_to(target) if target.origin == first.origin else {}
            first = first if target.origin == first.origin else _NOWHERE
            async with self._sent(asked, target, given) as response:
                headers = _headers(response)
                if response.status not in _MOVED or "location" not in headers:
                    return await self._read(response, headers, target)
                target = self._next(target, headers["location"])
                asked = _again(asked, response.status)
        raise ToolError(
            f"{self.credentials.hide(target.authority)} leads on more than {_REDIRECTS} times",
            cure="Ask for another address.",
        )

    def _next(self, target: Target, location: str) -> Target:
        try:
            there = target_of(urljoin(target.url, location))
            self.hosts.find(there)
        except ValueError:
            raise UsageError(f"{target.authority} leads on to what is no address") from None
        except UsageError as error:
            what = self.credentials.hide(error.what)
            where = self.credentials.hide(error.where)
            raise UsageError(
                f"{target.authority} leads on to another address, and {what}",
                where=where,
                cure=error.cure,
            ) from None
        return there

    @asynccontextmanager
    async def _sent(
        self, asked: Asked, target: Target, given: Mapping[str, str]
    ) -> AsyncIterator[httpcore.Response]:
        import httpcore

        from onrecord.programs.tools.http_client.connecting import Pinned

        connection = httpcore.AsyncHTTPConnection(
            httpcore.Origin(target.scheme.encode(), target.host.encode(), target.port),
            ssl_context=self._certificates or trust(),
            network_backend=Pinned(self.hosts.may_be_private(target), **self._seams),
        )
        url = httpcore.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=target.path
        )
        lines = {"accept": "*/*", "user-agent": "onrecord", **asked.headers, **given}
        lines |= {
            "host": target.authority,
            "accept-encoding": ACCEPTED,
            "connection": "close",
        }
        patience = {"timeout": {"connect": self.bounds.seconds}}
        try:
            async with connection.stream(
                asked.method,
                url,
                headers=_as_sent(lines),
                content=asked.body,
                extensions=patience,
            ) as response:
                yield response
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise self._broken(error, target) from None
        finally:
            await connection.aclose()

    async def _read(
        self, response: httpcore.Response, headers: Mapping[str, str], target: Target
    ) -> Fetched:
        most = self.bounds.max_bytes
        inner = unpacking(headers.get("content-encoding", ""))
        body, packed = bytearray(), 0
        async for piece in response.aiter_stream():
            packed += len(piece)
            body += inner.feed(piece, most + 1 - len(body))
            if max(packed, len(body)) > most:
                break  # the connection is closed with the rest unread
        is_cut = max(packed, len(body)) > most
        if not is_cut and not inner.is_whole():
            raise ToolError(f"{target.authority} ended its answer in the middle")
        reason = bytes(response.extensions.get("reason_phrase", b"")).decode("ascii", "replace")
        return Fetched(response.status, reason, target.url, headers, bytes(body[:most]), is_cut)

    def _broken(self, error: Exception, target: Target) -> ToolError:
        import httpcore

        said = self.credentials.hide(" ".join(str(error).split())[:200])
        where = target.authority
        if "CERTIFICATE_VERIFY_FAILED" in said:
            return ToolError(f"the certificate of {where} is not trusted", where=said)
        if isinstance(error, httpcore.ConnectError | httpcore.ConnectTimeout):
            return ToolError(
                f"no connection to {where}", where=said, cure="Check that its server is running."
            )
        return ToolError(f"the connection to {where} broke", where=said or type(error).__name__)


def _headers(response: httpcore.Response) -> dict[str, str]:
    """The headers by their names in lower case; of several of one name, all with commas."""
    found: dict[str, str] = {}
    for name, value in response.headers:
        key, text = name.decode("latin-1").lower(), _header_text(value)
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _header_text(value: bytes) -> str:
    try:
        return value.decode()
    except ValueError:
        return value.decode("latin-1")


def _as_sent(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def _again(asked: Asked, status: int) -> Asked:
    """The request that follows a redirect: as browsers do it."""
    keeps = status in (307, 308) or asked.method in ("GET", "HEAD")
    if keeps or (status in (301, 302) and asked.method != "POST"):
        return asked
    return Asked("GET", asked.url)


_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_NOWHERE = Target("", "", 0, "")
