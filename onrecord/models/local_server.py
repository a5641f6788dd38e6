"""Whether a model's server runs on this machine: what `auto` looks for."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING, Any

from onrecord.models.http import connections
from onrecord.models.http.addresses import behind, is_local
from onrecord.models.http.server import check_address
from onrecord.models.openai.api import OpenAIModel
from onrecord.models.openai.server import OPENAI

if TYPE_CHECKING:
    import httpx


async def find_local_server(seconds: float = 0.3) -> OpenAIModel | None:
    """The first generating model of a local server that speaks the OpenAI protocol, or None.

    Looks at OPENAI_BASE_URL where that names this machine or its own network, then at the usual
    ports of 127.0.0.1, all at once, and waits no longer than `seconds`. A server is believed only
    if its list of models has the protocol's shape. OPENAI_API_KEY is sent to OPENAI_BASE_URL
    alone: whoever else listens on a port is not handed a key. Raises ModelRefusedError where
    OPENAI_BASE_URL is no address.
    """
    client = await connections.client()
    looks = [asyncio.create_task(_first_model(client, url, key)) for url, key in _addresses()]
    try:
        await asyncio.wait(looks, timeout=seconds)
        found = [look.result() for look in looks if look.done() and not look.cancelled()]
    finally:
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
    return next((model for model in found if model is not None), None)


async def _first_model(client: httpx.AsyncClient, url: str, key: str) -> OpenAIModel | None:
    import httpx

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        response = await client.get(behind(url, "models"), headers=headers)
        listed: object = response.json() if response.status_code == 200 else None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError):
        return None
    name = next((name for name in _names(listed) if not _NOT_GENERATING.search(name)), None)
    return OpenAIModel(name, base_url=url, key=key) if name else None


def _addresses() -> list[tuple[str, str]]:
    """Base URLs to look at, best first, each with the key to use there. Raises ModelRefusedError
    where the one in the environment is none."""
    named = os.environ.get("OPENAI_BASE_URL", "")
    if named:
        check_address(named, OPENAI)
    usual = [(f"http://127.0.0.1:{port}/v1", "") for port in _PORTS]
    if not named or not is_local(named):
        return usual
    return [(named, os.environ.get("OPENAI_API_KEY", "")), *usual]


def _names(listed: Any) -> list[str]:
    """The names of models in the answer to GET /v1/models; none where it has another shape."""
    if not isinstance(listed, dict) or listed.get("object") != "list":
        return []
    models = listed.get("data")
    if not isinstance(models, list):
        return []
    names = [model.get("id") for model in models if isinstance(model, dict)]
    return [name for name in names if isinstance(name, str) and name]


# Ollama, LM Studio, vLLM, llama.cpp (and LocalAI, MLX), SGLang, Jan, KoboldCpp, GPT4All
_PORTS = (11434, 1234, 8000, 8080, 30000, 1337, 5001, 4891)
_NOT_GENERATING = re.compile(
    r"embed|minilm|rerank|colbert|whisper|\btts\b|clip\b|stable-diffusion|dall-e|flux"
    r"|(?:^|[/_-])(?:bge|gte|e5)[_-]",
    re.IGNORECASE,
)
