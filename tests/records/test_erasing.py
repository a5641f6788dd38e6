"""Erasing for good: interrupted, beside calls and readers that go on, and in every file."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from onrecord.errors import StorageError
from onrecord.records import whole_file
from onrecord.records.call import call
from onrecord.records.database.schema import VECTOR
from onrecord.records.erasing import erase
from onrecord.records.erasing.wiping import erased_under_way, expect_ends, wipe
from onrecord.records.frames import HEAD, MAGIC, NOTHING, End, Start, framed, read_frames
from onrecord.records.journal import segments
from onrecord.records.query import Query
from onrecord.records.record import new_id, pack
from onrecord.records.scope import context
from onrecord.records.store import Store
from tests.servers.postgres import Cluster

WORDS = "unmistakable words of Ada"
HERS = Query(user="ada")


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


def ask(words: str = WORDS) -> str:
    """A call of Ada's, with a case made from it; its id."""
    with context(user="ada"), call("flow", "hers", words) as hers:
        hers.output = words * 100
    datasets = Path(".onrecord/datasets")
    datasets.mkdir(exist_ok=True)
    with (datasets / "cases.jsonl").open("a") as file:
        file.write(json.dumps({"input": words, "provenance": {"record": hers.id}}) + "\n")
    return hers.id


def holding(folder: Path, words: str = WORDS) -> list[str]:
    """The files that hold the words."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and words.encode() in path.read_bytes()
    ]


@pytest.mark.parametrize("at", ["wipe", "_erase_cases", "_erase_rows", "_rewrite"])
def test_an_erasure_that_was_interrupted_is_finished_by_the_next(
    open_store: Callable[..., Store], project: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    home = project / ".onrecord"
    ask()
    with call("flow", "somebody's", "other words"):
        pass
    store = open_store()

    def killed(*given: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(erase, at, killed)
        store.erase(HERS)
    store.erase(HERS)
    assert holding(project) == []
    assert [each.name for each in store.records()] == ["somebody's"]
    if store.engine.dialect.name == "sqlite":  # building the store anew brings nobody back
        store.close()
        (home / "records.db").write_bytes(b"junk" * 500)
        assert [each.name for each in Store(home).records()] == ["somebody's"]


def test_the_rows_stay_until_all_datasets_are_clean(project: Path) -> None:
    ask()
    store = Store(project / ".onrecord")
    dataset = project / ".onrecord" / "datasets" / "more.jsonl"
    dataset.mkdir()  # as unreadable as can be, for root as well
    with pytest.raises(StorageError, match=r"cases cannot be erased") as told:
        store.erase(HERS)
    assert "more.jsonl" in str(told.value) and len(store.records(HERS)) == 1
    dataset.rmdir()
    assert store.erase(HERS).records == 1
    assert holding(project) == []


def test_what_a_call_says_after_its_erasure_goes_when_it_is_folded(
    open_store: Callable[..., Store], project: Path
) -> None:
    store = open_store()
    with call("flow", "somebody's", None) as other:
        with context(user="ada"), call("flow", "hers", "going in") as hers:
            receipt = store.erase(HERS)
            assert any("under way (1)" in each for each in receipt.remaining)
            hers.output = WORDS
        other.output = "other words"
    assert holding(project) != []
    store.fold()
    assert holding(project) == []
    assert [(each.name, each.output) for each in store.records()] == [("somebody's", "other words")]


def test_such_an_end_goes_although_folding_was_interrupted(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(project / ".onrecord")
    with context(user="ada"), call("flow", "hers", "going in") as hers:
        store.erase(HERS)
        hers.output = WORDS

    def killed(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("onrecord.records.folding.fold.take_in", killed)
        store.fold()
    store.fold()
    assert holding(project) == []


def test_ids_of_erased_calls_are_kept_while_their_process_lives(project: Path) -> None:
    journal = project / ".onrecord" / "journal"
    with call("flow", "f", None) as this:
        gone = f"{0:012x}{'ab' * 5}{1:010x}"
        expect_ends(journal, {gone, this.id})
        assert erased_under_way(journal) == {gone, this.id}
        more = new_id()
        expect_ends(journal, {more})
        assert erased_under_way(journal) == {this.id, more}
        expect_ends(journal, set())
        assert erased_under_way(journal) == {this.id, more}


def test_copies_are_named_also_where_no_record_fits(
    open_store: Callable[..., Store], project: Path
) -> None:
    store = open_store()
    (project / ".onrecord" / "records.db.damaged-20260101-101010").write_text(WORDS)
    receipt = store.erase(HERS)
    assert receipt.records == 0
    assert "the copy records.db.damaged-20260101-101010: delete it" in receipt.remaining
    assert "what was exported before, and cassettes" in receipt.remaining


def test_the_file_from_before_the_move_to_postgresql_is_named(project: Path, postgres: str) -> None:
    ask()
    Store(project / ".onrecord").close()
    store = Store(project / ".onrecord", postgres)
    assert "the copy records.db: delete it" in store.erase(HERS).remaining
    store.close()


def test_a_reader_who_keeps_the_words_on_the_disk_is_told_of(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erase, "_PATIENCE_MS", 20)
    ask()
    store = Store(project / ".onrecord")
    reader = sqlite3.connect(project / ".onrecord" / "records.db")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM record").fetchone()
    receipt = store.erase(HERS)
    assert holding(project) != [] and receipt.records == 1
    assert any(each.startswith("records.db-wal, ") for each in receipt.remaining)
    reader.close()
    again = store.erase(HERS)
    assert holding(project) == [] and again.records == 0
    assert not any(each.startswith("records.db-wal") for each in again.remaining)
    with store.engine.connect() as connection:  # as patient as before
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 60_000


def test_a_database_that_cannot_be_rewritten_is_told_of(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erase, "_PATIENCE_MS", 20)
    ask()
    store = Store(project / ".onrecord")
    writer = sqlite3.connect(project / ".onrecord" / "records.db", isolation_level=None)
    real = erase._rewrite

    def beside_a_writer(*given: Any, **more: Any) -> tuple[str, ...]:
        writer.execute("BEGIN IMMEDIATE")
        return real(*given, **more)

    monkeypatch.setattr(erase, "_rewrite", beside_a_writer)
    receipt = store.erase(HERS)
    assert receipt.records == 1 and store.records(HERS) == []
    assert any("could not be rewritten (database is locked)" in each for each in receipt.remaining)
    writer.close()


def in_tables(cluster: Cluster, words: str = WORDS) -> bool:
    """Whether a file of PostgreSQL's tables holds the words."""
    cluster.execute("CHECKPOINT")
    return holding(cluster.folder / "data" / "base", words) != []


