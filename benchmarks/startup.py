"""How long until something happens: `import onrecord`, `onrecord --help`, `onrecord ask`.

Each figure is the median wall-clock time of a fresh process, less that of an interpreter that does
nothing for the imports; the peers are imported in turn with us, in the same run. Some packages load
lazily, as we do, so what an application uses of them is imported as well. Goals: import 150 ms,
help 300 ms, a question to a warm collection 1 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from benchmarks.reporting import save, table

ROUNDS = 7
PEERS = {
    "langchain": "import langchain",
    "langchain, names used": "from langchain.agents import create_agent",
    "llama_index.core": "import llama_index.core",
    "haystack": "import haystack",
    "haystack, names used": "from haystack import Document, Pipeline",
}


def main() -> None:
    """Measure, print and save."""
    commands = {"python alone": [sys.executable, "-c", "pass"]}
    commands["import onrecord"] = [sys.executable, "-c", "import onrecord"]
    commands["import onrecord, names used"] = [
        sys.executable,
        "-c",
        "import onrecord as on; on.Collection, on.flow, on.prompt, on.ask",
    ]
    for name, statement in PEERS.items():
        package = name.split(",")[0].split(".")[0]
        if find_spec(package) is not None:
            commands[f"import {name}"] = [sys.executable, "-c", statement]
        else:
            print(f"{name} is not installed and not measured.")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "leave.md").write_text("Every employee has twenty-eight days of paid leave.")
        here = [sys.executable, "-m", "onrecord"]
        subprocess.run([*here, "ingest", "leave.md"], cwd=folder, check=True, capture_output=True)
        commands["onrecord --help"] = [*here, "--help"]
        commands["onrecord ask, warm"] = [*here, "ask", "How many days of leave?"]
        times = measured(commands, folder)
    alone = statistics.median(times["python alone"])
    rows = [
        {
            "what": name,
            "median ms": round(1000 * (statistics.median(each) - less(name, alone)), 1),
            "worst ms": round(1000 * (max(each) - less(name, alone)), 1),
        }
        for name, each in times.items()
    ]
    table(rows)
    save("startup", rows)


def measured(commands: dict[str, list[str]], folder: str) -> dict[str, list[float]]:
    """Seconds of each command, in turn, so that a slow moment hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for round in range(ROUNDS + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            if round:  # the first warms the disk's cache
                times[name].append(time.perf_counter() - started)
    return times


def less(name: str, alone: float) -> float:
    """Imports are counted without the interpreter's own start, commands with it."""
    return alone if name.startswith("import") else 0.0


if __name__ == "__main__":
    main()
