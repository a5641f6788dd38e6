"""How the tokens of an `hf:` answer are chosen: from what was asked for to what `generate` is told.

The folder of a model holds a generation_config.json, which `generate` merges into whatever it is
given. Here it is read once: a field that was asked for is as asked, one that was left to the model
is as the folder says, and one that neither names is off. `generate` is told every field.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from onrecord.models.model import Parameters
from onrecord.models.transformers.loading import refusal

if TYPE_CHECKING:
    import torch


class Decoding(msgspec.Struct, frozen=True):
    """How the tokens of an answer are chosen. Equal ones are answered in one batch.

    `draws`: by chance, from what temperature, top_k (0: all), top_p and min_p leave; else the
    likeliest (num_beams 1: greedy; above: beam search). `max_tokens` None: nobody said.
    """

    draws: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    num_beams: int = 1
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    min_tokens: int = 0
    max_tokens: int | None = None


class Habits(msgspec.Struct, frozen=True):
    """A folder's generation_config.json, sorted.

    `choices`: what Parameters has a field for too, and is asked for instead where it is given;
    `kept`: what belongs to the model and always holds (its special tokens, no repeated n-grams);
    `dropped`: the names of what is not done here.
    """

    choices: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    dropped: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: dict[str, Any], where: str, *, encoder_decoder: bool) -> Habits:
        """Those of a generation configuration as a dictionary. Raises ModelRefusedError for a
        choice that is no number."""
        said = {
            name: value
            for name, value in config.items()
            if value is not None and value is not False and value != []
        }
        choices = {name: said[name] for name in _CHOICES if name in said}
        for name, value in choices.items():
            if not isinstance(value, int | float):
                raise refusal(
                    f"generation_config.json says {name}: {value!r}, which is no number",
                    where,
                    "Check the model's files.",
                )
        if encoder_decoder:  # both of them count the token that begins an answer
            for name in ("min", "max"):
                length = said.get(f"{name}_length", 0)
                # 20 is what configurations say where nobody said anything.
                if length > 1 and (name, length) != ("max", 20):
                    choices.setdefault(f"{name}_new_tokens", length - 1)
        done = {*_CHOICES, *_KEPT, *_BOOKKEEPING}
        dropped = (name for name in said if name not in done and said[name] != _IDLE.get(name))
        kept = {name: said[name] for name in _KEPT if name in said}
        return cls(choices, kept, tuple(sorted(dropped)))

    @property
    def forces_end(self) -> bool:
        """Whether the last token that an answer may have is made to be its end."""
        return "forced_eos_token_id" in self.kept

    @property
    def fixes_length(self) -> bool:
        """Whether the tokens depend on how long the answer may get."""
        return self.forces_end or "exponential_decay_length_penalty" in self.kept


def decoding_of(parameters: Parameters, habits: Habits, where: str) -> tuple[Decoding, list[str]]:
    """What is done for `parameters`, and a sentence for each one that has no effect.

    Raises ModelRefusedError for what cannot be done.
    """
    _check(parameters, where)
    asked, folder, warnings = parameters, habits.choices, list[str]()
    beams, draws = _strategy(asked, folder, where)
    if folder.get("do_sample") and asked.temperature is None and beams > 1:
        warnings.append("The folder's do_sample was left out: beam search draws nothing.")
    if asked.length_penalty is not None and beams == 1:
        warnings.append("length_penalty has no effect without num_beams above 1.")
    decoding = Decoding(
        num_beams=beams,
        length_penalty=float(_first(asked.length_penalty, folder.get("length_penalty"), 1.0))
        if beams > 1
        else 1.0,
        repetition_penalty=float(
            _first(asked.repetition_penalty, folder.get("repetition_penalty"), 1.0)
        ),
        min_tokens=int(_first(asked.min_tokens, folder.get("min_new_tokens"), 0)),
        max_tokens=_first(asked.max_tokens, folder.get("max_new_tokens"), None),
    )
    if decoding.max_tokens is not None and decoding.min_tokens > decoding.max_tokens:
        if asked.min_tokens is not None:
            raise refusal(
                f"min_tokens ({decoding.min_tokens}) is above max_tokens ({decoding.max_tokens})",
                where,
            )
        decoding = msgspec.structs.replace(decoding, min_tokens=decoding.max_tokens)
    if draws:
        decoding = msgspec.structs.replace(
            decoding,
            draws=True,
            temperature=float(_first(asked.temperature, folder.get("temperature") or None, 1.0)),
            top_k=int(_first(asked.top_k, folder.get("top_k"), 0)),
            top_p=float(_first(asked.top_p, folder.get("top_p"), 1.0)),
            min_p=float(_first(asked.min_p, folder.get("min_p"), 0.0)),
        )
    return decoding, warnings


def generation_config(decoding: Decoding, habits: Habits, longest: int) -> Any:
    """The GenerationConfig of a batch: every field that changes tokens is written.

    Tokens are never drawn by `generate` itself, which has no seed: `Draw` does that.
    """
    from transformers import GenerationConfig

    said = {
        **_NEUTRAL,
        **{name: value for name, value in habits.kept.items() if name not in _WARPERS},
        "do_sample": False,
        "num_beams": decoding.num_beams,
        "repetition_penalty": decoding.repetition_penalty,
        "min_new_tokens": min(decoding.min_tokens, longest) or None,
        "max_new_tokens": longest,
        "max_length": None,
        "return_dict_in_generate": True,
        "output_scores": False,
        "output_logits": False,
    }
    if decoding.num_beams > 1:
        said["length_penalty"] = decoding.length_penalty
    else:
        said["early_stopping"] = False
    return GenerationConfig(**said)  # type: ignore[no-untyped-call]  # transformers leaves it untyped


class Draw:
    """A logits processor that draws each row's token with the row's own generator.

    All tokens but the drawn one are masked, so that the greedy search behind it takes that one. A
    row's tokens are those of `torch.manual_seed(seed)` and an own `generate(do_sample=True)`.
    """

    def __init__(
        self, decoding: Decoding, habits: Habits, seeds: Sequence[int], device: str
    ) -> None:
        import torch

        self._warpers = _warpers(decoding, habits, device)
        self._generators = [torch.Generator(device=device) for _ in seeds]
        for generator, seed in zip(self._generators, seeds, strict=True):
            generator.manual_seed(seed)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores of shape (rows, tokens): 0 for the drawn token, minus infinity for all others."""
        import torch

        for warp in self._warpers:
            scores = warp(input_ids, scores)
        shares = scores.softmax(-1)
        drawn = torch.cat(
            [
                torch.multinomial(share, 1, generator=generator)
                for share, generator in zip(shares, self._generators, strict=True)
            ]
        )
        only = torch.full_like(scores, -math.inf)
        return only.scatter_(1, drawn[:, None], 0.0)


