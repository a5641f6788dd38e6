"""A database that breaks, goes away or is replaced under whoever has it open."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from onrecord.errors import StorageError
from onrecord.records import store as storing
from onrecord.records.call import call
from onrecord.records.database import opening, place
from onrecord.records.database.engine import is_full
from onrecord.records.database.opening import Database
from onrecord.records.database.schema import SEGMENT
from onrecord.records.folding import fold, skew
from onrecord.records.folding.fold import Folding, folding_lock
from onrecord.records.frames import NOTHING, End, Start
from onrecord.records.journal import Journal, segments
from onrecord.records.query import Query
from onrecord.records.record import new_id, pack
from onrecord.records.scope import context
from onrecord.records.store import Store
from tests.records.test_refused import made


def write(home: Path, *names: str) -> None:
    """Calls of another process, which is gone."""
    journal = Journal(home / "journal")
    for name in names:
        id = new_id()
        now = time.time_ns()
        journal.append(Start(id, id, None, "flow", name, "k", now, msgspec.Raw(pack("x" * 2000))))
        journal.append(End(id, now, NOTHING))
    journal.close()


def names(store: Store) -> list[str]:
    return sorted(each.name for each in store.records())


def break_(file: Path) -> None:
    with file.open("r+b") as database:
        database.write(b"junk" * 500)


def test_who_meets_the_damage_second_does_not_put_the_new_file_aside(project: Path) -> None:
    """Both have failed on the damaged file, and wait for their turn to replace it."""
    home = project / ".onrecord"
    write(home, "first", "second")
    Store(home).close()
    break_(home / "records.db")
    at_once, found = threading.Barrier(2), []
    real = Database._replace

    def both(self: Database, broken: tuple[int, int] | None) -> None:
        at_once.wait(10)
        real(self, broken)

    def read() -> None:
        found.append(names(Store(home)))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Database, "_replace", both)
        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(list(home.glob("records.db.damaged-*[0-9]"))) == 1
    assert found == [["first", "second"]] * 2 and names(Store(home)) == ["first", "second"]


def test_two_damaged_files_of_one_second_are_both_kept(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place.time, "strftime", lambda _: "20260101-000000")
    file = project / "records.db"
    for text in ("one", "two", "three"):
        file.write_text(text)
        assert place.put_aside(file).read_text() == text
    assert len(list(project.glob("records.db.damaged-*[0-9]"))) == 3


def test_a_store_that_is_open_follows_the_file_that_another_process_made(project: Path) -> None:
    home = project / ".onrecord"
    write(home, "first")
    open_long = Store(home)
    assert names(open_long) == ["first"]
    for beside in home.glob("records.db*"):  # as another process that met damage
        beside.rename(beside.with_name(f"{beside.name}.damaged-1"))
    other = Store(home)
    assert names(other) == ["first"]
    write(home, "second")
    assert open_long.fold() == 2
    assert names(open_long) == names(other) == ["first", "second"]


def test_a_store_whose_file_goes_away_while_it_is_open_makes_another(project: Path) -> None:
    home = project / ".onrecord"
    write(home, "first")
    store = Store(home)
    for beside in home.glob("records.db*"):
        beside.unlink()
    assert names(store) == ["first"]
    write(home, "second")
    store.fold()
    assert names(store) == ["first", "second"]


@pytest.mark.parametrize("how", ["removed", "empty"])
def test_a_database_that_is_not_there_is_built_anew_from_the_journal(
    project: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    home = project / ".onrecord"
    for name in ("first", "second"):
        write(home, name)
    Store(home).close()
    for beside in home.glob("records.db*"):
        beside.unlink()
    if how == "empty":
        (home / "records.db").touch()
    assert names(Store(home)) == ["first", "second"]
    assert "built anew from 2 segments of the journal" in caplog.text
    assert len(segments(home / "journal" / "folded")) == 2


def test_a_first_store_says_nothing_of_building_anew(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(project / ".onrecord", "first")
    assert names(Store(project / ".onrecord")) == ["first"] and not caplog.records


@pytest.mark.parametrize("fsync", [False, True])
def test_in_fsync_mode_the_database_waits_for_the_disk_too(
    project: Path, fsync: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "onrecord.toml").write_text(f"fsync = {str(fsync).lower()}\n")
    synced: list[str] = []
    monkeypatch.setattr(
        "onrecord.records.folding.fold.sync_folder", lambda path: synced.append(path.name)
    )
    write(project / ".onrecord", "first")
    store = Store.open()
    with store.engine.connect() as connection:
        level = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    assert level == (2 if fsync else 1)  # full, normal
    assert synced == (["folded", "journal"] if fsync else [])


def test_segments_of_many_dead_writers_are_folded_with_few_looks_at_the_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, looks = project / ".onrecord", []
    for number in range(60):
        write(home, f"writer {number}")
    real = os.scandir

    def counted(path: object) -> object:
        looks.append(path)
        return real(path)  # type: ignore[call-overload]  # as it is called

    store = Store(home, fold=False)
    monkeypatch.setattr(os, "scandir", counted)
    store.fold()
    journal = home / "journal"
    assert [looks.count(each) for each in (journal, journal / "folded")] == [3, 1]
    assert len(store.records()) == 60
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM segment").scalar_one() == 0


def test_a_writer_that_goes_on_to_a_new_segment_meanwhile_is_not_taken_for_gone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = project / ".onrecord"
    journal = Journal(home / "journal")
    id = new_id()
    journal.append(Start(id, id, None, "flow", "open", "k", 1, NOTHING))
    store = Store(home, fold=False)
    asked = fold.is_being_written

    def goes_on(path: Path) -> bool:
        monkeypatch.setattr(fold, "is_being_written", asked)
        journal._begin_segment()
        return asked(path)

    monkeypatch.setattr(fold, "is_being_written", goes_on)
    store.fold()
    assert [each.state for each in store.records()] == ["open"]
    journal.append(End(id, 2, NOTHING))
    journal.close()
    store.fold()
    assert [each.state for each in store.records()] == ["done"]


def test_erasing_by_age_that_could_not_be_done_is_done_by_the_next_fold(project: Path) -> None:
    home = project / ".onrecord"
    store = Store(home, keep_days=1.0)
    (home / "erased-by-age").unlink()
    old = time.time_ns() - 10 * 86_400 * 10**9
    id = f"{old // 1_000_000:012x}{'0' * 20}"
    write(home, "new")
    Store(home).take([msgspec.structs.replace(store.records()[0], id=id, run=id, started_ns=old)])
    with folding_lock(home / "journal", wait=True):
        store.fold(wait=False)
    assert len(store.records()) == 2
    store.fold()
    assert names(store) == ["new"]


FORKED = """
import os, sys
from pathlib import Path
from onrecord.records.store import Store

