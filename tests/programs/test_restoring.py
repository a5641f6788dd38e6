"""From a record's plain values back to typed ones: what comes back is what was, or an error."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import inspect
import pathlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import onrecord as on
from onrecord.programs.restoring import Unrestorable, hints, is_loose, is_plain, restored
from onrecord.records.record import pack, unpacked

T = TypeVar("T")
OrderId = NewType("OrderId", str)
PASSAGE = on.Passage("d", "Title", "text", 0, 4, 0.5, {"page": 1})
CITED = on.Cited("yes", (on.Citation("d", "Title", "text", 0, 4),))


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Point:
    x: int
    when: dt.date


@dataclasses.dataclass
class Twin:
    x: int
    when: dt.date


@dataclasses.dataclass
class Deep(Point):
    z: int


class Bill(pydantic.BaseModel):
    amount: decimal.Decimal
    points: list[Point]
    paid: dt.datetime | None = None


class Held(msgspec.Struct, Generic[T]):
    value: T
    path: pathlib.Path


class Pair(NamedTuple):
    a: int
    b: str


class Row(TypedDict):
    a: int
    color: Color


POINT = Point(1, dt.date(2020, 2, 29))
BILL = Bill(amount=decimal.Decimal("1.50"), points=[POINT])
COMES_BACK = [
    (None, None),
    (None, str | None),
    (True, bool | int),
    (3, int),
    (3, float),  # what says float may return 3
    (3, int | float),
    (3.0, int | float),
    ("x", str | None),
    ("x", str | list[str]),
    (["x"], str | list[str]),
    ("x", Literal["x", "y"]),
    ("x", Annotated[str, "a note"]),
    (OrderId("17"), OrderId),
    (b"\x00hi", bytes),
    (dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC), dt.datetime),
    (dt.datetime(2020, 1, 1, 12), dt.datetime),
    (dt.date(2020, 1, 1), dt.date | None),
    (dt.time(3, 4), dt.time),
    (dt.timedelta(days=2), dt.timedelta),
    (decimal.Decimal("1.50"), decimal.Decimal | None),
    (uuid.UUID(int=7), uuid.UUID),
    (pathlib.Path("a/b"), pathlib.Path),
    (Color.RED, Color),
    ([Color.RED, None], list[Color | None]),
    (Level.LOW, Level),
    ((1, "a"), tuple[int, str]),
    ((1, 2), tuple[int, ...]),
    ((1, 2), tuple),
    ((), tuple[()]),
    ({1, 2}, set[int]),
    (frozenset("a"), frozenset[str]),
    ([1.5, 2], Sequence[float]),
    ({"a": BILL}, Mapping[str, Bill]),
    ({1: "a"}, dict[int, str]),
    (POINT, Point),
    (POINT, Point | None),
    (PASSAGE, on.Passage | Point),
    ([PASSAGE], list[on.Passage]),
    (CITED, on.Cited[str]),
    (on.Cited(BILL), on.Cited[Bill]),
    (BILL, Bill),
    ([BILL], list[Bill]),
    (Held(BILL, pathlib.Path("x")), Held[Bill]),
    (Pair(1, "x"), Pair),
    ({"a": 1, "color": Color.RED}, Row),
    ({"a": [1, {"b": None}]}, Any),
    ({"a": 1}, dict),
    ([1], list[T]),  # type: ignore[valid-type]  # a type variable as it stands in a signature
    ([1], inspect.Parameter.empty),
]
DOES_NOT = [
    (decimal.Decimal("1.5"), decimal.Decimal | str),  # it may have been either
    ("1.5", decimal.Decimal | str),
    (Level.LOW, Level | int),
    ("2020-01-01", str | dt.date),
    (POINT, Point | Twin),
    (Deep(1, dt.date(2020, 1, 1), 2), Point),  # a part of it would be lost
    (BILL, Point),
    ("3", int),
    (1, bool),
    ((1, 2), tuple[int]),
    (np.zeros(2), np.ndarray),
    (iter([1]), Iterator[int]),
    (3j, complex),
    ("x", "NoSuchType"),
]


@pytest.mark.parametrize(("value", "annotation"), COMES_BACK, ids=str)
def test_what_was_comes_back(value: object, annotation: object) -> None:
    again = restored(unpacked(pack(value)), annotation)
    assert again == value and type(again) is type(value)


@pytest.mark.parametrize(("value", "annotation"), DOES_NOT)
def test_what_may_be_something_else_is_an_error(value: object, annotation: object) -> None:
    with pytest.raises(Unrestorable):
        restored(unpacked(pack(value)), annotation)


def test_a_type_that_fails_when_it_is_made_is_an_error() -> None:
    @dataclasses.dataclass
    class Picky:
        x: int

        def __post_init__(self) -> None:
            raise RuntimeError("not today")

    with pytest.raises(Unrestorable, match="not today"):
        restored({"x": 1}, Picky)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_json_comes_back_whatever_the_type_says(value: Any) -> None:
    assert is_plain(value)
    recorded = unpacked(pack(value))
    assert pack(restored(recorded, Any)) == pack(value)
    for annotation in (
        int,
        str,
        Point,
        Bill,
        list[int],
        on.Cited[str],
        Color | str,
        dict[int, int],
    ):
        try:
            again = restored(recorded, annotation)
        except Unrestorable:
            continue
        assert pack(again) == pack(value) or again == value


def test_what_is_not_json_through_and_through_is_seen() -> None:
    deep: list[object] = []
    deep.append(deep)
    for value in ((1,), {1: 2}, [Color.RED], Level.LOW, POINT, 2**70, deep, {"a": {1}}):
        assert not is_plain(value), value


def test_annotations_that_leave_the_type_open() -> None:
    loose = (inspect.Parameter.empty, Any, object, dict, list[Any], dict[str, Any], Any | None, T)
    tight = (int, None, str | None, list[on.Passage], tuple[int, ...], on.Cited[Any], Literal["x"])
    assert all(map(is_loose, loose)) and not any(map(is_loose, tight))
    assert is_loose(tuple[int, Any]) and is_loose(Annotated[Any, 1]) and not is_loose(type[int])


def test_one_annotation_that_cannot_be_read_spoils_no_other() -> None:
    def function(a: Color, b: NoSuchType) -> Point:  # type: ignore[name-defined]  # noqa: F821  # the mistake under test
        raise NotImplementedError

    assert hints(function) == {"a": Color, "b": "NoSuchType", "return": Point}
