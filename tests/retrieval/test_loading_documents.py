"""PDF, DOCX, PPTX, XLSX and EML: whole ones, awkward ones, and what is damaged or locked."""

import datetime
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from onrecord.errors import LoadError, MissingExtraError, UsageError
from onrecord.retrieval.document import Document, Failure, Fields
from onrecord.retrieval.loading import can_load, failure, load, registry
from tests.retrieval.loading_files import (
    REPOSITORY,
    SHARED,
    archive,
    encrypted_pdf,
    one,
    pdf,
    write,
)

docx = pytest.importorskip("docx", reason="takes the documents extra")
pptx = pytest.importorskip("pptx", reason="takes the documents extra")
openpyxl = pytest.importorskip("openpyxl", reason="takes the documents extra")
pytest.importorskip("pypdfium2", reason="takes the documents extra")


# PDF


def test_the_pages_of_a_pdf(tmp_path: Path) -> None:
    info = "/Title (The Report) /Author (Ann) /CreationDate (D:20230805120000)"
    document = one(write(tmp_path, "a.pdf", pdf("Page one.", "", "Page three.", info=info)))
    assert (document.title, document.text) == ("The Report", "Page one.\n\nPage three.")
    assert document.metadata == {"pages": 3, "author": "Ann", "created": "2023-08-05"}


def test_a_pdf_without_a_title_has_the_name_of_its_file(tmp_path: Path) -> None:
    path = write(tmp_path, "report.pdf", pdf("text", info="/Title (untitled)"))
    assert one(path).title == "report"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encrypted_pdf(), "the PDF is encrypted"),
        (pdf("", ""), "no text layer"),
        (pdf("text")[:60], "damaged, or no PDF"),
        (b"just words", "damaged, or no PDF"),
        (b"", "empty"),
    ],
)
def test_pdfs_that_cannot_be_read(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(LoadError, match=reason):
        one(write(tmp_path, "a.pdf", data))


def test_words_divided_at_the_end_of_a_line() -> None:
    from onrecord.retrieval.loading.pdf import _joined_words

    text = "an infor\ufffe\nmation on credit\ufffefinancing: financing on credit, a\ufffe"
    assert _joined_words(text) == "an information on credit-financing: financing on credit, a"


def test_pdfs_may_be_read_by_many_threads(tmp_path: Path) -> None:
    paths = [write(tmp_path, f"{n}.pdf", pdf(*[f"text {n}"] * 20)) for n in range(16)]
    with ThreadPoolExecutor(8) as pool:
        texts = [document.text for document in pool.map(one, paths)]
    assert all(text.startswith(f"text {n}") for n, text in enumerate(texts))


# DOCX


def a_docx() -> Any:
    document = docx.Document()
    document.core_properties.author = "Ann"
    document.core_properties.created = datetime.datetime(2020, 1, 2, 3, 4)
    document.add_heading("Leave", 1)
    document.add_paragraph("Every employee has 30 days.")
    document.add_paragraph("one", style="List Bullet")
    document.add_paragraph("two", style="List Bullet")
    table = document.add_table(2, 2)
    for cell, text in zip(table._cells, ("Year", "Days", "1", "30|31"), strict=True):
        cell.text = text
    document.add_heading("More", 2)
    document.add_paragraph("Line one\nline two")
    return document


def saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def test_a_docx_in_its_order(tmp_path: Path) -> None:
    document = one(write(tmp_path, "a.docx", saved(a_docx())))
    assert document.text == (
        "# Leave\n\nEvery employee has 30 days.\n\n- one\n- two\n\n"
        "| Year | Days |\n| --- | --- |\n| 1 | 30\\|31 |\n\n## More\n\nLine one\nline two"
    )
    assert (document.title, document.format) == ("Leave", "markdown")
    assert document.metadata["author"] == "Ann"
    assert document.metadata["created"].startswith("2020-01-02T03:04:00")


def test_tracked_changes_and_content_controls(tmp_path: Path) -> None:
    data = saved(a_docx())
    members = {}
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        for name in file.namelist():
            members[name] = file.read(name)
    body = (
        "<w:p><w:r><w:t>kept </w:t></w:r><w:ins w:id='1' w:author='a'><w:r><w:t>inserted</w:t>"
        "</w:r></w:ins><w:del w:id='2' w:author='a'><w:r><w:delText>deleted</w:delText></w:r>"
        "</w:del></w:p><w:sdt><w:sdtContent><w:p><w:r><w:t>controlled</w:t></w:r></w:p>"
        "</w:sdtContent></w:sdt>"
    )
    xml = members["word/document.xml"].decode()
    members["word/document.xml"] = xml.replace("<w:body>", "<w:body>" + body).encode()
    document = one(write(tmp_path, "a.docx", archive(**members)))
    assert document.text.startswith("kept inserted\n\ncontrolled\n\n# Leave")


# PPTX


def a_deck() -> Any:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "The plan"
    frame = slide.placeholders[1].text_frame
    frame.text = "First"
    frame.add_paragraph().text = "below"
    frame.paragraphs[1].level = 1
    slide.notes_slide.notes_text_frame.text = "Say hello."
    plain = deck.slides.add_slide(deck.slide_layouts[6])
    shape = plain.shapes.add_table(1, 2, 0, 0, 9_000_000, 900_000)
    shape.table.cell(0, 0).text, shape.table.cell(0, 1).text = "a", "b"
    group = plain.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 9, 9).text_frame.text = "in a group"
    return deck


