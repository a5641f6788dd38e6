"""Datasets: cases with an input and what is expected, made from records or read from a file.

    Dataset.from_records(name="ask").save("leave")     -> .onrecord/datasets/leave.jsonl
    Dataset.read("leave")
    Dataset.read("questions.csv", columns={"input": "question", "expected": "answer"})
    Dataset.read("squad/validation")                    saved with `save_to_disk` of `datasets`

What is saved is JSON Lines, one case a line; `datasets.load_dataset("json", ...)` reads it, too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from onrecord.arguments import several
from onrecord.errors import LoadError, StorageError, UnknownNameError, UsageError
from onrecord.evaluation import jsonl
from onrecord.evaluation.datasets.case import Case as Case
from onrecord.evaluation.datasets.case import Provenance as Provenance
from onrecord.evaluation.datasets.case import provenance_of as provenance_of
from onrecord.evaluation.datasets.formats import READ, TABLES
from onrecord.evaluation.datasets.problem import Places, Problem
from onrecord.evaluation.picking import asked
from onrecord.records.query import Query
from onrecord.records.record import content_key
from onrecord.settings import Settings

if TYPE_CHECKING:
    from onrecord.evaluation.datasets.columns import Columns
    from onrecord.evaluation.datasets.splitting import Splits
    from onrecord.records.store import Store


class Dataset:
    """Cases in their order, each id once. A value: what changes it gives another one.

    `left_out` says how many calls were not taken, by reason (`from_records`); it is not saved.
    Raises UsageError for what are no cases, and for two with one id.
    """

    def __init__(
        self, cases: Iterable[Case], *, name: str = "", left_out: Mapping[str, int] | None = None
    ) -> None:
        self.cases = _checked(cases)
        self.name = name
        self.place = ""
        """The file or folder that it was read from."""
        self.left_out = dict(left_out or {})
        self._places: Places | None = None
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
        called bad and not corrected makes no case, nor does what Onrecord calls to measure and to
        generate (an experiment). Of equal questions (name and input) the newest counts, and one
        that was corrected before all others. `store`: default the project's.

        Raises UsageError, StorageError.
        """
        wanted = asked(query, ("flow",), fields)
        outermost = not (query and query.kinds) and "kinds" not in fields
        if store is not None:
            return cls._gathered(store, wanted, outermost)
        from onrecord.records.store import Store

        store = Store.open()
        try:
            return cls._gathered(store, wanted, outermost)
        finally:
            store.close()

    @classmethod
    def read(cls, place: str | Path, *, columns: Columns | None = None) -> Dataset:
        """The dataset of a file or folder, or of a name that one was saved under.

        JSON Lines, CSV or TSV with a header, Parquet (extra `parquet`), or a folder that
        `save_to_disk` of `datasets` has made (the same extra). A case needs an `input`; one without
        an `id` gets one made from it. `columns` says which columns are the input, what is expected,
        the id, the metadata: {"input": "question", "expected": {"any_of": "answers"}}; without it
        they are named so, and all others are metadata. Cells of a CSV file are text; a column whose
        name ends in `:json` holds JSON. An empty cell, null and NaN are nothing.

        Raises LoadError, which names the first row that is wrong and counts the others,
        UnknownNameError, StorageError, MissingExtraError.
        """
        from onrecord.evaluation.datasets.reading import read

        path = found(place)
        cases, places = read(path, columns)
        self = cls(cases, name=path.stem)
        self._places, self.place = places, str(path)
        return self

    def save(self, place: str | Path) -> Path:
        """Write it to a file; a name alone means `.onrecord/datasets/NAME.jsonl`.

        There, cases are removed when the records that they came from are erased. Gives the path.
        Raises StorageError, UsageError for a name that cannot be one.
        """
        path = _path(place)
        if path.suffix.lower() in TABLES:
            raise UsageError(
                "datasets are saved as JSON Lines",
                where=str(path),
                cure=f"Name it {path.with_suffix('.jsonl').name}.",
            )
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
        return self.part([at for at, case in enumerate(self.cases) if keep(case)])

    def where(self, filter: str) -> Dataset:
        """The cases whose metadata fit a filter, as in a search: `topic = "leave" and year > 2019`.

        Raises FilterError, UsageError where none fits.
        """
        from onrecord.evaluation.datasets.slicing import fitting

        fits = fitting(filter, ((case.id, case.metadata) for case in self.cases))
        chosen = [at for at, does in enumerate(fits) if does]
        if not chosen:
            raise UsageError(f"no case fits the filter `{filter}`", where=self.name)
        return self.part(chosen)

    def part(self, at: Sequence[int], *, name: str | None = None) -> Dataset:
        """The cases at these indexes, each once."""
        chosen = Dataset(
            (self.cases[each] for each in at), name=self.name if name is None else name
        )
        chosen._places = self._places.chosen(at) if self._places is not None else None
        chosen.place = self.place
        return chosen

    def split(
        self,
        shares: Mapping[str, float],
        *,
        seed: int = 0,
        by: str | Sequence[str] = (),
        near: float | None = 0.8,
        exact: bool = False,
    ) -> Splits:
        """Cut it into parts whose cases have nothing to do with each other: {"train": 0.7, …}.

        Together stay cases whose inputs are equal up to case, punctuation and spacing, or nearly
        equal (`near`: from this Jaccard similarity of their character 4-grams on; None: only equal
        ones), cases of one run, and cases with the same value in a metadata field of `by`. What
        belongs together forms groups, and the hash of a group and the seed says where it goes: a
        case stays where it is when others are added, and the shares are met on average only.
        `exact` meets them as nearly as the groups allow, and moves cases when others are added.

        Raises UsageError for shares that do not add up to 1, and a field that no case has.
        """
        from onrecord.evaluation.datasets.splitting import Cut, split

        return split(self, shares, Cut(seed=seed, by=by, near=near, exact=exact))

    def validate(
        self, *, input: Any = None, expected: Any = None, metadata: Any = None
    ) -> list[Problem]:
        """All that is wrong with the cases, in their order, each with its row; [] where nothing is.

        Each argument is a type (`str`, a pydantic model, a Struct, `list[str]`, …) or a JSON Schema
        (extra `evaluation`) that every such part has to fit. Of a part without one it is asked that
        it is the same kind of value everywhere: a case that differs from most is a problem. Several
        acceptable answers (`{"any_of": […]}`) are looked at one by one, and an `expected` of None
        is always right. Raises UsageError for a schema that is none.
        """
        from onrecord.evaluation.datasets.validating import validate

        places = self._places or Places.counted(len(self))
        return validate(
            self.cases, places, {"input": input, "expected": expected, "metadata": metadata}
        )

    @classmethod
    def _gathered(cls, store: Store, query: Query, outermost: bool) -> Dataset:
        from onrecord.evaluation.datasets.gathering import Gathering

        gathering = Gathering(store, query, outermost)
        return cls(gathering.cases(), left_out=gathering.left_out)

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
            return self.part(range(*at.indices(len(self))))
        return self.cases[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and self.cases == other.cases

    __hash__ = None  # type: ignore[assignment]  # cases hold dictionaries

    def __repr__(self) -> str:
        name = f"{self.name}: " if self.name else ""
        return f"<Dataset {name}{len(self):,} cases, version {self.version[:8]}>"


def found(place: str | Path) -> Path:
    """The file or folder of a dataset that can be read. Raises UnknownNameError, UsageError, and
    LoadError for a file of another kind."""
    path = _path(place)
    if path == Path(place) or path.exists():
        return path
    if Path(place).is_dir():
        return Path(place)
    if Path(place).exists():
        raise LoadError(
            f"files that end in '{Path(place).suffix}' are not read",
            where=str(place),
            cure=f"Datasets are {', '.join(READ)}, and folders of `datasets`. In a .jsonl file "
            "each line is one case, an object with 'input'.",
        )
    raise UnknownNameError(
        f"there is no dataset '{place}'",
        where=str(path.parent),
        cure=f"There are {', '.join(names()) or 'none yet'}; a file is named with its ending "
        "(.jsonl, .csv, .parquet) or folder.",
    )


def _checked(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Raises UsageError for what are no cases, and says how they are made."""
    if isinstance(cases, str | bytes | Path):
        raise UsageError(
            f"a dataset is made of cases, not of {cases!r:.80}",
            cure="A file is read: on.Dataset.read(PLACE).",
        )
    found = several(cases, "the cases of a dataset")
    for each in found:
        if not isinstance(each, Case):
            raise UsageError(
                f"a dataset is made of cases, and {each!r:.80} is none",
                cure='Write on.Case("1", "How long is the notice?", "four weeks"), or read a file '
                "of them: on.Dataset.read(PLACE).",
            )
    return found


def names() -> list[str]:
    """The names that datasets of this project were saved under."""
    return sorted(path.stem for path in _folder().glob("*.jsonl"))


_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


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
    if isinstance(place, Path) or "/" in place or place.lower().endswith((".jsonl", *TABLES)):
        return Path(place)
    if not _NAME.fullmatch(place):
        raise UsageError(
            f"'{place}' cannot be the name of a dataset",
            cure="Use letters, digits, '-', '_' and '.', or name a file: 'cases.jsonl'.",
        )
    return _folder() / f"{place}.jsonl"