def _strategy(asked: Parameters, folder: dict[str, Any], where: str) -> tuple[int, bool]:
    """How many beams, and whether to draw."""
    drawing = [n for n in ("top_k", "top_p", "min_p") if getattr(asked, n) is not None]
    hot = asked.temperature is not None and asked.temperature > 0
    if asked.num_beams is not None and asked.num_beams > 1 and (hot or drawing):
        name = "temperature" if hot else drawing[0]
        raise refusal(
            f"beam search draws nothing, so num_beams cannot go with {name}",
            where,
            "Leave one of them out.",
        )
    if asked.temperature is not None:
        draws = hot
    elif asked.num_beams is not None and asked.num_beams > 1:
        draws = False
    elif drawing:
        draws = True
    else:
        beams = _first(asked.num_beams, folder.get("num_beams"), 1)
        cold = folder.get("temperature") == 0
        draws = bool(folder.get("do_sample")) and beams == 1 and not cold
        return int(beams), draws
    return asked.num_beams or 1, draws


def _warpers(decoding: Decoding, habits: Habits, device: str) -> list[Callable[..., Any]]:
    """In the order of transformers' own `generate`."""
    import transformers as t

    kept = habits.kept
    made: list[Callable[..., Any]] = []
    if decoding.temperature != 1.0:
        made.append(t.TemperatureLogitsWarper(decoding.temperature))
    if "top_h" in kept:
        made.append(t.TopHLogitsWarper(top_h=kept["top_h"]))
    if decoding.top_k:
        made.append(t.TopKLogitsWarper(top_k=decoding.top_k))
    if decoding.top_p < 1.0:
        made.append(t.TopPLogitsWarper(top_p=decoding.top_p))
    if decoding.min_p:
        made.append(t.MinPLogitsWarper(min_p=decoding.min_p))
    if kept.get("typical_p", 1.0) < 1.0:
        made.append(t.TypicalLogitsWarper(mass=kept["typical_p"]))
    if 0.0 < kept.get("epsilon_cutoff", 0.0) < 1.0:
        made.append(t.EpsilonLogitsWarper(epsilon=kept["epsilon_cutoff"]))
    if 0.0 < kept.get("eta_cutoff", 0.0) < 1.0:
        made.append(t.EtaLogitsWarper(epsilon=kept["eta_cutoff"], device=device))
    return made


