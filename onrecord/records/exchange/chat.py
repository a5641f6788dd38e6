"""Messages, in the words of Onrecord and in those of the GenAI conventions, and older spellings.

Ours are plain JSON values here, as a record holds them: `{"role", "parts": [{"type", ...}]}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from onrecord.records.record import simplified

Plain = dict[str, Any]


def to_messages(messages: object) -> list[Plain] | None:
    """Our messages in the form of `gen_ai.input.messages`; None where they are no messages."""
    if not isinstance(messages, list | tuple):
        return None
    made = [to_message(message) for message in messages]
    return None if None in made else [message for message in made if message is not None]


def to_message(message: object) -> Plain | None:
    """One of our messages in the conventions' form; None where it is none."""
    if not isinstance(message, dict) or message.keys() != {"role", "parts"}:
        return None
    role, parts = message["role"], message["parts"]
    if not isinstance(role, str) or not isinstance(parts, list | tuple):
        return None
    made = [_to_part(part) for part in parts]
    return None if None in made else {"role": role, "parts": made}


def from_messages(messages: object) -> tuple[list[Plain], bool]:
    """Messages of ours from whatever spelling, and whether all of it is in them."""
    if isinstance(messages, str | dict):
        messages = [messages]
    if not isinstance(messages, list | tuple):
        return [], messages is None
    read = [from_message(message) for message in messages]
    return [message for message, _ in read if message["parts"]], all(whole for _, whole in read)


def from_message(message: object, role: str = "user") -> tuple[Plain, bool]:
    """One message of ours from the conventions' form, OpenAI's, or plain text."""
    if isinstance(message, str):
        return _message(role, [_text(message)]), True
    if not isinstance(message, dict):
        return _message(role, []), False
    message = _inner(message)
    said = message.get("role")
    role = _ROLES.get(said, role) if isinstance(said, str) else role
    content = message.get("parts", message.get("content", message.get("contents")))
    parts, whole = _from_parts(content)
    for call in _list(message.get("tool_calls")):
        part = _from_call(call)
        whole = whole and part is not None
        parts += [part] if part else []
    if role == "tool" and parts and all(part["type"] == "text" for part in parts):
        answered = _string(message.get("tool_call_id") or message.get("id"))
        text = "".join(part["text"] for part in parts)
        parts = [_result(answered, _string(message.get("name")), text)]
    known = said is None or (isinstance(said, str) and said in _ROLES)
    return _message(role, parts), whole and known and message.keys() <= _UNDERSTOOD


def gathered(attributes: Mapping[str, Any], prefix: str) -> list[Any]:
    """What flat names like `PREFIX.0.content` spread out, put together again, in order."""
    items: dict[int, Plain] = {}
    for name in attributes:
        if match := _FLAT.match(name[len(prefix) :]) if name.startswith(prefix) else None:
            place = items.setdefault(int(match[1]), {})
            *steps, last = match[2].split(".", _DEEPEST)
            for step in steps:
                below = place.setdefault(step, {})
                place = below if isinstance(below, dict) else {}
            place[last] = attributes[name]
    return [_with_lists(items[number]) for number in sorted(items)]


def as_json(value: object) -> str:
    """A plain value as JSON text, whatever is in it. JSON lacks NaN and infinity: null."""
    try:
        return msgspec.json.encode(value).decode()
    except Exception:  # half a surrogate pair, a number over 64 bits
        return msgspec.json.encode(simplified(value)).decode()


def _to_part(part: object) -> Plain | None:
    if not isinstance(part, dict):
        return None
    match part.get("type"):
        case "text" if part.keys() == {"type", "text"}:
            return {"type": "text", "content": part["text"]}
        case "media" if part.keys() == {"type", "media_type", "url"}:
            return _to_media(part["media_type"], part["url"])
        case "tool_call" if part.keys() == {"type", "id", "name", "arguments"}:
            arguments = _object(part["arguments"])
            return {
                "type": "tool_call",
                "id": part["id"],
                "name": part["name"],
                "arguments": part["arguments"] if arguments is None else arguments,
            }
        case "tool_result" if part.keys() == {"type", "id", "name", "text", "failed"}:
            made = {"type": "tool_call_response", "id": part["id"], "response": part["text"]}
            return {**made, "name": part["name"], "failed": part["failed"]}
    return None


