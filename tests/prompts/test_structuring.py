"""The ways to a typed answer: every type in every way, what is refused, what is remembered."""

import dataclasses
import datetime
import enum
import json
from pathlib import Path
from typing import Any, Literal, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onrecord as on
from onrecord.errors import ModelRefusedError, OutputError, PromptError
from onrecord.messages import (
    Cited,
    Completion,
    Message,
    Passage,
    Result,
    Text,
    ToolCall,
    ToolResult,
)
from onrecord.models.model import Request, structures
from onrecord.models.scripted import Scripted
from onrecord.models.wrappers.cached import cached
from onrecord.prompts import structuring
from onrecord.prompts.prompt import prompt
from onrecord.prompts.structured import output_of
from onrecord.prompts.structuring import refuses


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONRECORD_RECORD", "false")
    monkeypatch.setattr(structuring, "_refused", {})


class Order(pydantic.BaseModel):
    id: int
    title: str


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class Item(msgspec.Struct):
    name: str
    on: datetime.date


class Row(TypedDict):
    a: int


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


CITED = {"answer": "25", "quotes": ["25 days"], "refused": False, "reason": ""}
PASSAGES = [Passage("a", "A", "You have 25 days.", 0, 17, 1.0)]
TYPES = [
    (Order, {"id": 1, "title": "t"}, Order(id=1, title="t")),
    (Point, {"x": 1, "y": 2}, Point(1, 2)),
    (Item, {"name": "n", "on": "2026-01-02"}, Item("n", datetime.date(2026, 1, 2))),
    (Row, {"a": 1}, {"a": 1}),
    (Colour, {"value": "red"}, Colour.RED),
    (Literal["yes", "no"], {"value": "no"}, "no"),
    (list[Order], {"value": [{"id": 1, "title": "t"}]}, [Order(id=1, title="t")]),
    (tuple[int, str], {"value": [1, "a"]}, (1, "a")),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (Order | None, {"value": None}, None),
    (int, {"value": 3}, 3),
    (Cited[str], CITED, "25"),
    (Cited[Point], {**CITED, "answer": {"x": 1, "y": 2}}, Point(1, 2)),
]
WAYS = ["schema", "tool", "prompted"]


class Held:
    """A model that can be held to a form in some ways only, and answers in the one it is asked."""

    version = "1"

    def __init__(self, *replies, ways=("schema", "tool", "prompted"), able=None, name="test:held"):
        self.name = name
        self.structures = ways
        self.able = ways if able is None else able
        self.replies = list(replies)
        self.requests: list[Request] = []

    async def stream(self, request):
        self.requests.append(request)
        way = "schema" if request.schema else "tool" if request.tools else "prompted"
        if way not in self.able and request.structure:
            what = {"schema": "response_format is not known", "tool": "it does not support tools"}
            raise ModelRefusedError(f"the server refused the request: {what[way]}")
        reply = self.replies.pop(0)
        text = reply if isinstance(reply, str) else json.dumps(reply)
        part = ToolCall("call_1", "answer", text) if way == "tool" else Text(text)
        yield Completion(Message("assistant", (part,)), self.name)


def typed(annotation):
    @prompt
    async def asked(question: str, passages: list[Passage]):
        """Answer."""

    asked.__wrapped__.__annotations__["return"] = annotation
    return asked


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("type_", "wire", "value"), TYPES)
def test_every_type_comes_back_in_every_way(type_, wire, value, way):
    model = Held(wire, ways=(way,))
    found = typed(type_).using(model).run("How many?", PASSAGES)
    (request,) = model.requests
    if isinstance(found, Cited):
        assert [each.quote for each in found.citations] == ["25 days"]
        found = found.value
    assert found == value and type(found) is type(value)
    assert request.structure == way
    assert (request.schema is not None) == (way == "schema")
    if way == "tool":
        (tool,) = request.tools
        assert (tool.name, request.tool_choice) == ("answer", "answer")
        assert tool.parameters == output_of(type_).schema
        assert "calling the tool `answer`" in request.messages[0].text
    else:
        assert (request.tools, request.tool_choice) == ((), "auto")
        assert "fits this JSON schema" in request.messages[0].text


