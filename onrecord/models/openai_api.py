"""`openai:NAME`: any server that speaks the OpenAI protocol, over HTTP.

OpenAI itself, vLLM, Ollama, llama.cpp, LM Studio, gateways: `OPENAI_BASE_URL` says where (OpenAI
when it is not set), `OPENAI_API_KEY` with which key. Nothing is retried here. The key is in no
error, no repr and no record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from onrecord.errors import ModelError, ModelUnavailableError
from onrecord.messages import TextDelta
from onrecord.models.failures import note
from onrecord.models.model import Event, Request
from onrecord.models.openai_refusals import parse, stream_error, without_rejected
from onrecord.models.openai_server import Server, refused
from onrecord.models.openai_wire import Answer, EventDecoder, payload

if TYPE_CHECKING:
    import httpx


class OpenAIModel:
    """A chat model behind the OpenAI protocol.

    `base_url` and `key` default to OPENAI_BASE_URL and OPENAI_API_KEY; an empty key sends none.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        key: str | None = None,
        timeout: float = 120.0,
    ) -> None:
        self.server = Server(base_url, key, timeout)
        self.name = f"openai:{name}"
        self._model = name
        self._where = f"{self.name} at {self.server.shown}"

    @property
    def version(self) -> str:
        """The server's address: what it serves under a name is not ours to see."""
        return self.server.shown

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Answer `request`. Raises ModelError.

        A server that refuses an optional field (the JSON schema, the wish for usage, a sampling
        parameter) is asked again without it, once a field; a warning of the logger
        `onrecord.models` says so each time. The text of a prompt states the schema too.

        What is known of a failed request stands on the error: `sent` (the server may have worked on
        it, and may charge for more than it reported), `usage` (the tokens it had reported by then)
        and `retry_after` (the seconds it asks to wait).
        """
        body = payload(self._model, request, newest=self.server.is_openai)
        while True:
            answer = Answer()
            try:
                async with self.server.post("chat/completions", body, self._where) as response:
                    if response.status_code == 200:
                        async for event in self._read(response, answer):
                            yield event
                        return
                    error, said = await refused(response, self._where, self.server)
            except ModelError as broken:
                note(broken, usage=answer.usage)
                raise
            body = _adapted(body, response.status_code, error, said)

    def __repr__(self) -> str:
        return f"OpenAIModel({self._model!r}, base_url={self.server.shown!r})"

    async def _read(self, response: httpx.Response, answer: Answer) -> AsyncIterator[Event]:
        done = begun = False
        async for data in _events(response):
            if data.strip() == _DONE:
                done = True
                continue
            chunk = parse(data, self._where)
            if chunk.get("error"):
                broken = stream_error(chunk, where=self._where, key=self.server.key)
                # Some servers refuse in the first event; behind words it is a failure.
                raise note(broken, sent=begun or isinstance(broken, ModelUnavailableError))
            begun = True
            if words := answer.add(chunk):
                yield TextDelta(words)
        if not (done or answer.finished):
            raise ModelUnavailableError(
                "the server ended its answer in the middle", where=self._where, cure="Try again."
            )
        yield answer.completion(self.name)


async def _events(response: httpx.Response) -> AsyncIterator[str]:
    """The data of each event; a server that does not stream sends its one answer whole."""
    if "json" in response.headers.get("content-type", ""):
        yield (await response.aread()).decode("utf-8", "replace")
        yield _DONE
        return
    decoder = EventDecoder()
    stream = response.aiter_bytes()
    async for received in stream:
        for data in decoder.feed(received):
            yield data
            if data.strip() == _DONE:
                await _drain(stream)
                return
    for data in decoder.feed(b"", last=True):
        yield data


async def _drain(stream: AsyncIterator[bytes]) -> None:
    """Read what is left after the last event: only a connection read to its end is used again."""
    import httpx

    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            async for _ in stream:
                pass


def _adapted(body: dict[str, Any], status: int, error: ModelError, said: bytes) -> dict[str, Any]:
    """The request without the field the server complains of. Raises the error if it is not that."""
    adapted = without_rejected(body, status, said)
    if adapted is None:
        raise error
    _log.warning("asked again without %s: %s", adapted[1], error)
    return adapted[0]


_log = logging.getLogger("onrecord.models")
_DONE = "[DONE]"
_PATIENCE = 0.5  # seconds; the answer itself is there already