def test_the_slides_of_a_deck(tmp_path: Path) -> None:
    document = one(write(tmp_path, "a.pptx", saved(a_deck())))
    assert document.text == (
        "# Slide 1: The plan\n\nFirst\n- below\n\nNotes: Say hello.\n\n"
        "# Slide 2\n\n| a | b |\n| --- | --- |\n\nin a group"
    )
    assert (document.title, document.metadata["slides"]) == ("The plan", 2)


# XLSX


def a_book() -> Any:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Staff"
    sheet.append(["Name", None, "Since", "Share"])
    sheet.append([])
    sheet.append(["Ann", None, datetime.datetime(2020, 1, 2), 0.1])
    sheet.append(["Bob", None, True, 3.0])
    book.create_sheet("Empty")
    book.create_sheet("More").append(["x"])
    return book


def test_the_sheets_of_a_book(tmp_path: Path) -> None:
    document = one(write(tmp_path, "staff.xlsx", saved(a_book())))
    assert document.text == (
        "# Staff\n\n| Name | Since | Share |\n| --- | --- | --- |\n| Ann | 2020-01-02 | 0.1 |\n"
        "| Bob | TRUE | 3 |\n\n# More\n\n| x |\n| --- |"
    )
    assert document.title == "staff"
    assert document.metadata["sheets"] == ["Staff", "Empty", "More"]


def test_a_sheet_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onrecord.retrieval.loading.spreadsheet._MOST_ROWS", 2)
    path = write(tmp_path, "a.xlsx", saved(a_book()))
    cut, document = load(path, Fields(), "a")
    assert cut == Failure(str(path), "sheet 'Staff': only its first 2 rows were loaded")
    assert isinstance(document, Document)


