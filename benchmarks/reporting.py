"""What every benchmark does with its rows: print them as a table, and save them with the date."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
ROOT = Path(__file__).parent.parent


def data_folder(name: str) -> Path | None:
    """A folder of the public data; where it is absent, None after a sentence that says so."""
    place = os.environ.get("ONRECORD_BENCH_DATA") or ROOT.parent / "shared" / "data"
    folder = Path(place) / name
    if folder.is_dir():
        return folder
    print(f"The public data is not here ({name}); ONRECORD_BENCH_DATA names its folder.")
    return None


def table(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows of equal keys."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([str(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(names))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def save(name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows to `results/NAME-DATE.json`, with the machine they were measured on."""
    FOLDER.mkdir(exist_ok=True)
    today = datetime.date.today().isoformat()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    text = json.dumps({"date": today, "machine": machine, "rows": list(rows)}, indent=1)
    (FOLDER / f"{name}-{today}.json").write_text(text + "\n")
