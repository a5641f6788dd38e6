"""Splits that do not leak: what belongs together stays together, and stays where it is.

Cases belong together that ask the same or nearly the same (`nearness`), that were recorded in one
run, or that come from the same source (a metadata field). Chains count: a question about a document
and its double about another one join the two documents.

Where a group goes is decided by a hash of what its cases have in common and the seed, and by
nothing else: so a case stays in its part when others are added, unless a new case joins its group
with another one. The price is that the shares are met on average: with n groups of equal size a
share p is off by about the square root of p(1 - p) / n. `exact` fills the parts in order of size
instead; then the shares are met as nearly as the groups allow, and cases move.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation.datasets.case import GENERATED, Case
from onrecord.evaluation.datasets.nearness import (
    Joined,
    near_across,
    near_groups,
    normalised,
    similarity,
)
from onrecord.records.record import content_key

if TYPE_CHECKING:
    from onrecord.evaluation.dataset import Dataset


class Cut(msgspec.Struct, frozen=True):
    """How to split: as the arguments of `Dataset.split`."""

    seed: int = 0
    by: str | Sequence[str] = ()
    near: float | None = 0.8
    exact: bool = False


class Splits(Mapping[str, "Dataset"]):
    """The parts of a dataset by their names, in the order in which they were asked for.

    `groups`: how many groups of cases there were; `largest`: the cases of the largest one.
    """

    def __init__(self, parts: Mapping[str, Dataset], groups: int, largest: int) -> None:
        self._parts = dict(parts)
        self.groups = groups
        self.largest = largest

    @property
    def sizes(self) -> dict[str, int]:
        """How many cases each part has."""
        return {name: len(part) for name, part in self._parts.items()}

    def __getitem__(self, name: str) -> Dataset:
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __str__(self) -> str:
        total = sum(self.sizes.values()) or 1
        parts = [f"{name}: {size:,} ({size / total:.1%})" for name, size in self.sizes.items()]
        return f"{', '.join(parts)}; {self.groups:,} groups, the largest of {self.largest:,} cases"

    __repr__ = __str__


class Leak(msgspec.Struct, frozen=True):
    """Two cases of two datasets that have something to do with each other.

    `how`: "id", "equal" (the inputs, up to case, punctuation and spacing), "near", "run", or the
    metadata field that they share. `similarity` is that of the inputs' character 4-grams.
    """

    case: str
    other: str
    how: str
    similarity: float

    def __str__(self) -> str:
        return f"'{self.case}' and '{self.other}': {self.how} ({self.similarity:.2f})"


def split(dataset: Dataset, shares: Mapping[str, float], cut: Cut) -> Splits:
    """As `Dataset.split`."""
    _check(shares, cut.near)
    groups = _groups(dataset.cases, cut)
    parts = (_filled if cut.exact else _hashed)(groups, shares, cut.seed)
    return Splits(
        {
            name: dataset.part(sorted(at), name=f"{dataset.name}-{name}" if dataset.name else name)
            for name, at in parts.items()
        },
        len(groups),
        max((len(group.cases) for group in groups), default=0),
    )


def overlap(
    one: Dataset, other: Dataset, *, by: str | Sequence[str] = (), near: float | None = 0.8
) -> list[Leak]:
    """What two datasets should not have in common, for each case of the first and each way once.

    An empty list: no id, no input (equal or nearly so), no run and no value of a field of `by` is
    in both. Near inputs are found with a chance that rises with their similarity (0.99 at 0.8);
    what is listed is near for certain. Raises UsageError for a field that neither
    has.
    """
    _check_near(near)
    fields = _fields(by, [*one.cases, *other.cases])
    leaks: dict[tuple[str, str], Leak] = {}

    def leak(case: Case, found: Case, how: str, alike: float | None = None) -> None:
        if (case.id, how) not in leaks:
            if alike is None:
                alike = similarity(normalised(case.input), normalised(found.input))
            leaks[case.id, how] = Leak(case.id, found.id, how, round(alike, 4))

    known: dict[tuple[str, Any], Case] = {}
    for case in other.cases:
        for mark in _marks(case, fields):
            known.setdefault(mark, case)
    for case in one.cases:
        for mark in _marks(case, fields):
            if mark in known:
                leak(case, known[mark], mark[0])
    if near is not None:
        mine, theirs = _by_text(one.cases), _by_text(other.cases)
        texts, others = list(mine), list(theirs)
        for at, found, alike in near_across(texts, others, near):
            for case in mine[texts[at]]:
                leak(case, theirs[others[found]][0], "near", alike)
    order = {case.id: at for at, case in enumerate(one.cases)}
    return sorted(leaks.values(), key=lambda each: order[each.case])


def _marks(case: Case, fields: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """What two cases can have in common, as the word for it and the thing itself."""
    yield "id", case.id
    yield "equal", normalised(case.input)
    origin = case.provenance
    if origin is not None and origin.run and origin.name != GENERATED:
        yield "run", origin.run
    for name in fields:
        if (value := case.metadata.get(name)) is not None:
            yield name, content_key(value)


def _by_text(cases: Sequence[Case]) -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(normalised(case.input), []).append(case)
    return found


class _Group(msgspec.Struct):
    """Cases that belong together: their indexes, and the text that says where they go."""

    key: str
    cases: list[int]


def _groups(cases: Sequence[Case], cut: Cut) -> list[_Group]:
    """The groups, in the order of their first cases."""
    fields = _fields(cut.by, cases)
    joined = Joined(len(cases))
    owners: dict[tuple[str, Any], int] = {}
    first: dict[str, int] = {}
    keys: list[str] = []
    for at, case in enumerate(cases):
        marks = [mark for mark in _marks(case, fields) if mark[0] != "id"]
        for mark in marks:
            joined.join(at, owners.setdefault(mark, at))
        text = marks[0][1]
        first.setdefault(text, at)
        # Of a source that is named all cases have the same key, however many are added to it.
        sources = [mark for mark in marks if mark[0] in fields]
        keys.append(_digest(*(sources[0] if sources else ("input", text))))
    del owners
    if cut.near is not None and len(first) > 1:
        at_text = list(first.values())
        for one, other in enumerate(near_groups(list(first), cut.near).roots().tolist()):
            joined.join(at_text[one], at_text[other])
    groups: dict[int, _Group] = {}
    for at, key in enumerate(keys):
        group = groups.setdefault(joined.root(at), _Group(key, []))
        group.cases.append(at)
        group.key = min(group.key, key)
    return list(groups.values())


def _hashed(
    groups: Sequence[_Group], shares: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Each group where its hash says."""
    parts: dict[str, list[int]] = {name: [] for name in shares}
    names, ends, end = list(shares), [], 0.0
    for share in shares.values():
        end += share
        ends.append(end)
    for group in groups:
        drawn = int(_digest(seed, group.key)[:13], 16) / 16**13
        at = next((at for at, end in enumerate(ends) if drawn < end), len(ends) - 1)
        parts[names[at]] += group.cases
    return parts