def test_a_book_without_values(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no values in its sheets"):
        one(write(tmp_path, "a.xlsx", saved(openpyxl.Workbook())))


# What is wrong with Office files

SUFFIXES = ("docx", "pptx", "xlsx")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_truncated_office_files(tmp_path: Path, suffix: str) -> None:
    make = {"docx": a_docx, "pptx": a_deck, "xlsx": a_book}[suffix]
    data = saved(make())
    for length in (10, len(data) // 2, len(data) - 10):
        with pytest.raises(LoadError, match="truncated or damaged"):
            one(write(tmp_path, f"a.{suffix}", data[:length]))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"just words", "truncated or damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "encrypted, or of the Office format"),
        (archive(), "damaged, or no"),
        (archive(hello=b"world"), "damaged, or no"),
        (archive(**{"[Content_Types].xml": b"<Types/>"}), "damaged, or no"),
        (archive(**{"[Content_Types].xml": b"no xml <"}), "damaged, or no"),
        (archive(bomb__xml=bytes(1)) + b"", "damaged, or no"),
    ],
)
def test_damaged_office_files(tmp_path: Path, suffix: str, data: bytes, reason: str) -> None:
    path = write(tmp_path, f"a.{suffix}", data)
    with pytest.raises(LoadError, match=reason) as caught:
        one(path)
    assert "\n" not in str(caught.value) and len(caught.value.what) < 200


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_that_unpacks_without_end(tmp_path: Path, suffix: str) -> None:
    bomb = archive(**{"word/document.xml": bytes(300 << 20)})
    assert len(bomb) < 1 << 20
    with pytest.raises(LoadError, match="unpacks to more"):
        one(write(tmp_path, f"a.{suffix}", bomb))


