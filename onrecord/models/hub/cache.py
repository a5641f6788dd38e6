"""Answers of the Hub, kept for when it cannot be reached: one small file for each question."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TypeVar

import msgspec

from onrecord.records import whole_file
from onrecord.records.record import content_key

Answer = TypeVar("Answer", bound=msgspec.Struct)


class HubCache:
    """The answers in a folder, the newest 500. They hold no token."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, question: object, answer: msgspec.Struct) -> str:
        """Keep an answer in place of the one before. What went wrong, if something did, else ""."""
        path = self._path(question)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            whole_file.write(path, msgspec.json.encode(answer).decode())
            self._thin_out()
        except OSError as error:
            return f"the answer could not be kept for offline use: {error.strerror or error}"
        return ""

    def find(self, question: object, kind: type[Answer]) -> Answer | None:
        """The answer that was kept; None where there is none that can be read."""
        try:
            return msgspec.json.decode(self._path(question).read_bytes(), type=kind)
        except (OSError, msgspec.MsgspecError, ValueError):
            return None

    def _path(self, question: object) -> Path:
        return self.folder / f"{content_key(question)}.json"

    def _thin_out(self) -> None:
        kept = [(path.stat().st_mtime, path) for path in self.folder.glob("*.json")]
        for _, path in sorted(kept)[:-_MOST]:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


_MOST = 500
