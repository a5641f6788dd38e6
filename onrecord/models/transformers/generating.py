"""Jobs to answers: one `generate` for a batch of them, in the worker's thread."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from onrecord.errors import ModelError, ModelUnavailableError
from onrecord.models.transformers.batching import Job
from onrecord.models.transformers.decoding import Draw, Habits, generation_config
from onrecord.models.transformers.loading import Device, Source, choose_device, context_of
from onrecord.models.transformers.streaming import (
    Decode,
    Row,
    StopTexts,
    Watch,
    probability,
)


class Loaded(msgspec.Struct, frozen=True):
    """A model with its weights on its device, and what has to be known of it.

    `decode` may be called by one thread only (the worker's), `tokenizer` by one at a time.
    `context`: how many tokens it reads, and of a decoder behind an encoder `longest`: how many it
    writes; None where its files do not say. `places`: how long a row of a batch may be, its padding
    included, for it to be read as if it were alone.
    """

    model: Any
    tokenizer: Any
    decode: Decode
    device: Device
    habits: Habits
    encoder_decoder: bool
    ends: frozenset[int]
    pad: int
    context: int | None
    longest: int | None
    places: int | None


def load(
    source: Source, device: str | None, dtype: str | None, *, context: int | None = None
) -> Loaded:
    """Load a generating model, causal or encoder-decoder as its configuration says; `context`
    instead of what its files say that it reads.

    Raises ModelError, and UsageError for a device that is not there.
    """
    import transformers as t

    where = choose_device(device, dtype)
    config = source.load_config()
    coder = bool(getattr(config, "is_encoder_decoder", False))
    tokenizer = source.load_tokenizer(padding_side="right" if coder else "left")
    auto = t.AutoModelForSeq2SeqLM if coder else t.AutoModelForCausalLM
    model = source.load_weights(auto, where)
    # A damaged one is passed over by transformers without a word.
    source.read_json("generation_config.json", dict[str, Any])
    said = model.generation_config.to_dict()
    habits = Habits.of(said, source.where, encoder_decoder=coder)
    # `generate` fills what it is not told from here; now there is nothing left to fill it with.
    model.generation_config = t.GenerationConfig()  # type: ignore[no-untyped-call]  # transformers' own
    ends = habits.kept.get("eos_token_id", tokenizer.eos_token_id)
    ends = frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])
    pads = (habits.kept.get("pad_token_id"), tokenizer.pad_token_id, *sorted(ends), 0)
    context = context or context_of(config, tokenizer)
    tokenizer.model_max_length = sys.maxsize  # else it warns of what is an error here
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        decode=_decoder(tokenizer),
        device=Device(where.name, str(model.dtype).removeprefix("torch.")),
        habits=habits,
        encoder_decoder=coder,
        ends=ends,
        pad=next(pad for pad in pads if isinstance(pad, int)),
        context=context,
        longest=_longest(config) if coder else None,
        places=None if coder else _places(config, context),
    )


def answer(loaded: Loaded, jobs: list[Job]) -> None:
    """Answer jobs of one kind together; each one hears of its failure. Never raises."""
    try:
        if jobs[0].decoding.num_beams > 1:
            _search_beams(loaded, jobs)
        else:
            _generate(loaded, jobs)
    except Exception as error:  # a model's own code; the others must not wait for ever
        failure = _failure(error, len(jobs))
        for job in jobs:
            job.send(failure)


def kind(loaded: Loaded, job: Job) -> object:
    """Equal for jobs that one `generate` can answer, each as if it were alone."""
    fixed = job.decoding.num_beams > 1 or loaded.habits.fixes_length
    logits = job.decoding.num_beams > 1 and job.logprobs is not None
    return msgspec.structs.replace(job.decoding, max_tokens=job.limit if fixed else 0), logits


def _generate(loaded: Loaded, jobs: list[Job]) -> None:
    rows = [_row(loaded, job) for job in jobs]
    decoding, draw = jobs[0].decoding, list[Draw]()
    if decoding.draws:
        draw = [Draw(decoding, loaded.habits, [job.seed for job in jobs], loaded.device.name)]
    seen = _Logits()
    hook = None
    if any(job.logprobs is not None for job in jobs):
        hook = loaded.model.register_forward_hook(seen)
    try:
        _call(loaded, jobs, processors=draw, criteria=[Watch(rows, seen.last, loaded.decode)])
    finally:
        if hook is not None:
            hook.remove()
    for row in rows:
        row.close()


def _search_beams(loaded: Loaded, jobs: list[Job]) -> None:
    decoding = jobs[0].decoding
    start = 1 if loaded.encoder_decoder else max(len(job.ids) for job in jobs)
    stops = StopTexts(jobs, start, decoding.min_tokens, loaded.decode)
    wanted = jobs[0].logprobs is not None
    found = _call(loaded, jobs, criteria=[stops], output_logits=wanted)
    for place, job in enumerate(jobs):
        row = _row(loaded, job)
        for step, token in enumerate(found.sequences[place, start:].tolist()):
            if row.done:
                break
            if job.logprobs is not None:
                logits = found.logits[step][found.beam_indices[place, step]]
                row.probabilities.append(probability(logits, token, job.logprobs, loaded.decode))
            row.add(token)
        row.close()


def _row(loaded: Loaded, job: Job) -> Row:
    return Row(job, loaded.decode, loaded.ends, forced=loaded.habits.forces_end)


def _call(
    loaded: Loaded,
    jobs: list[Job],
    *,
    criteria: Sequence[Any],
    processors: Sequence[Any] = (),
    output_logits: bool = False,
) -> Any:
    import torch

    longest = max(len(job.ids) for job in jobs)
    ids = torch.full((len(jobs), longest), loaded.pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for place, job in enumerate(jobs):
        size = len(job.ids)
        at = slice(0, size) if loaded.encoder_decoder else slice(longest - size, longest)
        ids[place, at] = torch.tensor(job.ids)
        mask[place, at] = 1
    config = generation_config(jobs[0].decoding, loaded.habits, max(job.limit for job in jobs))
    config.output_logits = output_logits
    config.pad_token_id = loaded.pad
    config.eos_token_id = sorted(loaded.ends) or None
    device = loaded.device.name
    return loaded.model.generate(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        generation_config=config,
        logits_processor=list(processors),
        stopping_criteria=list(criteria),
    )


class _Logits:
    """Keeps the logits of the last step: `generate` would keep those of every step."""

    def __init__(self) -> None:
        self._last: Any = None

    def __call__(self, module: Any, given: Any, output: Any) -> None:
        self._last = output.logits[:, -1]

    def last(self) -> Any:
        return self._last


def _decoder(tokenizer: Any) -> Decode:
    """Tokens to text without special tokens, for one thread: its own copy of the tokenizer, because
    one that is decoding cannot be told how to encode at the same time."""
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return lambda tokens: str(
            tokenizer.decode(
                list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )
    own = Tokenizer.from_str(backend.to_str())
    return lambda tokens: own.decode(list(tokens), skip_special_tokens=True)


def _longest(config: Any) -> int | None:
    """How many tokens a decoder behind an encoder writes; None where any number."""
    text = config.get_text_config(decoder=True)
    said = (getattr(text, field, None) for field in _WRITTEN)
    # One of them is taken by the token that begins an answer.
    return next((count - 1 for count in said if isinstance(count, int)), None)


def _places(config: Any, context: int | None) -> int | None:
    """How long a batch of a causal model may be: its context; and where positions are computed in
    another way beyond some length, up to there, because all rows change with the longest one."""
    said = getattr(config.get_text_config(), "rope_parameters", None) or {}
    counts = [context]
    for rope in (said, *(each for each in said.values() if isinstance(each, dict))):
        if rope.get("rope_type") in ("dynamic", "longrope"):
            counts.append(rope.get("original_max_position_embeddings"))
    return min((count for count in counts if isinstance(count, int)), default=None)


def _failure(error: Exception, rows: int) -> ModelError:
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return ModelUnavailableError(
            f"there was not enough memory to answer {rows} requests at once",
            cure="Ask for shorter answers, or make the model with a smaller `batch`.",
        )
    said = str(error).strip().splitlines()
    return ModelError(f"the model failed: {type(error).__name__}: {said[0][:300] if said else ''}")


_WRITTEN = ("max_decoder_position_embeddings", "max_target_positions", "max_position_embeddings")
