"""Datasets: cases with an input and what is expected, made from records or read from a file.

    Dataset.from_records(name="ask").save("leave")     -> .onrecord/datasets/leave.jsonl
    Dataset.read("leave")

A file is JSON Lines, one case a line; `datasets.load_dataset("json", ...)` reads it, too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import msgspec

from onrecord.errors import LoadError, StorageError, UnknownNameError, UsageError
from onrecord.evaluation import jsonl
from onrecord.evaluation.picking import Feedback, Said, asked, newest_first
from onrecord.records.call import RESUMED, type_note
from onrecord.records.query import Query
from onrecord.records.record import Record, content_key
from onrecord.settings import Settings

if TYPE_CHECKING:
    from onrecord.records.store import Store


class Provenance(msgspec.Struct, frozen=True):
    """The record that a case or a training row was made from; the fields are those of Record.

    `feedback`: the id of the feedback that corrected the output, empty where none did.
    """

    record: str
    run: str
    key: str
    name: str
    version: str = ""
    started_ns: int = 0
    feedback: str = ""


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One input, and what is expected: plain JSON values; None expects nothing.

    `id` is the case's own: of a case from records it is the hash of the call's name and input, so
    that a later dataset has the same question under the same id.
    """

    id: str
    input: Any
    expected: Any = None
    metadata: dict[str, Any] = {}
    provenance: Provenance | None = None


class Dataset:
    """Cases in their order, each id once. A value: what changes it gives another one.

    `left_out` says how many calls were not taken, by reason (`from_records`); it is not saved.
    """

    def __init__(
        self, cases: Iterable[Case], *, name: str = "", left_out: Mapping[str, int] | None = None
    ) -> None:
        self.cases = tuple(cases)
        self.name = name
        self.left_out = dict(left_out or {})
        seen: set[str] = set()
        for case in self.cases:
            if case.id in seen:
                raise UsageError(f"two cases have the id '{case.id}'", where=name)
            seen.add(case.id)

    @classmethod
    def from_records(
        cls, query: Query | None = None, *, store: Store | None = None, **fields: Any
    ) -> Dataset:
        """A case for each call of a query that ended well, oldest first.

        `fields` are those of Query, as keywords. Without kinds it takes outermost flows. What is
        expected is the output or, where feedback corrected it, the correction; a call that was
        called bad and not corrected makes no case. Of equal questions (name and input) the newest
        counts, and one that was corrected before all others. `store`: default the project's.

        Raises UsageError, StorageError.
        """
        wanted = asked(query, ("flow",), fields)
        outermost = not (query and query.kinds) and "kinds" not in fields
        if store is not None:
            return _Gathering(store, wanted, outermost).dataset()
        from onrecord.records.store import Store

        store = Store.open()
        try:
            return _Gathering(store, wanted, outermost).dataset()
        finally:
            store.close()

    @classmethod
    def read(cls, place: str | Path) -> Dataset:
        """The dataset of a file, or of a name that one was saved under.

        A line needs an `input`; a case without an `id` gets one made from it. Raises LoadError with
        the number of a line that is no case, UnknownNameError, StorageError.
        """
        path = _path(place)
        if path != Path(place) and not path.exists():
            raise UnknownNameError(
                f"there is no dataset '{place}'",
                where=str(path.parent),
                cure=f"There are {', '.join(names()) or 'none yet'}; a file is named with its "
                "ending (.jsonl) or folder.",
            )
        return cls(_cases(path), name=path.stem)

    def save(self, place: str | Path) -> Path:
        """Write it to a file; a name alone means `.onrecord/datasets/NAME.jsonl`.

        There, cases are removed when the records that they came from are erased. Gives the path.
        Raises StorageError, UsageError for a name that cannot be one.
        """
        path = _path(place)
        if path != Path(place):
            _make_folder(path.parent)
        jsonl.write(path, (jsonl.line(case) for case in self.cases))
        return path

    @cached_property
    def version(self) -> str:
        """The hash of what the cases say, in whatever order: equal for equal cases."""
        hashed = hashlib.blake2b(digest_size=16)
        for case in sorted(self.cases, key=lambda case: case.id):
            said = content_key(case.id, case.input, case.expected, case.metadata)
            hashed.update(bytes.fromhex(said))
        return hashed.hexdigest()

    def filter(self, keep: Callable[[Case], bool]) -> Dataset:
        """The cases that `keep` is true for."""
        return Dataset(filter(keep, self.cases), name=self.name)

    def where(self, filter: str) -> Dataset:
        """The cases whose metadata fit a filter, as in a search: `topic = "leave" and year > 2019`.

        Raises FilterError, UsageError where none fits.
        """
        from onrecord.evaluation.datasets.slicing import fitting

        fits = fitting(filter, ((case.id, case.metadata) for case in self.cases))
        part = [case for case, does in zip(self.cases, fits, strict=True) if does]
        if not part:
            raise UsageError(f"no case fits the filter `{filter}`", where=self.name)
        return Dataset(part, name=self.name)

    def __len__(self) -> int:
        return len(self.cases)

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)

    @overload
    def __getitem__(self, at: int) -> Case: ...
    @overload
    def __getitem__(self, at: slice) -> Dataset: ...
    def __getitem__(self, at: int | slice) -> Case | Dataset:
        if isinstance(at, slice):
            return Dataset(self.cases[at], name=self.name)
        return self.cases[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and self.cases == other.cases

    __hash__ = None  # type: ignore[assignment]  # cases hold dictionaries

    def __repr__(self) -> str:
        name = f"{self.name}: " if self.name else ""
        return f"<Dataset {name}{len(self):,} cases, version {self.version[:8]}>"


def names() -> list[str]:
    """The names that datasets of this project were saved under."""
    return sorted(path.stem for path in _folder().glob("*.jsonl"))


_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class _Gathering:
    """Cases from the records of a query, and the count of what makes none."""

    def __init__(self, store: Store, query: Query, outermost: bool) -> None:
        self._store = store
        self._query = query
        self._outermost = outermost
        self._feedback = Feedback(store)
        self._cases: dict[str, Case] = {}
        self._left_out: dict[str, int] = {}
        self._returns: dict[str, str | None] = {}  # types of objects, by version of the function

    def dataset(self) -> Dataset:
        for page in newest_first(self._store, self._query):
            for record in page:
                if not self._outermost or _is_outermost(record):
                    self._take(record)
        oldest_first = sorted(self._cases.values(), key=_made)
        return Dataset(oldest_first, left_out=self._left_out)

    def _take(self, record: Record) -> None:
        said = self._feedback.on(record.id)
        if said == Said() and _is_outermost(record):
            said = self._feedback.on(record.run)  # on the run, however often it was resumed
        if record.redacted and (not said.corrected or record.input is None):
            return self._leave("redacted: the output on record is not what was given")
        if not said.corrected and self._is_outline(record):
            return self._leave("an object: the output on record only names it")
        if said.rejected:
            return self._leave("called bad by feedback, without a correction")
        case = _case(record, said)
        there = self._cases.get(case.id)
        if there is not None:
            self._leave("an equal question")
            if not said.corrected or _corrected(there):
                return
        self._cases[case.id] = case

    def _is_outline(self, record: Record) -> bool:
        """Whether an output stands for an object that has no plain form: no other answer could
        equal it."""
        output = record.output
        named = output.get("type") if isinstance(output, dict) else output
        if not isinstance(named, str):
            return False
        if record.version not in self._returns:
            self._returns[record.version] = self._store.source(type_note(record.version))
        returned = self._returns[record.version]
        return returned is not None and named in (returned, f"<{returned}>")

    def _leave(self, reason: str) -> None:
        self._left_out[reason] = self._left_out.get(reason, 0) + 1


def _is_outermost(record: Record) -> bool:
    """Whether a call began a run, or went on with one."""
    return record.parent is None or (record.parent == record.run and RESUMED in record.tags)


def _case(record: Record, said: Said) -> Case:
    metadata: dict[str, Any] = {"name": record.name}
    if record.release is not None:
        metadata["release"] = record.release
    if tags := [tag for tag in record.tags if tag != RESUMED or record.parent is None]:
        metadata["tags"] = tags
    if said.good is not None:
        metadata["good"] = said.good
    return Case(
        id=content_key(record.kind, record.name, record.input),
        input=record.input,
        expected=said.correction if said.corrected else record.output,
        metadata=metadata,
        provenance=provenance_of(record, said.corrected),
    )


def provenance_of(record: Record, feedback: str = "") -> Provenance:
    """Where something that was made from a record comes from."""
    return Provenance(
        record=record.id,
        run=record.run,
        key=record.key,
        name=record.name,
        version=record.version,
        started_ns=record.started_ns,
        feedback=feedback,
    )


def _made(case: Case) -> str:
    return case.provenance.record if case.provenance else ""


def _corrected(case: Case) -> bool:
    return bool(case.provenance and case.provenance.feedback)


def _folder() -> Path:
    return Settings.load().home / "datasets"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"the folder of datasets cannot be made: {error.strerror or error}",
            where=str(folder),
            cure="Check that the disk is not full and that you may write there.",
        ) from None


