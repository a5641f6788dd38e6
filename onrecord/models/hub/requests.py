"""Questions to the Hub over HTTP, through huggingface_hub's client, endpoint and token.

`HfApi` itself is not used to ask: it waits and asks up to six times before it says that a server
fails, has no time limit, ends a list at the first entry it cannot read, follows links to other
hosts with the token, and asks the Hub besides which program calls it. What it sends is what is sent
here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from onrecord.errors import (
    MissingExtraError,
    ModelRefusedError,
    ModelUnavailableError,
    OnrecordError,
    UsageError,
)
from onrecord.models.http.failures import note, retry_after

if TYPE_CHECKING:
    import httpx2

Params = Mapping[str, str | list[str]]


class Page(NamedTuple):
    """One answer in JSON, and the question for the next page, if there is one."""

    value: Any
    following: Params | None


class NotThereError(ModelRefusedError):
    """The Hub knows nothing by this name, or does not show it to this token."""


class Hub:
    """One Hub, while it is `connected`. `address` and `shown` (its host) hold no secret."""

    def __init__(self, client: httpx2.AsyncClient, endpoint: str, token: str | None) -> None:
        self.shown = shown(endpoint)
        self.address = endpoint.replace(urlsplit(endpoint).netloc, self.shown, 1)
        self._endpoint = endpoint
        self._client = client
        self._token = token

    async def page(self, path: str, params: Params) -> Page:
        """The JSON at a path. Raises ModelError: unavailable, refused, or not there."""
        response, body = await self._get(path, params, _LONGEST_PAGE)
        if len(body) > _LONGEST_PAGE:
            raise ModelUnavailableError(
                f"the answer of {self.shown} is longer than {_LONGEST_PAGE // 10**6} MB"
            )
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            kind = response.headers.get("content-type", "no type").partition(";")[0][:60]
            raise ModelUnavailableError(
                f"{self.shown} did not answer with JSON but with {kind}",
                cure="Check HF_ENDPOINT, and whether a proxy or a log-in page answers instead.",
            ) from None
        # Only the question is taken from the link: the host stays, and the token with it.
        link = response.links.get("next", {}).get("url")
        return Page(value, parse_qs(urlsplit(str(link)).query) if link else None)

    async def text(self, name: str, file: str) -> str:
        """The beginning of a text file of a model, 2 MB at most. Raises as `page` does."""
        path = f"/{quote(name)}/resolve/main/{quote(file)}"
        _, body = await self._get(path, {}, _LONGEST_TEXT)
        return body[:_LONGEST_TEXT].decode("utf-8", "replace")

    async def _get(self, path: str, params: Params, most: int) -> tuple[httpx2.Response, bytes]:
        url = self._endpoint + path
        for _ in range(_MOST_REDIRECTS):
            async with self._client.stream(
                "GET", url, params=params or None, headers=self._headers(), follow_redirects=False
            ) as response:
                if not response.has_redirect_location:
                    body = await _read(response, most)
                    if response.status_code >= 400:
                        raise self._failure(response, body)
                    return response, body
                target = response.url.join(response.headers["location"])
                url, params = str(target), {} if target.query else params
            if _origin(url) != _origin(self._endpoint):
                raise ModelRefusedError(
                    f"{self.shown} sends the request on to another host, {shown(url)}",
                    cure="It was not followed; set HF_ENDPOINT to that host if you trust it.",
                )
        raise ModelRefusedError(
            f"{self.shown} sends the request on and on", cure="Check HF_ENDPOINT, if you set it."
        )

    def _headers(self) -> dict[str, str]:
        from huggingface_hub import __version__ as version

        from onrecord import __version__

        headers = {"user-agent": f"onrecord/{__version__}; hf_hub/{version}"}
        return {**headers, "authorization": f"Bearer {self._token}"} if self._token else headers

    def _failure(self, response: httpx2.Response, body: bytes) -> OnrecordError:
        status, code = response.status_code, response.headers.get("x-error-code", "")
        said = self._said(response, body)
        if status == 429:
            wait = retry_after(response.headers) or _reset(response.headers)
            again = f"in {wait:.0f} s" if wait is not None else "later"
            error = ModelUnavailableError(
                f"{self.shown} has had too many requests (429)",
                cure=f"Try again {again}, or log in: the limit is higher with HF_TOKEN.",
            )
            return note(error, retry_after=wait)
        if status >= 500:
            return ModelUnavailableError(
                f"{self.shown} fails ({status}){said}", cure="Try it again later."
            )
        if code == "GatedRepo" or (status == 403 and code != "RepoNotFound"):
            return ModelRefusedError(
                f"{self.shown} does not give this to you ({status}){said}",
                cure="If it is gated, accept its conditions on its page, and set HF_TOKEN.",
            )
        if "invalid credentials" in said.lower():
            return ModelRefusedError(
                f"{self.shown} does not accept your token ({status})",
                cure="Set HF_TOKEN to a valid one, or remove it: public models need none.",
            )
        # Without a token, what is private and what does not exist both get 401.
        if status in (401, 404):
            return NotThereError(f"{self.shown} shows nothing of this name ({status})")
        return ModelRefusedError(
            f"{self.shown} refuses the request ({status}){said}",
            cure="Ask with fewer filters, or look at its own page.",
        )

    def _said(self, response: httpx2.Response, body: bytes) -> str:
        """What a server says about a failure, in one short line, without the token."""
        said: object = response.headers.get("x-error-message")
        if not said:
            with contextlib.suppress(ValueError, RecursionError, AttributeError):
                said = json.loads(body).get("error")
        if not isinstance(said, str) or not said.strip():
            return ""
        if self._token:
            said = said.replace(self._token, "…")
        said = " ".join(said.split())
        return f": {said if len(said) <= 200 else said[:199] + '…'}"


@contextlib.asynccontextmanager
async def connected(seconds: float) -> AsyncIterator[Hub]:
    """The Hub that HF_ENDPOINT names, with HF_TOKEN or the saved token; all within `seconds`.

    Raises ModelUnavailableError where it cannot be reached, does not answer in time, or
    HF_HUB_OFFLINE is set.
    """
    endpoint = hub_endpoint()
    try:
        import httpx2
        from huggingface_hub import constants, get_async_session
        from huggingface_hub.errors import OfflineModeIsEnabled
    except ImportError:
        raise MissingExtraError(
            "the Hub is asked through huggingface_hub 2, which is not installed",
            cure="Install it: pip install 'huggingface_hub>=2.4'",
        ) from None
    if constants.is_offline_mode():
        raise ModelUnavailableError(
            "HF_HUB_OFFLINE is set, so the Hub is not asked", cure="Set it to 0 to ask."
        )
    try:
        async with asyncio.timeout(seconds):
            token = await asyncio.to_thread(_token)
            async with get_async_session() as client:
                yield Hub(client, endpoint, token)
    except (TimeoutError, httpx2.TimeoutException):
        raise ModelUnavailableError(
            f"{shown(endpoint)} did not answer within {seconds:g} s"
        ) from None
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
        raise _no_address(endpoint) from None
    except (httpx2.HTTPError, OfflineModeIsEnabled, OSError) as error:
        reason = str(error)[:200] or type(error).__name__
        raise ModelUnavailableError(
            f"there is no connection to {shown(endpoint)}: {reason}",
            cure="Check the network, and HF_ENDPOINT if you set it.",
        ) from None


def hub_endpoint() -> str:
    """The Hub's address: HF_ENDPOINT, else huggingface.co. Raises UsageError if it is none."""
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    try:
        parts = urlsplit(endpoint)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return endpoint
    except ValueError:
        pass
    raise _no_address(endpoint)


