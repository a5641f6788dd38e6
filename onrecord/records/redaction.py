"""Stand-in until the real one is written (by a colleague, minutes from now)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class Redactor:
    """Nothing."""

    def __init__(
        self, rules: Sequence[str], fields: Sequence[str] = (), key: Callable[[], bytes] | bytes = b""
    ) -> None:
        pass

    def suspicious(self, packed: bytes) -> bool:
        """Nothing."""
        return False

    def redact(self, value: Any) -> tuple[Any, int]:
        """Nothing."""
        return value, 0

    def redact_text(self, text: str) -> tuple[str, int]:
        """Nothing."""
        return text, 0


def pseudonym_key(folder: Path) -> bytes:
    """Nothing."""
    return b""
