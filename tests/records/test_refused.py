"""What the database refuses stops nobody else's records: it is put aside, counted and told."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from onrecord.errors import StorageError, UsageError
from onrecord.records.database.engine import is_refused
from onrecord.records.folding import refused, skew
from onrecord.records.frames import NOTHING, End, Frame, Source, Start
from onrecord.records.journal import Journal, segments
from onrecord.records.query import Query
from onrecord.records.record import Record, new_id, pack
from onrecord.records.store import Store
from onrecord.records.views.health import health

BEYOND = 2**63 + 5


@pytest.fixture(params=["sqlite", "postgresql"])
def open_store(request: pytest.FixtureRequest, project: Path) -> Iterator[Callable[..., Store]]:
    url = request.getfixturevalue("postgres") if request.param == "postgresql" else ""
    opened: list[Store] = []

    def open_(**options: Any) -> Store:
        store = Store(project / ".onrecord", url, **options)
        opened.append(store)
        return store

    yield open_
    for store in opened:
        store.close()


def start(name: str, **fields: Any) -> Start:
    id = new_id()
    values = {"started_ns": 1, "input": msgspec.Raw(pack(name)), **fields}
    return Start(id, id, None, "step", name, "k", **values)


def end(begun: Start, **fields: Any) -> End:
    return End(begun.id, **{"ended_ns": 2, "output": NOTHING, **fields})


def calls(*names: str) -> list[Frame]:
    return [frame for name in names for begun in [start(name)] for frame in (begun, end(begun))]


def written(home: Path, frames: list[Frame]) -> Path:
    journal = Journal(home / "journal")
    for frame in frames:
        assert journal.append(frame)
    (path,) = [each.path for each in segments(home / "journal")]
    journal.close()
    return path


def aside(home: Path) -> list[Path]:
    return sorted((home / "journal" / "refused").glob("*"))


@pytest.mark.parametrize("what", ["the start", "the end", "the cost"])
def test_a_record_that_is_refused_stops_no_other(
    open_store: Callable[..., Store], project: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    home = project / ".onrecord"
    begun = start("odd", started_ns=BEYOND) if what == "the start" else start("odd")
    fields = {"the end": {"ended_ns": BEYOND}, "the cost": {"cost": BEYOND}}.get(what, {})
    odd = [begun, end(begun, **fields)]
    written(home, [*calls("a", "b"), *odd, Source("v", "text"), *calls("c", "d", "e")])
    store = open_store()
    assert sorted(each.name for each in store.records()) == ["a", "b", "c", "d", "e"]
    assert {each.state for each in store.records()} == {"done"}
    assert store.source("v") == "text" and store.waiting == 0
    assert segments(home / "journal") == []
    (path,) = aside(home)
    ours = [each for each in caplog.records if each.name == "onrecord"]
    (told,) = [each.getMessage() for each in ours]
    assert str(path) in told and "refuses what 1 calls recorded" in told
    found = health(store)
    assert found.refused == (refused.Refused(str(path), 1),)
    assert any(str(path) in note and "1 calls" in note for note in found.notes)
    store.fold()
    assert [each for each in caplog.records if each.name == "onrecord"] == ours


def test_texts_that_postgresql_has_no_room_for_are_put_aside(postgres: str, project: Path) -> None:
    home = project / ".onrecord"
    long = "".join(random.Random(7).choices(string.printable, k=20_000))  # no index takes it
    nul = Source("nul", "a \0 b")
    written(home, [*calls("a"), *calls(long), nul, *calls("b")])
    store = Store(home, postgres)
    assert sorted(each.name for each in store.records()) == ["a", "b"]
    assert store.source("nul") == "a \ufffd b"
    assert [each.calls for each in refused.refused(home / "journal")] == [1]
    store.close()


def test_the_end_of_a_call_goes_where_its_start_went(
    open_store: Callable[..., Store], project: Path
) -> None:
    """In another batch, by another process."""
    home = project / ".onrecord"
    journal = Journal(home / "journal")
    odd, fine = start("odd", started_ns=BEYOND), start("fine")
    for frame in (odd, fine):
        journal.append(frame)
    open_store()
    for frame in (end(odd), end(fine)):
        journal.append(frame)
    journal.close()
    store = open_store()
    assert [(each.name, each.state) for each in store.records()] == [("fine", "done")]
    (path,) = aside(home)
    assert path.stat().st_mode & 0o777 == 0o600
    assert refused.refused(home / "journal") == [refused.Refused(str(path), 1)]
    assert len(refused._frames(path)) == 2


def test_what_was_refused_is_tried_again_when_it_is_moved_back(
    open_store: Callable[..., Store], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an upgrade to an Onrecord that can keep it."""
    home = project / ".onrecord"
    path = written(home, [*calls("a"), *calls("long name"), *calls("b")])
    take_in = refused.take_in

    def picky(connection: sa.Connection, frames: list[Frame], writer: str) -> None:
        if any(isinstance(each, Start) and each.name == "long name" for each in frames):
            raise OverflowError("too long")
        take_in(connection, frames, writer)

    monkeypatch.setattr("onrecord.records.folding.fold.take_in", picky)
    monkeypatch.setattr(refused, "take_in", picky)
    store = open_store()
    assert sorted(each.name for each in store.records()) == ["a", "b"]
    monkeypatch.undo()
    monkeypatch.chdir(project)
    (put_aside,) = aside(home)
    put_aside.rename(home / "journal" / put_aside.name)
    store.fold()
    assert sorted(each.name for each in store.records()) == ["a", "b", "long name"]
    assert {each.state for each in store.records()} == {"done"} and aside(home) == []
    # the segment that it came from is still there whole
    assert path.name in [each.path.name for each in segments(home / "journal" / "folded")]


