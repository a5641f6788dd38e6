"""Extractive question answering: the words of a text that answer a question, by an `hf:` model.

transformers 5 has no pipeline for it any more. A model gives each token a score as the first one of
the answer and another as the last one; a span's score is the sum of both. "There is no answer" is
the score of the token that begins the row, as the models are trained to say it (Devlin et al.,
"BERT", 2019, section 4.3).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.errors import UsageError
from onrecord.models.transformers.loading import refusal
from onrecord.models.transformers.resident import Network, Resident, load_network
from onrecord.models.transformers.windows import Token, Window, windows

Scores = NDArray[np.float64]


class Reading(msgspec.Struct, frozen=True):
    """What a reader found: `text[start:end]`, or that there is no answer (`start` is None).

    `confidence`: the share of what was found among all spans that it could have been, and "no
    answer": a softmax of their scores. It is the model's own, and calibrated to nothing. `tokens`:
    how many were read, in `windows` windows.
    """

    start: int | None
    end: int | None
    confidence: float
    tokens: int
    windows: int = 1


class HFReader(Resident[Network]):
    """A transformers model for question answering that marks the answer in a text.

        longest      how many tokens an answer may have
        threshold    by how much the best span's score must beat that of "no answer"; None: the best
                     span is the answer, whatever it scores

    The other arguments are those of every Resident. A model that was not trained on questions
    without an answer (SQuAD 2.0 has some) finds one nearly always: its score of "no answer" is low.
    """

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch: int = 8,
        longest: int = 30,
        threshold: float | None = 0.0,
    ) -> None:
        super().__init__(name, revision=revision, device=device, dtype=dtype, batch=batch)
        if longest < 1:
            raise UsageError(f"longest={longest} is out of range", cure="Give 1 or more.")
        self._longest = longest
        self._threshold = threshold

    async def read(self, question: str, text: str) -> Reading:
        """Where in `text` the answer to `question` stands.

        A text longer than the model reads is read in windows that overlap; an answer of more tokens
        than half of what two windows share can be missed at their border. Raises ModelError,
        ContextLengthError for a question that leaves no room for the text.
        """
        return await asyncio.to_thread(self._read, question, text)

    def _load(self) -> Network:
        from transformers import AutoModelForQuestionAnswering

        return load_network(self.source, AutoModelForQuestionAnswering, *self._asked, offsets=True)

    def _read(self, question: str, text: str) -> Reading:
        network = self._loaded()
        with self._lock:
            tokens, parts = windows(network, text, self.name, question=question)
            blank = np.array([not text[token.start : token.end].strip() for token in tokens], bool)
            rows, found = [part.row for part in parts], list[_Found]()
            for places, output, _ in network.outputs(rows, self._batch, self.name):
                first = output.start_logits.double().cpu().numpy()
                last = output.end_logits.double().cpu().numpy()
                for at, place in enumerate(places):
                    part = parts[place]
                    scores = _spans(first[at], last[at], part, blank, self._longest)
                    null = _null(network, part)
                    nothing = math.inf if null is None else float(first[at, null] + last[at, null])
                    found.append(_found(scores, part, nothing))
        if blank.all():
            raise refusal("the text holds nothing that this model reads", self.name)
        read = sum(len(row["input_ids"]) for row in rows)
        return self._reading(text, tokens, found, read)

    def _reading(
        self, text: str, tokens: Sequence[Token], found: Sequence[_Found], read: int
    ) -> Reading:
        best = max(found, key=lambda each: each.score)
        # A window without the answer is sure that there is none; the least sure one counts.
        nothing = min(each.nothing for each in found)
        scores = [each.total for each in found] + ([nothing] if nothing < math.inf else [])
        total = float(np.logaddexp.reduce(scores))
        if (
            self._threshold is not None
            and nothing < math.inf
            and best.score <= nothing + self._threshold
        ):
            return Reading(None, None, math.exp(nothing - total), read, len(found))
        start, end = tokens[best.first].start, tokens[best.last].end
        quote = text[start:end]  # a token may hold the space before a word
        start, end = start + len(quote) - len(quote.lstrip()), start + len(quote.rstrip())
        return Reading(start, end, math.exp(best.score - total), read, len(found))


class _Found(msgspec.Struct, frozen=True):
    """Of a window: its best span's score and the numbers of that span's first and last token; the
    log of the sum of e^score of all; the score of "no answer", infinite where it can say none."""

    score: float
    first: int
    last: int
    total: float
    nothing: float


def _spans(
    first: Scores, last: Scores, part: Window, blank: NDArray[np.bool_], longest: int
) -> Scores:
    """The scores of the spans that begin with a token of the window's own.

    Shape (own tokens, longest): in row i and column j that of j + 1 tokens from the own token i on;
    -inf where the window ends before, and where a span would begin or end with a blank.
    """
    here = slice(part.at, part.at + len(part.tokens))
    hidden = np.where(blank[part.tokens.start : part.tokens.stop], -np.inf, 0.0)
    ends = np.pad(last[here] + hidden, (0, longest - 1), constant_values=-np.inf)
    after = np.lib.stride_tricks.sliding_window_view(ends, longest)
    own = slice(part.own.start - part.tokens.start, part.own.stop - part.tokens.start)
    scores: Scores = (first[here] + hidden)[own, None] + after[own]
    return scores


def _found(scores: Scores, part: Window, nothing: float) -> _Found:
    row, column = divmod(int(scores.argmax()), scores.shape[1])
    begins = part.own.start + row
    total = float(np.logaddexp.reduce(scores, axis=None))
    return _Found(float(scores[row, column]), begins, begins + column, total, nothing)


def _null(network: Network, part: Window) -> int | None:
    """The place in the row whose token stands for "no answer": the one that begins it."""
    ids = list(part.row["input_ids"])
    marks = (network.tokenizer.cls_token_id, network.tokenizer.bos_token_id)
    return next((ids.index(mark) for mark in marks if mark is not None and mark in ids), None)
