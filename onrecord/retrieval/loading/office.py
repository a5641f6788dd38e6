"""What the Office formats share: the optional packages, and a ZIP archive that may be hostile."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from onrecord.errors import EmptyDocumentError, LoadError, MissingExtraError
from onrecord.retrieval.loading.encoding import MEBIBYTE, open_bytes
from onrecord.retrieval.loading.values import typed


def optional(module: str, path: Path) -> Any:
    """The module of a package of the `documents` extra, which reading `path` takes."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"reading {path.suffix.lower()} files takes packages that are not installed",
            where=str(path),
            cure="Run: pip install 'onrecord[documents]'",
        ) from error


def check_archive(path: Path) -> None:
    """Raises LoadError unless `path` is a whole ZIP archive that unpacks to a bearable size."""
    import zipfile

    with open_bytes(path) as file:
        head = file.read(8)
        if not head:
            raise EmptyDocumentError("empty", where=str(path))
        if head == _OLD_OFFICE:
            raise LoadError(
                "encrypted, or of the Office format before 2007",
                where=str(path),
                cure="Save it anew without a password",
            )
        file.seek(0)
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            kind = path.suffix.lower().lstrip(".").upper()
            raise LoadError(f"truncated or damaged, or no {kind} file", where=str(path)) from error
    if any(member.flag_bits & 1 for member in members):
        raise LoadError("encrypted", where=str(path), cure="Save it anew without a password")
    markup = sum(m.file_size for m in members if m.filename.endswith((".xml", ".rels")))
    if markup > _MOST_MARKUP or sum(member.file_size for member in members) > _MOST:
        raise LoadError("unpacks to more than can be read safely", where=str(path))


def core_metadata(properties: Any) -> dict[str, Any]:
    """Author, subject, keywords and dates of an Office file, those it has."""
    found: dict[str, Any] = {}
    for name in ("author", "subject", "keywords", "created", "modified"):
        value = getattr(properties, _NAMES.get(name, name), None) or getattr(properties, name, None)
        if value and value not in _PLACEHOLDERS:
            found[name] = typed(value)
    return found


def core_title(properties: Any) -> str:
    """The title that the file's properties give, or an empty string."""
    title = (getattr(properties, "title", "") or "").strip()
    return "" if title in _PLACEHOLDERS else str(title)


_NAMES = {"author": "creator"}  # openpyxl's word for it
# What the writing libraries put where nobody gave a value.
_PLACEHOLDERS = frozenset(
    {"Word Document", "PowerPoint Presentation", "python-docx", "openpyxl", "python-pptx"}
)
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MOST_MARKUP = 256 * MEBIBYTE
_MOST = 1024 * MEBIBYTE
