"""The wall of seccomp: a filter in the kernel through which every system call of a process passes.

A program for the kernel's classic BPF machine. Source:
https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from onrecord.programs.tools.sandbox import kernel, permitted

TYPE_CHECKING = False  # see launcher: typing and collections take long to import
if TYPE_CHECKING:
    from collections.abc import Iterator

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # in struct seccomp_data
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NEWER = 424
"""Calls since Linux 5.1, numbered alike everywhere. The C library knows what to do without them
where they do not exist, and not where they are forbidden."""

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, value."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def restrict(*, attributes: bool) -> None:
    """Make no other system calls than the permitted ones from now on; `attributes`: also those that
    change the mode and the times of files. Raises OSError where the kernel cannot filter."""
    name = kernel.machine()
    if not name:
        raise OSError(errno.ENOSYS, f"the system calls of {os.uname().machine} are not known here")
    written = b"".join(
        struct.pack("HBBI", *each) for each in program(name, os.getpid(), attributes)
    )
    held = ctypes.create_string_buffer(written, len(written))
    given = _Program(len(written) // 8, ctypes.addressof(held))
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_SECCOMP, 2, ctypes.byref(given))


def program(machine: str, process: int, attributes: bool) -> list[Instruction]:
    """The filter, for the process of this id."""
    lines: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    for number in permitted.plain(machine, attributes=attributes):
        lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for number, conditions in permitted.filtered(machine, process).items():
        block = [each for at, values in conditions for each in _one_of(at, values)]
        lines += [(_EQUAL, 0, len(block) + 1, number), *block, (_RETURN, 0, 0, _ALLOW)]
    return [
        *lines,
        (_AT_LEAST, 0, 1, _NEWER),
        (_RETURN, 0, 0, _FAIL | errno.ENOSYS),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
    ]


def _one_of(at: int, values: tuple[int, ...]) -> Iterator[Instruction]:
    """Fail unless the lower half of an argument (all that the kernel reads of these) is one of
    them. Both machines are little-endian."""
    yield (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * at)
    for rest, value in zip(reversed(range(len(values))), values, strict=True):
        yield (_EQUAL, rest + 1, 0, value)
    yield (_RETURN, 0, 0, _FAIL | errno.EPERM)
