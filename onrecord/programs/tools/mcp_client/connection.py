"""A connection with one server: opened when it is first needed, and again after it was lost.

A session of the SDK lives in one task of one event loop. That loop is the connection's own, in a
thread of its own: its tools can be called with `.run()`, and from any loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from importlib.metadata import version
from typing import Any, Protocol, TypeVar

from mcp import Client, MCPError
from mcp.types import Implementation, ToolListChangedNotification

from onrecord.errors import DeadlineError, OnrecordError, ToolError

T = TypeVar("T")


class Transport(Protocol):
    """The way to a server."""

    @property
    def key(self) -> str:
        """What its pins are kept under."""

    @property
    def where(self) -> str:
        """What an error names."""

    def last_words(self) -> str:
        """What is known of why it does not answer, in sentences."""

    def connected(self, lost: Callable[[], None]) -> AbstractAsyncContextManager[Any]:
        """The streams of a new session; `lost` is called where they end by themselves."""


class Session:
    """One session, from its beginning until it is lost or ended."""

    def __init__(self, client: Client, end: asyncio.Event) -> None:
        self.client = client
        self._end = end
        self.listed = -float("inf")
        """When its tools were listed last (`time.monotonic`), if they need not be again."""

    def end(self) -> None:
        """The next call opens a new one."""
        self._end.set()

    @property
    def is_over(self) -> bool:
        """Whether it can be used no more."""
        return self._end.is_set()


class Lost(ToolError):
    """The session ended while something was under way: nobody knows whether it was done."""


class Connection:
    """Work is brought to it with `ask`, from any loop."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._starting = threading.Lock()
        self._thread: _Thread | None = None
        self._closed = False

    async def ask(self, work: Callable[[Session], Awaitable[T]], seconds: float) -> T:
        """What `work` gives, done with a session in the connection's own loop.

        Raises ToolError where no session can be opened, Lost where it ended meanwhile,
        DeadlineError after `seconds`.
        """
        thread = self._started()
        asked = asyncio.run_coroutine_threadsafe(thread.ask(work, seconds), thread.loop)
        try:
            return await asyncio.wrap_future(asked)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is not None and caller.cancelling():
                raise
            raise Lost(
                "the connection with the MCP server was closed before it answered",
                where=self._transport.where,
            ) from None

    async def close(self) -> None:
        """End the session, and the server where it is a process. Later calls are refused."""
        self._closed = True
        if (thread := self._thread) is not None:
            await asyncio.to_thread(thread.stop)

    def stop(self) -> None:
        """The same where nothing can be awaited: it is collected, or the process ends."""
        self._closed = True
        if self._thread is not None:
            self._thread.stop()

    def _started(self) -> _Thread:
        with self._starting:
            if self._closed:
                raise ToolError(
                    "the connection with the MCP server is closed",
                    where=self._transport.where,
                    cure="Call its tools inside of `async with`, or make a new on.tools.mcp(...).",
                )
            if self._thread is None or not self._thread.is_alive:
                self._thread = _Thread(self._transport)
            return self._thread


