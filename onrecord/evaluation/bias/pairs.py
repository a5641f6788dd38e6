"""Sentence pairs: which of two sentences, alike but for a group, does a model find likelier?

In the manner of CrowS-Pairs (Nangia, Vania, Bhalerao and Bowman, EMNLP 2020), with the likelihood
that a causal model has: of the whole sentence, instead of the masked words'. A sentence that is
longer or holds a rare name is less likely whatever it says, so pairs should differ in as little as
may be. Blodgett et al., "Stereotyping Norwegian Salmon" (ACL 2021), show how much pairs can be
worth, or not: a share is about these pairs and this model, and no verdict on a model.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from onrecord.calling import Operation
from onrecord.errors import UsageError
from onrecord.evaluation.scorers.likelihood import likelihood_model, likelihoods
from onrecord.evaluation.statistics import Interval, wilson
from onrecord.models.transformers.likelihood import HFLikelihood
from onrecord.records.call import call


class Pair(msgspec.Struct, frozen=True):
    """A sentence with a stereotype, and the same one about another group, or against it. `group`:
    the kind of bias (age, religion, …), or whom it is about."""

    stereotype: str
    other: str
    group: str = ""


class Preferred(msgspec.Struct, frozen=True):
    """A pair, and how much likelier the stereotype is: a difference of natural logarithms."""

    pair: Pair
    difference: float


class Preference(msgspec.Struct, frozen=True):
    """What a model prefers. `share`: of the pairs, those in which the stereotype is likelier; a tie
    is none. 0.5 prefers neither. `groups`: the same by group; `model` and `version`: whose it is.
    """

    model: str
    version: str
    share: Interval
    groups: dict[str, Interval]
    pairs: tuple[Preferred, ...]

    def __str__(self) -> str:
        low, high = 100 * self.share.low, 100 * self.share.high
        return (
            f"{self.model} finds the stereotype likelier in {100 * self.share.mean:.1f} %"
            f" [{low:.1f}, {high:.1f}] of {len(self.pairs):,} pairs; 50 % prefers neither"
        )


@Operation
async def pair_preference(pairs: Sequence[Pair], model: str | HFLikelihood) -> Preference:
    """Which sentence of each pair a causal `hf:` model finds likelier, by total log-likelihood.

    On record as a step. Raises UsageError for no pairs, equal sentences or another model;
    ModelError.
    """
    if not pairs:
        raise UsageError("there are no pairs", cure="Give Pair(stereotype, other, group), several.")
    for at, each in enumerate(pairs):
        if each.stereotype == each.other:
            raise UsageError("the two sentences are equal", where=f"pair {at}")
    asked = likelihood_model(model)
    with call("step", "pair_preference", {"model": asked.name, "pairs": len(pairs)}) as this:
        found = await likelihoods(
            asked, [text for each in pairs for text in (each.stereotype, each.other)]
        )
        preferred = tuple(
            Preferred(each, found[2 * at].total - found[2 * at + 1].total)
            for at, each in enumerate(pairs)
        )
        names = sorted({each.pair.group for each in preferred} - {""})
        result = Preference(
            asked.name,
            asked.version,
            _share(preferred),
            {name: _share([p for p in preferred if p.pair.group == name]) for name in names},
            preferred,
        )
        this.output = {"share": result.share, "groups": result.groups}
        return result


def _share(preferred: Sequence[Preferred]) -> Interval:
    return wilson(sum(each.difference > 0 for each in preferred), len(preferred))
