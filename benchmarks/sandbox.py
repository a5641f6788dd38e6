"""The sandbox of the tool `python`: how long a call takes, and whether anything gets out.

A call is measured from `await tool("print(1)")` to its result: a fresh process, walled in, that
prints and ends; beside it a bare interpreter that does the same. Goal: 60 ms, median. Then every
escape of the list in the tests is tried once with all walls, and once in a process that is not
walled in, which shows that it is a way out at all. Measure on a quiet machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.reporting import save, table
from onrecord.programs.tools.python_tool import python
from onrecord.programs.tools.sandbox import running
from tests.programs.tools.sandbox_escapes import ESCAPES, Escape, job, run_free, scene_in

ROUNDS = 40


async def main() -> None:
    """Measure, print and save."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as project, contextlib.chdir(project):
        rows = await times()  # the calls are recorded, there
    table(rows)
    print(f"load of the machine before: {load:.1f}")
    escapes = [await outcome(escape) for escape in ESCAPES]
    table(escapes)
    kept = sum(each["in the sandbox"] == "held" for each in escapes)
    shown = sum(each["without it"] == "works" for each in escapes)
    print(f"{kept} of {len(escapes)} escapes held; {shown} work without the sandbox")
    save("sandbox", [{**each, "load before": round(load, 1)} for each in rows] + escapes)


async def times() -> list[dict[str, Any]]:
    """Milliseconds of one call, in turn with a bare interpreter; and of twenty at once."""
    tool = python(seconds=60)

    async def call() -> None:
        result = await tool("print(1)")
        assert result.output == "1\n", result

    async def bare() -> None:
        command = [sys.executable, "-S", "-c", "print(1)"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        await process.communicate()

    async def twenty() -> None:
        await asyncio.gather(*(call() for _ in range(20)))

    measured: dict[str, list[float]] = {"a bare interpreter": [], "in the sandbox": []}
    for attempt in range(ROUNDS + 1):
        for name, function in zip(measured, (bare, call), strict=True):
            taken = await seconds_of(function)
            if attempt:  # the first warms the disk's cache
                measured[name].append(taken)
    measured["20 at once, each"] = [await seconds_of(twenty) / 20 for _ in range(5)]
    return [
        {
            "print(1)": name,
            "median ms": round(1000 * statistics.median(each), 1),
            "least ms": round(1000 * min(each), 1),
            "worst ms": round(1000 * max(each), 1),
        }
        for name, each in measured.items()
    ]


async def seconds_of(function: Callable[[], Awaitable[None]]) -> float:
    started = time.perf_counter()
    await function()
    return time.perf_counter() - started


async def outcome(escape: Escape) -> dict[str, Any]:
    """What became of an escape, with the sandbox and without."""
    row = {"escape": escape.name}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "outside")
        folder.mkdir()
        with scene_in(folder) as scene:
            done = await running.run(job(escape.script(scene), seconds=escape.seconds), 20_000)
            after = dataclasses.replace(scene, printed=f"{done.output} {done.value}")
            row["in the sandbox"] = "GOT OUT" if escape.works(after) else "held"
            run_free(escape, scene)
            row["without it"] = "works" if escape.works(scene) else "does not work here"
    return row


if __name__ == "__main__":
    asyncio.run(main())
