"""Which hosts a model's requests may go to, and what a URL that a model writes says.

A URL is read strictly, because two programs that read an odd one differently are how a wall is
walked through: one host is checked, another is reached. What is odd is refused, never repaired.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from onrecord.arguments import several
from onrecord.errors import UsageError


class Target(NamedTuple):
    """Where a request goes: the host in lower case (an IPv6 address without brackets), and the path
    with its query as they are sent."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """What a server's credentials are for."""
        return self[:3]

    @property
    def authority(self) -> str:
        """The host, with its port where it is not the scheme's own: as the Host header has it."""
        return _written(self.host, None if self.port == PORTS[self.scheme] else self.port)

    @property
    def url(self) -> str:
        """The whole address."""
        return f"{self.scheme}://{self.authority}{self.path}"


def target_of(url: str) -> Target:
    """What a URL says. Raises UsageError for one that is not http(s), or that holds a user, a
    backslash, a blank, a host written in a way that not everybody reads alike."""
    if len(url) > _LONGEST:
        raise _odd(url, f"is longer than {_LONGEST:,} characters")
    if found := _ODD.search(url):
        raise _odd(url, f"holds the character {found[0]!r}")
    match = _URL.fullmatch(url)
    if match is None:
        raise _odd(url, "does not begin with https://")
    scheme, authority, rest = match[1].lower(), match[2], match[3]
    if "@" in authority:
        raise _odd("", "holds a user or a password")
    host, port = _place(authority, url)
    path = rest if rest.startswith("/") else f"/{rest}"
    try:
        path = quote(path, safe=_AS_THEY_ARE)
    except UnicodeEncodeError:
        raise _odd(url, "holds half of a character") from None
    return Target(scheme, host, port or PORTS[scheme], path)


class Host(NamedTuple):
    """A host that is allowed: `text` is what a developer wrote. `wide`: every name below it, and
    not it itself. `plain`: also without TLS."""

    text: str
    name: str
    port: int | None
    wide: bool
    plain: bool

    def admits(self, target: Target) -> bool:
        """Whether a request may go there."""
        if target.scheme == "http" and not self.plain:
            return False
        if target.port != (self.port or PORTS[target.scheme]):
            return False
        return target.host.endswith(f".{self.name}") if self.wide else target.host == self.name


class Hosts:
    """The hosts that requests may go to; `private`: those named exactly may have a private address
    or be this machine. Raises UsageError for what names no host."""

    def __init__(self, hosts: Sequence[str], *, private: bool = False) -> None:
        self.allowed = tuple(_host(each) for each in several(hosts, "hosts", texts=True))
        if not self.allowed:
            raise UsageError("no host is allowed", cure='Name them: hosts=["api.example.com"].')
        self._private = private

    def find(self, target: Target) -> Host:
        """The host that admits a request, the most exact one. Raises UsageError, which names those
        that there are."""
        found = [each for each in self.allowed if each.admits(target)]
        plain = target.scheme == "http"
        if found:
            return min(found, key=lambda each: (each.wide, each.plain != plain))
        raise UsageError(
            f"{target.scheme}://{target.authority} is not allowed",
            cure=f"Only these are: {self.shown}.",
        )

    def may_be_private(self, target: Target) -> bool:
        """Whether its address may be a private one."""
        return self._private and not self.find(target).wide

    @property
    def shown(self) -> str:
        """Those that are allowed, as a model is told of them."""
        return ", ".join(
            f"{'http' if each.plain else 'https'}://{'*.' if each.wide else ''}"
            f"{_written(each.name, each.port)}"
            for each in self.allowed
        )


def _written(host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


def _host(text: str) -> Host:
    match = _ALLOWED.fullmatch(text)
    problem = "is no host" if match is None else ""
    if match is not None and "@" not in match[3]:
        wide = bool(match[2])
        try:
            name, port = _place(match[3], text)
        except UsageError as error:
            problem = error.what.partition(": ")[2] or error.what
        else:
            if not wide or ("." in name and not _is_address(name)):
                return Host(text, name, port, wide, plain=(match[1] or "").lower() == "http")
            problem = "stands for too many hosts"
    raise UsageError(
        f"hosts: {text!r:.100} {problem or 'is no host'}",
        cure='Write "api.example.com", "*.example.com", "api.example.com:8443", or '
        '"http://localhost:8080" for one without TLS.',
    )


def _place(authority: str, url: str) -> tuple[str, int | None]:
    """The host and the port that the authority of a URL names."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise _odd(url, "names no host and port that all read alike")
    port = int(match[2]) if match[2] else None
    if port is not None and port > 65_535:
        raise _odd(url, "has no port from 1 to 65535")
    host = match[1].lower()
    if host.startswith("["):
        try:
            return ipaddress.IPv6Address(host[1:-1]).compressed, port
        except ValueError:
            raise _odd(url, "holds no IPv6 address in its brackets") from None
    labels = host.split(".")
    if len(host) > 253 or not all(0 < len(each) <= 63 for each in labels):
        raise _odd(url, "names a host with an empty or too long part")
    if _NUMBER.fullmatch(labels[-1]) and not _is_address(host):
        raise _odd(url, "writes an address in another way than four plain numbers")
    return host, port


def _is_address(host: str) -> bool:
    try:
        return str(ipaddress.ip_address(host)) == host
    except ValueError:
        return False


def _odd(url: str, why: str) -> UsageError:
    return UsageError(
        f"this is no address to ask: it {why}",
        where=ascii(url[:200])[1:-1],
        cure="Write it as https://host/path?query.",
    )


PORTS = {"http": 80, "https": 443}
_LONGEST = 8_000
# Whatever stands for nothing, or for something else to somebody: C0 and C1 controls, blanks of any
# kind, backslashes, invisible and direction marks, halves of characters.
_ODD = re.compile(r"[\x00-\x20\x7f-\xa0\s\\\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]")
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE)
_ALLOWED = re.compile(r"(?:(https?)://)?(\*\.)?([^/?#*]+)/?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([1-9][0-9]{0,4}))?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_AS_THEY_ARE = "%/?:@!$&'()*+,;=-._~[]"
