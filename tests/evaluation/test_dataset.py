"""Datasets: from records and files, saved, read, erased."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.errors import LoadError, StorageError, UnknownNameError, UsageError
from onrecord.evaluation.dataset import Case, Dataset, Provenance, names
from onrecord.evaluation.experiments.experiment import evaluate
from onrecord.programs.flow import flow, step
from onrecord.records.query import Query
from onrecord.records.record import Record, content_key, new_id
from onrecord.records.store import Store


def made(id: str = "", **changes: Any) -> Record:
    """A flow that ended well."""
    id = id or new_id()
    record = Record(
        *(id, id, None, "flow", "ask", {"question": "How many?"}, "k" * 32, 5),
        output={"answer": "28"},
        ended_ns=9,
        state="done",
    )
    return msgspec.structs.replace(record, **changes)


def feedback(about: Record, output: Any, **changes: Any) -> Record:
    id = new_id()
    return made(
        id,
        run=about.run,
        parent=about.id,
        kind="feedback",
        name="verdict",
        input={"record": about.id},
        output=output,
        **changes,
    )


@pytest.fixture
def store(project: Path) -> Store:
    return Store(project / ".onrecord")


def test_calls_become_cases(project: Path) -> None:
    @step
    async def halve(n: int) -> float:
        return n / 2

    @flow
    async def average(n: int, also: int = 0) -> dict[str, float]:
        return {"half": await halve(n)}

    @flow
    async def outer(n: int) -> int:
        await average(n)
        raise ValueError("no")

    average.run(4)
    average.run(6)
    average.run(4)
    with pytest.raises(ValueError):
        outer.run(9)
    dataset = Dataset.from_records()
    assert [case.input for case in dataset] == [{"n": 6, "also": 0}, {"n": 4, "also": 0}]
    assert [case.expected for case in dataset] == [{"half": 3.0}, {"half": 2.0}]
    assert dataset.left_out == {"an equal question": 1}
    case = dataset[1]
    newest = Store(project / ".onrecord").runs(2)[1]
    assert case.provenance == Provenance(
        *(newest.id, newest.id, newest.key, newest.name, newest.version, newest.started_ns)
    )
    assert case.metadata == {"name": newest.name}
    steps = Dataset.from_records(kinds=("step",))
    assert [case.input for case in steps] == [{"n": 6}, {"n": 4}, {"n": 9}]
    inner = Dataset.from_records(Query(kinds=("flow",)))
    assert [case.input["n"] for case in inner] == [6, 4, 9]


def test_experiments_make_no_cases() -> None:
    @flow
    async def ask(question: str) -> str:
        return question

    def exact(trial: Any) -> bool:
        return bool(trial.output == trial.expected)

    cases = Dataset([Case("1", "What?", "What?")])
    evaluate.run(ask, cases, [exact])
    dataset = Dataset.from_records()
    assert len(dataset) == 0
    assert dataset.left_out == {"made by Onrecord, to measure or to generate": 1}
    ask.run("Who?")
    assert [case.input for case in Dataset.from_records()] == [{"question": "Who?"}]
    assert {case.metadata["name"] for case in Dataset.from_records(kinds=("flow", "step"))} == {
        "ask"
    }


def test_a_flow_of_ones_own_that_is_called_like_one_of_onrecords() -> None:
    @flow
    async def evaluate(question: str) -> str:
        return question

    evaluate.run("What?")
    assert [case.metadata["name"] for case in Dataset.from_records()] == ["evaluate"]


def test_metadata_tells_where_a_case_belongs(store: Store) -> None:
    store.take([made(release="r1", tags=("a", "b"), user="u", session="s")])
    (case,) = Dataset.from_records(store=store)
    assert case.metadata == {"name": "ask", "release": "r1", "tags": ["a", "b"]}
    assert len(Dataset.from_records(store=store, tags=("c",))) == 0
    assert len(Dataset.from_records(Query(user="u"), store=store, tags=("a",))) == 1


def test_a_correction_is_what_is_expected(store: Store) -> None:
    records = [made(input={"q": n}) for n in range(5)]
    store.take(records)
    said = [
        feedback(records[0], {"value": "down", "correction": {"answer": "29"}}),
        feedback(records[1], {"value": False, "reason": "nonsense"}),
        feedback(records[2], {"value": False}),
        feedback(records[2], {"value": True}),
        feedback(records[3], {"expected": "first"}),
        feedback(records[3], {"expected": "second"}),
        feedback(records[3], {"value": False}),
        feedback(records[4], {"correction": "a hole"}, redacted=True),
    ]
    store.take(said)
    dataset = Dataset.from_records(store=store)
    assert [(case.input["q"], case.expected) for case in dataset] == [
        (0, {"answer": "29"}),
        (2, {"answer": "28"}),
        (3, "second"),
        (4, {"answer": "28"}),
    ]
    assert dataset.left_out == {"called bad by feedback, without a correction": 1}
    assert [case.provenance.feedback for case in dataset if case.provenance] == [
        *(said[0].id, "", said[5].id, "")
    ]
    assert [case.metadata.get("good") for case in dataset] == [False, True, False, None]


def test_of_equal_questions_the_newest_counts_but_a_corrected_one_before(store: Store) -> None:
    old, corrected, new = (made(output=output) for output in "abc")
    store.take([old, corrected, new])
    assert [case.expected for case in Dataset.from_records(store=store)] == ["c"]
    store.take([feedback(corrected, {"correction": "right"})])
    dataset = Dataset.from_records(store=store)
    assert [case.expected for case in dataset] == ["right"]
    assert dataset.left_out == {"an equal question": 2}


def test_a_run_that_was_resumed_is_one_case(store: Store) -> None:
    paused = made(state="paused", output=None)
    again = made(run=paused.run, parent=paused.id, tags=("beta", "resumed"), output="28")
    inner = made(run=paused.run, parent=again.id, input={"question": "inside"})
    store.take([paused, again, inner])
    (case,) = Dataset.from_records(store=store).cases
    assert (case.expected, case.metadata["tags"]) == ("28", ["beta"])
    assert case.provenance is not None and case.provenance.record == again.id
    store.take([feedback(paused, {"value": False})])
    found = Dataset.from_records(store=store)
    assert len(found) == 0
    assert found.left_out == {"called bad by feedback, without a correction": 1}


def test_redacted_outputs_are_left_out_and_counted(store: Store) -> None:
    store.take([made(redacted=True), made(input={"q": 2}), made(input={}, state="failed")])
    dataset = Dataset.from_records(store=store)
    assert [case.input for case in dataset] == [{"q": 2}]
    assert list(dataset.left_out.values()) == [1]
    assert "redacted" in next(iter(dataset.left_out))


class Plainless:
    def __repr__(self) -> str:
        raise RuntimeError


class Configured:
    def __init__(self) -> None:
        self.temperature = 0.5


def test_objects_that_have_no_plain_form_are_left_out_and_counted(project: Path) -> None:
    @step
    async def lock() -> Any:
        return threading.Lock()

    @step
    async def plainless() -> Any:
        return Plainless()

    @step
    async def configured() -> Any:
        return Configured()

    @step
    async def say(text: str) -> Any:
        return text

    for each in (lock, plainless, configured):
        each.run()
    say.run("lock")  # the same on record, but it was a text
    cases = Dataset.from_records(kinds=("step",))
    assert [case.expected for case in cases] == ["lock"]
    assert cases.left_out == {"an object: the output on record only names it": 3}


def test_a_query_that_cannot_give_cases_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match=r"no field 'nam'.*'name'"):
        Dataset.from_records(store=store, nam="ask")
    with pytest.raises(UsageError, match="ended well"):
        Dataset.from_records(Query(states=("failed",)), store=store)


def test_a_dataset_is_a_value() -> None:
    dataset = Dataset([Case("a", 1, 2), Case("b", [1], metadata={"x": 1}), Case("c", False)])
    assert len(dataset) == 3 and dataset[0].id == "a" and dataset[-1].id == "c"
    assert [case.id for case in dataset[1:]] == ["b", "c"]
    assert isinstance(dataset[:1], Dataset)
    assert [case.id for case in dataset.filter(lambda case: case.expected == 2)] == ["a"]
    assert dataset[:] == dataset and dataset[1:] != dataset
    assert Dataset(reversed(dataset.cases)).version == dataset.version != dataset[1:].version
    assert "3 cases" in repr(dataset)
    with pytest.raises(UsageError, match="two cases have the id 'a'"):
        Dataset([Case("a", 1), Case("a", 2)])


def test_provenance_is_not_what_a_case_says() -> None:
    one = Dataset([Case("a", 1, provenance=Provenance("r1", "r1", "k", "n"))])
    assert one.version == Dataset([Case("a", 1)]).version


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def _is_said(value: Any) -> bool:
    return value is not None


@given(st.lists(st.builds(Case, st.uuids().map(str), plain.filter(_is_said), plain), max_size=4))
def test_what_is_saved_is_read(tmp_path_factory: pytest.TempPathFactory, cases: list[Case]) -> None:
    path = tmp_path_factory.mktemp("saved") / "cases.jsonl"
    Dataset(cases).save(path)
    read = Dataset.read(path)
    assert read.cases == tuple(cases)
    assert len(path.read_text(encoding="utf-8").splitlines()) == len(cases)
    assert [each.name for each in path.parent.iterdir()] == ["cases.jsonl"]


def test_a_name_is_a_place_in_the_project(project: Path) -> None:
    dataset = Dataset([Case("a", 1)])
    path = dataset.save("leave-2")
    assert path == project / ".onrecord" / "datasets" / "leave-2.jsonl"
    assert Dataset.read("leave-2") == dataset == Dataset.read(path) == Dataset.read(str(path))
    assert Dataset.read("leave-2").name == "leave-2"
    assert names() == ["leave-2"]
    with pytest.raises(UnknownNameError, match=r"no dataset 'leave'.*leave-2"):
        Dataset.read("leave")
    for name in ("", "..", ".hidden", "a b", "ä\n"):
        with pytest.raises(UsageError, match="cannot be the name"):
            dataset.save(name)


def test_a_file_that_cannot_be_read_or_written_says_so(project: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        Dataset.read("missing.jsonl")
    (project / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        Dataset([]).save("file/cases.jsonl")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"input": 1', "truncated"),
        ('{"id": "a"}', "it lacks the field `input`"),
        ('{"input": 1, "expcted": 2}', "it has the unknown field `expcted`"),
        ("[1]", "Expected `object`"),
        ('{"input": 1, "metadata": 3}', "metadata"),
        ('{"input": null}', "its input is null"),
        ('{"input": 1, "expected": {"anyof": [2]}}', "Did you mean 'any_of'?"),
        ('{"input": 1, "expected": {"any_of": null}}', "'any_of' is null"),
        ('{"input": 1, "expected": {"any_of": ["x"], "note": 1}}', "'any_of' and 'note'"),
        ('{"question": 1}', 'columns={"input": "NAME"}'),
        ('{"id": "a"}', "`onrecord dataset save PLACE NEW.jsonl --input NAME`"),
        ('{"input": "\\ud800"}', ""),
        ('{"input": ' + "[" * 100_000, ""),
    ],
)
def test_a_bad_line_is_named(project: Path, line: str, reason: str) -> None:
    Path("cases.jsonl").write_text(f'\n{{"input": 1}}\n{line}\n')
    with pytest.raises(LoadError, match="line 3 is no case") as caught:
        Dataset.read("cases.jsonl")
    assert reason in str(caught.value)


def test_cases_of_people_need_an_input_only(project: Path) -> None:
    lines = ['{"input": "a"}', "", '{"input": "a", "expected": ["x"]}', '{"id": 7, "input": {}}']
    Path("cases.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    read = Dataset.read("cases.jsonl")
    made_of_input = content_key("a")
    assert [case.id for case in read] == [made_of_input, f"{made_of_input}-2", "7"]
    Path("cases.jsonl").write_text('{"id": "a", "input": 1}\n\n{"id": "a", "input": 2}\n')
    with pytest.raises(LoadError, match=r"line 3 has the id 'a' of line 1"):
        Dataset.read("cases.jsonl")


def test_erasing_a_user_erases_the_cases(store: Store) -> None:
    tricky = {"q": "one\u2028two\u0085three \u2029"}
    records = [made(user="ada", input=tricky), made(input={"q": "other"}), made(input={"q": 3})]
    store.take(records)
    store.take([feedback(records[2], {"correction": "what ada wrote"}, user="ada")])
    Dataset.from_records(store=store).save("leave")
    path = Dataset.from_records(store=store).save("kept.jsonl")
    assert store.erase(Query(user="ada")).cases == 2
    assert [case.input for case in Dataset.read("leave")] == [{"q": "other"}]
    assert len(Dataset.read(path)) == 3


def test_a_dataset_of_people_survives_an_erasure(project: Path, store: Store) -> None:
    """Lines that are no cases, or come from nowhere, are left as they are, byte for byte."""
    folder = project / ".onrecord" / "datasets"
    folder.mkdir()
    content = '{"input": "\u2028"}\r\nno case\n{"provenance": 3}\n'.encode() + b"\xff\n"
    (folder / "mine.jsonl").write_bytes(content)
    record = made(user="ada")
    store.take([record])
    line = json.dumps({"input": "\u2028", "provenance": {"record": record.id}}, ensure_ascii=False)
    (folder / "mine.jsonl").write_bytes(content + line.encode())
    assert store.erase(Query(user="ada")).cases == 1
    assert (folder / "mine.jsonl").read_bytes() == content


def test_the_file_loads_in_datasets(store: Store, project: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra 'train' is not installed")
    store.take(
        [
            made(input={"q": "a"}, output="text", tags=("t",)),
            made(input={"n": 3}, output={"answer": 1}, release="r"),
            made(input={"n": "three", "more": [1, "x"]}, output=[1, 2]),
        ]
    )
    path = Dataset.from_records(store=store).save("cases.jsonl")
    loaded = datasets.load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(project / "cache")
    )
    assert len(loaded) == 3
    assert loaded[0]["expected"] == "text"
    assert {"id", "input", "expected", "metadata", "provenance"} <= set(loaded.column_names)


def test_many_records_make_one_pass(store: Store) -> None:
    numbers = list(range(1200))
    random.Random(0).shuffle(numbers)
    store.take([made(input={"n": n}) for n in numbers])
    assert [case.input["n"] for case in Dataset.from_records(store=store)] == numbers


def test_a_number_is_an_id_and_the_same_one_as_its_text() -> None:
    assert Case(1, "x") == Case("1", "x")  # type: ignore[arg-type]  # what people write
    with pytest.raises(UsageError, match="two cases have the id '1'"):
        Dataset([Case(1, "x"), Case("1", "y")])  # type: ignore[arg-type]  # the same
    for id in (None, True, 1.5, ["a"]):
        with pytest.raises(UsageError, match="the id of a case is a text"):
            Case(id, "x")  # type: ignore[arg-type]  # the same


def test_an_experiment_over_numbered_cases_is_found_again(project: Path) -> None:
    import onrecord as on

    numbered = Dataset([Case(number, f"q{number}") for number in range(3)])  # type: ignore[arg-type]  # what people write
    report = on.evaluate.run(str.upper, numbered, [on.scorers.refusal])
    assert [each.case for each in on.Report.open(report.run).trials] == ["0", "1", "2"]


looped: list[Any] = []
looped.append(looped)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "holds an object, which is no plain JSON value"),
        ({"a": [{1, 2}]}, "holds a set"),
        (float("nan"), "holds nan"),
        ([1.0, float("-inf")], "holds -inf"),
        ({1: "x"}, "has a key that is no text: 1"),
        (2**64, "holds a whole number of more than 64 bits"),
        (b"x", "holds a bytes"),
        (looped, "is nested too deep, or holds itself"),
    ],
)
def test_a_case_that_could_not_be_kept_is_refused(value: Any, said: str) -> None:
    for part, fields in (
        ("input", {"input": value}),
        ("expected", {"input": "x", "expected": value}),
        ("metadata", {"input": "x", "metadata": {"k": value}}),
    ):
        with pytest.raises(UsageError, match=f"the case '1' cannot be kept: its {part} {said}"):
            Case("1", **fields)


def test_metadata_that_are_no_object_are_refused() -> None:
    with pytest.raises(UsageError, match=r"metadata of case '1' are no object: \['topic'\]"):
        Case("1", "x", "y", ["topic"])  # type: ignore[arg-type]  # what people write


def test_any_of_is_something_and_stands_alone() -> None:
    with pytest.raises(UsageError, match="'any_of' is null"):
        Case("1", "x", {"any_of": None})
    with pytest.raises(UsageError, match="'any_of' and 'note'") as caught:
        Case("1", "x", {"note": 1, "any_of": ["a"]})
    assert '{"any_of": [{…}]}' in str(caught.value)
    itself = {"any_of": [{"any_of": None, "note": 1}]}
    assert Case("1", "x", itself).expected == itself


@pytest.mark.parametrize("key", ["anyof", "any_off", "any-of", "anyOf", "Any of"])
def test_a_slip_in_any_of_is_told(key: str) -> None:
    with pytest.raises(UsageError, match="Did you mean 'any_of'"):
        Case("1", "x", {key: ["a", "b"]})
    assert Case("1", "x", {"any_of": [{key: ["a"]}]}).expected == {"any_of": [{key: ["a"]}]}
    assert Case("1", "x", {"any": ["a"], "answer": ["b"]}).metadata == {}


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ("cases.jsonl", r"on\.Dataset\.read\(PLACE\)"),
        (Path("cases.jsonl"), r"on\.Dataset\.read\(PLACE\)"),
        ([{"input": "x"}], r"made of cases, and \{'input': 'x'\} is none.*on\.Case\("),
        ({"a": 1}, "are several"),
        (3, "are several"),
    ],
)
def test_a_dataset_is_made_of_cases(cases: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Dataset(cases)


@pytest.mark.parametrize("name", ["arr.json", "cases.txt", "cases.xlsx"])
def test_a_file_of_another_kind_is_there_and_not_read(project: Path, name: str) -> None:
    (project / name).write_text("[]")
    suffix = Path(name).suffix
    with pytest.raises(LoadError, match=rf"end in '{suffix}' are not read.*\.jsonl, \.csv"):
        Dataset.read(name)


def test_calls_without_their_input_are_left_out_and_counted(store: Store) -> None:
    store.take([made(new_id(), input=None)])
    assert Dataset.from_records(store=store).left_out["the input is not on record"] == 1


def test_a_dataset_knows_where_it_was_read(project: Path) -> None:
    Path("some").mkdir()
    Path("some/cases.jsonl").write_text('{"input": 1}\n{"input": 2}\n')
    read = Dataset.read("some/cases.jsonl")
    assert (read.name, read.place, read[:1].place) == ("cases", *["some/cases.jsonl"] * 2)
    assert Dataset(read.cases).place == ""
