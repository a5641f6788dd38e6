"""Splits that do not leak, and the check that they do not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.errors import UsageError
from onrecord.evaluation.dataset import Case, Dataset, Provenance
from onrecord.evaluation.datasets import nearness
from onrecord.evaluation.datasets.case import GENERATED
from onrecord.evaluation.datasets.nearness import near_groups, normalised, similarity
from onrecord.evaluation.datasets.splitting import Splits, overlap

SHARES = {"train": 0.6, "dev": 0.2, "test": 0.2}
WORDS = "leave travel salary train holiday parent sick desk laptop badge office garden".split()


def question(number: int) -> str:
    chance = random.Random(number)
    return f"{' '.join(chance.choices(WORDS, k=6))} {number * 7919}?"


def cases(count: int, **fields: object) -> Dataset:
    return Dataset([Case(f"c{n}", question(n), **fields) for n in range(count)], name="cases")  # type: ignore[arg-type]  # whichever fields a test needs


def where(parts: Splits) -> dict[str, str]:
    return {case.id: name for name, part in parts.items() for case in part}


def test_every_case_is_in_one_part_and_the_shares_are_met_roughly() -> None:
    dataset = cases(2000)
    parts = dataset.split(SHARES)
    assert list(parts) == ["train", "dev", "test"]
    assert sorted(where(parts)) == sorted(case.id for case in dataset)
    assert sum(parts.sizes.values()) == 2000
    assert parts.groups == 2000 and parts.largest == 1
    for name, share in SHARES.items():
        assert abs(parts.sizes[name] / 2000 - share) < 0.05
    assert parts["train"].name == "cases-train"
    assert "2,000 groups, the largest of 1 cases" in str(parts)
    order = [int(case.id[1:]) for case in parts["test"]]
    assert order == sorted(order)
    assert where(dataset.split(SHARES, seed=1)) != where(parts)


def test_a_case_stays_where_it_is_when_others_are_added() -> None:
    small, large = cases(300), cases(900)
    before, after = where(small.split(SHARES)), where(large.split(SHARES))
    assert {id: after[id] for id in before} == before
    shuffled = Dataset(random.Random(1).sample(large.cases, 900))
    assert where(shuffled.split(SHARES)) == after
    by = Dataset([Case(c.id, c.input, metadata={"doc": int(c.id[1:]) % 20}) for c in large])
    fewer = Dataset(by.cases[:200])
    assert where(fewer.split(SHARES, by="doc")).items() <= where(by.split(SHARES, by="doc")).items()


def test_exact_shares() -> None:
    parts = cases(1000).split(SHARES, exact=True)
    assert parts.sizes == {"train": 600, "dev": 200, "test": 200}
    assert cases(5).split({"a": 0.8, "b": 0.2}, exact=True).sizes == {"a": 4, "b": 1}


def together(*inputs: object, **options: object) -> bool:
    """Whether two inputs are one group, among others that are none."""
    pair = [Case(f"p{n}", each) for n, each in enumerate(inputs)]
    parts = Dataset([*pair, *cases(20)]).split({"a": 0.5, "b": 0.5}, **options)  # type: ignore[arg-type]  # whichever options a test needs
    return parts.groups == 21


def test_equal_and_nearly_equal_inputs_stay_together() -> None:
    long = "How many days of paid parental leave does an employee have in the first year"
    assert together("How many days, then?", "how  many DAYS then")
    assert together({"q": "What?", "n": 1}, {"n": 1, "q": "what"})
    assert together(long, long.replace("employee", "employe"))
    assert not together(long, long.replace("employee", "employe"), near=None)
    assert not together(long, "How many days may I work from home?")
    assert not together("?!", "🙂")
    assert together(long, long.replace("first", "second"), near=0.7)


def test_sources_and_runs_stay_together() -> None:
    def from_run(id: str, run: str, name: str = "ask") -> Case:
        return Case(id, question(int(id)), provenance=Provenance(id, run, "k", name))

    runs = Dataset([from_run("1", "r"), from_run("2", "r"), from_run("3", "s")])
    assert runs.split({"a": 0.5, "b": 0.5}).groups == 2
    made = Dataset([from_run("1", "r", GENERATED), from_run("2", "r", GENERATED)])
    assert made.split({"a": 0.5, "b": 0.5}).groups == 2
    sources = Dataset(
        [
            Case("1", question(1), metadata={"doc": "x", "author": "ada"}),
            Case("2", question(2), metadata={"doc": "x"}),
            Case("3", question(3), metadata={"doc": "y", "author": "ada"}),
            Case("4", question(4), metadata={"doc": "z"}),
            Case("5", question(5)),
        ]
    )
    halves = {"a": 0.5, "b": 0.5}
    assert sources.split(halves).groups == 5
    assert sources.split(halves, by="doc").groups == 4
    assert sources.split(halves, by=["doc", "author"]).groups == 3
    with pytest.raises(UsageError, match=r"no case has the metadata field 'dok'.*author, doc"):
        sources.split(halves, by="dok")


@pytest.mark.parametrize(
    ("shares", "reason"),
    [
        ({"train": 0.7, "test": 0.2}, "add up to 1: they are 0.9"),
        ({"train": 1.2, "test": -0.2}, "the share of 'train' is 1.2"),
        ({"train": 1.0, "test": float("nan")}, "the share of 'test' is nan"),
        ({}, "they are 0"),
    ],
)
def test_shares_that_are_none(shares: dict[str, float], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        cases(3).split(shares)
    with pytest.raises(UsageError, match=r"from 0\.5 to 1"):
        cases(3).split(SHARES, near=0.2)


def test_no_cases_make_empty_parts() -> None:
    assert Dataset([]).split(SHARES, by="doc").sizes == {"train": 0, "dev": 0, "test": 0}


def test_overlap_names_each_leak() -> None:
    base = (
        "What is the name of the office that pays for travel to meetings and fairs by train in {}?"
    )
    one = Dataset(
        [
            Case("1", "Who pays?"),
            Case("2", base.format("second class")),
            Case("3", "Something else", metadata={"doc": "x"}),
            Case("4", "Nothing in common"),
        ]
    )
    other = Dataset(
        [
            Case("4", "A garden"),
            Case("b", "who pays"),
            Case("c", base.format("second-class")),
            Case("d", base.format("first class")),
            Case("e", "Laptops", metadata={"doc": "x"}),
        ]
    )
    found = overlap(one, other, by="doc")
    assert [(leak.case, leak.other, leak.how) for leak in found] == [
        ("1", "b", "equal"),
        ("2", "c", "equal"),
        ("2", "d", "near"),
        ("3", "e", "doc"),
        ("4", "4", "id"),
    ]
    assert 0.8 <= found[2].similarity < 1
    assert str(found[0]) == "'1' and 'b': equal (1.00)"
    assert [leak.how for leak in overlap(one, other, near=None)] == ["equal", "equal", "id"]
    assert overlap(one, Dataset([])) == overlap(Dataset([]), one) == []


letters = st.text("abcdefgh ?", max_size=30)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(letters, st.sampled_from(["x", "y", "z", None])), max_size=25),
    st.integers(0, 5),
)
def test_a_split_never_leaks(rows: list[tuple[str, str | None]], seed: int) -> None:
    dataset = Dataset(
        Case(str(n), text, metadata={"doc": doc} if doc else {})
        for n, (text, doc) in enumerate(rows)
    )
    by = "doc" if any(doc for _, doc in rows) else ()
    for exact in (False, True):
        parts = dataset.split({"a": 0.5, "b": 0.5}, seed=seed, by=by, exact=exact)
        assert sum(parts.sizes.values()) == len(rows)
        assert overlap(parts["a"], parts["b"], by=by if all(parts.sizes.values()) else ()) == []


def test_a_crowd_is_counted_a_few_times_for_each_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of texts of one template: not each against each, and no pair twice in a bucket."""
    counted: list[frozenset[str]] = []

    def counting(text: str, other: str) -> float:
        counted.append(frozenset((text, other)))
        return similarity(text, other)

    monkeypatch.setattr(nearness, "similarity", counting)
    texts = [f"what is the status of the order number {n * n} of this year" for n in range(400)]
    near_groups(texts, 0.8)
    assert 0 < len(counted) < 32 * len(texts)
    counted.clear()
    long = " ".join(f"rule {n} of the house is older than rule {n * n}" for n in range(20))
    near_groups([long, f"{long} again"], 1.0)  # a bucket of two in each of the 16 bands, at most
    assert 8 < len(counted) <= 16


@settings(max_examples=60)
@given(st.lists(letters, max_size=20, unique=True))
def test_what_is_near_is_what_an_exact_count_says(texts: list[str]) -> None:
    texts = list(dict.fromkeys(map(normalised, texts)))
    joined = near_groups(texts, 0.8)
    for at, one in enumerate(texts):
        for other in range(at):
            if joined.root(at) != joined.root(other):
                # Nearly all pairs are found; one that is as near as can be always is.
                assert similarity(one, texts[other]) < 0.97
