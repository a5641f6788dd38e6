"""Connections to addresses that were looked at: a name is resolved once, every address it has is
checked, and the connection goes to one of these.

Checking a name and then connecting to that name would ask the resolver twice, and whoever owns the
name may answer differently the second time. The certificate stays the name's: TLS is begun above,
with the name that was asked for.

Imports httpcore, and is itself imported when the first request is made.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

import httpcore

from onrecord.errors import ToolError, UsageError
from onrecord.programs.tools.http_client.addresses import why_refused
from onrecord.threads import in_thread

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, as texts. Raises OSError where it has none."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """What the machine's own resolver says; nobody is asked what an address is."""
    with suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    found = await in_thread(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class Pinned(httpcore.AsyncNetworkBackend):
    """Connects to addresses that are allowed; whatever asks for a connection has to pass here."""

    def __init__(
        self,
        private: bool,
        resolve: Resolve = resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._private = private
        self._resolve = resolve
        self._network = network or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address of a host that takes one. Raises UsageError where one
        of them is not allowed, ToolError where there is none."""
        addresses = await self._checked(host, port)
        patience = timeout and timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(
                    address, port, patience, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue  # the next may take it
        return await self._network.connect_tcp(
            addresses[-1], port, patience, local_address, socket_options
        )

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's own signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """None is made."""
        raise UsageError("no connection is made to a socket of this machine", where=path)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._network.sleep(seconds)

    async def _checked(self, host: str, port: int) -> Sequence[str]:
        try:
            addresses = list(await self._resolve(host, port))[:_MOST]
        except (OSError, UnicodeError):
            addresses = []
        if not addresses:
            raise ToolError(
                f"nobody knows the host {host}", cure="Check its name, and the network."
            )
        for address in addresses:
            # One of several is enough: a name that mixes them is not what it pretends to be.
            if why := why_refused(address, private=self._private):
                raise UsageError(
                    f"no connection is made to {host}: it has {why}",
                    cure="Ask for an address on the internet."
                    if not self._private
                    else "Even private=True does not allow such an address.",
                )
        return addresses


_MOST = 8
