"""The record: what it costs the caller, how fast it is folded and found, what `kill -9` leaves.

    python -m benchmarks.records [calls] [prompts] [store] [crashes] [ledger]
                                 [--records 1000000] [--kills 1000]

    calls      a recorded call beside OpenTelemetry and MLflow; with the thread that folds at work
    prompts    prompt -> model -> parse beside LangChain, Haystack, DSPy, pydantic-ai
    store      folding into SQLite, the newest 100 of a million records, a run of 100,000 calls
    crashes    `kill -9` (crashes.py)
    ledger     eight processes against one budget (ledger_load.py)

Without a name all of them; each in a process of its own. Goals: p50 6 us and p99 40 us for a call
with 200 characters in and out, 0.3 us when off; 60 us for a recorded prompt; 50,000 records/s
folded; 20 ms for the newest 100; 300 ms for the long run; nothing lost, 99.9 % marked, no
overspend. Results:
records-*-DATE.json, ledger_load-DATE.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable

from benchmarks.reporting import save, table
from benchmarks.rounds import Entry, figures, measured, place

ROUNDS = 12


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description="The record, measured.")
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=1000)
    asked = parser.parse_args()
    if unknown := sorted(set(asked.parts) - set(PARTS)):
        parser.error(f"there is no part '{unknown[0]}': choose from {', '.join(PARTS)}")
    if len(asked.parts) == 1:
        PARTS[asked.parts[0]](asked)
        return
    sizes = ["--records", str(asked.records), "--kills", str(asked.kills)]
    for part in asked.parts or PARTS:
        print(f"-- {part}", flush=True)
        command = [sys.executable, "-m", "benchmarks.records", part, *sizes]
        subprocess.run(command, check=True)


def calls(asked: argparse.Namespace) -> None:
    """A recorded call, and beside the thread that folds."""
    from benchmarks import records_calls, records_peers

    _rounds("calls", {**records_calls.calls(), **records_peers.calls()}, ROUNDS)
    print("Beside the thread that folds, or at a steady rate (cold caches):")
    _rounds(
        "folding-meanwhile", {**records_calls.beside_folding(), **records_peers.beside_folding()}, 1
    )


def prompts(asked: argparse.Namespace) -> None:
    """prompt -> model -> parse."""
    from benchmarks import records_calls, records_peers

    _rounds("prompts", {**records_calls.prompts(), **records_peers.prompts()}, ROUNDS)


def store(asked: argparse.Namespace) -> None:
    """Folding, filters, the long run."""
    from benchmarks.records_store import measure

    for name, rows in measure(asked.records).items():
        table(rows)
        save(f"records-{name}", rows)


def crashes(asked: argparse.Namespace) -> None:
    """`kill -9`: the rows come from crashes.py."""
    from benchmarks.crashes import run

    run(asked.kills)


def ledger(asked: argparse.Namespace) -> None:
    """Eight processes, 10,000 calls each, one budget."""
    command = [sys.executable, "-m", "benchmarks.ledger_load", "--save"]
    subprocess.run(command, env={**os.environ, "TMPDIR": str(place())}, check=True)


def _rounds(name: str, entries: dict[str, Entry], rounds: int) -> None:
    rows = figures(measured(entries, rounds))
    table(rows)
    save(f"records-{name}", rows)


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "calls": calls,
    "prompts": prompts,
    "store": store,
    "crashes": crashes,
    "ledger": ledger,
}

if __name__ == "__main__":
    main()
