"""Going on with a run: while its flow runs again, what has finished comes from its record."""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from onrecord.errors import ResumeError, UsageError
from onrecord.messages import Question
from onrecord.programs.booking import book
from onrecord.programs.functions import Held
from onrecord.programs.history import History, Node, alike, likeness
from onrecord.records.call import Call, asked_key
from onrecord.records.cassettes.difference import difference
from onrecord.records.outlining import as_before
from onrecord.records.record import Kind, Record, pack, plain, unpacked
from onrecord.records.scope import Found, Recall

Changed = Literal["refuse", "repeat"]


class Resumption(Recall):
    """A run under way again: what it asks for is looked up in its history.

    `sources` gives the source code of a version; `notes` tells which versions have returned objects
    of types that they do not name.
    """

    def __init__(
        self,
        history: History,
        answers: Mapping[str, Any],
        changed: Changed,
        sources: Callable[[str], str | None],
        notes: Mapping[str, str],
    ) -> None:
        self.beyond: Recall | None = None
        """Who may know what the history does not: a cassette."""
        self._history = history
        self._answers = answers
        self._repeat = changed == "repeat"
        self._sources = sources
        self._notes = notes
        self._places: dict[str, _Place] = {}
        self._lock = threading.RLock()
        self._told: set[str] = set()
        self._meant: set[int] = set()
        """The nodes that stood for a call at another place."""

    def begin(self, call: Call) -> None:
        """`call` is the run's outermost flow, called again."""
        self._places[call.id] = _Place(self._history.top)
        self._history.top.claimed = True

    def find(self, call: Call) -> Found | None:
        """What a call gave in an earlier attempt. Raises ResumeError where it has changed."""
        found = None
        with self._lock:
            above = self._places.get(call.start.parent or "")
            if above is not None and call.start.kind not in _MADE_AGAIN:
                try:
                    found = self._found(above, call)
                except ResumeError as error:
                    call.output = error.what  # on record this tells it from a call that began
                    raise
            else:
                self._places[call.id] = _Place(Node())
        if found is None and self.beyond is not None:
            return self.beyond.find(call)
        return found

    def keep(self, call: Call) -> None:
        """The call was made; it is on record anyway."""
        if self.beyond is not None:
            self.beyond.keep(call)

    def first_id(self, call: Call) -> str:
        """The id of a call, or that of the first record at its place."""
        place = self._places.get(call.id)
        return place.node.records[0].id if place and place.node.records else call.id

    def unsure(self, call: Call, why: str = "", unfit: bool = False) -> Found | Question | None:
        """What to do about a call that must not happen twice and is not finished on record.

        None: it was never begun, or a person said that it is to be made again. `why` says what is
        wrong with the output on record, or, where that was `unfit`, with the one in the answer.
        """
        with self._lock:
            place = self._places.get(call.id)
            if place is None:
                return None
            other = None if place.node.made else self._lookalike(place.node, call)
            node = other or place.node
            if (made := node.made) is None:
                return None
            answer = self._answers.get(made.id)
            if answer is None or unfit:
                doubt = _doubt(made, call, why, unfit=unfit, elsewhere=other is not None)
                return Question(made.id, doubt, kind="repeat")
            node.claimed = True
            return Found(plain(answer["output"])) if "output" in answer else None

    def report(self) -> None:
        """Tell of finished calls that the flow, run again, has not asked for."""
        left = [_named(node.records[-1]) for node in _unclaimed(self._history.top)]
        if left:
            more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
            _log.warning(
                "run %s: calls that had finished were not asked for again: %s%s",
                self._history.root.run,
                ", ".join(left[:_SHOWN]),
                more,
            )

    def check_whole(self, erased: bool) -> None:
        """Raises ResumeError where records are gone that others were made inside of, or where some
        were `erased`: what was done in them is not known."""
        strays = self._history.strays
        if (strays or erased) and not self._repeat:
            why = "erased" if erased else "erased, or never written"
            what = f", in which {_named(strays[0])} was made" if strays else ""
            raise ResumeError(
                f"records of the run are gone ({why}){what}: what was done in them is not known",
                where=f"run {self._history.root.run}",
                cure='Begin anew, or go on with changed="repeat": what is not on record is made '
                "again, and what must not happen twice is asked about as far as it is.",
            )

    def check_version(self, version: str, source: str | None) -> None:
        """Raises ResumeError where the flow's own code is not what it was."""
        last = self._history.attempts[-1]
        if version != last.version and not self._repeat:
            raise self._changed(last, version, last.input, source)

    def check_input(self, input: Mapping[str, Any]) -> None:
        """Raises ResumeError where the flow is given other arguments than it was."""
        root = self._history.root
        if not self._repeat:
            raise self._changed(root, root.version, plain(input))

    def _found(self, above: _Place, call: Call) -> Found | None:
        start = call.start
        name = (start.kind, start.name)
        number = above.numbers[name] = above.numbers.get(name, -1) + 1
        node = above.next(start.key, self._history) or self._resembling(above, call)
        if node is None:
            self._places[call.id] = _Place(self._instead(above.node, call, number))
            return None
        node.claimed = True
        self._places[call.id] = _Place(node)
        if start.kind == "pause":
            given = [self._answers[each.id] for each in node.records if each.id in self._answers]
            if node.finished is None and given:
                return Found(plain(given[0]))
        record = node.finished_as(start.key)
        if record is None:
            if node.is_done():
                self._tell(f"{_named(node.records[-1])}: its output was removed from the record")
            book([node])
            return None
        if not self._is_whole(record):
            return None
        below = list(node.below())
        for each in below:
            each.claimed = True
        book([node, *below])
        return Found(record.output, self._history.origin(record))

    def noted(self, inside: Call, kind: Kind, name: str, input: Any) -> Any:
        """The output on record of a call that is looked at, and not made: None where there is none.
        `inside`: the call under way that it was made in."""
        with self._lock:
            place = self._places.get(inside.id)
            for node in place.node.by_name.get((kind, name), ()) if place is not None else ():
                record = node.finished
                if record is not None and record.input == plain(input):
                    node.claimed = True
                    return record.output
        return None

    def _resembling(self, above: _Place, call: Call) -> Node | None:
        """The call on record that differs in nothing but in what its objects, or its function, hold
        by now: these may have changed without being others. Of several, made one after the other,
        the first; of several made at once nobody knows which."""
        start = call.start
        like = likeness(start, unpacked(bytes(start.input)))
        told_by_more = call.also is not None and not isinstance(call.also, Held)  # a prompt's model
        if not like or told_by_more or above.is_lent(start.key):
            return None
        waiting = above.alike(like, self._history)
        while waiting and waiting[-1].claimed:
            waiting.pop()
        for node in reversed(waiting):
            if not node.claimed and _resembles(call, node):
                return above.lend(node)
        return None

    def _is_whole(self, record: Record) -> bool:
        """Whether the plain output on record is what the function returned."""
        note = self._notes.get(record.version)
        if note is None or record.output is None or isinstance(record.output, bool):
            return True
        if self._repeat:
            return False
        raise ResumeError(
            f"what {_named(record)} returned cannot be made of its record: it has returned {note}, "
            "and does not say so",
            where=f"run {record.run}",
            cure=f"Annotate it for the next time ('-> {note}'); now go on with changed=\"repeat\", "
            "which makes the call again.",
        )

    def _instead(self, parent: Node, call: Call, number: int) -> Node:
        """Where a call stands whose question is not on record: at the place of the one that was
        asked there before, or at a place of its own. Raises ResumeError where that has changed."""
        node = self._before(parent, call, number)
        if node is None:
            return Node(parent)
        record = node.records[-1]
        if record.version == call.start.version and not self._history.is_certain(node):
            return Node(parent)
        if not self._repeat and any(each.is_done() for each in (node, *node.below())):
            raise self._changed(record, call.start.version, plain(call.input))
        if call.start.kind == "pause":  # an answer to another question is none to this one
            return Node(parent)
        node.claimed = True
        return node

    def _before(self, parent: Node, call: Call, number: int) -> Node | None:
        known = parent.by_name.get((call.start.kind, call.start.name), [])
        if len(known) > 1 and any(each.records[-1].version != call.start.version for each in known):
            # The code has changed: the call with the same input is the one that was meant.
            wanted = pack(plain(call.input))
            for node in known:
                if not node.claimed and pack(node.records[-1].input) == wanted:
                    return node
        return known[number] if number < len(known) and not known[number].claimed else None

    def _lookalike(self, node: Node, call: Call) -> Node | None:
        """A call that may have been this one, and is not asked for again: the same question
        elsewhere in the run, or another one of its name that was made beside it; anywhere in the
        run, where what this call is made in was not on record. Of several, the most similar and
        the latest."""
        name = (call.start.kind, call.start.name)
        among: Iterable[Node] = ()
        if node.parent is None or not node.parent.records:
            among = self._history.by_name.get(name, ())
        else:
            among = node.parent.by_name.get(name, ())
        same = self._history.by_key.get(call.key, [])
        found = [each for each in (*same, *among) if not each.claimed and each.made]
        if not found:
            return None
        input = plain(call.input)

        def fitness(node: Node) -> tuple[int, bool, str]:
            # Two calls should not be asked about in one question, as long as there is another.
            record = node.records[-1]
            return _likeness(record, input), id(node) not in self._meant, record.id

        best = max(found, key=fitness)
        self._meant.add(id(best))
        return best

    def _changed(
        self, record: Record, version: str, input: Any, source: str | None = None
    ) -> ResumeError:
        how = self._how(record, version, input, source)
        return ResumeError(
            f"{_named(record)} is not what it was when the run began. {how}",
            where=f"run {record.run}",
            cure='Undo that, or go on with changed="repeat": what does not match its record is '
            "made again.",
        )

    def _how(self, record: Record, version: str, input: Any, source: str | None) -> str:
        labels = ("on record", "now")
        if record.version != version:
            before, after = self._sources(record.version), source or self._sources(version)
            if before is None or after is None or before == after:
                before, after = record.version, version
            return f"Its code or version has changed:\n{difference(before, after, labels=labels)}\n"
        if pack(record.input) == pack(input):
            return (
                "It is asked of another model, with other parameters, or its function holds other "
                "values of the function that made it"
            )
        return f"Its input has changed:\n{difference(record.input, input, labels=labels)}\n"

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            _log.warning("%s; it is made again", text)


