"""The journal: segments, room, losses, processes; what is written is what comes back."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.records import journal as journal_module
from onrecord.records.call import call
from onrecord.records.frames import (
    MAGIC,
    NOTHING,
    End,
    Erased,
    Start,
    erased,
    framed,
    read_frames,
)
from onrecord.records.journal import Journal, segments
from onrecord.records.record import new_id, pack
from onrecord.records.scope import recording
from onrecord.records.store import Store


def start(size: int = 10) -> Start:
    id = new_id()
    return Start(id, id, None, "step", "f", "k", 1, msgspec.Raw(pack("x" * size)))


def end_of(frame: Start) -> End:
    return End(frame.id, 2, NOTHING)


def frames_in(folder: Path) -> list[object]:
    return [
        frame
        for segment in segments(folder)
        for frame, _ in read_frames(segment.path.read_bytes(), len(MAGIC))
    ]


def test_segments_are_begun_when_one_is_full_and_nothing_is_interrupted(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_SEGMENT", 20_000)
    home = project / ".onrecord"
    with recording() as run, call("flow", "outer", {}) as outer:
        for i in range(200):
            with call("step", "inner", {"i": i, "text": "x" * 200}) as this:
                this.output = i
        assert len(segments(home / "journal")) > 3
        store = Store(home)
        (stored, *_) = store.run(outer.id)
        assert stored.state == "open"
        assert len(segments(home / "journal")) == 1  # the full ones are folded and put aside
    store.fold()
    assert {record.state for record in store.run(outer.id)} == {"done"}
    assert len(store.run(outer.id)) == len(run.records) == 201


def test_room_is_kept_to_and_what_is_lost_is_counted_exactly(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = project / ".onrecord" / "journal"
    journal = Journal(folder, room=100_000)
    written = lost = 0
    for _ in range(500):
        frame = start(500)
        if journal.append(frame) and journal.append(end_of(frame)):
            written += 1
        else:
            lost += 1
    assert journal.lost == lost > 0 and written + lost == 500
    assert sum(segment.size for segment in segments(folder)) <= 100_000
    assert sum("records are not being kept" in each.message for each in caplog.records) == 1

    journal.close()
    store = Store(project / ".onrecord")  # folding makes room again
    assert len(store.records(limit=1000)) in (written, written + 1)
    assert store.lost == lost
    assert journal.append(start())
    journal.close()
    store.fold()
    assert store.lost == lost and len(store.records(limit=1000)) in (written + 1, written + 2)


def test_a_disk_that_is_full_now_and_then_is_told_of_once(
    project: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_PAUSE", 0.0)
    now, full, real = [1000.0], [False], os.write
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def write(file: int, data: bytes) -> int:
        if full[0]:
            raise OSError(28, "No space left on device")
        return real(file, data)

    monkeypatch.setattr(os, "write", write)
    journal = Journal(project / ".onrecord" / "journal")
    for at in range(40):  # a call is lost every few seconds, the next one is kept
        full[0] = at % 2 == 0
        assert journal.append(start()) is not full[0]
        now[0] += 5
    assert journal.lost == 20
    assert [each.getMessage().split(":")[0] for each in caplog.records] == [
        "records are not being kept"
    ]
    for _ in range(3000):  # a while without a loss
        assert journal.append(start(200))
        now[0] += 5
    assert len(caplog.records) == 2
    assert "records are kept again; 20 calls have none" in caplog.records[1].getMessage()
    full[0] = True
    assert not journal.append(start())
    assert not journal.append(start())
    assert len(caplog.records) == 3  # the next time is told of again
    full[0] = False
    journal.close()
    assert "2 calls have no record" in caplog.records[3].getMessage() and len(caplog.records) == 4
    assert Store(project / ".onrecord").lost == 22


def test_the_clock_may_be_set_back(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.time_ns()]

    def back() -> int:
        now[0] -= 3_600_000_000_000
        return now[0]

    with recording() as run:
        monkeypatch.setattr(time, "time_ns", back)
        for _ in range(5):
            with call("step", "x", None):
                pass
    ids = [record.id for record in run.records]
    assert ids == sorted(ids)
    assert all(0 <= record.seconds < 60 for record in run.records)


def test_fsync_waits_for_the_disk_at_every_frame_and_new_segment(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    (project / "onrecord.toml").write_text("fsync = true\n")
    with call("step", "x", None):
        assert len(synced) == 2  # the segment's name in its folder, and the frame
    assert len(synced) == 3


@given(st.integers(20, 3000) | st.integers(65_400, 65_700))
def test_a_frame_of_any_length_can_be_erased(length: int) -> None:
    frame = erased(length)
    assert len(frame) == length
    ((read, end),) = read_frames(frame, 0)
    assert isinstance(read, Erased) and end == length


def test_a_journal_from_a_newer_version_is_left_alone(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = project / ".onrecord" / "journal"
    folder.mkdir(parents=True)
    newer = folder / f"{new_id()}.000001.journal"
    newer.write_bytes(b"onrecord journal 9\n" + b"who knows what")
    with call("step", "ours", None):
        pass
    store = Store(project / ".onrecord")
    assert [record.name for record in store.records()] == ["ours"]
    assert newer.read_bytes().endswith(b"who knows what")
    assert "a newer Onrecord wrote" in caplog.text and store.torn == 0


def test_a_segment_of_something_else_is_counted_and_put_aside(project: Path) -> None:
    folder = project / ".onrecord" / "journal"
    folder.mkdir(parents=True)
    (folder / "zzz.000001.journal").write_bytes(b"garbage")
    assert Store(project / ".onrecord").torn == 7
    assert segments(folder) == []


def test_a_torn_tail_is_counted_once(project: Path) -> None:
    journal = Journal(project / ".onrecord" / "journal")
    journal.append(start())
    journal.close()
    (segment,) = segments(journal.folder)
    with segment.path.open("ab") as file:
        file.write(framed(start())[:-3])
    stores = [Store(project / ".onrecord") for _ in range(3)]
    assert {store.torn for store in stores} == {len(framed(start())) - 3}


def _calls(n: int, name: str) -> None:
    for i in range(n):
        with call("flow", name, {"i": i}), call("step", "inner", None):
            pass


def _forking() -> None:
    with call("flow", "parent", None):
        pid = os.fork()
        _calls(5, "forked")
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_keep_journals_of_their_own(project: Path, method: str) -> None:
    context = multiprocessing.get_context(method)
    with call("flow", "mine", None):
        children = [context.Process(target=_calls, args=(10, f"child{i}")) for i in range(3)]
        for child in children:
            child.start()
        threads = [threading.Thread(target=_calls, args=(10, "thread")) for _ in range(3)]
        for thread in threads:
            thread.start()
        for each in (*children, *threads):
            each.join()
    store = Store(project / ".onrecord")
    records = store.records(limit=1000)
    assert {record.state for record in records} == {"done"}
    expected = 1 + 2 * 10 * 3 + 2 * 10 * 3
    assert len({record.id for record in records}) == len(records) == expected


def test_a_fork_inside_a_call(project: Path) -> None:
    _forking()
    records = Store(project / ".onrecord").records(limit=1000)
    # Both go on inside the parent's call; the child's copy of it never ends, the parent's does.
    assert [record.state for record in records if record.name == "parent"] == ["done"]
    assert sum(record.name == "forked" for record in records) == 10
    assert len({record.id for record in records}) == len(records)


def test_parents_across_gather_threads_and_tasks(project: Path) -> None:
    async def branch(name: str, depth: int) -> None:
        with call("step", name, None):
            await asyncio.sleep(0)
            if depth:
                await asyncio.gather(*(branch(f"{name}{i}", depth - 1) for i in range(3)))

    async def main() -> None:
        with call("flow", "r", None):
            task = asyncio.create_task(branch("t", 1))
            await asyncio.gather(branch("g", 2), asyncio.to_thread(_thread), task)

    def _thread() -> None:
        with call("step", "h", None), call("step", "h0", None):
            pass

    with recording() as run:
        asyncio.run(main())
    by_id = {record.id: record for record in run.records}
    for record in run.records:
        if record.parent is not None:
            parent = by_id[record.parent].name
            assert record.name[:-1] == parent or (parent == "r" and len(record.name) == 1)
    assert len(run.records) == 1 + (1 + 3 + 9) + 2 + (1 + 3)


UNDER_LOAD = """
import os, sys, threading, random
from onrecord.records.call import call

def work(n):
    out = os.open(f"ended-{os.getpid()}-{n}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        with call("flow", "outer", None) as outer:
            with call("step", "inner", {"text": "x" * random.randrange(3000)}) as this:
                this.output = "y" * random.randrange(3000)
            os.write(out, (this.id + "\\n").encode())

print("ready", flush=True)
for n in range(2):
    threading.Thread(target=work, args=(n,)).start()
"""


def test_kill_9_at_any_instant_loses_no_ended_record(project: Path) -> None:
    for at in range(12):
        child = subprocess.Popen([sys.executable, "-c", UNDER_LOAD], stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline()
        time.sleep(0.002 * at)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    ended = {line for path in project.glob("ended-*") for line in path.read_text().split("\n")[:-1]}
    store = Store(project / ".onrecord")
    records = {record.id: record for record in store.records(limit=1_000_000)}
    assert ended and ended <= {id for id, record in records.items() if record.state == "done"}
    states = {record.state for record in records.values()}
    assert states <= {"done", "interrupted"} and "interrupted" in states
    assert segments(project / ".onrecord" / "journal") == []
