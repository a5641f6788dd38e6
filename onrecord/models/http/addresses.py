"""What a URL says: whose machine it names, what of it may be shown, where a path goes in it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_local(url: str) -> bool:
    """Whether a URL names this machine or a neighbour: a private address, or a bare host name."""
    host, address = _host(url)
    if address is None:
        return bool(host) and ("." not in host or host.endswith(_NEAR))
    return address.is_private or address in _CARRIER


def is_here(url: str) -> bool:
    """Whether a URL names this machine: a loopback address, or `localhost`."""
    host, address = _host(url)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def behind(url: str, path: str) -> str:
    """The URL of a path behind a base URL, whose query (Azure's `?api-version=…`) stays last."""
    parts = urlsplit(url)
    whole = f"{parts.path.rstrip('/')}/{path}".rstrip("/")
    return parts._replace(path=whole, fragment="").geturl()


def problem_of(url: object) -> str:
    """Why requests cannot be sent to such an address, in words that follow it; "": they can."""
    if not isinstance(url, str):
        return "is not a text"
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return "is not an http URL"
    if parts.scheme not in ("http", "https") or not host:
        return "is not an http URL"
    try:
        port = parts.port
    except ValueError:
        port = 0
    return "has no port from 1 to 65535" if port == 0 else ""


def shown_url(url: str) -> str:
    """A URL as it may be shown: without user, password and query."""
    try:
        parts = urlsplit(url)
    except ValueError:  # nobody can tell what in it is a password
        return "(no address)"
    if "://" not in url:  # what stands before the first colon is a host and no scheme
        return url.partition("?")[0].partition("#")[0].rpartition("@")[2]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _host(url: str) -> tuple[str, ipaddress.IPv4Address | ipaddress.IPv6Address | None]:
    """The host of a URL ("" where it has none), and its address where it is one and no name."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return "", None
    try:
        return host, ipaddress.ip_address(host)
    except ValueError:
        return host, None


_NEAR = (".local", ".localhost", ".internal")
_CARRIER = ipaddress.ip_network("100.64.0.0/10")  # shared addresses: overlay networks use them
