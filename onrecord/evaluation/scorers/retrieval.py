"""Was the right thing found, and how far up?

What is relevant stands in the case: `metadata["relevant"]`, or `expected` where the application is
itself a search. It is

    "leave.md"                                          a document, or a list of them
    {"leave.md": 2, "travel.md": 1}                     documents with grades
    {"document_id": "leave.md", "start": 40, "end": 90} a span of one, or a list of them

Found is what the trial's searches gave, best first (`sources`). Of documents, each counts where it
was first found, so a rank is a rank among documents; a span is found by the first passage that
overlaps it, or by its document where what was found has no places.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from onrecord.errors import UsageError
from onrecord.evaluation import metrics
from onrecord.evaluation.meant import told
from onrecord.evaluation.scorers.described import Described
from onrecord.evaluation.scorers.sources import passages_of
from onrecord.evaluation.trial import Score, Trial
from onrecord.messages import Passage


class Ranking(NamedTuple):
    """What was found at each rank: the numbers or ids of what is relevant there, or a filler; what
    is relevant, with grades; and the documents that were found."""

    ranks: list[tuple[Hashable, ...]]
    relevant: dict[Hashable, float]
    documents: tuple[Hashable, ...]

    @property
    def firsts(self) -> list[Hashable]:
        """One thing a rank, as rankings are measured."""
        return [each[0] for each in self.ranks]


class _Retrieval(Described):
    """A measure of one ranking. None where nothing is relevant, or no search is on record: then the
    reason says so."""

    def __init__(self, name: str, step: str | None, *options: Any, of: Callable[..., Any]) -> None:
        super().__init__(name, step, *options, of=[of])
        self._step = step

    def __call__(self, trial: Trial) -> Score:
        """What it says of what was found."""
        ranking = ranking_of(trial, self._step)
        if isinstance(ranking, str):
            return Score(None, ranking)
        value = self._measured(ranking)
        found = set(_flat(ranking.ranks))
        missed = [_missed(each, ranking) for each in ranking.relevant if each not in found][:5]
        return Score(value, f"not found: {', '.join(missed)}" if missed else "")

    def _measured(self, ranking: Ranking) -> float | bool:
        raise NotImplementedError


class Hit(_Retrieval):
    """Whether something relevant is among the first k (`metrics.hit_at_k`). `step`: the name of the
    steps that search, where the application does so in a way of its own."""

    def __init__(self, k: int, *, step: str | None = None, name: str | None = None) -> None:
        super().__init__(name or f"hit_at_{_rank(k)}", step, k, of=metrics.hit_at_k)
        self._k = k

    def _measured(self, ranking: Ranking) -> bool:
        return bool(metrics.hit_at_k(ranking.firsts, ranking.relevant, self._k))


class Recall(_Retrieval):
    """The share of what is relevant that is among the first k, 0 to 1 (`metrics.recall_at_k`)."""

    def __init__(self, k: int, *, step: str | None = None, name: str | None = None) -> None:
        super().__init__(name or f"recall_at_{_rank(k)}", step, k, of=metrics.recall_at_k)
        self._k = k

    def _measured(self, ranking: Ranking) -> float:
        found = _flat(ranking.ranks[: self._k])  # a passage may hold several spans
        return metrics.recall_at_k(found, ranking.relevant, max(len(found), 1))


class Precision(_Retrieval):
    """The share of the first k ranks that hold something relevant, 0 to 1
    (`metrics.precision_at_k`: divided by k also where less was found)."""

    def __init__(self, k: int, *, step: str | None = None, name: str | None = None) -> None:
        super().__init__(name or f"precision_at_{_rank(k)}", step, k, of=metrics.precision_at_k)
        self._k = k

    def _measured(self, ranking: Ranking) -> float:
        return metrics.precision_at_k(ranking.firsts, ranking.relevant, self._k)


class MRR(_Retrieval):
    """1 / the rank of the first that is relevant, 0 where none is; its mean is MRR (among the first
    k, where one is given; `metrics.reciprocal_rank`; Voorhees, TREC-8, 1999)."""

    def __init__(self, k: int | None = None, *, step: str | None = None, name: str = "mrr") -> None:
        super().__init__(name, step, k, of=metrics.reciprocal_rank)
        self._k = None if k is None else _rank(k)

    def _measured(self, ranking: Ranking) -> float:
        return metrics.reciprocal_rank(ranking.firsts, ranking.relevant, self._k)


class NDCG(_Retrieval):
    """Normalised discounted cumulative gain of the first k, 0 to 1 (`metrics.ndcg_at_k`; Järvelin
    and Kekäläinen, TOIS 2002). Grades are gains; `exponential`: 2^grade - 1. Spans that one passage
    holds count as one."""

    def __init__(
        self,
        k: int,
        *,
        exponential: bool = False,
        step: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name or f"ndcg_at_{_rank(k)}", step, k, exponential, of=metrics.ndcg_at_k)
        self._k, self._exponential = k, exponential

    def _measured(self, ranking: Ranking) -> float:
        again = {each for rank in ranking.ranks for each in rank[1:]}
        # A passage with several spans is one find, also in the best ranking.
        relevant = {each: grade for each, grade in ranking.relevant.items() if each not in again}
        return metrics.ndcg_at_k(ranking.firsts, relevant, self._k, exponential=self._exponential)


def ranking_of(trial: Trial, step: str | None = None) -> Ranking | str:
    """What a trial found, and what it should have; in words, why there is nothing to measure.
    Raises UsageError for a case that says what is relevant in no known way."""
    given = _listed(trial.output) if step is None else None
    passages = None if given is not None else passages_of(trial, step)
    is_search = given is not None or (step is None and _is_output(trial, passages))
    said = trial.metadata.get("relevant")
    if said is None and is_search:
        said = trial.expected
    if isinstance(said, Mapping) and set(said) == {"any_of"}:
        said = said["any_of"]
    if said is None:
        return 'the case does not say what is relevant: write metadata["relevant"]'
    if given is None and passages is None:
        return "no search is on record"
    spans, grades = _relevant(said)
    if not spans and not any(grade > 0 for grade in grades.values()):
        return "nothing is relevant to this case"
    if spans and given is None:
        return _of_spans(passages or [], spans)
    if spans:  # ids were given, and say nothing of places
        grades = dict.fromkeys((each.document_id for each in spans), 1.0)
    ids = given if given is not None else [each.document_id for each in passages or []]
    documents = tuple(dict.fromkeys(ids))
    return Ranking([(each,) for each in documents], grades, documents)


class _Gold(NamedTuple):
    document_id: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.document_id} {self.start}-{self.end}"


def _of_spans(passages: list[Passage], spans: list[_Gold]) -> Ranking:
    left = dict.fromkeys(spans)
    ranks: list[tuple[Hashable, ...]] = []
    for at, each in enumerate(passages):
        here = [
            span for span in left if span.document_id == each.document_id and _overlap(span, each)
        ]
        for span in here:
            del left[span]
        ranks.append(tuple(here) or (at,))
    documents = tuple(each.document_id for each in passages)
    return Ranking(ranks, dict.fromkeys(spans, 1.0), documents)


def _overlap(span: _Gold, passage: Passage) -> bool:
    """Whether they share a character. A passage of a search of one's own may lack its place."""
    if passage.end <= passage.start:
        return True
    return span.start < passage.end and passage.start < span.end


