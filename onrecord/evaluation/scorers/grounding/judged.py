"""Claims beside sources, judged by a model: one recorded call a claim, its quotations verified."""

from __future__ import annotations

from typing import Literal

import msgspec

from onrecord.citations import cite
from onrecord.evaluation.scorers.grounding.claims import Asked, Checked
from onrecord.messages import Passage
from onrecord.models.model import Model
from onrecord.prompts.prompt import prompt
from onrecord.prompts.untrusted import untrusted


class Judgement(msgspec.Struct, frozen=True):
    """What a model says of one claim."""

    why: str
    quote: str
    verdict: Literal["supported", "contradicted", "unsupported"]


@prompt(untrusted=untrusted("claim", "passages", max_chars=1_000_000))
async def check_claim(claim: str, passages: list[Passage]) -> Judgement:
    """Judge the claim by the passages alone."""
    raise AssertionError("a prompt's body is never run")


async def judged(asked: Asked, model: str | Model) -> list[Checked]:
    """Each claim, with the model's verdict, one after the other.

    A quotation that stands in no source is not shown, and that is said. An answer that does not fit
    goes back to the model a bounded number of times. Raises ModelError, LimitError.
    """
    asking, passages = check_claim.using(model), list(asked.sources)
    found = []
    for claim in asked.claims:
        said = await asking(claim, passages)
        citation = cite(said.quote, passages) if said.quote.strip() else None
        shown = f"“{citation.quote}”" if citation else ""
        if said.quote.strip() and citation is None:
            shown = "what it quotes stands in no source"
        found.append(Checked(claim, said.verdict, "; ".join(filter(None, [shown, said.why]))))
    return found
