"""A model in this process: its files, its device, and its weights, which are loaded at first use.

`Resident` is what every `hf:` model is; `Network` is the loaded part of those that compute once for
a row of tokens: encoders, and models with a head for a task.
"""

from __future__ import annotations

import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from onrecord.errors import ModelUnavailableError
from onrecord.models.transformers.loading import (
    Device,
    Source,
    choose_device,
    context_of,
    refusal,
)

T = TypeVar("T")
Row = Mapping[str, Sequence[int]]


class Resident(ABC, Generic[T]):
    """A model in this process, from a folder or the Hub.

        name         a folder, or OWNER/NAME on the Hub, of which `revision` may name a commit
        device       cpu, cuda, cuda:1, mps; by default the first GPU, else the CPU
        dtype        float32, bfloat16, float16; by default float32 on a CPU, else the files' own
        batch        at most so many rows are computed at once

    Raises MissingExtraError without the extra `hf`, UnknownNameError for a folder that is not there
    or lacks a file. One instance may be used from any number of threads and event loops.
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
        self._made: T | None = None

    @functools.cached_property
    def version(self) -> str:
        """The folder's files or the Hub's commit, with the device and number format asked for.

        The first look at it reads the folder, or asks the Hub. Raises ModelError.
        """
        return "-".join([self.source.version, *(each for each in self._asked if each)])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source.name!r})"

    @abstractmethod
    def _load(self) -> T:
        """Load the weights. Raises ModelError, UsageError."""

    def _loaded(self) -> T:
        """What `_load` gave, once."""
        if self._made is None:
            with self._lock:
                if self._made is None:  # no other thread was faster
                    self._made = self._load()
        return self._made


class Network(msgspec.Struct, frozen=True):
    """A model with its weights on its device. `context`: how many tokens it reads, None where its
    files do not say."""

    model: Any
    tokenizer: Any
    device: Device
    context: int | None

    def outputs(
        self, rows: Sequence[Row], batch: int, where: str
    ) -> Iterator[tuple[list[int], Any, Any]]:
        """The rows' places, what the model gives for them, and the mask of what is no padding;
        batch by batch, rows of like length together. Raises ModelUnavailableError."""
        import torch

        # Without a padding token, a model may find no end of a row that others made longer.
        most = 1 if self.tokenizer.pad_token_id is None else batch
        for places in by_length([len(row["input_ids"]) for row in rows], most):
            given = _padded([rows[place] for place in places], self.tokenizer.pad_token_id or 0)
            given = {name: tensor.to(self.device.name) for name, tensor in given.items()}
            try:
                with torch.inference_mode():
                    output = self.model(**given)
            except (RuntimeError, MemoryError, ValueError, IndexError) as error:
                raise ModelUnavailableError(
                    f"the model failed: {type(error).__name__}: {str(error)[:200]}", where=where
                ) from error
            yield places, output, given["attention_mask"]


def load_network(
    source: Source,
    auto: Any,
    device: str | None,
    dtype: str | None,
    *,
    may_lack: tuple[str, ...] = (),
    offsets: bool = False,
) -> Network:
    """Load a model of the Auto class `auto`; `may_lack` as in Source.load_weights.

    Raises ModelError, also, with `offsets`, for a tokenizer that does not say where in a text its
    tokens stand; UsageError for a device that is not there.
    """
    place = choose_device(device, dtype)
    config = source.load_config()
    tokenizer = source.load_tokenizer(truncation_side="right")
    if offsets and not tokenizer.is_fast:
        raise refusal(
            "this model's tokenizer does not say where its tokens stand",
            source.where,
            "Name a model that has a tokenizer.json.",
        )
    model = source.load_weights(auto, place, may_lack=may_lack)
    return Network(model, tokenizer, place, context_of(config, tokenizer))


def by_length(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Places of rows in batches of at most `most`, those of like length together."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    for start in range(0, len(order), most):
        yield order[start : start + most]


def clean(text: str) -> str:
    """A text of as many characters that UTF-8 can hold: half a surrogate pair is legal in a str."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _padded(rows: Sequence[Row], pad: int) -> dict[str, Any]:
    """Tensors of shape (rows, tokens of the longest), filled up on the right."""
    import torch

    longest = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": pad}
    return {
        name: torch.tensor(
            [[*row[name], *[fill.get(name, 0)] * (longest - len(row[name]))] for row in rows]
        )
        for name in rows[0]
    }


CAREFUL = 512  # tokens, where nobody knows how much a model reads
