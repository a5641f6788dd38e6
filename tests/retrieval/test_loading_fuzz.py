"""Whatever bytes a file holds, under whatever name: documents, failures, or one clear error."""

import io
import zipfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onrecord.errors import LoadError, UsageError
from onrecord.retrieval.document import Document, Failure, Fields
from onrecord.retrieval.loading import failure, load
from onrecord.retrieval.loading.registry import LOADERS, UNREADABLE
from tests.retrieval.loading_files import archive, pdf

SUFFIXES = [*sorted(LOADERS), *sorted(UNREADABLE), "", ".toml", ".xyz"]
STARTS = [
    b"",
    b"---\n",
    b"Title: a\nStatus: ",
    b"a,b\n",
    b'{"text": ',
    b'[{"id": 1, "a": ',
    b"<html><body><table><tr><td>",
    b"Subject: a\nContent-Type: text/html; charset=",
    b"%PDF-1.4\n",
    b"PK\x03\x04",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"=====\n",
    b"```\n",
]
PIECES = st.lists(
    st.sampled_from([b"\n", b"\r\n", b",", b";", b'"', b"|", b"# ", b"- ", b": ", b"<p>", b"</"])
    | st.sampled_from([b"{", b"}", b"[", b"]", b"\x00", b"\xc3\xa9", b"\xed\xa0\x80", b"\xff"])
    | st.sampled_from([b"&a ", b"*a ", b"--", b"=", b"text", b"\t", "שלום\U0001f600".encode()])
    | st.binary(max_size=8),
    max_size=40,
).map(b"".join)
CONTENT = st.builds(lambda start, rest: start + rest, st.sampled_from(STARTS), PIECES)


def check(path: Path, fields: Fields) -> None:
    try:
        found = list(load(path, fields, "the-id"))
    except (LoadError, UsageError) as error:
        reason = failure(path, error).reason
        assert reason and "\n" not in reason and len(reason) < 2_000
        return
    assert found
    ids = [item.id for item in found if isinstance(item, Document)]
    assert len(ids) == len(set(ids))
    for item in found:
        assert isinstance(item, (Document, Failure))
        if isinstance(item, Document):
            assert item.text.strip() and item.title and item.id
            assert "\r" not in item.text or path.suffix.startswith((".json", ".nd", ".csv"))
            item.text.encode() and item.title.encode()
            for name, value in item.metadata.items():
                assert name == name.lower()
                assert value is None or isinstance(value, (str, int, float, bool, list))


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(content=CONTENT)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_under_any_name(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzzed{suffix}"
    path.write_bytes(content)
    check(path, Fields())
    check(path, Fields(text="a", id="b"))


@cache
def whole_files() -> dict[str, bytes]:
    docx = pytest.importorskip("docx", reason="takes the documents extra")
    pptx = pytest.importorskip("pptx", reason="takes the documents extra")
    openpyxl = pytest.importorskip("openpyxl", reason="takes the documents extra")
    document = docx.Document()
    document.add_heading("Title")
    deck = pptx.Presentation()
    deck.slides.add_slide(deck.slide_layouts[0]).shapes.title.text = "Title"
    book = openpyxl.Workbook()
    book.active.append(["a", 1])
    made = {".pdf": pdf("some text", "more")}
    for suffix, value in ((".docx", document), (".pptx", deck), (".xlsx", book)):
        out = io.BytesIO()
        value.save(out)
        made[suffix] = out.getvalue()
    return made


@given(
    name=st.sampled_from([".pdf", ".docx", ".pptx", ".xlsx"]),
    place=st.floats(0, 1),
    change=st.binary(min_size=1, max_size=30),
    cut=st.booleans(),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whole_files_with_a_hole(
    tmp_path_factory: pytest.TempPathFactory, name: str, place: float, change: bytes, cut: bool
) -> None:
    data = whole_files()[name]
    start = int(place * len(data))
    path = tmp_path_factory.getbasetemp() / f"holed{name}"
    path.write_bytes(data[:start] + change + (b"" if cut else data[start + len(change) :]))
    check(path, Fields())


@given(
    suffix=st.sampled_from([".docx", ".pptx", ".xlsx"]),
    member=st.sampled_from(["main", "rels", "workbook", "styles"]),
    content=PIECES,
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_archives_of_nonsense(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, member: str, content: bytes
) -> None:
    with zipfile.ZipFile(io.BytesIO(whole_files()[suffix])) as file:
        members = {name: file.read(name) for name in file.namelist()}
    for name in members:
        wanted = "document.xml presentation.xml sheet1.xml" if member == "main" else member
        if any(part in name for part in wanted.split()):
            half = len(members[name]) // 2
            members[name] = members[name][:half] + content + members[name][half:]
    path = tmp_path_factory.getbasetemp() / f"nonsense{suffix}"
    path.write_bytes(archive(**members))
    check(path, Fields())