def test_quotations_are_asked_for_in_every_way():
    for way in WAYS:
        model = Held(CITED, ways=(way,))
        typed(Cited[str]).using(model).run("?", PASSAGES)
        assert 'Under "quotes", copy word for word' in model.requests[0].messages[0].text


def test_what_is_rendered_is_what_a_model_object_is_sent_first():
    for way in WAYS:
        model = Held({"value": 1}, ways=(way,))
        asked = typed(int).using(model)
        assert asked.render("?", []) == (asked.run("?", []), model.requests[0].messages)[1]


def test_a_refused_way_leads_to_the_next_and_is_not_tried_again():
    model = Held({"value": 1}, {"value": 2}, {"id": 1, "title": "t"}, able=("prompted",))
    asked = typed(int).using(model)
    with on.recording() as run:
        assert asked.run("?", []) == 1
    attempts = [record for record in run.records if record.kind == "model"]
    assert [record.input["structure"] for record in attempts] == WAYS
    assert [record.state for record in attempts] == ["failed", "failed", "done"]
    assert "response_format is not known" in attempts[0].error
    with on.recording() as run:
        assert asked.run("!", []) == 2
    assert [each.input["structure"] for each in run.records if each.kind == "model"] == ["prompted"]
    # Another schema may be one that the server takes.
    typed(Order).using(model).run("?", [])
    assert [request.structure for request in model.requests[-3:]] == WAYS


def test_the_last_way_is_tried_even_where_all_were_refused():
    model = Held({"value": 1}, ways=("schema", "tool"), able=())
    asked = typed(int).using(model)
    for _ in range(2):
        with pytest.raises(ModelRefusedError, match="does not support tools"):
            asked.run("?", [])
    assert [request.structure for request in model.requests] == ["schema", "tool", "tool"]


@pytest.mark.parametrize(
    ("what", "ways"),
    [
        ("the server does not accept the key", []),
        ("the quota of this key is used up", []),
        ("the server has no such model or address: The model 'gpt-json' does not exist", []),
        ("status 400: Invalid schema for response_format 'answer'", ["schema", "tool"]),
        ("status 400: 'x' does not support tools", ["tool"]),
        ("status 400: Failed to parse grammar", ["schema"]),
        ("status 400: output_config.format: Extra inputs are not permitted", ["schema"]),
        ("status 400: unknown field tool_choice", ["tool"]),
    ],
)
def test_only_a_refusal_of_the_way_leads_on(what, ways):
    assert [way for way in WAYS if refuses(way, ModelRefusedError(what))] == ways


def test_another_refusal_is_raised_at_once():
    model = Scripted([ModelRefusedError("the server does not accept the key"), "1"])
    with pytest.raises(ModelRefusedError, match="the key"):
        typed(int).using(model).run("?", [])
    assert len(model.requests) == 1


def test_a_tool_call_that_does_not_fit_is_answered_as_one():
    model = Held({"value": "many"}, {"value": 3}, ways=("tool",))
    assert typed(int).using(model).run("?", []) == 3
    said, result = model.requests[1].messages[-2:]
    assert said.parts[0] == ToolCall("call_1", "answer", '{"value": "many"}')
    (part,) = result.parts
    assert result.role == "tool" and isinstance(part, ToolResult)
    assert (part.id, part.failed) == ("call_1", True) and "valid integer" in part.text


@pytest.mark.parametrize(
    "parts",
    [
        (Text('{"value": 3}'),),
        (Text("Here it is:"), ToolCall("1", "answer", '{"value": 3}')),
        (ToolCall("0", "other", "{}"), ToolCall("1", "answer", '{"value": 3}')),
        (ToolCall("1", "answer", '```json\n{"value": 3}\n```'),),
    ],
)
def test_a_model_that_is_to_call_a_tool_may_answer_in_words(parts):
    model = Scripted(Completion(Message("assistant", parts), "scripted:test"))
    model.structures = ("tool",)
    assert typed(int).using(model).run("?", []) == 3


