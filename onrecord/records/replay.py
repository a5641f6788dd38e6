"""Replay: a block whose outside calls are answered from a cassette.

    with on.replay("leave.jsonl") as cassette:
        assert ask.run("How many days of leave do I have?").value == "25 days"
    assert not cassette.unused

Answered are the calls that leave the application: models, embedders, tools and searches. Flows,
steps and prompts run, so that a test tests them. Of calls inside one another (the embedding in a
search, the model in a tool) the outermost is on the cassette; the inner ones are not asked.

**What counts as the same call.** Kind, name and input, secrets replaced in both, are equal. So the
input that a reviewer sees on the cassette is what is compared. The rest of a call's key is treated
by who can change it:

- The version of a model or an embedder (a server's address, an encoder's hash) is the world's. A
  cassette that was recorded at `localhost:8000` answers where no server is. Where it holds answers
  of several versions, those of the version that is asked are preferred.
- The version of a collection is a moment: it is another one after every ingest, in every checkout.
  It is not on the cassette. A cassette does not notice that the documents changed; record it again
  when they do.
- The version of a tool is the project's own code. A tool whose code changed since is a call that
  the cassette does not hold: what it recorded says nothing of the new code.

**Equal calls** get their answers in the order in which they were asked, and then the last one
again. While recording, a call that the cassette did not hold at first is made every time.

**A call that failed** when it was recorded fails again, with an error of the same class and text,
if the block ended well in spite of it. What failed in a block that failed is not recorded: a server
that was down then is no test.

**An unseen call** raises ReplayError and is not made. Should the code under test swallow that
error, the block raises it again at its end.

Recalled are calls in the context of the block: tasks, `asyncio.gather`, `.run()`, `.stream()` and
`asyncio.to_thread` have it; threads that you start yourself do not, unless they enter
`cassette.inside()`. What an embedder or a model does outside of its recorded calls is not seen.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, cast

import msgspec

from onrecord.errors import ReplayError, StorageError, UsageError
from onrecord.messages import Completion
from onrecord.records.call import Call
from onrecord.records.cassettes.cassette import RECORD, Cassette, Entry
from onrecord.records.cassettes.difference import difference, nearest
from onrecord.records.cassettes.line import Answer, Asked, Leaf, Line, answer_of, written
from onrecord.records.cassettes.raising import made_again
from onrecord.records.record import Record, pack, question_key, unpacked, without
from onrecord.records.scope import Found, Recall, Recording, recalling, recording
from onrecord.records.views.wording import shortened
from onrecord.records.whole_file import alone, write


def replay(path: str | os.PathLike[str], *, record: bool | Literal["all"] = False) -> Replay:
    """Answer model, embedding, tool and search calls from a cassette: `with replay("c.jsonl"):`.

    `record`: False, the default, makes no such call at all. True makes those that the cassette does
    not hold and adds them to it, or makes the cassette. "all" makes every call, and what the block
    did not ask any more is gone from the cassette. The file is written when the block ends, well or
    badly, whole or not at all; several processes may record one cassette.

    Raises ReplayError for a call that the cassette does not hold, with the difference to the
    nearest one that it does, and for a file that is missing or no cassette; UsageError for a
    folder, and for what is no path.
    """
    try:
        where = Path(path)
    except TypeError:
        raise UsageError(
            f"a cassette is named by its path, not by {shortened(repr(path), 80)}",
            cure='Write replay("cassettes/leave.jsonl").',
        ) from None
    if not isinstance(record, bool) and not (isinstance(record, str) and record == "all"):
        raise UsageError(
            f"there is no way to record called {shortened(repr(record), 80)}",
            cure='It is False (replay only), True (add what is new) or "all" (make all anew).',
        )
    return Replay(where, record)


class Replay:
    """A cassette at work. Made by `replay`."""

    def __init__(self, path: Path, record: bool | Literal["all"]) -> None:
        self.path = path.absolute()
        self.answered = 0
        """How many calls were answered from the cassette."""
        self._record = record
        self._lock = threading.Lock()
        self._exit = ExitStack()

    @property
    def made(self) -> int:
        """How many calls were made, to be put on the cassette."""
        return len(self._made())

    @property
    def unused(self) -> tuple[Line, ...]:
        """The calls on the cassette that nobody asked; with record="all" none."""
        return tuple(entry.line for entry in self._held if id(entry) not in self._given)

    def cut_short(self) -> None:
        """The block ends early, though no error leaves it: what it did not ask is kept, what
        failed is not recorded, and no unseen call is raised again."""
        self._cut_short = True

    @contextmanager
    def inside(self) -> Iterator[Recall | None]:
        """Answer the calls of this block: for a thread, or a task of somebody else's, whose context
        is not that of `with replay(…)`. Yields who answered until here."""
        with recalling(self) as outer, ExitStack() as watching:
            if self._record:  # who looks on sees the calls that failed, too
                self._watched.append(watching.enter_context(recording()))
            yield outer

    def __enter__(self) -> Replay:
        self._stamp = _stamp(self.path)
        self._cassette = self._opened()
        self.answered = 0
        self._outer: Recall | None = None
        self._unseen: list[ReplayError] = []
        self._pending: dict[str, _Pending] = {}
        self._watched: list[Recording] = []
        self._cut_short = False
        self._given: set[int] = set()
        self._asked: Counter[tuple[str, str | None]] = Counter()
        self._answers: dict[str, list[Entry]] = {}
        # With "all" nothing is answered: the cassette is there to be compared with.
        self._held = [] if self._record == "all" else list(self._cassette.entries)
        for entry in self._held:
            self._answers.setdefault(entry.question, []).append(entry)
        self._outer = self._exit.enter_context(self.inside())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()
        self._cut_short = self._cut_short or error is not None
        if self._record:
            try:
                self._write()
            except OSError as problem:
                refused = StorageError(
                    f"the cassette cannot be written: {problem.strerror or problem}",
                    where=str(self.path),
                )
                if error is None:
                    raise refused from None
                error.add_note(str(refused))
        if self._unseen and error is None and not self._cut_short:
            raise self._unseen[0]
        if self._unseen and error is not None and not isinstance(error, ReplayError):
            error.add_note(str(self._unseen[0]))

    def find(self, call: Call) -> Found | None:
        """What the cassette answers to a call; None for what is not its to answer, or to be made.

        Raises ReplayError, or the error that the call failed with when it was recorded.
        """
        if call.start.kind not in _LEAVES:
            return None if self._outer is None else self._outer.find(call)
        asked = _asked(call)
        line = self._cassette.line(asked)
        with self._lock:
            entry = self._next(line)
            if entry is not None:
                self.answered += 1
                self._given.add(id(entry))
            elif self._record:
                self._pending[call.id] = _Pending(asked, call.start.parent)
                return None
            else:
                unseen = self._not_held(line)
                self._unseen.append(unseen)
                raise unseen
        if entry.line.error is not None:
            raise self._failure(entry.line)
        vectors = entry.line.vectors
        # Said to come from somewhere, so that the record is no answer to anybody else.
        return Found(
            unpacked(entry.output), entry.question, None if vectors is None else vectors.array()
        )

    def keep(self, call: Call) -> None:
        """A call was made: what it gave will be on the cassette."""
        pending = self._pending.get(call.id)
        if pending is not None:
            pending.answer = answer_of(call.output, call.usage, call.cost, call.whole)
        elif call.start.kind not in _LEAVES and self._outer is not None:
            self._outer.keep(call)

    def _opened(self) -> Cassette:
        if self._record and not (self.path.is_file() and self.path.stat().st_size):
            if self.path.is_dir():
                return Cassette.read(self.path)  # which says what is wrong with it
            return Cassette.new()
        try:
            return Cassette.read(self.path)
        except ReplayError:
            if self._record != "all":
                raise
            return Cassette.new()

    def _next(self, line: Line) -> Entry | None:
        """The entry whose turn it is to answer this line."""
        question = line.question
        answers = self._answers.get(question)
        if answers is None:
            return None
        own = [entry for entry in answers if entry.line.version == line.version]
        turn = (question, line.version if own else None)
        at = self._asked[turn]
        self._asked[turn] += 1
        return (own or answers)[min(at, len(own or answers) - 1)]

    def _not_held(self, line: Line) -> ReplayError:
        lines = [entry.line for entry in self._held if entry.line.kind == line.kind]
        alike = [each for each in lines if each.name == line.name] or lines
        told = _compared(line)
        at = nearest(told, [_compared(each) for each in alike])
        if at is None:
            asked = written(told, indent=2)
            asked = asked if len(asked) <= _SHOWN else f"{asked[:_SHOWN]}…"
            held = f"It holds no {line.kind} call at all. This one asks\n{asked}"
        else:
            of = f"'{line.name}'" if alike[at].name == line.name else f"another {line.kind}"
            held = (
                f"The nearest of {len(alike)} that it holds of {of} differs in\n"
                f"{difference(_compared(alike[at]), told)}"
            )
        return ReplayError(
            f"the cassette does not hold this call of {line.kind} '{line.name}', and it was not "
            "made",
            where=str(self.path),
            cure=f"{RECORD}\n{held}",
        )

    def _failure(self, line: Line) -> Exception:
        error = made_again(str(line.error))
        return error or ReplayError(
            f"{line.kind} '{line.name}' failed when it was recorded, with '{line.error}', and an "
            "error of that class cannot be made again",
            where=str(self.path),
            cure="Raise a class that is imported here, and takes its message as its only argument.",
        )

    def _made(self) -> list[tuple[Asked, Answer]]:
        """The outermost calls that were made and have ended, in the order they were asked."""
        watched = [record for each in self._watched for record in list(each.records)]
        records = {record.id: record for record in watched}
        with self._lock:
            pending = dict(self._pending)
        for id, each in pending.items():
            if each.answer is None and id in records:
                each.answer = _ended(records[id])
        parents = {id: record.parent for id, record in records.items()}
        parents.update((id, each.parent) for id, each in pending.items())

        def inside_another(id: str) -> bool:
            above = parents.get(id)
            while above is not None:
                if above in pending and pending[above].answer is not None:
                    return True
                above = parents.get(above)
            return False

        return [
            (each.asked, each.answer)
            for id, each in pending.items()
            if each.answer is not None and not inside_another(id)
        ]

    def _write(self) -> None:
        made = self._made()
        if self._cut_short:
            made = [(asked, answer) for asked, answer in made if answer.error is None]
        unchanged = not made and self._record is True and not self._cassette.cleaned
        if unchanged and _stamp(self.path) is not None:
            return
        with alone(self.path):
            # Another process may have recorded meanwhile, and its salt is the cassette's then.
            untouched = _stamp(self.path) == self._stamp
            cassette = self._cassette if untouched else self._opened()
            mine = [cassette.entry(asked, answer) for asked, answer in made]
            theirs = cassette.entries
            if self._record == "all":
                anew = {entry.question for entry in mine}
                kept = [entry for entry in theirs if entry.question not in anew]
                entries = [*([] if untouched and not self._cut_short else kept), *mine]
                cassette.entries = _in_order_of(theirs, entries)
            else:
                cassette.entries = [*theirs, *_beyond(theirs, mine)]
            write(self.path, cassette.text)


class _Pending:
    """A call that is being made."""

    __slots__ = ("answer", "asked", "parent")

    def __init__(self, asked: Asked, parent: str | None) -> None:
        self.asked = asked
        self.parent = parent
        self.answer: Answer | None = None


_LEAVES = frozenset(("model", "embed", "search", "tool"))
_SHOWN = 2000


def _asked(call: Call) -> Asked:
    start = call.start
    packed = without(pack(call.input), call.fences)  # a cassette answers calls with other ones
    key = ""
    if call.also is not None:
        key = question_key(start.kind, start.name, start.version, packed, call.also)
    version = "" if start.kind == "search" else start.version
    return Asked(cast(Leaf, start.kind), start.name, version, packed, key)


def _compared(line: Line) -> dict[str, Any]:
    """What decides whether a call is another one, for the difference."""
    compared = {"name": line.name, "input": line.input}
    if line.key:
        compared["key (of what the input does not show)"] = line.key
    if line.kind == "tool":
        compared["version (of the tool's code)"] = line.version
    return compared


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Another one whenever somebody wrote the file; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns, state.st_size


def _ended(record: Record) -> Answer | None:
    """What a call gave that was not kept: one that failed, or was answered by the cache."""
    if record.state == "done" and record.kind == "model":
        return answer_of(msgspec.convert(record.output, Completion), None, 0, None)
    if record.state == "done" and record.kind != "embed":
        return answer_of(record.output, None, 0, None)
    failed = record.state == "failed" and record.error not in (None, "cancelled")
    if failed and not str(record.error).startswith(ReplayError.__name__):
        return answer_of(None, record.usage, record.cost, None, error=record.error)
    return None


def _beyond(theirs: Sequence[Entry], mine: Sequence[Entry]) -> Iterator[Entry]:
    """My answers to questions that they have fewer answers to."""
    there = Counter(entry.question for entry in theirs)
    for entry in mine:
        there[entry.question] -= 1
        if there[entry.question] < 0:
            yield entry


def _in_order_of(before: Sequence[Entry], entries: Sequence[Entry]) -> list[Entry]:
    """Entries where their questions stood before, new ones behind: small changes, small diffs."""
    places: dict[str, list[int]] = {}
    for place, entry in enumerate(before):
        places.setdefault(entry.question, []).append(place)
    turns: Counter[str] = Counter()
    placed = []
    for entry in entries:
        own = places.get(entry.question, [])
        turn = turns[entry.question]
        turns[entry.question] += 1
        # More answers than before stand behind the last one that there was.
        placed.append((own[min(turn, len(own) - 1)] if own else len(before), entry))
    return [entry for _, entry in sorted(placed, key=lambda each: each[0])]
