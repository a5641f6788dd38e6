"""The system calls that the walls are built with, by their numbers; the C library has no names for
most of them. Source: the kernel's unistd.h of the two architectures."""

from __future__ import annotations

import ctypes
import errno
import os
import sys

_NUMBERS = {
    "x86_64": {"clone": 56, "capset": 126, "pivot_root": 155},
    "aarch64": {"clone": 220, "capset": 91, "pivot_root": 41},
}
_EVERYWHERE = {
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38


def machine() -> str:
    """The architecture whose system calls this process makes; "" for one that is not known here."""
    name = os.uname().machine if sys.maxsize > 2**32 else ""
    return name if name in _NUMBERS else ""


def call(name: str, *arguments: object) -> int:
    """Make a system call. Raises OSError, which names it."""
    number = {**_EVERYWHERE, **_NUMBERS.get(machine(), {})}.get(name)
    if number is None:
        raise OSError(errno.ENOSYS, f"{name}: its number on {os.uname().machine} is not known here")
    return checked(name, _library().syscall(ctypes.c_long(number), *map(_long, arguments)))


def prctl(option: int, *arguments: object) -> int:
    """Set something about this process. Raises OSError."""
    padded = [*arguments, 0, 0, 0, 0][:4]
    return checked("prctl", _library().prctl(option, *map(_long, padded)))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2). Raises OSError."""
    texts = [os.fsencode(each) for each in (source, target, kind)]
    given = _library().mount(*texts, ctypes.c_ulong(flags), os.fsencode(options))
    checked(f"mount {target}", given)


def unmount(target: str) -> None:
    """Take a mount away, at once and with all below it. Raises OSError."""
    checked(f"umount {target}", _library().umount2(os.fsencode(target), 2))  # MNT_DETACH


def checked(name: str, result: int) -> int:
    """The result of a call to the C library. Raises OSError where it failed."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _long(argument: object) -> object:
    return ctypes.c_long(argument) if isinstance(argument, int) else argument