def test_postgresql_forgets_in_its_files_too(
    project: Path, postgres: str, postgres_cluster: Cluster
) -> None:
    for at in range(20):  # some stay, in the same pages
        ask()
        with call("flow", "somebody's", f"other words {at}"):
            pass
    store = Store(project / ".onrecord", postgres)
    assert in_tables(postgres_cluster)
    receipt = store.erase(HERS)
    assert not in_tables(postgres_cluster) and in_tables(postgres_cluster, "other words")
    assert len(store.records()) == 20
    assert not any("VACUUM FULL" in each for each in receipt.remaining)
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "0"
    store.close()


def test_postgresql_that_cannot_rewrite_its_files_is_told_of(
    project: Path, postgres: str, postgres_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erase, "_PATIENCE_MS", 20)
    ask()
    store = Store(project / ".onrecord", postgres)
    with store.engine.connect() as reader:
        reader.execute(sa.text("SELECT count(*) FROM record"))
        receipt = store.erase(HERS)
        assert any(
            "lock timeout" in each and "VACUUM FULL" in each for each in receipt.remaining
        ), receipt.remaining
    again = store.erase(HERS)
    assert not any("VACUUM FULL" in each for each in again.remaining)
    assert not in_tables(postgres_cluster)
    store.close()


def test_erasing_by_age_does_not_close_postgresql_to_others(project: Path, postgres: str) -> None:
    ask()
    store = Store(project / ".onrecord", postgres)
    with store.engine.connect() as reader:
        reader.execute(sa.text("SELECT count(*) FROM record"))
        receipt = store.erase(Query(until_ns=2**62))
    assert receipt.records == 1
    assert any("VACUUM FULL" in each for each in receipt.remaining)
    store.close()


def test_a_dataset_keeps_its_mode_and_its_link(project: Path) -> None:
    ask()
    dataset, real = project / ".onrecord" / "datasets" / "cases.jsonl", project / "real.jsonl"
    dataset.rename(real)
    dataset.symlink_to(real)
    with real.open("ab") as file:
        file.write(b'{"input": "not hers"}\n')
    real.chmod(0o600)
    assert Store(project / ".onrecord").erase(HERS).cases == 1
    assert dataset.is_symlink() and real.read_bytes() == b'{"input": "not hers"}\n'
    assert real.stat().st_mode & 0o777 == 0o600


def test_nobody_else_writes_a_dataset_meanwhile(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask()
    taken: list[bool] = []
    real = whole_file.write_bytes

    def looking(path: Path, data: bytes) -> None:
        if path.suffix == ".jsonl":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                taken.append(True)
            os.close(folder)
        real(path, data)

    monkeypatch.setattr(whole_file, "write_bytes", looking)
    Store(project / ".onrecord").erase(HERS)
    assert taken == [True]


def test_frames_of_a_kind_that_is_not_known_stay_where_they_are(tmp_path: Path) -> None:
    id, other = new_id(), new_id()
    known = framed(Start(id, id, None, "step", "f", "k", 1, msgspec.Raw(pack(WORDS))))
    payload = msgspec.msgpack.encode(["newer", "what this one does not know"])
    unknown = HEAD.pack(len(payload), zlib.crc32(payload)) + payload
    rest = framed(End(other, 2, NOTHING))
    (tmp_path / f"{new_id()}.000001.journal").write_bytes(MAGIC + unknown + known + rest)
    (segment,) = segments(tmp_path)
    assert wipe(segment, {id}) == 1
    data = segment.path.read_bytes()
    assert data.startswith(MAGIC + unknown) and data.endswith(rest) and holding(tmp_path) == []
    read = [frame for frame, _ in read_frames(data, len(MAGIC))]
    assert len(read) == 2 and read[1] == End(other, 2, NOTHING)


def test_vectors_of_a_record_that_was_erased_meanwhile_are_not_kept(
    open_store: Callable[..., Store], project: Path
) -> None:
    gone = ask()
    with call("flow", "his", "words") as his:
        pass
    store = open_store()
    store.erase(HERS)
    rows = [{"record": id, "embedder": "e", "space": "s", "vector": b"v"} for id in (gone, his.id)]
    store.add_vectors(rows)
    with store.engine.connect() as connection:
        assert list(connection.scalars(sa.select(VECTOR.c.record))) == [his.id]
