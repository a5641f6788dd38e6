"""Datasets from tables: CSV, TSV, Parquet, folders of `datasets`; and what is wrong in them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onrecord.errors import LoadError, StorageError, UnknownNameError, UsageError
from onrecord.evaluation.dataset import Case, Dataset
from onrecord.evaluation.datasets.problem import Problem
from onrecord.records.record import content_key

pytestmark = pytest.mark.usefixtures("project")

ROWS = [
    {"id": "a", "input": "How many days?", "expected": "28", "topic": "leave"},
    {"id": "b", "input": "Who pays, “us”?\nReally?", "topic": "travel"},
]


def put(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def lines(*rows: Any) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def as_csv(rows: list[dict[str, str]], delimiter: str = ",") -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, names, delimiter=delimiter, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def as_json_lines(rows: list[dict[str, str]]) -> str:
    own = ("id", "input", "expected")
    return lines(
        *(
            {
                **{name: row[name] for name in own if name in row},
                "metadata": {name: row[name] for name in row if name not in own},
            }
            for row in rows
        )
    )


def test_a_csv_file_says_what_json_lines_say() -> None:
    from_lines = Dataset.read(put("cases.jsonl", as_json_lines(ROWS)))
    for name, delimiter in (("c.csv", ","), ("s.csv", ";"), ("t.tsv", "\t"), ("b.csv", "|")):
        read = Dataset.read(put(name, "\ufeff" + as_csv(ROWS, delimiter)))
        assert read == from_lines, name
        assert read.version == from_lines.version
    assert from_lines[1].expected is None
    assert Dataset.read("c.csv").name == "c"


def test_cells_are_text_unless_their_column_is_json() -> None:
    put(
        "c.csv", 'input,expected:json,year,n:json\nq,"{""any_of"": [1, ""one""]}",2019,7\nr,,007,\n'
    )
    one, two = Dataset.read("c.csv")
    assert one.expected == {"any_of": [1, "one"]}
    assert one.metadata == {"year": "2019", "n": 7}
    assert two.expected is None and two.metadata == {"year": "007"}
    assert one.id == content_key("q")


def test_columns_say_what_is_what() -> None:
    put("c.csv", "qid,frage,text,a1,a2,thema\n1,Wie?,Es ist so.,ja,,x\n2,Was?,,ja,doch,y\n")
    read = Dataset.read(
        "c.csv",
        columns={
            "id": "qid",
            "input": {"question": "frage", "context": "text"},
            "expected": {"any_of": ["a1", "a2"]},
            "metadata": ["thema"],
        },
    )
    assert read[0] == Case(
        "1", {"question": "Wie?", "context": "Es ist so."}, {"any_of": ["ja"]}, {"thema": "x"}
    )
    assert read[1].input == {"question": "Was?"}
    assert read[1].expected == {"any_of": ["ja", "doch"]}
    both = Dataset.read("c.csv", columns={"input": ["frage", "text"]})
    assert both[0].input == {"frage": "Wie?", "text": "Es ist so."}
    assert both[0].metadata == {"qid": "1", "a1": "ja", "thema": "x"}
    with pytest.raises(LoadError, match=r"no column 'frag'.*Did you mean 'frage'"):
        Dataset.read("c.csv", columns={"input": "frag"})
    with pytest.raises(UsageError, match=r"no part 'inputs'.*'input'"):
        Dataset.read("c.csv", columns={"inputs": "frage"})
    with pytest.raises(LoadError, match=r"no column is named 'input'; there are 'qid', 'frage'"):
        Dataset.read("c.csv")


def test_json_lines_with_other_names() -> None:
    put(
        "squad.jsonl",
        lines(
            {"id": 1, "question": "q", "answers": {"text": ["x", "x", "y"]}, "title": "t"},
            {"id": 2, "question": "r", "answers": {"text": []}},
            {"id": 3, "question": "s", "level": 3},
        ),
    )
    columns = {"input": "question", "expected": {"any_of": "answers.text"}}
    read = Dataset.read("squad.jsonl", columns=columns)
    assert [case.expected for case in read] == [{"any_of": ["x", "y"]}, {"any_of": []}, None]
    assert [case.metadata for case in read] == [{"title": "t"}, {}, {"level": 3}]
    assert [case.id for case in read] == ["1", "2", "3"]
    with pytest.raises(LoadError, match="no line has a field 'answer'"):
        Dataset.read("squad.jsonl", columns={"input": "question", "expected": "answer"})
    put("bad.jsonl", lines({"question": "q"}, {"q": 1}, [1]))
    with pytest.raises(LoadError, match=r"line 2 is no case: nothing stands in 'question'; 1 more"):
        Dataset.read("bad.jsonl", columns={"input": "question"})


def test_blank_lines_above_the_header_of_a_table() -> None:
    Path("b.csv").write_text("\n  \nid,input\n\n1,a\n2,\n")
    with pytest.raises(LoadError, match="row 6 is no case: nothing stands in 'input'"):
        Dataset.read("b.csv")
    Path("b.csv").write_text("\n  \nid,input\n\n1,a\n")
    assert Dataset.read("b.csv").cases == (Case("1", "a"),)
    Path("one.csv").write_text("\r\ninput\r\na\r\n")
    assert [case.input for case in Dataset.read("one.csv")] == ["a"]


@pytest.mark.parametrize("columns", [None, {"input": "input"}])
def test_a_number_that_json_has_not(columns: dict[str, str] | None) -> None:
    for value in ("NaN", "-Infinity"):
        Path("n.jsonl").write_text(f'{{"input": "a", "expected": {value}}}\n')
        with pytest.raises(LoadError, match="JSON has no NaN and no Infinity: write null"):
            Dataset.read("n.jsonl", columns=columns)
    Path("n.jsonl").write_text('{"input": "What is NaN?",}\n')
    with pytest.raises(LoadError, match="malformed") as caught:
        Dataset.read("n.jsonl", columns=columns)
    assert "write null" not in str(caught.value)


def test_every_wrong_row_is_counted() -> None:
    rows = ["input,id,topic", "q,a,x", ",b,x", "r,a,x", "s,c", "t,d,x,y", "", "u,e,z", ",,q"]
    put("c.csv", "\n".join(rows))
    message = r"row 3 is no case: nothing stands in 'input'; 4 more rows are wrong: 4, 5, 6, 9 \("
    with pytest.raises(LoadError, match=message):
        Dataset.read("c.csv")
    many = "input\n" + '""\n' + "\n".join(f"q{n},x" for n in range(50))
    with pytest.raises(LoadError, match="more rows are wrong: 4, 5, 6, 7, 8, …"):
        Dataset.read(put("many.csv", many))
    put(
        "two.jsonl", lines({"input": 1, "id": "a"}, {"input": 2, "id": "a"}, {"input": 3, "id": []})
    )
    with pytest.raises(
        LoadError, match=r"line 2 has the id 'a' of line 1; 1 more line is wrong: 3"
    ):
        Dataset.read("two.jsonl")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"input,expected\nq,\xff\n", "line 2 is not UTF-8: invalid start byte at byte 3"),
        ("input\nq\n".encode("utf-16"), "the file is UTF-16"),
        (b"input,input\na,b\n", "two columns are named 'input'"),
        (b",input\n0,a\n", "column 1 has no name"),
        (b'input,n:json\nq,"{"\n', "row 2 has a cell that is no JSON"),
        (b'input,n\n"open,1\nq,2\n', "row 2 cannot be read, and neither can what follows"),
        (b"input,metadata\nq,x\n", "row 2 is no case: .*metadata"),
        (b"input,provenance\nq,x\n", "row 2 is no case: .*provenance"),
    ],
)
def test_a_csv_file_that_is_wrong(content: bytes, reason: str) -> None:
    with pytest.raises(LoadError, match=reason):
        Dataset.read(put("c.csv", content))


def test_empty_files_are_empty_datasets() -> None:
    for name in ("e.csv", "e.jsonl", "e.tsv"):
        assert len(Dataset.read(put(name, ""))) == 0
        assert len(Dataset.read(put(name, "\ufeff\n\n"))) == 0
    assert len(Dataset.read(put("h.csv", "input,expected\n"))) == 0


def test_a_huge_line_is_refused_and_a_long_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "x" * 1_000_000
    for name, content in (("l.jsonl", lines({"input": long})), ("l.csv", f"input\n{long}\n")):
        assert Dataset.read(put(name, content))[0].input == long
        path = put(name, content.replace(long, long * 2))
        with monkeypatch.context() as smaller:
            smaller.setattr("onrecord.evaluation.datasets.formats.LONGEST", 1 << 20)
            with pytest.raises(LoadError, match="longer than 1 MiB"):
                Dataset.read(path)


def test_equal_inputs_without_ids_are_cases_of_their_own() -> None:
    read = Dataset.read(put("c.csv", "input,expected\n" + "q,a\n" * 1000))
    assert len({case.id for case in read}) == 1000
    assert read[1].id == f"{content_key('q')}-2"


def test_parquet_says_what_json_lines_say() -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{name: row.get(name) for name in ("id", "input", "expected", "topic")} for row in ROWS]
    parquet.write_table(pa.Table.from_pylist(rows), "c.parquet")
    assert (
        Dataset.read("c.parquet").version
        == Dataset.read(put("c.jsonl", as_json_lines(ROWS))).version
    )


def test_values_of_parquet_become_json(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    import datetime
    import decimal

    def written(**columns: list[Any]) -> Path:
        parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
        return tmp_path / "t.parquet"

    day, price = datetime.date(2026, 1, 2), decimal.Decimal("1.50")
    path = written(
        input=[{"q": "a", "n": 1}, {"q": "b", "n": 2}],
        expected=[["x"], []],
        id=[1, 2],
        day=[day, None],
        price=[price, price],
        score=[float("nan"), 0.5],
    )
    one, two = Dataset.read(path)
    assert one == Case("1", {"q": "a", "n": 1}, ["x"], {"day": "2026-01-02", "price": "1.50"})
    assert two.metadata == {"price": "1.50", "score": 0.5}
    with pytest.raises(LoadError, match="row 2 has an infinite number in 'score'"):
        Dataset.read(written(input=["a", "b"], score=[0.5, float("inf")]))
    with pytest.raises(LoadError, match=r"row 2 is no case: nothing stands in 'input'"):
        Dataset.read(written(input=["a", None]))
    path = written(input=["a"], image=[b"\x00"])
    with pytest.raises(LoadError, match="the column 'image' holds bytes"):
        Dataset.read(path)
    assert Dataset.read(path, columns={"metadata": []})[0].metadata == {}
    put("no.parquet", "input\na\n")
    with pytest.raises(LoadError, match="no Parquet file"):
        Dataset.read("no.parquet")
    with pytest.raises(StorageError):
        Dataset.read("missing.parquet")


def test_a_folder_of_datasets(project: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra 'train' is not installed")
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["bad", "good"]),
            "answers": {"text": datasets.List(datasets.Value("string"))},
        }
    )
    made = datasets.Dataset.from_dict(
        {
            "text": ["a", "b", "c"],
            "label": [1, 0, -1],
            "answers": [{"text": ["x"]}, {"text": []}, {"text": ["y"]}],
        },
        features=features,
    )
    made.select([2, 0, 1]).save_to_disk("plain", num_shards=2)
    read = Dataset.read("plain", columns={"input": "text", "expected": "label"})
    assert [(case.input, case.expected) for case in read] == [
        ("c", None),
        ("a", "good"),
        ("b", "bad"),
    ]
    assert read[1].metadata == {"answers": {"text": ["x"]}}
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk("both")
    with pytest.raises(LoadError, match=r"2 splits: train, test.*both/train"):
        Dataset.read("both")
    answers = {"input": "text", "expected": {"any_of": "answers.text"}}
    assert Dataset.read("both/test", columns=answers)[1].expected == {"any_of": []}
    (project / "other").mkdir()
    with pytest.raises(LoadError, match=r"no state\.json"):
        Dataset.read("other/")
    with pytest.raises(UnknownNameError):
        Dataset.read("nothing")


def test_tables_are_read_and_not_written() -> None:
    with pytest.raises(UsageError, match=r"saved as JSON Lines.*cases\.jsonl"):
        Dataset([]).save("cases.csv")


cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(cell.filter(bool), cell, cell), max_size=5))
def test_what_a_csv_writer_writes_is_read(rows: list[tuple[str, str, str]]) -> None:
    with Path("h.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("input", "expected", "topic"))
        writer.writerows(rows)
    read = Dataset.read("h.csv")
    wanted = [(one, two or None, {"topic": three} if three else {}) for one, two, three in rows]
    assert [(case.input, case.expected, case.metadata) for case in read] == wanted


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from(["f.csv", "f.jsonl", "f.tsv", "f.parquet"]))
def test_any_bytes_are_cases_or_one_sentence(content: bytes, name: str) -> None:
    try:
        read = Dataset.read(put(name, content))
    except LoadError as error:
        assert error.where
    else:
        assert all(case.input is not None or name == "f.jsonl" for case in read)


class Question(pydantic.BaseModel):
    question: str
    year: int


class Wanted(msgspec.Struct):
    days: int


def test_all_that_does_not_fit_is_named() -> None:
    put(
        "v.jsonl",
        "\n"
        + lines(
            {"id": "a", "input": {"question": "q", "year": 2019}, "expected": {"days": 3}},
            {"id": "b", "input": {"question": 7}, "expected": {"any_of": [{"days": "x"}, {}]}},
            {"id": "c", "input": {"question": "q", "year": 1}},
        ),
    )
    read = Dataset.read("v.jsonl")
    found = read.validate(input=Question, expected=Wanted)
    assert [(each.unit, each.number, each.case) for each in found] == [("line", 3, "b")] * 4
    assert "input: $.year" in str(found[1]) and str(found[0]).startswith(
        "line 3 (case 'b') does not"
    )
    assert read.validate(input=dict, expected=dict, metadata=dict[str, str]) == []
    # Parts of a dataset know where they stand in the file.
    assert [each.number for each in read[1:].validate(input=Question, expected=dict)] == [3, 3]
    assert [each.number for each in read.where('id = "b"').validate(expected=Wanted)] == [3, 3]
    with pytest.raises(UsageError, match="neither a JSON Schema nor a type"):
        read.validate(input=object())


def test_a_json_schema_is_a_form() -> None:
    pytest.importorskip("jsonschema", reason="the extra 'evaluation' is not installed")
    cases = Dataset([Case("a", "x"), Case("b", 3)])
    assert cases.validate(input={"type": "string"}) == [
        Problem("case", 2, "does not fit: input: $: 3 is not of type 'string'", "b")
    ]


def test_cases_that_differ_from_most() -> None:
    cases = Dataset(
        [
            Case("a", "x", "1", {"year": 1}),
            Case("b", 3, "1", {"year": "1"}),
            Case("c", "z", {"any_of": ["1", 2]}, {"year": 2}),
            Case("d", " ", None, {"year": None}),
        ]
    )
    assert [str(each) for each in cases.validate()] == [
        "case 2 (case 'b') does not fit: input: it is a number, and in most cases a text",
        "case 2 (case 'b') does not fit: metadata.year: it is a text, and in most cases a number",
        "case 3 (case 'c') does not fit: expected: it is a number, and in most cases a text",
        "case 4 (case 'd') does not fit: input: it is blank",
    ]
    objects = Dataset(
        [Case("a", {"q": 1, "r": 2}), Case("b", {"q": 1, "r": 2}), Case("c", {"q": 1})]
    )
    (found,) = objects.validate()
    assert "no 'r', as most have" in str(found)
    assert Dataset([]).validate() == []


def test_slices_by_metadata() -> None:
    cases = Dataset(
        [
            Case("a", 1, metadata={"topic": "leave", "year": 2019, "tags": ["x"]}),
            Case("b", 2, metadata={"topic": "travel", "year": 2021}),
            Case("c", 3, metadata={"year": 2022}),
        ]
    )
    assert [case.id for case in cases.where('topic = "leave"')] == ["a"]
    assert [case.id for case in cases.where("year > 2019 and topic is null")] == ["c"]
    assert [case.id for case in cases.where('tags contains "x" or id = "b"')] == ["a", "b"]
    with pytest.raises(UsageError, match="no case fits"):
        cases.where("year > 3000")
    with pytest.raises(UsageError, match="topi"):
        cases.where('topi = "leave"')


def test_squad_is_a_dataset(public_data: Path) -> None:
    columns = {"input": "question", "expected": {"any_of": "answers"}}
    read = Dataset.read(public_data / "squad2" / "questions.jsonl", columns=columns)
    assert len(read) == 11_873
    assert sum(case.expected == {"any_of": []} for case in read) == 5_945
    assert read.validate(input=str, expected=str) == []
    parts = read.split({"train": 0.7, "test": 0.3}, by="paragraph")
    assert not {c.metadata["paragraph"] for c in parts["train"]} & {
        c.metadata["paragraph"] for c in parts["test"]
    }
