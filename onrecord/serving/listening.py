"""Where a server listens, and whom it hears."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from mcp.server.transport_security import TransportSecuritySettings

from onrecord.errors import UsageError


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UsageError where there is no such address, or it is taken."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"nothing can listen there: {getattr(error, 'strerror', None) or error}",
            where=f"{named(host)}:{port}",
            cure="Take another --port, or 0 for any that is free.",
        ) from None


def security(host: str, port: int, also: Iterable[str] = ()) -> TransportSecuritySettings:
    """Who may ask: this host by its names at this port, and whoever comes through a proxy that is
    known by the names in `also`."""
    names = {named(host)}
    if is_loopback(host):
        names |= {"localhost", "127.0.0.1", "[::1]"}
    hosts = {f"{name}:{port}" for name in names | set(also)} | set(also)
    return TransportSecuritySettings(
        allowed_hosts=sorted(hosts),
        allowed_origins=sorted(f"{scheme}://{each}" for each in hosts for scheme in _SCHEMES),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def named(host: str) -> str:
    """A host as it stands in an address."""
    return f"[{host}]" if ":" in host else host


_SCHEMES = ("http", "https")
