"""The store: folding a journal into SQLite, the newest 100 of a million, a run of 100,000 calls.

A journal is written frame by frame, as calls write it, only with times and ids of a month instead
of those of now; then it is folded, in slices that fit into the journal's room, each timed by
itself. Runs have ten calls; names, users, sessions, releases and tags are drawn unevenly; bodies
have about 200 characters, one in fifty 3,000. Last comes one run of 100,000 calls.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from benchmarks.rounds import Row, place
from onrecord.messages import Usage
from onrecord.records.frames import End, Start
from onrecord.records.journal import Journal
from onrecord.records.query import Query
from onrecord.records.record import Kind, State, pack
from onrecord.records.store import Store
from onrecord.records.views.drawing import draw, drawing, summary
from onrecord.records.views.sketching import sketch

SLICE = 100_000
CALLS = 10  # of a run
LONG_RUN = 100_000
MONTH = 30 * 86_400 * 10**9
UNTIL = 1_790_000_000 * 10**9  # nanoseconds since 1970; any month will do
JOURNAL_MB = 4_000
HOUR = 3_600 * 10**9
REPEATS = 20
INSIDE: tuple[tuple[Kind, str], ...] = (
    ("step", "plan"),
    ("search", "handbook"),
    ("embed", "embedded:minilm"),
    ("model", "openai:small"),
    ("tool", "order_status"),
    ("guard", "no_secrets"),
    ("model", "openai:large"),
    ("step", "summarise"),
    ("score", "grounded"),
)
WORDS = "leave days handbook refund order customer invoice answer contract policy year".split()


def filters() -> dict[str, Query]:
    """What people ask a million records for; the numbers are those of a million."""
    middle = UNTIL - MONTH // 2
    return {
        "no filter": Query(),
        "kind = model": Query(kinds=("model",)),
        "kind = model or embed": Query(kinds=("model", "embed")),
        "name, 100,000 have it": Query(name="plan"),
        "name, 20 have it": Query(name="audit"),
        "kind and name": Query(kinds=("model",), name="openai:large"),
        "state = failed": Query(states=("failed",)),
        "state = failed, and a name": Query(states=("failed",), name="order_status"),
        "user": Query(user="user-17"),
        "user, and kind = model": Query(user="user-17", kinds=("model",)),
        "session": Query(session="session-170"),
        "tenant": Query(tenant="tenant-3"),
        "tenant, and state = failed": Query(tenant="tenant-3", states=("failed",)),
        "release": Query(release="release-7"),
        "tag, 50,000 have it": Query(tags=("beta",)),
        "tag, 100 have it": Query(tags=("incident",)),
        "one hour, two weeks ago": Query(since_ns=middle, until_ns=middle + HOUR),
        "older than two weeks": Query(until_ns=middle),
        "error text, 5,000 have it": Query(error="timed out"),
        "error text, 10 have it": Query(error="certificate"),
        "words in bodies, 1 in 11 has them": Query(text="invoice"),
    }


SCANS = {"words in bodies, 10 have them": Query(text="cormorant")}


def measure(records: int) -> dict[str, list[Row]]:
    """Rows of each table: folding, filters, the long run."""
    with TemporaryDirectory(dir=place(), prefix="onrecord-bench-") as folder:
        home = Path(folder, ".onrecord")
        store = Store(home, journal_mb=JOURNAL_MB)
        rows = {"folding": list(_folded(store, records))}
        store.close()
        store = Store(home, journal_mb=JOURNAL_MB)
        rows["filters"] = [_filtered(store, *each, REPEATS) for each in filters().items()]
        rows["filters"] += [_filtered(store, *each, 3) for each in SCANS.items()]
        rows["run"] = _long_run(store)
        store.close()
    return rows


def _folded(store: Store, records: int) -> Iterator[Row]:
    rates: list[float] = []
    for first in range(0, records, SLICE):
        count = min(SLICE, records - first)
        _write(store.home / "journal", _runs(first, count, records))
        rates.append(_fold_rate(store, count))
    yield {"what": "records/s, all of them", "figure": round(statistics.harmonic_mean(rates))}
    yield {"what": f"records/s, the first {SLICE:,}", "figure": round(rates[0])}
    yield {"what": f"records/s, the last {SLICE:,}", "figure": round(rates[-1])}
    size = (store.home / "records.db").stat().st_size
    yield {"what": "records in the store", "figure": records}
    yield {"what": "bytes of the database for each", "figure": round(size / records)}


def _fold_rate(store: Store, count: int) -> float:
    began = time.perf_counter()
    frames = store.fold()
    seconds = time.perf_counter() - began
    if frames != 2 * count or store.lost:
        raise SystemExit(f"{frames} frames were folded, {2 * count} written, {store.lost} lost")
    return count / seconds


def _filtered(store: Store, name: str, query: Query, repeats: int) -> Row:
    first, found = _milliseconds(lambda: store.records(query, limit=100))
    times = [_milliseconds(lambda: store.records(query, limit=100))[0] for _ in range(repeats)]
    return {
        "filter": name,
        "found": len(found),
        "p50 ms": round(statistics.median(times), 2),
        "worst ms": round(max(times), 2),
        "first ms": round(first, 2),
    }


def _long_run(store: Store) -> list[Row]:
    root = _id(UNTIL + HOUR, 0)
    _write(store.home / "journal", _one_run(root, UNTIL + HOUR, LONG_RUN, random.Random(1)))
    store.fold()
    figures: dict[str, list[float]] = {}
    for _ in range(5):
        shown, lines = _milliseconds(lambda: _shown(store, root))
        opened, records = _milliseconds(lambda: store.run(root, bodies=False))
        whole, _ = _milliseconds(lambda: store.run(root))
        if len(records) != LONG_RUN or not lines:
            raise SystemExit(f"{len(records)} records instead of {LONG_RUN}, {lines} lines")
        for what, each in (
            ("tree opened as `records show` does: sketched, folded, drawn, summed up", shown),
            ("every call read, without bodies", opened),
            ("every call read, with bodies", whole),
        ):
            figures.setdefault(what, []).append(each)
    return [
        {"what": what, "median ms": round(statistics.median(each)), "worst ms": round(max(each))}
        for what, each in figures.items()
    ]


def _shown(store: Store, run: str) -> int:
    """The lines that `onrecord records show` prints of a run."""
    picture = drawing(sketch(store, run), 200)
    return sum(1 for _ in draw(picture, 100)) + sum(1 for _ in summary(picture))


def _milliseconds(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    value = work()
    return 1000 * (time.perf_counter() - began), value


def _write(folder: Path, frames: Iterator[Start | End]) -> None:
    journal = Journal(folder, room=JOURNAL_MB * 500_000)
    for frame in frames:
        if not journal.append(frame):
            raise SystemExit(f"the journal took no more frames ({folder})")
    journal.close()


def _runs(first: int, count: int, records: int) -> Iterator[Start | End]:
    """The frames of records number `first` and on, of `records` in a month."""
    for number in range(first, first + count, CALLS):
        dice = random.Random(number)
        at = UNTIL - MONTH + MONTH * number // records
        middle = number == records // 2 // CALLS * CALLS  # where rare things happen
        yield from _one_run(_id(at, number), at, CALLS, dice, number // CALLS, middle)


def _one_run(
    root: str, at: int, calls: int, dice: random.Random, number: int = -1, middle: bool = False
) -> Iterator[Start | End]:
    """A flow and the calls inside, which start 10 microseconds after each other."""
    user = min(int(dice.paretovariate(0.7)), 5_000)
    context: dict[str, Any] = {
        "release": f"release-{(at - UNTIL + MONTH) * 20 // MONTH}",
        "session": f"session-{number // 5}",
        "user": f"user-{user}",
        "tenant": f"tenant-{user % 10}",
        "tags": _tags(dice, number),
    }
    yield _start(root, root, None, "flow", "audit" if number % 5_000 == 1 else "ask", at, context)
    for call in range(1, calls):
        kind, name = INSIDE[(call - 1) % len(INSIDE)]
        started = at + call * 10_000
        id = _id(at, int(root[22:], 16) + call)
        yield _start(id, root, root, kind, name, started, context, _text(dice, middle))
        error = _error(dice, middle) if dice.random() < 0.02 or middle else None
        usage = Usage(input=300, output=50) if kind == "model" else None
        state: State = "failed" if error else "done"
        output = msgspec.Raw(pack(_text(dice, False)))
        yield End(id, started + 900_000, output, error, usage, 12 if usage else 0, state)
    yield End(root, at + calls * 10_000 + 10**6, msgspec.Raw(pack(_text(dice, False))))


def _start(
    id: str,
    run: str,
    parent: str | None,
    kind: Kind,
    name: str,
    at: int,
    context: dict[str, Any],
    text: str = "What is there to know?",
) -> Start:
    key, body = os.urandom(16).hex(), msgspec.Raw(pack({"text": text}))
    return Start(id, run, parent, kind, name, key, at, body, version="7f3a", **context)


def _id(at: int, number: int) -> str:
    """As `new_id` makes them: milliseconds, a process, a counter."""
    return f"{at // 1_000_000:012x}{'0' * 10}{number:010x}"


def _text(dice: random.Random, rare: bool) -> str:
    words = " ".join(dice.choices(WORDS[:5], k=32 if dice.random() > 0.02 else 500))
    return f"{words} {WORDS[dice.randrange(len(WORDS))]}{' cormorant' if rare else ''}"


def _error(dice: random.Random, rare: bool) -> str:
    if rare:
        return "ModelError: the certificate has expired"
    return dice.choice(("ModelError: timed out", "ValueError: not a number", "KeyError: 'id'"))


def _tags(dice: random.Random, number: int) -> tuple[str, ...]:
    tags = ("beta",) if dice.random() < 0.05 else ()
    return (*tags, "incident") if number % 10_000 == 7 else tags
