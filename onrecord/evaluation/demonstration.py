"""The demonstration evaluates itself: its questions as cases, and how well they are answered."""

from __future__ import annotations

from collections.abc import Sequence

from onrecord.calling import Operation
from onrecord.evaluation import scorers
from onrecord.evaluation.dataset import Case, Dataset
from onrecord.evaluation.experiments.experiment import evaluate
from onrecord.evaluation.experiments.report import Report
from onrecord.evaluation.scoring import Scorer
from onrecord.messages import Cited
from onrecord.programs.answering import answer
from onrecord.programs.demo import Question
from onrecord.programs.flow import flow
from onrecord.records.record import content_key
from onrecord.retrieval.collection import Collection


def dataset(questions: Sequence[Question]) -> Dataset:
    """The questions as cases: which documents are relevant, or that only a refusal is right."""
    return Dataset(
        (
            Case(
                content_key(each.question)[:8],
                each.question,
                list(each.objects) if each.objects else {"any_of": []},
                {"relevant": list(each.objects), "answerable": bool(each.objects)},
            )
            for each in questions
        ),
        name="demo",
    )


@Operation
async def measure(docs: Collection, questions: Sequence[Question]) -> Report:
    """Ask every question: is an object that answers among the first, and is refused what nothing
    answers?"""

    @flow
    async def ask_documentation(question: str) -> Cited[str]:
        passages = await docs.search(question, 6)
        return await answer.using("embedded:extractive")(question, passages)

    looked_at: list[Scorer] = [scorers.hit(1), scorers.hit(5), scorers.mrr, scorers.refusal]
    return await evaluate(ask_documentation, dataset(questions), looked_at, concurrent=1)