def test_arguments_cut_off_are_said_to_be():
    cut = Completion(
        Message("assistant", (ToolCall("1", "answer", '{"value":'),)), "m", finish="length"
    )
    model = Scripted([cut, cut])
    model.structures = ("tool",)
    with pytest.raises(OutputError, match="cut off at the limit of tokens"):
        typed(int).using(model).run("?", [])
    empty = Completion(Message("assistant", (ToolCall("1", "answer", ""),)), "m", finish="length")
    model = Scripted([empty])
    model.structures = ("tool",)
    with pytest.raises(OutputError, match="Raise max_tokens"):
        typed(int).using(model).run("?", [])


def test_what_models_can_do():
    assert structures(Scripted("x")) == ("schema", "tool", "prompted")
    assert structures(Held()) == ("schema", "tool", "prompted")
    assert structures(cached(Held())) == ("schema", "tool", "prompted")

    class Bare:
        name, version = "bare", "1"

        async def stream(self, request):
            yield request

    assert structures(Bare()) == ("schema", "prompted")  # it says nothing

    class Two:
        name, version = "two", "1"

        def __init__(self, *wrapped):
            self.wrapped = wrapped

        async def stream(self, request):
            yield request

    assert structures(Two(Held(), Bare())) == ("schema", "prompted")
    assert structures(Two(Held(ways=("tool",)), Held(ways=("schema",)))) == ("prompted",)


def test_text_is_asked_for_in_no_way():
    model = Held("Twenty-five.")
    assert typed(str).using(model).run("?", []) == "Twenty-five."
    (request,) = model.requests
    assert (request.structure, request.schema, request.tools) == (None, None, ())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.text() | JSON.map(json.dumps), st.sampled_from(WAYS), st.sampled_from([t for t, *_ in TYPES])
)
@settings(deadline=None, max_examples=60)
def test_any_answer_is_a_value_or_an_output_error(text, way, type_):
    model = Held(text, text, ways=(way,))
    events: list[Any] = []
    try:
        events.extend(typed(type_).using(model).stream("?", PASSAGES))
    except OutputError as error:
        assert "does not fit" in str(error)
    else:
        assert isinstance(events[-1], Result)


# -- reasoning


THOUGHT = "Twenty plus five."
REASONED = [
    (int, {"reasoning": THOUGHT, "answer": 25}, 25),
    (Order, {"reasoning": THOUGHT, "answer": {"id": 1, "title": "t"}}, Order(id=1, title="t")),
    (Cited[str], {"reasoning": THOUGHT, **CITED}, "25"),
    (str, f"<reasoning>{THOUGHT}</reasoning>\n\nTwenty-five.", "Twenty-five."),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("type_", "wire", "value"), REASONED)
def test_reasoning_is_kept_apart_from_the_answer(type_, wire, value, way):
    asked = typed(type_)
    asked._reasoning = True
    model = Held(wire, ways=(way,))
    with on.recording() as run:
        found = asked.using(model).run("?", PASSAGES)
    assert (found.value if isinstance(found, Cited) else found) == value
    step = run.records[-1]
    assert step.kind == "step" and THOUGHT not in json.dumps(msgspec.to_builtins(step.output))
    assert THOUGHT in json.dumps(msgspec.to_builtins(run.records[0].output))
    (request,) = model.requests
    assert "Think first" in request.messages[0].text
    schema = request.schema or (request.tools and request.tools[0].parameters)
    if schema:
        assert next(iter(schema["properties"])) == "reasoning" == schema["required"][0]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("I think 25.", "The reasoning is not between <reasoning> and </reasoning>."),
        ("<reasoning>So", "The reasoning is not between"),
        ("<reasoning>So</reasoning> \n", "There is no answer behind </reasoning>."),
    ],
)
def test_text_whose_reasoning_cannot_be_told_apart_goes_back(answer, words):
    @prompt(reasoning=True)
    async def asked(question: str) -> str:
        """Answer."""

    model = Scripted([answer, "<reasoning>So.</reasoning>25"])
    assert asked.using(model).run("?") == "25"
    assert words in model.requests[1].messages[-1].text