store = Store(Path(sys.argv[1]), sys.argv[2])
count = len(store.records(limit=1000))
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        for _ in range(50):
            if len(store.records(limit=1000)) != count:
                os._exit(1)
        os._exit(0)
    children.append(child)
ends = [os.waitpid(child, 0)[1] for child in children]
assert len(store.records(limit=1000)) == count
sys.exit(any(ends))
"""


@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_a_forked_child_reads_through_a_connection_of_its_own(
    request: pytest.FixtureRequest, project: Path, where: str
) -> None:
    url = request.getfixturevalue("postgres") if where == "postgresql" else ""
    home = project / ".onrecord"
    write(home, *(f"call {number}" for number in range(300)))
    ran = subprocess.run(
        [sys.executable, "-c", FORKED, str(home), url], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr


def test_records_of_a_clock_that_was_ahead_are_found_by_their_times(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, day = time.time_ns(), 86_400 * 10**9
    with monkeypatch.context() as patched:
        patched.setattr(time, "time_ns", lambda: now + day)
        with call("flow", "ahead", None):
            pass
    with call("flow", "right", None):
        pass
    store = Store(project / ".onrecord")
    ahead = Query(since_ns=now + day // 2)
    assert names(store) == ["ahead", "right"]
    assert [each.name for each in store.records(Query(until_ns=now + day // 2))] == ["right"]
    assert [each.name for each in store.records(ahead)] == ["ahead"]


def test_records_with_ids_of_somebodys_own_are_found_by_their_times(project: Path) -> None:
    store = Store(project / ".onrecord")
    hour = 3_600 * 10**9
    ids = {1: "zz top", 2: "0" * 32, 3: "f" * 32, 4: "a"}
    store.take(made(at * hour + 10**18, id=id, run=id) for at, id in ids.items())
    for at, id in ids.items():
        since, until = at * hour + 10**18, at * hour + 10**18 + 1
        assert [each.id for each in store.records(Query(since_ns=since, until_ns=until))] == [id]


def test_a_full_disk_is_only_read(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = small_disk / ".onrecord"
    write(home, *(f"call {number}" for number in range(200)))
    Store(home).close()
    fill(small_disk)
    caplog.clear()
    opening.tell_full.cache_clear()
    store = Store(home)
    assert len(store.runs(1000)) == 200 and store.read_only and store.full
    assert len(store.run(store.runs()[0].id)) == 1
    (told,) = [each.getMessage() for each in caplog.records]
    assert "the disk of" in told and "is full" in told
    (record,) = store.records(limit=1)
    with pytest.raises(StorageError, match="readonly"):
        store.take([msgspec.structs.replace(record, id=new_id())])
    (small_disk / "filling").unlink()
    write(home, "later")
    store.fold()
    assert not store.read_only and len(store.runs(1000)) == 201


def test_erasing_on_a_full_disk_makes_room_for_itself(small_disk: Path) -> None:
    home = small_disk / ".onrecord"
    for _ in range(4):
        write(home, *(f"call {number}" for number in range(300)))
    Store(home).close()
    fill(small_disk)
    store = Store(home)
    assert store.erase(Query(until_ns=time.time_ns())).records == 1200
    assert store.runs() == [] and segments(home / "journal" / "folded") == []


def test_a_full_disk_without_anything_to_delete_says_what_it_needs(small_disk: Path) -> None:
    home = small_disk / ".onrecord"
    write(home, "one")
    Store(home).close()
    (home / "records.db.before-0003").write_bytes(b"x" * 100_000)
    fill(small_disk)
    with pytest.raises(StorageError, match=r"Delete records\.db\.before-0003") as told:
        Store(home).erase(Query(until_ns=time.time_ns()))
    assert "the disk is full" in str(told.value)


def replace_file(home: Path, other: Path) -> None:
    """Put another, empty store in the place of this one's file."""
    Store(other, fold=False).close()
    for ending in ("-wal", "-shm"):
        (home / f"records.db{ending}").unlink(missing_ok=True)
    (other / "records.db").replace(home / "records.db")


