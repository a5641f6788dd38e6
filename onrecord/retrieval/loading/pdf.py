"""PDF: the text layer, page after page."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onrecord.errors import LoadError
from onrecord.retrieval.document import Document, Fields
from onrecord.retrieval.loading.encoding import read_bytes
from onrecord.retrieval.loading.office import optional


def load_pdf(path: Path, fields: Fields, document_id: str) -> Iterator[Document]:
    """The text of the PDF with a blank line between pages; what is only a picture is not read.

    The title is the PDF's property, else the file's name.
    """
    pdfium = optional("pypdfium2", path)
    data = read_bytes(path)
    with _ONE_AT_A_TIME:
        text, properties, pages = _read(pdfium, data, path)
    if not text.strip():
        raise LoadError("no text layer (scanned?)", where=str(path), cure="Run OCR on it first")
    notes: dict[str, Any] = {"pages": pages}
    if author := properties.get("Author", "").strip():
        notes["author"] = author
    if created := _DATE.match(properties.get("CreationDate", "")):
        notes["created"] = "-".join(created.groups())
    title = properties.get("Title", "").strip()
    title = path.stem if title.lower() in _NO_TITLES else title
    yield Document(document_id, title, text, "text", notes)


def _read(pdfium: Any, data: bytes, path: Path) -> tuple[str, dict[str, str], int]:
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            raise LoadError(
                "the PDF is encrypted", where=str(path), cure="Save it anew without a password"
            ) from error
        raise LoadError("damaged, or no PDF", where=str(path)) from error
    try:
        pages = len(document)
        texts = [_page_text(document, number) for number in range(pages)]
        text = _joined_words("\n\n".join(text for text in texts if text))
        return text, document.get_metadata_dict(), pages
    finally:
        document.close()


def _page_text(document: Any, number: int) -> str:
    page = document[number]
    try:
        layer = page.get_textpage()
        try:
            text: str = layer.get_text_bounded()
        finally:
            layer.close()
    finally:
        page.close()
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def _joined_words(text: str) -> str:
    """The text with words whole that were divided at the end of a line.

    A hyphen there may be the word's own. It is kept where both halves are words of this text and
    the whole is none.
    """
    if not _DIVIDED.search(text):
        return text
    words = set(_WORD.findall(text.lower()))

    def join(match: re.Match[str]) -> str:
        left, right = match[1], match[2]
        halves = left.lower() in words and right.lower() in words
        whole = (left + right).lower() in words
        return f"{left}-{right}" if halves and not whole else left + right

    return _MARK.sub("", _DIVIDED.sub(join, text))


_ONE_AT_A_TIME = threading.Lock()  # PDFium is not thread-safe
# PDFium marks a word divided at the end of a line with a character that is none.
_MARK = re.compile("[\ufffe\u0002]")
_DIVIDED = re.compile("(\\w{1,60})[\ufffe\u0002]\n?(\\w{1,60})")
_WORD = re.compile(r"(?<![\w\ufffe\x02])\w+(?![\w\ufffe\x02])")
_NO_TITLES = ("", "untitled", "unknown")
_DATE = re.compile(r"D:(\d{4})(\d\d)(\d\d)", re.ASCII)
