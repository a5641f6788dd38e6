"""The wall of Landlock: the only files a process can open from now on, and no network.

A Linux security module that a process puts on itself, for good and for its children. Source:
https://docs.kernel.org/userspace-api/landlock.html (the versions up to 7).
"""

from __future__ import annotations

import ctypes
import os
import stat

from onrecord.programs.tools.sandbox import kernel

TYPE_CHECKING = False  # see launcher: typing and collections take long to import
if TYPE_CHECKING:
    from collections.abc import Sequence

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_TRUNCATE = 1 << 14
_FILE_RIGHTS = _WRITE_FILE | _READ_FILE | _TRUNCATE
# Of 16 rights: not to execute, and no sockets and devices made.
_WRITABLE = 0xFFFF & ~(1 << 0 | 1 << 6 | 1 << 9 | 1 << 11 | 1 << 15)


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def restrict(readable: Sequence[str], writable: Sequence[str]) -> None:
    """Open only these files and what is below these folders: some to read, some to write too.
    Raises OSError where the kernel has no Landlock."""
    version = kernel.call("landlock_create_ruleset", None, 0, 1)
    handled = (1 << 13) - 1
    handled |= (1 << 13) * (version >= 2) | _TRUNCATE * (version >= 3) | (1 << 15) * (version >= 5)
    rules = _Ruleset(handled, 3 * (version >= 4), 3 * (version >= 6))
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    made = kernel.call("landlock_create_ruleset", ctypes.byref(rules), size, 0)
    try:
        for path in readable:
            _allow(made, path, (_READ_FILE | _READ_DIR) & handled)
        for path in writable:
            _allow(made, path, _WRITABLE & handled)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.call("landlock_restrict_self", made, 0)
    finally:
        os.close(made)


def _allow(ruleset: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _FILE_RIGHTS
        rule = _Beneath(rights, place)
        kernel.call("landlock_add_rule", ruleset, 1, ctypes.byref(rule), 0)
    finally:
        os.close(place)