def _path(place: str | Path) -> Path:
    """The file that a place means: a name alone is one of the project's datasets."""
    if isinstance(place, Path) or "/" in place or place.endswith(".jsonl"):
        return Path(place)
    if not _NAME.fullmatch(place):
        raise UsageError(
            f"'{place}' cannot be the name of a dataset",
            cure="Use letters, digits, '-', '_' and '.', or name a file: 'cases.jsonl'.",
        )
    return _folder() / f"{place}.jsonl"


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A case as people write it down."""

    input: Any
    id: str | int | None = None
    expected: Any = None
    metadata: dict[str, Any] = {}
    provenance: Provenance | None = None


def _cases(path: Path) -> Iterator[Case]:
    at: dict[str, int] = {}
    for number, text in jsonl.read(path):
        try:
            read = _decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise LoadError(
                f"line {number} is no case: {_reason(error)}",
                where=str(path),
                cure="A case is a JSON object with 'input', and if you like 'id', 'expected' and "
                "'metadata'.",
            ) from None
        id = _id(read, at)
        if id in at:
            raise LoadError(
                f"line {number} has the id '{id}' of line {at[id]}",
                where=str(path),
                cure="Give each case an id of its own, or none at all.",
            )
        at[id] = number
        yield Case(id, read.input, read.expected, read.metadata, read.provenance)


def _id(read: _Line, taken: Mapping[str, int]) -> str:
    if read.id is not None:
        return str(read.id)
    made = content_key(read.input)
    count = 1
    while made in taken:  # the same input may be asked twice, on purpose
        count += 1
        made = f"{content_key(read.input)}-{count}"
    return made


def _reason(error: Exception) -> str:
    reason = str(error) or type(error).__name__
    return reason.replace("Object", "it", 1) if reason.startswith("Object") else reason


_decode = msgspec.json.Decoder(_Line).decode
