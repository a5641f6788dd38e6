"""What a server answered, as a tool gives it: texts, or the plain JSON values that it sent."""

from __future__ import annotations

import base64
import json
from typing import Any

from mcp.types import CallToolResult

MOST_BYTES = 16_000_000
"""The longest message that is taken from a server; one that is longer ends the connection."""

MOST_CHARACTERS = 100_000
"""So much of a result is kept."""


def said(result: CallToolResult) -> str:
    """The words of a result: texts, and of everything else what it is, in brackets."""
    return "\n".join(_words(each) for each in result.content)


def value(result: CallToolResult) -> Any:
    """What a result gives: its structured content where its texts say the same, else its words;
    where both say something, both by name."""
    structured, words = result.structured_content, said(result)
    if structured is None:
        return cut(words)
    # Many servers wrap a value that is no object.
    alone = structured["result"] if list(structured) == ["result"] else structured
    if result.content and not _says(words, alone) and not _says(words, structured):
        alone = {"text": words, "structured": structured}
    text = alone if isinstance(alone, str) else json.dumps(alone, ensure_ascii=False)
    return alone if len(text) <= MOST_CHARACTERS else cut(text)


def cut(text: str, most: int | None = None) -> str:
    """A text up to a bound, and how much it was."""
    most = MOST_CHARACTERS if most is None else most
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[cut: these are {most:,} of {len(text):,} characters]"


def _words(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "image" | "audio":
            return f"[{block.type}, {block.mime_type}, {_size(block.data)}: it is not shown]"
        case "resource_link":
            about = f": {block.description}" if block.description else ""
            return f"[resource {block.name}, {block.uri}{about}]"
        case "resource":
            inside = block.resource
            if (text := getattr(inside, "text", None)) is not None:
                return f"[resource {inside.uri}]\n{text}"
            kind = inside.mime_type or "bytes"
            return f"[resource {inside.uri}, {kind}, {_size(inside.blob)}: it is not shown]"
        case other:
            return f"[{other}: it is not shown]"


def _size(data: str) -> str:
    try:
        return f"{len(base64.b64decode(data)):,} bytes"
    except ValueError:
        return "no Base64"


def _says(words: str, structured: Any) -> bool:
    """Whether a text is a value: itself, its JSON, or its items one below the other."""
    if words == structured:
        return True
    if isinstance(structured, list) and words in _below_each_other(structured):
        return True
    try:
        return bool(json.loads(words) == structured)
    except (ValueError, RecursionError):
        return False


def _below_each_other(items: list[Any]) -> list[str]:
    """A list as texts, one for each item, as servers write them."""
    return [
        "\n".join(
            each if isinstance(each, str) else json.dumps(each, indent=indent) for each in items
        )
        for indent in (None, 2)
    ]
