"""The journal and the store: nothing that ended is lost, nothing is taken in twice."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.errors import NewerVersionError, UnknownNameError, UsageError
from onrecord.messages import Usage
from onrecord.programs.flow import flow, step
from onrecord.records.call import call
from onrecord.records.frames import MAGIC, NOTHING, End, Start, framed, read_frames
from onrecord.records.journal import Journal, segments
from onrecord.records.record import content_key, new_id, pack, plain
from onrecord.records.scope import recording
from onrecord.records.store import Store


@step
async def double(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


@flow
async def total(n: int) -> int:
    return sum(await asyncio.gather(*(double(i) for i in range(n))))


@flow
async def failing() -> None:
    await double(1)
    raise ValueError("no such order")


def start(**changes: object) -> Start:
    id = new_id()
    frame = Start(id, id, None, "flow", "f", "k", 1, msgspec.Raw(pack({"x": 1})))
    return msgspec.structs.replace(frame, **changes)


def end_of(frame: Start, **changes: object) -> End:
    return msgspec.structs.replace(End(frame.id, 2, NOTHING, None, Usage(), 0), **changes)


def read(data: bytes) -> list[Start | End]:
    return [frame for frame, _ in read_frames(data, len(MAGIC)) if isinstance(frame, Start | End)]


def test_a_run_is_a_tree_of_records(project: Path) -> None:
    with recording() as run:
        assert total.run(3) == 6
    *steps, root = run.records
    assert [record.name for record in steps] == ["double"] * 3
    assert all(record.parent == root.id and record.run == root.id for record in steps)
    assert (root.kind, root.input, root.output, root.state) == ("flow", {"n": 3}, 6, "done")
    assert root.started_ns < root.ended_ns
    assert run.tree().splitlines()[0].startswith("flow total")
    stored = Store(project / ".onrecord").run(root.id)
    assert {msgspec.json.encode(record) for record in stored} == {
        msgspec.json.encode(record) for record in run.records
    }


def test_an_error_is_recorded_and_raised(project: Path) -> None:
    with recording() as run, pytest.raises(ValueError, match="no such order"):
        failing.run()
    assert run.records[-1].state == "failed"
    assert run.records[-1].error == "ValueError: no such order"
    assert "no such order" in run.tree()
    assert Store(project / ".onrecord").runs()[0].error == "ValueError: no such order"


def test_parents_are_kept_across_threads_and_tasks(project: Path) -> None:
    @flow
    def threaded(n: int) -> int:  # a plain function runs in a thread
        return double.run(n) + total.run(2)

    with recording() as run:
        assert threaded.run(4) == 10
    by_id = {record.id: record for record in run.records}
    root = run.records[-1]
    assert root.name == "threaded" and root.parent is None
    names = sorted(
        (record.name, by_id[record.parent].name) for record in run.records if record.parent
    )
    assert names == [
        ("double", "threaded"),
        ("double", "total"),
        ("double", "total"),
        ("total", "threaded"),
    ]


def test_equal_questions_have_equal_keys_in_any_process() -> None:
    assert content_key("model", {"b": 1, "a": [1.5, None]}) == content_key(
        "model", {"a": [1.5, None], "b": 1}
    )
    assert content_key("a", "b") != content_key("ab")
    script = "from onrecord.records.record import content_key; print(content_key('x', {'a': 1}))"
    keys = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert keys == {content_key("x", {"a": 1})}


def test_any_value_can_be_recorded() -> None:
    class Odd:
        pass

    import numpy as np
    import pydantic

    class Model(pydantic.BaseModel):
        when: str = "now"

    value = {"path": Path("a/b"), "model": Model(), "array": np.arange(2), "odd": Odd(), 3: {1}}
    assert plain(value)["model"] == {"when": "now"}
    assert plain(value)["path"] == "a/b"
    assert plain(value)["array"] == [0, 1]
    assert plain(Odd()) == plain(Odd())  # no address in what is recorded
    with recording() as run, call("step", "odd", value) as this:
        this.output = value
    assert run.records[0].input == plain(value)


CRASHING = """
import os, signal, sys
from onrecord.programs.flow import flow, step

