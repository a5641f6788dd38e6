"""Rows: CSV, JSON and JSON Lines, a row a document; bad rows are reported, the rest goes on."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.errors import LoadError, UsageError
from onrecord.retrieval.document import Fields
from onrecord.retrieval.loading import load
from tests.retrieval.loading_files import SHARED, failures, one, rows, write

PEOPLE = "id,First Name,Joined,Zip,Age\np1,Ann,04-Jun-2009,01234,31\np2,Bob,,99,7\n"


def test_a_row_is_a_document(tmp_path: Path) -> None:
    first, second = rows(write(tmp_path, "people.csv", PEOPLE))
    # The field was guessed, so the file's name stands before it: another table may have a p1, too.
    assert (first.id, first.title, first.format) == ("f#p1", "people p1", "row")
    named = rows(write(tmp_path, "people.csv", PEOPLE), Fields(id="id"))
    assert [row.id for row in named] == ["p1", "p2"]
    assert first.text == "id: p1\nFirst Name: Ann\nJoined: 04-Jun-2009\nZip: 01234\nAge: 31"
    assert first.metadata == {
        "first_name": "Ann",
        "joined": "2009-06-04",
        "zip": "01234",
        "age": 31,
    }
    assert "Joined" not in second.text and "joined" not in second.metadata


def test_the_fields_named_are_used_as_they_stand(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "key,Words,head,x\n 007 ,some text,Hello,1\n")
    (row,) = rows(path, Fields(text="Words", id="key", title="head"))
    assert (row.id, row.text, row.title, row.metadata) == (" 007 ", "some text", "Hello", {"x": 1})
    (row,) = rows(path, Fields(text="words"))  # as metadata calls it
    assert row.text == "some text"


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl"])
def test_a_field_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, name: str) -> None:
    content = "id,words\n1,x\n" if name == "a.csv" else '{"id": "1", "words": "x"}'
    with pytest.raises(UsageError) as caught:
        list(load(write(tmp_path, name, content), Fields(text="body"), "a"))
    assert "'body'" in str(caught.value) and "id, words" in str(caught.value)


@pytest.mark.parametrize("column", ["text", "Content", "BODY"])
def test_the_text_is_found_by_its_usual_names(tmp_path: Path, column: str) -> None:
    (row,) = rows(write(tmp_path, "a.csv", f"title,{column},lang\nHead,the words,en\n"))
    assert (row.text, row.title, row.id) == ("the words", "Head", "f#1")
    assert row.metadata == {"lang": "en"}


@pytest.mark.parametrize(
    "content",
    [
        'a;b\n"x;y, z";2\n',
        "a\tb\nx;y, z\t2\n",
        "a|b\nx;y, z|2\n",
        '\ufeffa,b\r\n"x;y, z",2\r\n',
        'sep=;\na;b\n"x;y, z";2\n',
        '"a", "b"\n"x;y, z", "2"\n',
        'a,b,,\n"x;y, z",2,,\n\n,,,\n',
    ],
)
def test_the_dialect_is_found(tmp_path: Path, content: str) -> None:
    (row,) = rows(write(tmp_path, "a.csv", content))
    assert row.metadata == {"a": "x;y, z", "b": 2}


def test_cells_may_hold_lines_and_quotes(tmp_path: Path) -> None:
    (row,) = rows(write(tmp_path, "a.csv", 'text,n\r\n"one\r\ntwo ""three""",1\r\n'))
    assert row.text == 'one\ntwo "three"'


def test_a_cell_longer_than_the_csv_module_likes(tmp_path: Path) -> None:
    (row,) = rows(write(tmp_path, "a.csv", "text,n\n" + "word " * (1 << 20) + ",1\n"))
    assert len(row.text) == 5 << 20


def test_a_single_column_is_a_table_too(tmp_path: Path) -> None:
    assert [row.text for row in rows(write(tmp_path, "a.csv", "text\none\ntwo\n"))] == [
        "one",
        "two",
    ]


def test_columns_without_a_name_or_with_the_same(tmp_path: Path) -> None:
    (row,) = rows(write(tmp_path, "a.csv", "x,,x\n1,2,3\n"))
    assert row.text == "x: 1\ncolumn 2: 2\nx 2: 3"


def test_a_row_too_wide_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,n\nok,1\ntoo,2,wide\n,4\nfine\n")
    assert [row.text for row in rows(path)] == ["ok", "fine"]
    assert failures(path) == ["row 2: 3 cells under a header of 2", "row 3: no text"]


def test_utf16_tables_of_excel(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text\tn\r\nGrüße\t1\r\n".encode("utf-16"))
    assert rows(path)[0].text == "Grüße"


def test_a_header_alone_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no rows in it"):
        list(load(write(tmp_path, "a.csv", "a,b,c\n"), Fields(), "a"))


# JSON Lines and JSON


def test_bad_lines_are_reported_by_number(tmp_path: Path) -> None:
    lines = ['{"text": "a"}', "", "{broken", "[1]", '{"text": "b"}', '{"text": ""}', '"just text"']
    path = write(tmp_path, "a.jsonl", "\n".join(lines))
    assert [(row.id, row.text) for row in rows(path)] == [
        ("f#1", "a"),
        ("f#5", "b"),
        ("f#7", "just text"),
    ]
    assert failures(path) == [
        "line 3: not JSON: expecting property name enclosed in double quotes at column 2",
        "line 4: a list where an object was expected",
        "line 6: no text",
    ]


def test_hundreds_of_bad_lines_are_counted(tmp_path: Path) -> None:
    reported = failures(write(tmp_path, "a.jsonl", '{"text": "a"}\n' + "bad\n" * 250))
    assert len(reported) == 101 and reported[-1] == "150 more bad lines"


def test_an_id_that_comes_twice_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}\n')
    assert [row.text for row in rows(path)] == ["a"]
    assert failures(path) == ["line 2: an earlier line has the id 'f#1'"]


