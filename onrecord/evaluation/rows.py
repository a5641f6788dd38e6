"""Training rows from model calls, as trl's trainers take them.

    chat               {"messages": [...]}                              SFTTrainer
    prompt_completion  {"prompt": [...], "completion": [...]}           SFTTrainer
    completion         {"prompt": "...", "completion": "..."}           SFTTrainer, base models
    preference         {"prompt": [...], "chosen": [...], "rejected": [...]}   DPOTrainer

each with `provenance`, which `datasets` keeps as a column and the trainers pass over. A message is
{"role", "content"}, with `tool_calls` where the model asked for tools; `content` is always a text.
A structured answer is the text that the model wrote: the form that was asked for stands in the
system message. Of a call that was repaired only the last answer becomes a row, under the first
question: a model should learn neither the mistake nor the complaint.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation import jsonl
from onrecord.evaluation.conversation import Talk, Untrainable, answer_turn, talk_of, turns
from onrecord.evaluation.dataset import provenance_of
from onrecord.evaluation.experiments.stored import FLOW, STEP
from onrecord.evaluation.picking import Feedback, asked, batches, newest_first
from onrecord.messages import Message, text_message
from onrecord.records.query import Query
from onrecord.records.record import Record

if TYPE_CHECKING:
    from onrecord.records.store import Store

Format = Literal["chat", "completion", "prompt_completion", "preference"]
Row = dict[str, Any]


def rows(
    query: Query | None = None, *, format: Format = "chat", store: Store | None = None
) -> Rows:
    """Training rows from the model calls of a query, newest first.

    Only whole answers that ended well, each question once: the newest answer, or the one that
    people corrected (the correction is what is learnt). Left out and counted: redacted answers,
    ones that were repaired or cut off, that came from a cache, that somebody called bad (the answer
    or a call around it), images and sound, what a wrapper (`cached`) passed on from the model call
    inside it, which is the row, model calls inside of others that answered something else, and what
    was made in experiments: a model that learns from it has seen the test.
    `preference` takes corrected answers only: the correction before the answer. `store`: default
    the project's.

    Raises UsageError for an unknown format or a query for other kinds than model calls.
    """
    if format not in get_args(Format):
        raise UsageError(
            f"there is no format '{format}'", cure=f"Choose from {', '.join(get_args(Format))}."
        )
    wanted = asked(query, ("model",), {})
    if wanted.kinds != ("model",):
        raise UsageError(
            "training rows are made from model calls", cure="Leave the kinds out of the query."
        )
    return Rows(wanted, format, store)


class Rows:
    """Training rows, read from the store as they are asked for; each loop reads them anew.

    `left_out`: how many calls made no row, by reason, in the latest loop.
    """

    def __init__(self, query: Query, format: Format, store: Store | None) -> None:
        self.query = query
        self.format = format
        self.left_out: dict[str, int] = {}
        self._store = store

    def __iter__(self) -> Iterator[Row]:
        self.left_out = {}
        if self._store is not None:
            yield from self._from(self._store)
            return
        from onrecord.records.store import Store

        store = Store.open()
        try:
            yield from self._from(store)
        finally:
            store.close()

    def _from(self, store: Store) -> Iterator[Row]:
        making = _Making(store, self.format)
        for page in newest_first(store, self.query):
            making.runs.look_at(page)
            for record in page:
                try:
                    yield making.row(record)
                except Untrainable as reason:
                    self.left_out[str(reason)] = self.left_out.get(str(reason), 0) + 1


def write_rows(path: str | Path, rows: Iterable[Row]) -> int:
    """Write rows to a JSON Lines file, at once or not at all; how many.

    `datasets` takes the columns and their types from the beginning of a file: a row with a key that
    none before it has (a call of a tool, after thousands without) is therefore moved to the front.
    Raises StorageError.
    """
    first: list[bytes] = []
    known: set[str] = set()
    count = 0
    with tempfile.TemporaryFile() as rest:
        for row in rows:
            count += 1
            keys = _keys(row)
            if keys <= known:
                rest.write(jsonl.line(row))
            else:
                first.append(jsonl.line(row))
                known |= keys
        rest.seek(0)
        jsonl.write(Path(path), (line for lines in (first, rest) for line in lines))
    return count


class _Making:
    """Makes rows of model calls, or says by Untrainable why not."""

    def __init__(self, store: Store, format: Format) -> None:
        self.runs = _Runs(store)
        self._store = store
        self._format = format
        self._feedback = Feedback(store)
        self._seen: set[str] = set()
        # Of equal questions the corrected answer counts, whichever is the newest.
        corrected = [
            record
            for id, record in sorted(self._feedback.about.items())
            if record.kind == "model" and self._feedback.on(id).corrected
        ]
        self.runs.look_at(corrected)
        own = map(self._own, corrected)
        self._corrected = {record.key: record.id for record in own}

    def _own(self, record: Record) -> Record:
        """The call that made an answer, where a wrapper passed it on."""
        id = self.runs.own(record.id)
        return record if id == record.id else self._store.record(id)

    def row(self, record: Record) -> Row:
        if record.redacted:
            raise Untrainable("redacted: the output on record is not what was given")
        if record.source is not None:  # a similar question's answer may be among them
            raise Untrainable("not made, but taken from another record")
        if self.runs.is_wrapper(record):
            raise Untrainable("passed on by a wrapper, whose model's own call is taken")
        if self.runs.is_of_experiment(record):
            raise Untrainable("made in an experiment, whose cases are for measuring")
        around = self.runs.around(record)
        if around is not None and around.kind == "model":
            raise Untrainable("inside another model call, whose answer is taken")
        if around is not None and around.kind == "step" and around.state != "done":
            raise Untrainable("the step around it did not end well")
        talk = talk_of(record)
        asked = self._asked(record, talk)
        answer, feedback = self._answer(record, talk)
        if record.key in self._seen or self._corrected.get(record.key, record.id) != record.id:
            raise Untrainable("an equal question")
        row = self._shaped(asked, answer, talk.answer)
        if talk.tools:
            row["tools"] = msgspec.json.encode(talk.tools).decode()
        row["provenance"] = msgspec.to_builtins(provenance_of(record, feedback))
        self._seen.add(record.key)
        return row

    def _asked(self, record: Record, talk: Talk) -> tuple[Message, ...]:
        """The question that the answer is one to: without answers that were sent back."""
        around = self.runs.around(record)
        in_step = around is not None and around.kind == "step"
        messages = talk.messages
        place = self.runs.place(record)
        for id, other in self.runs.others(record):
            if other.continues(talk) and id > place:
                if in_step and other.said_after(talk) == "user":
                    raise Untrainable("an answer that was repaired afterwards")
                if self._format == "chat":
                    raise Untrainable("part of a longer conversation, which is a row")
            elif in_step and talk.continues(other) and talk.said_after(other) == "user":
                messages = min(messages, other.messages, key=len)
        return messages

    def _answer(self, record: Record, talk: Talk) -> tuple[Message, str]:
        """What should have been answered, and the id of the feedback that says so."""
        if record.run in self._feedback.runs:
            above, own = self.runs.above(record), self.runs.places(record)
            for id in (record.id, *above):
                said = self._feedback.on(id)
                if said.corrected:
                    output = talk.answer.text if id in own else self._output(id)
                    text = _corrected(talk.answer.text, output, said.correction)
                    return text_message("assistant", text), said.corrected
                if said.rejected:
                    raise Untrainable("called bad by feedback, without a correction")
        if self._format == "preference":
            raise Untrainable("not corrected by feedback")
        if talk.finish not in ("stop", "tool_calls"):
            raise Untrainable("cut off or declined")
        return talk.answer, ""

    def _output(self, id: str) -> Any:
        return self._store.record(id).output

    def _shaped(self, asked: Sequence[Message], answer: Message, given: Message) -> Row:
        prompt, completion = turns(asked), answer_turn(answer)
        if self._format == "chat":
            return {"messages": [*prompt, completion]}
        if self._format == "prompt_completion":
            return {"prompt": prompt, "completion": [completion]}
        if self._format == "preference":
            rejected = answer_turn(given)
            if rejected == completion:
                raise Untrainable("corrected to the same")
            return {"prompt": prompt, "chosen": [completion], "rejected": [rejected]}
        if any("tool_calls" in turn or turn["role"] == "tool" for turn in (*prompt, completion)):
            raise Untrainable("tools, in plain text")
        text = "\n\n".join(turn["content"] for turn in prompt)
        return {"prompt": f"{text}\n\n", "completion": completion["content"]}


class _Around(msgspec.Struct, frozen=True):
    """A call, without its words."""

    parent: str | None
    kind: str
    state: str
    name: str


class _Runs:
    """The calls of the runs that a page of model calls belongs to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._calls: dict[str, dict[str, _Around]] = {}
        self._models: dict[str, list[str]] = {}  # model calls, by parent
        self._talks: dict[str, list[tuple[str, Talk]]] = {}
        self._wrappers: dict[str, str] = {}  # by the calls inside that they pass on

    def look_at(self, page: Sequence[Record]) -> None:
        """Take the runs of these records; those of the last page are kept where they go on."""
        runs = {record.run for record in page}
        self._calls = {run: calls for run, calls in self._calls.items() if run in runs}
        self._read(sorted(runs - self._calls.keys()))
        self._talks = {}
        self._models = {}
        for calls in self._calls.values():
            for id, call in calls.items():
                if call.kind == "model" and call.parent is not None and call.state == "done":
                    self._models.setdefault(call.parent, []).append(id)
        self._wrappers = dict(self._passed_on())

    def is_wrapper(self, record: Record) -> bool:
        """Whether a model call only passed on the answer of one inside it."""
        return record.id in self._wrappers.values()

    def places(self, record: Record) -> list[str]:
        """The ids of the call itself and of the wrappers that passed its answer on, outwards."""
        ids = [record.id]
        while ids[-1] in self._wrappers:
            ids.append(self._wrappers[ids[-1]])
        return ids

    def place(self, record: Record) -> str:
        """The id of the call itself, or of the outermost wrapper that passed its answer on."""
        return self.places(record)[-1]

    def own(self, id: str) -> str:
        """The id of the call that made the answer which this one passed on, if it did."""
        passed_on = {wrapper: inside for inside, wrapper in self._wrappers.items()}
        while id in passed_on:
            id = passed_on[id]
        return id

    def around(self, record: Record) -> _Around | None:
        """The call that a call, with its wrappers, was made in."""
        return self._calls[record.run].get(self._parent(record))

    def above(self, record: Record) -> Iterator[str]:
        """The ids of all calls around one, the nearest first."""
        calls, id = self._calls[record.run], record.parent
        while id is not None:
            yield id
            around = calls.get(id)
            id = around.parent if around is not None else None

    def is_of_experiment(self, record: Record) -> bool:
        """Whether a call was made in a trial of an experiment, or by a scorer of one."""
        calls = self._calls[record.run]
        around = [calls[id] for id in self.above(record) if id in calls]
        named = [(each.kind, each.name) for each in around]
        return any(each == (("step", STEP), ("flow", FLOW)) for each in pairwise(named))

    def others(self, record: Record) -> list[tuple[str, Talk]]:
        """The other model calls that ended well under the same parent, oldest first."""
        parent, place = self._parent(record), self.place(record)
        ids = self._models.get(parent, [])
        if len(ids) < 2:
            return []
        if parent not in self._talks:
            self._talks[parent] = sorted(self._talks_of(ids))
        return [each for each in self._talks[parent] if each[0] != place]

    def _parent(self, record: Record) -> str:
        return self._calls[record.run][self.place(record)].parent or ""

    def _passed_on(self) -> Iterator[tuple[str, str]]:
        """Model calls and the ones around them that asked the same and gave the same answer; of
        several in one, the newest."""
        calls = {id: call for run in self._calls.values() for id, call in run.items()}
        around = {
            id: inside
            for id, inside in self._models.items()
            if calls[id].kind == "model" and calls[id].state == "done"
        }
        wanted = sorted({*around, *(id for inside in around.values() for id in inside)})
        talks = dict(self._talks_of(wanted))
        for wrapper, inside in around.items():
            said = talks.get(wrapper)
            same = [id for id in inside if said is not None and _is_same(talks.get(id), said)]
            if same:
                yield max(same), wrapper

    def _talks_of(self, ids: Sequence[str]) -> Iterator[tuple[str, Talk]]:
        for some in batches(ids):
            for record in self._store.records(Query(ids=tuple(some)), len(some)):
                with contextlib.suppress(Untrainable):
                    yield record.id, talk_of(record)

    def _read(self, runs: Sequence[str]) -> None:
        import sqlalchemy as sa

        from onrecord.records.database.engine import reading
        from onrecord.records.database.schema import RECORD

        c = RECORD.c
        with reading(self._store.engine) as connection:
            for some in batches(runs):
                outline = sa.select(c.run, c.id, c.parent, c.kind, c.state, c.name)
                outline = outline.where(c.run.in_(some))
                for run, id, *rest in connection.execute(outline):
                    self._calls.setdefault(run, {})[id] = _Around(*rest)


def _corrected(answer: str, output: Any, correction: Any) -> str:
    """A correction of `output`, in the form that the model's answer has."""
    if output == answer and isinstance(correction, str):
        return correction
    with contextlib.suppress(msgspec.DecodeError):
        read = msgspec.json.decode(answer)
        in_json = output == read or (output == answer and isinstance(read, dict | list))
        if in_json and not isinstance(correction, str):
            return msgspec.json.encode(correction).decode()
    raise Untrainable("corrected, and not in the form of the model's answer")


def _is_same(talk: Talk | None, other: Talk) -> bool:
    return talk is not None and (talk.messages, talk.answer) == (other.messages, other.answer)


def _keys(row: Row) -> set[str]:
    """The keys of a row, and of the messages in it."""
    found = set(row)
    for name, value in row.items():
        if isinstance(value, list):
            found.update(f"{name}.{key}" for turn in value for key in turn)
    return found
