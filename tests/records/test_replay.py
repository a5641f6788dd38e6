"""Cassettes: what was recorded is answered again, nothing else is asked, and people can read it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import onrecord as on
from onrecord.calling import run
from onrecord.errors import ModelError, ModelUnavailableError, ReplayError, StorageError, UsageError
from onrecord.messages import Passage, Result, TextDelta, Usage, text_message
from onrecord.models.calling import complete, embed
from onrecord.models.model import Parameters, Request
from onrecord.models.openai.api import OpenAIModel
from onrecord.models.openai.embedder import OpenAIEmbedder
from onrecord.models.scripted import Scripted
from onrecord.models.wrappers.cached import cached
from onrecord.programs.flow import Recorded, asynchronous
from onrecord.records.call import call
from onrecord.records.cassettes.cassette import Cassette
from onrecord.records.replay import replay
from onrecord.records.scope import recording
from onrecord.records.store import Store
from onrecord.retrieval.document import Document
from tests.retrieval.splitting_doubles import WordEmbedder

TAPE = Path("tape.jsonl")


def asking(text: str, **parameters: Any) -> Request:
    return Request((text_message("user", text),), Parameters(**parameters))


def ask(model: Any, text: str, **parameters: Any) -> str:
    return run(complete(model, asking(text, **parameters))).text


def echo(*replies: Any) -> Scripted:
    """Answers in capital letters, or these replies."""
    return Scripted(list(replies) or (lambda request: request.messages[-1].text.upper()))


def record(*texts: str, model: Any = None, mode: Any = True, path: Path = TAPE) -> None:
    """Put the answers to these questions on the tape."""
    model = model or echo()
    with replay(path, record=mode):
        for text in texts:
            ask(model, text)


def calls(path: Path = TAPE) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:]]


def questions(path: Path = TAPE) -> list[str]:
    return [each["input"]["messages"][0]["parts"][0]["text"] for each in calls(path)]


def change(edit: Callable[[str], str]) -> None:
    TAPE.write_text(edit(TAPE.read_text(encoding="utf-8")), encoding="utf-8")


def tool(function: Callable[..., Any]) -> Recorded[..., Any]:
    return Recorded(asynchronous(function), "tool")


class Never(Scripted):
    """A model that no test gets an answer from."""

    version = "elsewhere"  # type: ignore[assignment]  # of another server, say

    def __init__(self, name: str = "scripted:test") -> None:
        super().__init__(AssertionError("a model was asked"), name=name)


# -- what is answered


def test_a_flow_is_replayed_and_only_its_model_is_not_asked() -> None:
    ran = []

    @on.prompt(model=Scripted(["Leave: 25 days.", "Nothing more."], name="scripted:hr"))
    async def summary(text: str) -> str:
        """Say it shortly."""

    @on.step
    async def shout(text: str) -> str:
        ran.append(text)
        return text.upper()

    @on.flow
    async def ask_twice(text: str) -> list[str]:
        return [await shout(await summary(text)), await summary("more")]

    with replay(TAPE, record=True) as tape:
        recorded = ask_twice.run("You have 25 days.")
        assert (tape.made, tape.answered, tape.unused) == (2, 0, ())
    assert recorded == ["LEAVE: 25 DAYS.", "Nothing more."]
    with replay(TAPE) as tape:
        assert ask_twice.run("You have 25 days.") == recorded
        assert asyncio.run(ask_twice("You have 25 days.")) == recorded
        assert (tape.made, tape.answered, tape.unused) == (0, 4, ())
    assert len(ran) == 3
    with pytest.raises(ModelError, match="the script has 2 replies"):
        summary.run("a third request")


def test_an_answer_is_streamed_again() -> None:
    model = echo("one two three")

    @on.flow
    async def told() -> str:
        return (await complete(model, asking("count"))).text

    with replay(TAPE, record=True):
        list(told.stream())
    with replay(TAPE):
        events = list(told.stream())
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "one two three"
    assert events[-1] == Result("one two three")
    assert len(model.requests) == 1


def test_vectors_are_given_again_to_the_last_bit() -> None:
    embedder = WordEmbedder()
    with replay(TAPE, record=True):
        made = run(embed(embedder, ["leave", "travel"]))
    embedder.embed = None  # type: ignore[assignment, method-assign]  # nobody can ask it any more
    with replay(TAPE):
        again = run(embed(embedder, ["leave", "travel"]))
        assert again.dtype == np.float32 and np.array_equal(made, again)
        again[0, 0] = 7  # it is the caller's
        assert np.array_equal(made, run(embed(embedder, ["leave", "travel"])))
    with pytest.raises(ReplayError, match="embed 'double:words'"), replay(TAPE):
        run(embed(embedder, ["leave"]))


def test_texts_that_are_not_on_record_decide_all_the_same() -> None:
    embedder = WordEmbedder()
    with replay(TAPE, record=True):
        made = run(embed(embedder, ["leave"], shown={"texts": 1}))
    assert "leave" not in TAPE.read_text(encoding="utf-8")
    with replay(TAPE):
        assert np.array_equal(made, run(embed(embedder, ["leave"], shown={"texts": 1})))
    with pytest.raises(ReplayError, match="what the input does not show"), replay(TAPE):
        run(embed(embedder, ["travel"], shown={"texts": 1}))


def test_a_search_is_answered_whatever_the_collection_holds_now() -> None:
    docs = on.Collection.open("handbook", embedder=WordEmbedder())
    docs.add.run([Document("a", "A", "You have 25 days of leave.")], "test")
    with replay(TAPE, record=True) as tape:
        found = docs.search.run("How many days of leave?", k=1)
        assert tape.made == 1
    assert [(each["kind"], each["name"]) for each in calls()] == [("search", "handbook")]
    docs.add.run([Document("b", "B", "Something else.")], "test")
    with replay(TAPE) as tape:
        again = docs.search.run("How many days of leave?", k=1)
        assert not tape.unused
    assert again == found and isinstance(again[0], Passage)
    with pytest.raises(ReplayError) as caught, replay(TAPE):
        docs.search.run("How many days of leave?", k=2)
    assert "input.k\n  recorded  1\n  asked     2" in str(caught.value)
    docs.close()


def test_a_tool_gives_its_typed_value_again() -> None:
    ran = []

    @tool
    async def passage(title: str) -> Passage:
        ran.append(title)
        return Passage("a", title, "text", 0, 4, 0.5)

    with replay(TAPE, record=True):
        made = passage.run("A")
    with replay(TAPE):
        assert passage.run("A") == made and passage.run(title="A") == made
    assert ran == ["A"]


def test_whoever_gets_an_answer_may_change_it() -> None:
    @tool
    def listed() -> list[int]:
        return [1]

    with replay(TAPE, record=True):
        listed.run()
    with replay(TAPE):
        listed.run().append(2)
        assert listed.run() == [1]


def test_of_calls_in_one_another_the_outermost_is_on_the_cassette() -> None:
    model = echo()

    @on.step
    async def between() -> str:
        with suppress(ValueError):
            await failing()
        return (await complete(model, asking("inside"))).text

    @on.step
    async def failing() -> None:
        await complete(model, asking("inside, and failed"))
        raise ValueError

    @tool
    async def asks() -> str:
        return await between()

    with replay(TAPE, record=True) as tape:
        assert asks.run() == "INSIDE"
        ask(model, "outside")
        assert tape.made == 2
    assert [each["kind"] for each in calls()] == ["tool", "model"]
    with replay(TAPE) as tape:
        assert asks.run() == "INSIDE" and ask(Never(), "outside") == "OUTSIDE"
        assert not tape.unused


def test_what_the_cache_answered_is_on_the_cassette() -> None:
    model = echo("an answer")
    ask(cached(model), "hello")
    with replay(TAPE, record=True):
        assert ask(cached(model), "hello") == "an answer"
    assert len(model.requests) == 1
    assert [each["output"]["usage"] for each in calls()] == [{}]
    with replay(TAPE) as tape:
        assert ask(cached(model), "hello") == "an answer"
        assert tape.answered == 1 and not tape.unused


def test_a_replayed_call_is_no_answer_for_the_cache(project: Path) -> None:
    record("hello")
    with replay(TAPE), recording() as seen:
        ask(echo(), "hello")
    replayed = seen.records[0]
    assert replayed.source is not None and (replayed.cost, replayed.usage) == (0, Usage())
    store = Store.open()
    found = store.find(replayed.key, "model", user=None, tenant=None)
    assert found is not None and found.id != replayed.id  # the one that was made


def test_it_works_where_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_RECORD", "false")
    record("hello")
    with replay(TAPE):
        assert ask(Never(), "hello") == "HELLO"


def test_equal_calls_get_their_answers_in_order_and_then_the_last_again() -> None:
    record("again", "again", "again", model=echo("one", "two", "three"))
    with replay(TAPE) as tape:
        assert [ask(Never(), "again") for _ in range(2)] == ["one", "two"]
        assert [line.output["message"]["parts"][0]["text"] for line in tape.unused] == ["three"]
        assert [ask(Never(), "again") for _ in range(3)] == ["three"] * 3
    with replay(TAPE):
        assert ask(Never(), "again") == "one"


def test_gathered_calls_and_threads() -> None:
    texts = [f"question {number}" for number in range(50)]

    async def gathered(model: Any) -> list[str]:
        answers = await asyncio.gather(*(complete(model, asking(text)) for text in texts))
        return [answer.text for answer in answers]

    with replay(TAPE, record=True):
        made = run(gathered(echo()))
    assert questions() == texts
    with replay(TAPE) as tape:
        assert run(gathered(Never())) == made
        answers: list[str] = []

        def work(text: str) -> None:
            with tape.inside():
                answers.append(ask(Never(), text))

        threads = [threading.Thread(target=work, args=(text,)) for text in texts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == sorted(made)
        assert tape.answered == 100 and not tape.unused


# -- versions


def test_another_server_may_have_been_asked() -> None:
    record("hello")
    assert calls()[0]["version"] != Never.version
    with replay(TAPE):
        assert ask(Never(), "hello") == "HELLO"
    with pytest.raises(ReplayError, match="of another model differs in\nname\n"), replay(TAPE):
        ask(Never("scripted:other"), "hello")


def test_of_two_servers_each_has_its_own_answers() -> None:
    here, there = echo("from here"), echo("from there")
    assert here.version != there.version and here.name == there.name
    with replay(TAPE, record=True):
        ask(here, "hello")
        ask(there, "hello")
    with replay(TAPE):
        assert [ask(there, "hello"), ask(here, "hello")] == ["from there", "from here"]
        assert [ask(Never(), "hello") for _ in range(2)] == ["from here", "from there"]


def test_a_tool_whose_code_changed_is_another_call() -> None:
    def lookup(order: int) -> str:
        return "late"

    first = tool(lookup)
    with replay(TAPE, record=True):
        first.run(17)

    def lookup(order: int) -> str:  # type: ignore[no-redef]  # the same tool, on another day
        return "on time"

    second = tool(lookup)
    with pytest.raises(ReplayError, match=r"version \(of the tool's code\)"), replay(TAPE):
        second.run(17)
    with replay(TAPE, record=True) as tape:
        assert second.run(17) == "on time"
        assert tape.made == 1
    with replay(TAPE):
        assert (first.run(17), second.run(17)) == ("late", "on time")


# -- what is not on the cassette


def test_an_unseen_call_is_not_made_and_the_difference_is_shown() -> None:
    record("How many days of leave do I have?", "Who approves travel?")
    model = echo()
    with pytest.raises(ReplayError) as caught, replay(TAPE):
        ask(model, "How many weeks of leave do I have?", temperature=0.5)
    assert model.requests == []
    assert str(caught.value) == (
        "the cassette does not hold this call of model 'scripted:test', and it was not made "
        f"({TAPE.absolute()}). Record it with `pytest --record`, or with replay(…, record=True).\n"
        "The nearest of 2 that it holds of 'scripted:test' differs in\n"
        "input.messages[0].parts[0].text\n"
        '  recorded  "How many days of leave do I have?"\n'
        '  asked     "How many weeks of leave do I have?"\n'
        "input.parameters.temperature\n"
        "  recorded  (not there)\n"
        "  asked     0.5"
    )


def test_a_cassette_without_such_calls_says_what_was_asked() -> None:
    with replay(TAPE, record=True):
        pass
    with pytest.raises(ReplayError, match=r"no model call at all") as caught, replay(TAPE):
        ask(echo(), "hello\x1b[2J\u202e")
    assert '"text": "hello' in str(caught.value)
    assert all(line.isprintable() for line in str(caught.value).split("\n"))


def test_an_unseen_call_that_the_code_swallowed_is_raised_at_the_end() -> None:
    record("known")

    def swallowing() -> None:
        with suppress(Exception):
            ask(Never(), "unknown")

    with pytest.raises(ReplayError, match="unknown"), replay(TAPE):
        swallowing()
    with pytest.raises(ValueError, match="of its own") as caught, replay(TAPE):
        swallowing()
        raise ValueError("of its own")
    assert "does not hold this call" in caught.value.__notes__[0]
    with replay(TAPE) as tape:
        swallowing()
        tape.cut_short()


def test_it_cannot_be_used_where_it_would_do_nothing() -> None:
    # A decorated coroutine function would run after the block, and reach the network.
    with pytest.raises(TypeError):
        replay(TAPE)(lambda: None)  # type: ignore[operator]  # that is the point
    with pytest.raises(UsageError, match="add what is new"):
        replay(TAPE, record="new")  # type: ignore[arg-type]  # a mistake


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such cassette"),
        ("", "the cassette is empty"),
        (" \n\n", "the cassette is empty"),
        ("hello", "line 1 of the cassette is not JSON"),
        ("[]\n{}\n", "this is no cassette"),
        (b"\xff\xfe\x00", "it is not text"),
        ('{"cassette": 2, "salt": ""}', "by a newer Onrecord"),
        ('{"cassette": "one", "salt": ""}', "there is no format 'one'"),
        ('{"cassette": 1}', "the cassette's header cannot be read"),
        ('{"cassette": 1, "salt": "s"}\n<<<<<<< HEAD\n', "line 2 of the cassette is not JSON"),
        ('{"cassette": 1, "salt": "s"}\n{"kind": "model"', "line 2 of the cassette is not JSON"),
        ('{"cassette": 1, "salt": "s"}\n\n{"kind": "model"}', "line 3"),
        ('{"cassette": 1, "salt": "s"}\n{"kind": "flow", "name": "", "input": 1}', "line 2"),
        ('{"cassette": 1, "salt": "s"}\n7', "line 2"),
        ('{"cassette": 1, "salt": "s"}\n{"kind":"embed","name":"","input":1}', "`vectors`"),
        (
            '{"cassette": 1, "salt": "s"}\n{"kind":"embed","name":"","input":1,'
            '"vectors":{"shape":[1,2],"float32":"AAAA"}}',
            "line 2",
        ),
        ('{"cassette": 1, "salt": "s"}\n' + "[" * 100_000, "line 2"),
    ],
)
def test_a_file_that_is_no_cassette(content: str | bytes | None, said: str) -> None:
    if content is not None:
        TAPE.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ReplayError) as caught, replay(TAPE):
        pytest.fail("it was opened")
    assert said in str(caught.value) and str(TAPE.absolute()) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"kind":"model","name":"openai:m","input":1,"output":"25 days"}', "of a model call"),
        ('{"kind":"model","name":"openai:m","input":1}', "of a model call"),
        (
            '{"kind":"model","name":"openai:m","input":1,"output":{"model":"m","message":'
            '{"role":"assistant","parts":5}}}',
            "Expected `array`, got `int` - at `$.message.parts`",
        ),
        ('{"kind":"search","name":"handbook","input":1,"output":[]}', "of a search call"),
        (
            '{"kind":"search","name":"handbook","input":1,"output":{"strategy":{},'
            '"passages":[{"title":5}]}}',
            "$.passages[0]",
        ),
        ('{"kind":"model","name":5,"input":1,"output":{}}', "Expected `str`, got `int`"),
    ],
)
def test_an_output_of_a_wrong_type_is_told_with_its_line(line: str, said: str) -> None:
    TAPE.write_text('{"cassette": 1, "salt": "s"}\n' + line + "\n")
    with pytest.raises(ReplayError) as caught, replay(TAPE):
        pytest.fail("it was opened")
    message = str(caught.value)
    assert said in message and f"{TAPE.absolute()}, line 2" in message
    assert "Mend or delete the line" in message


@pytest.mark.parametrize("path", [None, 5, ["a"], {"path": "a"}, object()])
def test_what_is_no_path_is_refused_in_a_sentence(path: Any) -> None:
    with pytest.raises(UsageError, match="a cassette is named by its path, not by"):
        replay(path)


@pytest.mark.parametrize("mode", [None, 1, "", [], np.zeros(2)])
def test_what_is_no_way_to_record_is_refused_in_a_sentence(mode: Any) -> None:
    with pytest.raises(UsageError, match="there is no way to record called"):
        replay(TAPE, record=mode)


@pytest.mark.parametrize("mode", [False, True, "all"])
def test_a_folder_is_no_cassette(mode: Any) -> None:
    with pytest.raises(UsageError, match="this is a folder"), replay(Path(), record=mode):
        pytest.fail("it was opened")


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_other_file_is_refused_in_words(content: bytes, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "tape.jsonl"
    path.write_bytes(content)
    with pytest.raises(ReplayError):
        Cassette.read(path)


# -- recording


def test_what_is_new_is_added_and_nothing_else_changes() -> None:
    record("one", "two")
    change(lambda text: text.replace('"kind": ', '"kind":   ').replace("ONE", "EINS"))
    before = TAPE.read_text(encoding="utf-8")
    model = echo()
    with replay(TAPE, record=True) as tape:
        assert ask(model, "one") == "EINS"
        assert ask(model, "three") == "THREE"
        assert (tape.made, tape.answered, len(tape.unused)) == (1, 1, 1)
    assert [each.messages[0].text for each in model.requests] == ["three"]
    after = TAPE.read_text(encoding="utf-8")
    assert after.startswith(before) and questions() == ["one", "two", "three"]
    stamp = TAPE.stat()
    record("one", "two", "three")
    assert TAPE.stat().st_mtime_ns == stamp.st_mtime_ns and TAPE.stat().st_ino == stamp.st_ino


def test_a_new_call_is_made_every_time_it_is_asked() -> None:
    record("again", "again", model=echo("one", "two"))
    with replay(TAPE):
        assert [ask(Never(), "again") for _ in range(2)] == ["one", "two"]


def test_all_is_made_anew_and_what_is_stale_is_gone() -> None:
    record("one", "two", "three")
    before = TAPE.read_text(encoding="utf-8").splitlines()
    with replay(TAPE, record="all") as tape:
        for text in ("new", "three", "one"):
            ask(Never() if text == "-" else echo(), text)
        assert (tape.made, tape.answered, tape.unused) == (3, 0, ())
    after = TAPE.read_text(encoding="utf-8").splitlines()
    assert questions() == ["one", "three", "new"]
    assert after[:3] == [before[0], before[1], before[3]]  # equal answers are equal lines


def test_recording_the_same_gives_the_same_file() -> None:
    record("one", "two")
    before = TAPE.read_bytes()
    record("one", "two", mode="all")
    assert TAPE.read_bytes() == before
    with recording() as seen:
        record("one", mode="all", path=Path("other.jsonl"))
    text = Path("other.jsonl").read_text(encoding="utf-8")
    (made,) = seen.records
    assert not any(part in text for part in (made.id, made.run, str(made.started_ns)))


def test_all_replaces_a_file_that_cannot_be_read() -> None:
    TAPE.write_text("<<<<<<< HEAD", encoding="utf-8")
    with pytest.raises(ReplayError):
        record("one")
    record("one", mode="all")
    assert questions() == ["one"]


@pytest.mark.parametrize("mode", [True, "all"])
def test_a_block_that_fails_loses_nothing(mode: Any) -> None:
    record("one", "two")
    with pytest.raises(ZeroDivisionError), replay(TAPE, record=mode):
        ask(echo(), "three")
        raise ZeroDivisionError
    assert questions() == ["one", "two", "three"]
    assert sorted(path.name for path in Path().iterdir()) == [".onrecord", "tape.jsonl"]


def test_a_cassette_that_cannot_be_written() -> None:
    Path("file").write_text("", encoding="utf-8")
    path = Path("file") / "tape.jsonl"
    with pytest.raises(StorageError, match="cannot be written"), replay(path, record=True):
        ask(echo(), "one")
    with pytest.raises(ZeroDivisionError) as caught, replay(path, record=True):
        raise ZeroDivisionError
    assert "cannot be written" in caught.value.__notes__[0]


def test_a_link_stays_a_link_and_a_mode_a_mode() -> None:
    record("one")
    TAPE.chmod(0o640)
    Path("link.jsonl").symlink_to(TAPE)
    record("two", path=Path("link.jsonl"))
    assert questions() == ["one", "two"] and TAPE.stat().st_mode & 0o777 == 0o640
    assert Path("link.jsonl").is_symlink()


RECORDER = """
import sys
from onrecord.calling import run
from onrecord.messages import text_message
from onrecord.models.calling import complete
from onrecord.models.model import Request
from onrecord.models.scripted import Scripted
from onrecord.records.replay import replay