def _check(parameters: Parameters, where: str) -> None:
    for name in ("presence_penalty", "frequency_penalty"):
        if getattr(parameters, name):
            raise refusal(f"hf: models have no {name}", where, "Use repetition_penalty.")
    for name, (fits, must) in _BOUNDS.items():
        value = getattr(parameters, name)
        if value is not None and not (math.isfinite(value) and fits(value)):
            raise refusal(f"{name} must be {must}, and is {value}", where)
    if any(not text for text in parameters.stop):
        raise refusal("a stop text is empty, which would end every answer", where)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


_BOUNDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "temperature": (lambda value: value >= 0, "0 or above"),
    "top_k": (lambda value: value >= 0, "0 (all tokens) or above"),
    "top_p": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
    "min_p": (lambda value: 0 <= value <= 1, "between 0 and 1"),
    "max_tokens": (lambda value: value >= 1, "1 or above"),
    "min_tokens": (lambda value: value >= 0, "0 or above"),
    "num_beams": (lambda value: 1 <= value <= 256, "between 1 and 256"),
    "length_penalty": (lambda value: True, "a number"),
    "repetition_penalty": (lambda value: value > 0, "above 0"),
    "logprobs": (lambda value: 0 <= value <= 100, "between 0 and 100"),
    "seed": (lambda value: -(2**63) <= value < 2**64, "a number of 64 bits"),
}
_CHOICES = (
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "num_beams",
    "length_penalty",
    "repetition_penalty",
    "min_new_tokens",
    "max_new_tokens",
)
_WARPERS = ("top_h", "typical_p", "epsilon_cutoff", "eta_cutoff")
_KEPT = (
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "early_stopping",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "exponential_decay_length_penalty",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "sequence_bias",
    "remove_invalid_values",
    "renormalize_logits",
    *_WARPERS,
)
# What a file says about itself, or about how it computes and not what.
_BOOKKEEPING = (
    "_from_model_config",
    "transformers_version",
    "use_cache",
    "cache_implementation",
    "cache_config",
    "max_length",
    "min_length",
    "return_dict_in_generate",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "output_logits",
    "low_memory",
    "disable_compile",
    "is_assistant",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "assistant_confidence_threshold",
    "assistant_lookbehind",
    "target_lookbehind",
    "max_matching_ngram_size",
)
# What changes nothing; told to `generate` because it fills what is not said. What is about drawing
# is not among it: `generate` never draws.
_NEUTRAL: dict[str, Any] = {
    "num_return_sequences": 1,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1.0,
    "early_stopping": False,
    "remove_invalid_values": False,
    "renormalize_logits": False,
}
# Values at which what is not done here would do nothing.
_IDLE = {
    "diversity_penalty": 0.0,
    "num_beam_groups": 1,
    "guidance_scale": 1.0,
    "penalty_alpha": 0.0,
}
