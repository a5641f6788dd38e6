"""A server that is a process of ours, spoken to over its standard input and output.

The SDK's own transport keeps a line of any length, prints what it cannot read with a traceback, and
leaves standard error to the terminal. This one bounds a message, and keeps the last words of
standard error for whoever asks why the server does not answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from onrecord.errors import UsageError
from onrecord.programs.tools.mcp_client.results import MOST_BYTES
from onrecord.records.views.wording import visible

Incoming = MemoryObjectSendStream[SessionMessage | Exception]
Outgoing = MemoryObjectReceiveStream[SessionMessage]


class LocalServer:
    """A command that starts a server. Of this process' environment it gets what a program needs to
    start (PATH, HOME, …) and `env`; it runs in `folder`, in a process group of its own."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        folder: str | Path | None,
        name: str,
    ) -> None:
        self._name = name
        self._command = tuple(command)
        self._env = dict(env)
        self._folder = folder
        self._said = bytearray()
        self._ended = ""

    @property
    def key(self) -> str:
        """What its pins are kept under: arguments may hold secrets, so their hash."""
        if self._name:
            return self._name
        hashed = hashlib.sha256("\0".join(self._command).encode("utf-8", "replace")).hexdigest()
        return f"{Path(self._command[0]).name} {hashed[:12]}"

    @property
    def where(self) -> str:
        """What an error names."""
        return self._name or visible(shlex.join(self._command[:1]))

    def last_words(self) -> str:
        """How it ended, and what it wrote to standard error last."""
        said = " ".join(visible(self._said.decode("utf-8", "replace")).split())[-_SAID:]
        return self._ended + (f" Its last words: {said}" if said else "")

    @asynccontextmanager
    async def connected(self, lost: Callable[[], None]) -> AsyncIterator[Any]:
        """The streams of a new process, as the SDK takes them; `lost` is called when it closes its
        output. However this is left, the process is ended, with all that it has started."""
        self._said.clear()
        self._ended = ""
        process = await self._start()
        incoming, heard = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        said, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        tasks = [
            asyncio.create_task(self._read(process, incoming, lost)),
            asyncio.create_task(self._write(process, outgoing, lost)),
            asyncio.create_task(self._overhear(process)),
        ]
        try:
            yield heard, said
        finally:
            ending = asyncio.ensure_future(self._end(process, tasks))
            while not ending.done():  # a cancelled caller leaves no process behind
                with suppress(asyncio.CancelledError):
                    await asyncio.shield(ending)
            for each in (incoming, heard, said, outgoing):
                each.close()

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=get_default_environment() | self._env,
                cwd=self._folder,
                start_new_session=True,
                limit=MOST_BYTES,
            )
        except (OSError, ValueError) as error:
            raise UsageError(
                f"the MCP server cannot be started: {getattr(error, 'strerror', None) or error}",
                where=self.where,
                cure="Name a program that there is: command=['server', '--flag'].",
            ) from None

    async def _read(
        self, process: asyncio.subprocess.Process, incoming: Incoming, lost: Callable[[], None]
    ) -> None:
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                try:
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    self._remember(b"(no MCP message) " + line)
                    continue
                await incoming.send(SessionMessage(message))
            self._ended = "It has closed its output."
        except ValueError:  # readline's word for a line over the limit
            self._ended = f"It sent a message of more than {MOST_BYTES:,} bytes."
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return
        finally:
            incoming.close()
            lost()

    async def _write(
        self, process: asyncio.subprocess.Process, outgoing: Outgoing, lost: Callable[[], None]
    ) -> None:
        assert process.stdin is not None
        with suppress(OSError):
            async for each in outgoing:
                text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(text.encode("utf-8", "replace") + b"\n")
                await process.stdin.drain()
            return
        lost()

    async def _overhear(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while some := await process.stderr.read(65536):
            self._remember(some)

    def _remember(self, some: bytes) -> None:
        self._said += some[-4 * _SAID :]
        del self._said[: -4 * _SAID]

    async def _end(
        self, process: asyncio.subprocess.Process, tasks: Sequence[asyncio.Task[None]]
    ) -> None:
        """Close its input, as the protocol says; then ask its whole group to end, then make it."""
        assert process.stdin is not None
        process.stdin.close()
        try:
            for sign in (signal.SIGTERM, signal.SIGKILL):
                if await _exited(process):
                    break
                _signal(process, sign)
            await _exited(process)
        finally:
            _signal(process, signal.SIGKILL)  # those whom it has started, and did not wait for
        if process.returncode is not None:
            self._ended = self._ended or f"It ended with exit status {process.returncode}."
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        transport = getattr(process, "_transport", None)  # nothing public closes the pipes' ends
        if transport is not None:
            transport.close()


async def _exited(process: asyncio.subprocess.Process) -> bool:
    """Whether it ends within the time of one patience. Not `wait()`: that waits for whoever else
    holds its output, too."""
    for _ in range(int(_PATIENCE / _STEP)):
        if process.returncode is not None:
            return True
        await asyncio.sleep(_STEP)
    return process.returncode is not None


def _signal(process: asyncio.subprocess.Process, sign: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, sign)


_SAID = 500
_PATIENCE, _STEP = 2.0, 0.01