class _Thread:
    """The loop, and the session that is open in it. It knows nothing of whoever asks, so that a
    connection that is forgotten can be collected, and ended."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._process = os.getpid()
        self._session: Session | None = None
        self._holding: asyncio.Task[None] | None = None
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.loop = self._runner.get_loop()
        self._opening = asyncio.Lock()
        self._thread = threading.Thread(target=self._drive, name="onrecord-mcp", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """A forked child has none of its parent's threads."""
        return self._process == os.getpid() and self._thread.is_alive()

    def stop(self) -> None:
        """End the session and the loop, and wait for it. From any thread."""
        if not self.is_alive:
            return
        with suppress(RuntimeError):  # it has just ended
            self.loop.call_soon_threadsafe(self.loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(2 * _CLEAN_UP)

    def _drive(self) -> None:
        with self._runner:
            self.loop.run_forever()
            self.loop.run_until_complete(self._end())

    async def _end(self) -> None:
        holding = self._holding
        if holding is None:
            return
        if self._session is not None:
            self._session.end()
            await asyncio.wait([holding], timeout=_CLEAN_UP)
        holding.cancel()  # it connects, or does not come to an end
        await asyncio.wait([holding], timeout=_CLEAN_UP)

    async def ask(self, work: Callable[[Session], Awaitable[T]], seconds: float) -> T:
        """As of the connection; in this loop."""
        session: Session | None = None
        try:
            async with asyncio.timeout(seconds) as limit:
                session, holding = await self._opened()
                return await _while_held(work(session), holding)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineError(
                f"the MCP server did not answer in {seconds:g} s", where=self._transport.where
            ) from None
        except Lost:
            if session is not None:  # this one: another call may have opened the next
                session.end()
            raise Lost(
                "the connection with the MCP server was lost before it answered, and what it was "
                "asked to do may have been done",
                where=self._transport.where,
            ) from None

    async def _opened(self) -> tuple[Session, asyncio.Task[None]]:
        async with self._opening:
            if self._session is not None and self._holding is not None:
                if not self._session.is_over:
                    return self._session, self._holding
                self._session = None
                await asyncio.wait([self._holding])
            opened: asyncio.Future[Session] = self.loop.create_future()
            # A context of its own: it outlives the call that happens to open it.
            self._holding = self.loop.create_task(self._hold(opened), context=contextvars.Context())
            try:
                await asyncio.wait([opened])
            except asyncio.CancelledError:
                self._holding.cancel()
                raise
            self._session = opened.result()
            return self._session, self._holding

    async def _hold(self, opened: asyncio.Future[Session]) -> None:
        """One session, from its beginning to its end."""
        end = asyncio.Event()
        session: Session | None = None

        async def heard(message: object) -> None:
            if session is not None and isinstance(message, ToolListChangedNotification):
                session.listed = -float("inf")

        streams = self._transport.connected(end.set)
        client = Client(streams, cache=None, message_handler=heard, client_info=_us())
        failure: BaseException | None = None
        try:
            async with client:
                session = Session(client, end)
                opened.set_result(session)
                listening = asyncio.create_task(_listen(session))
                try:
                    await end.wait()
                finally:
                    listening.cancel()
        except BaseException as error:  # the SDK raises what its transports raise, in groups
            failure = error
            if isinstance(error, asyncio.CancelledError):
                raise
            if session is not None:
                why = " ".join(filter(None, (_reason(_leaf(error)), self._transport.last_words())))
                _log.warning("the MCP server %s was lost: %s", self._transport.where, why)
        finally:
            end.set()
            if not opened.done():
                opened.set_exception(self._unreachable(failure))
                opened.exception()  # whoever asked may have given up

    def _unreachable(self, error: BaseException | None) -> OnrecordError:
        leaf = _leaf(error)
        if isinstance(leaf, OnrecordError):
            return leaf
        why = " ".join(filter(None, (_reason(leaf), self._transport.last_words())))
        return ToolError(
            f"there is no connection with the MCP server: {why}", where=self._transport.where
        )


async def _while_held(work: Awaitable[T], holding: asyncio.Task[None]) -> T:
    """What the work gives; it ends where the session does."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task, holding], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Lost("the session ended")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=1.0)


async def _listen(session: Session) -> None:
    """Hear of changed definitions from servers of the newer protocol, which tell only who asks."""
    tools = session.client.server_capabilities.tools
    if tools is None or not tools.list_changed:
        return
    # Whoever does not support it tells with the next listing.
    with suppress(Exception):
        async with session.client.listen(tools_list_changed=True) as changes:
            async for _ in changes:
                session.listed = -float("inf")


def is_stale(session: Session) -> bool:
    """Whether the definitions have to be read again before a call."""
    return time.monotonic() - session.listed > _FRESH


def _us() -> Implementation:
    return Implementation(name="onrecord", version=version("onrecord"))


def _leaf(error: BaseException | None) -> BaseException | None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _reason(error: BaseException | None) -> str:
    if error is None or isinstance(error, asyncio.CancelledError):
        return "it ended."
    if isinstance(error, MCPError):
        return f"{error.message.rstrip('.')}."
    return f"{type(error).__name__}: {str(error)[:300].rstrip('.')}."


_log = logging.getLogger(__name__)
_CLEAN_UP = 8.0
_FRESH = 60.0
