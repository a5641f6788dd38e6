"""What the refusals of an OpenAI-compatible server mean, in our errors and without the key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from onrecord.errors import ContextLengthError, ModelError, ModelRefusedError, ModelUnavailableError


def parse(text: str | bytes, where: str) -> dict[str, Any]:
    """A JSON object the server sent. Raises ModelUnavailableError on anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
        raise ModelUnavailableError(
            f"the server sent something that is not its protocol: {_one_line(shown, 80)!r}",
            where=where,
            cure="Check that OPENAI_BASE_URL is the address of an OpenAI-compatible API; most end"
            " in /v1.",
        )
    return value


def refusal(status: int, body: bytes, *, where: str, key: str, retry_after: str = "") -> ModelError:
    """The error that an error response means."""
    error = _error_of(body)
    message = _one_line(scrub(_message_of(error, body), key), 300)
    said = f": {message}" if message else ""
    code = f"{error.get('code') or ''} {error.get('type') or ''}"
    if status != 429 and (_TOO_LONG_CODE.search(code) or _TOO_LONG.search(message)):
        return ContextLengthError(
            f"the input is longer than the model reads{said}",
            where=where,
            cure="Send fewer or shorter passages, or use a model with a longer context.",
        )
    if status in (401, 403):
        what = "accepts no request without a key" if not key else "does not accept the key"
        return ModelRefusedError(
            f"the server {what}{said}",
            where=where,
            cure="Set OPENAI_API_KEY to a key that may use this model.",
        )
    if status == 404:
        return ModelRefusedError(
            f"the server has no such model or address{said}",
            where=where,
            cure="Check the model's name and OPENAI_BASE_URL; GET /models lists what it has.",
        )
    if status == 429:
        return _too_many(code, said, where, retry_after)
    if status >= 500:
        return ModelUnavailableError(
            f"the server failed with status {status}{said}", where=where, cure="Try again later."
        )
    return ModelRefusedError(
        f"the server refused the request with status {status}{said}", where=where
    )


def without_rejected(
    body: dict[str, Any], status: int, said: bytes
) -> tuple[dict[str, Any], str] | None:
    """The request without the optional field that an error response complains of, and that field.

    None where the response complains of something else. `max_tokens` is no loss: it is renamed.
    """
    if status not in (400, 422, 500, 501):
        return None
    error = _error_of(said)
    complaint = f"{error.get('param') or ''} {_message_of(error, said)}"[:2000]
    for field, words in _OPTIONAL.items():
        if field in body and words.search(complaint):
            kept = {name: value for name, value in body.items() if name != field}
            if field == "max_tokens":
                kept["max_completion_tokens"] = body[field]
            return kept, field
    return None


def stream_error(chunk: Mapping[str, Any], *, where: str, key: str) -> ModelError:
    """The error that a chunk with an `error` means."""
    error = chunk["error"]
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return refusal(status, json.dumps(chunk).encode(), where=where, key=key)


def scrub(text: str, key: str) -> str:
    """A text without the key, and without anything that looks like one."""
    if key:
        text = text.replace(key, "[key]")
    return _KEY.sub("[key]", text)


def shown_url(url: str) -> str:
    """A URL as it may be shown: without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _too_many(code: str, said: str, where: str, retry_after: str) -> ModelError:
    if "insufficient_quota" in code:
        return ModelRefusedError(
            f"the quota of this key is used up{said}",
            where=where,
            cure="Check the plan and its billing.",
        )
    wait = f"in {retry_after} seconds" if retry_after.isdigit() else "later"
    return ModelUnavailableError(
        f"the server allows no more requests for now{said}", where=where, cure=f"Try again {wait}."
    )


def _error_of(body: bytes) -> dict[str, Any]:
    """The error object; servers put it under `error`, `detail`, or nowhere."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if isinstance(value, dict):
        inner = value.get("error", value)
        return inner if isinstance(inner, dict) else {"message": str(inner)}
    return {}


def _message_of(error: Mapping[str, Any], body: bytes) -> str:
    message = error.get("message") or error.get("detail")
    if message:
        return message if isinstance(message, str) else json.dumps(message)
    text = body.decode("utf-8", "replace")
    return "" if text.lstrip().startswith("<") else text


def _one_line(text: str, longest: int) -> str:
    line = " ".join(text[: 4 * longest].split()).rstrip(".")
    return line if len(line) <= longest else line[:longest] + "…"


_KEY = re.compile(r"\b(?:sk|pk|gsk|xai|hf)[-_][\w*-]{6,}")
_TOO_LONG_CODE = re.compile(r"context_length_exceeded|exceed_context_size|string_above_max_length")
_TOO_LONG = re.compile(
    r"context (?:length|window|size)|maximum (?:input|prompt) length"
    r"|(?:prompt|input) (?:is )?too long|too many (?:input )?tokens|longer than the model",
    re.IGNORECASE,
)
# What may be left out of a request without changing what is asked, and how servers complain of it.
_OPTIONAL = {
    "response_format": re.compile(
        r"response_?format|json[_ ]?schema|\bschema\b|structured[_ ]output|grammar|guided",
        re.IGNORECASE,
    ),
    "stream_options": re.compile(r"stream_options", re.IGNORECASE),
    "max_tokens": re.compile(r"\bmax_tokens\b.*\bmax_completion_tokens\b", re.DOTALL),
    # Reasoning models choose for themselves how to sample, and refuse to be told.
    **{
        field: re.compile(
            rf"(?:unsupported|not support).*\b{field}\b|\b{field}\b.*(?:unsupported|not support)",
            re.IGNORECASE | re.DOTALL,
        )
        for field in ("temperature", "top_p", "seed")
    },
}
