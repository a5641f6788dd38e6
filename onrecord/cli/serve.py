"""`onrecord serve`: flows, agents and collections for other programs."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Coroutine, Mapping
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onrecord.arguments import closest
from onrecord.cli.objects import named
from onrecord.cli.output import complain
from onrecord.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from onrecord.serving.offers import Offer, Offers


def serve(
    application: Annotated[
        str | None,
        typer.Argument(
            help="FILE.py or package.module: its flows and agents are offered, and its tools that "
            "need no approval.",
            show_default=False,
        ),
    ] = None,
    mcp: Annotated[bool, typer.Option("--mcp", help="By the Model Context Protocol.")] = False,
    flows: Annotated[
        str | None, typer.Option("--flows", "-f", help="Only these: NAME,NAME.", metavar="NAMES")
    ] = None,
    collections: Annotated[
        str | None,
        typer.Option(
            "--collections", "-c", help="Offer the search of these: NAME,NAME.", metavar="NAMES"
        ),
    ] = None,
    http: Annotated[
        bool, typer.Option("--http", help="Over HTTP, instead of standard input and output.")
    ] = False,
    host: Annotated[str, typer.Option("--host", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", "-p", help="0: any that is free.", min=0, max=65535)
    ] = 8765,
    hosts: Annotated[
        str | None,
        typer.Option(
            "--hosts",
            help="Other names that requests may come under, such as a proxy's: NAME,NAME.",
            metavar="NAMES",
        ),
    ] = None,
) -> None:
    """Offer flows, agents, tools and collections to other programs.

    `onrecord serve app.py --mcp` is a server that an MCP client starts; with `--http` one that it
    finds at http://127.0.0.1:8765/mcp. Whoever reaches the address may call what is offered: it is
    this machine alone, unless `--host` says otherwise.
    """
    if not mcp:
        raise UsageError("nothing says how to serve", cure="Write --mcp.")
    _check_installed()
    from onrecord.serving.listening import is_loopback
    from onrecord.serving.mcp_server import serve_http, serve_stdio, server

    with redirect_stdout(sys.stderr):  # what the application prints is no message of the protocol
        offered = _offers(application, _several(flows), _several(collections) or [])
        served = server(offered)
    names = ", ".join(each.name for each in offered.schemas)
    if http:

        def started(address: str) -> None:
            complain(f"{names}: at {address} (Ctrl-C ends it)")
            if not is_loopback(host):
                complain("warning: whoever reaches this address may call them; nobody is asked who")

        _run(serve_http(served, host, port, started, hosts=_several(hosts) or ()))
    else:
        complain(f"{names}: on standard input and output")
        _run(serve_stdio(served))


def _check_installed() -> None:
    try:
        from mcp.server import Server  # noqa: F401  # of version 2
    except ImportError:
        raise MissingExtraError(
            "to serve by the Model Context Protocol needs an optional package",
            cure="Install it with: pip install 'onrecord[mcp]'",
        ) from None


def _offers(application: str | None, flows: list[str] | None, collections: list[str]) -> Offers:
    from onrecord.retrieval.collection import Collection
    from onrecord.serving.offers import OfferedCollection, Offers

    if application is None and not collections:
        raise UsageError(
            "nothing is named that could be offered",
            cure="Name a file with flows (app.py), or --collections NAME.",
        )
    offers: list[Offer] = []
    if application is not None:
        offers += _of_module(application, flows)
    elif flows:
        raise UsageError("--flows names flows of no file", cure="Name it: app.py --flows NAME.")
    for name in collections:
        collection = Collection.open(name)
        if not collection.version:
            raise UsageError(
                f"the collection '{name}' is empty",
                cure=f"Fill it: onrecord ingest FOLDER --collection {name}",
            )
        offers.append(OfferedCollection(collection))
    return Offers(offers)


def _of_module(application: str, flows: list[str] | None) -> list[Offer]:
    """What a module offers. By default that is its flows, its agents and the tools that need no
    approval; what Onrecord brings along (on.ask, on.tools.…) is offered where it is named."""
    from onrecord.programs.agents.agent import Agent
    from onrecord.programs.flow import Flow
    from onrecord.programs.tool import Tool

    names: Mapping[str, Any] = named(f"{application}:__dict__")
    found = {
        each.name: each
        for name, each in names.items()
        if isinstance(each, Flow | Tool | Agent) and not name.startswith("_")
    }
    own = [name for name, each in found.items() if not _is_ours(each)]
    if flows is None and not own:
        raise UsageError(
            f"there is no flow in {application}", cure="Write @on.flow before a function."
        )
    for name in flows or ():
        if name not in found:
            raise UsageError(
                f"there is no flow '{name}' in {application}",
                cure=f"{closest(name, found)}There are: {', '.join(found)}.",
            )
    return [
        each
        for name in (own if flows is None else flows)
        if (each := _offer(found[name], is_named=flows is not None)) is not None
    ]


def _offer(each: Any, *, is_named: bool) -> Offer | None:
    """One of them; None, and a word about it, for a tool that nobody named and nobody may call."""
    from onrecord.programs.agents.agent import Agent
    from onrecord.programs.tool import Tool
    from onrecord.serving.offers import OfferedAgent, OfferedFlow, OfferedTool

    if isinstance(each, Agent):
        return OfferedAgent(each)
    if not isinstance(each, Tool):
        return OfferedFlow(each)
    try:
        return OfferedTool(each)
    except UsageError as error:
        if is_named:
            raise
        complain(f"not offered: {error}")
        return None


def _is_ours(each: Any) -> bool:
    """Whether it is one of Onrecord's own functions; agents are objects, and the user's."""
    code = inspect.unwrap(each)
    return inspect.isfunction(code) and code.__module__.split(".")[0] == "onrecord"


def _several(text: str | None) -> list[str] | None:
    if text is None:
        return None
    return [name for part in text.split(",") if (name := part.strip())]


def _run(serving: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(serving)
    except KeyboardInterrupt:
        complain("ended")
