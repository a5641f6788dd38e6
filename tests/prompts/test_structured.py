"""From types to schemas, and from answers to values."""

import dataclasses
import datetime
import enum
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal, Never, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.errors import PromptError
from onrecord.messages import Citation, Cited, Passage
from onrecord.prompts.structured import Unfit, json_values, output_of


class Order(pydantic.BaseModel):
    id: int
    title: str
    price: Decimal = Decimal(1)


class Tree(pydantic.BaseModel):
    name: str
    children: list["Tree"] = []


@dataclasses.dataclass
class Point:
    x: float
    y: float


class Item(msgspec.Struct):
    name: str
    on: datetime.date


class Row(TypedDict):
    a: int


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(msgspec.Struct, tag=True):
    n: int


VALUES = [
    (int, 3, "3"),
    (bool, True, "true"),
    (str, "x", " x\n"),
    (list[int], [1, 2], "[1, 2]"),
    (dict[str, int], {"a": 1}, '{"a": 1}'),
    (Literal["yes", "no"], "yes", "yes"),
    (Colour, Colour.RED, '"red"'),
    (Colour, Colour.RED, "red"),
    (datetime.date, datetime.date(2026, 1, 2), "2026-01-02"),
    (int | None, None, "null"),
    (Order, Order(id=1, title="t"), '{"id": 1, "title": "t"}'),
    (list[Order], [Order(id=1, title="t")], '[{"id": 1, "title": "t", "more": 2}]'),
    (Order | None, None, "null"),
    (Point, Point(1, 2), '{"x": 1, "y": 2.0}'),
    (Item, Item("n", datetime.date(2026, 1, 2)), '{"name": "n", "on": "2026-01-02"}'),
    (list[Item], [], "[]"),
    (Row, {"a": 1}, '{"a": 1}'),
    (tuple[int, str], (1, "a"), '[1, "a"]'),
    (Tree, Tree(name="a", children=[Tree(name="b")]), '{"name":"a","children":[{"name":"b"}]}'),
]


@pytest.mark.parametrize(("type_", "value", "answer"), VALUES)
def test_every_type_has_a_schema_and_is_read(type_, value, answer):
    output = output_of(type_)
    assert output.read(answer, []) == (value, "")
    if type_ is str:
        assert (output.schema, output.instruction) == (None, "")
        return
    assert output.schema["type"] == "object" and "$ref" not in output.schema
    assert (
        json.dumps(output.schema, ensure_ascii=False, separators=(",", ":")) in output.instruction
    )
    if "value" in output.schema["properties"] if "properties" in output.schema else False:
        assert output.read(json.dumps({"value": json_of(answer)}), []).value == value


def json_of(answer):
    try:
        return json.loads(answer)
    except ValueError:
        return answer


def test_schemas_are_closed_and_keep_names_that_look_like_keywords():
    schema = output_of(list[Order]).schema
    assert schema["$defs"]["Order"]["additionalProperties"] is False
    assert set(schema["$defs"]["Order"]["properties"]) == {"id", "title", "price"}
    assert schema["properties"]["value"]["items"] == {"$ref": "#/$defs/Order"}
    nested = output_of(Cited[list[Tree]]).schema
    assert "Tree" in nested["$defs"]
    assert nested["properties"]["answer"]["anyOf"][0]["items"] == {"$ref": "#/$defs/Tree"}
    assert output_of(Size).schema["properties"]["type"] == {"enum": ["Size"]}


def test_a_type_without_schema_is_refused():
    with pytest.raises(PromptError, match="no JSON schema can be made of"):
        output_of(type("Nothing", (), {}))
    for odd in (Never, Iterator[int], list[type]):
        with pytest.raises(PromptError, match="no JSON schema can be made of") as caught:
            output_of(odd)
        assert "\n" not in str(caught.value)


@dataclasses.dataclass
class Claim:
    text: str
    support: list[Citation]


class Section(msgspec.Struct):
    claims: list[Claim]
    below: "list[Section]"


class Report(TypedDict):
    answer: Cited[str]


@pytest.mark.parametrize(
    "type_", [list[Cited[str]], Cited[Cited[str]], Claim, list[Section], Report, Cited[Claim]]
)
def test_citations_that_nobody_would_verify_are_refused(type_):
    with pytest.raises(PromptError, match=r"holds citations, .* Put Cited around the whole"):
        output_of(type_)


class Needy(pydantic.BaseModel):
    inner: "Needy"


class Loop(msgspec.Struct):
    inner: "list[Loop]"
    other: "Loop"


class NoMembers(enum.Enum):
    pass


@pytest.mark.parametrize(
    "type_",
    [
        *(NoMembers, Needy, Loop),
        Annotated[int, pydantic.Field(gt=5, lt=5)],
        Annotated[str, pydantic.Field(min_length=3, max_length=2)],
        Annotated[list[Needy], pydantic.Field(min_length=1)],
        tuple[int, Needy],
        Needy | NoMembers,
        Cited[Needy],
    ],
)
def test_a_type_that_no_answer_fits_is_refused_before_anybody_is_asked(type_):
    with pytest.raises(PromptError, match="no answer can ever fit the type"):
        output_of(type_)


@pytest.mark.parametrize(
    "type_",
    [
        Tree,
        list[Needy],
        dict[str, Needy],
        Needy | None,
        tuple[()],
        Annotated[int, pydantic.Field(ge=5, le=5)],
        Annotated[list[int], pydantic.Field(min_length=2)],
        Any,
        None,
    ],
)
def test_a_type_that_some_answer_fits_is_not(type_):
    assert output_of(type_).schema["type"] == "object"


