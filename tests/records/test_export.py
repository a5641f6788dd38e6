from __future__ import annotations

import datetime
import errno
import importlib.util
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onrecord.errors import LoadError, MissingExtraError, StorageError
from onrecord.messages import Usage
from onrecord.records.exchange import files
from onrecord.records.exchange.files import read_jsonl, write_jsonl, write_parquet
from onrecord.records.record import Record, new_id
from onrecord.records.store import Store
from tests.records.exchange_records import NOW, a_run, records


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(records, max_size=3))
def test_json_lines_come_back_exactly(tmp_path: Path, some: list[Record]) -> None:
    path = tmp_path / "records.jsonl"
    assert write_jsonl(some, path) == len(some)
    assert list(read_jsonl(path)) == some


def test_a_store_takes_back_what_another_gave(project: Path) -> None:
    one, other = Store(project / "one", fold=False), Store(project / "other", fold=False)
    run = a_run()
    one.take(run)
    write_jsonl(one.each(), "records.jsonl")
    assert other.take(read_jsonl("records.jsonl")) == len(run)
    assert other.take(read_jsonl("records.jsonl")) == 0
    assert list(other.each()) == list(one.each())


def test_a_file_appears_when_it_is_complete_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "out" / "records.jsonl"
    path.parent.mkdir()
    path.write_text("old")

    def torn() -> Iterator[Record]:
        yield a_run()[0]
        assert path.read_text() == "old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_jsonl(torn(), path)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]
    write_jsonl(a_run(), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    write_jsonl(a_run()[:1], path)
    good = path.read_bytes()
    for bad in (b"{", b"{}", b"[1]", b"\xff", b'"x"', good.replace(b'"flow"', b'"dance"')):
        path.write_bytes(good + b"\n" + bad)
        with pytest.raises(LoadError, match="line 3 is no record") as caught:
            list(read_jsonl(path))
        assert caught.value.where == str(path)
    with pytest.raises(LoadError, match="cannot be read"):
        list(read_jsonl(tmp_path / "nowhere"))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_any_other_file_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    try:
        list(read_jsonl(path))
    except LoadError as error:
        assert "line" in str(error)


def test_a_folder_that_is_not_there_or_full_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        write_jsonl([], tmp_path / "nowhere" / "x")

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_jsonl(a_run(), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_standard_output_and_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    code = (
        "from onrecord.records.exchange.files import write_jsonl\n"
        "from tests.records.exchange_records import a_run\n"
        "write_jsonl(r for _ in range(200) for r in a_run())\n"
    )
    command = [sys.executable, "-c", code]
    root = Path(__file__).parent.parent.parent
    env = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, env=env, check=True)
    assert len(done.stdout.splitlines()) == 1600
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_odd_values_are_written_all_the_same(tmp_path: Path) -> None:
    odd = msgspec.structs.replace(a_run()[0], name="\ud800", input={"n": float("nan")})
    write_jsonl([odd], tmp_path / "x")
    (back,) = read_jsonl(tmp_path / "x")
    assert back.name == "\ufffd" and back.input == {"n": None}


def test_parquet_is_a_flat_table(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    run = a_run()
    open_one = msgspec.structs.replace(run[1], id=new_id(), ended_ns=0, state="open", input=None)
    path = tmp_path / "records.parquet"
    assert write_parquet(iter([*run, open_one]), path, rows=4) == 9
    file = pq.ParquetFile(path)
    assert file.num_row_groups == 3
    table = file.read()
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == [*(record.id for record in run), open_one.id]
    assert str(table.schema.field("started").type) == "timestamp[ns, tz=UTC]"
    model = rows[5]
    assert model["cost_micro_usd"] == 1500
    assert (model["input_tokens"], model["cached_tokens"]) == (120, 100)
    assert rows[4]["cost_micro_usd"] is None
    assert model["tags"] == ["beta", "eu"]
    assert msgspec.json.decode(model["input"]) == run[5].input
    assert model["seconds"] == pytest.approx(0.005)
    assert rows[8]["ended"] is None and rows[8]["seconds"] is None and rows[8]["input"] is None
    started = table.column("started")[0].as_py()
    assert started == datetime.datetime.fromtimestamp(NOW // 10**9, datetime.UTC)
    assert {f"{name}_tokens" for name in Usage.__struct_fields__} <= set(table.column_names)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(records, max_size=3))
def test_parquet_takes_any_record(tmp_path: Path, some: list[Record]) -> None:
    pytest.importorskip("pyarrow")
    assert write_parquet(some, tmp_path / "x.parquet") == len(some)


def test_row_groups_are_bounded_by_their_bodies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(files, "_GROUP_BYTES", 1000)
    big = msgspec.structs.replace(a_run()[0], input="x" * 600)
    write_parquet([big] * 10, tmp_path / "x.parquet")
    assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == 5


def test_without_pyarrow_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"onrecord\[parquet\]"):
        write_parquet([], tmp_path / "x")
