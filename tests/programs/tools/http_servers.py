"""Servers on loopback that say what a test wants, byte by byte; and a network that records."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import httpcore

Handler = Callable[["Request", asyncio.StreamWriter], Awaitable[None]]


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Served(NamedTuple):
    port: int
    requests: list[Request]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    """A server that reads one request a connection and lets `handler` write whatever it likes."""
    requests: list[Request] = []
    tasks: set[Any] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await one(reader, writer)
                await writer.drain()
        finally:
            writer.close()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(method, path, headers, body)
        requests.append(request)
        await handler(request, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield Served(server.sockets[0].getsockname()[1], requests)
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answer(
    body: bytes = b"", status: str = "200 OK", kind: str = "text/plain", **headers: str
) -> Handler:
    """A handler that gives one plain answer."""

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        lines = {"Content-Type": kind, "Content-Length": str(len(body))} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body)

    return handler


class Recorder(httpcore.AsyncNetworkBackend):
    """Records where connections go; makes them to a port of loopback instead, or not at all; or
    `says` the same over each."""

    def __init__(self, port: int = 0, says: bytes = b"") -> None:
        self.port = port
        self.says = says
        self.reached: list[tuple[str, int]] = []
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(self, host: str, port: int, *rest: Any, **options: Any) -> Any:
        self.reached.append((host, port))
        if self.says:
            return Saying([self.says])
        if not self.port:
            raise httpcore.ConnectError("nobody there")
        return await self._inner.connect_tcp("127.0.0.1", self.port)


class Saying(httpcore.AsyncMockStream):
    """A connection over which all is said already, with TLS or without."""

    async def start_tls(self, *rest: Any, **options: Any) -> Any:
        return self


class Names:
    """A resolver: what each name is, and how often it was asked."""

    def __init__(self, **names: str | list[str]) -> None:
        self.names = {
            name.replace("_", "."): [each] if isinstance(each, str) else each
            for name, each in names.items()
        }
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host not in self.names:
            raise OSError("no such name")
        return self.names[host]
