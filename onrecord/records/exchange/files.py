"""Records as files: JSON Lines, which come back exactly, and Parquet, for whoever counts."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from onrecord.errors import LoadError, MissingExtraError, StorageError
from onrecord.messages import Usage
from onrecord.records.exchange.chat import as_json
from onrecord.records.record import Record, simplified


def write_jsonl(records: Iterable[Record], path: str | Path | None = None) -> int:
    """Write one record a line, every field, and return how many.

    `path` None or "-" is standard output. A file appears when it is complete, for its owner's eyes
    only, and replaces one of that name. Raises StorageError. NaN and infinity, which JSON does not
    have, become null.
    """
    if path is None or str(path) == "-":
        return _write_lines(records, sys.stdout.buffer)
    with _replacing(Path(path)) as file:
        return _write_lines(records, file)


def read_jsonl(path: str | Path) -> Iterator[Record]:
    """The records of a file that `write_jsonl` wrote. Empty lines are passed over.

    Raises LoadError with the number of the line for one that is no record.
    """
    with _opened(Path(path)) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield _decode(line)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
                raise LoadError(
                    f"line {number} is no record: {error}",
                    where=str(path),
                    cure="Each line holds one record, as `onrecord records export` writes it.",
                ) from None


def write_parquet(records: Iterable[Record], path: str | Path, *, rows: int = 10_000) -> int:
    """Write a table with a row a record, and return how many.

    Inputs and outputs are JSON text, times UTC timestamps in nanoseconds (null where a call has not
    ended), costs integer micro-dollars. At most `rows` rows, or 64 MB of bodies, are in memory at a
    time. Raises StorageError, and MissingExtraError without pyarrow.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError(
            "Parquet needs pyarrow", cure="Install it with `pip install 'onrecord[parquet]'`."
        )
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
    import pyarrow.parquet  # type: ignore[import-untyped]  # the same

    schema = pa.schema(_columns(pa))
    written = 0
    with (
        _replacing(Path(path)) as file,
        pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for group in _groups(records, rows):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            written += len(group)
    return written


def _write_lines(records: Iterable[Record], file: IO[bytes]) -> int:
    written = 0
    try:
        for record in records:
            file.write(_encoded(record))
            file.write(b"\n")
            written += 1
        file.flush()
    except BrokenPipeError:  # whoever read has seen enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())
    return written


def _encoded(record: Record) -> bytes:
    try:
        return _encode(record)
    except Exception:  # half a surrogate pair, which a record of the store never has
        return _encode(simplified(record))


def _groups(records: Iterable[Record], rows: int) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    size = 0
    for record in records:
        row = _row(record)
        group.append(row)
        size += len(row["input"] or "") + len(row["output"] or "")
        if len(group) >= rows or size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _row(record: Record) -> dict[str, Any]:
    return {
        **{name: getattr(record, name) for name in _AS_IT_IS},
        "tags": list(record.tags),
        "started": record.started_ns,
        "ended": record.ended_ns or None,
        "seconds": record.seconds if record.ended_ns else None,
        "cost_micro_usd": record.cost,
        **{f"{name}_tokens": getattr(record.usage, name) for name in Usage.__struct_fields__},
        "input": None if record.input is None else as_json(record.input),
        "output": None if record.output is None else as_json(record.output),
    }


def _columns(pa: Any) -> list[Any]:
    text, time = pa.string(), pa.timestamp("ns", tz="UTC")
    return [
        *[pa.field(name, text) for name in _AS_IT_IS if name != "redacted"],
        pa.field("redacted", pa.bool_()),
        pa.field("tags", pa.list_(text)),
        pa.field("started", time),
        pa.field("ended", time),
        pa.field("seconds", pa.float64()),
        pa.field("cost_micro_usd", pa.int64()),
        *[pa.field(f"{name}_tokens", pa.int64()) for name in Usage.__struct_fields__],
        pa.field("input", text),
        pa.field("output", text),
    ]


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the name `path` when the block is done, and goes away when it fails."""
    if path.exists() and not path.is_file():  # a device, a pipe: nothing to replace
        with path.open("wb") as file:
            yield file
        return
    new: str | None = None
    try:
        handle, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(new).replace(path)
        new = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"the records cannot be written: {reason}", where=str(path)) from None
    finally:
        if new is not None:
            Path(new).unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        reason = error.strerror or str(error)
        raise LoadError(f"the file cannot be read: {reason}", where=str(path)) from None


_GROUP_BYTES = 64_000_000
_AS_IT_IS = (
    "id",
    "run",
    "parent",
    "kind",
    "name",
    "key",
    "version",
    "state",
    "error",
    "release",
    "session",
    "user",
    "tenant",
    "source",
    "redacted",
)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode
