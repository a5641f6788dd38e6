"""Text formats: encodings, Markdown, reStructuredText, HTML, Python source, and the bad ones."""

import os
import subprocess
import sys
import tracemalloc
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.errors import LoadError
from onrecord.retrieval.document import Document, Fields
from onrecord.retrieval.loading import can_load, failure, find_files, load
from onrecord.retrieval.loading.values import iso_date, key, metadata, typed, untyped
from tests.retrieval.loading_files import REPOSITORY, SHARED, one, write

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 4
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 4
FRENCH = "Portez ce vieux whisky au juge blond qui fume, naïveté d'été à Noël, ça va."
CHINESE = "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心。" * 4


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
def test_unicode_in_all_its_encodings(tmp_path: Path, encoding: str) -> None:
    text = "First line ✓ \U0001f600 שלום\nSecond line, long enough to show its zeros.\n"
    document = one(write(tmp_path, "a.txt", text.encode(encoding)))
    assert document.text == text
    assert document.metadata.get("encoding_errors") is None


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "cp1252"),
        (FRENCH, "latin-1"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (JAPANESE, "shift-jis"),
        (JAPANESE, "euc-jp"),
        (CHINESE, "gb18030"),
        ("It’s the café’s “menu”. " + "Plain words follow. " * 5_000, "cp1252"),
        ("Plain words come first. " * 50_000 + FRENCH, "cp1252"),
    ],
)
def test_legacy_encodings_are_detected_and_said(tmp_path: Path, text: str, encoding: str) -> None:
    document = one(write(tmp_path, "a.txt", text.encode(encoding)))
    assert document.text == text
    assert document.metadata["encoding"]
    assert "encoding_errors" not in document.metadata


def test_a_few_bad_bytes_do_not_make_utf8_something_else(tmp_path: Path) -> None:
    data = "naïve café, très bien — déjà vu ☕\n".encode() * 3 + b"bad \xff byte, and \xc3"
    document = one(write(tmp_path, "a.md", data))
    assert document.text.startswith("naïve café") and document.text.endswith("bad � byte, and �")
    assert document.metadata == {"encoding_errors": 2}