def test_a_file_that_is_replaced_during_a_fold_gets_every_record(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The position was read from the old file; the frames before it are not in the new one."""
    home = project / ".onrecord"
    with call("flow", "first", None):
        pass
    store = Store(home)
    with call("flow", "second", None):
        pass
    real = Folding._write

    def write_(self: Folding, *args: Any) -> None:
        monkeypatch.setattr(Folding, "_write", real)
        replace_file(home, project / "other")
        real(self, *args)

    monkeypatch.setattr(Folding, "_write", write_)
    store.fold()
    assert names(store) == ["first", "second"]


@pytest.mark.parametrize(
    "work",
    [
        lambda home: Store(home, fold=False),
        lambda home: Store(home, fold=False).fold(),
        lambda home: Store(home, fold=False).erase(Query(name="first")),
    ],
    ids=["make", "fold", "erase"],
)
def test_a_lock_that_another_process_does_not_let_go_is_told_of(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    work: Callable[[Path], object],
) -> None:
    home = project / ".onrecord"
    write(home, "first")
    if "make" not in request.node.name:
        Store(home, fold=False).close()
    monkeypatch.setattr(fold, "_LONGEST_WAIT", 0.1)
    with (
        folding_lock(home / "journal", wait=True),
        pytest.raises(StorageError, match="another process has been folding"),
    ):
        work(home)
    assert names(Store(home)) == ["first"]


def test_what_is_recorded_while_an_erasure_waits_for_its_turn_is_erased(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hers(name: str) -> None:
        with context(user="ada"), call("flow", name, "words"):
            pass

    real = folding_lock

    def late(journal: Path, *, wait: bool) -> Any:
        monkeypatch.setattr(storing, "folding_lock", real)
        hers("second")
        return real(journal, wait=wait)

    hers("first")
    store = Store(project / ".onrecord")
    monkeypatch.setattr(storing, "folding_lock", late)
    assert store.erase(Query(user="ada")).records == 2
    store.fold()
    assert names(store) == []


def test_an_error_of_folding_is_not_hidden_by_one_of_making_room(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = project / ".onrecord"
    write(home, "one")
    write(home, "two")
    store = Store(home, fold=False)
    real = Folding._segment

    def fails_at_the_second(self: Folding, *args: Any) -> int:
        if self._done:
            raise RuntimeError("of folding")
        return real(self, *args)

    def fails(self: Folding) -> None:
        raise RuntimeError("of making room")

    monkeypatch.setattr(Folding, "_segment", fails_at_the_second)
    monkeypatch.setattr(Folding, "_make_room", fails)
    with pytest.raises(RuntimeError, match="of folding"):
        store.fold()


def test_positions_that_a_kill_left_are_forgotten_by_the_next_fold(project: Path) -> None:
    home = project / ".onrecord"
    write(home, "one")
    store = Store(home)
    (folded,) = segments(home / "journal" / "folded")
    with store.engine.begin() as connection:  # as if it had not come to that
        connection.execute(sa.insert(SEGMENT).values(name=folded.path.name, position=1))
        connection.execute(sa.insert(SEGMENT).values(name="elsewhere.journal", position=1))
    write(home, "two")
    store.fold()
    with store.engine.connect() as connection:
        assert list(connection.scalars(sa.select(SEGMENT.c.name))) == ["elsewhere.journal"]


def test_a_distant_id_widens_the_bounds_of_its_own_time_only(project: Path) -> None:
    store = Store(project / ".onrecord")
    day = 86_400 * 10**9
    now = 10**18
    since, until = now - 40 * day, now - 39 * day
    far = [made(now - day, id=id, run=id) for id in ("f" * 32, "0" * 31 + "1")]
    near = f"{(now - day) // 10**6:012x}{1:020x}"

    def between(*times: int | None) -> tuple[str | None, str | None]:
        with store.engine.connect() as connection:
            return skew.ids_between(connection, *times)

    asked = [(None, until), (since, until), (now + day, None)]
    before = [between(*each) for each in asked]
    store.take([*far, made(now - day, id=near, run=near)])
    assert [between(*each) for each in asked] == before
    assert None not in before[1]
    found = store.records(Query(since_ns=now - day, until_ns=now - day + 1))
    assert [each.id for each in found] == ["f" * 32, near, "0" * 31 + "1"]


def test_a_disk_with_too_little_room_for_the_journal_is_only_read(small_disk: Path) -> None:
    home = small_disk / ".onrecord"
    write(home, "first")
    Store(home).close()
    journal = Journal(home / "journal")
    for _ in range(1000):
        id = new_id()
        body = msgspec.Raw(pack(random.randbytes(2500).hex()))
        journal.append(Start(id, id, None, "flow", "later", "k", time.time_ns(), body))
        journal.append(End(id, time.time_ns(), NOTHING))
    journal.close()
    room = os.statvfs(small_disk)
    with (small_disk / "filling").open("wb") as file:
        file.write(b"x" * (room.f_bavail * room.f_frsize - 1_600_000))
    store = Store(home)
    assert store.full and names(store) == ["first"]
    assert store.fold() == 0 and store.full
    (small_disk / "filling").unlink()
    assert store.fold() == 2000 and not store.full


@pytest.mark.parametrize(
    ("code", "full"),
    [
        (sqlite3.SQLITE_FULL, True),
        (sqlite3.SQLITE_IOERR_SHMSIZE, True),
        (sqlite3.SQLITE_IOERR_READ, False),
        (sqlite3.SQLITE_IOERR_CORRUPTFS, False),
    ],
)
def test_an_error_of_the_disk_is_not_a_full_disk(code: int, full: bool) -> None:
    said = sqlite3.OperationalError("disk I/O error")
    said.sqlite_errorcode = code
    assert is_full(sa.exc.OperationalError("", {}, said)) is full


def fill(disk: Path) -> None:
    with (disk / "filling").open("wb", buffering=0) as file:
        for size in (100_000, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass


@pytest.fixture
def small_disk(project: Path) -> Iterator[Path]:
    folder = project / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
