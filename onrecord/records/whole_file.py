"""Text files that are put in place whole or not at all, by one writer at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Be the only one, in all processes, who writes in the folder of `path`; make the folder."""
    home = path.resolve().parent  # where `write` will put it
    home.mkdir(parents=True, exist_ok=True)
    folder = os.open(home, os.O_RDONLY)
    try:
        # Some network file systems lock no folders. A file is still never half written there.
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def write(path: Path, text: str) -> None:
    """Put a file in place, whole or not at all."""
    path = path.resolve()  # what a link points to is replaced, and not the link
    mode = path.stat().st_mode & 0o777 if path.exists() else None
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        if mode is not None:
            draft.chmod(mode)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