def test_a_bit_flipped_anywhere_is_no_traceback(tmp_path: Path) -> None:
    for suffix, make in (("docx", a_docx), ("pptx", a_deck), ("xlsx", a_book)):
        data = saved(make())
        for place in range(0, len(data), max(1, len(data) // 40)):
            damaged = bytearray(data)
            damaged[place] ^= 0xFF
            path = write(tmp_path, f"a.{suffix}", bytes(damaged))
            try:
                list(load(path, Fields(), "a"))
            except LoadError as error:
                assert "\n" not in failure(path, error).reason


@pytest.mark.parametrize("suffix", ["pdf", *SUFFIXES])
def test_without_the_extra_the_command_is_named(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("docx", "pptx", "openpyxl", "pypdfium2"):
        monkeypatch.setitem(sys.modules, package, None)
    path = write(tmp_path, f"a.{suffix}", saved(a_docx()))
    with pytest.raises(MissingExtraError) as caught:
        one(path)
    assert "pip install 'onrecord[documents]'" in str(caught.value)
    assert "pip install 'onrecord[documents]'" in failure(path, caught.value).reason


@pytest.mark.parametrize(
    ("suffix", "better"), [("doc", ".docx"), ("rtf", ".docx"), ("epub", ".pdf")]
)
def test_formats_that_are_not_read_name_one_that_is(
    tmp_path: Path, suffix: str, better: str
) -> None:
    path = write(tmp_path, f"a.{suffix}", "{\\rtf1 text}")
    with pytest.raises(LoadError, match=rf"\.{suffix} files are not read") as caught:
        one(path)
    assert better in failure(path, caught.value).reason


# EML

MESSAGE = b"""From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>
To: a@example.org, b@example.org
Subject: The =?utf-8?b?UGxhbg==?=
Date: Thu, 4 Jun 2009 10:30:00 +0200
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: multipart/alternative; boundary=y

--y
Content-Type: text/html; charset=utf-8

<p>html</p>
--y
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe!
--y--
--x
Content-Type: application/pdf
Content-Disposition: attachment; filename="plan.pdf"
Content-Transfer-Encoding: base64

JVBERg==
--x--
"""


def test_a_message(tmp_path: Path) -> None:
    document = one(write(tmp_path, "a.eml", MESSAGE))
    assert (document.title, document.text.strip(), document.format) == (
        "The Plan",
        "Grüße!",
        "text",
    )
    assert document.metadata == {
        "from": "Jürgen <j@example.org>",
        "to": "a@example.org, b@example.org",
        "date": "2009-06-04T10:30:00+02:00",
        "attachments": ["plan.pdf"],
    }


def test_a_message_in_html(tmp_path: Path) -> None:
    source = b"Subject: Hi\r\nContent-Type: text/html\r\n\r\n<h1>Big</h1><p>text</p>"
    document = one(write(tmp_path, "a.eml", source))
    assert (document.text, document.format) == ("# Big\n\ntext", "markdown")


def test_messages_with_broken_parts(tmp_path: Path) -> None:
    source = b"Subject: Hi\nDate: never\nContent-Type: text/plain; charset=no-such\n\ncaf\xc3\xa9"
    assert one(write(tmp_path, "a.eml", source)).text == "café"
    with pytest.raises(LoadError, match="without text"):
        one(write(tmp_path, "a.eml", b"Subject: Hi\nContent-Type: image/png\n\nx"))
    with pytest.raises(LoadError, match="no e-mail message"):
        one(write(tmp_path, "a.eml", b"only words"))


# Plugins


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    declared = EntryPoints(
        [
            EntryPoint("epub", f"{__name__}:load_epub", "onrecord.loaders"),
            EntryPoint("bad", "no_such_module:load", "onrecord.loaders"),
            EntryPoint("md", "no_such_module:load", "onrecord.loaders"),
        ]
    )
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **by: declared.select(**by))
    registry._plugin.cache_clear()
    yield
    registry._plugin.cache_clear()


def load_epub(path: Path, fields: Fields, document_id: str) -> Iterator[Document]:
    if path.stat().st_size > 10:
        raise ValueError("a bug of the plugin's\nwith a second line")
    yield Document(document_id, "a book", "its text")


@pytest.mark.usefixtures("plugins")
def test_a_package_can_bring_a_loader(tmp_path: Path) -> None:
    path = write(tmp_path, "a.epub", "x")
    assert can_load(path) and one(path).text == "its text"
    with pytest.raises(LoadError, match=r"damaged, or no epub file \(a bug of the plugin's\)"):
        one(write(tmp_path, "b.epub", "x" * 20))
    with pytest.raises(UsageError, match="cannot be imported"):
        one(write(tmp_path, "a.bad", "x"))
    assert one(write(tmp_path, "a.md", "x")).text == "x"  # what is known is not looked up


# The shared data

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="../shared/data is not here; see the twins above"
)


@needs_shared
@pytest.mark.parametrize(
    ("name", "title", "quote"),
    [
        ("2023_Q2_AAPL.pdf", "0000320193-23-000064", "Net income $ 24,160 $ 25,010"),
        ("bookmark_sample.pdf", "bookmark_sample", "PART II - OBLIGATIONS"),
        ("invisible_text_layer.pdf", "invisible_text_layer", "Invisible OCR text layer"),
        ("docx_lists.docx", "Test Document", "- List item 1\n  - List item 1.1\n    - List"),
        ("lorem_ipsum.docx", "lorem_ipsum", "Lorem ipsum dolor sit amet"),
        ("unit_test_headers_numbered.docx", "Test Document", "\n\n### Section 1.2.3\n\n"),
        ("word_tables.docx", "Test with tables", "| Cell 1.0 | Cell 1.1 | Cell 1.2 |"),
        ("powerpoint_sample.pptx", "Test Table Slide", "Notes: Some notes on the second slide."),
        ("xlsx_01.xlsx", "xlsx_01", "| first | second | third |"),
        ("example_02.html", "Introduction", "- Second item in unordered list\n\n1. First item"),
        ("eml_with_attachment.eml", "Email with Attachment", "Hello Bob,"),
    ],
)
def test_real_documents(name: str, title: str, quote: str) -> None:
    document = one(SHARED / "documents" / name)
    assert (document.title, quote in document.text) == (title, True)


@needs_shared
def test_every_shared_document_is_loaded() -> None:
    for path in sorted((SHARED / "documents").iterdir()):
        found = list(load(path, Fields(), path.name))
        assert found and all(isinstance(item, Document) for item in found), path.name


def test_library_warnings_stay_out_of_the_terminal(tmp_path: Path) -> None:
    paths = [write(tmp_path, "a.docx", saved(a_docx())), write(tmp_path, "a.xlsx", saved(a_book()))]
    code = (
        "import sys; from pathlib import Path; from onrecord.retrieval.document import Fields\n"
        "from onrecord.retrieval.loading import load\n"
        "for name in sys.argv[1:]: list(load(Path(name), Fields(), 'a'))"
    )
    command = [sys.executable, "-W", "default", "-c", code, *map(str, paths)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
