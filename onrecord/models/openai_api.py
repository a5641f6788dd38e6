"""`openai:NAME`: any server that speaks the OpenAI protocol, over HTTP.

OpenAI itself, vLLM, Ollama, llama.cpp, LM Studio, gateways: `OPENAI_BASE_URL` says where (OpenAI
when it is not set), `OPENAI_API_KEY` with which key. Nothing is retried here. The key is in no
error, no repr and no record.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from onrecord.calling import run
from onrecord.errors import ModelError, ModelRefusedError, ModelUnavailableError
from onrecord.messages import TextDelta, Usage
from onrecord.models import connections
from onrecord.models.failures import may_have_begun, note, retry_after
from onrecord.models.model import Event, Request
from onrecord.models.openai_refusals import (
    parse,
    refusal,
    scrub,
    shown_url,
    stream_error,
    without_rejected,
)
from onrecord.models.openai_wire import Answer, EventDecoder, payload
from onrecord.models.usage import usage_of

if TYPE_CHECKING:
    import httpx


class Server:
    """The address of an OpenAI-compatible API, with the key and the patience to use on it.

    `key` None: the one in OPENAI_API_KEY; empty: none. `timeout` is in seconds, between two signs
    of life.
    """

    def __init__(
        self, base_url: str | None = None, key: str | None = None, timeout: float = 120.0
    ) -> None:
        url = base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ModelRefusedError(
                f"the address of the model's server is not an http URL: {shown_url(url)!r}",
                cure="Set OPENAI_BASE_URL to something like http://localhost:8000/v1.",
            )
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._key = key

    @property
    def shown(self) -> str:
        """The address without user, password and query."""
        return shown_url(self.url)

    @property
    def is_openai(self) -> bool:
        """Whether this is OpenAI's own server."""
        return (urlsplit(self.url).hostname or "").endswith(".openai.com")

    @property
    def key(self) -> str:
        """The key, or nothing."""
        return os.environ.get("OPENAI_API_KEY", "") if self._key is None else self._key

    def __repr__(self) -> str:
        return f"Server({self.shown!r})"

    @asynccontextmanager
    async def post(
        self, path: str, body: dict[str, Any], where: str
    ) -> AsyncIterator[httpx.Response]:
        """Send a request; the response's body is still to be read. Raises ModelError."""
        import httpx

        key = self.key
        if not key and self.is_openai:
            raise ModelRefusedError(
                "there is no key for OpenAI",
                where=where,
                cure="Set OPENAI_API_KEY, or OPENAI_BASE_URL for another server.",
            )
        client = await connections.client()
        try:
            async with client.stream(
                "POST",
                f"{self.url}/{path}",
                # ASCII escapes: half a surrogate pair in a document's text is no reason to fail
                # here.
                content=json.dumps(body).encode("ascii"),
                headers=_headers(key, where),
                timeout=httpx.Timeout(self.timeout, connect=min(10.0, self.timeout)),
            ) as response:
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            unavailable = self._unavailable(error, where)
            # Without a whole request no model has begun; whoever read one may have.
            begun = httpx.ReadError | httpx.ReadTimeout | httpx.RemoteProtocolError
            note(unavailable, sent=isinstance(error, begun | httpx.DecodingError))
            raise unavailable from None

    def _unavailable(self, error: Exception, where: str) -> ModelUnavailableError:
        import httpx

        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return ModelUnavailableError(
                "no connection to the model's server",
                where=where,
                cure="Start the server, or check OPENAI_BASE_URL and the network.",
            )
        if isinstance(error, httpx.TimeoutException):
            return ModelUnavailableError(
                f"the server gave no sign of life for {self.timeout:g} seconds",
                where=where,
                cure="Try again later, or allow it more time.",
            )
        said = scrub(str(error), self.key) or type(error).__name__
        return ModelUnavailableError(
            f"the connection to the server broke: {said}", where=where, cure="Try again."
        )


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
                    error, said = await _refused(response, self._where, self.server)
            except ModelError as broken:
                note(broken, usage=answer.usage)
                raise
            body = _adapted(body, response.status_code, error, said)

    def __repr__(self) -> str:
        return f"OpenAIModel({self._model!r}, base_url={self.server.shown!r})"

    async def _read(self, response: httpx.Response, answer: Answer) -> AsyncIterator[Event]:
        done = False
        async for data in _events(response):
            if data.strip() == _DONE:
                done = True
                continue
            chunk = _parsed(data, self._where)
            if chunk.get("error"):
                broken = stream_error(chunk, where=self._where, key=self.server.key)
                raise note(broken, sent=isinstance(broken, ModelUnavailableError))
            if words := answer.add(chunk):
                yield TextDelta(words)
        if not (done or answer.finished):
            ended = ModelUnavailableError(
                "the server ended its answer in the middle", where=self._where, cure="Try again."
            )
            raise note(ended, sent=True)
        yield answer.completion(self.name)