def check_answers(history: History, answers: Mapping[str, Any]) -> None:
    """Raises UsageError for answers that no question of the run takes."""
    for id, answer in answers.items():
        node = history.of.get(id)
        if node is None:
            raise UsageError(f"run {history.root.run} has no question '{id}'")
        record = node.records[0]
        if record.kind != "pause":
            if not isinstance(answer, Mapping) or (
                set(answer) != {"output"} and dict(answer) != {"repeat": True}
            ):
                raise UsageError(
                    f"{answer!r} does not say whether {_named(record)} is to be made again",
                    cure='Answer {"repeat": True}; or {"output": …} if it happened.',
                )
            continue
        asked = record.input if isinstance(record.input, dict) else {}
        if (options := asked.get("options")) and answer not in options:
            raise UsageError(
                f"{answer!r} is no answer to “{asked.get('question')}”",
                cure=f"Choose from {', '.join(map(repr, options))}.",
            )
        if (finished := node.finished) is not None and finished.output != plain(answer):
            raise UsageError(
                f"“{asked.get('question')}” has been answered already: {finished.output!r}"
            )


class _Place:
    """Where a call under way stands, and which of the calls on record inside it are taken."""

    __slots__ = ("_alike", "_given", "_lent", "_taken", "node", "numbers")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.numbers: dict[tuple[str, str], int] = {}
        self._taken: dict[str, list[Node]] = {}
        self._given: set[int] = set()
        self._lent: set[int] = set()
        self._alike: dict[bytes, list[Node]] | None = None

    def next(self, key: str, history: History) -> Node | None:
        """The next call on record of this question."""
        same = self.node.by_key.get(key)
        if same is None:
            return None
        if key not in self._taken:
            self._taken[key] = history.in_order(same)[::-1]
        waiting = self._taken[key]
        while waiting:
            # One that was asked with different keys in different attempts is among several.
            if id(node := waiting.pop()) not in self._given:
                return self.give(node)
        return None

    def give(self, node: Node) -> Node:
        """This call has been asked for."""
        self._given.add(id(node))
        return node

    def alike(self, like: bytes, history: History) -> list[Node]:
        """The calls inside of this likeness, the first one last; none where several were made at
        once."""
        if self._alike is None:
            self._alike = {
                like: same[::-1] if len(same) == 1 or all(map(history.is_certain, same)) else []
                for like, same in alike(self.node.children).items()
            }
        return self._alike.get(like, [])

    def lend(self, node: Node) -> Node:
        """This call is taken for one that resembles it."""
        self._lent.add(id(node))
        return self.give(node)

    def is_lent(self, key: str) -> bool:
        """Whether a finished call of this question was given to one that resembles it, so that
        what is asked for now is not in its place."""
        return any(
            each.finished is not None and id(each) in self._lent
            for each in self.node.by_key.get(key, ())
        )


