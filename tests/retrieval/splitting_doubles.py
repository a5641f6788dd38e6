"""Embedders that count what they are asked: one token a word, or one a byte."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class WordEmbedder:
    """A token a word or sign, as WordPiece nearly does it; whitespace is none."""

    name = "double:words"
    version = "1"
    dimensions = 8

    def __init__(self, max_tokens: int = 40) -> None:
        self.max_tokens = max_tokens
        self.characters = 0

    def tokens(self, text: str) -> list[tuple[int, int]]:
        self.characters += len(text)
        return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        seeds = [zlib.crc32(text.encode("utf-8", "surrogatepass")) for text in texts]
        vectors = [np.random.default_rng(seed).normal(size=self.dimensions) for seed in seeds]
        matrix = np.array(vectors, np.float32).reshape(len(texts), self.dimensions)
        return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True), np.float32)


class ByteEmbedder(WordEmbedder):
    """A token a byte of UTF-8, whitespace included, as byte-level encoders have it at worst."""

    name = "double:bytes"

    def tokens(self, text: str) -> list[tuple[int, int]]:
        self.characters += len(text)
        spans = []
        for at, sign in enumerate(text):
            spans.extend([(at, at + 1)] * len(sign.encode("utf-8", "surrogatepass")))
        return spans
