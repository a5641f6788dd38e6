"""PPTX: slides as headings, with their text, tables and notes, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from onrecord.retrieval.document import Document, Fields
from onrecord.retrieval.loading.markdown import table
from onrecord.retrieval.loading.office import check_archive, core_metadata, core_title, optional


def load_pptx(path: Path, fields: Fields, document_id: str) -> Iterator[Document]:
    """Every slide in order. The title is the first that a slide has: the file's property is mostly
    the template's."""
    check_archive(path)
    pptx = optional("pptx", path)
    with path.open("rb") as file:
        deck = pptx.Presentation(file)
    slides = list(deck.slides)
    text = "\n\n".join(block for i, slide in enumerate(slides, 1) for block in _slide(i, slide))
    first = next((title for slide in slides if (title := _title(slide))), "")
    properties = deck.core_properties
    notes = {**core_metadata(properties), "slides": len(slides)}
    title = first or core_title(properties) or path.stem
    yield Document(document_id, title, text if slides else "", "markdown", notes)


def _slide(number: int, slide: Any) -> Iterator[str]:
    title = _title(slide)
    yield f"# Slide {number}: {title}" if title else f"# Slide {number}"
    heading = slide.shapes.title.shape_id if title else None
    for shape in _leaves(slide.shapes):
        if shape.shape_id == heading:
            continue
        if getattr(shape, "has_table", False):
            rows = [[cell.text for cell in row.cells] for row in shape.table.rows]
            if any(any(row) for row in rows):
                yield table(rows)
        elif getattr(shape, "has_text_frame", False) and (text := _frame(shape.text_frame)):
            yield text
    if slide.has_notes_slide:
        frame = slide.notes_slide.notes_text_frame
        if frame is not None and (text := _frame(frame)):
            yield f"Notes: {text}"


def _leaves(shapes: Iterable[Any]) -> Iterator[Any]:
    """The shapes of a slide, those within groups in their place."""
    pending = list(reversed(list(shapes)))
    while pending:
        shape = pending.pop()
        if hasattr(shape, "shapes"):
            pending.extend(reversed(list(shape.shapes)))
        else:
            yield shape


def _frame(frame: Any) -> str:
    lines = []
    for paragraph in frame.paragraphs:
        text = paragraph.text.replace("\v", "\n").strip()
        if text:
            lines.append(f"{'  ' * (paragraph.level - 1)}- {text}" if paragraph.level else text)
    return "\n".join(lines)


def _title(slide: Any) -> str:
    shape = slide.shapes.title
    return " ".join(shape.text_frame.text.split()) if shape is not None else ""
