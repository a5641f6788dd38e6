# pathlib would take longer to import than all that is done here.
# ruff: noqa: PTH123
"""What a program in the sandbox may use, and who it is: somebody without any capability."""

from __future__ import annotations

import ctypes
import math
import os
import resource

from onrecord.programs.tools.sandbox import kernel
from onrecord.programs.tools.sandbox.namespaces import NOBODY

THREADS = 64
_DESCRIPTORS = 64


def forget_groups() -> None:
    """Belong to no group but the own one, where this may be done."""
    if os.geteuid() == 0:
        try:  # noqa: SIM105  # contextlib takes long to import
            os.setgroups([])
        except PermissionError:
            pass  # a root without the capability


def can_be_nobody() -> bool:
    """Whether this is root, and nobody could go on from here: an interpreter in root's own folder,
    shown at its real place, is for root only."""
    if os.geteuid() != 0:
        return False
    try:
        os.seteuid(NOBODY)
    except OSError:
        return False
    try:
        return os.access(os.__file__, os.R_OK, effective_ids=True)
    finally:
        os.seteuid(0)


def become(user: int) -> None:
    """Be this user, for good, without any capability. Raises OSError."""
    if os.getuid() != user:
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, of this process
    nothing = (ctypes.c_uint32 * 6)()
    kernel.call("capset", ctypes.byref(header), ctypes.byref(nothing))


def limit(*, memory: int, seconds: float, disk: int, alone: bool) -> None:
    """Set the limits, for good. `alone`: this user's processes are counted apart from others."""
    processor = math.ceil(seconds)
    _set("RLIMIT_CPU", processor, processor + 1)
    _set("RLIMIT_FSIZE", disk)
    _set("RLIMIT_NOFILE", _DESCRIPTORS)
    _set("RLIMIT_NPROC", THREADS if alone else THREADS + _tasks())
    for name in ("CORE", "MEMLOCK", "MSGQUEUE", "NICE", "RTPRIO"):
        _set(f"RLIMIT_{name}", 0)
    _set("RLIMIT_SIGPENDING", THREADS)
    _set("RLIMIT_AS", memory)


def _set(name: str, soft: int, hard: int | None = None) -> None:
    which = getattr(resource, name)
    _, most = resource.getrlimit(which)
    hard = soft if hard is None else hard
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    try:
        resource.setrlimit(which, (soft, hard))
    except (ValueError, OSError) as error:
        raise OSError(f"{name}={soft}: {error}") from None


def _tasks() -> int:
    """All that run on this machine: no user has more."""
    try:
        with open("/proc/loadavg") as file:
            return int(file.read().split()[3].partition("/")[2])
    except OSError:
        return 4096
