"""Contenders in rounds: each in a process of its own, one at a time, over and over.

A process of its own, because what somebody else imported makes garbage collections longer; in
rounds, so that a slow moment of the machine hits all alike. The garbage collector is on. Each call
is timed by itself, and the loop's own cost (two looks at the clock), measured in every round, is
subtracted. The first round warms up and is not counted.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import subprocess
import time
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

Row = dict[str, Any]
# The nanoseconds of `calls` calls.
Loop = Callable[[int], "array[int]"]
Around = Callable[[], AbstractContextManager[Any]]


@dataclass
class Contender:
    """Somebody who makes calls: `loop` times some, `settle` ends what goes on behind them."""

    loop: Loop
    settle: Callable[[], object] = lambda: None


@dataclass
class Entry:
    """Who is to be made in a fresh folder, what must be installed, and how many calls a round."""

    make: Callable[[Path], Contender]
    needs: str = "onrecord"
    calls: int = 2_000


def timed(one: Callable[[], object], around: Around = nullcontext) -> Loop:
    """Times a function, called again and again inside `around()`."""

    def loop(calls: int) -> array[int]:
        times, clock = array("q"), time.perf_counter_ns
        less = _own_cost()
        with around():
            for _ in range(calls):
                began = clock()
                one()
                times.append(clock() - began - less)
        return times

    return loop


def paced(one: Callable[[], object], around: Around, each_second: int) -> Loop:
    """Times a function that is called at a steady rate; a call that is late is made at once."""

    def loop(calls: int) -> array[int]:
        times, clock = array("q"), time.perf_counter_ns
        less, due = _own_cost(), time.perf_counter()
        with around():
            for _ in range(calls):
                due += 1 / each_second
                time.sleep(max(due - time.perf_counter(), 0))
                began = clock()
                one()
                times.append(clock() - began - less)
        return times

    return loop


def timed_async(one: Callable[[], Awaitable[object]], around: Around = nullcontext) -> Loop:
    """Times a coroutine function, awaited again and again in one task of a running loop."""
    runner = asyncio.Runner()

    async def rounds(calls: int) -> array[int]:
        times, clock = array("q"), time.perf_counter_ns
        less = _own_cost()
        with around():
            for _ in range(calls):
                began = clock()
                await one()
                times.append(clock() - began - less)
        return times

    return lambda calls: runner.run(rounds(calls))


def measured(entries: Mapping[str, Entry], rounds: int) -> dict[str, list[int]]:
    """The nanoseconds of every call of every contender that is installed. Where one of ours fails
    nothing is measured; a peer that fails is named and left out."""
    times: dict[str, list[int]] = {}
    with TemporaryDirectory(dir=place(), prefix="onrecord-bench-") as folder:
        workers = {
            name: _Worker(entry, Path(folder, str(at)))
            for at, (name, entry) in enumerate(entries.items())
            if _installed(name, entry)
        }
        try:
            for round in range(rounds + 1):
                for name, worker in list(workers.items()):
                    calls = entries[name].calls
                    found = worker.times(calls if round else max(calls // 10, 1))
                    if found is None:
                        _give_up(name, entries[name])
                        workers.pop(name).end()
                    elif round:
                        times.setdefault(name, []).extend(found)
        finally:
            for worker in workers.values():
                worker.end()
    return times


def figures(times: Mapping[str, Sequence[int]]) -> list[Row]:
    """A row of microseconds for each contender."""
    return [{"what": name, **_microseconds(each)} for name, each in times.items()]


def place() -> Path:
    """A folder on a real disk: ONRECORD_BENCH_DISK, else /var/tmp, else the working folder."""
    named = os.environ.get("ONRECORD_BENCH_DISK")
    for path in (Path(named) if named else Path("/var/tmp"), Path.cwd()):
        if path.is_dir():
            break
    kind = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True).stdout
    if kind.strip() in ("tmpfs", "ramfs"):
        print(f"{path} is no disk but memory: ONRECORD_BENCH_DISK names a better folder.")
    return path


def _microseconds(times: Sequence[int]) -> Row:
    ordered, n = sorted(times), len(times)
    figures = {
        "p50 us": ordered[n // 2],
        "p99 us": ordered[int(n * 0.99)],
        "p99.9 us": ordered[int(n * 0.999)],
        "mean us": statistics.fmean(ordered),
    }
    return {**{name: round(each / 1000, 2) for name, each in figures.items()}, "calls": n}


def _own_cost() -> int:
    """What the measuring itself takes."""
    times, clock = array("q"), time.perf_counter_ns
    for _ in range(500):
        began = clock()
        times.append(clock() - began)
    return int(statistics.median(times))


def _installed(name: str, entry: Entry) -> bool:
    there = find_spec(entry.needs.partition(".")[0]) is not None
    if not there:
        print(f"{name}: {entry.needs} is not installed and not measured.")
    return there


def _give_up(name: str, entry: Entry) -> None:
    said = f"{name} failed (see above)"
    if entry.needs == "onrecord":
        raise SystemExit(f"{said}: nothing is measured.")
    print(f"{said} and is not measured.")


class _Worker:
    """A contender's process. It waits for the word, and answers with the times of its calls."""

    def __init__(self, entry: Entry, folder: Path) -> None:
        folder.mkdir()
        self._pipe, theirs = _context.Pipe()
        self._process = _context.Process(target=_serve, args=(entry, folder, theirs))
        self._process.start()
        theirs.close()

    def times(self, calls: int) -> array[int] | None:
        """The nanoseconds of `calls` calls; None where the contender failed."""
        try:
            self._pipe.send(calls)
            return array("q", self._pipe.recv_bytes())
        except (EOFError, OSError):  # its traceback is on the screen
            return None

    def end(self) -> None:
        """Let it go."""
        self._pipe.close()
        self._process.join(timeout=10)
        self._process.kill()


_context = multiprocessing.get_context("spawn")


def _serve(entry: Entry, folder: Path, pipe: Connection) -> None:
    os.chdir(folder)
    contender = entry.make(folder)
    while True:
        try:
            calls = pipe.recv()
        except EOFError:
            os._exit(0)  # threads that a peer has left running are not waited for
        times = contender.loop(calls)
        contender.settle()
        pipe.send_bytes(times.tobytes())