@pytest.mark.parametrize(
    ("type_", "answer", "words"),
    [
        (Order, '{"id": "x", "title": 1}', "id: Input should be a valid integer"),
        (list[Order], '[{"id": 1}]', "[0].title: Field required."),
        (Item, '{"name": "n", "on": 3}', "Expected `date`, got `int` - at `$.on`."),
        (int, "many", "no complete JSON"),
        (Order, "I do not know.", "There is no complete JSON in it."),
        (Order, '{"id": 1, "title":', "There is no complete JSON in it."),
        (Order, "{'id': 1}", "There is no complete JSON in it."),
        (Order, '{"id": 1, "title": "\\ud800"}', "There is no complete JSON in it."),
        (dict[str, float], '{"a": NaN}', "There is no complete JSON in it."),
        (dict[str, float], '{"a": 1e999}', "There is no complete JSON in it."),
        (list[Any], "[" * 300 + "]" * 300, "It is nested too deeply"),
        (Colour, "green", "'red' or 'blue'"),
    ],
)
def test_what_does_not_fit_is_said_in_words(type_, answer, words):
    with pytest.raises(Unfit) as caught:
        output_of(type_).read(answer, [])
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        '{"x": 1, "y": 2}',
        '```json\n{"x": 1, "y": 2}\n```',
        '```\r\n{"x": 1, "y": 2}```',
        'Sure! Here it is:\n{"x": 1, "y": 2}\nAnything else?',
        'As {"x": "?"} I first thought, but no: {"x": 1, "y": 2}.',
        '<think>maybe {"x": 0, "y": 0}</think>{"x": 1, "y": 2}',
        'In [1] it says {x, y}: {"x": 1, "y": 2}',
        'First\n```json\n{"x": 0}\n```\nthen\n```json\n{"x": 1, "y": 2}\n```',
    ],
)
def test_json_is_found_among_words(answer):
    assert output_of(Point).read(answer, []).value == Point(1, 2)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab{}[]`\n"), inner),
    max_leaves=10,
)  # fmt: skip


@given(JSON, st.sampled_from(["{}", "\n```json\n{}\n```\n"]))
@settings(deadline=None)
def test_json_comes_out_as_it_went_in(value, frame):
    text = frame.replace("{}", json.dumps(value))
    if "```" in json.dumps(value):
        return
    assert next(iter(json_values(text))) == value


@given(st.text('{}[]":,0a\\ \n`', max_size=200) | st.text())
@settings(deadline=None)
def test_any_answer_is_read_or_unfit(text):
    check_any(text)


HOSTILE = ["[", '{"a":', "```\n", '{"', "9", "```json\n{", '"\\', "[1,"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_answers_are_read_or_unfit(piece):
    check_any(piece * 100_001)


def check_any(text):
    list(json_values(text))
    for type_ in (Order, Cited[str], Any):
        try:
            output_of(type_).read(text, [])
        except Unfit as error:
            assert str(error)


PASSAGES = [
    Passage("a", "A", "You have 25 days of leave. Carry over 5.", 10, 50, 1.0),
    Passage("b", "B", "It is “fun”.", 0, 12, 1.0),
]


def cited(**answer):
    whole = {"answer": "x", "quotes": [], "refused": False, "reason": "", **answer}
    return output_of(Cited[str]).read(json.dumps(whole), PASSAGES)


def test_quotations_are_verified():
    quotes = [{"passage": 2, "quote": "25 days  of leave."}, 'is "fun"', {"quote": "26 days"}]
    (value, problem) = cited(quotes=quotes)
    assert value.value == "x" and not value.refused
    assert [(c.document_id, c.quote, c.start) for c in value.citations] == [
        ("a", "25 days of leave.", 19),
        ("b", "is “fun”", 3),
    ]
    assert problem == value.reason == "Dropped, because no passage holds these words: “26 days”."


def test_the_same_quotation_counts_once():
    assert len(cited(quotes=["25 days", {"passage": 1, "quote": "25 days"}]).value.citations) == 1


def test_an_answer_without_quotations_has_a_problem_and_a_refusal_has_none():
    value, problem = cited()
    assert value.reason == problem == "No quotation supports this answer."
    value, problem = cited(answer=None, refused=True, reason="Not in there.", quotes=["25 days"])
    assert (value, problem) == (Cited(None, (), True, "Not in there."), "")
    assert cited(answer=None, refused=True).value.reason == "The model refused without a reason."


@pytest.mark.parametrize("quotes", [None, 3, "x", [3], [{"quote": 3}], [{"quote": " "}], {}])
def test_odd_quotations_are_none(quotes):
    assert cited(quotes=quotes).value.citations == ()


def test_a_typed_answer_can_be_cited():
    answer = {"answer": {"x": 1, "y": 2}, "quotes": ["25 days"], "refused": False, "reason": ""}
    value = output_of(Cited[Point]).read(json.dumps(answer), PASSAGES).value
    assert value.value == Point(1, 2) and value.citations
    with pytest.raises(Unfit, match="y: Field required"):
        output_of(Cited[Point]).read(json.dumps({**answer, "answer": {"x": 1}}), PASSAGES)
    assert output_of(Cited).read(json.dumps({**answer, "answer": "x"}), PASSAGES).value.value == "x"
