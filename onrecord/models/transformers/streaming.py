"""An `hf:` answer while it is made: tokens become words, words are sent, a stop text ends it.

`Watch` is called by `generate` after every step with all rows of a batch. It is a stopping
criterion and not a streamer, because a criterion sees each token before it is decided whether the
row goes on, and because transformers' own streamers take one row and hold back whole words.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from onrecord.messages import TextDelta, TokenProbability

if TYPE_CHECKING:
    import torch

    from onrecord.messages import Finish
    from onrecord.models.transformers.batching import Job

Decode = Callable[[Sequence[int]], str]


class Answer(msgspec.Struct, frozen=True):
    """What a row came to; `tokens` counts all that were made, the one that ended it included."""

    text: str
    finish: Finish
    tokens: int
    logprobs: tuple[TokenProbability, ...] = ()


class Words:
    """The text of a growing list of tokens; no character is given before it is whole.

    A token alone says little: its text depends on the one before it (spaces), and a character may
    be spread over several. So a few tokens are decoded again with each new one, and what the new
    one adds is its text, once it does not end in half a character.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._before = self._given = 0  # tokens whose text is known, and of these the anchored ones

    def add(self, token: int) -> str:
        """What the token adds to the text: "" while a character is not whole."""
        self._tokens.append(token)
        return self._new(last=False)

    def rest(self) -> str:
        """What is left at the end, whole or not."""
        return self._new(last=True)

    def _new(self, *, last: bool) -> str:
        known = self._decode(self._tokens[self._before : self._given])
        whole = self._decode(self._tokens[self._before :])
        if len(whole) <= len(known) or (whole.endswith("\ufffd") and not last):
            return ""
        self._before, self._given = self._given, len(self._tokens)
        return whole[len(known) :]


class Row:
    """One request of a batch and its answer so far.

    `ends` are the tokens that end an answer; `forced`: the last one that it may have is made to be
    one of them, which is then no end of its own.
    """

    def __init__(
        self, job: Job, decode: Decode, ends: Collection[int], *, forced: bool = False
    ) -> None:
        self.job = job
        self.answer: Answer | None = None
        self.probabilities: list[TokenProbability] = []
        self._words = Words(decode)
        self._ends = ends
        self._forced = forced
        self._text = ""
        self._sent = self._searched = 0
        self._starts: list[int] = []  # where in the text each token begins
        self._made = 0

    @property
    def done(self) -> bool:
        """Whether nothing more is wanted: it is answered, or nobody waits for it any more."""
        return self.answer is not None or self.job.cancelled

    def add(self, token: int) -> None:
        """The next token: what it adds is sent, and the answer, if that is all."""
        self._made += 1
        if token in self._ends:
            self._finish("length" if self._forced and self._made >= self.job.limit else "stop")
            return
        self._starts.append(len(self._text))
        self._text += self._words.add(token)
        if self._made < self.job.decoding.min_tokens:
            self._searched = len(self._text)  # a stop text does not count before
        elif self._stopped():
            return
        if self._made >= self.job.limit:
            self._finish("length")
        else:
            self._send(len(self._text) - self._held_back())

    def close(self) -> None:
        """There are no more tokens: what is there is the answer, cut off where it ends."""
        if not self.done:
            self._finish("length")

    def _finish(self, why: Finish) -> None:
        self._text += self._words.rest()
        if not self._stopped():
            self._end(len(self._text), why)

    def _stopped(self) -> bool:
        """Whether a stop text is there; then the answer ends before it."""
        places = [self._text.find(stop, self._searched) for stop in self.job.stop]
        found = [place for place in places if place >= 0]
        if found:
            self._end(min(found), "stop")
        longest = max(map(len, self.job.stop), default=1)
        self._searched = max(self._searched, len(self._text) - longest + 1)
        return bool(found)

    def _end(self, cut: int, why: Finish) -> None:
        self._send(cut)
        whole = self._starts if cut == len(self._text) else [at for at in self._starts if at < cut]
        self.answer = Answer(
            self._text[:cut], why, self._made, tuple(self.probabilities[: len(whole)])
        )
        self.job.send(self.answer)

    def _held_back(self) -> int:
        """How many characters at the end may be the beginning of a stop text."""
        tail = self._text[self._searched :]
        return max((_overlap(tail, stop) for stop in self.job.stop), default=0)

    def _send(self, end: int) -> None:
        if end > self._sent:
            self.job.send(TextDelta(self._text[self._sent : end]))
            self._sent = end


class Watch:
    """Sees every token of a batch. Rows that are done are answered at once, the others go on."""

    def __init__(self, rows: Sequence[Row], logits: Callable[[], Any], decode: Decode) -> None:
        self._rows = rows
        self._logits = logits
        self._decode = decode

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Which rows are done: a tensor of truth values, one a row."""
        import torch

        tokens = input_ids[:, -1].tolist()
        for place, (row, token) in enumerate(zip(self._rows, tokens, strict=True)):
            if row.done:
                continue
            wanted = row.job.logprobs
            if wanted is not None:  # before the token is added: it may be the last
                scores = self._logits()[place]
                row.probabilities.append(probability(scores, token, wanted, self._decode))
            row.add(token)
        done = [row.done for row in self._rows]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)


class StopTexts:
    """A stopping criterion of beam search: a beam that holds a stop text of its row is complete."""

    def __init__(self, jobs: Sequence[Job], prompt: int, minimum: int, decode: Decode) -> None:
        self._jobs = jobs
        self._prompt = prompt
        self._minimum = minimum
        self._decode = decode

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Which beams are complete; all where nobody waits for any of them."""
        import torch

        made = input_ids.shape[1] - self._prompt
        nobody = all(job.cancelled for job in self._jobs)
        done = [nobody] * input_ids.shape[0]
        if not nobody and made >= self._minimum:
            each = len(done) // len(self._jobs)  # more than num_beams: also those that may follow
            for place in range(len(done)):
                stops = self._jobs[place // each].stop
                if stops:
                    # A token has at least a byte: the stop text ends in the last so many of them.
                    tail = min(max(len(stop.encode()) for stop in stops) + 8, made)
                    text = self._decode(input_ids[place, -tail:].tolist())
                    done[place] = any(stop in text for stop in stops)
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)


def probability(logits: Any, token: int, likeliest: int, decode: Decode) -> TokenProbability:
    """A token's log-probability, and the likeliest ones in its place.

    The model's own, from its raw logits: before any penalty, temperature or cut.
    """
    import torch

    logs = torch.log_softmax(logits.float(), -1)
    top: list[tuple[str, float]] = []
    if likeliest:
        values, tokens = logs.topk(min(likeliest, logs.shape[-1]))
        top = [
            (decode([other]), value)
            for other, value in zip(tokens.tolist(), values.tolist(), strict=True)
        ]
    return TokenProbability(decode([token]), float(logs[token]), tuple(top))


def _overlap(text: str, stop: str) -> int:
    """How long a beginning of `stop`, not the whole of it, `text` ends with."""
    return next(
        (n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0
    )