def test_a_structured_answer_without_its_answer_goes_back():
    @prompt(reasoning=True)
    async def asked(question: str) -> dict[str, str]:
        """Answer."""

    model = Scripted(['{"reasoning": "x"}', '{"answer": {"a": "b"}}'])
    assert asked.using(model).run("?") == {"a": "b"}


def test_the_file_may_ask_for_reasoning_and_the_decorator_wins(tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "asked.md").write_text("---\nreasoning: true\n---\n{{ question }}")

    async def asked(question: str) -> str:
        """Answer."""

    assert "Think first" in prompt(asked).render("?")[0].text
    assert "Think first" not in prompt(reasoning=False)(asked).render("?")[0].text
    assert prompt(asked).version != prompt(reasoning=False)(asked).version


# -- the way that a file names


@prompt
async def order(text: str) -> Order:
    """Read the order."""


def named(way, name="order"):
    Path("prompts").mkdir(exist_ok=True)
    Path(f"prompts/{name}.md").write_text(f"---\noutput: {way}\n---\n{{{{ text }}}}")


@pytest.mark.parametrize("way", WAYS)
def test_the_way_that_a_file_names_is_the_first_one(way):
    named(way)
    model = Held({"id": 1, "title": "t"})
    assert order.using(model).run("x") == Order(id=1, title="t")
    (request,) = model.requests
    assert request.structure == way
    assert request.messages == order.using(model).render("x")
    if way != "schema":  # of a name nobody knows yet what it can do
        assert order.using("scripted:demo").render("x") == request.messages


def test_what_is_refused_is_followed_by_the_ways_behind_it_and_none_before_it():
    named("tool")
    model = Held({"id": 1, "title": "t"}, able=("schema", "prompted"))
    order.using(model).run("x")
    assert [request.structure for request in model.requests] == ["tool", "prompted"]


def test_a_way_that_a_model_cannot_go_is_said():
    named("tool")
    for ask in (Held(ways=("schema", "prompted")), Held(ways=("prompted", "schema"))):
        for call in (order.using(ask).run, order.using(ask).render):
            with pytest.raises(PromptError, match=r"by 'tool' \(.*\)\. It can"):
                call("x")
        assert ask.requests == []
    named("perhaps")
    with pytest.raises(PromptError, match="Invalid enum value 'perhaps'"):
        order.render("x")


def test_text_has_no_way():
    @prompt
    async def plain(text: str) -> str:
        """Say it."""

    named("schema", "plain")
    with pytest.raises(PromptError, match=r"returns text \(.*plain\.md\)\. Text has no form"):
        plain.render("x")


class Failing(pydantic.BaseModel):
    n: int

    @pydantic.field_validator("n")
    @classmethod
    def check(cls, n: int) -> int:
        return 1 // n


def test_an_error_of_a_validator_of_the_types_own_names_the_prompt():
    with pytest.raises(ZeroDivisionError) as caught:
        typed(Failing).using(Scripted('{"n": 0}')).run("x", [])
    (note,) = caught.value.__notes__
    assert note.startswith("The return type of the prompt 'asked' raised this for the answer '{")


class Weird: ...


def test_a_type_without_a_schema_is_one_sentence_that_names_the_prompt():
    with pytest.raises(PromptError) as caught:
        typed(Weird).render("x", [])
    message = str(caught.value)
    assert "\n" not in message and message.count("Weird") == 1 and "(prompt asked). Ret" in message
