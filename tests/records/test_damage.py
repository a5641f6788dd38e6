"""Damage within the journal: what is behind it is read, what is lost is counted and told."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.records.folding.losses import Damage
from onrecord.records.frames import (
    HEAD,
    MAGIC,
    NOTHING,
    End,
    Erased,
    Frame,
    Gap,
    Lost,
    Source,
    Start,
    framed,
    is_torn,
    read_frames,
)
from onrecord.records.journal import Journal, segments
from onrecord.records.query import Query
from onrecord.records.record import new_id, pack
from onrecord.records.store import Store
from onrecord.records.views.health import health


def start(name: str = "f", input: object = "x") -> Start:
    id = new_id()
    return Start(id, id, None, "step", name, "k", 1, msgspec.Raw(pack(input)))


def calls(number: int) -> list[Frame]:
    """The frames of calls, with a source among them."""
    frames: list[Frame] = [Source("v1", "def f(): ...")]
    for at in range(number):
        begun = start(f"call{at}")
        frames += [begun, End(begun.id, 2, NOTHING)]
    return frames


def written(home: Path, frames: list[Frame]) -> tuple[Path, list[int]]:
    """A segment whose writer is gone, and where each of the frames begins in it."""
    journal = Journal(home / "journal")
    for frame in frames:
        assert journal.append(frame)
    journal.close()
    (segment,) = segments(home / "journal")
    begins = [len(MAGIC)]
    for frame in frames:
        begins.append(begins[-1] + len(framed(frame)))
    return segment.path, begins


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("where", ["head", "payload"])
def test_what_is_behind_a_damaged_frame_is_read(
    project: Path, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    home = project / ".onrecord"
    path, begins = written(home, calls(4))
    at = begins[3] + (0 if where == "head" else HEAD.size + 9)  # the start of the second call
    overwrite(path, at, b"\xff\xff\xff")
    store = Store(home)
    assert sorted(each.name for each in store.records()) == ["call0", "call2", "call3"]
    assert {each.state for each in store.records()} == {"done"}
    size = begins[4] - begins[3]
    assert store.damage == [Damage(path.name, begins[3], size)] and store.torn == size
    assert f"{size} bytes of {path}, from byte {begins[3]} on, are damaged" in caplog.text
    assert "at the end" not in caplog.text
    store.fold()
    assert store.torn == size


def test_a_first_line_that_is_damaged_hides_nothing(project: Path) -> None:
    home = project / ".onrecord"
    path, begins = written(home, calls(2))
    overwrite(path, 3, b"?")
    store = Store(home)
    assert sorted(each.name for each in store.records()) == ["call0", "call1"]
    (damage,) = store.damage
    assert damage.begin == 0 and damage.size == begins[1]  # up to the first call


def test_where_nothing_certain_follows_the_rest_is_counted_and_the_file_kept(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = project / ".onrecord"
    path, begins = written(home, calls(3))
    strange = path.with_name("copied.000001.journal")  # nobody can tell whose calls are in it
    path.rename(strange)
    overwrite(strange, begins[3], b"\xff\xff\xff\x7f" + b"\0" * 6)
    store = Store(home, journal_mb=0.0001)  # no room for segments that are folded
    assert [each.name for each in store.records()] == ["call0"]
    rest = begins[-1] - begins[3]
    assert store.damage == [Damage(strange.name, begins[3], rest)]
    assert f"the rest of {strange}, {rest} bytes from byte {begins[3]} on" in caplog.text
    assert [each.path.name for each in segments(home / "journal" / "folded")] == [strange.name]


def test_a_folded_segment_without_damage_still_makes_room(project: Path) -> None:
    written(project / ".onrecord", calls(3))
    Store(project / ".onrecord", journal_mb=0.0001).close()
    assert segments(project / ".onrecord" / "journal" / "folded") == []


def test_a_torn_tail_is_still_called_one(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = project / ".onrecord"
    path, _ = written(home, calls(1))
    with path.open("ab") as file:
        file.write(framed(start())[:-3])
    store = Store(home)
    torn = len(framed(start())) - 3
    assert store.torn == torn and store.damage == []
    assert f"{torn} bytes at the end of {path} are torn" in caplog.text


def test_zeros_that_a_power_cut_left_are_a_torn_tail(project: Path) -> None:
    path, _ = written(project / ".onrecord", calls(1))
    with path.open("ab") as file:
        file.write(bytes(5000))
    store = Store(project / ".onrecord")
    assert store.torn == 5000 and store.damage == []


def test_text_that_looks_like_a_frame_is_not_taken_for_one(project: Path) -> None:
    """A body holds a whole frame, of another process; what is around it is damaged."""
    id = f"{1:012x}{'ab' * 5}{7:010x}"
    forged = Start(id, id, None, "step", "forged", "k", 1, NOTHING)
    around = start("around", framed(forged))
    home = project / ".onrecord"
    path, begins = written(home, [start("before"), around, start("behind")])
    overwrite(path, begins[1], b"\xff\xff\xff")
    store = Store(home)
    assert sorted(each.name for each in store.records()) == ["before", "behind"]


def test_damage_is_found_again_when_the_store_is_built_anew(project: Path) -> None:
    home = project / ".onrecord"
    path, begins = written(home, calls(4))
    overwrite(path, begins[3] + 20, b"????")
    before = Store(home)
    damage, records = before.damage, before.records()
    before.close()
    (home / "records.db").write_bytes(b"junk" * 500)
    after = Store(home)
    assert after.damage == damage and after.records() == records


@pytest.mark.parametrize("where", ["head", "payload"])
def test_erasing_reaches_what_is_behind_damage(project: Path, where: str) -> None:
    home = project / ".onrecord"
    hers = msgspec.structs.replace(start("hers", "unmistakable words"), user="ada")
    path, begins = written(home, [start("first"), start("second"), hers])
    overwrite(path, begins[1] + (0 if where == "head" else 20), b"????")
    store = Store(home)
    receipt = store.erase(Query(user="ada"))
    assert receipt.frames == 1
    assert f"the damaged bytes of journal/folded/{path.name}: delete the file" in receipt.remaining
    assert [each.name for each in store.records()] == ["first"]
    assert b"unmistakable" not in (home / "journal" / "folded" / path.name).read_bytes()
    store.close()
    (home / "records.db").write_bytes(b"junk" * 500)  # and building it anew brings nothing back
    assert [each.name for each in Store(home).records()] == ["first"]


def test_the_status_tells_of_damage_and_of_newer_segments(project: Path) -> None:
    home = project / ".onrecord"
    path, begins = written(home, calls(4))
    overwrite(path, begins[3] + 20, b"????")
    newer = home / "journal" / f"{new_id()}.000001.journal"
    newer.write_bytes(b"onrecord journal 12\n" + b"who knows what")
    found = health(Store(home, fold=False))
    assert [(each.segment, each.begin) for each in found.damage] == [(path.name, begins[3])]
    ((told, version),) = [(each.path, each.version) for each in found.newer]
    assert (told, version) == (str(newer), 12)
    told_of = "\n".join(found.notes)
    assert f"from byte {begins[3]:,} on" in told_of and path.name in told_of
    assert "journal version 12" in told_of and "pip install -U onrecord" in told_of


@given(
    number=st.integers(1, 6),
    at=st.integers(0, 2**16),
    damage=st.binary(min_size=1, max_size=300),
)
def test_every_call_that_damage_does_not_touch_is_read_and_no_other(
    number: int, at: int, damage: bytes
) -> None:
    whole = calls(number)
    data = bytearray(b"".join(map(framed, whole)))
    at %= len(data)
    damage = damage[: len(data) - at]
    data[at : at + len(damage)] = damage
    read, behind = [], 0
    for frame, end in read_frames(bytes(data), 0, new_id()):
        if isinstance(frame, Gap):
            assert frame == Gap(behind, end)
        else:
            read.append(frame)
        behind = end
    in_order = iter(whole)
    assert all(frame in in_order for frame in read)
    begin = 0
    for frame in whole:
        end = begin + len(framed(frame))
        if isinstance(frame, Start | End) and (end <= at or at + len(damage) <= begin):
            assert frame in read
        begin = end


def test_a_whole_frame_with_a_wrong_checksum_is_damage_and_no_torn_tail() -> None:
    payload = b"\x92\xa4lost\x05"
    wrong = struct.pack("<II", len(payload), zlib.crc32(payload) ^ 1) + payload
    assert not is_torn(wrong, 0)
    assert is_torn(wrong[:-1], 0)


@pytest.mark.parametrize(
    "frame", [start(), End(new_id(), 2, NOTHING), Source("v", "code"), Lost(1), Erased(b"")]
)
def test_a_frame_that_was_cut_off_anywhere_is_torn(frame: Frame) -> None:
    whole = framed(frame)
    assert [size for size in range(1, len(whole)) if not is_torn(whole[:size], 0)] == []
