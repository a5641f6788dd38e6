"""`hf:NAME_OR_FOLDER` as an embedder: a transformers encoder in this process."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.errors import ModelUnavailableError
from onrecord.messages import Usage
from onrecord.models.minilm import Window, windows
from onrecord.models.transformers.loading import (
    Device,
    Shelf,
    Source,
    choose_device,
    context_of,
    refusal,
)
from onrecord.models.transformers.pipeline import by_length, clean

Vectors = NDArray[np.float32]


class HFEmbedder:
    """Texts to unit vectors, by an encoder from a folder or the Hub.

    `name`, `revision`, `device` and `dtype` are those of HFModel. A model of sentence-transformers
    is used as its files say (mean, first, last or largest token; longest text; default prompt), and
    is refused where it has parts that are not done here; any other one by the mean of its tokens.

    A text over `max_tokens` tokens is not cut: it is read in equal windows, and its vector is the
    mean of theirs, as in `embedded:minilm`. Texts are padded to share a batch, which changes the
    last digits of a vector (about 1e-6).

    Raises MissingExtraError without the extra `hf`, UnknownNameError for a folder that is not there
    or lacks a file. The weights are loaded at first use; any thread and event loop may use it.
    """

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch: int = 32,
    ) -> None:
        self.name = f"hf:{name}"
        self.source = Source(name, revision=revision)
        self._asked = device, dtype
        self._batch = batch
        self._lock = threading.RLock()

    @functools.cached_property
    def version(self) -> str:
        """The folder's files or the Hub's commit, with the device and number format asked for."""
        return "-".join([self.source.version, *(each for each in self._asked if each)])

    @property
    def dimensions(self) -> int:
        """Length of a vector; loads the model."""
        return int(self._loaded().model.config.get_text_config().hidden_size)

    @property
    def max_tokens(self) -> int:
        """The longest text, in tokens, that is embedded whole; loads the model."""
        return self._loaded().max_tokens

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of `texts`, shape (len(texts), dimensions), unit length, in order. Raises
        ModelError. An empty text has a vector like any other, which means nothing."""
        return (await self.embed_counted(texts))[0]

    async def embed_counted(self, texts: Sequence[str]) -> tuple[Vectors, Usage]:
        """The vectors of `embed`, and the tokens that were read for them."""
        return await asyncio.to_thread(self._embed, list(texts))

    def tokens(self, text: str) -> list[tuple[int, int]]:
        """Character spans (start, end) of the tokens of `text`, without special ones."""
        with self._lock:
            return self._loaded().spans(text)

    def __repr__(self) -> str:
        return f"HFEmbedder({self.source.name!r})"

    def _loaded(self) -> _Encoder:
        with self._lock:
            if "_encoder" not in vars(self):
                self._encoder = _load(self.source, *self._asked)
            return self._encoder

    def _embed(self, texts: list[str]) -> tuple[Vectors, Usage]:
        with self._lock:
            encoder = self._loaded()
            cut = [
                Window(place, ids)
                for place, text in enumerate(texts)
                for ids in windows(encoder.ids(text), encoder.max_tokens)
            ]
            batches = [
                [cut[place] for place in places]
                for places in by_length([len(window.ids) for window in cut], self._batch)
            ]
            parts = [encoder.run([w.ids for w in batch], self.name) for batch in batches]
        if not texts:
            return np.zeros((0, self.dimensions), np.float32), Usage()
        return _combined(len(texts), batches, parts), Usage(input=sum(len(w.ids) for w in cut))


class _Encoder(msgspec.Struct, frozen=True):
    model: Any
    tokenizer: Any
    device: Device
    pooling: str
    prompt: str
    around: tuple[list[int], list[int]]  # the special tokens before and behind a text
    max_tokens: int

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, without special ones; markers in it are words."""
        return list(
            self.tokenizer(
                self.prompt + clean(text),
                add_special_tokens=False,
                split_special_tokens=True,
                verbose=False,
            )["input_ids"]
        )

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the tokens of a text stand in it."""
        encoded = self.tokenizer(
            clean(text),
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
            verbose=False,
        )
        return [(start, end) for start, end in encoded["offset_mapping"]]

    def run(self, rows: list[list[int]], where: str) -> Vectors:
        """One unit vector for each row of tokens."""
        import torch

        before, behind = self.around
        nothing = [self.tokenizer.pad_token_id or 0]
        whole = [[*before, *ids, *behind] or nothing for ids in rows]
        given = self.tokenizer.pad({"input_ids": whole}, return_tensors="pt").to(self.device.name)
        try:
            with torch.inference_mode():
                hidden = self.model(**given).last_hidden_state.float()
        except (RuntimeError, MemoryError) as error:
            raise ModelUnavailableError(
                f"the model failed: {type(error).__name__}: {str(error)[:200]}", where=where
            ) from error
        pooled = _pooled(hidden, given["attention_mask"], self.pooling)
        vectors: Vectors = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return vectors


