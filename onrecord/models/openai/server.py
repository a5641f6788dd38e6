"""The servers that speak the OpenAI protocol."""

from __future__ import annotations

from onrecord.models.http.refusals import Names
from onrecord.models.http.server import Api, Server

OPENAI = Api(
    Names(
        "OpenAI",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "an OpenAI-compatible API; most end in /v1",
    ),
    home="https://api.openai.com/v1",
    domain=".openai.com",
    example="http://localhost:8000/v1",
)


def openai_server(base_url: str | None, key: str | None, timeout: float) -> Server:
    """A server; without an address the one in OPENAI_BASE_URL, else OpenAI's own."""
    return Server(OPENAI, base_url, key, timeout)
