"""Writing an audit to a file."""

from __future__ import annotations

from pathlib import Path

from onrecord.errors import StorageError
from onrecord.records import whole_file


def write(path: str | Path, text: str) -> Path:
    """Write a text to a file, at once or not at all. Raises StorageError."""
    place = Path(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        whole_file.write_bytes(place, text.encode("utf-8", "replace"))
    except OSError as error:
        raise StorageError(
            f"the audit cannot be written: {error.strerror or error}",
            where=str(place),
            cure="Name a file in a folder that you may write to.",
        ) from None
    return place