def shown(url: str) -> str:
    """The host of an address as it may be shown: without a user name or password."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or url
    except ValueError:
        return "the Hub"


def _no_address(endpoint: str) -> UsageError:
    return UsageError(
        f"HF_ENDPOINT is no address: '{shown(endpoint)[:100]}'",
        cure="It looks like https://huggingface.co.",
    )


async def _read(response: httpx2.Response, most: int) -> bytes:
    """A body up to a little more than `most` bytes; what follows is left."""
    pieces: list[bytes] = []
    length = 0
    async for piece in response.aiter_bytes():
        pieces.append(piece)
        length += len(piece)
        if length > most:
            break
    return b"".join(pieces)


def _token() -> str | None:
    from huggingface_hub import constants, get_token

    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    if token is not None and not (token.isascii() and token.isprintable()):
        raise UsageError(
            "the token in HF_TOKEN holds characters that no token has (it is not shown)",
            cure="Copy it again from the settings of your account.",
        )
    return token


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _reset(headers: Mapping[str, str]) -> float | None:
    """The seconds of the Hub's own header: ratelimit: "api";r=0;t=55."""
    found = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*([0-9]{1,6})", headers.get("ratelimit", ""))
    return float(found[1]) if found else None


_MOST_REDIRECTS = 5
_LONGEST_PAGE = 32 * 10**6
_LONGEST_TEXT = 2 * 10**6
