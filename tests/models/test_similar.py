"""Similar questions: calibrated on labelled pairs, compared alone, and each with its owner."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from onrecord.errors import UsageError
from onrecord.messages import Media, Message, Text, ToolSchema, text_message
from onrecord.models.calling import complete
from onrecord.models.model import Request
from onrecord.models.wrappers.cached import cached
from onrecord.models.wrappers.similar import Similarity, calibrate_similarity
from onrecord.records.ledger import budget
from onrecord.records.limits import Limits
from onrecord.records.query import Query
from onrecord.records.scope import context, recording
from onrecord.records.store import Store
from tests.models.test_cached import Counting, asking, paid

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Letters:
    """Embeds a text as how often each of its letters comes: similar words, similar vectors."""

    name, version, dimensions, max_tokens = "test:letters", "1", 26, 1000

    async def embed(self, texts: list[str]) -> np.ndarray:
        counts = np.array(
            [[text.lower().count(chr(97 + i)) + 1e-3 for i in range(26)] for text in texts]
        )
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)

    def tokens(self, text: str) -> list[tuple[int, int]]:
        return []


ANIMALS = """cat dog bird cow sheep goat duck goose pig hen fox bear seal crab bee ant moth bat
mouse rat""".split()


PEOPLE = """aunt uncle mother father brother sister cousin niece nephew friend boss teacher doctor
nurse cook baker smith tailor miller judge""".split()


SAME = [
    (f"how many {each}s are there", f"how many {each}s are there then", True) for each in ANIMALS
]


OTHER = [
    (f"what is a {animal}", f"my {person} is ill today, whom do I tell", False)
    for animal, person in zip(ANIMALS, PEOPLE, strict=True)
]


def test_a_similarity_is_calibrated_on_pairs_and_says_how_often_it_errs() -> None:
    calibrated = calibrate_similarity.run([*SAME, *OTHER], embedder=Letters())  # type: ignore[arg-type]
    assert 0 < calibrated.threshold < 1 and calibrated.pairs == 40
    assert 0 <= calibrated.false_hit_rate <= calibrated.false_hit_rate_high < 1
    assert calibrated.hit_rate > 0.5
    assert calibrated.false_hit_rate_high > 0.05  # twenty pairs cannot promise more


def test_a_similarity_without_enough_pairs_is_refused() -> None:
    with pytest.raises(UsageError, match="too few"):
        calibrate_similarity.run(SAME, embedder=Letters())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no threshold"):
        pairs = [(a, a, same) for a, _, _ in SAME for same in (True, False)]
        calibrate_similarity.run(pairs, embedder=Letters())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([], "0 pairs that are the same and 0 that are not are too few"),
        ([("a", "b")], "is no labelled pair. Give two questions and whether"),
        ([(None, "b", True)], "is no labelled pair"),
        ([("a", "b", "yes")], "is no labelled pair"),
        ([{"a": 1}], "is no labelled pair"),
        ("ab", "labelled pairs are several, not one"),
        (5, "labelled pairs are several, not 5"),
    ],
)
def test_what_is_no_pair_is_named(pairs: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        calibrate_similarity.run(pairs)


async def test_a_similar_question_gets_the_answer_of_its_like(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    letters = Letters()
    calibrated = await calibrate_similarity([*SAME, *OTHER], embedder=letters)  # type: ignore[arg-type]
    monkeypatch.setattr("onrecord.models.wrappers.similar.embedder_named", lambda _: letters)
    model = Counting()
    careful = cached(model, similar=calibrated)
    with context(user="ada"):
        await complete(careful, asking("how many wolves are there"))
        with recording() as run:
            like = await complete(careful, asking("how many wolves are there then"))
    assert like.text == "echo how many wolves are there" and like.cost == 0
    searched = next(record for record in run.records if record.kind == "search")
    assert searched.output["similarity"] >= calibrated.threshold
    assert searched.output["record"] == run.records[-1].source
    with context(user="ada"):
        await complete(careful, asking("my aunt is ill today"))
        await complete(careful, asking("how many wolves are there then", seed=4))
    with context(user="bob"):
        await complete(careful, asking("how many wolves are there then"))
    assert len(model.requests) == 4


async def test_half_an_answer_is_given_to_no_similar_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    letters = Letters()
    calibrated = await calibrate_similarity([*SAME, *OTHER], embedder=letters)  # type: ignore[arg-type]
    monkeypatch.setattr("onrecord.models.wrappers.similar.embedder_named", lambda _: letters)
    half = msgspec.structs.replace(paid("there are"), finish="length")
    model = Counting(half, paid("there are two"))
    careful = cached(model, similar=calibrated)
    await complete(careful, asking("how many wolves are there"))
    like = await complete(careful, asking("how many wolves are there then"))
    assert like.text == "there are two" and len(model.requests) == 2


def similar(
    monkeypatch: pytest.MonkeyPatch, threshold: float, max_tokens: int = 1000
) -> Similarity:
    """A similarity of letters, as if it had been calibrated."""
    letters = Letters()
    letters.max_tokens = max_tokens  # type: ignore[misc]
    monkeypatch.setattr("onrecord.models.wrappers.similar.embedder_named", lambda _: letters)
    return Similarity(letters.name, letters.version, threshold, 0.0, 0.01, 1.0, 40)


def rag(question: str, passages: str, **parameters: object) -> Request:
    """What a prompt sends: passages first, the question last, and the inputs it was made from."""
    request = asking(f"{passages}\n\nQuestion: {question}", **parameters)
    inputs = {"passages": [passages], "question": question}
    return msgspec.structs.replace(request, inputs=inputs)


async def test_only_questions_are_compared_and_the_passages_have_to_be_equal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handbook = " ".join(f"Item {i} of the handbook holds for all staff." for i in range(40))
    careful = cached(model := Counting(), similar=similar(monkeypatch, 0.95))
    await complete(careful, rag("how many days of leave", handbook, temperature=0))
    # The messages are alike, nearly all of them being passages; the questions are not.
    await complete(careful, rag("who is the chief executive", handbook, temperature=0))
    assert len(model.requests) == 2
    like = await complete(careful, rag("days of leave, how many", handbook, temperature=0))
    assert like.text.endswith("Question: how many days of leave") and len(model.requests) == 2
    await complete(careful, rag("days of leave, how many", f"{handbook} But one.", temperature=0))
    assert len(model.requests) == 3
    asked = rag("of leave, how many days", handbook, temperature=0)
    tools = (ToolSchema("look", "Looks it up.", {}),)
    await complete(careful, msgspec.structs.replace(asked, tools=tools))
    assert len(model.requests) == 4


async def test_a_question_longer_than_the_embedder_reads_is_like_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    careful = cached(model := Counting(), similar=similar(monkeypatch, 0.5, max_tokens=-1))
    await complete(careful, asking("how many wolves are there"))
    await complete(careful, asking("how many wolves are there then"))
    assert len(model.requests) == 2


async def test_a_picture_beside_the_question_has_to_be_equal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def seen(url: str, question: str) -> Request:
        return Request((Message("user", (Media("image/png", url), Text(question))),))

    careful = cached(model := Counting(), similar=similar(monkeypatch, 0.9))
    await complete(careful, seen("https://here/a.png", "what is this"))
    await complete(careful, seen("https://here/b.png", "what is this?"))
    assert len(model.requests) == 2
    await complete(careful, seen("https://here/a.png", "what is this?"))
    assert len(model.requests) == 2


async def test_fences_new_for_every_call_do_not_tell_questions_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fenced(fence: str, question: str) -> Request:
        message = text_message("user", f"Between {fence} and {fence}: {fence} {question} {fence}")
        return Request((message,), inputs={"question": question}, fences=(fence,))

    careful = cached(model := Counting(), similar=similar(monkeypatch, 0.9))
    await complete(careful, fenced("a1b2c3", "how many wolves"))
    await complete(careful, fenced("f9e8d7", "wolves, how many"))
    assert len(model.requests) == 1


async def test_nobodys_question_is_on_anothers_record_or_bill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    careful = cached(Counting(), similar=similar(monkeypatch, 0.9))
    with context(user="alice"):
        await complete(careful, asking("my test was positive, what now"))
    with context(user="bob"), recording() as run, budget(Limits(calls=2)) as bobs:
        await complete(careful, asking("how tall is the tower"))
    assert bobs.spent().calls == 2  # his question embedded, and the model
    assert [record.kind for record in run.records] == ["embed", "search", "model", "model"]
    store = Store.open()
    store.fold()
    told = [each for each in store.records(Query(), limit=100) if "positive" in str(each.input)]
    assert {each.user for each in told} == {"alice"}
    (indexing,) = [
        each for each in store.records(Query(kinds=("embed",))) if "questions" in each.input
    ]
    assert indexing.input == {"questions": 1} and indexing.user is None
    assert indexing.parent is None


@pytest.mark.parametrize("false_hits", [1.0, -0.5, float("nan"), 2])
def test_a_share_of_false_hits_that_is_none_is_named(false_hits: float) -> None:
    with pytest.raises(UsageError, match="false_hits"):
        calibrate_similarity.run([*SAME, *OTHER], embedder=Letters(), false_hits=false_hits)  # type: ignore[arg-type]


def test_a_pair_that_is_not_read_whole_is_named() -> None:
    letters = Letters()
    letters.max_tokens = -1  # type: ignore[misc]
    with pytest.raises(UsageError, match="longer than"):
        calibrate_similarity.run([*SAME, *OTHER], embedder=letters)  # type: ignore[arg-type]
