"""similar: which of some texts means most the same as a text."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from onrecord.errors import OutputError
from onrecord.models.model import Embedder, Model
from onrecord.programs.flow import flow
from onrecord.programs.tasks.checking import check_option
from onrecord.programs.tasks.results import SimilarResult
from onrecord.programs.tasks.spelling import OptionError
from onrecord.programs.tasks.texts import checked, doubts, vectors_of
from onrecord.programs.tasks.ways import Embedded, Headed, way_of
from onrecord.prompts.prompt import prompt
from onrecord.prompts.untrusted import untrusted


class Comparing(msgspec.Struct, frozen=True, kw_only=True):
    """Compares a text with `candidates` by the cosine of their vectors (`embedder`), or by what a
    generating model judges."""

    candidates: str | Sequence[str] = ()
    model: str | Model | None = None
    embedder: str | Embedder | None = None
    instruction: str = ""
    max_tokens: int | None = None

    @flow
    async def similar(
        self, text: str, candidates: str | Sequence[str] | None = None
    ) -> SimilarResult:
        """How similar each candidate is, and which is most. Raises UsageError, ModelError."""
        given = self.candidates if candidates is None else candidates
        check_option("candidates", given, str | Sequence[str])
        among = [given] if isinstance(given, str) else list(given)
        if not among:
            raise OptionError(
                "there is nothing to compare the text with", cure="Give something: {candidates}."
            )
        for each in (text, *among):
            checked(each, "text" if each is text else "candidate")
        way, note = await way_of(self.model, self.embedder, self.max_tokens), ""
        if isinstance(way, Headed):
            raise OptionError(
                "this model labels texts and compares none",
                where=way.name,
                cure="Name one that writes, or an encoder as the embedder: {embedder}.",
            )
        if isinstance(way, Embedded):
            vectors = await vectors_of(way.embedder, [text, *among], "texts")
            scores = [round(float(score), 6) for score in vectors[1:] @ vectors[0]]
            note = doubts(text, way.embedder)
        else:
            scores = await compare_texts.using(way.model)(text, among, self.instruction)
            if len(scores) != len(among) or not all(0 <= score <= 1 for score in scores):
                raise OutputError(
                    f"the model judged {len(scores)} candidates of {len(among)}, or not from 0 to "
                    "1",
                    where=way.name,
                    cure="A more able model may help, or no model: then the embedder compares.",
                )
        best = int(np.argmax(scores))
        return SimilarResult(among[best], scores[best], tuple(scores), way.name, note=note)


@prompt(untrusted=untrusted("text", "candidates", max_chars=1_000_000))
async def compare_texts(text: str, candidates: list[str], instruction: str) -> list[float]:
    """Judge how much each candidate means the same as the text."""
    raise AssertionError("a prompt's body is never run")