_MADE_AGAIN = ("embed", "ingest")
"""Vectors are not kept; taking in files that are there already costs next to nothing."""
_SHOWN = 5
_LONGEST = 160
_log = logging.getLogger("onrecord")


def _unclaimed(top: Node) -> Iterator[Node]:
    """Finished calls that were not asked for, the outermost of each."""
    waiting = [top]
    while waiting:
        for node in waiting.pop().children:
            if node.claimed:
                waiting.append(node)
            elif node.is_done() and node.records[-1].kind not in _MADE_AGAIN:
                yield node


def _resembles(call: Call, node: Node) -> bool:
    """Whether a call that looks like one on record is that, but for what objects, or its function,
    hold: what redaction removed looks alike, too."""
    record = node.records[-1]
    now = as_before(plain(call.input), record.input)
    if isinstance(call.also, Held):
        return pack(now) == pack(record.input)
    start = call.start
    return asked_key(start.kind, start.name, now, start.version) == record.key


def _likeness(record: Record, input: Any) -> int:
    """How many arguments two calls have in common."""
    if not isinstance(record.input, Mapping) or not isinstance(input, Mapping):
        return int(record.input == input)
    return sum(name in record.input and record.input[name] == input[name] for name in input)


def _named(record: Record) -> str:
    return f"{record.kind} {record.name}"


