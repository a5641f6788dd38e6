"""A task over the rows of a file: written line by line in order, and gone on with after a kill.

The output is JSON Lines, a line for each row of the input:

    {"row": 1, "begins": "The pump …", "input": {"id": 7}, "result": {…}, "task": …, "key": …}
    {"row": 2, "begins": "", "error": "line 2: not JSON: …", "task": "classify", "key": "…"}

`input` holds the other columns of a table, as they are there. `key` is the hash of the task, its
options and the row: a file of another task, or of another input, is not gone on with. A line is
written with one call, so that a process that is killed leaves whole lines and at most one that is
torn, which is cut off. Rows that are done before an earlier one wait in a file beside it
(`.NAME.ahead`); so all that was answered is kept, and only what was under way is asked again. A
loss of power may cost the latest lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from onrecord.errors import (
    LimitError,
    OnrecordError,
    ReplayError,
    StorageError,
    UsageError,
)
from onrecord.messages import Progress
from onrecord.programs.tasks.rows import Row, rows_of
from onrecord.programs.tasks.spelling import OptionError
from onrecord.programs.tasks.texts import checked
from onrecord.progress import shown
from onrecord.records.record import content_key, plain
from onrecord.records.scope import recording


class BatchReport(msgspec.Struct, frozen=True):
    """What a batch came to: rows in all, those that gave a result and those that gave an error
    (earlier runs included), and how many were there already. `seconds` and `cost` are what this
    run took: integer micro-dollars, None where the price of a call is not known."""

    out: str
    rows: int
    done: int
    failed: int
    already: int
    seconds: float
    cost: int | None


Do = Callable[[str], Awaitable[Any]]


class Batch:
    """One task over one file. `task` names it, `asked` is all that its results depend on."""

    def __init__(self, task: str, asked: object, path: Path, out: Path) -> None:
        self._task = task
        self._asked = asked
        self._path = path
        self._out = out
        if not out.name or out.is_dir():
            raise UsageError(
                "the output is a folder", where=str(out), cure="Name a file in it, NAME.jsonl."
            )
        self._ahead = out.with_name(f".{out.name}.ahead")
        self._failed = 0
        self._cost: int | None = 0

    async def perform(
        self, do: Do, *, column: str | None, together: int, retry: bool
    ) -> BatchReport:
        """Do what is not done. Raises what no row alone is to blame for: UsageError, LimitError,
        StorageError, LoadError for a file that cannot be read."""
        started = time.monotonic()
        if together < 1:
            raise OptionError(f"{together} is too small", cure="{together:alone} may be 1 or more.")
        if self._out.resolve() == self._path.resolve():
            raise UsageError(
                "the output would be written over the input",
                where=str(self._out),
                cure="Name another file.",
            )
        total = await asyncio.to_thread(lambda: sum(1 for _ in rows_of(self._path, column)))
        with self._locked(), shown() as report:
            if retry:
                await asyncio.to_thread(self._set_failures_free)
            rows = rows_of(self._path, column)
            already = await asyncio.to_thread(self._go_on, rows)
            known = await asyncio.to_thread(self._read_ahead)
            report(Progress(self._task, already, total))
            with self._out.open("ab", buffering=0) as file:
                async with contextlib.aclosing(self._lines(rows, do, together, known)) as lines:
                    at = already
                    async for line in lines:
                        _write(file, line, self._out)
                        at += 1
                        report(Progress(self._task, at, total))
            self._ahead.unlink(missing_ok=True)
        seconds = round(time.monotonic() - started, 3)
        done = total - self._failed
        return BatchReport(str(self._out), total, done, self._failed, already, seconds, self._cost)

    async def _lines(
        self, rows: Iterator[Row], do: Do, together: int, known: dict[str, bytes]
    ) -> AsyncGenerator[bytes, None]:
        """The lines of the rows that are left, in order, so many at the same time."""
        waiting: deque[asyncio.Task[bytes]] = deque()
        first, over = True, False
        try:
            while not over or waiting:
                # The first one alone: what is wrong with the task itself shows, and is paid, once.
                while not over and len(waiting) < (1 if first else together):
                    row = await asyncio.to_thread(next, rows, None)
                    if row is None:
                        over = True
                        break
                    behind = len(waiting) > 0
                    waiting.append(asyncio.create_task(self._line(row, do, known, behind)))
                if waiting:
                    line = await waiting[0]
                    waiting.popleft()
                    first = False
                    self._failed += b'"error":' in line and "error" in msgspec.json.decode(line)
                    yield line
        except Exception:
            # What is under way is paid for: its answers are kept ahead.
            await asyncio.gather(*waiting, return_exceptions=True)
            raise
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _line(self, row: Row, do: Do, known: dict[str, bytes], behind: bool) -> bytes:
        key = self._key(row)
        if (kept := known.get(key)) is not None:
            return kept
        line = _encoded(await self._done(row, key, do))
        if behind:
            await asyncio.to_thread(self._keep_ahead, line)
        return line

    async def _done(self, row: Row, key: str, do: Do) -> dict[str, Any]:
        said: dict[str, Any] = {"row": row.number, "begins": row.text[:BEGINS]}
        if row.beside:
            said["input"] = row.beside
        problem = row.problem
        if not problem:
            try:
                checked(row.text, "row")
            except UsageError as error:
                problem = str(error)
        if not problem:
            try:
                said["result"] = plain(await self._counted(do, row.text))
            except (UsageError, LimitError, ReplayError, StorageError):
                raise  # the other rows would fail in the same way
            except OnrecordError as error:
                problem = str(error)
        if problem:
            said["error"] = problem
        return {**said, "task": self._task, "key": key}

    async def _counted(self, do: Do, text: str) -> Any:
        """What comes of a row; what its calls cost is added up, also where it fails."""
        with recording() as run:
            try:
                return await do(text)
            finally:
                here = run.cost
                self._cost = None if self._cost is None or here is None else self._cost + here

    def _key(self, row: Row) -> str:
        beside = [row.beside] if row.beside else []
        return content_key(self._task, self._asked, row.number, row.text, row.problem, *beside)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Two processes that write one file would pay for each row twice."""
        import filelock

        if not self._out.parent.is_dir():
            raise StorageError(
                f"there is no folder '{self._out.parent}' to write the file to",
                where=str(self._out),
                cure="Make the folder, or check how it is written.",
            )
        lock = filelock.FileLock(self._out.with_name(f".{self._out.name}.lock"), timeout=0)
        try:
            with lock:
                try:
                    yield
                finally:
                    Path(lock.lock_file).unlink(missing_ok=True)
        except filelock.Timeout:
            raise StorageError(
                "another process writes this file",
                where=str(self._out),
                cure="Wait for its end, or name another output.",
            ) from None
        except OSError as error:
            raise StorageError(
                f"the output cannot be written: {error.strerror or error}",
                where=str(self._out),
                cure="Name a file in a folder that you may write to.",
            ) from None

    def _go_on(self, rows: Iterator[Row]) -> int:
        """How many rows the output has already; `rows` goes on behind them, and a torn line is cut
        off. Raises UsageError for a file that is not this batch's."""
        if not self._out.exists():
            return 0
        number, end = 0, 0
        with self._out.open("rb") as file:
            for line in file:
                said = _decoded(line)
                if said is None and not line.endswith(b"\n"):
                    break  # torn: the process was killed while it was written
                number += 1
                row = next(rows, None)
                if said is None or row is None or said.get("key") != self._key(row):
                    raise self._foreign(said, number)
                self._failed += "error" in said
                end += len(line)
        if self._out.stat().st_size > end:
            with self._out.open("r+b") as file:
                file.truncate(end)
        return number

    def _foreign(self, said: dict[str, Any] | None, number: int) -> UsageError:
        task = (said or {}).get("task")
        what = "it is no output of a task"
        if isinstance(task, str) and task != self._task:
            what = f"it is the output of the task '{task}'"
        elif isinstance(task, str):
            what = (
                "it was made with other options, of another input, or by another version of "
                "Onrecord"
            )
        return UsageError(
            f"the output cannot be gone on with: {what} (line {number})",
            where=str(self._out),
            cure="Name another output, or delete this one.",
        )

    def _keep_ahead(self, line: bytes) -> None:
        with self._ahead.open("ab", buffering=0) as file:
            _write(file, line, self._ahead)

    def _read_ahead(self) -> dict[str, bytes]:
        """Rows that were done before an earlier one, by their keys."""
        if not self._ahead.exists():
            return {}
        found = {}
        lines = self._ahead.read_bytes().splitlines(keepends=True)
        for line in lines:
            said = _decoded(line)
            if said is not None and line.endswith(b"\n"):
                found[str(said.get("key"))] = line
        if lines and not lines[-1].endswith(b"\n"):
            self._ahead.write_bytes(b"".join(found.values()))
        return found

    def _set_failures_free(self) -> None:
        """Keep the rows that gave a result, to be written again in their order."""
        if not self._out.exists():
            return
        for line in self._out.read_bytes().splitlines(keepends=True):
            said = _decoded(line)
            if said is not None and said.get("task") != self._task:
                raise self._foreign(said, int(said.get("row") or 0))
            if said is not None and "error" not in said and line.endswith(b"\n"):
                self._keep_ahead(line)
        self._out.unlink()


def _encoded(said: dict[str, Any]) -> bytes:
    return msgspec.json.encode(said) + b"\n"


def _decoded(line: bytes) -> dict[str, Any] | None:
    try:
        said = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return said if isinstance(said, dict) else None


def _write(file: IO[bytes], line: bytes, where: Path) -> None:
    try:
        written = file.write(line)
    except OSError as error:
        raise StorageError(
            f"the output cannot be written: {error.strerror or error}",
            where=str(where),
            cure="Make room, and run it again: it goes on where it stopped.",
        ) from None
    if written != len(line):
        raise StorageError(
            "the disk is full",
            where=str(where),
            cure="Make room, and run it again: it goes on where it stopped.",
        )


BEGINS = 80
