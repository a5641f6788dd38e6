"""Plain text and Python source: the text is the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from onrecord.retrieval.document import Document, Fields
from onrecord.retrieval.loading.encoding import read_text


def load_text(path: Path, fields: Fields, document_id: str) -> Iterator[Document]:
    """Text in any encoding; the title is the file's name."""
    text, notes = read_text(path)
    title = path.stem if path.suffix.lower() in _PLAIN else path.name
    yield Document(document_id, title, text, "text", notes)


def load_python(path: Path, fields: Fields, document_id: str) -> Iterator[Document]:
    """Python source; the title is the module's dotted name."""
    text, notes = read_text(path, declared=_CODING)
    yield Document(document_id, _module_name(path), text, "python", notes)


def _module_name(path: Path) -> str:
    names = [] if path.stem == "__init__" else [path.stem]
    for folder in path.absolute().parents:
        if not (folder / "__init__.py").is_file() or not folder.name:
            break
        names.insert(0, folder.name)
    return ".".join(names) or path.stem


_PLAIN = frozenset({".txt", ".text", ".log"})
_CODING = re.compile(rb"^[^\n]*\n?[ \t\f]*#[^\n]*?coding[:=][ \t]*([-\w.]+)")
