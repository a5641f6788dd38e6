"""Traces of others as records: OTLP in files, MLflow's traces in files.

    traces = read_otlp("traces.jsonl")
    Store.open().take(redacted(traces, Settings.load()))
    traces.skipped        # what was no span, and why

Importing the same file twice changes nothing: records that are there stay as they are.
"""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from onrecord.errors import LoadError
from onrecord.records.exchange.from_spans import records_of
from onrecord.records.exchange.mlflow_spans import spans_of_trace, verdicts_of_trace
from onrecord.records.exchange.otlp import Skipped, read_request
from onrecord.records.exchange.span import Span
from onrecord.records.record import Record
from onrecord.settings import Settings


class Imported:
    """Records that are read while they are asked for.

    `skipped` holds what could not be read so far, the first thousand with their reasons; `count`
    is how many there were.
    """

    def __init__(self, read: Callable[[Callable[[Skipped], None]], Iterator[Record]]) -> None:
        self.skipped: list[Skipped] = []
        self.count = 0
        self._read = read

    def __iter__(self) -> Iterator[Record]:
        self.skipped, self.count = [], 0
        return self._read(self._skip)

    def _skip(self, skipped: Skipped) -> None:
        self.count += 1
        if len(self.skipped) < _TOLD:
            self.skipped.append(skipped)


def read_otlp(*paths: str | Path) -> Imported:
    """The records of OTLP files in JSON, as a collector's file exporter writes them.

    One ExportTraceServiceRequest a line, or one in the whole file; `.gz` is unpacked. Files are
    read twice, first for which spans there are: children are written before their parents. Raises
    LoadError, while reading, for a file that cannot be read or holds no JSON at all.
    """
    files = [Path(path) for path in paths]

    def spans() -> Iterator[Span | Skipped]:
        for path in files:
            for where, data in _documents(path):
                if isinstance(data, Skipped):
                    yield data
                else:
                    yield from read_request(data, where)

    return Imported(lambda skip: records_of(spans, skip))


def read_mlflow_files(*paths: str | Path) -> Imported:
    """The records of MLflow traces in files: what `Trace.to_json()` gives, one a line or one in the
    whole file, or a list of them. Raises LoadError as `read_otlp` does."""
    files = [Path(path) for path in paths]

    def traces(skip: Callable[[Skipped], None]) -> Iterator[Record]:
        for path in files:
            for where, data in _documents(path):
                if isinstance(data, Skipped):
                    skip(data)
                    continue
                for trace in data if isinstance(data, list) else [data]:
                    yield from records_of_trace(trace, where, skip)

    return Imported(traces)


def read_records(*paths: str | Path) -> Imported:
    """The records of files that `write_jsonl` wrote. Raises LoadError, while reading."""
    from onrecord.records.exchange.files import read_jsonl

    return Imported(lambda _: (record for path in paths for record in read_jsonl(path)))


def redacted(records: Iterable[Record], settings: Settings) -> Iterator[Record]:
    """Records as the settings let them be kept: traces of others hold secrets, too."""
    from onrecord.records.redaction.redactor import Redactor, pseudonym_key

    redactor = Redactor(
        settings.redact, settings.redact_fields, key=lambda: pseudonym_key(settings.home)
    )
    for record in records:
        if not settings.bodies:
            error = record.error.partition(":")[0] if record.error else record.error
            yield msgspec.structs.replace(
                record, input=None, output=None, error=error, redacted=True
            )
            continue
        input, _ = redactor.redact(record.input)
        output, changes = redactor.redact(record.output)
        error = redactor.redact_text(record.error)[0] if record.error else record.error
        yield msgspec.structs.replace(
            record,
            input=input,
            output=output,
            error=error,
            redacted=record.redacted or changes > 0,
        )


def records_of_trace(trace: Any, where: str, skip: Callable[[Skipped], None]) -> Iterator[Record]:
    """The records of one MLflow trace, as `Trace.to_dict()` gives it: its spans, then its
    assessments as feedback."""
    spans: list[Span | Skipped] = list(spans_of_trace(trace, where))
    records = []
    for record in records_of(lambda: spans, skip):
        records.append(record)
        yield record
    for verdict in verdicts_of_trace(trace, records):
        if isinstance(verdict, Skipped):
            skip(verdict)
        else:
            yield verdict


def _documents(path: Path) -> Iterator[tuple[str, Any]]:
    """The JSON values in a file, each with where it stands: one a line, or one over many lines.

    A line that is no JSON comes as Skipped.
    """
    with _opened(path) as file:
        lines = enumerate(_lines(file, path), 1)
        first, data = _line(path, *next(lines, (1, b"{}")))
        if not isinstance(data, Skipped):
            yield first, data
            for number, line in lines:
                if line.strip():
                    yield _line(path, number, line)
            return
    yield from _whole(path)


def _whole(path: Path) -> Iterator[tuple[str, Any]]:
    """The document of a file whose first line is none; if there is none, the lines that are."""
    with _opened(path) as file:
        text = b"".join(_lines(file, path))
    data = _line(path, 0, text)[1]
    if not isinstance(data, Skipped):
        yield str(path), data
        return
    lines = [_line(path, at, line) for at, line in enumerate(text.split(b"\n"), 1) if line.strip()]
    if all(isinstance(each, Skipped) for _, each in lines):
        raise LoadError(
            f"the file holds no JSON: {data.reason}",
            where=str(path),
            cure="Give it OTLP or traces in JSON: one a line, or one in the whole file.",
        )
    yield from lines


def _line(path: Path, number: int, text: bytes) -> tuple[str, Any]:
    where = f"{path}:{number}"
    try:
        return where, msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return where, Skipped(where, str(error))


def _lines(file: IO[bytes], path: Path) -> Iterable[bytes]:
    try:
        yield from file
    except (OSError, EOFError) as error:  # a .gz that is none, or is cut off
        raise LoadError(f"the file cannot be read: {error}", where=str(path)) from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield cast("IO[bytes]", unpacked)
            else:
                yield file
    except OSError as error:
        reason = error.strerror or str(error)
        raise LoadError(f"the file cannot be read: {reason}", where=str(path)) from None


_TOLD = 1000
