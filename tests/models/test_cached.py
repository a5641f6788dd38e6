"""`cached`: what is on record is not asked again, by nobody but its owner."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

import onrecord as on
from onrecord.errors import LimitError, ModelError, UsageError
from onrecord.messages import (
    Completion,
    Media,
    Message,
    Result,
    Text,
    TextDelta,
    ToolSchema,
    Usage,
    text_message,
)
from onrecord.models.cached import cached
from onrecord.models.calling import complete
from onrecord.models.model import Parameters, Request
from onrecord.models.similar import Similarity, calibrate_similarity
from onrecord.records.ledger import budget
from onrecord.records.limits import Limits
from onrecord.records.query import Query
from onrecord.records.recording import context, recording
from onrecord.records.store import Store

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def asking(text: str, **parameters: object) -> Request:
    return Request((text_message("user", text),), Parameters(**parameters))  # type: ignore[arg-type]


def paid(text: str) -> Completion:
    return Completion(
        text_message("assistant", text), "scripted:test", Usage(input=10, output=5), cost=700
    )


class Counting(on.Scripted):
    """Counts its requests, and takes its time."""

    def __init__(self, *replies: object, wait: float = 0.0) -> None:
        super().__init__(list(replies) or (lambda request: f"echo {request.messages[-1].text}"))  # type: ignore[arg-type]
        self.wait = wait
        self.under_way = self.most_at_once = 0

    @property
    def version(self) -> str:  # type: ignore[override]
        return "1"

    async def stream(self, request: Request):  # type: ignore[no-untyped-def]
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        await asyncio.sleep(self.wait)
        self.under_way -= 1
        async for event in super().stream(request):
            yield event


async def test_the_same_question_is_asked_once() -> None:
    model = Counting(paid("twenty-eight days"))
    careful = cached(model)
    with recording() as run:
        first = await complete(careful, asking("How many?"))
        second = await complete(careful, asking("How many?"))
    assert len(model.requests) == 1
    assert first.text == second.text == "twenty-eight days"
    assert (first.cost, second.cost) == (700, 0)
    assert second.usage == Usage()
    inner, miss, hit = run.records
    assert (inner.name, miss.name, hit.name) == (
        "scripted:test",
        "cached:scripted:test",
        "cached:scripted:test",
    )
    assert hit.source == inner.id and miss.source is None
    assert (inner.cost, miss.cost, hit.cost) == (700, 0, 0)
    assert run.cost == 700 and run.usage == Usage(input=10, output=5)


async def test_what_an_uncached_call_recorded_is_an_answer_too() -> None:
    model = Counting()
    await complete(model, asking("Hello?"))
    await complete(cached(model), asking("Hello?"))
    assert len(model.requests) == 1


async def test_everything_that_determines_the_answer_is_in_the_key() -> None:
    model = Counting()
    careful = cached(model)
    requests = [
        asking("a"),
        asking("b"),
        asking("a", temperature=0.5),
        asking("a", seed=1),
        Request((text_message("system", "s"), text_message("user", "a"))),
        Request((text_message("user", "a"),), schema={"type": "object"}),
        Request((text_message("user", "a"),), inputs={"passages": ["one"]}),
    ]
    for request in requests * 2:
        await complete(careful, request)
    assert len(model.requests) == len(requests)


async def test_an_answer_grows_old() -> None:
    model = Counting()
    await complete(model, asking("a"))
    await complete(cached(model, ttl=3600), asking("a"))
    assert len(model.requests) == 1
    await complete(cached(model, ttl=1e-6), asking("a"))
    assert len(model.requests) == 2


async def test_a_users_answer_is_nobody_elses() -> None:
    model = Counting()
    careful = cached(model)
    people: list[dict[str, str]] = [
        {},
        {"user": "ada"},
        {"user": "bob"},
        {"tenant": "one"},
        {"tenant": "two", "user": "ada"},
    ]
    for whose in people * 2:
        with context(**whose):  # type: ignore[arg-type]
            await complete(careful, asking("My balance?"))
    assert len(model.requests) == len(people)
    with context(user="carl"):
        await complete(cached(model, everyone=True), asking("My balance?"))
    assert len(model.requests) == len(people)


async def test_concurrent_equal_calls_are_one_request() -> None:
    model = Counting(wait=0.05)
    careful = cached(model)
    answers = await asyncio.gather(*(complete(careful, asking("a")) for _ in range(20)))
    assert len(model.requests) == 1
    assert {answer.text for answer in answers} == {"echo a"}
    assert sum(answer.usage.output for answer in answers) == 2  # one of them was asked


async def test_different_calls_do_not_wait_for_each_other() -> None:
    model = Counting(wait=0.2)
    careful = cached(model)
    await asyncio.gather(*(complete(careful, asking(str(i))) for i in range(20)))
    assert len(model.requests) == 20
    assert model.most_at_once > 1


IN_A_PROCESS = """
import asyncio, os, sys
from tests.models.test_cached import Counting, asking
from onrecord.models.cached import cached
from onrecord.models.calling import complete

class Shared(Counting):
    async def stream(self, request):
        with open("requests", "a") as file:
            file.write("x")
        async for event in super().stream(request):
            yield event

while not os.path.exists("go"):
    pass
