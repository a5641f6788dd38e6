"""Whose machine a URL names: this one, a neighbour, or somebody else's."""

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
