"""Reading a dataset of a million cases, checking it, splitting it: seconds and memory.

    python -m benchmarks.datasets [CASES]

One process a row, so that each has a peak of its own. The cases are made here and say the same in
each format; the versions must be equal.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

WORDS = [
    f"{a}{b}"
    for a in "bar cel dor fen gil hol jun kap lem mor".split()
    for b in "a en il os um ist ard on".split()
]


def rows(count: int) -> Iterator[tuple[str, str, str, str]]:
    chance = random.Random(0)
    for number in range(count):
        asked = " ".join(chance.choices(WORDS, k=12))
        yield f"q{number}", f"{asked}?", str(number * 7), ("leave", "travel", "pay")[number % 3]


def write(folder: Path, count: int) -> list[Path]:
    import pyarrow as pa
    import pyarrow.parquet

    names = ("id", "input", "expected", "topic")
    lines, table, parquet = folder / "c.jsonl", folder / "c.csv", folder / "c.parquet"
    with lines.open("w") as file:
        for id, asked, answer, topic in rows(count):
            case = {"id": id, "input": asked, "expected": answer, "metadata": {"topic": topic}}
            file.write(f"{json.dumps(case)}\n")
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows(count))
    columns = dict(zip(names, map(list, zip(*rows(count), strict=True)), strict=True))
    pyarrow.parquet.write_table(pa.table(columns), parquet)
    return [lines, table, parquet]


def measure(path: Path, also: bool) -> None:
    from onrecord.evaluation.dataset import Dataset
    from onrecord.evaluation.memory import Peak

    peak, began = Peak(), time.perf_counter()
    cases = Dataset.read(path)
    read = time.perf_counter() - began
    began = time.perf_counter()
    version = cases.version
    size = path.stat().st_size / 1e6
    hashed = time.perf_counter() - began
    grown = (peak.growth() or 0) / 1e6
    print(
        f"{path.suffix:9} {size:6.0f} MB: read {read:5.1f} s, version {hashed:4.1f} s, "
        f"peak {grown:5.0f} MB, version {version[:8]}"
    )
    if not also:
        return
    for what, work in (
        ("where", lambda: len(cases.where('topic = "pay"'))),
        ("validate", lambda: len(cases.validate())),
        ("split, equal inputs", lambda: cases.split({"train": 0.7, "test": 0.3}, near=None)),
        ("split, near inputs", lambda: cases.split({"train": 0.7, "test": 0.3})),
    ):
        peak, began = Peak(), time.perf_counter()
        result = work()
        seconds, grown = time.perf_counter() - began, (peak.growth() or 0) / 1e6
        print(f"  {what:20} {seconds:5.1f} s, peak {grown:5.0f} MB more: {result}", flush=True)


def main() -> None:
    if len(sys.argv) == 4:
        measure(Path(sys.argv[2]), sys.argv[3] == "all")
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        for path in write(Path(folder), count):
            what = "all" if path.suffix == ".jsonl" else "read"
            command = [sys.executable, "-m", "benchmarks.datasets", "one", str(path), what]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