named: Shelf[HFEmbedder] = Shelf(HFEmbedder)


def _combined(count: int, batches: list[list[Window]], parts: Sequence[Vectors]) -> Vectors:
    """One unit vector a text, from the vectors of its windows."""
    out = np.zeros((count, parts[0].shape[1]), np.float32)
    for batch, vectors in zip(batches, parts, strict=True):
        np.add.at(out, [window.text for window in batch], vectors)
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
    return out


def _pooled(hidden: Any, mask: Any, pooling: str) -> Any:
    """Shapes: hidden (texts, tokens, dimensions), mask (texts, tokens) -> (texts, dimensions)."""
    import torch

    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "lasttoken":
        return hidden[torch.arange(len(hidden)), mask.sum(1) - 1]
    mask = mask.unsqueeze(-1)
    if pooling == "max":
        return hidden.masked_fill(mask == 0, -torch.inf).amax(1)
    return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)


def _load(source: Source, device: str | None, dtype: str | None) -> _Encoder:
    from transformers import AutoModel

    place = choose_device(device, dtype)
    pooling, longest, prompt = _sentence_transformers(source)
    config = source.load_config()
    if getattr(config, "is_encoder_decoder", False):
        raise refusal("an encoder-decoder model makes no vectors here", source.where)
    tokenizer = source.load_tokenizer(padding_side="right")
    if not tokenizer.is_fast:
        raise refusal("this model's tokenizer does not say where its tokens stand", source.where)
    # A pooler is trained for another task, and is not used.
    model = source.load_weights(AutoModel, place, may_lack=("pooler.",))
    context = min(filter(None, (longest, context_of(config, tokenizer))), default=_CAREFUL)
    around = _around(tokenizer)
    room = max(1, context - len(around[0]) - len(around[1]))
    return _Encoder(model, tokenizer, place, pooling, prompt, around, room)


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer writes before and behind a text."""
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    whole = list(tokenizer("a")["input_ids"])
    for at in range(len(whole) - len(bare) + 1):
        if whole[at : at + len(bare)] == bare:
            return whole[:at], whole[at + len(bare) :]
    return [], []


def _sentence_transformers(source: Source) -> tuple[str, int, str]:
    """The pooling, the longest text in tokens (0: not said) and the default prompt."""
    modules = _json(source, "modules.json") or []
    pooling = "mean"
    for module in modules:
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in ("Transformer", "Pooling", "Normalize"):
            raise refusal(f"the model has a part that is not done here: {kind}", source.where)
        if kind == "Pooling":
            pooling = _pooling(_json(source, f"{module.get('path')}/config.json") or {}, source)
    longest = (_json(source, "sentence_bert_config.json") or {}).get("max_seq_length") or 0
    config = _json(source, "config_sentence_transformers.json") or {}
    prompt = (config.get("prompts") or {}).get(config.get("default_prompt_name")) or ""
    return pooling, int(longest), str(prompt)


def _pooling(config: dict[str, Any], source: Source) -> str:
    """Newer files name one, older ones have a field for each."""
    said = config.get("pooling_mode")
    if said is None:
        on = [name for name, value in config.items() if name.startswith("pooling_mode_") and value]
        names = [name.removeprefix("pooling_mode_").removesuffix("_tokens") for name in on]
        said = names[0].removesuffix("_token") if len(names) == 1 else "+".join(names) or "mean"
    if said not in ("mean", "cls", "max", "lasttoken"):
        raise refusal(f"the model pools its tokens in a way not done here: {said}", source.where)
    return str(said)


def _json(source: Source, path: str) -> Any:
    content = source.read(path)
    if content is None:
        return None
    try:
        return json.loads(content)
    except ValueError:
        raise refusal(f"{path} is no JSON", source.where, "Check the model's files.") from None


_CAREFUL = 512
