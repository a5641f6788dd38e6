"""The two requests of a client: which tools there are, and a call of one."""

from __future__ import annotations

from typing import Any

from mcp import MCPError
from mcp.types import (
    CONNECTION_CLOSED,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    PaginatedRequestParams,
)
from pydantic import TypeAdapter, ValidationError

from onrecord.errors import OnrecordError, ToolError, UsageError
from onrecord.programs.tools.mcp_client.connection import Lost, Session
from onrecord.programs.tools.mcp_client.definitions import Definition
from onrecord.programs.tools.mcp_client.results import cut, said, value


async def definitions(session: Session) -> dict[str, Definition]:
    """Every tool that the server offers, by its name. Raises ToolError for a listing that has
    no end or cannot be read, and for two tools of one name."""
    found: dict[str, Definition] = {}
    cursor: str | None = None
    try:
        while True:
            page = await session.client.session.list_tools(
                params=PaginatedRequestParams(cursor=cursor)
            )
            for each in page.tools:
                if each.name in found:
                    raise ToolError(f"the MCP server offers two tools '{each.name:.80}'")
                words = each.description or ""
                found[each.name] = Definition(each.name, words, each.input_schema)
            if len(found) > _MOST_TOOLS:
                raise ToolError(f"the MCP server offers more than {_MOST_TOOLS:,} tools")
            if page.next_cursor is None:
                return found
            if not page.tools:
                raise ToolError("the MCP server's list of tools has an empty page")
            cursor = page.next_cursor
    except ValidationError as error:
        raise ToolError(
            f"the MCP server's list of tools cannot be read: {error.errors()[0]['msg']}"
        ) from None
    except RecursionError:
        raise ToolError("a definition of the MCP server is nested too deeply") from None
    except MCPError as error:
        raise _lost_or(
            ToolError(f"the MCP server does not list its tools: {_said(error)}"), error, session
        ) from None


async def call_tool(session: Session, name: str, arguments: dict[str, Any]) -> Any:
    """What a call gives. Raises UsageError where the server refuses it, ToolError where the
    tool failed, both with the server's words; Lost where it is not known.

    The SDK's own `call_tool` is not used: it raises where a result does not fit the output schema,
    after the tool has acted.
    """
    request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=arguments))
    try:
        result = await session.client.session.send_request(request, _RESULT)
    except ValidationError:
        raise Lost(
            f"what the MCP server answered to '{name}' is no result, and whether the call was "
            "carried out is not known"
        ) from None
    except MCPError as error:
        if error.code in _REFUSED:
            refused: OnrecordError = UsageError(
                f"the MCP server refuses to call '{name}': {_said(error)}"
            )
        else:
            refused = ToolError(f"'{name}' failed: {_said(error)}")
        raise _lost_or(refused, error, session) from None
    if isinstance(result, InputRequiredResult):
        raise ToolError(
            f"'{name}' asks for more before it answers (elicitation or sampling), which is not "
            "offered to MCP servers"
        )
    if result.is_error:
        raise ToolError(f"'{name}' failed: {cut(said(result), _MOST_WORDS)}")
    return value(result)


def _lost_or(otherwise: OnrecordError, error: MCPError, session: Session) -> OnrecordError:
    """What an error of the SDK's means: the session was lost, or the server said so."""
    session.listed = -float("inf")  # the definitions may have changed
    if error.code in _BROKEN:  # the next call opens a new one
        session.end()
        return Lost(error.message)
    return otherwise


def _said(error: MCPError) -> str:
    return cut(error.message, _MOST_WORDS)


_RESULT: TypeAdapter[CallToolResult | InputRequiredResult] = TypeAdapter(
    CallToolResult | InputRequiredResult
)
_REFUSED = (INVALID_PARAMS, METHOD_NOT_FOUND)
# What the SDK makes of an answer that is none, and of a session that the server does not know.
_BROKEN = (CONNECTION_CLOSED, PARSE_ERROR, INVALID_REQUEST)
_MOST_TOOLS = 1_000
_MOST_WORDS = 4_000
