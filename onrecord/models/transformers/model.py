"""`hf:NAME_OR_FOLDER`: a transformers model in this process, from a folder or the Hub."""

from __future__ import annotations

import asyncio
import functools
import secrets
import threading
from collections.abc import AsyncIterator

import msgspec

from onrecord.errors import ContextLengthError, ModelError
from onrecord.messages import Completion, TextDelta, Usage, text_message
from onrecord.models.http.failures import note
from onrecord.models.model import Event, Parameters, Request
from onrecord.models.transformers.batching import Job, Room, Worker
from onrecord.models.transformers.decoding import Decoding, decoding_of
from onrecord.models.transformers.generating import Loaded, answer, kind, load
from onrecord.models.transformers.loading import Device, Shelf, refusal
from onrecord.models.transformers.resident import Resident
from onrecord.models.transformers.streaming import Answer
from onrecord.models.transformers.wording import tokens_of

# How long an answer may get where neither the request nor the model's folder says.
LONGEST = 512


class HFModel(Resident[tuple[Loaded, Worker]]):
    """A causal or an encoder-decoder model of the library transformers.

    `context`: how many tokens the model reads, where its files say too little. The other arguments
    are those of every Resident; a beam counts as a row of a batch.

    The weights are loaded at the first request. Requests that wait together and have equal decoding
    settings are computed at once; seeds, stop texts and lengths may differ. In float32 a request
    gets the tokens that it would get alone, up to exact ties; in 16 bits it can get others.
    """

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch: int = 32,
        context: int | None = None,
    ) -> None:
        super().__init__(name, revision=revision, device=device, dtype=dtype, batch=batch)
        self._context = context
        self._encoding = threading.Lock()

    @property
    def device(self) -> Device:
        """Where the model computes, and in which number format; loads it."""
        return self._loaded()[0].device

    def decoding(self, parameters: Parameters) -> Decoding:
        """How the tokens of an answer would be chosen: what `parameters` ask for, and the choice of
        the model's folder where they leave it to the model. Loads the model."""
        return decoding_of(parameters, self._loaded()[0].habits, self.name)[0]

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Answer `request`. Raises ModelError; ContextLengthError for an input that is too long.

        Beam search has one delta, at its end. Whoever stops listening ends the work on this request
        and on no other one.
        """
        job, warnings = await asyncio.to_thread(self._prepare, request, asyncio.get_running_loop())
        self._loaded()[1].submit(job)
        try:
            while True:
                news = await job.news.get()
                if isinstance(news, TextDelta):
                    yield news
                elif isinstance(news, ModelError):
                    raise type(news)(news.what, where=self.name, cure=news.cure)
                else:
                    yield self._completion(job, news, warnings)
                    return
        finally:
            job.cancelled = True

    def close(self) -> None:
        """End what is computed. The memory is free when nobody holds the model any more."""
        if self._made is not None:
            self._made[1].close()

    def __repr__(self) -> str:
        shown = ""
        if self._made is not None:
            shown = f", device={self.device.name!r}, dtype={self.device.dtype!r}"
        return f"HFModel({self.source.name!r}{shown})"

    def _load(self) -> tuple[Loaded, Worker]:
        loaded = load(self.source, *self._asked, context=self._context)
        room = Room(rows=self._batch, positions=loaded.places)
        worker = Worker(functools.partial(answer, loaded), functools.partial(kind, loaded), room)
        return loaded, worker

    def _prepare(self, request: Request, loop: asyncio.AbstractEventLoop) -> tuple[Job, list[str]]:
        """In a thread: the first one loads the model."""
        if request.tools and request.tool_choice != "none":
            raise refusal(
                "hf: models are not given tools",
                self.name,
                "Serve the model (vLLM, `transformers serve`) and name it openai:NAME.",
            )
        loaded = self._loaded()[0]
        asked = request.parameters
        decoding, warnings = decoding_of(asked, loaded.habits, self.name)
        if loaded.habits.dropped:
            names = ", ".join(loaded.habits.dropped)
            warnings.append(
                f"What the folder's generation_config.json says of {names} is not done."
            )
        if request.schema is not None:
            warnings.append("Nothing held the model to the JSON schema: it was asked in words.")
        with self._encoding:
            ids = tokens_of(request, loaded.tokenizer, self.name)
        limit = self._limit(loaded, len(ids), decoding, warnings)
        decoding = msgspec.structs.replace(decoding, min_tokens=min(decoding.min_tokens, limit))
        seed = secrets.randbits(63) if asked.seed is None else asked.seed
        job = Job(ids, decoding, limit, loop, seed=seed, stop=asked.stop, logprobs=asked.logprobs)
        return job, warnings

    def _limit(self, loaded: Loaded, size: int, decoding: Decoding, warnings: list[str]) -> int:
        """How many tokens the answer may have. Raises ContextLengthError."""
        context, coder = loaded.context, loaded.encoder_decoder
        if context is not None and size > context - (0 if coder else 1):
            room = "" if coder else ", and an answer needs room too"
            raise note(
                ContextLengthError(
                    f"the input has {size} tokens, and the model reads {context}{room}",
                    where=self.name,
                    cure="Send less of it: nothing was cut off.",
                ),
                sent=False,
            )
        left = loaded.longest if coder else None if context is None else context - size
        wanted = decoding.max_tokens or LONGEST
        if left is None or wanted <= left:
            return wanted
        if decoding.min_tokens > left:
            raise refusal(
                f"the answer must have {decoding.min_tokens} tokens, and the model has room for"
                f" {left} behind these messages",
                self.name,
            )
        return left

    def _completion(self, job: Job, made: Answer, warnings: list[str]) -> Completion:
        wanted = job.decoding.max_tokens
        if made.finish == "length" and made.tokens == job.limit != wanted:
            if job.limit < (wanted or LONGEST):
                allowed = "" if wanted is None else f" of the {wanted} it was allowed"
                warnings.append(
                    f"The answer ends with the model's context, after {made.tokens} tokens"
                    f"{allowed}."
                )
            else:
                warnings.append(
                    f"The answer was ended after {LONGEST} tokens: neither max_tokens nor the"
                    " model's folder says how long it may get."
                )
        return Completion(
            text_message("assistant", made.text),
            self.name,
            Usage(input=len(job.ids), output=made.tokens),
            made.finish,
            logprobs=made.logprobs,
            warnings=tuple(warnings),
        )


named: Shelf[HFModel] = Shelf(HFModel)