@step
async def one(i: int) -> int:
    return i

@flow
async def crash(n: int) -> None:
    for i in range(n):
        await one(i)
    os.kill(os.getpid(), signal.SIGKILL)

crash.run(int(sys.argv[1]))
"""


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_kill_9_loses_nothing_that_ended_and_marks_what_was_open(project: Path, steps: int) -> None:
    done = subprocess.run([sys.executable, "-c", CRASHING, str(steps)], cwd=project)
    assert done.returncode == -signal.SIGKILL
    store = Store(project / ".onrecord")
    (run,) = store.runs()
    records = store.run(run.id)
    assert run.state == "interrupted"
    assert [(record.output, record.state) for record in records if record.name == "one"] == [
        (i, "done") for i in range(steps)
    ]
    assert segments(project / ".onrecord" / "journal") == []


def test_a_living_writers_open_calls_stay_open(project: Path) -> None:
    with call("flow", "long", {}):
        (run,) = Store(project / ".onrecord").runs()
        assert run.state == "open"
    (run,) = Store(project / ".onrecord").runs()
    assert run.state == "done"


@given(cut=st.integers(0, 400), flip=st.integers(0, 400))
def test_a_damaged_frame_costs_no_frame_before_it_and_brings_nothing_new(
    cut: int, flip: int
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        first, second = start(name="first"), start(name="second")
        for frame in (first, end_of(first), second, end_of(second)):
            journal.append(frame)
        journal.close()
        ((path, *_),) = segments(Path(folder))
        data = bytearray(path.read_bytes())
    whole = read(bytes(data))
    assert [frame.id for frame in whole] == [first.id, first.id, second.id, second.id]
    torn = read(bytes(data[: len(data) - cut]))
    assert [frame.id for frame in torn] == [frame.id for frame in whole][: len(torn)]
    position = len(MAGIC) + flip % (len(data) - len(MAGIC))
    data[position] ^= 0x5A
    damaged = read(bytes(data))
    in_order = iter(whole)
    assert all(frame in in_order for frame in damaged)
    assert len(damaged) < 4


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read_as_a_segment(data: bytes) -> None:
    assert list(read_frames(data, 0)) == []


def test_torn_bytes_are_counted(project: Path) -> None:
    journal = Journal(project / ".onrecord" / "journal")
    frame = start()
    journal.append(frame)
    journal.close()
    ((path, *_),) = segments(journal.folder)
    with path.open("ab") as file:
        file.write(b"\x99" * 11)
    store = Store(project / ".onrecord")
    assert store.torn == 11
    assert store.run(frame.id)[0].state == "interrupted"


def _many_runs(n: int) -> None:
    for _ in range(n):
        total.run(2)


def test_processes_write_and_fold_at_once_and_each_record_comes_in_once(project: Path) -> None:
    context = multiprocessing.get_context("fork")
    total.run(1)  # this process, too, has a segment that its children must not write to
    children = [context.Process(target=_many_runs, args=(20,)) for _ in range(4)]
    for child in children:
        child.start()
    folders = [
        threading.Thread(target=lambda: Store(project / ".onrecord").close()) for _ in range(4)
    ]
    for thread in folders:
        thread.start()
    for worker in [*folders, *children]:
        worker.join()
    runs = Store(project / ".onrecord").runs(limit=1000)
    assert len(runs) == 81
    assert len({run.id for run in runs}) == 81
    assert {run.state for run in runs} == {"done"}


def test_equal_bodies_are_kept_once(project: Path) -> None:
    big = "x" * 100_000
    for _ in range(5):
        with call("step", "big", big) as this:
            this.output = big
    store = Store(project / ".onrecord")
    assert len(store.runs()) == 5
    store.close()
    assert (project / ".onrecord" / "records.db").stat().st_size < 300_000


def test_a_run_is_found_by_how_its_id_begins(project: Path) -> None:
    with recording() as run:
        total.run(1)
        total.run(1)
    store = Store(project / ".onrecord")
    root = run.records[-1]
    assert store.run(root.id)[0].id == root.id
    with pytest.raises(UnknownNameError, match="no record has an id that begins with 'zz'"):
        store.run("zz")
    with pytest.raises(UnknownNameError, match="more than one run"):
        store.run("0")


def test_a_store_from_a_newer_version_is_left_alone(project: Path) -> None:
    Store(project / ".onrecord").close()
    import sqlite3

    with sqlite3.connect(project / ".onrecord" / "records.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NewerVersionError, match="newer Onrecord"):
        Store(project / ".onrecord")


def test_a_damaged_store_is_kept_aside_and_built_anew_from_the_journal(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = project / ".onrecord"
    with recording() as run:
        total.run(3)
    store = Store(home)
    assert len(store.run(run.records[-1].id)) == 4
    store.close()
    damaged = b"not a database at all" * 100
    (home / "records.db").write_bytes(damaged)
    again = Store(home).run(run.records[-1].id)
    assert {each.id for each in again} == {each.id for each in run.records}
    assert "built anew from the journal" in caplog.text
    (aside,) = home.glob("records.db.damaged-*")
    assert aside.read_bytes() == damaged


def test_a_store_damaged_while_it_is_open_answers_all_the_same(project: Path) -> None:
    home = project / ".onrecord"
    total.run(50)
    store = Store(home)
    store.close()
    data = bytearray((home / "records.db").read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    (home / "records.db").write_bytes(data)
    assert len(store.runs()) == 1
    assert len(store.records(limit=1000)) == 51


def test_a_journal_that_cannot_be_written_drops_counts_and_says_so_once(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = project / "file"
    blocked.write_text("not a folder")
    journal = Journal(blocked / "journal")
    for _ in range(3):
        journal.append(start())
    assert journal.lost == 3
    assert len(caplog.records) == 1
    assert "records are not being kept" in caplog.text


def test_recording_can_be_switched_off(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_RECORD", "false")
    with recording() as run:
        assert total.run(2) == 2
    assert len(run.records) == 3
    assert not (project / ".onrecord").exists()


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("do not look at me")


CYCLE: list[object] = []
CYCLE.append(CYCLE)
ODD = {
    "tuple keys": {("a", "b"): 1, None: 2},
    "big number": {"n": 2**70},
    "cycle": CYCLE,
    "broken repr": Broken(),
    "class": Store,
    "surrogate": "half \ud800 pair",
    "mixed set": {1, "a", None},
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD.keys())
def test_no_value_can_fail_the_call_it_is_part_of_or_spoil_the_store(
    project: Path, value: object
) -> None:
    @flow
    async def echo(given: object) -> object:
        return given

    with recording() as run:
        assert echo.run(value) is value
    assert isinstance(run.records[0].key, str)
    assert total.run(1) == 0
    names = [record.name for record in Store(project / ".onrecord").runs()]
    assert names == ["total", "echo"]
    assert Store(project / ".onrecord").runs()[1].state == "done"


def test_a_full_disk_leaks_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def full(file: int, data: bytes) -> int:
        if data == MAGIC:
            raise OSError(28, "No space left on device")
        return real(file, data)

    monkeypatch.setattr(os, "write", full)
    journal = Journal(project / "journal")
    descriptors = Path("/proc/self/fd")  # not everywhere; the empty folder tells enough there
    before = len(list(descriptors.glob("*")))
    for _ in range(20):
        journal.append(start())
    assert journal.lost == 20
    assert list((project / "journal").iterdir()) == []
    assert len(list(descriptors.glob("*"))) <= before


def test_a_project_folder_may_have_any_name(tmp_path: Path) -> None:
    home = tmp_path / "what? & why#" / ".onrecord"
    Store(home).close()
    assert (home / "records.db").is_file()


def test_an_unknown_cost_is_not_called_zero(project: Path) -> None:
    from onrecord.records.views.wording import dollars

    with recording() as run:
        with call("model", "free", {}) as this:
            this.cost = 0
        with call("model", "priced", {}) as this:
            this.cost = 1500
        assert run.cost == 1500 and dollars(run.cost) == "$0.0015"
        with call("model", "unknown", {}) as this:
            this.cost = None
    assert run.cost is None and dollars(run.cost) == "cost unknown"
    assert "cost unknown" in run.tree()
    stored = Store(project / ".onrecord").runs()
    assert [record.cost for record in stored] == [None, 1500, 0]


def test_models_and_their_likes_are_known_by_name_and_version() -> None:
    import onrecord as on

    one, same, other = on.Scripted("a"), on.Scripted("a"), on.Scripted("b")
    assert content_key("x", one) == content_key("x", same) != content_key("x", other)
    assert plain({"model": one})["model"] == {"name": "scripted:test", "version": one.version}


def test_a_context_may_be_named_by_numbers_and_spoils_nothing(project: Path) -> None:
    from onrecord.records.query import Query
    from onrecord.records.scope import context

    with context(user=5, session=7.5, release=b"x", tags=[1, "a"]):  # type: ignore[arg-type, list-item]
        total.run(1)
    with context(user="\ud800"):
        total.run(2)
    for tags in ("abc", None, 5):
        with pytest.raises(UsageError, match="tags are several texts"), context(tags=tags):  # type: ignore[arg-type]  # a mistake
            pass
    with pytest.raises(UsageError, match="several"), context(tags="abc"):
        pass
    total.run(3)
    store = Store(project / ".onrecord")
    assert len(store.runs()) == 3 and store.torn == 0
    (found,) = [each for each in store.records(Query(user="5")) if each.parent is None]
    assert (found.session, found.release, found.tags) == ("7.5", "b'x'", ("1", "a"))


def test_a_frame_of_an_unknown_kind_hides_nothing_behind_it(project: Path) -> None:
    import struct
    import zlib

    journal = Journal(project / ".onrecord" / "journal")
    journal.append(start(name="before"))
    journal.close()
    payload = msgspec.msgpack.encode(["from the future", 1, 2])
    ((path, *_),) = segments(journal.folder)
    data = path.read_bytes() + struct.pack("<II", len(payload), zlib.crc32(payload)) + payload
    data += framed(start(name="behind"))
    path.write_bytes(data)
    store = Store(project / ".onrecord")
    assert {each.name for each in store.records()} == {"before", "behind"} and store.torn == 0


class Untellable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_that_cannot_be_told_is_still_the_callers(project: Path) -> None:
    @flow
    async def fails() -> None:
        raise Untellable

    with pytest.raises(Untellable):
        fails.run()
    (run,) = Store(project / ".onrecord").runs()
    assert (run.state, run.error) == ("failed", "Untellable")


def test_a_number_that_cannot_be_written_out_is_told_by_its_size(project: Path) -> None:
    @flow
    async def echo(n: int) -> int:
        return n

    assert echo.run(10**5000) == 10**5000
    (run,) = Store(project / ".onrecord").runs()
    assert run.output == "<a whole number of 16,610 bits>"


def test_a_plain_flow_that_forgets_to_wait_is_told_so(project: Path) -> None:
    @flow
    def forgetful() -> object:
        return double(1)

    with pytest.raises(UsageError, match=r"with \.run"):
        forgetful.run()


def test_a_page_of_a_damaged_store_is_read_from_the_one_built_anew(project: Path) -> None:
    for _ in range(30):
        total.run(10)
    store = Store(project / ".onrecord")
    store.close()
    path = project / ".onrecord" / "records.db"
    data = bytearray(path.read_bytes())
    data[-8 * 4096 :] = os.urandom(8 * 4096)
    path.write_bytes(data)
    from onrecord.records.query import Query

    assert len(list(store.each(Query()))) == 330
