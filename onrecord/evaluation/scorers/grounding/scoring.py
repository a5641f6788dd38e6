"""Groundedness and hallucination: the share of claims that follow, and of those that do not."""

from __future__ import annotations

from collections.abc import Sequence

from onrecord.evaluation.scorers.described import Described
from onrecord.evaluation.scorers.grounding.claims import Checked, Verdict, asked_of, share
from onrecord.evaluation.scorers.grounding.facts import facts_of
from onrecord.evaluation.scorers.grounding.judged import check_claim, judged
from onrecord.evaluation.scorers.grounding.lexical import checked
from onrecord.evaluation.scoring import Better
from onrecord.evaluation.trial import Score, Trial
from onrecord.models.model import Embedder, Model
from onrecord.models.names import model as model_named
from onrecord.sentences import sentence_spans
from onrecord.words import words


class _Claims(Described):
    """A scorer of the claims of an answer, checked against its sources."""

    def __init__(
        self,
        name: str,
        model: str | Model | None,
        embedder: str | Embedder | None,
        step: str | None,
    ) -> None:
        self._model = model_named(model) if model is not None else None
        self._embedder, self._step = embedder, step
        judge = self._model and (self._model.name, self._model.version, check_claim.version)
        near = embedder if isinstance(embedder, str | None) else embedder.name
        super().__init__(name, judge or near, step, of=_CODE)

    async def _found(self, trial: Trial) -> list[Checked] | str:
        asked = asked_of(trial, self._step)
        if isinstance(asked, str):
            return asked
        if self._model is not None:
            return await judged(asked, self._model)
        return await checked(asked, self._embedder)


class Grounded(_Claims):
    """The share of the claims of an answer that its sources support, 0 to 1; the reason lists every
    claim with its verdict and what shows it.

    Claims are the sentences of the answer (no questions, no headings). Sources are the passages
    that the trial's searches gave (`step`: the steps of that name), else the case's
    `metadata["sources"]`. With `model` a model judges each claim in a call of its own. Without,
    words, vectors (`embedder`; None: none), numbers, names and denials decide, and that is a check
    of wording and no reading: `grounding/lexical.py` says what it can and cannot see. The two ways
    give numbers that do not compare. None for a refusal, an answer that claims nothing, and where
    no sources are known.
    """

    def __init__(
        self,
        *,
        model: str | Model | None = None,
        embedder: str | Embedder | None = "embedded:minilm",
        step: str | None = None,
        name: str = "grounded",
    ) -> None:
        super().__init__(name, model, embedder, step)

    async def __call__(self, trial: Trial) -> Score:
        """The share."""
        found = await self._found(trial)
        if isinstance(found, str):
            return Score(None, found)
        return Score(share(found, "supported"), "\n".join(map(str, found)))


class Hallucination(_Claims):
    """{"contradicted", "unsupported"}: the shares of the claims of an answer that its sources
    contradict (intrinsic hallucination) and that nothing in them supports (extrinsic; it may be
    true all the same). 0 to 1, less is better; the reasons list these claims.

    Intrinsic and extrinsic: Maynez et al., "On Faithfulness and Factuality in Abstractive
    Summarization" (ACL 2020). Claims, sources, options and None as in `grounded`. Of both with one
    judge, let `on.cached(model)` judge: what the other one asked is then not paid for again.
    """

    better: Better = "lower"
    worst = None

    def __init__(
        self,
        *,
        model: str | Model | None = None,
        embedder: str | Embedder | None = "embedded:minilm",
        step: str | None = None,
        name: str = "hallucination",
    ) -> None:
        super().__init__(name, model, embedder, step)

    async def __call__(self, trial: Trial) -> dict[str, Score] | Score:
        """The two shares."""
        found = await self._found(trial)
        if isinstance(found, str):
            return {"contradicted": Score(None, found), "unsupported": Score(None, found)}
        return {
            "contradicted": _of(found, "contradicted"),
            "unsupported": _of(found, "unsupported"),
        }


def _of(found: Sequence[Checked], verdict: Verdict) -> Score:
    told = "\n".join(str(each) for each in found if each.verdict == verdict)
    return Score(share(found, verdict), told)


_CODE = (asked_of, facts_of, checked, judged, sentence_spans, words)
