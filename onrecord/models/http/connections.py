"""HTTP connections: one client an event loop, made when first needed, closed with its loop.

A client's connections belong to the loop they were opened on, and Onrecord runs on a background
loop besides the caller's own.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
import weakref
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


async def client() -> httpx.AsyncClient:
    """The running loop's client. The environment's proxies are used, but not to this machine."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        life = _life(loop)
        # A started asynchronous generator is closed by its loop before that ends (asyncio.run does
        # so), so the connections are closed properly without anyone having to remember it.
        _clients[loop] = await anext(life), life
    return _clients[loop][0]


async def close() -> None:
    """Close the client of the running loop, if there is one; the next call opens another."""
    held = _clients.get(asyncio.get_running_loop())
    if held is not None:
        await held[1].aclose()


async def _life(loop: asyncio.AbstractEventLoop) -> AsyncGenerator[httpx.AsyncClient, None]:
    import httpx

    client = httpx.AsyncClient(
        verify=trust(),
        mounts={f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")},
        limits=httpx.Limits(max_connections=_MOST, max_keepalive_connections=_KEPT),
    )
    try:
        yield client
    finally:
        _clients.pop(loop, None)
        await client.aclose()


@functools.cache
def trust() -> ssl.SSLContext:
    """The certificates to trust; reading them takes longer than all the rest of a client."""
    import httpx

    return httpx.create_ssl_context()


# Streams at once; whoever asks for more waits in a queue. Below the 1,024 files that a process may
# usually have open. A server that takes fewer is protected by `limited`.
_MOST = 512
# The pool looks at every idle connection, and from each at all others, whenever a request comes or
# goes: many kept cost more than many opened anew.
_KEPT = 20
_clients: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop,
    tuple[httpx.AsyncClient, AsyncGenerator[httpx.AsyncClient, None]],
] = weakref.WeakKeyDictionary()
