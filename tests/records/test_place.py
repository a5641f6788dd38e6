"""Where the records are: a disk that is read-only, and what else may stand in the store's place."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from onrecord.errors import StorageError
from onrecord.records.call import call
from onrecord.records.database.place import tell_read_only
from onrecord.records.query import Query
from onrecord.records.store import Store
from onrecord.records.views.health import health


@pytest.fixture(autouse=True)
def told_anew() -> None:
    tell_read_only.cache_clear()


@pytest.fixture
def disk(project: Path) -> Iterator[Path]:
    """A disk of its own, which can be made read-only."""
    folder = project / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def record(home: Path, *names: str) -> None:
    """Calls of another process, which is gone."""
    script = (
        "import sys; from onrecord.records.call import call\n"
        "for name in sys.argv[1:]:\n"
        "    with call('flow', name, {'said': 'the words'}): pass\n"
    )
    environment = {**os.environ, "ONRECORD_HOME": str(home), "ONRECORD_FOLD_SECONDS": "0"}
    subprocess.run([sys.executable, "-c", script, *names], check=True, env=environment)


def test_records_on_a_read_only_disk_can_be_read(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = disk / "what? & why#" / ".onrecord"
    record(home, "folded")
    Store(home).close()
    record(home, "waits")
    read_only(disk)
    store = Store(home)
    (run,) = store.runs()
    assert run.name == "folded" and run.input == {"said": "the words"}
    assert store.run(run.id)[0] == run and store.records(Query(text="the words")) == [run]
    assert store.read_only and store.fold() == 0
    (said,) = [each.getMessage() for each in caplog.records]
    assert str(home) in said and "read and not written" in said
    assert f"{store.waiting:,} bytes of the journal are not in the store" in said
    found = health(store)
    assert found.read_only and found.records == 1 and found.waiting > 0
    assert "read and not written" in found.notes[0]
    with pytest.raises(StorageError, match="readonly"):
        store.take([msgspec.structs.replace(run, id="a" * 32)])
    with pytest.raises(StorageError, match="Read-only"):
        store.erase(Query(run=run.id))


def test_what_another_process_has_just_written_is_read(disk: Path) -> None:
    """The file's neighbour -wal holds it: a process died, or still has the database open."""
    home = disk / ".onrecord"
    record(home, "folded")
    writer = Store(home)
    record(home, "in the wal")
    writer.fold()
    wal = home / "records.db-wal"
    assert wal.stat().st_size > 0
    copied = disk / "copied" / ".onrecord"  # as the disk of a process that was killed
    shutil.copytree(home, copied)
    writer.close()
    read_only(disk)
    assert sorted(each.name for each in Store(copied).runs()) == ["folded", "in the wal"]


def test_a_read_only_folder_without_a_store_says_so(disk: Path) -> None:
    home = disk / ".onrecord"
    record(home, "waits")
    read_only(disk)
    with pytest.raises(StorageError, match="no store of records yet") as told:
        Store(home)
    assert str(home) in str(told.value) and "a copy of the folder" in str(told.value)


def test_an_older_store_that_cannot_be_upgraded_says_so(disk: Path) -> None:
    home = disk / ".onrecord"
    record(home, "folded")
    Store(home).close()
    with sqlite3.connect(home / "records.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    read_only(disk)
    with pytest.raises(StorageError, match=r"older Onrecord \(format 0001\)"):
        Store(home)


def test_a_store_elsewhere_is_read_where_the_journal_cannot_be_folded(
    disk: Path, postgres: str
) -> None:
    home = disk / ".onrecord"
    record(home, "folded")
    Store(home, postgres).close()
    record(home, "waits")
    read_only(disk)
    store = Store(home, postgres)
    assert [each.name for each in store.runs()] == ["folded"] and store.waiting > 0
    store.close()


def listed(*, without: str) -> subprocess.CompletedProcess[str]:
    """`onrecord records` by somebody who is not root, or root without these rights."""
    command = [sys.executable, "-m", "onrecord", "records"]
    if os.geteuid() == 0:
        if shutil.which("capsh") is None:
            pytest.skip("root may do all, and capsh (libcap2-bin) is not here to change that")
        command = ["capsh", f"--drop={without}", "--", "-c", " ".join(command)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_reads_what_it_may_not_write(project: Path) -> None:
    home = project / ".onrecord"
    record(home, "folded")
    Store(home).close()
    home.chmod(0o500)
    (home / "records.db").chmod(0o400)
    done = listed(without="cap_dac_override")
    home.chmod(0o700)
    assert done.returncode == 0 and "folded" in done.stdout, done.stderr
    assert "read and not written" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("home", [".onrecord", "closed/.onrecord"])
def test_a_folder_that_may_not_even_be_read_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("ONRECORD_HOME", str(project / home))
    record(project / home, "folded")
    Store(project / home).close()
    closed = project / Path(home).parts[0]
    closed.chmod(0)
    done = listed(without="cap_dac_override,cap_dac_read_search")
    closed.chmod(0o700)
    assert done.returncode == 4 and "Traceback" not in done.stderr, done.stderr
    assert home in done.stderr and "ermission" in done.stderr


def a_folder(path: Path) -> str:
    path.mkdir()
    return "a folder stands in the place"


def a_link_to_nothing(path: Path) -> str:
    path.symlink_to(path.parent / "gone.db")
    return "is a link to"


def a_pipe(path: Path) -> str:
    os.mkfifo(path)
    return "is no file"


def another_database(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE invoice (id INTEGER)")
    connection.close()
    return "tables of another application"


@pytest.mark.parametrize("put", [a_folder, a_link_to_nothing, a_pipe, another_database])
def test_something_else_in_the_place_of_the_store_is_named_and_nothing_is_lost(
    project: Path, put: object
) -> None:
    home = project / ".onrecord"
    home.mkdir()
    sentence = put(home / "records.db")  # type: ignore[operator]  # one of the functions above
    with call("flow", "meanwhile", None):
        pass
    with pytest.raises(StorageError, match=sentence) as told:
        Store(home)
    assert str(home / "records.db") in str(told.value)
    assert "Until then the journal holds what is recorded" in str(told.value)
    (home / "records.db").rename(project / "moved")
    for beside in home.glob("records.db-*"):
        beside.unlink()
    assert [each.name for each in Store(home).runs()] == ["meanwhile"]
    if put is another_database:  # and it is as it was
        with sqlite3.connect(project / "moved") as connection:
            tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
        connection.close()
        assert tables == [("invoice",)]


def test_a_foreign_file_in_the_place_of_the_store_is_moved_aside(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = project / ".onrecord"
    home.mkdir()
    (home / "records.db").write_text("Dear diary, this is no database at all.\n" * 40)
    with call("flow", "meanwhile", None):
        pass
    assert [each.name for each in Store(home).runs()] == ["meanwhile"]
    (aside,) = home.glob("records.db.damaged-*")
    assert aside.read_text().startswith("Dear diary") and str(aside) in caplog.text
