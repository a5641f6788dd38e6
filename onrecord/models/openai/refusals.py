"""What an OpenAI-compatible server refuses of a request that it might take without it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from onrecord.errors import ModelRefusedError
from onrecord.models.http.refusals import error_of, message_of, one_line, scrub


class Lesser(NamedTuple):
    """A request without the field that the server refused. `lost` says that in a sentence; empty
    where nothing that was asked for is lost."""

    body: dict[str, Any]
    field: str
    lost: str


def without_rejected(
    body: Mapping[str, Any], status: int, said: bytes, *, key: str = ""
) -> Lesser | None:
    """The request without the optional field that an error response complains of.

    None where the response complains of something else. `max_tokens` is no loss: it is renamed.
    """
    complaint = _complaint(status, said)
    for field, words in _OPTIONAL.items():
        if field in body and words.search(complaint):
            together = _TOGETHER.get(field, (field,))
            kept = {name: value for name, value in body.items() if name not in together}
            if field == "max_tokens":
                kept["max_completion_tokens"] = body[field]
            heard = one_line(scrub(message_of(error_of(said), said), key), 200)
            lost = "" if field in _NO_LOSS else f"The server refused {field}: {heard}."
            return Lesser(kept, field, lost)
    return None


def wants_responses(body: Mapping[str, Any], status: int, said: bytes) -> bool:
    """Whether a server takes the tools of a request, but over its Responses API alone."""
    return "tools" in body and bool(_RESPONSES.search(_complaint(status, said)))


def refused_form(
    body: Mapping[str, Any], status: int, said: bytes, *, where: str, key: str
) -> ModelRefusedError | None:
    """The error where a response complains of the JSON schema or the tools of a request.

    What is left of the request would not hold the model to its form: whoever asked decides. Servers
    that cannot do it answer with many a status (llama.cpp: 500).
    """
    complaint = _complaint(status, said)
    for field, (name, words) in _FORMS.items():
        if field in body and words.search(complaint):
            heard = one_line(scrub(message_of(error_of(said), said), key), 300)
            return ModelRefusedError(
                f"the server does not take {name}: {heard or f'status {status}'}",
                where=where,
                cure="Ask for the form in words, or name another model.",
            )
    return None


def _complaint(status: int, said: bytes) -> str:
    if status not in (400, 404, 422, 500, 501):
        return ""
    error = error_of(said)
    return f"{error.get('param') or ''} {message_of(error, said)}"[:2000]


def _unsupported(field: str) -> re.Pattern[str]:
    no = r"unsupported|not (?:\w+ )?support|unknown|unrecogni[sz]ed|not permitted|unexpected"
    return re.compile(rf"(?:{no}).*\b{field}\b|\b{field}\b.*(?:{no})", re.IGNORECASE | re.DOTALL)


_SCHEMA = re.compile(
    r"response_?format|json[_ ]?(?:schema|object)|\bschema\b|structured[_ ]output|grammar|guided",
    re.IGNORECASE,
)
_FORMS = {
    "response_format": ("a JSON schema (response_format)", _SCHEMA),
    "text": ("a JSON schema (text.format)", _SCHEMA),
    "tools": ("tools", re.compile(r"\btools?\b|tool_|\bfunctions?\b|--jinja", re.IGNORECASE)),
}
_RESPONSES = re.compile(r"\btools?\b.*(?:/v1/responses|responses api)", re.IGNORECASE | re.DOTALL)
# What may be left out of a request without changing what is asked, and how servers complain of it.
_OPTIONAL = {
    "stream_options": re.compile(r"stream_options", re.IGNORECASE),
    "max_tokens": re.compile(r"\bmax_tokens\b.*\bmax_completion_tokens\b", re.DOTALL),
    # Reasoning models choose for themselves how to sample, and refuse to be told.
    **{
        field: _unsupported(field)
        for field in (
            *("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty"),
            *("repeat_penalty", "top_logprobs", "logprobs"),
        )
    },
}
_TOGETHER = {
    "logprobs": ("logprobs", "top_logprobs"),
    "top_logprobs": ("logprobs", "top_logprobs"),
}
_NO_LOSS = ("stream_options", "max_tokens", "repeat_penalty")
