"""`onrecord dataset`: show, validate, split, generate."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from onrecord.cli.dataset import app
from onrecord.errors import FilterError, LoadError, UsageError
from onrecord.evaluation.dataset import Dataset
from onrecord.retrieval.collection import Collection
from onrecord.retrieval.document import Document


def ran(*arguments: object, status: int = 0) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done.stdout


def printed(*arguments: object, status: int = 0) -> Any:
    return json.loads(ran(*arguments, "--json", status=status))


@pytest.fixture
def table(project: Path) -> Path:
    path = project / "c.csv"
    rows = [f"q{n},What is rule {n}?,{n},{'leave' if n % 2 else 'pay'}" for n in range(10)]
    path.write_text("\n".join(["id,question,answer,topic", *rows]))
    return path


COLUMNS = ("--input", "question", "--expected", "answer")


def test_show(table: Path) -> None:
    said = ran("show", table, *COLUMNS, "-n", 1, "--where", 'topic = "pay"')
    assert said.startswith("c: 5 cases, version ")
    assert "topic: 1 value: pay (5)" in said and "What is rule 0?" in said
    told = printed("show", table, *COLUMNS, "--id", "id")
    assert (told["cases"], told["expecting"], len(told["first"])) == (10, 10, 5)
    assert told["metadata"]["topic"]["different"] == 2
    several = printed(
        "show", table, "--input", "question", "--input", "topic", "--expected", "answer", "--any-of"
    )
    assert several["first"][0]["input"] == {"question": "What is rule 0?", "topic": "pay"}
    assert several["first"][0]["expected"] == {"any_of": ["0"]}


def test_validate(table: Path, project: Path) -> None:
    assert "10 cases, nothing wrong" in ran("validate", table, *COLUMNS)
    with table.open("a") as file:
        file.write("\nq3,again,1,pay\nx,,2,pay")
    assert printed("validate", table, *COLUMNS, status=3)["problems"] == [
        {"unit": "row", "number": 12, "reason": "has the id 'q3' of row 5", "case": ""},
        {
            "unit": "row",
            "number": 13,
            "reason": "is no case: nothing stands in 'question'",
            "case": "",
        },
    ]
    Path("s.json").write_text('{"type": "string", "maxLength": 1}')
    Path("d.jsonl").write_text('{"input": "a"}\n{"input": "bb"}\n')
    said = ran("validate", "d.jsonl", "--input-type", "s.json", status=3)
    assert said.startswith("line 2 (case") and "too long" in said
    with pytest.raises(UsageError, match="cannot be read"):
        ran("validate", "d.jsonl", "--input-type", "missing.json")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("../a=0.5", "b=0.5"), "'../a=0.5' names no part"),
        (("=0.5", "b=0.5"), "'=0.5' names no part"),
        (("a=0.5", "a=0.5"), "two parts are named 'a'"),
    ],
)
def test_parts_that_cannot_be_files(
    table: Path, project: Path, parts: tuple[str, ...], said: str
) -> None:
    before = set(project.rglob("*"))
    named = [each for part in parts for each in ("-p", part)]
    with pytest.raises(UsageError, match=re.escape(said)):
        ran("split", table, *COLUMNS, *named, "-o", "new/parts")
    assert set(project.rglob("*")) == before


def test_split(table: Path, project: Path) -> None:
    told = printed(
        "split", table, *COLUMNS, "-p", "a=0.5", "-p", "b=0.5", "--by", "topic", "-o", "parts"
    )
    assert sum(told["sizes"].values()) == 10 and told["groups"] <= 2
    assert sum(len(Dataset.read(path)) for path in told["files"].values()) == 10
    said = ran("split", table, *COLUMNS, "-p", "a=0.5", "-p", "b=0.5", "--exact")
    assert "groups, the largest of" in said
    with pytest.raises(UsageError, match="'a' is no part"):
        ran("split", table, *COLUMNS, "-p", "a")


def test_generate(project: Path) -> None:
    text = "# Leave\n\nEvery employee has 28 days of paid leave a year.\n\n"
    text += "## Sick leave\n\nWho is ill for 3 days or more brings a note.\n"
    Collection.open("handbook").add.run([Document("l", "Leave", text, "markdown")], source="test")
    said = ran("generate", "handbook", "--count", 3, "-o", "questions")
    assert said.splitlines()[0].endswith("1 without an answer.")
    told = printed("generate", "handbook", "--count", 50, "-o", "q.jsonl")
    assert told["cases"] == len(Dataset.read("q.jsonl")) < 50
    assert told["left_out"]


def test_show_says_that_there_are_more_values(project: Path) -> None:
    rows = [{"input": f"q{n}", "metadata": {"topic": f"t{n % 4}", "n": n}} for n in range(8)]
    Path("m.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    said = ran("show", "m.jsonl")
    assert "  topic: 4 values: t0 (2), t1 (2), t2 (2), …\n" in said
    assert "  n: 8 values\n" in said
    assert "…" not in ran("show", "m.jsonl", "--where", 'topic = "t1"', "-n", 0)


def test_validate_tells_of_rows_and_kinds_at_once(project: Path) -> None:
    Path("b.jsonl").write_text('{"input": 1}\n{"input": "a"}\n{"input": null}\n{"input": "b"}\n')
    told = printed("validate", "b.jsonl", status=3)
    assert told["cases"] == 3
    assert [(each["number"], each["reason"]) for each in told["problems"]] == [
        (1, "does not fit: input: it is a number, and in most cases a text"),
        (3, "is no case: its input is null"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "unit"), [("e.jsonl", "", "line 1"), ("e.csv", "input,expected\n", "row 2")]
)
def test_a_file_without_a_case_is_a_problem(project: Path, name: str, text: str, unit: str) -> None:
    Path(name).write_text(text)
    said = ran("validate", name, status=3)
    assert f"{unit} is not there: the file holds no case" in said


def test_save_writes_what_evaluate_reads(project: Path) -> None:
    Path("c.csv").write_text("question,answer,topic\nWho?,Ada,people\nWhere?,here,places\n")
    with pytest.raises(LoadError, match=r"`onrecord dataset save PLACE NEW\.jsonl --input NAME`"):
        ran("save", "c.csv", "new.jsonl")
    columns = ("--input", "question", "--expected", "answer")
    assert ran("save", "c.csv", "new.jsonl", *columns).startswith("new.jsonl: 2 cases, version ")
    first = Dataset.read("new.jsonl")[0]
    assert (first.input, first.expected, first.metadata) == ("Who?", "Ada", {"topic": "people"})
    told = printed("save", "c.csv", "kept", *columns, "--where", 'topic = "people"')
    assert told["cases"] == len(Dataset.read("kept")) == 1


def test_validate_tells_how_other_names_are_said(project: Path) -> None:
    Path("q.jsonl").write_text('{"question": "Who?"}\n')
    done = CliRunner().invoke(app, ["validate", "q.jsonl"])
    assert "line 1 is no case: it has the unknown field `question`" in done.stdout
    assert "--input NAME of `onrecord dataset`" in done.stderr


def test_validate_takes_what_scorers_take_in_more_than_one_form(project: Path) -> None:
    forms = [[], "a.md", ["a.md", "b.md"], {"a.md": 2}, "a.md", "a.md"]
    lines = (
        json.dumps({"input": str(at), "metadata": dict.fromkeys(("relevant", "tools"), each)})
        for at, each in enumerate(forms)
    )
    Path("r.jsonl").write_text("\n".join([*lines, '{"input": "x", "metadata": {"relevant": 3}}']))
    told = printed("validate", "r.jsonl", status=3)
    assert [each["reason"] for each in told["problems"]] == [
        "does not fit: metadata.relevant: it is a number, and in most cases a text"
    ]


def test_a_name_with_a_line_break_stays_in_its_line(project: Path) -> None:
    Path("n.jsonl").write_text('{"id": "a\\nb", "input": "x", "metadata": {"k\\nl": 1}}\n')
    lines = ran("show", "n.jsonl").splitlines()
    assert "a b" in lines and "  k l: 1 value" in lines


def test_a_filter_over_cases_names_no_title(project: Path) -> None:
    Path("n.jsonl").write_text('{"input": "x", "metadata": {"topic": 1}}\n')
    with pytest.raises(FilterError, match="There are: id, topic\n"):
        ran("show", "n.jsonl", "--where", "foo = 1")