def test_building_anew_puts_the_same_aside_once(project: Path) -> None:
    home = project / ".onrecord"
    written(home, [*calls("a"), start("odd", started_ns=BEYOND)])
    Store(home).close()
    (path,) = aside(home)
    before = path.read_bytes()
    (home / "records.db").write_bytes(b"junk" * 500)
    assert [each.name for each in Store(home).records()] == ["a"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "error",
    [
        StorageError("down"),
        OSError(28, "No space left on device"),
        MemoryError(),
        KeyboardInterrupt(),
        AttributeError("a slip"),
        KeyError("a slip"),
        TypeError("a slip"),
        sa.exc.StatementError("", "", {}, KeyError("a slip")),
    ],
)
def test_what_says_nothing_about_values_is_no_refusal(error: BaseException) -> None:
    assert not is_refused(error)


def test_a_database_that_forbids_or_is_down_refuses_nothing(
    postgres: str, postgres_cluster: Any, project: Path
) -> None:
    home = project / ".onrecord"
    store = Store(home, postgres)
    written(home, calls("a"))
    with store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE record RENAME TO gone")
    with pytest.raises(StorageError, match="does not exist"):
        store.fold()
    with store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO record")
    postgres_cluster.stop()
    with pytest.raises(StorageError):
        store.fold()
    postgres_cluster.start()
    store.fold()
    assert [each.name for each in store.records()] == ["a"] and aside(home) == []
    store.close()


def made(number: int, **fields: Any) -> Record:
    id = f"{number:032x}"
    return Record(**{**dict.fromkeys(("id", "run"), id), **BARE, "started_ns": number, **fields})


BARE: dict[str, Any] = {
    "parent": None,
    "kind": "step",
    "name": "made",
    "input": None,
    "key": "k",
    "state": "done",
}


def test_records_from_elsewhere_that_are_refused_are_named(
    open_store: Callable[..., Store],
) -> None:
    store = open_store()
    records = [made(number) for number in range(1, 1500)]
    records[1200] = made(1201, started_ns=BEYOND)
    with pytest.raises(UsageError, match="refuses record 1,201 of those given") as told:
        store.take(records)
    assert records[1200].id in str(told.value) and "All others are in" in str(told.value)
    assert sum(total.calls for total in store.totals(by=("kind",))) == 1498


def test_equal_ids_in_one_import_count_once(open_store: Callable[..., Store]) -> None:
    store = open_store()
    assert store.take([made(1), made(1, name="other"), made(2)]) == 2
    assert store.records(Query(ids=(made(1).id,)))[0].name == "made"


def test_a_receipt_names_what_was_refused_for_it_may_be_theirs(
    open_store: Callable[..., Store], project: Path
) -> None:
    home = project / ".onrecord"
    written(home, [start("odd", started_ns=BEYOND, user="ada"), *calls("a")])
    receipt = open_store().erase(Query(text="words"))
    name = f"journal/refused/{aside(home)[0].name}"
    assert f"what the database refused, in {name}: delete it" in receipt.remaining


def test_the_status_as_json_has_what_was_refused(project: Path) -> None:
    home = project / ".onrecord"
    written(home, [start("odd", started_ns=BEYOND)])
    found = json.loads(msgspec.json.encode(health(Store(home))))
    assert found["refused"] == [{"path": str(aside(home)[0]), "calls": 1}]


def test_a_slip_of_our_own_puts_nothing_aside(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = project / ".onrecord"
    written(home, calls("a", "b"))
    store = Store(home, fold=False)

    def slips(*_: object) -> None:
        raise AttributeError("a slip")

    with monkeypatch.context() as patched:
        patched.setattr(skew, "note", slips)
        with pytest.raises(AttributeError, match="a slip"):
            store.fold()
    assert aside(home) == []
    store.fold()
    assert len(store.records()) == 2


@pytest.mark.parametrize(
    "query", [Query(user="ada"), Query(session="s"), Query(tags=("t",)), Query(until_ns=2**62)]
)
def test_erasing_reaches_what_was_refused(project: Path, query: Query) -> None:
    home = project / ".onrecord"
    begun = start("odd" * 50, user="ada", session="s", tags=("t",))
    ended = end(begun, ended_ns=BEYOND)
    other = start("other", user="bob", started_ns=2**62)
    written(home, [begun, ended, other, end(other, ended_ns=BEYOND), *calls("a")])
    store = Store(home)
    (path,) = aside(home)
    assert b"odd" * 50 in path.read_bytes()
    receipt = store.erase(query)
    assert not any("refused" in each for each in receipt.remaining)
    assert b"odd" not in path.read_bytes() and b"other" in path.read_bytes()
    assert [each.calls for each in refused.refused(home / "journal")] == [1]
    store.erase(Query(user="bob"))
    assert aside(home) == []


def test_what_a_refused_call_says_after_its_erasure_is_wiped(project: Path) -> None:
    home = project / ".onrecord"
    begun = start("odd", user="ada", started_ns=BEYOND)
    journal = Journal(home / "journal")
    journal.append(begun)
    store = Store(home)
    assert len(aside(home)) == 1 and store.erase(Query(user="ada")).records == 1
    journal.append(end(begun, output=msgspec.Raw(pack("her words"))))
    store.fold()
    assert aside(home) == [] and store.records() == []
    (path,) = [each.path for each in segments(home / "journal")]
    assert b"her words" not in path.read_bytes()
    journal.close()