def _filled(
    groups: Sequence[_Group], shares: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """The largest group first, each to the part that lacks most."""
    parts: dict[str, list[int]] = {name: [] for name in shares}
    total = sum(len(group.cases) for group in groups)
    lacking = {name: share * total for name, share in shares.items()}
    for group in sorted(groups, key=lambda each: (-len(each.cases), _digest(seed, each.key))):
        name = max(lacking, key=lambda each: lacking[each])
        parts[name] += group.cases
        lacking[name] -= len(group.cases)
    return parts


def _fields(by: str | Sequence[str], cases: Sequence[Case]) -> list[str]:
    """The metadata fields of `by`. Raises UsageError for one that no case has."""
    fields = [by] if isinstance(by, str) else list(by)
    missing = set(fields)
    there: Counter[str] = Counter()
    for case in cases:
        missing.difference_update(case.metadata)
        if not missing:
            return fields
        there.update(case.metadata)
    if not cases:
        return fields
    raise UsageError(
        f"no case has the metadata field '{min(missing)}'",
        cure=f"There are {', '.join(sorted(there)) or 'none'}.",
    )


def _check(shares: Mapping[str, float], near: float | None) -> None:
    wrong = [name for name, share in shares.items() if not 0 < share <= 1]
    total = math.fsum(shares.values())
    if wrong or abs(total - 1) > 1e-6:
        what = (
            f"the share of '{wrong[0]}' is {shares[wrong[0]]}" if wrong else f"they are {total:g}"
        )
        raise UsageError(
            f"the shares of the parts are above 0 and add up to 1: {what}",
            cure='Write {"train": 0.7, "test": 0.3}.',
        )
    _check_near(near)


def _check_near(near: float | None) -> None:
    if near is not None and not 0.5 <= near <= 1:
        raise UsageError(
            f"near is a similarity from 0.5 to 1, not {near}",
            cure="Leave it out, or give None: only equal inputs stay together.",
        )


def _digest(*parts: Any) -> str:
    text = "\0".join(map(str, parts))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
