"""The embedder that ships with the package: `embedded:minilm`, all-MiniLM-L6-v2 in int8.

It needs no server and no download. Its model card is `onrecord/data/minilm/README.md`.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnxruntime
    from tokenizers import Encoding, Tokenizer

Vectors = NDArray[np.float32]

# Large enough that the cost of a call vanishes, small enough that what passes between two
# layers stays in the processor's cache.
BATCH_TOKENS = 512
CLS, SEP = 101, 102
FOLDER = "data/minilm"
SURROGATES = re.compile("[\ud800-\udfff]")


class Window(NamedTuple):
    """Tokens that the model reads in one piece, and the place in the list of their text."""

    text: int
    ids: list[int]


class MiniLM:
    """Texts to unit vectors of 384 numbers, on the CPU, in this process.

    A text has the same vector, bit for bit, alone and in any list: only texts of equal length share
    a call of the model, so nothing is padded, and activations are quantized token by token.

    A text over `max_tokens` tokens is not cut: it is read in equal windows of at most that many
    tokens, and its vector is the mean of theirs, normalised again. That is a summary of the
    whole, and finds a detail less well than vectors of its parts do; split long texts first.

    The model is loaded at the first use (about 0.05 s, and its libraries 0.1 s). One instance may
    be used from any number of threads and event loops. Trained on English.
    """

    name = "embedded:minilm"
    # The first number counts changes of this file that change vectors; the rest is the start of
    # the sha256 of model.onnx followed by tokenizer.json (a test compares them).
    version = "1-7e95f14fe1475a53"
    dimensions = 384
    # Trained on 256 positions, two of which are the marks around the text.
    max_tokens = 254

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokenizer: Tokenizer | None = None
        self._session: onnxruntime.InferenceSession | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._pool_process = 0

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of `texts`: shape (len(texts), 384), float32, unit length, in the same order.

        Works in threads, one a core, and leaves the event loop free. Cancelling it drops
        what has not been started. An empty text has a vector like any other, which means nothing.
        """
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        loop, pool = asyncio.get_running_loop(), self._workers()
        if len(texts) == 1:
            return await loop.run_in_executor(pool, self._embed_one, texts[0])
        batches = await loop.run_in_executor(pool, self._plan, tuple(texts))
        parts = await asyncio.gather(
            *(loop.run_in_executor(pool, self._run, batch) for batch in batches)
        )
        return combined(len(texts), batches, parts)

    def tokens(self, text: str) -> list[tuple[int, int]]:
        """The spans (start, end), in characters of `text`, of its tokens, without special ones.

        Ascending; two tokens may share a character that the model takes apart (Korean syllables),
        and characters that it ignores (spaces, control characters) lie in no span.
        """
        return list(self._encode(text).offsets)

    def _embed_one(self, text: str) -> Vectors:
        batches = self._plan((text,))
        return combined(1, batches, [self._run(batch) for batch in batches])

    def _plan(self, texts: Sequence[str]) -> list[list[Window]]:
        """The calls to make: windows of equal length together, the longest first."""
        cut = (
            Window(place, ids)
            for place, text in enumerate(texts)
            for ids in windows(self._encode(text).ids, self.max_tokens)
        )
        ordered = sorted(cut, key=lambda window: -len(window.ids))
        return list(batched(ordered))

    def _encode(self, text: str) -> Encoding:
        tokenizer = self._loaded_tokenizer()
        # Half a surrogate pair is legal in a str and not in UTF-8; one character stands for it, so
        # the offsets stay right.
        if not text.isascii():
            text = SURROGATES.sub("\ufffd", text)
        return tokenizer.encode(text, add_special_tokens=False)

    def _run(self, batch: list[Window]) -> Vectors:
        ids = np.array([[CLS, *window.ids, SEP] for window in batch], np.int64)
        result: Any = self._loaded_session().run(None, {"input_ids": ids})
        vectors: Vectors = result[0]
        return vectors

    def _workers(self) -> ThreadPoolExecutor:
        with self._lock:
            # Threads do not survive a fork; a forked child would wait for them forever.
            if self._pool is None or self._pool_process != os.getpid():
                self._pool = ThreadPoolExecutor(cores(), thread_name_prefix="minilm")
                self._pool_process = os.getpid()
            return self._pool

    def _loaded_tokenizer(self) -> Tokenizer:
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = load_tokenizer()
            return self._tokenizer

    def _loaded_session(self) -> onnxruntime.InferenceSession:
        with self._lock:
            if self._session is None:
                self._session = load_session()
            return self._session


def windows(ids: list[int], longest: int) -> Iterator[list[int]]:
    """`ids` in the fewest pieces of at most `longest`, sizes within one of each other."""
    count = max(1, -(-len(ids) // longest))
    for i in range(count):
        yield ids[len(ids) * i // count : len(ids) * (i + 1) // count]


def batched(ordered: Sequence[Window]) -> Iterator[list[Window]]:
    """Runs of equal length, each of BATCH_TOKENS tokens at most, or of one window."""
    batch: list[Window] = []
    for window in ordered:
        length = len(window.ids)
        full = (len(batch) + 1) * (length + 2) > BATCH_TOKENS
        if batch and (full or len(batch[0].ids) != length):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def combined(count: int, batches: list[list[Window]], parts: Sequence[Vectors]) -> Vectors:
    """One unit vector a text, from the vectors of its windows: shape (count, 384)."""
    out = np.zeros((count, MiniLM.dimensions), np.float32)
    pieces = np.zeros(count, np.int64)
    for batch, vectors in zip(batches, parts, strict=True):
        places = [window.text for window in batch]
        np.add.at(out, places, vectors)
        np.add.at(pieces, places, 1)
    # A text of one window keeps its very bits.
    long = pieces > 1
    out[long] /= np.linalg.norm(out[long], axis=1, keepdims=True)
    return out


def cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_tokenizer() -> Tokenizer:
    """The tokenizer of the model, which neither pads nor cuts."""
    from tokenizers import Tokenizer

    with as_file(files("onrecord") / FOLDER / "tokenizer.json") as path:
        return Tokenizer.from_file(str(path))


def load_session() -> onnxruntime.InferenceSession:
    """The model, ready to run: one thread a call, because calls run beside each other."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # The graph is fused already. A higher level costs time at load and puts the slower
    # SkipLayerNormalization back.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with as_file(files("onrecord") / FOLDER / "model.onnx") as path:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
