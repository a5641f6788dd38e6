"""`anthropic:NAME`: Anthropic's Messages API, and whoever speaks it, over HTTP.

`ANTHROPIC_API_KEY` is the key, `ANTHROPIC_BASE_URL` another server than Anthropic's own (Ollama,
llama.cpp, gateways). Nothing is retried here. The key is in no error, no repr and no record, and is
sent to no other host.

Six kinds of events are all that is read of the API, so this speaks it directly, over the same
connections as every other model. Anthropic's own client would bring an HTTP library, retries and
time-outs of its own; the tests ask it what it makes of our requests, schemas and test server.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from onrecord.errors import ModelError
from onrecord.messages import TextDelta
from onrecord.models.anthropic.answer import Answer
from onrecord.models.anthropic.wire import LONGEST, Dialect
from onrecord.models.http.events import content_type, data_of, drain
from onrecord.models.http.failures import may_have_begun, note
from onrecord.models.http.refusals import Names, broken_off, foreign, refusal
from onrecord.models.http.server import Api, Server
from onrecord.models.model import Event, Request, Way

if TYPE_CHECKING:
    import httpx

NEWEST = "2026-10-21"


class AnthropicModel:
    """A model behind the Messages API.

    `base_url` and `key` default to ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY; an empty key sends
    none. From `api_version` 2026-10-21 on the API takes the key as a bearer token, and no
    temperature, top_p or top_k; before it ("2023-06-01"), and with it older models and other
    servers, it takes the key as `x-api-key`, and those three.
    """

    structures: tuple[Way, ...] = ("schema", "tool", "prompted")

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        key: str | None = None,
        timeout: float = 120.0,
        api_version: str = NEWEST,
    ) -> None:
        older = api_version < NEWEST
        api = _ANTHROPIC._replace(
            headers={"anthropic-version": api_version},
            key_header="x-api-key" if older else "Authorization",
        )
        self.server = Server(api, base_url, key, timeout)
        self.name = f"anthropic:{name}"
        self._where = f"{self.name} at {self.server.shown}"
        # Other clients want the address with or without the version in it.
        self._path = "messages" if self.server.shown.endswith("/v1") else "v1/messages"
        self._dialect = Dialect(name, older, self._where)

    @property
    def version(self) -> str:
        """The server's address: what it serves under a name is not ours to see."""
        return self.server.shown

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Answer `request`. Raises ModelError.

        What is known of a failed request stands on the error: `sent` (the server may have worked on
        it, and may charge for more than it reported), `usage` (the tokens it had reported by then)
        and `retry_after` (the seconds it asks to wait).
        """
        body = self._dialect.body(request)
        limit = None if request.parameters.max_tokens else LONGEST
        answer = Answer()
        try:
            async with self.server.post(self._path, body, self._where) as response:
                if response.status_code != 200:
                    raise (await self.server.refused(response, self._where))[0]
                async with aclosing(self._read(response, answer)) as deltas:
                    async for delta in deltas:
                        yield delta
                yield answer.completion(self.name, limit=limit)
        except ModelError as broken:
            note(broken, usage=answer.usage)
            raise

    def __repr__(self) -> str:
        return f"AnthropicModel({self.name.partition(':')[2]!r}, base_url={self.server.shown!r})"

    async def _read(
        self, response: httpx.Response, answer: Answer
    ) -> AsyncGenerator[TextDelta, None]:
        begun = False
        async with aclosing(data_of(response, self._where, _ANTHROPIC.names)) as received:
            async for data in received:
                event = self.server.parse(data, self._where)
                if event.get("type") == "error" or event.get("error"):
                    raise self._stream_error(event, begun)
                begun = begun or event.get("type") != "ping"
                if words := answer.add(event):
                    yield TextDelta(words)
                if answer.ended:
                    await drain(received)
                    break
        if answer.empty and not answer.ended:
            type = content_type(response) or "something of no content type"
            raise foreign(f"no answer, but {type}", self._where, _ANTHROPIC.names)
        if answer.empty:
            raise foreign("an answer without any content", self._where, _ANTHROPIC.names)
        if not (answer.ended or answer.finished):
            raise broken_off(self._where)

    def _stream_error(self, event: Mapping[str, Any], begun: bool) -> ModelError:
        """The error that an event means; the status of its response was a good one."""
        said = event.get("error")
        kind = said.get("type") if isinstance(said, dict) else None
        status = _STATUSES.get(kind, 0) if isinstance(kind, str) else 0
        body = json.dumps(event).encode()
        error = refusal(
            status, body, where=self._where, key=self.server.key, names=_ANTHROPIC.names
        )
        return note(error, sent=begun or not status or may_have_begun(status))


_ANTHROPIC = Api(
    Names(
        "Anthropic",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "a server of Anthropic's Messages API, without /v1/messages",
    ),
    home="https://api.anthropic.com",
    domain=".anthropic.com",
    example="http://localhost:11434",
)
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
