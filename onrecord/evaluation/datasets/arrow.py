"""Parquet files, and folders that `datasets` has saved with `save_to_disk`: tables of Arrow.

Both are read in batches with pyarrow; `datasets` itself is not needed. Its folder holds
`state.json` (which files), `dataset_info.json` (the features) and Arrow streams; a folder of splits
holds `dataset_dict.json` and a folder for each.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from onrecord.errors import LoadError, MissingExtraError, StorageError
from onrecord.evaluation.datasets.formats import BadRow, Row, Table
from onrecord.records.record import plain

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types


def parquet_table(path: Path) -> Table:
    """The table of a Parquet file."""
    _need_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]  # the same

    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
    except OSError as error:
        raise _unreadable(error, path) from None
    except pa.ArrowException as error:
        raise LoadError(f"this is no Parquet file: {_short(error)}", where=str(path)) from None

    def batches(wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches(_BATCH, columns=list(wanted))

    return _table(path, schema, batches, {})


def saved_table(path: Path) -> Table:
    """The table of a folder that was saved with `save_to_disk`."""
    if (path / "dataset_dict.json").is_file():
        splits = _json(path / "dataset_dict.json").get("splits", [])
        raise LoadError(
            f"the folder holds {len(splits)} splits: {', '.join(map(str, splits))}",
            where=str(path),
            cure=f"Name one: {path}/{splits[0] if splits else 'train'}.",
        )
    if not (path / "state.json").is_file():
        raise LoadError(
            "this folder is no dataset: it has no state.json",
            where=str(path),
            cure="Name a file, or a folder that `save_to_disk` of `datasets` has made.",
        )
    _need_pyarrow()
    import pyarrow as pa

    try:
        files = [path / each["filename"] for each in _json(path / "state.json")["_data_files"]]
    except (KeyError, TypeError):
        raise LoadError("state.json names no files", where=str(path)) from None
    if not files:
        raise LoadError("state.json names no files", where=str(path))

    def batches(wanted: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        for each in files:
            with pa.memory_map(str(each)) as source, pa.ipc.open_stream(source) as stream:
                for batch in stream:
                    chosen = batch if wanted is None else batch.select(list(wanted))
                    for start in range(0, len(chosen), _BATCH):
                        yield chosen.slice(start, _BATCH)

    try:
        with pa.memory_map(str(files[0])) as source, pa.ipc.open_stream(source) as stream:
            schema = stream.schema
    except OSError as error:
        raise _unreadable(error, files[0]) from None
    except pa.ArrowException as error:
        raise LoadError(f"this is no Arrow file: {_short(error)}", where=str(files[0])) from None
    return _table(path, schema, batches, _labels(path))


Batches = Callable[[Sequence[str]], "Iterator[pa.RecordBatch]"]


def _table(path: Path, schema: pa.Schema, batches: Batches, labels: dict[str, list[str]]) -> Table:
    import pyarrow as pa

    binary = {name for name in schema.names if _holds_bytes(schema.field(name).type)}

    def rows(wanted: Sequence[str]) -> Iterator[tuple[int, Row | BadRow]]:
        for name in wanted:
            if name in binary:
                raise LoadError(
                    f"the column '{name}' holds bytes, which JSON has no form for",
                    where=str(path),
                    cure='Leave it out: columns={"metadata": [the other columns that you want]}.',
                )
        plainly = {name for name in wanted if not _is_json(schema.field(name).type)}
        numbers = itertools.count(1)
        try:
            for batch in batches(wanted):
                for row in batch.to_pylist():
                    yield next(numbers), _row(row, plainly, labels)
        except (pa.ArrowException, OSError) as error:
            raise LoadError(
                f"the rows after row {next(numbers) - 1:,} cannot be read: {_short(error)}",
                where=str(path),
            ) from None

    return Table(list(schema.names), rows)


def _row(row: dict[str, Any], plainly: set[str], labels: dict[str, list[str]]) -> Row | BadRow:
    for name, value in row.items():
        if isinstance(value, float) and math.isinf(value):
            return BadRow(f"has an infinite number in '{name}', which JSON has no form for")
        if name in plainly:
            row[name] = plain(value)
        if name in labels and isinstance(value, int):
            known = labels[name]
            # `datasets` writes -1 where a row has no label.
            row[name] = known[value] if 0 <= value < len(known) else None
    return row


def _labels(folder: Path) -> dict[str, list[str]]:
    """The names of the classes, by the column that holds their numbers."""
    path = folder / "dataset_info.json"
    features = _json(path).get("features") if path.is_file() else None
    if not isinstance(features, dict):
        return {}
    return {
        name: list(map(str, feature.get("names") or []))
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def _json(path: Path) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict)
    except OSError as error:
        raise _unreadable(error, path) from None
    except msgspec.MsgspecError as error:
        raise LoadError(f"this is no JSON object: {error}", where=str(path)) from None


def _inside(kind: pa.DataType) -> list[pa.DataType]:
    return [kind.field(at).type for at in range(kind.num_fields)]


def _holds_bytes(kind: pa.DataType) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    binary = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    return any(test(kind) for test in binary) or any(map(_holds_bytes, _inside(kind)))


def _is_json(kind: pa.DataType) -> bool:
    """Whether Python's values of a type are plain JSON values: no dates, decimals, durations."""
    from pyarrow import types

    if types.is_map(kind):
        return False
    if types.is_dictionary(kind):
        return _is_json(kind.value_type)
    plain = (
        *(types.is_string, types.is_large_string, types.is_integer, types.is_boolean),
        *(types.is_floating, types.is_null),
    )
    inside = _inside(kind)
    return any(test(kind) for test in plain) or (bool(inside) and all(map(_is_json, inside)))


def _need_pyarrow() -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError(
            "Parquet and folders of `datasets` need pyarrow",
            cure="Install it with `pip install 'onrecord[parquet]'`.",
        )


def _unreadable(error: OSError, path: Path) -> StorageError:
    return StorageError(f"the file cannot be read: {error.strerror or error}", where=str(path))


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


_BATCH = 4096
