"""DOCX: paragraphs, headings, lists and tables in the order of the document, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onrecord.retrieval.document import Document, Fields
from onrecord.retrieval.loading.markdown import first_heading, table
from onrecord.retrieval.loading.office import check_archive, core_metadata, core_title, optional


def load_docx(path: Path, fields: Fields, document_id: str) -> Iterator[Document]:
    """The body of the document; headers, footers, footnotes and comments are not part of it.

    Tracked insertions are read, tracked deletions are not. The title is the document's property,
    else its first heading, else the file's name.
    """
    check_archive(path)
    docx = optional("docx", path)
    with path.open("rb") as file:
        document = docx.Document(file)
    text = _join(_blocks(document.element.body, _styles(document)))
    properties = document.core_properties
    title = core_title(properties) or first_heading(text) or path.stem
    yield Document(document_id, title, text, "markdown", core_metadata(properties))


def _styles(document: Any) -> dict[str, str]:
    """The names of the styles by their ids: ids are translated with the program, names are not."""
    return {style.style_id: style.name or "" for style in document.styles}


def _blocks(body: Any, styles: dict[str, str]) -> Iterator[str]:
    """The blocks of a body or cell, as Markdown."""
    pending = [body]
    while pending:
        element = pending.pop()
        name = _name(element)
        if name == "p":
            if text := _paragraph(element, styles):
                yield text
        elif name == "tbl":
            yield _table(element, styles)
        elif name in _HOLDERS:
            pending.extend(reversed(list(element)))


def _paragraph(element: Any, styles: dict[str, str]) -> str:
    text = _text(element)
    if not text.strip():
        return ""
    properties = element.pPr  # None where the paragraph has none, and so its parts
    style = properties.pStyle if properties is not None else None
    name = styles.get(style.val, style.val) if style is not None else ""
    if match := _HEADING.fullmatch(name):
        return "#" * min(int(match[1] or 1), 6) + " " + " ".join(text.split())
    numbering = properties.numPr if properties is not None else None
    if name.startswith("List ") or numbering is not None:
        level = numbering.ilvl.val if numbering is not None and numbering.ilvl is not None else 0
        return "  " * min(level, 6) + "- " + " ".join(text.split())
    return text.strip()


def _table(element: Any, styles: dict[str, str]) -> str:
    rows = []
    for row in _all(element, "tr", "tbl"):
        rows.append([" ".join(_blocks(cell, styles)) for cell in _all(row, "tc", "tbl")])
    return table([row for row in rows if any(row)])


def _all(element: Any, wanted: str, border: str) -> Iterator[Any]:
    """The elements of that name under `element`, not those of a table within it."""
    pending = list(reversed(list(element)))
    while pending:
        child = pending.pop()
        if _name(child) == wanted:
            yield child
        elif _name(child) != border:
            pending.extend(reversed(list(child)))


def _text(paragraph: Any) -> str:
    words = []
    pending = [paragraph]
    while pending:
        element = pending.pop()
        name = _name(element)
        if name == "t":
            words.append(element.text or "")
        elif name in _SIGNS:
            words.append(_SIGNS[name])
        elif name not in _PASSED_OVER:
            pending.extend(reversed(list(element)))
    return "".join(words)


def _join(blocks: Iterator[str]) -> str:
    """Blocks with blank lines between them, except between the items of a list."""
    text: list[str] = []
    after_item = False
    for block in blocks:
        is_item = block.lstrip().startswith("- ")
        if text:
            text.append("\n" if is_item and after_item else "\n\n")
        text.append(block)
        after_item = is_item
    return "".join(text)


def _name(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


_HEADING = re.compile(r"(?:heading ([1-9])|title)", re.IGNORECASE)
_HOLDERS = frozenset({"body", "tc", "sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag"})
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
# Properties hold tab stops, deletions are gone, and a Fallback repeats what stands beside it.
_PASSED_OVER = frozenset({"pPr", "rPr", "del", "moveFrom", "Fallback", "instrText"})
