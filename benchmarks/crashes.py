"""kill -9 at random instants, under load: what is lost of what had ended, what stays unmarked?

Children with several threads and tasks make nested calls as fast as they can. Of every call they
write down that it began, inside its block, and that it ended, behind it; what they wrote down is
then compared with the store. Two are alive at once, and a third process folds all the while and is
killed now and then as well; half of the children fold in a thread of their own, too. Segments are
64 KiB, so that many a kill hits the change from one to the next.

Children are forked from a process that has imported everything and has no thread: a start costs
milliseconds, and the random instant may also fall into the birth of the first segment.

    python -m benchmarks.records crashes [--kills 1000]
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.reporting import save, table
from benchmarks.rounds import Row, place
from onrecord.records import journal
from onrecord.records.call import Call, Off, call
from onrecord.records.record import Record
from onrecord.records.store import Store

BATCH = 50  # kills in one project, so that a disk is not filled
LONGEST = 0.06  # seconds that a child lives at most
SEGMENT = 64 << 10
THREADS, TASKS = 2, 3
# Nothing is redacted: long runs of digits, which the outputs are made of, look like card numbers.
_SETTINGS = 'home = "../home"\njournal_mb = 20000\nredact = []\n'


class Outcome(NamedTuple):
    """What came of some kills.

    `open` calls had begun, and nobody had heard that they ended when their process died; *marked*
    are those that are interrupted on record, or done because their end was written in time.
    `unwritten` is what the journal itself says it could not keep; `left` are segments that no fold
    has put aside.
    """

    kills: int = 0
    folder_kills: int = 0
    ended: int = 0
    lost: int = 0
    wrong: int = 0
    open: int = 0
    unmarked: int = 0
    twice: int = 0
    torn: int = 0
    unwritten: int = 0
    left: int = 0

    def plus(self, other: Outcome) -> Outcome:
        """Both together."""
        return Outcome(*(a + b for a, b in zip(self, other, strict=True)))

    def row(self) -> Row:
        """For the table."""
        marked = 100 * (self.open - self.unmarked) / self.open if self.open else 100.0
        return {
            "kills": self.kills,
            "of a fold": self.folder_kills,
            "calls ended": self.ended,
            "lost": self.lost,
            "other content": self.wrong,
            "open at death": self.open,
            "marked %": round(marked, 3),
            "twice": self.twice,
            "bytes torn": self.torn,
            "said to be lost": self.unwritten,
            "segments left": self.left,
        }


def measure(kills: int) -> Outcome:
    """Kill so many children, a project for every 50 of them."""
    dice, total = random.Random(0), Outcome()
    with TemporaryDirectory(dir=place(), prefix="onrecord-bench-") as folder:
        for at in range(0, kills, BATCH):
            project = Path(folder, str(at))
            for name, fold_seconds in (("plain", 0), ("folding", 0.01)):
                (project / name).mkdir(parents=True)
                settings = f"{_SETTINGS}fold_seconds = {fold_seconds}\n"
                (project / name / "onrecord.toml").write_text(settings)
            total = total.plus(_batch(project, min(BATCH, kills - at), dice))
    return total


def _batch(project: Path, kills: int, dice: random.Random) -> Outcome:
    folder, folder_kills = _forked(_fold_for_ever, project), 0
    for at in range(0, kills, 2):
        children = [_forked(_work, project) for _ in range(min(2, kills - at))]
        instants = sorted(dice.uniform(0, LONGEST) for _ in children)
        for child, before, instant in zip(children, [0.0, *instants], instants, strict=False):
            time.sleep(instant - before)
            _kill(child)
        if dice.random() < 0.2:
            _kill(folder)
            folder, folder_kills = _forked(_fold_for_ever, project), folder_kills + 1
    _kill(folder)
    return _compared(project)._replace(kills=kills, folder_kills=folder_kills)


def _compared(project: Path) -> Outcome:
    """What the children wrote down, beside what the store holds."""
    began, ended = list(_said(project, "b")), set(_said(project, "e"))
    store = Store(project / "home", journal_mb=20_000)
    records = {record.id: record for record in store.each()}
    known = {id: record for id in began if (record := records.get(id)) is not None}
    closed = {id for id, record in known.items() if record.state == "done"}
    open_at_death = set(began) - ended
    marked = {id for id, record in known.items() if record.state == "interrupted"} | closed
    outcome = Outcome(
        ended=len(ended),
        lost=len(ended - closed),
        wrong=sum(not _is_as_made(known[id]) for id in closed),
        open=len(open_at_death),
        unmarked=len(open_at_death - marked),
        twice=len(began) - len(set(began)),
        torn=store.torn,
        unwritten=store.lost,
        left=len(journal.segments(project / "home" / "journal")),
    )
    store.close()
    return outcome


def _is_as_made(record: Record) -> bool:
    return bool(record.output == _text(record.id) and record.input == _question(record.name))


def _said(project: Path, word: str) -> Iterator[str]:
    for path in project.glob("said-*"):
        for line in path.read_text().split("\n")[:-1]:
            if line[0] == word:
                yield line[1:]


def _work(project: Path) -> None:
    """Make calls in threads and tasks until killed."""
    os.chdir(project / ("plain" if os.getpid() % 2 else "folding"))
    for number in range(THREADS):
        threading.Thread(target=_calls, args=(_Said(project, number),)).start()
    said = _Said(project, THREADS)

    async def tasks() -> None:
        await asyncio.gather(*(_calls_in_a_task(said) for _ in range(TASKS)))

    asyncio.run(tasks())


def _calls(said: _Said) -> None:
    for number in itertools.count():
        with call("flow", "outer", _question("outer")) as outer:
            said.began(outer)
            for name in ("inner", "long") if number % 20 == 0 else ("inner",):
                with call("step", name, _question(name)) as this:
                    said.began(this)
                    this.output = _text(this.id)
                said.ended(this)
            outer.output = _text(outer.id)
        said.ended(outer)


async def _calls_in_a_task(said: _Said) -> None:
    while True:
        with call("flow", "outer", _question("outer")) as outer:
            said.began(outer)
            await asyncio.sleep(0)
            with call("step", "inner", _question("inner")) as this:
                said.began(this)
                await asyncio.sleep(0)
                this.output = _text(this.id)
            said.ended(this)
            outer.output = _text(outer.id)
        said.ended(outer)


class _Said:
    """What a child writes down: one line in one `write`, which a kill comes before or after."""

    def __init__(self, project: Path, number: int) -> None:
        path = project / f"said-{os.getpid()}-{number}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def began(self, this: Call | Off) -> None:
        os.write(self._file, f"b{this.id}\n".encode())

    def ended(self, this: Call | Off) -> None:
        os.write(self._file, f"e{this.id}\n".encode())


def _question(name: str) -> dict[str, str]:
    return {"text": name * (4_000 if name == "long" else 40)}


def _text(id: str) -> str:
    return id * (1 + int(id[-2:], 16) % 12)


def _fold_for_ever(project: Path) -> None:
    while True:
        Store(project / "home", journal_mb=20_000).close()
        time.sleep(0.002)


def _forked(work: Callable[[Path], None], project: Path) -> int:
    child = os.fork()
    if child == 0:
        try:
            work(project)
        except BaseException:
            traceback.print_exc()
        os._exit(1)  # it never ends by itself
    return child


def _kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise SystemExit("a child ended by itself: see its traceback above")


def run(kills: int) -> None:
    """Measure, print and save."""
    journal._SEGMENT = SEGMENT
    rows = [measure(kills).row()]
    table(rows)
    save("records-crashes", rows)
