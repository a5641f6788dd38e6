"""Similar questions: an answer on record to a question that means the same.

A similarity is a number, and no number means "the same" by itself. So a threshold is chosen on
labelled pairs of questions (the same, or not), and its false-hit rate is measured on pairs it was
not chosen on. Without that the cache does not start.

What is compared is the question alone, as it is in the pairs. Everything that stands around it has
to be equal: the prompt's text, its other inputs, the passages, the parameters.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.arguments import several
from onrecord.calling import Operation
from onrecord.errors import UsageError
from onrecord.messages import Part, Text
from onrecord.models.calling import embed
from onrecord.models.model import Embedder, Model, Parameters, Request
from onrecord.models.names import embedder as embedder_named
from onrecord.models.wrappers.cascade_curve import wilson
from onrecord.records.call import call
from onrecord.records.record import Record, content_key
from onrecord.records.scope import here

if TYPE_CHECKING:
    from onrecord.records.store import Store


class Similarity(msgspec.Struct, frozen=True):
    """A calibrated similarity of questions.

    Questions whose vectors have a cosine of at least `threshold` count as the same.
    `false_hit_rate`: of pairs that are not the same, the share that would have been taken for it,
    measured on pairs that the threshold was not chosen on (cross-validation), and
    `false_hit_rate_high` the upper end of its 95 % interval (Wilson). `hit_rate`: of pairs that are
    the same, the share that was found. `pairs`: how many there were of both.
    """

    embedder: str
    version: str
    threshold: float
    false_hit_rate: float
    false_hit_rate_high: float
    hit_rate: float
    pairs: int


@Operation
async def calibrate_similarity(
    pairs: Iterable[tuple[str, str, bool]],
    *,
    embedder: str | Embedder = "embedded:minilm",
    false_hits: float = 0.01,
) -> Similarity:
    """Choose the lowest threshold whose false-hit rate is at most `false_hits`, and measure it.

    `pairs`: two questions, and whether the same answer fits both. At least 20 that are the same and
    20 that are not; what matters are pairs that look alike and are not the same. `false_hits`: at
    least 0, below 1. Raises UsageError where there are fewer pairs, where a question is longer than
    the embedder reads, or where no threshold is good enough.
    """
    if not 0 <= false_hits < 1:
        raise UsageError(
            f"false_hits={false_hits!r} is no share of false hits that could be allowed",
            cure="Name one from 0 to below 1, such as 0.01.",
        )
    labelled = list(map(_labelled, several(pairs, "labelled pairs")))
    same = np.array([label for _, _, label in labelled], dtype=bool)
    if min(same.sum(), (~same).sum()) < _FEWEST:
        raise UsageError(
            f"{same.sum()} pairs that are the same and {(~same).sum()} that are not are too few",
            cure=f"Label at least {_FEWEST} of each; only then a rate means something.",
        )
    chosen = embedder_named(embedder)
    questions = [question for pair in labelled for question in pair[:2]]
    _check_lengths(questions, chosen)
    vectors = await embed(chosen, questions)
    first, second = vectors[::2], vectors[1::2]
    cosines = np.sum(first * second, axis=1)
    threshold = _threshold(cosines, same, false_hits)
    hits = _held_out_hits(cosines, same, false_hits)
    if not (cosines[same] >= threshold).any():
        raise UsageError(
            f"no threshold has a false-hit rate of {false_hits:.1%} and finds anything",
            cure="Allow more false hits, use another embedder, or do without `similar`.",
        )
    false_rate = float(hits[~same].mean())
    return Similarity(
        embedder=chosen.name,
        version=chosen.version,
        threshold=threshold,
        false_hit_rate=false_rate,
        false_hit_rate_high=wilson(false_rate, int((~same).sum()))[1],
        hit_rate=float(hits[same].mean()),
        pairs=len(labelled),
    )


def _labelled(pair: Any) -> tuple[str, str, bool]:
    three = isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 3
    if three and all(isinstance(each, str) for each in pair[:2]) and pair[2] in (True, False):
        return pair[0], pair[1], bool(pair[2])
    raise UsageError(
        f"{pair!r:.80} is no labelled pair",
        cure="Give two questions and whether they are the same: (one, other, True).",
    )


async def similar_question(
    similarity: Similarity,
    store: Store,
    model: Model,
    request: Request,
    since_ns: int,
    everyone: bool,
) -> Record | None:
    """The record that answers the most similar question asked of this model, if one is similar
    enough. Only the question may differ; user and tenant count as in `Store.find`. There is none
    like a question of which the embedder would read the beginning only."""
    question, around = _parted(request)
    chosen = embedder_named(similarity.embedder)
    if chosen.version != similarity.version:
        raise UsageError(
            f"the similarity was calibrated for another version of {similarity.embedder}",
            cure="Calibrate it again: on.calibrate_similarity.run(pairs).",
        )
    if not _readable(question, chosen):
        return None
    with call("search", "similar questions", {"question": question}) as this:
        # Whoever asks next has it done, for everybody's questions: so on nobody's behalf, in a run
        # of its own, outside of all budgets.
        indexing = _index(chosen, store, model)
        await asyncio.create_task(indexing, context=contextvars.Context())
        vector = (await embed(chosen, [question]))[0]
        space = _space(chosen, model, around)
        whose = None if everyone else (here().user, here().tenant)
        ids, vectors = await asyncio.to_thread(_answered, store, space, since_ns, whose)
        found, similar = _best(ids, vectors, vector)
        if similar < similarity.threshold:
            found = None
        this.output = {"similarity": round(similar, 4), "record": found}
    if found is None:
        return None
    record = await asyncio.to_thread(store.record, found)
    return record if is_whole(record) else None


def is_whole(record: Record) -> bool:
    """Whether an answer on record was not cut off: nobody is given half of one again."""
    return record.output.get("finish") not in ("length", "unknown")


def _parted(request: Request) -> tuple[str, Any]:
    """The question of a request, and everything else that determines its answer.

    It is a prompt's first text, and where the messages were written by hand the last of them. The
    other inputs are left out: they are in the messages that were written from them.
    """
    texts = [value for value in request.inputs.values() if isinstance(value, str)]
    question = texts[0] if texts else ""
    if not request.inputs and request.messages and request.messages[-1].role == "user":
        question = request.messages[-1].text
    holes = [question, *request.fences]
    around = [
        (message.role, [_with_holes(part, holes) for part in message.parts])
        for message in request.messages
    ]
    # As they come from a record: a temperature of 0 is one of 0.0 there.
    parameters = msgspec.convert(msgspec.to_builtins(request.parameters), Parameters)
    return question, (around, parameters, request.schema, request.tools, request.tool_choice)


def _with_holes(part: Part, holes: list[str]) -> Any:
    """What stands between the holes of a text; any other part is as it is.

    So two requests have equal surroundings only where one becomes the other when its question is
    exchanged.
    """
    return _between(part.text, holes) if isinstance(part, Text) else part


def _between(text: str, holes: list[str]) -> Any:
    if not holes:
        return text
    hole, *others = holes
    return [_between(piece, others) for piece in (text.split(hole) if hole else [text])]


def _readable(question: str, embedder: Embedder) -> bool:
    """Whether there is a question, and the embedder reads all of it."""
    return bool(question.strip()) and len(embedder.tokens(question)) <= embedder.max_tokens


def _check_lengths(questions: list[str], embedder: Embedder) -> None:
    for question in questions:
        if not _readable(question, embedder):
            raise UsageError(
                f"the question {question[:40]!r} is empty, or longer than the {embedder.max_tokens}"
                " tokens that the embedder reads",
                cure="Leave its pair out: such questions are never taken for similar.",
            )


def _space(embedder: Embedder, model: Model, around: Any) -> str:
    return content_key(_by(embedder), model.name, model.version, around)


def _by(embedder: Embedder) -> str:
    """Whose vectors, and of what."""
    return content_key(embedder.name, embedder.version, "question")


class _New(NamedTuple):
    """An answer on record whose question has no vector yet; `question` "": it can have none."""

    record: str
    space: str
    question: str


async def _index(embedder: Embedder, store: Store, model: Model) -> None:
    """Embed the questions of this model's answers that have no vector yet.

    The record of it says how many, not which: they are other people's.
    """
    new = await asyncio.to_thread(_unindexed, embedder, store, model)
    questions = [each.question for each in new if each.question]
    found: Iterator[Any] = iter(())
    if questions:
        found = iter(await embed(embedder, questions, shown={"questions": len(questions)}))
    rows = [
        {
            "record": each.record,
            "embedder": _by(embedder),
            "space": each.space,
            "vector": np.asarray(next(found), dtype="<f4").tobytes() if each.question else b"",
        }
        for each in new
    ]
    await asyncio.to_thread(store.add_vectors, rows)


def _unindexed(embedder: Embedder, store: Store, model: Model) -> list[_New]:
    new = []
    for record in store.without_vector(_by(embedder), model.name, model.version, _MOST):
        question, around = _parted(msgspec.convert(record.input, Request))
        if is_whole(record) and _readable(question, embedder):
            new.append(_New(record.id, _space(embedder, model, around), question))
        else:  # in no space, so that it is never found, and never looked at again
            new.append(_New(record.id, "", ""))
    return new


def _best(
    ids: list[str], vectors: NDArray[np.float32], vector: NDArray[np.float32]
) -> tuple[str | None, float]:
    if not ids:
        return None, 0.0
    cosines = vectors @ vector
    best = int(cosines.argmax())
    return ids[best], float(cosines[best])


def _answered(
    store: Store, space: str, since_ns: int, whose: tuple[str | None, str | None] | None
) -> tuple[list[str], NDArray[np.float32]]:
    rows = store.vectors(space, since_ns, whose)
    vectors = [np.frombuffer(vector, dtype="<f4") for _, vector in rows]
    matrix = np.array(vectors, dtype=np.float32)
    return [id for id, _ in rows], matrix


_FEWEST = 20
_FOLDS = 5
_MOST = 2000


def _threshold(cosines: NDArray[np.float32], same: NDArray[np.bool_], false_hits: float) -> float:
    """The lowest threshold that lets at most this share of the pairs through that differ."""
    different = np.sort(cosines[~same])[::-1]
    allowed = int(false_hits * len(different))
    # Just above the first pair that may not pass.
    return float(np.nextafter(different[allowed], np.float32(2)))


def _held_out_hits(
    cosines: NDArray[np.float32], same: NDArray[np.bool_], false_hits: float
) -> NDArray[np.bool_]:
    """For each pair, whether it would be a hit under the threshold that the others choose."""
    hits = np.zeros(len(same), dtype=bool)
    folds = np.zeros(len(same), dtype=int)
    for label in (True, False):  # each fold has its share of both
        folds[same == label] = np.arange((same == label).sum()) % _FOLDS
    for fold in range(_FOLDS):
        held = folds == fold
        hits[held] = cosines[held] >= _threshold(cosines[~held], same[~held], false_hits)
    return hits