def _missed(each: Hashable, ranking: Ranking) -> str:
    """What was not found, and what it may be a slip for."""
    if not isinstance(each, _Gold):
        return told(each, ranking.documents)
    if each.document_id in ranking.documents:
        return str(each)
    return f"{told(each.document_id, ranking.documents)} {each.start}-{each.end}"


def _relevant(said: Any) -> tuple[list[_Gold], dict[Hashable, float]]:
    if isinstance(said, str):
        said = [said]
    if isinstance(said, Mapping):
        if "document_id" in said:
            said = [said]
        elif all(isinstance(each, int | float) for each in said.values()):
            return [], {id: float(grade) for id, grade in said.items()}
    if isinstance(said, list | tuple):
        if all(isinstance(each, str | int) for each in said):
            return [], dict.fromkeys(said, 1.0)
        if all(isinstance(each, Mapping) and "document_id" in each for each in said):
            if all("start" in each and "end" in each for each in said):
                return [_Gold(each["document_id"], each["start"], each["end"]) for each in said], {}
            return [], {each["document_id"]: float(each.get("grade", 1)) for each in said}
    raise UsageError(
        f"what is relevant is said in no known way: {said!r:.80}",
        cure="Give document ids, {id: grade}, or {document_id, start, end}, one or a list.",
    )


def _listed(output: Any) -> list[Hashable] | None:
    """A list of ids that an application gave."""
    if (
        isinstance(output, list | tuple)
        and output
        and all(isinstance(each, str) for each in output)
    ):
        return list(output)
    return None


def _is_output(trial: Trial, passages: list[Passage] | None) -> bool:
    output = trial.output.get("passages") if isinstance(trial.output, Mapping) else trial.output
    return (
        isinstance(output, list | tuple) and passages is not None and len(output) == len(passages)
    )


def _flat(ranks: list[tuple[Hashable, ...]]) -> list[Hashable]:
    return [each for rank in ranks for each in rank]


def _rank(k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise UsageError(f"the first {k!r} are none", cure="Give a k of 1 or more.")
    return k
