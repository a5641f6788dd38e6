"""Perplexity: how likely a model of your own finds what was written."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation import metrics
from onrecord.evaluation.scorers.described import Described, drawn, spoken
from onrecord.evaluation.scoring import Better
from onrecord.evaluation.statistics import Interval
from onrecord.evaluation.trial import Score, Trial
from onrecord.messages import Usage
from onrecord.models.transformers.likelihood import HFLikelihood, Likelihood, named
from onrecord.records.call import call


class Perplexity(Described):
    """{"by_token", "by_byte", "bits_per_byte", "nats", "tokens"} of a text under a causal `hf:`
    model: the perplexities (1 and up), bits a byte (`metrics.perplexity`, `byte_perplexity`,
    `bits_per_byte`), the negative log-likelihood of the whole text, and how many tokens that is of.

    `of`: "answer", or "expected": how likely the model finds the first accepted answer, whatever
    the application said. Over all trials `perplexity.corpus_by_token` and
    `perplexity.corpus_bits_per_byte`, in which each token and each byte counts the same. By token,
    only models of one tokenizer compare; by byte, all. Lower means likelier, and that is not
    better: a dull text is likely. Long texts are read in windows `stride` tokens apart. None
    without a text. Raises UsageError for a model that is not `hf:`.
    """

    better: Better = "lower"
    worst = None

    def __init__(
        self,
        model: str | HFLikelihood,
        *,
        of: Literal["answer", "expected"] = "answer",
        stride: int | None = None,
        name: str = "perplexity",
    ) -> None:
        if of not in ("answer", "expected"):
            raise UsageError(f"of={of!r} is neither the answer nor what is expected")
        self._likelihood = likelihood_model(model)
        self._stride, self._side = stride, of
        version = self._likelihood.version
        super().__init__(name, self._likelihood.name, version, of, stride)

    async def __call__(self, trial: Trial) -> dict[str, float | Score] | Score:
        """What the model says of the text."""
        text = self._text(trial)
        if not text:
            return Score(None, f"there is no text ({self._side})")
        [found] = await likelihoods(self._likelihood, [text], stride=self._stride)
        return {
            "by_token": Score(metrics.perplexity(found.logprobs), self._likelihood.name),
            "by_byte": metrics.byte_perplexity(found.logprobs, found.text),
            "bits_per_byte": metrics.bits_per_byte(found.logprobs, found.text),
            "nats": -found.total,
            "tokens": len(found.logprobs),
        }

    def overall(self, trials: Sequence[Trial]) -> dict[str, Interval]:
        """{"corpus_by_token", "corpus_bits_per_byte"}, with bootstrap intervals over cases."""
        import numpy as np

        rows, cases = [], []
        for trial in trials:
            said = [trial.scores.get(f"{self.name}.{key}") for key in _KEPT]
            values = [each.value for each in said if each is not None and each.value is not None]
            if len(values) == len(_KEPT):
                nats, tokens, bits = map(float, values)
                rows.append([nats, tokens, nats / math.log(2) / bits if bits else 0.0])
                cases.append(trial.case)
        if not rows:
            return {}
        sums = np.array(rows)

        def summed(chosen: Any) -> Any:
            return sums[chosen.astype(np.int64)].sum(axis=0)

        def by_token(chosen: Any) -> float:
            nats, tokens, _ = summed(chosen)
            return float(np.exp(nats / tokens))

        def by_byte(chosen: Any) -> float:
            nats, _, size = summed(chosen)
            return float(nats / np.log(2) / size) if size else 0.0

        places = range(len(rows))
        return {
            "corpus_by_token": drawn(places, by_token, cases),
            "corpus_bits_per_byte": drawn(places, by_byte, cases),
        }

    def _text(self, trial: Trial) -> str:
        if self._side == "expected":
            accepted = trial.accepted
            return str(spoken(accepted[0])) if accepted else ""
        return str(spoken(trial.answer)) if trial.answer is not None else ""


async def likelihoods(
    model: HFLikelihood, texts: Sequence[str], *, stride: int | None = None
) -> list[Likelihood]:
    """The likelihoods of texts, on the record as a tool's call (a model's is a completion)."""
    version = await asyncio.to_thread(lambda: model.version)
    shown = {"texts": list(texts), "stride": stride}
    with call("tool", model.name, shown, version=version) as this:
        if (known := this.recall()) is not None:
            this.output = known.output
            return msgspec.convert(known.output, list[Likelihood])
        this.output = found = await model.likelihoods(texts, stride=stride)
        this.usage, this.cost = Usage(input=sum(len(each.logprobs) for each in found)), 0
        return found


def likelihood_model(model: str | HFLikelihood) -> HFLikelihood:
    """The model of a name `hf:…`. Raises UsageError for another one."""
    if isinstance(model, HFLikelihood):
        return model
    if not isinstance(model, str) or not model.startswith("hf:"):
        raise UsageError(
            f"'{model}' does not say how likely a text is",
            cure="Name a causal model in this process: hf:FOLDER, or hf:OWNER/NAME.",
        )
    return named(model.removeprefix("hf:"))


_KEPT = ("nats", "tokens", "bits_per_byte")
