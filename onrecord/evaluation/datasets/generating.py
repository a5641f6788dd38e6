"""Question sets from a collection: with answers and where they stand, and some that have none.

    questions = await generate(Collection.open("handbook"), 50, model="openai:gpt-6-luna")

A model writes each question about a chunk, with a quotation; a question whose quotation does not
stand there, character by character, is thrown away and counted. Without a model, gaps and headings
are questions (`heuristics`). `metadata["made"]` says which: "cloze", "heading", "model:NAME".
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from onrecord.calling import Operation
from onrecord.errors import OutputError, UsageError
from onrecord.evaluation.dataset import Case, Dataset, Provenance, provenance_of
from onrecord.evaluation.datasets.absence import Absent, Texts, without_answer
from onrecord.evaluation.datasets.case import GENERATED
from onrecord.evaluation.datasets.heuristics import Draft, drafts, names_in
from onrecord.evaluation.datasets.nearness import normalised
from onrecord.evaluation.datasets.writing import Rejected, ask_about, ask_beside
from onrecord.messages import Passage, Progress
from onrecord.models.model import Model
from onrecord.models.names import model as model_named
from onrecord.progress import shown
from onrecord.records.call import call
from onrecord.records.record import content_key
from onrecord.records.scope import recording
from onrecord.retrieval.collection import Collection
from onrecord.retrieval.document import Document
from onrecord.words import words


@Operation
async def generate(
    collection: Collection | str,
    count: int,
    model: str | Model | None = None,
    *,
    seed: int = 0,
    unanswerable: float = 0.2,
    outside: Sequence[Document] = (),
) -> Dataset:
    """A dataset of `count` questions about a collection (or its name).

    `unanswerable` is the share of questions that no document answers, from 0 to 1: about names that
    stand nowhere in the collection or, where `outside` has documents that are not in it, about
    those. No document holds the name, and no passage of a search for the question the answer. They
    expect {"any_of": []}: a refusal.

    `input` is the question and `expected` the answer. `metadata` holds `made`, `unanswerable`, and
    of the others `document`, `title`, `start`, `end` and `quote`: the gold span, with
    `document.text[start:end] == quote`. `relevant` and `citations` are that span again, as
    `scorers.hit` and its like, and `scorers.citations`, read it: [] where nothing answers.

    Equal arguments and an equal collection give equal questions, as far as the model does. Where
    there is not enough to ask about there are fewer: `left_out` says what was thrown away and what
    is missing, by reason.

    Raises UsageError for a collection that holds nothing to ask about, ModelError, LimitError.
    """
    _check(count, unanswerable)
    if isinstance(collection, str):
        collection = Collection.open(collection)
    answering = None if model is None else model_named(model)
    asked = {
        "collection": collection.name,
        "count": count,
        "model": answering.name if answering else None,
        "seed": seed,
        "unanswerable": unanswerable,
        "outside": [document.id for document in outside],
    }
    with call("flow", GENERATED, asked, version=_VERSION, also=collection.version) as this:
        origin = None
        if this.id:
            origin = Provenance(this.id, this.run, this.key, GENERATED, _VERSION)
        making = _Making(collection, random.Random(seed), seed, origin)
        without = round(count * unanswerable)
        try:
            with shown() as report:
                making.report = lambda done: report(Progress("writing questions", done, count))
                if answering is None:
                    await making.by_rules(count - without, without, outside)
                else:
                    await making.by_model(answering, count - without, without)
        finally:
            making.close()
        made = making.dataset()
        this.output = {"cases": len(made), "version": made.version, "left_out": made.left_out}
        return made


Write = Callable[[Passage, Model], Awaitable[Case]]


class _Making:
    """The cases that were made so far, and what was thrown away."""

    def __init__(
        self,
        collection: Collection,
        chance: random.Random,
        seed: int,
        origin: Provenance | None,
    ) -> None:
        if not collection.version:
            raise UsageError(
                f"there is no collection '{collection.name}' yet", cure="Ingest documents first."
            )
        self._collection = collection
        self._texts = Texts(collection)
        self._chance = chance
        self._seed = seed
        self._origin = origin
        self._cases: dict[str, Case] = {}
        self._left_out: Counter[str] = Counter()
        self._ids = sorted(self._texts.ids(), key=lambda id: content_key(seed, id))
        self.report: Any = lambda done: None

    def close(self) -> None:
        """Let go of the files."""
        self._texts.close()

    def dataset(self) -> Dataset:
        """What was made. Raises UsageError where that is nothing."""
        if not self._cases:
            reasons = ", ".join(f"{reason} ({count:,})" for reason, count in self._left_out.items())
            raise UsageError(
                "no question could be made of the collection",
                where=f"collection {self._collection.name}: {reasons}",
                cure="It takes documents with whole sentences, or a model: model='…'.",
            )
        return Dataset(self._cases.values(), name=self._collection.name, left_out=self._left_out)

    # Without a model

    async def by_rules(self, count: int, without: int, outside: Sequence[Document]) -> None:
        """Questions from gaps and headings."""
        spare: list[Draft] = []
        used: list[Draft] = []
        names: set[str] = set()
        async for draft in self._drafts(names):
            if len(used) < count and self._keep(_answered(draft), self._origin):
                used.append(draft)
            else:
                spare.append(draft)
            if len(used) == count and len(spare) >= 3 * without:
                break
        self._missing(count - len(used), "nothing more to ask about: too few sentences, headings")
        wanted = without - await self._about_outside(outside, without)
        # About another name it is another question, also where the draft itself was used.
        for draft in [*spare, *used] * _ROUNDS:
            if wanted <= 0:
                break
            wanted -= await self._about_nobody(draft, sorted(names))
        self._missing(wanted, "no more questions without an answer: too few names and headings")

    async def _drafts(self, names: set[str]) -> AsyncIterator[Draft]:
        """One question of each document in turn, then the next one of each."""
        waiting: list[list[Draft]] = []
        for id in self._ids:
            document = self._collection.document(id)
            found = await asyncio.to_thread(drafts, document)
            for draft in found[:_NAMES_OF]:
                sentence = document.text[draft.start : draft.end][:_NAMES_IN]
                names.update(sentence[low:high] for low, high in names_in(sentence) if low)
            found.sort(key=lambda each: (not each.telling, content_key(self._seed, each.question)))
            if found:
                yield found[0]
                waiting.append(found[1:])
        while waiting:
            for found in waiting:
                if found:
                    yield found.pop(0)
            waiting = [found for found in waiting if found]

    async def _about_nobody(self, draft: Draft, names: Sequence[str]) -> int:
        for absent in without_answer(draft, names, self._chance):
            if await self._holds(absent.entity):
                continue
            if await self._is_held(absent.question, absent.entity):
                self._left_out["a passage holds what should stand nowhere"] += 1
                continue
            return self._keep(_unanswered(absent), self._origin)
        return 0

    async def _about_outside(self, outside: Iterable[Document], most: int) -> int:
        """Questions about documents that are not in the collection; how many were kept."""
        kept = 0
        inside = set(self._ids)
        for document in outside:
            if document.id in inside:
                raise UsageError(
                    f"the document '{document.id}' is in the collection",
                    cure="`outside` holds documents that were left out of it.",
                )
            for draft in drafts(document):
                if kept == most:
                    return kept
                sentence = document.text[draft.start : draft.end]
                if await self._holds(sentence) or await self._is_held(draft.question, draft.answer):
                    self._left_out["a passage holds the answer of a document outside"] += 1
                else:
                    case = _case(draft.question, {"any_of": []}, draft.made, unanswerable=True)
                    case.metadata["outside"] = document.id
                    kept += self._keep(case, self._origin)
        return kept

    async def _holds(self, phrase: str) -> bool:
        """Whether some document holds a phrase: all texts are looked through."""
        return await asyncio.to_thread(self._texts.hold, phrase)

    async def _is_held(self, question: str, phrase: str) -> bool:
        """Whether a passage that a search for the question finds holds the words of a phrase."""
        wanted = words(phrase)
        for passage in await self._collection.search(question, _PASSAGES):
            there = words(passage.text)
            ends = range(len(there) - len(wanted) + 1)
            if any(there[at : at + len(wanted)] == wanted for at in ends):
                return True
        return False

    # With a model

    async def by_model(self, model: Model, count: int, without: int) -> None:
        """Questions that a model writes about chunks, each in its own call; so many at once, and
        kept in the order of the chunks."""
        passages = self._passages()
        for wanted, write, what in (
            (count, self._write, "no more questions"),
            (without, self._write_beside, "no more questions without an answer"),
        ):
            tries = 2 * wanted + _MORE_TRIES
            while wanted and tries:
                some = []
                for _ in range(min(wanted, tries, _AT_ONCE)):
                    if (passage := await asyncio.to_thread(next, passages, None)) is not None:
                        some.append(passage)
                if not some:
                    break
                tries -= len(some)
                results = await asyncio.gather(
                    *(self._tried(write, passage, model) for passage in some),
                    return_exceptions=True,
                )
                for made in results:
                    if isinstance(made, BaseException):
                        raise made
                    if made is not None:
                        wanted -= self._keep(*made)
            self._missing(wanted, f"{what}: too few passages, or too many were thrown away")

    async def _tried(
        self, write: Write, passage: Passage, model: Model
    ) -> tuple[Case, Provenance | None] | None:
        """A case and its record; None where it was thrown away, which is counted."""
        with recording() as run:
            try:
                case = await write(passage, model)
            except Rejected as reason:
                self._left_out[str(reason)] += 1
                return None
            except OutputError:
                self._left_out["the model's answer has another form"] += 1
                return None
        return case, self._origin_in(run.records)

    async def _write(self, passage: Passage, model: Model) -> Case:
        written, citation = await ask_about(passage, model)
        case = _case(written.question.strip(), written.answer.strip(), f"model:{model.name}")
        case.metadata.update(
            document=citation.document_id,
            title=citation.title,
            start=citation.start,
            end=citation.end,
            quote=citation.quote,
        )
        _mark_gold(case)
        return case

    async def _write_beside(self, passage: Passage, model: Model) -> Case:
        written = await ask_beside(passage, model)
        question = written.question.strip()
        if await self._holds(written.entity) or await self._is_held(question, written.entity):
            raise Rejected("a document holds what should stand nowhere")
        case = _case(question, {"any_of": []}, f"model:{model.name}", unanswerable=True)
        case.metadata["entity"] = written.entity
        return case

    def _origin_in(self, records: Sequence[Any]) -> Provenance | None:
        steps = [record for record in records if record.kind == "step"]
        if not steps:
            return self._origin
        return msgspec.structs.replace(provenance_of(steps[-1]), name=GENERATED)

    def _passages(self) -> Iterator[Passage]:
        """A chunk of each document in turn, then the next one of each."""
        waiting: list[tuple[Document, list[Any]]] = []
        for id in self._ids:
            document = self._collection.document(id)
            chunks = [
                each
                for each in self._collection.splitter.split(document)
                if len(words(each.text)) >= _SHORTEST_CHUNK
            ]
            chunks.sort(key=lambda each: content_key(self._seed, document.id, each.start))
            if chunks:
                yield _passage(document, chunks.pop(0))
                waiting.append((document, chunks))
        while waiting:
            for document, chunks in waiting:
                if chunks:
                    yield _passage(document, chunks.pop(0))
            waiting = [(document, chunks) for document, chunks in waiting if chunks]

    def _keep(self, case: Case, origin: Provenance | None) -> int:
        """Take a case, unless the question is there already; how many were taken."""
        key = normalised(case.input)
        if key in self._cases:
            self._left_out["an equal question"] += 1
            return 0
        self._cases[key] = Case(case.id, case.input, case.expected, case.metadata, origin)
        self.report(len(self._cases))
        return 1

    def _missing(self, count: int, reason: str) -> None:
        if count > 0:
            self._left_out[reason] += count


def _answered(draft: Draft) -> Case:
    case = _case(draft.question, draft.answer, draft.made)
    case.metadata.update(
        document=draft.document.id,
        title=draft.document.title,
        start=draft.start,
        end=draft.end,
        quote=draft.document.text[draft.start : draft.end],
    )
    _mark_gold(case)
    if draft.made == "cloze":
        case.metadata.update(answer_start=draft.answer_start, answer_end=draft.answer_end)
    return case


def _unanswered(absent: Absent) -> Case:
    case = _case(absent.question, {"any_of": []}, absent.draft.made, unanswerable=True)
    case.metadata["entity"] = absent.entity
    return case


def _case(question: str, expected: Any, made: str, *, unanswerable: bool = False) -> Case:
    metadata: dict[str, Any] = {"made": made, "unanswerable": unanswerable}
    if unanswerable:
        metadata.update(relevant=[], citations=[])
    return Case(content_key(question), question, expected, metadata)


def _mark_gold(case: Case) -> None:
    """Say where the answer stands as scorers of searches and of quotations read it."""
    facts = case.metadata
    span = {"document_id": facts["document"], "start": facts["start"], "end": facts["end"]}
    facts.update(relevant=[span], citations=[dict(span)])


def _passage(document: Document, chunk: Any) -> Passage:
    return Passage(document.id, document.title, chunk.text, chunk.start, chunk.end, 1.0)


def _check(count: int, unanswerable: float) -> None:
    if not 1 <= count <= _MOST:
        raise UsageError(f"1 to {_MOST:,} questions can be made at once, not {count:,}")
    if not 0 <= unanswerable <= 1:
        raise UsageError(
            f"unanswerable is a share from 0 to 1, not {unanswerable}",
            cure="0.2 is one question in five.",
        )


_VERSION = "generate-3"
_MOST = 100_000
_PASSAGES = 10
_ROUNDS = 3
_AT_ONCE = 8
_MORE_TRIES = 8
_SHORTEST_CHUNK = 12
_NAMES_OF, _NAMES_IN = 20, 400
