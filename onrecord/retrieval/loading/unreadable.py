"""Documents of formats that need another program: named with the cure, not passed over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from onrecord.errors import LoadError
from onrecord.retrieval.document import Document, Fields


def load_unreadable(path: Path, fields: Fields, document_id: str) -> Iterator[Document]:
    """Raises LoadError, which says what to save the file as."""
    suffix = path.suffix.lower()
    better = _BETTER.get(suffix, ".pdf or .txt")
    raise LoadError(
        f"{suffix} files are not read", where=str(path), cure=f"Save it as {better} beside this one"
    )


_BETTER = {
    ".doc": ".docx",
    ".docm": ".docx",
    ".msg": ".eml",
    ".numbers": ".xlsx",
    ".odp": ".pptx",
    ".ods": ".xlsx",
    ".odt": ".docx",
    ".pages": ".docx",
    ".ppt": ".pptx",
    ".pptm": ".pptx",
    ".rtf": ".docx",
    ".xls": ".xlsx",
    ".xlsb": ".xlsx",
}