def test_types_are_kept_and_nested_values_are_json(tmp_path: Path) -> None:
    value = {
        "text": ["one", "two"],
        "n": 1.5,
        "ok": True,
        "none": None,
        "tags": ["a", "b"],
        "deep": {"x": [1]},
        "version": "3.10",
        "when": "4 June 2009",
        "big": 2**70,
    }
    (row,) = rows(write(tmp_path, "a.jsonl", json.dumps(value)))
    assert row.text == "one\ntwo"
    assert row.metadata == {
        "n": 1.5,
        "ok": True,
        "none": None,
        "tags": ["a", "b"],
        "deep": '{"x": [1]}',
        "version": "3.10",
        "when": "2009-06-04",
        "big": str(2**70),
    }


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('[{"text": "a"}, {"text": "b"}]', ["a", "b"]),
        ('{"version": 2, "data": [{"text": "a"}, {"text": "b"}]}', ["a", "b"]),
        ('{"text": "a", "tags": ["x", "y"]}', ["a"]),
        ('["a", "b"]', ["a", "b"]),
        ('{"text": "a"}\n{"text": "b"}\n', ["a", "b"]),  # JSON Lines under another name
        ('[{"text": "a"}, 7]', ["a"]),
        ('{"text": NaN, "content": "b", "x": Infinity}', []),
    ],
)
def test_the_shapes_of_json(tmp_path: Path, content: str, texts: list[str]) -> None:
    assert [row.text for row in rows(write(tmp_path, "a.json", content))] == texts


def test_an_object_alone_is_called_by_its_file(tmp_path: Path) -> None:
    document = one(write(tmp_path, "settings.json", '{"colour": "red", "size": 3}'))
    assert (document.id, document.title) == ("the-id", "settings")
    assert document.text == "colour: red\nsize: 3"
    assert document.metadata == {"colour": "red", "size": 3}


def test_fields_beside_the_list_belong_to_its_rows(tmp_path: Path) -> None:
    content = '{"id": "all", "year": 2020, "rows": [{"text": "a"}, {"text": "b", "year": 2021}]}'
    found = rows(write(tmp_path, "a.json", content))
    assert [row.id for row in found] == ["f#1", "f#2"]
    assert [row.metadata for row in found] == [{"year": 2020}, {"year": 2021}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"a": ', "not JSON"),
        ('{\n"a": 1,\n}', "line 3, column 1"),
        ("[" * 100_000, "nested too deeply"),
        ("[" + "9" * 5_000 + "]", "thousands of digits"),
        ("3", "neither an object nor a list"),
        ("[]", "no rows in it"),
        ("{}", None),
    ],
)
def test_what_is_no_json(tmp_path: Path, content: str, reason: str | None) -> None:
    path = write(tmp_path, "a.json", content)
    if reason is None:
        assert failures(path) == ["row 1: empty"]
        return
    with pytest.raises(LoadError, match=reason) as caught:
        list(load(path, Fields(), "a"))
    assert len(str(caught.value)) < 200 + len(str(path))


@given(
    st.lists(
        st.dictionaries(
            st.text(min_size=1, max_size=5),
            st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.floats(),
            max_size=5,
        ),
        max_size=5,
    )
)
def test_every_json_row_is_loaded_or_reported(
    tmp_path_factory: pytest.TempPathFactory, values: list[dict[str, object]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    path = write(folder, "a.jsonl", "\n".join(json.dumps(value) for value in values))
    try:
        assert len(list(load(path, Fields(), "f"))) == len(values)
    except LoadError:
        assert not values


@given(
    st.lists(st.lists(st.text("ab,;\t\"'\n|é ", max_size=6), min_size=2, max_size=4), max_size=6)
)
def test_every_csv_row_is_loaded_or_reported(
    tmp_path_factory: pytest.TempPathFactory, cells: list[list[str]]
) -> None:
    import csv
    import io

    out = io.StringIO()
    csv.writer(out).writerows([["x", "text", "y", "z"], *cells])
    path = write(tmp_path_factory.mktemp("rows"), "a.csv", out.getvalue())
    expected = [row[1] for row in cells if row[1].strip()]
    try:
        found = [row.text for row in rows(path)]
    except LoadError:
        found = []
    assert found == expected


# The shared data, and real files

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="../shared/data is not here; see the twins above"
)


@needs_shared
def test_real_tables() -> None:
    folder = SHARED / "documents"
    commas = rows(folder / "csv-comma-in-cell.csv")
    assert len(commas) == 4 and commas[1].text == "1: a\n2: ,\n3: c\n4: d"
    people = rows(folder / "csv-semicolon.csv")
    assert len(people) == 5 and people[3].metadata["company"] == "Dominguez;Mcmillan and Donovan"
    questions = rows(folder / "sec-10-q-questions.csv", Fields(text="Answer", title="Question"))
    assert len(questions) == 195 and questions[0].metadata["question_type"] == "Multi-Doc RAG"


@needs_shared
def test_real_json_lines() -> None:
    paragraphs = rows(SHARED / "squad2" / "paragraphs.jsonl", Fields(id="id"))
    assert len(paragraphs) == 1204 and paragraphs[0].id == "1973_oil_crisis#0"
    abstracts = SHARED / "cranfield" / "documents.jsonl"
    assert len(rows(abstracts)) + len(failures(abstracts)) == 1400
