"""Files that are put in place whole or not at all, by one writer at a time.

What is no regular file is never replaced: a device, a FIFO, standard output (`/dev/stdout`) and the
file descriptors of a shell's `>(…)` are written into.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from onrecord.errors import StorageError


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


def save(path: str | Path, text: str | bytes, what: str) -> Path:
    """Put what a user asked for in place, in a folder that is made where it is missing.

    `what` is its name in the StorageError that is raised where that cannot be: "the report".
    """
    place = Path(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, text.encode("utf-8", "replace") if isinstance(text, str) else text)
    except OSError as error:
        is_file = isinstance(error, FileExistsError | NotADirectoryError)
        why = "what should be its folder is a file" if is_file else error.strerror or error
        raise StorageError(
            f"{what} cannot be written: {why}",
            where=str(place),
            cure="Name a file in a folder that you may write to, on a disk that is not full.",
        ) from None
    return place


def write(path: Path, text: str) -> None:
    """Put a text file in place, whole or not at all; its lines end in a line feed everywhere."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Put a file in place, whole or not at all; a power cut afterwards changes nothing."""
    write_lines(path, (data,))


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """`write_bytes`, of what does not all have to be in memory at once."""
    if (into := _stream(path)) is not None:
        with os.fdopen(into, "wb") as file:
            file.writelines(lines)
        return
    path = path.resolve()  # what a link points to is replaced, and not the link
    mode = path.stat().st_mode & 0o777 if path.exists() else None
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def _stream(path: Path) -> int | None:
    """A file descriptor to write into, where a path is no place for a file; None where it is."""
    if own := _OWN.fullmatch(str(path)):
        # Opened by its name, a file that the shell has open for us would begin anew.
        return os.dup(_NAMED.get(own["name"]) or int(own["number"]))
    try:
        mode = path.stat().st_mode
    except OSError:  # it is not there yet, or writing says what is wrong
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    if stat.S_ISSOCK(mode):
        raise OSError(errno.ENOTSUP, "it is a socket, and no file", str(path))
    return os.open(path, os.O_WRONLY | os.O_NOCTTY)


_OWN = re.compile(r"/dev/(?P<name>stdout|stderr)|/(?:dev|proc/self)/fd/(?P<number>[0-9]{1,9})")
_NAMED: dict[str | None, int] = {"stdout": 1, "stderr": 2}


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk. Some file systems cannot."""
    with contextlib.suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
