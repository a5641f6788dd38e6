"""Addresses of servers: checked before anything is sent, shown without what is secret in them."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit, urlunsplit

from onrecord.errors import UsageError


def checked(address: str, example: str) -> SplitResult:
    """The parts of an http address. Raises UsageError where no server can have it."""
    try:
        parts = urlsplit(address)
        possible = parts.port != 0  # a ValueError, where it is no number or above 65535
    except ValueError:
        parts, possible = SplitResult("", "", "", "", ""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not possible:
        raise UsageError(
            f"'{shown(address)}' is not the address of a server", cure=f"Write {example}."
        )
    return parts


def shown(address: str) -> str:
    """An address without user, password and query."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address.rpartition("@")[2]
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, place, parts.path, "", ""))
