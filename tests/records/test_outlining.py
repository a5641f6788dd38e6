"""The outline of objects that have no plain form."""

from __future__ import annotations

import enum
import functools
import threading
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import onrecord as on
from onrecord.records.outlining import as_before, outline, without_outlines
from onrecord.records.record import pack, plain


class Thing:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    @functools.cached_property
    def found(self) -> int:
        return 3


class Mood(enum.Enum):
    GOOD = 1


def like(**attributes: Any) -> bytes:
    """What a thing with these attributes looks like on record."""
    told = plain({"self": Thing(**attributes)})["self"]
    assert told == outline(Thing(**attributes))
    return pack(told)


def test_an_object_is_told_by_its_type_and_a_hash_of_its_attributes() -> None:
    told = outline(Thing(region="eu", limit=3))
    assert told == {"type": "Thing", "is": told["is"]} and "eu" not in told["is"]
    assert like(region="eu", limit=3) == like(limit=3, region="eu")
    different = [
        {"region": "eu"},
        {"region": "us"},
        {"region": b"eu"},
        {"region": 1},
        {"region": True},
        {"region": 1.5},
        {"region": ("eu", 1)},
        {"region": ("eu", 2)},
        {"region": Mood.GOOD},
        {"area": "eu"},
        {},
    ]
    assert len({like(**each) for each in different}) == len(different)
    assert outline(Thing()) == "Thing" and outline(object()) == "object"


def test_no_word_that_an_object_holds_is_recorded() -> None:
    class Bank:
        def __init__(self) -> None:
            self._pin, self._auth = "7734-hunter2", "Basic dXNlcjpodW50ZXIy"
            self.dsn = "postgresql://app:s3cr3tpw@db/x"
            self.region, self.customer = "eu-central", "Ada Lovelace"
            self.rows = [{"email": "ada@example.org"}] * 500

    packed = pack({"self": Bank()})
    assert len(packed) < 100
    for word in (b"hunter2", b"dXNlc", b"s3cr3t", b"Ada", b"eu-central", b"example.org"):
        assert word not in packed


def test_what_is_secret_cannot_be_guessed_by_its_hash() -> None:
    # The hash has no key: whoever has the records could try passwords until one fits.
    assert like(_pin="1234") == like(_pin="1235") == like()
    for name in ("password", "api_key", "secret"):
        assert like(**{name: "hunter2"}) == like(**{name: "hunter3"}) == like()
        assert like(**{name: b"hunter2"}) == like()
    assert like(dsn="postgresql://app:pw1@db/x") == like(dsn="postgresql://app:pw2@db/x")
    assert like(whom="ada@example.org") == like(whom="bob@example.org")
    assert like(region="eu", password="a") == like(region="eu", password="b") != like(password="a")


def test_what_changes_without_making_it_another_object_is_left_out() -> None:
    thing = Thing(name="a", _lock=threading.Lock(), _cache={}, lock=threading.Lock(), client=None)
    before = outline(thing)
    assert thing.found == 3
    thing._cache["a"] = 1
    thing.client = Thing()
    thing.rows = [1, 2]
    assert outline(thing) == before


def test_no_code_of_attributes_is_run() -> None:
    class Loud:
        def __repr__(self) -> str:
            raise SystemExit

        __getattr__ = __len__ = __hash__ = __repr__  # type: ignore[assignment]  # none is called

    class Text(str):
        def __len__(self) -> int:
            raise SystemExit

    assert like(one=Loud(), two=Text("a"), many=(Loud(), 1), region="eu") == like(region="eu")


def test_functions_are_told_by_their_names() -> None:
    assert outline(lambda: 3).endswith(".<locals>.<lambda>")
    assert outline(outline) == "outline"


def test_cycles_and_crowds_have_bounds() -> None:
    thing = Thing(region="a")
    thing.me, thing.many = thing, [thing] * 100_000
    thing.wide = {str(number): Thing(of=list(range(1000))) for number in range(1000)}
    assert outline(thing) == outline(Thing(region="a"))
    assert like(long="x" * 10_000_000 + "y") != like(long="x" * 10_000_001)
    assert len(like(**{f"a{number}": number for number in range(10_000)})) < 60


def test_what_is_no_text_or_too_large_a_number_is_no_error() -> None:
    assert like(half="\ud800", large=2**70, region="eu") == like(region="eu")


def test_an_object_that_changed_is_told_from_another_one() -> None:
    now, before = plain({"self": Thing(calls=1), "x": [1]}), plain({"self": Thing(), "x": [1]})
    later = plain({"self": Thing(calls=2), "x": [1]})
    for one, other in ((now, before), (before, now), (now, later)):
        assert one != other and as_before(one, other) == other
        assert without_outlines(one) == without_outlines(other)
    for other in ({"self": "Thing", "x": [2]}, {"self": "Other", "x": [1]}, {"self": "Thing"}, []):
        assert as_before(now, other) != other
        assert without_outlines(now) != without_outlines(other)
    given = {"type": "Thing", "is": "what it says"}  # somebody's own
    assert without_outlines(given) == given


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