def _to_media(media_type: object, url: object) -> Plain | None:
    if not isinstance(media_type, str) or not isinstance(url, str):
        return None
    main = media_type.partition("/")[0]
    modality = main if main in ("image", "video", "audio") else "document"
    start = f"data:{media_type};base64,"
    if url.startswith(start):
        content = url[len(start) :]
        return {"type": "blob", "modality": modality, "mime_type": media_type, "content": content}
    return {"type": "uri", "modality": modality, "mime_type": media_type, "uri": url}


def _from_parts(content: object) -> tuple[list[Plain], bool]:
    if content is None:
        return [], True
    if isinstance(content, str):
        return [_text(content)] if content else [], True
    if not isinstance(content, list | tuple):
        content = [content]
    read = [_from_part(part) for part in content]
    return [part for part in read if part is not None], None not in read


def _from_part(part: object) -> Plain | None:
    if isinstance(part, str):
        return _text(part)
    if not isinstance(part, dict):
        return None
    part = next((part[name] for name in _WRAPPED if isinstance(part.get(name), dict)), part)
    mime = _string(part.get("mime_type") or part.get("media_type"))
    match part.get("type"):
        case "text" | "input_text" | "output_text":
            words = part.get("content", part.get("text"))
            return _text(words) if isinstance(words, str) else None
        case "blob" if isinstance(part.get("content"), str):
            return _media(mime, f"data:{mime};base64,{part['content']}")
        case "uri" if isinstance(part.get("uri"), str):
            return _media(mime, part["uri"])
        case "media" if isinstance(part.get("url"), str):
            return _media(mime, part["url"])
        case "image_url" | "image":
            url = part.get("image_url", part.get("url"))
            url = url.get("url") if isinstance(url, dict) else url
            return _media(mime or "image/*", url) if isinstance(url, str) else None
        case "tool_call" | "tool_use":
            arguments = part.get("arguments", part.get("input"))
            return _call(part.get("id"), part.get("name"), arguments)
        case "tool_call_response" | "tool_result":
            given = next((part[name] for name in _GIVEN if name in part), None)
            text = given if isinstance(given, str) else as_json(given)
            answered = _string(part.get("id") or part.get("tool_use_id"))
            failed = part.get("failed", part.get("is_error")) is True
            return _result(answered, _string(part.get("name")), text, failed)
    if isinstance(part.get("text"), str) and part.get("type") is None:
        return _text(part["text"])
    return None


def _from_call(call: object) -> Plain | None:
    if not isinstance(call, dict):
        return None
    call = call["tool_call"] if isinstance(call.get("tool_call"), dict) else call
    function = call["function"] if isinstance(call.get("function"), dict) else call
    return _call(call.get("id"), function.get("name"), function.get("arguments"))


def _call(id: object, name: object, arguments: object) -> Plain | None:
    if not isinstance(name, str):
        return None
    text = (
        arguments if isinstance(arguments, str) else as_json({} if arguments is None else arguments)
    )
    return {"type": "tool_call", "id": _string(id), "name": name, "arguments": text}


def _result(id: str, name: str, text: str, failed: bool = False) -> Plain:
    return {"type": "tool_result", "id": id, "name": name, "text": text, "failed": failed}


def _text(text: str) -> Plain:
    return {"type": "text", "text": text}


def _media(media_type: str, url: str) -> Plain:
    return {"type": "media", "media_type": media_type, "url": url}


def _message(role: str, parts: list[Plain]) -> Plain:
    return {"role": role, "parts": parts}


def _inner(message: Plain) -> Plain:
    """OpenInference, and events of the first conventions, put a message into a message."""
    within = message.get("message")
    return {**message, **within} if isinstance(within, dict) else message


def _object(text: object) -> Plain | None:
    try:
        read = msgspec.json.decode(text) if isinstance(text, str) else None
    except msgspec.DecodeError:
        return None
    return read if isinstance(read, dict) else None


def _string(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _list(value: object) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else ()


def _with_lists(value: Any) -> Any:
    """{"0": a, "1": b} is a list that was spread out, too."""
    if not isinstance(value, dict):
        return value
    if value and all(name.isascii() and name.isdigit() and len(name) < 7 for name in value):
        return [_with_lists(value[name]) for name in sorted(value, key=int)]
    return {name: _with_lists(below) for name, below in value.items()}


_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
_WRAPPED = ("message_content", "message")
_GIVEN = ("response", "result", "content", "output", "text")
_UNDERSTOOD = {
    "role",
    "parts",
    "content",
    "contents",
    "tool_calls",
    "tool_call_id",
    "id",
    "name",
    "message",
    "finish_reason",
    "index",
}
_DEEPEST = 12
_FLAT = re.compile(r"\.(\d{1,6})\.(.+)")
