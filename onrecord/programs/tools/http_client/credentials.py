"""The headers that a developer gives along: which host gets them, and that nobody else does."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from urllib.parse import quote

from onrecord.errors import UsageError
from onrecord.programs.tools.http_client.hosts import Hosts, Target

Headers = Mapping[str, str] | Mapping[str, Mapping[str, str]]
"""Headers by their names, or by the host (as `hosts=` has it) that they are for."""


class Credentials:
    """What goes with a request to a host. Raises UsageError for what is no header, and for what
    may be a secret while it is not said which of several hosts it is for."""

    def __init__(self, headers: Headers | None, hosts: Hosts) -> None:
        self._hosts = hosts
        self._by_host = {
            host: {str(name).lower(): _value(name, value) for name, value in each.items()}
            for host, each in _by_host(headers or {}, hosts).items()
        }
        texts = {
            text
            for each in self._by_host.values()
            for name, value in each.items()
            if not _HARMLESS.fullmatch(name)
            for text in _forms(value)
        }
        self._secrets = sorted(texts, key=len, reverse=True)

    def __repr__(self) -> str:
        return "Credentials()"

    def sent_to(self, target: Target) -> dict[str, str]:
        """The headers for a request."""
        return self._by_host.get(self._hosts.find(target).text, {})

    def hide(self, text: str) -> str:
        """A text without the values that may be secrets, as they are and as a URL has them."""
        for secret in self._secrets:
            text = text.replace(secret, "[hidden]")
        return text


def _by_host(headers: Headers, hosts: Hosts) -> dict[str, Mapping[str, str]]:
    names = [each.text for each in hosts.allowed]
    if not isinstance(headers, Mapping):
        raise UsageError("headers are texts by their names", cure='{"Authorization": "…"}')
    flat: dict[str, str] = {}
    of_hosts: dict[str, Mapping[str, str]] = {}
    for name, value in headers.items():
        if isinstance(value, Mapping):
            if name not in names:
                raise UsageError(
                    f"headers are given for {name!r:.100}, which is not among the hosts",
                    cure=f"Write it as there: {', '.join(names)}.",
                )
            of_hosts[name] = value
        else:
            flat[name] = value
    secret = next((name for name in flat if not _HARMLESS.fullmatch(str(name))), None)
    if secret is not None and len(names) > 1:
        raise UsageError(
            f"the header {secret!r:.80} would go to each of {len(names)} hosts",
            cure=f"Say which it is for: headers={{{names[0]!r}: {{{secret!r:.80}: …}}}}.",
        )
    return {name: {**flat, **of_hosts.get(name, {})} for name in names}


def _value(name: object, value: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{name!r:.80} is no name of a header")
    if name.lower() in _OURS:
        raise UsageError(f"the header {name} is set for each request, and cannot be given")
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise UsageError(
            f"the value of the header {name} holds characters that no header has",
            cure="Check it for line breaks.",
        )
    return value


def _forms(value: str) -> Iterator[str]:
    """A value, the key in "Bearer KEY", and the password in "Basic BASE64"; as a URL has them."""
    key = value.rpartition(" ")[2]
    texts = [value, key]
    if value.lower().startswith("basic "):
        with suppress(ValueError):
            pair = base64.b64decode(key, validate=True).decode()
            texts += [pair, pair.partition(":")[2]]
    for text in texts:
        if len(text) >= _SHORTEST:
            yield text
            yield quote(text, safe="")


_SHORTEST = 8  # shorter ones stand everywhere, and are no secrets
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OURS = {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"}
_HARMLESS = re.compile(
    r"accept(-.*)?|user-agent|content-type|referer|origin|cache-control|.*version.*", re.IGNORECASE
)
