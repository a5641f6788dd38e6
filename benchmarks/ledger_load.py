"""Many processes against one budget: is it overspent, and how many calls a second does it carry?

Each process makes its calls to a provider that charges at random up to the worst case and writes
down what it charged before it answers. The budget has money for about half of the calls. Overspend
is what the provider charged above the budget, which must be 0; with kills, processes are ended by
SIGKILL at random instants and others take their place.

    python -m benchmarks.ledger_load [--processes 8] [--calls 10000] [--at-once 1] [--kills 0]
                                     [--store postgresql://...] [--save]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import random
import struct
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.reporting import save, table
from onrecord.errors import LimitError
from onrecord.records.database.engine import open_engine
from onrecord.records.ledger import HasEngine, budget, held
from onrecord.records.limits import Limits, Spent, Worst

WORST = 1000  # micro-dollars, and tokens, of one call
KEY = "load"
ENTRY = struct.Struct("<II")
_START_SECONDS = 60


class Load(NamedTuple):
    """What is run: `at_once` calls are under way in each process, `kills` processes are killed."""

    folder: Path
    processes: int = 8
    calls: int = 10_000
    at_once: int = 1
    kills: int = 0
    store: str = ""
    seed: int = 0

    @property
    def limits(self) -> Limits:
        """Money for about half of the calls, at their mean of half the worst case."""
        return Limits(usd=self.processes * self.calls * WORST / 4 / 1_000_000)


class Outcome(NamedTuple):
    """What came of it; costs in micro-dollars."""

    seconds: float
    made: int
    charged: int
    allowed: int
    spent: Spent

    @property
    def overspend(self) -> int:
        """What the provider charged above the budget."""
        return max(self.charged - self.allowed, 0)


class Place(NamedTuple):
    """A store with nothing but its engine."""

    engine: Any


def place(load: Load) -> HasEngine:
    return Place(open_engine(load.folder, load.store))


def run(load: Load) -> Outcome:
    """Let the processes loose, kill some, and add up what the provider charged."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(load.processes + 1)
    workers = [
        context.Process(target=_work, args=(load, number, ready))
        for number in range(load.processes)
    ]
    for worker in workers:
        worker.start()
    ready.wait(timeout=_START_SECONDS)  # one that failed to start must not be waited for forever
    started = time.perf_counter()
    dice = random.Random(load.seed)
    for kill in range(load.kills):
        at = dice.randrange(len(workers))
        # Not later than it has made a few calls more, and wherever it is then.
        _wait_for(load, _entries(load) + dice.randrange(1, 40), workers[at])
        workers[at].kill()
        workers[at].join()
        workers[at] = context.Process(target=_work, args=(load, load.processes + kill, None))
        workers[at].start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - started
    if any(worker.exitcode != 0 for worker in workers):
        raise SystemExit("a process failed: see its traceback above")
    with budget(load.limits, key=KEY, store=place(load)) as seen:
        spent = seen.spent()
    charges = list(ENTRY.iter_unpack(_provider(load).read_bytes()))
    allowed = load.limits.caps.cost or 0
    return Outcome(seconds, len(charges), sum(cost for _, cost in charges), allowed, spent)


def _work(load: Load, number: int, ready: Any) -> None:
    store = place(load)
    dice = random.Random(f"{load.seed} {number}")
    provider = os.open(_provider(load), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if ready is not None:
        ready.wait(timeout=_START_SECONDS)

    async def calls(count: int) -> None:
        for _ in range(count):
            with contextlib.suppress(LimitError):
                async with held(Worst(WORST, WORST)) as hold:
                    cost = dice.randrange(WORST + 1)
                    os.write(provider, ENTRY.pack(number, cost))
                    if load.at_once > 1:
                        await asyncio.sleep(0)
                    hold.settle(cost, cost)

    async def everything() -> None:
        with budget(load.limits, key=KEY, store=store):
            share = load.calls // load.at_once
            await asyncio.gather(*(calls(share) for _ in range(load.at_once)))

    asyncio.run(everything())


def _provider(load: Load) -> Path:
    return load.folder / "charged"


def _entries(load: Load) -> int:
    path = _provider(load)
    return path.stat().st_size // ENTRY.size if path.exists() else 0


def _wait_for(load: Load, entries: int, worker: Any) -> None:
    while _entries(load) < entries and worker.is_alive():
        time.sleep(0.001)


def main() -> None:
    """Measure, print, and save where that is asked for."""
    parser = argparse.ArgumentParser(description="Many processes against one budget.")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--store", default="", help="postgresql://...; SQLite without")
    parser.add_argument("--save", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        load = Load(
            Path(folder), asked.processes, asked.calls, asked.at_once, asked.kills, asked.store
        )
        outcome = run(load)
    spent = outcome.spent
    attempts = load.processes * load.calls
    row = {
        "store": "PostgreSQL" if load.store else "SQLite",
        "processes": load.processes,
        "calls each": load.calls,
        "at once": load.at_once,
        "kills": load.kills,
        "made": outcome.made,
        "seconds": round(outcome.seconds, 1),
        "calls/s": round(attempts / outcome.seconds),
        "budget": outcome.allowed,
        "charged": outcome.charged,
        "booked": spent.cost + spent.reserved_cost,
        "lost": spent.lost,
        "overspend": outcome.overspend,
    }
    table([row])
    if asked.save:
        save("ledger_load", [row])


if __name__ == "__main__":
    main()