def test_replacement_characters_of_the_file_are_no_errors(tmp_path: Path) -> None:
    data = "naïve � café ☕ déjà vu".encode() + b"\xff"
    assert one(write(tmp_path, "a.txt", data)).metadata == {"encoding_errors": 1}


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_newlines_become_one(tmp_path: Path, ending: str, encoding: str) -> None:
    data = f"one é{ending}{ending}two".encode(encoding)
    assert one(write(tmp_path, "a.txt", data)).text == "one é\n\ntwo"


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.rst", "a.py", "a.html", "a.csv", "a.jsonl"])
@pytest.mark.parametrize(
    "data", [bytes(range(256)) * 50, b"\x00" * 1000, b"\x7fELF\x02\x01\x01" + bytes(100)]
)
def test_binary_data_is_no_text(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(LoadError, match="not text"):
        one(write(tmp_path, name, data))


def test_another_format_under_the_name_of_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="a PDF, not text"):
        one(write(tmp_path, "a.txt", b"%PDF-1.4\n1 0 obj"))


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n ", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("suffix", ["txt", "md", "rst", "html", "py", "unknown", "json", "csv"])
def test_an_empty_file_is_reported(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = write(tmp_path, f"a.{suffix}", content)
    with pytest.raises(LoadError) as caught:
        list(load(path, Fields(), "a"))
    assert str(path) in str(caught.value)
    assert len(failure(path, caught.value).reason) < 80


def test_no_document_holds_what_a_database_cannot(tmp_path: Path) -> None:
    data = b"word " * 20_000 + b"\x00" + b"word"  # a hole left by a crash, deep in a log
    document = one(write(tmp_path, "a.log", data))
    assert document.text.endswith("�word") and len(document.text) == len(data)
    page = one(write(tmp_path, "a.json", r'{"text": "a\ud800b\u0000c", "k": "\udfff"}'))
    assert (page.text, page.metadata) == ("a�b�c", {"k": "�"})


def test_a_large_file_takes_less_than_four_times_its_size(tmp_path: Path) -> None:
    path = write(tmp_path, "big.txt", b"the same words over and over, with returns\r\n" * 500_000)
    tracemalloc.start()
    document = one(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(document.text) == 43 * 500_000
    assert peak < 4 * path.stat().st_size


@pytest.mark.parametrize("suffix", ["txt", "md", "rst", "html", "py"])
def test_a_line_of_five_megabytes(tmp_path: Path, suffix: str) -> None:
    text = "word " * (1 << 20)
    assert len(one(write(tmp_path, f"a.{suffix}", text)).text) >= len(text) - 1


def test_what_is_not_a_file_is_not_opened(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(LoadError, match="not a regular file"):
            one(path)
    with pytest.raises(LoadError, match="no longer there"):
        one(tmp_path / "gone.txt")


# Markdown


def test_front_matter_is_metadata_and_text(tmp_path: Path) -> None:
    source = (
        "---\ntitle: The Handbook\nCreated: 2020-01-02\ntags: [a, b]\nlastUpdate: 3 March 2021\n"
        "nested: {x: 1}\ndraft: false\nweight: 3\n---\n\n# Leave\n\nText.\n"
    )
    document = one(write(tmp_path, "a.md", source))
    assert (document.id, document.format, document.title) == ("the-id", "markdown", "The Handbook")
    assert document.text == source
    assert document.metadata == {
        "created": "2020-01-02",
        "tags": ["a", "b"],
        "last_update": "2021-03-03",
        "nested": '{"x": 1}',
        "draft": False,
        "weight": 3,
    }


@pytest.mark.parametrize(
    "front",
    ["a: [1", "just words", "- a\n- b", "d: 2020-99-99", "!!python/object:os.x {}", "a: !x 1"],
)
def test_broken_front_matter_is_text(tmp_path: Path, front: str) -> None:
    source = f"---\n{front}\n---\n# Title\n"
    document = one(write(tmp_path, "a.md", source))
    assert (document.text, document.title, document.metadata) == (source, "Title", {})


def test_front_matter_that_explodes_is_harmless(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    lines.append("loop: &loop [*loop]")
    document = one(write(tmp_path, "a.md", "---\n" + "\n".join(lines) + "\n---\ntext"))
    assert document.metadata["i"] is None and document.metadata["loop"] is None


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("```\n# no\n```\n## Yes ##\n", "Yes"),
        ("Under\n=====\ntext", "Under"),
        ("no heading", "file"),
        ("#hashtag\n\n# real", "real"),
        ("---\n# After a rule\n", "After a rule"),
    ],
)
def test_the_title_of_markdown(tmp_path: Path, source: str, title: str) -> None:
    assert one(write(tmp_path, "file.md", source)).title == title


# reStructuredText

PEP = """PEP: 9386
Title: Comparing versions
Author: Ann Example <ann@example.org>,
        Bob Example
Status: Final
Python-Version: 3.10
Created: 04-Jun-2009
Post-History: 05-Jul-2001, `01-Aug-2013 <https://example.org/a>`__
Resolution:

Abstract
========

Text: with a colon.
"""


def test_the_header_of_a_pep(tmp_path: Path) -> None:
    document = one(write(tmp_path, "pep.rst", PEP))
    assert (document.title, document.text, document.format) == ("Comparing versions", PEP, "rst")
    assert document.metadata == {
        "pep": 9386,
        "author": "Ann Example <ann@example.org>, Bob Example",
        "status": "Final",
        "python_version": "3.10",
        "created": "2009-06-04",
        "post_history": ["2001-07-05", "2013-08-01"],
    }


def test_a_field_list_after_the_title(tmp_path: Path) -> None:
    fields = ":Author: Ann\n:Author: Bob\n:Date: 1 May 2020\n"
    source = f".. a comment\n\n=====\nGuide\n=====\n\n{fields}\nText"
    document = one(write(tmp_path, "a.rst", source))
    assert document.title == "Guide"
    assert document.metadata == {"author": "Ann, Bob", "date": "2020-05-01"}


@pytest.mark.parametrize(
    "source",
    [
        "Note: this is a sentence.\n\nTitle\n-----\n",
        "Title\n-----\n\nText\n\n:param x: no header\n",
    ],
)
def test_what_only_looks_like_a_header(tmp_path: Path, source: str) -> None:
    document = one(write(tmp_path, "a.rst", source))
    assert (document.title, document.metadata) == ("Title", {})


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not here; see the twins above")
def test_every_pep_has_its_fields() -> None:
    paths = list(find_files(SHARED / "peps"))
    assert len(paths) == 736
    for path in paths:
        assert isinstance(path, Path)
        document = one(path)
        assert {"pep", "author", "status", "type", "created"} <= document.metadata.keys()
        assert document.metadata["pep"] == int(path.stem.removeprefix("pep-"))
        assert date.fromisoformat(document.metadata["created"]).year > 1990
        assert isinstance(document.metadata.get("python_version", ""), str)
        assert document.title in document.text


# HTML

PAGE = """<html lang="en"><head><title> A
page </title><meta name="author" content="Ann"><meta name="date" content="2020/1/2">
<style>p {}</style></head><body><nav>Home</nav><script>no()</script>
<h1>Big <em>title</em></h1>Loose <b>text</b><p>One<br>two &amp; <a href="x">three</a></p>
<ul><li><p>first</p></li><li>second<ul><li>inner</li></ul></li></ul><ol><li>a</li><li>b</li></ol>
<h2><div>Code</div></h2><pre><code>def f():
    return 1
</code></pre><p hidden>no</p><p style="display:none">no</p><!-- no -->
<table><tr><th>k</th><th>v|w</th></tr><tr><td>1</td><td>2<br>3</td></tr></table>
<table><tr><td><h2>Layout</h2></td><td>side</td></tr></table></body></html>"""


def test_what_is_seen_of_a_page(tmp_path: Path) -> None:
    document = one(write(tmp_path, "a.html", PAGE))
    assert (document.title, document.format) == ("A page", "markdown")
    assert document.metadata == {"author": "Ann", "date": "2020-01-02", "language": "en"}
    assert document.text == (
        "# Big title\n\nLoose text\n\nOne\ntwo & three\n\n- first\n- second\n  - inner\n\n"
        "1. a\n2. b\n\n## Code\n\n```\ndef f():\n    return 1\n```\n\n"
        "| k | v\\|w |\n| --- | --- |\n| 1 | 2 3 |\n\n## Layout\n\nside"
    )


def test_the_encoding_that_a_page_declares(tmp_path: Path) -> None:
    for meta in ('<meta charset="gbk">', "<meta http-equiv=x content='text/html; charset=gb2312'>"):
        source = f"<html>{meta}<p>中文</p>".encode("gbk")
        assert one(write(tmp_path, "a.html", source)).text == "中文"
    bogus = '<meta charset="no-such"><p>café</p>'.encode("cp1252")
    assert one(write(tmp_path, "a.html", bogus)).text == "café"


@pytest.mark.parametrize("part", ["<div>", "<ul><li>", "<table><tr><td>", "<b>", "<"])
def test_a_page_that_nests_without_end(tmp_path: Path, part: str) -> None:
    path = write(tmp_path, "a.html", part * 20_000 + "text")
    try:
        assert "text" in one(path).text or part == "<"
    except LoadError as error:
        assert error.what in ("nested too deeply", "empty")


# Python source and other text


def test_python_source(tmp_path: Path) -> None:
    (tmp_path / "package" / "inner").mkdir(parents=True)
    for folder in ("package", "package/inner"):
        write(tmp_path / folder, "__init__.py", '"""Docs."""\n')
    path = write(tmp_path / "package" / "inner", "tool.py", "x = 1\n")
    assert (one(path).title, one(path).format) == ("package.inner.tool", "python")
    assert one(path.with_name("__init__.py")).title == "package.inner"
    coded = "# -*- coding: koi8-r -*-\nname = 'Юля'\n".encode("koi8-r")
    assert "Юля" in one(write(tmp_path, "coded.py", coded)).text


@pytest.mark.parametrize(
    ("name", "title"), [("notes.txt", "notes"), ("main.go", "main.go"), ("Makefile", "Makefile")]
)
def test_any_text_is_loaded(tmp_path: Path, name: str, title: str) -> None:
    document = one(write(tmp_path, name, "some text"))
    assert (document.title, document.text, document.format) == (title, "some text", "text")
    assert can_load(tmp_path / name) == name.endswith(".txt")


# Metadata


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("04-Jun-2009", "2009-06-04"),
        ("4 June 2009", "2009-06-04"),
        ("June 4, 2009", "2009-06-04"),
        ("Sept 4th 2009", "2009-09-04"),
        ("2009/6/4", "2009-06-04"),
        ("2009-06-04 10:30", "2009-06-04T10:30:00"),
        ("2009-06-04T10:30:00Z", "2009-06-04T10:30:00+00:00"),
        ("04/06/2009", "04/06/2009"),
        ("31-Feb-2020", "31-Feb-2020"),
        ("2024.10.1", "2024.10.1"),
        ("3.10", "3.10"),
        ("007", "007"),
        ("-12", -12),
        ("0", 0),
        ("9" * 30, "9" * 30),
        ("٣", "٣"),
        ("1-Jan-2001, 2-Feb-2002,", ["2001-01-01", "2002-02-02"]),
        ("1-Jan-2001, later", "1-Jan-2001, later"),
    ],
)
def test_values_change_only_when_they_read_one_way(text: str, value: object) -> None:
    assert untyped(text) == value


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Python-Version", "python_version"),
        ("firstName", "first_name"),
        ("URL", "url"),
        ("  Net Sales ($) ", "net_sales"),
        ("2023", "field_2023"),
        ("", "field"),
        ("Größe", "größe"),
    ],
)
def test_keys_are_lower_snake_case(name: str, expected: str) -> None:
    assert key(name) == expected


def test_names_that_meet_are_kept_apart() -> None:
    assert metadata({"A b": 1, "a_b": 2, "aB": 3}) == {"a_b": 1, "a_b_2": 2, "a_b_3": 3}


@given(st.text(max_size=50))
def test_a_date_is_a_date_or_nothing(text: str) -> None:
    found = iso_date(text)
    assert found is None or date.fromisoformat(found[:10])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(VALUES)
def test_every_value_fits_the_seam(value: Any) -> None:
    result = typed(value)
    if isinstance(result, list):
        assert all(isinstance(item, str) for item in result)
    else:
        assert result is None or isinstance(result, (str, int, float, bool))
        assert not isinstance(result, int) or abs(result) < 2**63


def test_importing_loading_is_light() -> None:
    heavy = "selectolax charset_normalizer pathspec yaml docx pptx openpyxl pypdfium2 lxml email"
    code = (
        f"import sys, onrecord.retrieval.loading\nprint(*set({heavy.split()}) & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_document_is_a_document(tmp_path: Path) -> None:
    assert isinstance(one(write(tmp_path, "a.txt", "x")), Document)
