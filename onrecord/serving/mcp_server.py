"""Flows, tools, agents and collections as a server of the Model Context Protocol.

flow, tool   an MCP tool: its arguments from the signature, its words from the docstring
agent        an MCP tool that takes a task in words
collection   an MCP tool `search_NAME`, and its documents as resources
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from importlib.metadata import version
from typing import Any
from urllib.parse import quote, unquote

import uvicorn
from mcp import MCPError, types
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server

from onrecord.errors import OnrecordError, UsageError
from onrecord.retrieval.collection import Collection
from onrecord.serving.listening import listening, named, security
from onrecord.serving.offers import Offers


def server(offers: Offers, *, name: str = "onrecord") -> Server[Any]:
    """The SDK's server of what is offered."""
    own_session = f"mcp-{uuid.uuid4().hex}"
    tools = [
        types.Tool(name=each.name, description=each.description, input_schema=each.parameters)
        for each in offers.schemas
    ]

    async def list_tools(
        asked: ServerRequestContext[Any], page: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools)

    async def call_tool(
        asked: ServerRequestContext[Any], call: types.CallToolRequestParams
    ) -> types.CallToolResult:
        answer = await offers.call(call.name, call.arguments or {}, _session(asked, own_session))
        return types.CallToolResult(
            content=[types.TextContent(text=answer.text)],
            structured_content=answer.value,
            is_error=answer.failed,
        )

    documents = Documents(offers.collections)
    resources: dict[str, Any] = {}
    if offers.collections:
        resources = {
            "on_list_resources": documents.none,
            "on_list_resource_templates": documents.templates,
            "on_read_resource": documents.read,
        }
    return Server(
        name,
        version=version("onrecord"),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        **resources,
    )


class Documents:
    """The documents of collections as resources: collection://NAME/ID."""

    def __init__(self, collections: Mapping[str, Collection]) -> None:
        self._collections = collections

    async def none(self, asked: Any, page: Any) -> types.ListResourcesResult:
        """Collections are searched, not listed: a search gives the ids."""
        return types.ListResourcesResult(resources=[])

    async def templates(self, asked: Any, page: Any) -> types.ListResourceTemplatesResult:
        """How the address of a document is made."""
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    name=name,
                    uri_template=f"collection://{quote(name)}/{{id}}",
                    description=f"A document of '{name}' by its id, as a search gives it.",
                    mime_type="text/plain",
                )
                for name in self._collections
            ]
        )

    async def read(
        self, asked: Any, wanted: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """The text of a document."""
        name, _, id = str(wanted.uri).removeprefix("collection://").partition("/")
        collection = self._collections.get(unquote(name))
        try:
            if collection is None:
                raise UsageError(f"there is no collection '{name:.80}'")
            found = await asyncio.to_thread(collection.document, unquote(id))
        except OnrecordError as error:
            raise MCPError(types.INVALID_PARAMS, str(error)) from None
        return types.ReadResourceResult(
            contents=[
                types.TextResourceContents(
                    uri=str(wanted.uri), mime_type="text/plain", text=found.text
                )
            ]
        )


async def serve_stdio(served: Server[Any]) -> None:
    """Serve whoever started this process, until standard input ends. What is printed meanwhile goes
    to standard error."""
    async with stdio_server() as (heard, said):
        # The SDK diverts the descriptor; what is buffered above it would come out at the end.
        with redirect_stdout(sys.stderr):
            await served.run(heard, said, served.create_initialization_options())


async def serve_http(
    served: Server[Any],
    host: str,
    port: int,
    started: Callable[[str], None],
    *,
    hosts: Iterable[str] = (),
) -> None:
    """Serve over streamable HTTP at http://HOST:PORT/mcp until it is stopped; `started` is told the
    address. Requests are refused whose Host or Origin is another one, so that no web page reaches
    it through a name of its own; `hosts` are further names, those of a proxy. Nobody has to say who
    they are. Raises UsageError where the port is taken."""
    socket = listening(host, port)
    port = socket.getsockname()[1]
    app = served.streamable_http_app(transport_security=security(host, port, hosts), host=host)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    running = uvicorn.Server(config)
    started(f"http://{named(host)}:{port}/mcp")
    with socket:
        await running.serve(sockets=[socket])


def _session(asked: ServerRequestContext[Any], own: str) -> str | None:
    """The session of a call: over HTTP the one that the client names, which newer clients have no
    more; over standard input there is one a process."""
    if asked.request is None:
        return own
    named = asked.request.headers.get("mcp-session-id")
    return f"mcp-{named}" if named else None
