"""`openai:NAME`: any server that speaks the OpenAI protocol, over HTTP.

OpenAI itself, vLLM, Ollama, llama.cpp, LM Studio, gateways: `OPENAI_BASE_URL` says where (OpenAI
when it is not set), `OPENAI_API_KEY` with which key. Nothing is retried here. The key is in no
error, no repr and no record, and is sent to no other host.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from onrecord.errors import ModelError, ModelUnavailableError
from onrecord.messages import TextDelta
from onrecord.models.http.events import content_type, data_of, drain, is_json
from onrecord.models.http.failures import note
from onrecord.models.http.refusals import broken_off, foreign, refusal
from onrecord.models.model import Event, Request, Way
from onrecord.models.openai.answer import Answer
from onrecord.models.openai.refusals import (
    Lesser,
    refused_form,
    wants_responses,
    without_rejected,
)
from onrecord.models.openai.responses import Responses, ResponsesAnswer
from onrecord.models.openai.server import OPENAI, openai_server
from onrecord.models.openai.wire import Chat

if TYPE_CHECKING:
    import httpx


class OpenAIModel:
    """A chat model behind the OpenAI protocol.

    `base_url` and `key` default to OPENAI_BASE_URL and OPENAI_API_KEY; an empty key sends none.
    """

    structures: tuple[Way, ...] = ("schema", "tool", "prompted")

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        key: str | None = None,
        timeout: float = 120.0,
    ) -> None:
        self.server = openai_server(base_url, key, timeout)
        self.name = f"openai:{name}"
        self._model = name
        self._where = f"{self.name} at {self.server.shown}"
        self._chat = Chat(name, self.server.is_home, self._where)
        self._responses = Responses(name, self._where)
        self._tools_over_responses = False

    @property
    def version(self) -> str:
        """The server's address: what it serves under a name is not ours to see."""
        return self.server.shown

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Answer `request`. Raises ModelError.

        A server that refuses an optional field (the wish for usage, a sampling parameter,
        log-probabilities) is asked again without it, once a field; the answer's `warnings` say so.
        A JSON schema and tools are not optional: without them it would be another question. Where a
        server says that it takes tools over the Responses API alone, that is spoken, now and for
        all later requests with tools.

        What is known of a failed request stands on the error: `sent` (the server may have worked on
        it, and may charge for more than it reported), `usage` (the tokens it had reported by then)
        and `retry_after` (the seconds it asks to wait).
        """
        warnings = self._chat.warnings(request.parameters)
        logprobs = request.parameters.logprobs is not None
        over_responses = bool(request.tools) and self._tools_over_responses
        wire: Chat | Responses = self._responses if over_responses else self._chat
        body = wire.body(request)
        while True:
            answer = wire.answer()
            try:
                async with self.server.post(wire.path, body, self._where) as response:
                    if response.status_code == 200:
                        async with aclosing(self._read(response, answer)) as deltas:
                            async for delta in deltas:
                                yield delta
                        yield answer.completion(self.name, warnings=warnings, logprobs=logprobs)
                        return
                    error, said = await self.server.refused(response, self._where)
            except ModelError as broken:
                note(broken, usage=answer.usage)
                raise
            if wire is self._chat and wants_responses(body, response.status_code, said):
                _log.warning("asked again over the Responses API: %s", error)
                self._tools_over_responses = True
                wire, body = self._responses, self._responses.body(request)
                continue
            lesser = self._lesser(body, response.status_code, error, said)
            _log.warning("asked again without %s: %s", lesser.field, error)
            body, warnings = lesser.body, (*warnings, *filter(None, [lesser.lost]))

    def __repr__(self) -> str:
        return f"OpenAIModel({self._model!r}, base_url={self.server.shown!r})"

    async def _read(
        self, response: httpx.Response, answer: Answer | ResponsesAnswer
    ) -> AsyncGenerator[TextDelta, None]:
        done, begun = is_json(response), False
        async with aclosing(data_of(response, self._where, OPENAI.names)) as received:
            async for data in received:
                if data.strip() == _DONE:
                    done = True
                    await drain(received)
                    break
                chunk = self.server.parse(data, self._where)
                words = answer.add(chunk)
                if (failure := answer.failure_in(chunk)) is not None:
                    raise self._stream_error(failure, begun=begun)
                begun = True
                if words:
                    yield TextDelta(words)
        if answer.empty:
            what = "an answer without any content" if done else f"no answer, {_type(response)}"
            raise foreign(what, self._where, OPENAI.names)
        if not (done or answer.finished):
            raise broken_off(self._where)

    def _stream_error(self, failure: object, *, begun: bool) -> ModelError:
        """The error that a failure in the middle of a good response means."""
        code = failure.get("code") if isinstance(failure, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 0
        body = json.dumps({"error": failure}).encode()
        error = refusal(status, body, where=self._where, key=self.server.key, names=OPENAI.names)
        # Some servers refuse in the first event; behind words it is a failure.
        return note(error, sent=begun or isinstance(error, ModelUnavailableError))

    def _lesser(
        self, body: Mapping[str, Any], status: int, error: ModelError, said: bytes
    ) -> Lesser:
        """The request without the field that the server complains of. Raises the error if it
        complains of something else."""
        lesser = without_rejected(body, status, said, key=self.server.key)
        if lesser is not None:
            return lesser
        form = refused_form(body, status, said, where=self._where, key=self.server.key)
        if form is not None:
            error = note(form, sent=error.sent)
        raise error


def _type(response: httpx.Response) -> str:
    return f"but {content_type(response) or 'something of no content type'} without an event"


_log = logging.getLogger("onrecord.models")
_DONE = "[DONE]"
