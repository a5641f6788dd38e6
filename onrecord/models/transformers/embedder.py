"""`hf:NAME_OR_FOLDER` as an embedder: a transformers encoder in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.messages import Usage
from onrecord.models.minilm import Window, windows
from onrecord.models.transformers.loading import Shelf, Source, refusal
from onrecord.models.transformers.resident import CAREFUL, Network, Resident, clean, load_network

Vectors = NDArray[np.float32]


class HFEmbedder(Resident["_Encoder"]):
    """Texts to unit vectors, by an encoder from a folder or the Hub.

    The arguments are those of every Resident. A model of sentence-transformers is used as its files
    say (mean, first, last or largest token; longest text; default prompt), and is refused where it
    has parts that are not done here; any other one by the mean of its tokens.

    A text over `max_tokens` tokens is not cut: it is read in equal windows, and its vector is the
    mean of theirs, as in `embedded:minilm`. Texts are padded to share a batch, which changes the
    last digits of a vector (about 1e-6).
    """

    @property
    def dimensions(self) -> int:
        """Length of a vector; loads the model."""
        return int(self._loaded().network.model.config.get_text_config().hidden_size)

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

    def _load(self) -> _Encoder:
        return _load(self.source, *self._asked)

    def _embed(self, texts: list[str]) -> tuple[Vectors, Usage]:
        if not texts:
            return np.zeros((0, self.dimensions), np.float32), Usage()
        with self._lock:
            encoder = self._loaded()
            cut = [
                Window(place, ids)
                for place, text in enumerate(texts)
                for ids in windows(encoder.ids(text), encoder.max_tokens)
            ]
            out = np.zeros((len(texts), self.dimensions), np.float32)
            for places, vectors in encoder.vectors([w.ids for w in cut], self._batch, self.name):
                np.add.at(out, [cut[place].text for place in places], vectors)
        out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
        return out, Usage(input=sum(len(window.ids) for window in cut))


class _Encoder(msgspec.Struct, frozen=True):
    network: Network
    pooling: str
    prompt: str
    around: tuple[list[int], list[int]]  # the special tokens before and behind a text
    max_tokens: int

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, without special ones; markers in it are words."""
        return list(
            self.network.tokenizer(
                self.prompt + clean(text),
                add_special_tokens=False,
                split_special_tokens=True,
                verbose=False,
            )["input_ids"]
        )

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the tokens of a text stand in it."""
        encoded = self.network.tokenizer(
            clean(text),
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
            verbose=False,
        )
        return [(start, end) for start, end in encoded["offset_mapping"]]

    def vectors(
        self, texts: Sequence[Sequence[int]], batch: int, where: str
    ) -> Iterator[tuple[list[int], Vectors]]:
        """The places of texts, and one unit vector for each: texts are rows of tokens."""
        import torch

        before, behind = self.around
        nothing = [self.network.tokenizer.pad_token_id or 0]
        rows = [[*before, *ids, *behind] or nothing for ids in texts]
        given = [{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows]
        for places, output, mask in self.network.outputs(given, batch, where):
            pooled = _pooled(output.last_hidden_state.float(), mask, self.pooling)
            yield places, torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()


named: Shelf[HFEmbedder] = Shelf(HFEmbedder)


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

    pooling, longest, prompt = _sentence_transformers(source)
    if getattr(source.load_config(), "is_encoder_decoder", False):
        raise refusal("an encoder-decoder model makes no vectors here", source.where)
    # A pooler is trained for another task, and is not used.
    network = load_network(source, AutoModel, device, dtype, may_lack=("pooler.",), offsets=True)
    context = min(filter(None, (longest, network.context)), default=CAREFUL)
    around = _around(network.tokenizer)
    room = max(1, context - len(around[0]) - len(around[1]))
    return _Encoder(network, pooling, prompt, around, room)


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer writes before and behind a text."""
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    whole = list(tokenizer("a")["input_ids"])
    for at in range(len(whole) - len(bare) + 1):
        if whole[at : at + len(bare)] == bare:
            return whole[:at], whole[at + len(bare) :]
    return [], []


class _Part(msgspec.Struct):
    """One of modules.json."""

    type: str
    path: str = ""


class _Longest(msgspec.Struct):
    """sentence_bert_config.json."""

    max_seq_length: int | None = None


class _Prompts(msgspec.Struct):
    """config_sentence_transformers.json."""

    prompts: dict[str, str] | None = None
    default_prompt_name: str | None = None


def _sentence_transformers(source: Source) -> tuple[str, int, str]:
    """The pooling, the longest text in tokens (0: not said) and the default prompt."""
    pooling = "mean"
    for part in source.read_json("modules.json", list[_Part]) or []:
        kind = part.type.rpartition(".")[2]
        if kind not in ("Transformer", "Pooling", "Normalize"):
            raise refusal(f"the model has a part that is not done here: {kind}", source.where)
        if kind == "Pooling":
            path = f"{part.path}/config.json"
            pooling = _pooling(source.read_json(path, dict[str, Any]) or {}, source)
    longest = source.read_json("sentence_bert_config.json", _Longest) or _Longest()
    said = source.read_json("config_sentence_transformers.json", _Prompts) or _Prompts()
    prompt = (said.prompts or {}).get(said.default_prompt_name or "", "")
    return pooling, longest.max_seq_length or 0, prompt


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
