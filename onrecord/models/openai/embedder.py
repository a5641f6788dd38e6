"""`openai:NAME` as an embedder: the embeddings endpoint of the OpenAI protocol."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onrecord.calling import run
from onrecord.errors import ModelError, ModelUnavailableError
from onrecord.messages import Usage
from onrecord.models.calling import embed
from onrecord.models.http.events import text_of
from onrecord.models.http.failures import note
from onrecord.models.http.refusals import error_of, one_line, scrub
from onrecord.models.openai.server import openai_server
from onrecord.models.usage import usage_of


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
        self.server = openai_server(base_url, key, timeout)
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
        """Length of a vector; where it is not known yet the server is asked, in a call that is
        recorded and paid for like any other."""
        if not self._dimensions:
            self._dimensions = run(embed(self, ["length"])).shape[1]
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
        usage, all_counted = Usage(), True
        for batch in _batches(texts):
            try:
                vectors, used = await self._batch(batch)
            except ModelError as error:
                # What the batches before took is not known where one of them was not counted.
                known = usage + (error.usage or Usage())
                note(error, usage=known, sent=None if all_counted else True)
                raise
            batches.append(vectors)
            usage += used
            all_counted = all_counted and used != Usage()
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
                raise (await self.server.refused(response, self._where))[0]
            text = await text_of(response)
            answer = self.server.parse(text, self._where)
        vectors = _vectors(answer, len(texts))
        if vectors is None or vectors.shape[1] != (self._dimensions or vectors.shape[1]):
            error = error_of(text.encode())
            said = one_line(scrub(str(error.get("message") or ""), self.server.key), 200)
            useless = ModelUnavailableError(
                f"the server sent no {len(texts)} vectors of {self._dimensions or 'one'} length"
                + (f": {said}" if said else ""),
                where=self._where,
                cure="Check that this model makes embeddings.",
            )
            raise note(useless, usage=usage_of(answer))
        self._dimensions = vectors.shape[1]
        return vectors, usage_of(answer)


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