answer = asyncio.run(complete(cached(Shared(wait=0.3)), asking("a")))
print(answer.text)
"""


def test_concurrent_equal_calls_of_processes_are_one_request(project: Path) -> None:
    Store.open().close()
    root = Path(__file__).parent.parent.parent
    children = [
        subprocess.Popen(
            [sys.executable, "-c", IN_A_PROCESS],
            env={"PYTHONPATH": str(root), "PATH": ""},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    (project / "go").touch()
    assert [child.communicate()[0].strip() for child in children] == ["echo a"] * 3
    assert (project / "requests").read_text() == "x"


async def test_a_failure_is_not_an_answer() -> None:
    model = Counting(ModelError("no"), paid("yes"))
    careful = cached(model)
    with pytest.raises(ModelError):
        await complete(careful, asking("a"))
    assert (await complete(careful, asking("a"))).text == "yes"


def test_a_hit_is_streamed_like_an_answer() -> None:
    @on.flow
    async def ask(question: str) -> str:
        return (await complete(cached(model), asking(question))).text

    model = Counting("one two three", "another")
    for _ in range(2):
        *events, last = list(ask.stream("a"))
        deltas = [event.text for event in events if isinstance(event, TextDelta)]
        assert deltas == ["one", " two", " three"]
        assert last == Result("one two three")
    assert len(model.requests) == 1


async def test_an_answer_that_redaction_changed_is_made_again() -> None:
    card = "4111 1111 1111 1111"
    model = Counting(paid(f"Your card is {card}."), paid(f"Your card is {card}, still."))
    careful = cached(model)
    assert card in (await complete(careful, asking("card?"))).text
    assert card in (await complete(careful, asking("card?"))).text
    assert len(model.requests) == 2


async def test_an_erased_answer_is_not_given_again() -> None:
    model = Counting()
    with context(user="ada"):
        await complete(cached(model), asking("a"))
        from onrecord.records.query import Query

        Store.open().erase(Query(user="ada"))
        await complete(cached(model), asking("a"))
    assert len(model.requests) == 2


def test_without_records_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_RECORD", "false")
    with pytest.raises(UsageError, match="the records are the cache"):
        asyncio.run(complete(cached(Counting()), asking("a")))


@pytest.mark.parametrize("ttl", [0, -1])
def test_a_ttl_is_above_zero(ttl: float) -> None:
    with pytest.raises(UsageError, match="ttl"):
        cached(Counting(), ttl=ttl)


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


def test_a_bare_threshold_does_not_start() -> None:
    with pytest.raises(UsageError, match="not calibrated"):
        cached(Counting(), similar=0.9)  # type: ignore[arg-type]


async def test_a_similar_question_gets_the_answer_of_its_like(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    letters = Letters()
    calibrated = await calibrate_similarity([*SAME, *OTHER], embedder=letters)  # type: ignore[arg-type]
    monkeypatch.setattr("onrecord.models.similar.embedder_named", lambda _: letters)
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


def similar(
    monkeypatch: pytest.MonkeyPatch, threshold: float, max_tokens: int = 1000
) -> Similarity:
    """A similarity of letters, as if it had been calibrated."""
    letters = Letters()
    letters.max_tokens = max_tokens  # type: ignore[misc]
    monkeypatch.setattr("onrecord.models.similar.embedder_named", lambda _: letters)
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


async def test_an_answer_that_a_budget_cut_short_is_not_the_answer_to_the_whole_question() -> None:
    def count(request: Request) -> str:
        return " ".join("one two three four five".split()[: request.parameters.max_tokens])

    careful = cached(model := Counting(count, count))
    with budget(Limits(tokens=10_000, max_output=3)):
        assert (await complete(careful, asking("count"))).text == "one two three"
    assert (await complete(careful, asking("count"))).text == "one two three four five"
    with budget(Limits(tokens=10_000, max_output=3)):
        assert (await complete(careful, asking("count"))).text == "one two three"
    assert len(model.requests) == 2


async def test_a_limit_of_seconds_holds_while_another_asks_the_same() -> None:
    model = Counting("late")
    asked, go = asyncio.Event(), asyncio.Event()
    stream = model.stream

    async def waiting(request: Request):  # type: ignore[no-untyped-def]
        asked.set()
        await go.wait()
        async for event in stream(request):
            yield event

    model.stream = waiting  # type: ignore[method-assign]
    careful = cached(model)
    first = asyncio.create_task(complete(careful, asking("a")))
    await asked.wait()
    with budget(Limits(seconds=0.2)), pytest.raises(LimitError, match="seconds"):
        await complete(careful, asking("a"))
    assert not first.done()
    go.set()
    assert (await first).text == "late"


async def test_where_there_are_no_locks_the_model_is_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("onrecord.models.cached._BYTE_LOCKS", False)
    monkeypatch.setattr("onrecord.models.cached.fcntl.flock", none)
    async with asyncio.timeout(60):
        assert (await complete(cached(Counting()), asking("a"))).text == "echo a"
    assert "No locks available" in caplog.text


@pytest.mark.parametrize("ttl", ["1h", float("nan"), float("inf")])
def test_a_ttl_that_is_no_time_is_named(ttl: object) -> None:
    with pytest.raises(UsageError, match="no age"):
        cached(Counting(), ttl=ttl)  # type: ignore[arg-type]


async def test_a_store_that_cannot_be_used_costs_money_and_no_answer(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (project / "onrecord.toml").write_text('store = "postgresql://nobody@127.0.0.1:9/none"\n')
    model = Counting()
    careful = cached(model)
    for _ in range(2):
        assert (await complete(careful, asking("a"))).text == "echo a"
    assert len(model.requests) == 2
    assert caplog.text.count("without a look at the records") == 1
