"""Anthropic's Messages API as data: what is sent. What comes back is in `anthropic/answer.py`.

Nothing here opens a connection; `anthropic/api.py` does.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from onrecord.errors import ModelRefusedError
from onrecord.messages import Media, Message, Part, Text, Thinking, ToolCall, ToolResult
from onrecord.models.anthropic.schema import Inexpressible, enforced
from onrecord.models.http.sending import check_tool_choice, unsendable
from onrecord.models.model import Parameters, Request


class Dialect(NamedTuple):
    """How messages are written for one model. `where` is said in errors."""

    model: str
    samples: bool  # whether this version of the API takes temperature, top_p and top_k
    where: str

    def body(self, request: Request) -> dict[str, Any]:
        """What is sent. Raises ModelRefusedError for what cannot be done, before it is sent."""
        system, messages = _split(request.messages)
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": request.parameters.max_tokens or LONGEST,
            "messages": [wire for each in messages if (wire := self._message(each))],
            "stream": True,
            **self._parameters(request.parameters),
            **self._tools(request),
        }
        if system:
            body["system"] = system
        if request.schema is not None:
            body["output_config"] = {"format": self._format(request.schema)}
        return body

    def _parameters(self, parameters: Parameters) -> dict[str, Any]:
        sampling = {name: getattr(parameters, name) for name in _SAMPLING}
        refused = {name: getattr(parameters, name) for name in _UNKNOWN}
        refused |= {} if self.samples else sampling
        if parameters.num_beams == 1:
            refused.pop("num_beams")
        for name, value in refused.items():
            if value is not None:
                raise self._refused(name, "Anthropic's API does not take it")
        wire = {**sampling, "stop_sequences": list(parameters.stop) or None}
        return {name: value for name, value in wire.items() if value is not None}

    def _tools(self, request: Request) -> dict[str, Any]:
        check_tool_choice(request, self.where)
        choice = request.tool_choice
        if not request.tools:
            return {}
        tools = [
            {"name": each.name, "description": each.description, "input_schema": each.parameters}
            for each in request.tools
        ]
        if choice == "auto":
            return {"tools": tools}
        wire = {"none": {"type": "none"}, "required": {"type": "any"}}
        return {"tools": tools, "tool_choice": wire.get(choice, {"type": "tool", "name": choice})}

    def _format(self, schema: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"type": "json_schema", "schema": enforced(schema)}
        except Inexpressible as error:
            raise self._refused(
                "the JSON schema", f"it holds {error}, which output_config.format has no form for"
            ) from None

    def _message(self, message: Message) -> dict[str, Any] | None:
        """One message; None where nothing of it is left: empty texts are refused."""
        parts = [part for part in message.parts if _has_content(part)]
        # The results of tools come before all words.
        parts.sort(key=lambda part: not isinstance(part, ToolResult))
        role = "user" if message.role == "tool" else message.role
        blocks = [self._block(part) for part in parts]
        return {"role": role, "content": blocks} if blocks else None

    def _block(self, part: Part) -> dict[str, Any]:
        if isinstance(part, Text):
            return {"type": "text", "text": part.text}
        if isinstance(part, ToolCall):
            input = _object(part.arguments)
            return {"type": "tool_use", "id": _id(part.id), "name": part.name, "input": input}
        if isinstance(part, ToolResult):
            result = {"type": "tool_result", "tool_use_id": _id(part.id), "content": part.text}
            return {**result, "is_error": True} if part.failed else result
        if isinstance(part, Thinking):
            if part.redacted:
                return {"type": "redacted_thinking", "data": part.signature}
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        return self._media(part)

    def _media(self, part: Media) -> dict[str, Any]:
        kind = part.media_type.lower().partition(";")[0]
        image = kind.startswith("image/")
        block = "image" if image else "document"
        if not part.url.startswith("data:"):
            if not (image or kind == "application/pdf"):
                raise self._refused(kind, "of files by their address it takes images and PDF")
            return {"type": block, "source": {"type": "url", "url": part.url}}
        head, _, held = part.url.partition(",")
        if kind == "text/plain":
            source = {"type": "text", "media_type": kind, "data": _words(head, held)}
        elif kind in _READ and head.endswith(";base64"):
            source = {"type": "base64", "media_type": kind, "data": held}
        else:
            raise self._refused(kind, "it takes PNG, JPEG, GIF, WebP and PDF in base64, and text")
        return {"type": block, "source": source}

    def _refused(self, name: str, why: str) -> ModelRefusedError:
        return unsendable(name, why, self.where)


def _split(messages: tuple[Message, ...]) -> tuple[str, tuple[Message, ...]]:
    """The words of the system messages that come first, and the other messages."""
    first = next((at for at, each in enumerate(messages) if each.role != "system"), len(messages))
    system = "\n\n".join(each.text for each in messages[:first] if each.text)
    return system, messages[first:]


def _has_content(part: Part) -> bool:
    """Whether the API takes a part: no empty words, and no thoughts but its own, signed ones."""
    if isinstance(part, Thinking):
        return bool(part.signature)
    return not isinstance(part, Text) or bool(part.text)


def _object(arguments: str) -> dict[str, Any]:
    """The arguments of a call. What is no JSON object, the model's own mistake, is shown to it as
    the text that it wrote."""
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"not_a_json_object": arguments}


def _id(id: str) -> str:
    """A call's id, which may come from another provider, in the letters that are taken here."""
    return re.sub(r"[^\w-]", "_", id, flags=re.ASCII) or "_"


def _words(head: str, held: str) -> str:
    if not head.endswith(";base64"):
        return unquote_to_bytes(held).decode("utf-8", "replace")
    try:
        return base64.b64decode(held).decode("utf-8", "replace")
    except binascii.Error:
        return held


# The API demands a limit. Every model that it serves may say as much; each token is paid for only
# once it is there.
LONGEST = 32_000
_SAMPLING = ("temperature", "top_p", "top_k")
_UNKNOWN = (
    *("seed", "min_p", "min_tokens", "num_beams", "length_penalty", "repetition_penalty"),
    *("presence_penalty", "frequency_penalty", "logprobs"),
)
_READ = ("image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf")