model = Scripted(lambda request: request.messages[-1].text.upper())
for number in range(5):
    with replay("tape.jsonl", record=True):
        for text in ("shared", f"{sys.argv[1]} {number}"):
            run(complete(model, Request((text_message("user", text),))))
"""


def test_processes_record_one_cassette_together() -> None:
    processes = [subprocess.Popen([sys.executable, "-c", RECORDER, str(name)]) for name in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    own = {f"{name} {number}" for name in range(4) for number in range(5)}
    assert sorted(questions()) == sorted({*own, "shared"})
    with replay(TAPE) as tape:
        for text in (*own, "shared"):
            assert ask(Never(), text) == text.upper()
        assert not tape.unused


def test_two_that_make_it_anew_at_once_keep_what_the_other_made() -> None:
    record("stale")
    with replay(TAPE, record="all"):
        ask(echo(), "mine")
        record("theirs", mode="all")
    assert sorted(questions()) == ["mine", "theirs"]


def test_two_that_begin_it_at_once_share_its_salt() -> None:
    with replay(TAPE, record=True):
        ask(echo(), "mine")
        record("theirs")
    heads = [line for line in TAPE.read_text(encoding="utf-8").splitlines() if "salt" in line]
    assert len(heads) == 1 and sorted(questions()) == ["mine", "theirs"]


# -- calls that fail


def test_a_call_that_failed_fails_again() -> None:
    down = ModelUnavailableError("no connection", where="server", cure="Start it.")
    model = echo(down, "at last")

    def with_retry(model: Any) -> str:
        with suppress(ModelUnavailableError):
            return ask(model, "hello")
        return ask(model, "hello")

    with replay(TAPE, record=True):
        assert with_retry(model) == "at last"
    with replay(TAPE) as tape:
        with pytest.raises(ModelUnavailableError) as caught:
            ask(Never(), "hello")
        assert str(caught.value) == str(down)
        assert ask(Never(), "hello") == "at last"
        assert not tape.unused
    with replay(TAPE):
        assert with_retry(Never()) == "at last"


class Peculiar(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(one + two)


class NoSuchOrder(Exception):
    pass


@pytest.mark.parametrize(
    "error", [ValueError("no\nsuch: order"), KeyError("order"), NoSuchOrder("17"), TimeoutError()]
)
def test_errors_of_every_class_fail_again(error: Exception) -> None:
    @tool
    async def fails() -> None:
        raise error

    for mode in (True, False):
        with replay(TAPE, record=mode) as tape, pytest.raises(type(error)) as caught:
            fails.run()
        assert str(caught.value) == str(error)
    assert tape.answered == 1


def test_an_error_that_cannot_be_made_again_says_so() -> None:
    @tool
    async def fails() -> None:
        raise Peculiar(1, 2)

    with replay(TAPE, record=True), pytest.raises(Peculiar):
        fails.run()
    with replay(TAPE), pytest.raises(ReplayError, match="failed when it was recorded, with 'Pec"):
        fails.run()


def test_what_failed_in_a_block_that_failed_is_not_recorded() -> None:
    with pytest.raises(ModelError), replay(TAPE, record=True):
        model = echo("one", ModelUnavailableError("no connection"))
        ask(model, "one")
        ask(model, "two")
    assert questions() == ["one"]


def test_a_call_that_was_cancelled_is_not_recorded() -> None:
    @tool
    async def waits() -> None:
        await asyncio.Event().wait()

    async def gives_up() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(waits(), 0.01)

    with replay(TAPE, record=True) as tape:
        run(gives_up())
        assert tape.made == 0
    assert calls() == []


# -- a file for people


def test_a_line_can_be_read() -> None:
    record("Grüß Gott", model=echo("25 Tage\u202e"))
    header, line = TAPE.read_text(encoding="utf-8").splitlines()
    assert json.loads(header)["cassette"] == 1
    asked = json.dumps(msgspec.to_builtins(asking("Grüß Gott")), ensure_ascii=False)
    assert '"text": "Grüß Gott"' in asked
    assert line == (
        f'{{"kind": "model", "name": "scripted:test", "input": {asked}, '
        '"output": {"message": {"role": "assistant", "parts": [{"type": "text", '
        '"text": "25 Tage\\u202e"}]}, "model": "scripted:test", "usage": {"input": 2, "output": 2},'
        ' "finish": "stop", "cost": 0}, "version": "' + calls()[0]["version"] + '"}'
    )
    with replay(TAPE):
        assert ask(Never(), "Grüß Gott") == "25 Tage\u202e"


def shuffled(text: str) -> str:
    header, *lines = text.splitlines()
    return "\n".join([*reversed(lines), header])


def laid_out(text: str) -> str:
    values = (json.loads(line) for line in text.splitlines())
    return "\r\n\r\n".join(json.dumps(value, indent=4, sort_keys=True) for value in values)


def compact(text: str) -> str:
    values = (json.loads(line) for line in text.splitlines())
    joined = "\n".join(json.dumps(value, separators=(",", ":")) for value in values)
    return "\ufeff" + joined.replace("1.0", "1")


@pytest.mark.parametrize("edit", [shuffled, laid_out, compact])
def test_a_cassette_edited_by_hand_still_answers(edit: Callable[[str], str]) -> None:
    with replay(TAPE, record=True):
        for text in ("one", "two"):
            ask(echo(), text, temperature=1.0, top_p=0.5, seed=2**60)
    change(edit)
    with replay(TAPE, record=True) as tape:
        for text in ("one", "two"):
            assert ask(Never(), text, temperature=1.0, top_p=0.5, seed=2**60) == text.upper()
        assert not tape.unused
        ask(echo(), "three")
    with replay(TAPE):
        assert ask(Never(), "three") == "THREE"


def test_an_edited_question_is_the_one_that_is_answered() -> None:
    record("How many days?")
    change(lambda text: text.replace("How many days?", "How many weeks?"))
    with replay(TAPE):
        assert ask(Never(), "How many weeks?") == "HOW MANY DAYS?"
    with pytest.raises(ReplayError), replay(TAPE):
        ask(Never(), "How many days?")


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(input=PLAIN, output=PLAIN)
def test_any_value_comes_back(input: Any, output: Any, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "tape.jsonl"

    def asked(give: bool) -> Any:
        with call("tool", "any", input) as this:
            if (known := this.recall()) is not None:
                return known.output
            assert give
            this.output = output
            return output

    with replay(path, record=True):
        asked(True)
    with replay(path):
        again = asked(False)
    assert again == output


# -- a real server


class Api(BaseHTTPRequestHandler):
    """The OpenAI protocol, as much of it as is asked here."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/embeddings"):
            data = [{"index": i, "embedding": [0.6, 0.8]} for i, _ in enumerate(body["input"])]
            self._send("application/json", json.dumps({"data": data, "usage": {}}))
            return
        text = f"You said: {body['messages'][-1]['content']}"
        events = [
            {"choices": [{"index": 0, "delta": {"content": word}}]} for word in text.split(" ")
        ]
        usage = {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 5}}
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        lines = [f"data: {json.dumps(event)}\n\n" for event in (*events, end, usage)]
        self._send("text/event-stream", "".join([*lines, "data: [DONE]\n\n"]))

    def _send(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def test_what_a_server_said_is_answered_when_it_is_gone() -> None:
    def both(url: str) -> tuple[Any, Any]:
        model = OpenAIModel("m", base_url=url, key=KEY)
        embedder = OpenAIEmbedder("e", base_url=url, key=KEY)
        vectors = run(embed(embedder, ["a", "b"]))
        return run(complete(model, asking("hello there"))).text, vectors.tolist()

    with serving() as url, replay(TAPE, record=True):
        made = both(url)
    assert made[0] == "Yousaid:hellothere"
    assert KEY not in TAPE.read_text(encoding="utf-8")
    with replay(TAPE) as tape:
        assert both(url) == made  # nobody is there any more
        assert both("http://model.invalid/v1") == made
        assert not tape.unused
    assert calls()[0]["output"] == {"shape": [2, 2]}
    assert calls()[1]["output"]["usage"] == {"input": 12, "output": 5}


# -- secrets

KEY = "sk-proj-" + "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z"
CARD = "4111 1111 1111 1111"
IBAN = "DE89370400440532013000"


def parrot() -> Scripted:
    return Scripted(lambda request: request.messages[-1].text)


def test_secrets_are_not_on_the_cassette_and_it_answers_all_the_same() -> None:
    first, second = f"Is {CARD} valid, {KEY}?", f"Is {IBAN} valid?"
    with replay(TAPE, record=True):
        assert [ask(parrot(), text) for text in (first, second)] == [first, second]
    text = TAPE.read_text(encoding="utf-8")
    assert text.count("valid") == 4
    assert not any(secret in text for secret in (CARD, KEY, IBAN))
    with replay(TAPE) as tape:
        one, two = ask(Never(), first), ask(Never(), second)
        assert one != two and "valid" in one and KEY not in one
        assert not tape.unused
    with pytest.raises(ReplayError) as caught, replay(TAPE):
        ask(Never(), f"Is {CARD} valid, {KEY[:-2]}aa?")
    assert CARD not in str(caught.value) and KEY[:-2] not in str(caught.value)


def test_an_answer_without_its_secret_may_be_asked_about() -> None:
    model = echo(f"The key is {KEY}.", "I know that one.")

    def chained(model: Any) -> str:
        return ask(model, f"Who has it? {ask(model, 'Which key?')}")

    with replay(TAPE, record=True):
        made = chained(model)
    with replay(TAPE):
        assert chained(Never()) == made


def test_equal_secrets_stay_equal_when_two_begin_a_cassette_at_once() -> None:
    with replay(TAPE, record=True):
        ask(parrot(), f"mine {KEY}")
        record(f"theirs {KEY}", model=parrot())
    mine, theirs = sorted(questions())
    assert mine.removeprefix("mine ") == theirs.removeprefix("theirs ") != KEY
    with replay(TAPE):
        ask(Never(), f"mine {KEY}")
        ask(Never(), f"theirs {KEY}")


def test_rules_that_came_later_do_not_spoil_it() -> None:
    record("Write to ada@example.com.", model=echo("Done."))
    assert "ada@example.com" in TAPE.read_text(encoding="utf-8")
    rules = '["fields", "keys", "cards", "ibans", "emails"]'
    Path("onrecord.toml").write_text(f"redact = {rules}\n", encoding="utf-8")
    with replay(TAPE):
        assert ask(Never(), "Write to ada@example.com.") == "Done."
    record("Write to ada@example.com.", model=parrot(), path=Path("strict.jsonl"))
    assert "ada@example.com" not in Path("strict.jsonl").read_text(encoding="utf-8")
    record("Write to ada@example.com.", model=Never())  # nothing is new, and something is removed
    assert "ada@example.com" not in TAPE.read_text(encoding="utf-8")
    Path("onrecord.toml").unlink()
    for path in (TAPE, "strict.jsonl"):
        with replay(path):
            ask(Never(), "Write to ada@example.com.")


def test_secrets_in_fields_and_errors_are_removed() -> None:
    @tool
    async def login(user: str, password: str) -> dict[str, str]:
        if user == "nobody":
            raise ValueError(f"refused: {KEY}")
        return {"user": user, "api_key": "not-so-secret"}

    def both() -> None:
        login.run("ada", "correct horse")
        with suppress(ValueError):
            login.run("nobody", "battery staple")

    with replay(TAPE, record=True):
        both()
    with replay(TAPE) as tape:
        both()
        assert not tape.unused
    text = TAPE.read_text(encoding="utf-8")
    assert not any(each in text for each in ("correct horse", "battery", "not-so-secret", KEY))


def test_a_cassette_names_no_code_to_run() -> None:
    TAPE.write_text(
        '{"cassette": 1, "salt": "s", "redact": ["antigravity:geohash", "phones", "of tomorrow"]}',
        encoding="utf-8",
    )
    assert Cassette.read(TAPE).rules == ("cards", "fields", "ibans", "keys", "phones")


# -- pytest


SUITE = """
import pytest
from onrecord.calling import run
from onrecord.models.calling import complete
from onrecord.models.model import Request
from onrecord.messages import text_message
from onrecord.models.scripted import Scripted

asked = Scripted(lambda request: open("asked.txt", "a").write("x") and "yes")


def request(text):
    return Request((text_message("user", text),))


def ask(text):
    return run(complete(asked, request(text))).text


@pytest.mark.parametrize("word", ["one", "a/b", "a-b"])
def test_words(cassette, word):
    assert ask(word) == "yes"
    assert not cassette.unused


class TestShared:
    @pytest.mark.cassette("shared.jsonl")
    def test_one(self):
        ask("one of two")

    @pytest.mark.cassette("shared.jsonl")
    def test_other(self, cassette):
        ask("other of two")


async def test_asynchronous(cassette):
    assert (await complete(asked, request("waited for"))).text == "yes"
"""


# What runs asynchronous tests may do so in a context of its own.
RUNNER = """
import asyncio, contextvars, inspect


def pytest_pyfunc_call(pyfuncitem):
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        names = inspect.signature(pyfuncitem.obj).parameters
        test = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
        contextvars.Context().run(asyncio.run, test)
        return True
"""


def suite(*arguments: str) -> tuple[dict[str, int], str]:
    without = [f"-pno:{plugin}" for plugin in ("cacheprovider", "hypothesispytest", "anyio")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *without, *arguments],
        capture_output=True,
        text=True,
    )
    summary = done.stdout.strip().splitlines()[-1].split(" in ")[0].split(", ")
    return {word: int(number) for number, word in map(str.split, summary)}, done.stdout