class OpenAIEmbedder:
    """Vectors from the `/embeddings` of the OpenAI protocol.

    Known models have their `dimensions` and `max_tokens` in a table; of another one, `dimensions`
    is found out by embedding one word when it is first needed, and `max_tokens` is a careful 512
    unless given.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        key: str | None = None,
        timeout: float = 120.0,
        dimensions: int = 0,
        max_tokens: int = 0,
    ) -> None:
        known = _EMBEDDERS.get(name.partition(":")[0].rpartition("/")[2].lower(), (0, 512))
        self.server = Server(base_url, key, timeout)
        self.name = f"openai:{name}"
        self.max_tokens = max_tokens or known[1]
        self._model = name
        self._where = f"{self.name} at {self.server.shown}"
        self._dimensions = dimensions or known[0]

    @property
    def version(self) -> str:
        """The server's address."""
        return self.server.shown

    @property
    def dimensions(self) -> int:
        """Length of a vector; asks the server where it is not known yet."""
        if not self._dimensions:
            run(self.embed(["length"]))
        return self._dimensions

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of `texts`, shape (len(texts), dimensions), each of unit length, in order.

        A blank text, which servers refuse, is embedded as one full stop. Raises ModelError.
        """
        return (await self.embed_counted(texts))[0]

    async def embed_counted(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], Usage]:
        """The vectors of `embed`, and the tokens that the server counted: none if it reports none.

        Raises ModelError; its `usage` holds the tokens of the batches before, which are charged.
        """
        batches: list[NDArray[np.float64]] = []
        usage = Usage()
        for batch in _batches(texts):
            try:
                vectors, used = await self._batch(batch)
            except ModelError as error:
                failed: Usage = vars(error).get("usage") or Usage()
                note(error, usage=usage + failed)
                raise
            batches.append(vectors)
            usage += used
        if not batches:
            return np.zeros((0, self._dimensions), dtype=np.float32), usage
        whole = np.concatenate(batches)
        lengths = np.linalg.norm(whole, axis=1, keepdims=True)
        return (whole / np.where(lengths == 0, 1, lengths)).astype(np.float32), usage

    def tokens(self, text: str) -> list[tuple[int, int]]:
        """Approximate token spans: the server's own tokenizer is not at hand.

        Up to six letters or three digits of a word, every other sign and every letter of a script
        without blanks count one. English comes out above the true number as a rule, so that what is
        cut by this count fits; random letters and rare scripts may come out below it.
        """
        return [match.span() for match in _PIECE.finditer(text)]

    def __repr__(self) -> str:
        return f"OpenAIEmbedder({self._model!r}, base_url={self.server.shown!r})"

    async def _batch(self, texts: list[str]) -> tuple[NDArray[np.float64], Usage]:
        body = {"model": self._model, "input": texts, "encoding_format": "float"}
        async with self.server.post("embeddings", body, self._where) as response:
            if response.status_code != 200:
                raise (await _refused(response, self._where, self.server))[0]
            answer = _parsed(await response.aread(), self._where)
        vectors = _vectors(answer, len(texts))
        if vectors is None or vectors.shape[1] != (self._dimensions or vectors.shape[1]):
            useless = ModelUnavailableError(
                f"the server sent no {len(texts)} vectors of {self._dimensions or 'one'} length",
                where=self._where,
                cure="Check that this model makes embeddings.",
            )
            raise note(useless, sent=True, usage=usage_of(answer))
        self._dimensions = vectors.shape[1]
        return vectors, usage_of(answer)


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


async def _refused(
    response: httpx.Response, where: str, server: Server
) -> tuple[ModelError, bytes]:
    body = b""
    async for received in response.aiter_bytes():
        body += received
        if len(body) > _LONGEST_REFUSAL:
            break
    error = refusal(
        response.status_code,
        body,
        where=where,
        key=server.key,
        retry_after=response.headers.get("retry-after", ""),
    )
    sent = may_have_begun(response.status_code)
    return note(error, sent=sent, retry_after=retry_after(response.headers)), body


def _parsed(text: str | bytes, where: str) -> dict[str, Any]:
    """A part of an answer: the model has worked on it, whether it can be read or not."""
    try:
        return parse(text, where)
    except ModelError as error:
        raise note(error, sent=True) from None


def _adapted(body: dict[str, Any], status: int, error: ModelError, said: bytes) -> dict[str, Any]:
    """The request without the field the server complains of. Raises the error if it is not that."""
    adapted = without_rejected(body, status, said)
    if adapted is None:
        raise error
    _log.warning("asked again without %s: %s", adapted[1], error)
    return adapted[0]


def _headers(key: str, where: str) -> dict[str, str]:
    if not key:
        return _JSON
    if not (key.isascii() and key.isprintable()):
        raise ModelRefusedError(
            "the key holds characters that no key has",
            where=where,
            cure="Check OPENAI_API_KEY for line breaks and quotation marks.",
        )
    return {**_JSON, "Authorization": f"Bearer {key}"}


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Lists within the bounds of OpenAI (2,048 texts and 300,000 tokens a request)."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == _BATCH or size + len(text) > _BATCH_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(text if text.strip() else ".")
        size += len(text)
    if batch:
        yield batch


def _vectors(answer: dict[str, Any], count: int) -> NDArray[np.float64] | None:
    """The vectors of an answer in the order of the question; None where they are not there."""
    try:
        rows = sorted(answer["data"], key=lambda row: row.get("index", 0))
        vectors = np.array([row["embedding"] for row in rows], dtype=np.float64)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    whole = vectors.ndim == 2 and len(vectors) == count and vectors.shape[1] > 0
    return vectors if whole and np.isfinite(vectors).all() else None


_log = logging.getLogger("onrecord.models")
_OPENAI = "https://api.openai.com/v1"
_DONE = "[DONE]"
_PATIENCE = 0.5  # seconds; the answer itself is there already
_JSON = {"Content-Type": "application/json"}
_LONGEST_REFUSAL = 100_000
_BATCH = 256
_BATCH_CHARACTERS = 200_000
# dimensions, tokens read
_EMBEDDERS = {
    "text-embedding-3-small": (1536, 8191),
    "text-embedding-3-large": (3072, 8191),
    "text-embedding-ada-002": (1536, 8191),
    "nomic-embed-text": (768, 2048),
    "mxbai-embed-large": (1024, 512),
    "bge-m3": (1024, 8192),
    "all-minilm": (384, 256),
}
_PIECE = re.compile(
    r"[A-Za-z]{1,6}|\d{1,3}"
    r"|[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]"
    r"|[^\W\d_]{1,3}|\S"
)