def _called(name: str, input: Any) -> str:
    """A call as it would be written: refund(order_id='17')."""
    if not isinstance(input, Mapping):
        return f"{name}(…)"
    text = ", ".join(f"{each}={value!r}" for each, value in input.items())
    return f"{name}({text if len(text) <= _LONGEST else text[:_LONGEST] + '…'})"


def _doubt(record: Record, call: Call, why: str, *, unfit: bool, elsewhere: bool) -> str:
    """The question about a call that may have happened."""
    when = datetime.datetime.fromtimestamp(record.started_ns / 1e9).astimezone()
    began = f"`{_called(record.name, record.input)}` was started at {when:%Y-%m-%d %H:%M:%S}"
    if record.state == "done":
        said = f"{began} and finished"
        if call.key == record.key and elsewhere:
            said += " at another place of the run"
        elif call.key == record.key:
            problem = "" if unfit else why
            said += f", but {problem or 'its output was removed from the record'}"
    elif record.state == "failed":
        said = f"{began} and failed ({record.error}); it is not known whether it happened"
    elif record.state == "paused":
        said = f"{began} and stopped at a question; it is not known what it had done by then"
    else:
        said = f"{began} and it is not known whether it happened"
    if call.key != record.key:
        said += f". Now `{_called(call.start.name, plain(call.input))}` is asked for in its place"
    if unfit:
        said += f". The output in the answer cannot be used: {why}"
    return f"{said}. Is it to be made again?"