def made() -> int:
    path = Path("asked.txt")
    number = len(path.read_text(encoding="utf-8")) if path.exists() else 0
    path.unlink(missing_ok=True)
    return number


def test_the_fixture() -> None:
    Path("test_suite.py").write_text(SUITE, encoding="utf-8")
    Path("conftest.py").write_text(RUNNER, encoding="utf-8")
    counts, output = suite()
    assert counts == {"errors": 6} and made() == 0
    assert "there is no such cassette" in output and "Traceback" not in output
    assert "replay.py" not in output
    assert suite("--record", "test_suite.py")[0] == {"passed": 6} and made() == 6
    folder = Path("cassettes")
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jsonl"))
    assert names[0] == "shared.jsonl" and "test_suite/test_words-one.jsonl" in names
    assert "test_suite/test_asynchronous.jsonl" in names and len(names) == 5
    assert sorted(questions(folder / "shared.jsonl")) == ["one of two", "other of two"]
    before = {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.jsonl")}
    assert suite("--strict-markers")[0] == {"passed": 6} and made() == 0
    assert suite("--record=all")[0] == {"passed": 6} and made() == 6
    assert {path: path.read_text(encoding="utf-8") for path in before} == before


FAILING = (
    SUITE
    + """

def test_failing(cassette):
    ask("new")
    assert "--" in ask("newer"), "of its own"


def test_swallowing(cassette):
    try:
        ask("unknown")
    except Exception:
        pass
"""
)


def test_a_plugin_that_has_the_name_of_the_option_keeps_it() -> None:
    Path("test_suite.py").write_text("def test_plain(): pass", encoding="utf-8")
    Path("earlier.py").write_text(
        "def pytest_addoption(parser): parser.addoption('--record')", encoding="utf-8"
    )
    assert suite("-p", "earlier", "--record", "theirs")[0] == {"passed": 1}


def test_the_fixture_of_a_test_that_fails() -> None:
    Path("test_suite.py").write_text(FAILING, encoding="utf-8")
    tape = Path("cassettes/test_suite/test_failing.jsonl")
    assert suite("--record", "-k", "failing")[0] == {"failed": 1, "deselected": 7}
    assert questions(tape) == ["new", "newer"]
    assert suite("--record", "-k", "swallowing")[0] == {"passed": 1, "deselected": 7}
    Path("cassettes/test_suite/test_swallowing.jsonl").write_text(
        tape.read_text(encoding="utf-8"), encoding="utf-8"
    )
    change_all = FAILING.replace('ask("newer")', 'ask("newest")')
    Path("test_suite.py").write_text(change_all, encoding="utf-8")
    counts, output = suite("-k", "failing or swallowing")
    # One error of the test's own, told once; and one that the code had swallowed.
    assert counts == {"failed": 1, "passed": 1, "deselected": 6, "error": 1}
    assert '"newest"' in output and '"unknown"' in output
    assert suite("--record=all", "-k", "failing")[0] == {"failed": 1, "deselected": 7}
    assert questions(tape) == ["new", "newer", "newest"]


def test_a_prompt_with_random_fences_is_replayed() -> None:
    model = on.Scripted("A short mail.")

    @on.prompt(model=model, untrusted="mail")
    async def sum_up(mail: str) -> str:
        """Sum up."""

    with replay(TAPE, record=True):
        assert sum_up.run("Where is my parcel?") == "A short mail."
    fence = model.requests[0].fences[0]
    assert fence in model.requests[0].messages[-1].text
    assert fence not in Path(TAPE).read_text()
    with replay(TAPE):
        assert sum_up.run("Where is my parcel?") == "A short mail."
    assert len(model.requests) == 1


def test_what_is_not_a_number_comes_back() -> None:
    with replay(TAPE, record=True), call("tool", "half", "x") as this:
        this.recall()
        this.output = [1.5, float("nan")]
    with replay(TAPE), call("tool", "half", "x") as this:
        known = this.recall()
    assert known is not None and str(known.output) == "[1.5, nan]"
