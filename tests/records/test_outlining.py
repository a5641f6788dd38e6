"""The outline of objects that have no plain form."""

from __future__ import annotations

import dataclasses
import enum
import functools
import threading
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import onrecord as on
from onrecord.records.outlining import outline
from onrecord.records.record import pack, plain


class Thing:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    @functools.cached_property
    def found(self) -> int:
        return 3


class Mood(enum.Enum):
    GOOD = 1


@dataclasses.dataclass
class Point:
    x: int


def test_an_object_is_told_by_its_attributes() -> None:
    thing = Thing(region="eu", _secretly="x", _count=3, when={"a": (1, None)}, of=Point(1))
    assert outline(thing) == {
        "type": "Thing",
        "_secretly": "x",
        "of": {"x": 1},
        "region": "eu",
        "when": {"a": [1, None]},
    }
    assert plain({"self": thing})["self"] == outline(thing)
    assert outline(Thing()) == "Thing" and outline(object()) == "object"
    assert outline(Thing(mood=Mood.GOOD, at=Path("a")))["mood"] == "Mood.GOOD"


def test_what_changes_without_making_it_another_object_is_left_out() -> None:
    thing = Thing(name="a", _lock=threading.Lock(), _cache={}, lock=threading.Lock())
    before = outline(thing)
    assert thing.found == 3
    thing._cache["a"] = 1
    assert outline(thing) == before == {"type": "Thing", "name": "a", "lock": "lock"}


def test_functions_are_told_by_their_names() -> None:
    assert outline(lambda: 3).endswith(".<locals>.<lambda>")
    assert outline(Thing(each=len, of=outline))["of"] == "outline"


def test_sets_have_an_order() -> None:
    texts = {f"t{number}" for number in range(20)}
    assert outline(Thing(texts=texts))["texts"] == sorted(texts)


def test_cycles_and_crowds_have_bounds() -> None:
    thing = Thing(name="a")
    thing.me, thing.many = thing, [thing] * 100_000
    thing.wide = {str(number): Thing(of=list(range(1000))) for number in range(1000)}
    thing.long = "x" * 10_000_000
    assert len(pack(thing)) < 50_000
    assert outline(thing)["name"] == "a"  # whatever there is before it
    thing = Thing()
    thing.me = thing
    assert outline(thing) == {"type": "Thing", "me": "Thing"}
    other = Thing(long="x" * 10_000_000 + "y")
    assert outline(other) != outline(Thing(long="x" * 10_000_000))


def test_an_attribute_that_fails_is_no_error() -> None:
    class Bad:
        def __repr__(self) -> str:
            raise ValueError

    assert plain({"self": Thing(bad=Bad())}) == {"self": "<Thing>"}


values = st.recursive(
    st.none() | st.integers() | st.text() | st.floats() | st.booleans() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.builds(Thing, of=inner),
)


@given(values)
def test_every_outline_is_plain_and_the_same_again(value: Any) -> None:
    thing = Thing(of=value)
    assert pack(thing) == pack(thing)
    assert pack(plain(thing)) == pack(plain(plain(thing)))


class Client:
    def __init__(self, region: str) -> None:
        self.region = region

    @on.tool
    async def price(self, item: str) -> str:
        return f"5 in {self.region}"


def test_a_cassette_tells_objects_apart(project: Path) -> None:
    with on.replay("prices.jsonl", record=True):
        for region in ("eu", "us"):
            Client(region).price.run("kettle")
    with on.replay("prices.jsonl"):
        assert Client("us").price.run("kettle") == "5 in us"
