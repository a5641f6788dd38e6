"""What the refusals of a model's server mean, in our errors and without the key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from onrecord.errors import ContextLengthError, ModelError, ModelRefusedError, ModelUnavailableError


class Names(NamedTuple):
    """How the advice in an error names things: the company, the variables, the protocol."""

    company: str
    key_variable: str
    url_variable: str
    usual: str  # what the address of such an API is like


def parse(text: str, *, where: str, key: str, names: Names) -> dict[str, Any]:
    """A JSON object the server sent. Raises ModelUnavailableError on anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    shown = one_line(scrub(text, key), 80)
    if value is None and text.lstrip().startswith("{"):
        raise ModelUnavailableError(
            f"the server sent broken JSON, or half of an answer: {shown!r}",
            where=where,
            cure=f"Try again; if it stays so, check that {names.url_variable} is the right server.",
        )
    raise foreign(f"something that is not its protocol: {shown!r}", where, names)


def foreign(sent: str, where: str, names: Names) -> ModelUnavailableError:
    """The error of a server that speaks something else."""
    return ModelUnavailableError(
        f"the server sent {sent}",
        where=where,
        cure=f"Check that {names.url_variable} is the address of {names.usual}.",
    )


def broken_off(where: str) -> ModelUnavailableError:
    """The error of an answer that ended before the server said that it does."""
    return ModelUnavailableError(
        "the server ended its answer in the middle", where=where, cure="Try again."
    )


def refusal(
    status: int, body: bytes, *, where: str, key: str, names: Names, retry_after: str = ""
) -> ModelError:
    """The error that an error response means; `status` 0: in an answer whose own was a good one."""
    error = error_of(body)
    message = one_line(scrub(message_of(error, body), key), 300)
    said = f": {message}" if message else ""
    code = f"{error.get('code') or ''} {error.get('type') or ''}"
    too_long = status == 413 or _TOO_LONG_CODE.search(code) or _TOO_LONG.search(message)
    if status != 429 and too_long:
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
            cure=f"Set {names.key_variable} to a key that may use this model.",
        )
    if status == 404:
        return ModelRefusedError(
            f"the server has no such model or address{said}",
            where=where,
            cure=f"Check the model's name and {names.url_variable}; GET /models lists what it has.",
        )
    spent = status in (0, 429) and "insufficient_quota" in code
    if status == 402 or spent or _NO_CREDIT.search(message):
        return ModelRefusedError(
            f"the quota of this key is used up{said}",
            where=where,
            cure="Check the plan and its billing.",
        )
    if status == 429 or status >= 500 or status in _PASSING:
        return _unavailable(status, said, where, retry_after)
    return ModelRefusedError(
        f"the server refused the request with status {status}{said}",
        where=where,
        cure=f"Change what it complains of, or check {names.url_variable}.",
    )


def _unavailable(status: int, said: str, where: str, retry_after: str) -> ModelUnavailableError:
    """The error of a server that may answer the same request another time."""
    if status == 429:
        unit = "second" if retry_after == "1" else "seconds"
        cure = "Try again later."
        if retry_after.isdigit():
            cure = f"Try again in {retry_after} {unit}, or use on.retry(model), which waits."
        busy = f"the server allows no more requests for now{said}"
        return ModelUnavailableError(busy, where=where, cure=cure)
    failed = f"failed with status {status}" if status else "failed"
    return ModelUnavailableError(f"the server {failed}{said}", where=where, cure="Try again later.")


def scrub(text: str, key: str) -> str:
    """A text without the key, and without anything that looks like one."""
    if key:
        text = text.replace(key, "[key]")
    return _KEY.sub("[key]", text)


def error_of(body: bytes) -> dict[str, Any]:
    """The error object; servers put it under `error`, `detail`, or nowhere."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if isinstance(value, dict):
        inner = value.get("error", value)
        return inner if isinstance(inner, dict) else {"message": str(inner)}
    return {}


def message_of(error: Mapping[str, Any], body: bytes) -> str:
    """What an error says; nothing where it is a web page."""
    message = error.get("message") or error.get("detail")
    if message:
        return message if isinstance(message, str) else json.dumps(message)
    text = body.decode("utf-8", "replace")
    return "" if text.lstrip().startswith("<") else text


def one_line(text: str, longest: int) -> str:
    """A text as one line of at most so many characters."""
    line = " ".join(text[: 4 * longest].split()).rstrip(".")
    return line if len(line) <= longest else line[:longest] + "…"


# None said, a time-out of the request, a conflict, too early: no fault of the request itself.
_PASSING = (0, 408, 409, 425)
_NO_CREDIT = re.compile(r"credit balance is too low|billing hard limit", re.IGNORECASE)
_KEY = re.compile(r"\b(?:sk|pk|gsk|xai|hf)[-_][\w*-]{6,}")
_TOO_LONG_CODE = re.compile(
    r"context_length_exceeded|exceed_context_size|string_above_max_length|request_too_large"
)
_TOO_LONG = re.compile(
    r"context (?:length|window|size|limit)|maximum (?:input|prompt) length"
    r"|(?:prompt|input) (?:is )?too long|too many (?:input )?tokens|longer than the model",
    re.IGNORECASE,
)
