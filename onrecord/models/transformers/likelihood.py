"""How likely a causal `hf:` model finds a text, token by token, in windows that slide."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from onrecord.errors import UsageError
from onrecord.models.transformers.loading import Shelf, refusal
from onrecord.models.transformers.resident import CAREFUL, Network, Resident, clean, load_network


class Likelihood(msgspec.Struct, frozen=True):
    """The natural logarithm of the probability of each token of a text, given those before it.

    `text` is what these tokens spell. `opened`: something stands before the first token (the
    model's mark of a beginning), so that it is predicted as well; else the first token is only
    read, and is not in `text`.
    """

    logprobs: tuple[float, ...]
    text: str
    opened: bool
    windows: int = 1

    @property
    def total(self) -> float:
        """The log-likelihood of the text."""
        return sum(self.logprobs)


class HFLikelihood(Resident[Network]):
    """A causal model of the library transformers that is asked for likelihoods. The arguments are
    those of every Resident. It holds weights of its own beside an `HFModel` of the same name."""

    async def likelihoods(
        self, texts: Sequence[str], *, stride: int | None = None
    ) -> list[Likelihood]:
        """The likelihood of each text, in order.

        A text that is longer than the model reads is read in windows, `stride` tokens apart (half
        of what it reads, where None): each token is predicted once, with all tokens before it that
        its window holds. With a smaller stride it sees more, and the work grows. Where the
        tokenizer has a mark for the beginning (else for the end, as GPT-2), it stands first.
        Markers in a text are words. Raises ModelError; UsageError for an empty text.
        """
        return await asyncio.to_thread(self._likelihoods, list(texts), stride)

    def _load(self) -> Network:
        from transformers import AutoModelForCausalLM

        if getattr(self.source.load_config(), "is_encoder_decoder", False):
            raise refusal(
                "this model writes one text to another: it has no likelihood of a text alone",
                self.name,
                "Name a causal model.",
            )
        network = load_network(self.source, AutoModelForCausalLM, *self._asked)
        network.tokenizer.padding_side = "right"
        return network

    def _likelihoods(self, texts: list[str], stride: int | None) -> list[Likelihood]:
        network = self._loaded()
        context = network.context or CAREFUL
        step = context // 2 if stride is None else stride
        if not 1 <= step < context:
            raise UsageError(
                f"a stride of {step} tokens does not fit a model that reads {context}",
                cure=f"Give 1 to {context - 1}.",
            )
        with self._lock:
            encoded = [self._ids(network, text) for text in texts]
            parts = [
                (at, *part)
                for at, (ids, _) in enumerate(encoded)
                for part in _windows(len(ids), context, step)
            ]
            rows = [
                {"input_ids": ids, "attention_mask": [1] * len(ids)}
                for at, start, end, _ in parts
                for ids in [encoded[at][0][start:end]]
            ]
            found: list[list[float]] = [[] for _ in rows]
            for places, output, _ in network.outputs(rows, self._batch, self.name):
                for row, place in enumerate(places):
                    found[place] = _predicted(output.logits[row], rows[place]["input_ids"])
        logprobs: list[list[float]] = [[] for _ in texts]
        count = [0] * len(texts)
        for (at, start, _, first), values in zip(parts, found, strict=True):
            logprobs[at] += values[first - start - 1 :]
            count[at] += 1
        return [
            Likelihood(
                tuple(logprobs[at]),
                self._spelt(network, text, *encoded[at]),
                encoded[at][1],
                count[at],
            )
            for at, text in enumerate(texts)
        ]

    def _ids(self, network: Network, text: str) -> tuple[list[int], bool]:
        """The tokens of a text, and whether a mark stands before them."""
        tokenizer = network.tokenizer
        if not text:
            raise UsageError("an empty text has no likelihood", where=self.name)
        ids = list(
            tokenizer(
                clean(text), add_special_tokens=False, split_special_tokens=True, verbose=False
            )["input_ids"]
        )
        begin = tokenizer.bos_token_id
        begin = tokenizer.eos_token_id if begin is None else begin
        if begin is not None:
            return [begin, *ids], True
        if len(ids) < 2:
            raise UsageError(
                f"the text {text!r:.40} has one token, and nothing stands before it",
                where=self.name,
                cure="Give a longer text: this model has no mark for a beginning.",
            )
        return ids, False

    def _spelt(self, network: Network, text: str, ids: list[int], opened: bool) -> str:
        """What the predicted tokens spell: all of the text, or all behind its first token."""
        if opened:
            return text
        first = network.tokenizer.decode(ids[:1], clean_up_tokenization_spaces=False)
        return text[len(first) :] if text.startswith(first) else text


def _windows(size: int, context: int, stride: int) -> list[tuple[int, int, int]]:
    """(start, end, first predicted) of the windows over `size` tokens: each is as long as may be,
    the last one ends with the text, and no token but the first is left out."""
    parts = []
    done = 1
    while done < size:
        end = min(max(done + stride, context), size)
        parts.append((max(0, end - context), end, done))
        done = end
    return parts


def _predicted(logits: object, ids: Sequence[int]) -> list[float]:
    """The log-probability of each token but the first."""
    import torch

    scores = logits[: len(ids) - 1].float().log_softmax(-1)  # type: ignore[index]  # a tensor
    targets = torch.tensor(ids[1:], device=scores.device)
    values: list[float] = scores.gather(1, targets[:, None])[:, 0].tolist()
    return values


named: Shelf[HFLikelihood] = Shelf(HFLikelihood)
