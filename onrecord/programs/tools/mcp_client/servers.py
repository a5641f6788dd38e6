"""The tools of a server of the Model Context Protocol, as tools of ours.

    async with on.tools.mcp(command=["shop-mcp", "--readonly"]) as tools:
        agent = on.Agent(model, tools=tools)

    shop = on.tools.mcp("https://shop.example/mcp", headers={"authorization": f"Bearer {key}"})
    tools = shop.tools.run()        # connects; later calls connect again where they have to

A server is somebody else's program, and so are its words: a tool's description is shown to the
model as the server wrote it. What it was when a person saw it first is pinned.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
import weakref
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from onrecord.arguments import closest, several
from onrecord.calling import Operation
from onrecord.errors import MissingExtraError, UsageError
from onrecord.messages import ToolSchema
from onrecord.programs.tool import Tool, described
from onrecord.programs.tools.mcp_client.definitions import Definition, difference, parts
from onrecord.programs.tools.mcp_client.pins import Listing, Pins
from onrecord.records.views.wording import visible
from onrecord.settings import Settings

if TYPE_CHECKING:
    from onrecord.programs.tools.mcp_client.connection import Connection, Session, Transport

Names = bool | Collection[str]
"""All of the tools, none, or those of these names (as the server has them)."""


def mcp(
    url: str | None = None,
    *,
    command: Sequence[str] | None = None,
    headers: Mapping[str, str] = {},
    env: Mapping[str, str] = {},
    folder: str | Path | None = None,
    only: Collection[str] | None = None,
    prefix: str = "",
    approve: Names = True,
    idempotent: Names = False,
    pinned: str | Path | None = None,
    accept: Collection[str] = (),
    name: str = "",
    seconds: float = 60.0,
) -> McpServer:
    """A server of the Model Context Protocol: at a `url` (streamable HTTP, with `headers`), or a
    `command` that is started here and spoken to over its standard input and output (with `env`
    beside PATH, HOME and the like, in `folder`). Its tools: `async with` it, or `.tools`.

    `only`: the tools that are wanted, by the server's names. `prefix` stands before the names that
    a model sees. `approve`: calls of which a model may make only with a person's approval: of all
    (the default), of none, or of those named. `idempotent`: those that may be repeated when a flow
    is resumed; of the others a person is asked. What the server itself says of its tools (that one
    only reads, say) is not trusted for either. `seconds` is the time for one call.

    Definitions are pinned when the server is first seen: `pinned` is the file (by default
    `mcp.json` in the settings' home; name one that is under version control), `name` what the
    server is called there. A tool whose definition changes is refused until the new one is
    accepted, and one that is new is not offered: `accept=["NAME@HASH"]`, as the message tells.

    It does not protect against: a server that does something else than its description says, with
    the same description; a first description that misleads; what a started server does with the
    rights of this user (it is no sandbox). Raises UsageError, MissingExtraError.
    """
    if (url is None) == (command is None):
        raise UsageError(
            "an MCP server is either at a URL, or started by a command",
            cure="Write on.tools.mcp('https://host/mcp') or command=['server', '--flag'].",
        )
    _check_installed()
    if url is None:
        transport = _local(
            several(command, "the words of a command", texts=True), env, folder, name
        )
    else:
        transport = _remote(url, headers, name)
    names = None if only is None else several(only, "the names of tools", texts=True)
    path = Settings.load().home / "mcp.json" if pinned is None else Path(pinned).absolute()
    return McpServer(
        transport,
        Pins(path, transport.key),
        Choice(names, prefix, _names(approve), _names(idempotent), _hashes(accept), seconds),
    )


class Choice(msgspec.Struct, frozen=True):
    """Which tools of a server are offered, and how they are called."""

    only: tuple[str, ...] | None
    prefix: str
    approve: bool | tuple[str, ...]
    idempotent: bool | tuple[str, ...]
    accept: dict[str, str]
    seconds: float

    def check(self, known: Collection[str], where: str) -> None:
        """Raises UsageError for a name that the server does not offer."""
        for option in ("only", "approve", "idempotent"):
            named = getattr(self, option)
            for name in () if named is None or isinstance(named, bool) else named:
                if name not in known:
                    there = ", ".join(sorted(known)[:20]) or "none"
                    raise UsageError(
                        f"the MCP server has no tool '{name}', which {option}= names",
                        where=where,
                        cure=f"{closest(name, known)}There are: {visible(there)}.",
                    )


class McpServer:
    """A server, and the connection with it. It is opened when it is first needed, and again after
    it was lost; `close` ends it, and so does the end of this process."""

    def __init__(self, transport: Transport, pins: Pins, choice: Choice) -> None:
        from onrecord.programs.tools.mcp_client.connection import Connection

        self._where = transport.where
        self._pins = pins
        self._choice = choice
        self._connection: Connection = Connection(transport)
        self._listing: Listing | None = None
        self._told: set[str] = set()
        weakref.finalize(self, self._connection.stop)

    @Operation
    async def tools(self) -> list[Tool[..., Any]]:
        """Its tools, as the server describes them and a person has accepted them.

        Raises UsageError for definitions that have changed, with the difference, and for those that
        cannot be used; ToolError where the server does not answer; StorageError for the pins.
        """
        listing = await self._connection.ask(self._list, self._choice.seconds)
        known = {**listing.pinned, **listing.new}
        self._choice.check(known.keys(), self._where)
        only = self._choice.only
        wanted = list(listing.pinned if only is None else only)
        problems = [words for name in wanted if (words := self._problem(name, listing))]
        names = _model_names(wanted, self._choice.prefix)
        made = []
        for name in wanted:
            try:
                made.append(self._made(known[name], names[name]))
            except UsageError as error:
                problems.append(f"'{visible(name)}': {error}")
        if problems:
            raise UsageError(
                "the MCP server offers tools that cannot be used as they are: "
                + " ".join(problems),
                where=self._where,
                cure="Without them: only=[...] with the names of others.",
            )
        return made

    @Operation
    async def close(self) -> None:
        """End the connection, and the server where it was started here. Its tools are refused
        afterwards."""
        await self._connection.close()

    async def __aenter__(self) -> list[Tool[..., Any]]:
        try:
            return await self.tools()
        except BaseException:
            await self.close()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _made(self, definition: Definition, name: str) -> Tool[..., Any]:
        _check_size(definition)
        choice = self._choice

        async def called(arguments: Mapping[str, Any]) -> Any:
            return await self._called(definition, dict(arguments))

        return described(
            ToolSchema(name, _bounded(definition.description), definition.parameters),
            called,
            approve=_is_named(definition.name, choice.approve),
            idempotent=_is_named(definition.name, choice.idempotent),
            seconds=choice.seconds,
        )

    async def _called(self, definition: Definition, arguments: dict[str, Any]) -> Any:
        async def call(session: Session) -> Any:
            from onrecord.programs.tools.mcp_client.connection import is_stale
            from onrecord.programs.tools.mcp_client.sending import call_tool

            if is_stale(session):
                await self._list(session)
            self._check(definition)
            return await call_tool(session, definition.name, arguments)

        return await self._connection.ask(call, self._choice.seconds)

    def _check(self, definition: Definition) -> None:
        """Raises UsageError, in words that a model may read, for a tool that is not what it was."""
        listing = self._listing
        assert listing is not None  # a session's tools are listed before its first call
        now = listing.changed.get(definition.name, listing.pinned.get(definition.name))
        if now is None:
            raise UsageError(f"the server does not offer '{definition.name}' any more")
        if now.hash != definition.hash:
            raise UsageError(
                f"'{definition.name}' was not called: its server has changed what it says of its "
                f"{parts(definition, now)}, and no person has accepted that"
            )

    async def _list(self, session: Session) -> Listing:
        from onrecord.programs.tools.mcp_client.sending import definitions

        found = await definitions(session)
        listing = self._listing = self._pins.compare(found, self._choice.accept)
        session.listed = time.monotonic()
        for name, each in listing.changed.items():
            self._tell(
                each, f"has changed: {difference(listing.pinned[name], each)}. It is refused"
            )
        for each in listing.new.values():
            self._tell(each, "is new. It is not offered")
        return listing

    def _tell(self, definition: Definition, words: str) -> None:
        """A person hears of each change once."""
        if definition.pin not in self._told:
            self._told.add(definition.pin)
            _log.warning(
                "the tool '%s' of the MCP server %s %s until it is accepted: accept=['%s']",
                visible(definition.name),
                self._where,
                words,
                visible(definition.pin),
            )

    def _problem(self, name: str, listing: Listing) -> str:
        """Why a tool that is wanted cannot be had, in a sentence; or nothing."""
        if (new := listing.new.get(name)) is not None:
            return f"'{visible(name)}' is new: read it, then accept=['{visible(new.pin)}']."
        if (now := listing.changed.get(name)) is None:
            return ""
        return (
            f"'{visible(name)}' has changed: {difference(listing.pinned[name], now)}. "
            f"Read it, then accept=['{visible(now.pin)}']."
        )


def _local(
    command: Sequence[str], env: Mapping[str, str], folder: str | Path | None, name: str
) -> Transport:
    from onrecord.programs.tools.mcp_client.local import LocalServer

    if not command:
        raise UsageError("the command of an MCP server is empty")
    return LocalServer(command, env, folder, name)


def _remote(url: str, headers: Mapping[str, str], name: str) -> Transport:
    from onrecord.programs.tools.mcp_client.remote import RemoteServer

    return RemoteServer(url, headers, name)


def _check_installed() -> None:
    try:
        from mcp import Client  # noqa: F401  # of version 2
    except ImportError:
        raise MissingExtraError(
            "tools of MCP servers need an optional package",
            cure="Install it with: pip install 'onrecord[mcp]'",
        ) from None


def _names(given: Names) -> bool | tuple[str, ...]:
    return given if isinstance(given, bool) else several(given, "the names of tools", texts=True)


def _hashes(accept: Collection[str]) -> dict[str, str]:
    found = {}
    for each in several(accept, "accepted definitions", texts=True):
        name, at, hashed = each.rpartition("@")
        if not at or not re.fullmatch(r"[0-9a-f]{32}", hashed):
            raise UsageError(
                f"accept={each!r:.120} names no definition",
                cure="Write NAME@HASH, as the message about the change has it.",
            )
        found[name] = hashed
    return found


def _is_named(name: str, names: bool | tuple[str, ...]) -> bool:
    return names if isinstance(names, bool) else name in names


def _check_size(definition: Definition) -> None:
    size = len(msgspec.json.encode(definition.parameters))
    if size > _MOST_SCHEMA:
        raise UsageError(f"the schema of its arguments has {size:,} bytes, which no model is shown")


def _bounded(description: str) -> str:
    if len(description) <= _MOST_WORDS:
        return description
    return f"{description[:_MOST_WORDS]} [cut: it has {len(description):,} characters]"


def _model_names(names: Sequence[str], prefix: str) -> dict[str, str]:
    """A name that models take for each: letters, digits, "_" and "-", at most 64. Where another one
    had to be made, or two would be the same, it ends with a hash of the server's own."""
    plain = {name: re.sub(r"[^A-Za-z0-9_-]", "_", prefix + name) for name in names}
    made = {}
    for name, each in plain.items():
        if len(each) > _MOST_NAME or list(plain.values()).count(each) > 1 or not each:
            mark = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
            each = f"{each[: _MOST_NAME - 9]}_{mark}"
        made[name] = each
    return made


_log = logging.getLogger(__name__)
_MOST_NAME = 64
_MOST_WORDS = 4_096
_MOST_SCHEMA = 64_000
