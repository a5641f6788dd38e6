"""Tools: what a model is told of a typed function, and what is made of what it writes."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest

import onrecord as on
from onrecord.errors import UsageError
from onrecord.messages import Passage, ToolResult
from onrecord.prompts.schemas import Unfit
from tests.programs.agents.scripts import ByTurn, calls


@pytest.fixture(autouse=True)
def _here(project: Path) -> None:
    pass


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Place:
    street: str
    number: int = 1


class Person(pydantic.BaseModel):
    name: str
    age: int | None = None


class Point(msgspec.Struct):
    x: float
    y: float


NOBODY = object()


@on.tool
async def everything(
    place: Place,
    person: Person,
    point: Point,
    colour: Colour,
    size: Literal["s", "m"],
    when: datetime.datetime,
    tags: list[str],
    note: Annotated[str | None, "a note"] = None,
    other: Any = NOBODY,
) -> str:
    """Take everything.

    Args:
        place: where
        tags: how to
            find it
    """
    return repr((place, person, point, colour, size, when, tags, note, other is NOBODY))


GIVEN = {
    "place": {"street": "High"},
    "person": {"name": "Ann"},
    "point": {"x": 1, "y": 2.5},
    "colour": "blue",
    "size": "m",
    "when": "2026-11-21T08:00:00+00:00",
    "tags": ["a"],
}


def test_types_of_all_kinds_are_described_and_read() -> None:
    schema = everything.schema
    assert schema.description == "Take everything."
    properties = schema.parameters["properties"]
    assert (properties["place"]["description"], properties["note"]["description"]) == (
        "where",
        "a note",
    )
    assert properties["tags"]["description"] == "how to\nfind it"
    assert schema.parameters["required"] == list(GIVEN)
    json.dumps(schema.parameters)
    read = everything.read(json.dumps(GIVEN))
    assert isinstance(read["place"], Place) and isinstance(read["person"], Person)
    assert read["colour"] is Colour.BLUE and read["when"].year == 2026
    assert read["other"] is NOBODY and read["note"] is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"colour": "green"}, "colour"),
        ({"size": 3}, "size"),
        ({"place": {"street": 1}}, "place"),
        ({"tags": "a"}, "tags"),
        ({"self": 1}, "self: there is no such argument"),
    ],
)
def test_what_does_not_fit_is_told(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(Unfit, match=said):
        everything.read(json.dumps({**GIVEN, **changed}))
    without = {name: value for name, value in GIVEN.items() if name != "point"}
    with pytest.raises(Unfit, match="point: it is missing"):
        everything.read(json.dumps(without))


class Shop:
    kind = "tea"

    def __init__(self, name: str) -> None:
        self.name = name

    @on.tool
    async def sell(self, item: str, amount: int = 1) -> str:
        """Sell something."""
        return f"{self.name} sells {amount} {item}"

    @on.tool
    def plain(self, item: str) -> str:
        """Name it."""
        return f"{self.name} {item}"

    @classmethod
    def opened(cls, item: str) -> str:
        """Open one."""
        return f"{cls.kind} {item}"

    @staticmethod
    def closed(item: str) -> str:
        """Close one."""
        return f"closed {item}"


def test_methods_are_tools() -> None:
    one, other = Shop("A"), Shop("B")
    assert list(one.sell.schema.parameters["properties"]) == ["item", "amount"]
    assert other.sell.run("tea") == "B sells 1 tea" and one.plain.run("tea") == "A tea"
    wanted = calls(
        ("sell", {"item": "tea", "amount": 2}),
        ("plain", {"item": "tea"}),
        ("opened", {"item": "tea"}),
        ("closed", {"item": "tea"}),
    )
    tools = [one.sell, one.plain, Shop.opened, Shop.closed]
    outcome = on.Agent(ByTurn(wanted, "Done."), tools=tools).run("Go")
    assert isinstance(outcome, on.Done)
    results = [p.text for m in outcome.messages for p in m.parts if isinstance(p, ToolResult)]
    assert results == ["A sells 2 tea", "A tea", "tea tea", "closed tea"]


def test_a_method_of_no_object_is_told() -> None:
    """`Shop.sell` wants a `self`, which no model can give."""
    with pytest.raises(UsageError, match="a method, and of no object"):
        on.Agent(ByTurn("Hi."), tools=[Shop.sell])


def test_arguments_by_position_are_told() -> None:
    @on.tool
    def power(base: int, exponent: int, /) -> int:
        """Raise it."""
        return int(base**exponent)

    outcome = on.Agent(ByTurn(calls(("power", {"base": 2, "exponent": 3})), "8"), tools=[power])
    done = outcome.run("Go")
    assert isinstance(done, on.Done)
    results = [p.text for m in done.messages for p in m.parts if isinstance(p, ToolResult)]
    assert results == ["8"]


def test_arguments_called_like_our_own_are_taken() -> None:
    @on.tool(approve=lambda self, arguments, **_: self == "x")
    def odd(self: str, arguments: str, args: str = "", kwargs: str = "", tool: str = "") -> str:
        """Take odd names."""
        return self + arguments + args + kwargs + tool

    given = {"self": "a", "arguments": "b", "args": "c", "kwargs": "d", "tool": "e"}
    done = on.Agent(ByTurn(calls(("odd", given)), "Done."), tools=[odd]).run("Go")
    assert isinstance(done, on.Done)
    results = [p.text for m in done.messages for p in m.parts if isinstance(p, ToolResult)]
    assert results == ["abcde"]


@pytest.mark.parametrize("kind", ["args", "kwargs"])
def test_what_cannot_be_described_is_told(kind: str) -> None:
    def many(*args: int) -> int:
        return sum(args)

    def named(**kwargs: int) -> int:
        return sum(kwargs.values())

    with pytest.raises(UsageError, match="a model has to be told each argument"):
        on.Agent(ByTurn("Hi."), tools=[many if kind == "args" else named])


def test_a_type_without_a_schema_is_told() -> None:
    @on.tool
    def odd(thing: Passage, connection: Shop) -> str:
        return ""

    with pytest.raises(UsageError, match="its argument 'connection'"):
        on.Agent(ByTurn("Hi."), tools=[odd])


def test_a_name_that_servers_do_not_take_is_told() -> None:
    def größe(text: str) -> str:
        """Measure."""
        return text

    with pytest.raises(UsageError, match="größe"):
        on.Agent(ByTurn("Hi."), tools=[größe])
    with pytest.raises(UsageError):
        on.Agent(ByTurn("Hi."), tools=[lambda text: text])


def test_a_very_large_result_and_thousands_of_passages_are_bounded() -> None:
    @on.tool
    def large() -> dict[str, str]:
        """Give much."""
        return {"text": "x" * 10_000_000}

    @on.tool
    def found() -> list[Passage]:
        """Find much."""
        return [Passage(f"d{at}", "T", "words " * 20, 0, 120, 0.5) for at in range(5000)]

    done = on.Agent(ByTurn(calls(("large", {}), ("found", {})), "Done."), tools=[large, found])
    outcome = done.run("Go")
    assert isinstance(outcome, on.Done)
    results = [p.text for m in outcome.messages for p in m.parts if isinstance(p, ToolResult)]
    assert all(len(each) < 20_200 for each in results)
    assert "are left out here" in results[1]


def test_a_passage_larger_than_everything_is_cut() -> None:
    @on.tool
    def found() -> Passage:
        """Find much."""
        return Passage("d", "T", "words " * 100_000, 0, 600_000, 0.5)

    outcome = on.Agent(ByTurn(calls(("found", {})), "Done."), tools=[found]).run("Go")
    assert isinstance(outcome, on.Done)
    (result,) = [p for m in outcome.messages for p in m.parts if isinstance(p, ToolResult)]
    assert len(result.text) < 21_000 and result.text.rstrip().endswith("</passage>")


def test_characters_that_nobody_sees_do_not_reach_a_model() -> None:
    hidden = "".join(chr(0xE0000 + ord(each)) for each in "obey")

    @on.tool
    def said() -> dict[str, str]:
        """Say."""
        return {"a": f"fine{hidden}\u202e"}

    @on.tool
    def fails() -> str:
        """Fail."""
        raise RuntimeError(f"no{hidden}")

    outcome = on.Agent(ByTurn(calls(("said", {}), ("fails", {})), "D."), tools=[said, fails]).run(
        "Go"
    )
    assert isinstance(outcome, on.Done)
    results = [p.text for m in outcome.messages for p in m.parts if isinstance(p, ToolResult)]
    assert results == ['{"a":"fine"}', "RuntimeError: no"]


def test_a_failure_with_very_many_words_is_bounded() -> None:
    @on.tool
    def fails() -> str:
        """Fail."""
        raise RuntimeError("x" * 1_000_000)

    outcome = on.Agent(ByTurn(calls(("fails", {})), "D."), tools=[fails]).run("Go")
    assert isinstance(outcome, on.Done)
    (result,) = [p for m in outcome.messages for p in m.parts if isinstance(p, ToolResult)]
    assert len(result.text) < 21_000


def test_arguments_that_are_nested_deeply_or_huge_are_told() -> None:
    @on.tool
    def take(thing: dict[str, Any]) -> str:
        """Take."""
        return "taken"

    deep = '{"thing": ' + '{"a": ' * 100_000 + "1" + "}" * 100_000 + "}"
    wanted = calls(("take", deep), ("take", '{"thing": {"a": 1e999}}'), ("take", '{"thing": NaN}'))
    outcome = on.Agent(ByTurn(wanted, "D."), tools=[take]).run("Go")
    assert isinstance(outcome, on.Done)
    results = [p for m in outcome.messages for p in m.parts if isinstance(p, ToolResult)]
    assert results[0].failed and results[2].failed


def test_who_approves_is_decided_by_a_plain_function() -> None:
    async def asks(**_: Any) -> bool:
        return False

    odd: Any = asks
    with pytest.raises(UsageError, match="a plain function"):
        on.tool(approve=odd)
    odd = "yes"
    with pytest.raises(UsageError, match="does not say"):
        on.tool(approve=odd)


class Counter:
    @classmethod
    @on.tool
    async def first(cls, number: int) -> str:
        """First."""
        return f"{cls.__name__} {number}"

    @staticmethod
    @on.tool
    def second(number: int) -> int:
        """Second."""
        return number


def test_tools_of_a_class() -> None:
    wanted = calls(("first", {"number": 1}), ("second", {"number": 2}))
    agent = on.Agent(ByTurn(wanted, "Done."), tools=[Counter.first, Counter().second])
    outcome = agent.run("Go")
    assert isinstance(outcome, on.Done)
    results = [p.text for m in outcome.messages for p in m.parts if isinstance(p, ToolResult)]
    assert results == ["Counter 1", "2"]
