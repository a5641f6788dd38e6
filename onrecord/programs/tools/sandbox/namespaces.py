# pathlib would take longer to import than all that is done here.
# ruff: noqa: PTH103, PTH112, PTH120, PTH123
"""The wall of namespaces: processes, a network, mounts and users of its own.

The first process inside is number 1 of its processes: when it ends, the kernel ends all others. Its
network has no way out. Its root folder holds nothing but what is mounted there, read-only, and a
working folder in memory. Source: user_namespaces(7), pid_namespaces(7), mount_namespaces(7).
"""

from __future__ import annotations

import ctypes
import os

from onrecord.programs.tools.sandbox import kernel

TYPE_CHECKING = False  # see launcher: typing and collections take long to import
if TYPE_CHECKING:
    from collections.abc import Mapping

NOBODY = 65534
_FLAGS = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
# Mounts, control groups, host name, System V objects, users, processes, network.
_NOSUID, _NODEV, _NOEXEC, _BIND, _RECURSIVE, _PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x40000
_BUILT_AT = "/proc"  # which is everywhere, and not wanted inside


def fork() -> int:
    """A copy of this process, as the first one of new namespaces; 0 in the copy. Raises OSError."""
    return kernel.call("clone", _FLAGS | _SIGCHLD, 0, 0, 0, 0)


def name_users(process: int) -> None:
    """Say who is who inside: nobody, and for the time of building root where this is root.
    Raises OSError."""
    user, group = os.geteuid(), os.getegid()
    _say(process, "setgroups", "deny")
    both, alone = f"0 0 1\n{NOBODY} {NOBODY} 1", f"{NOBODY} {{}} 1"
    if user == 0:
        try:
            _say(process, "uid_map", both)
        except OSError:
            pass  # in a container that knows no other user than this one
        else:
            _say(process, "gid_map", both)
            return
    _say(process, "uid_map", alone.format(user))
    _say(process, "gid_map", alone.format(group))


def build_root(shown: Mapping[str, str], work: str, size: int) -> None:
    """Move into a new root: `shown` maps paths in it to the real ones, to be read only; `work` is
    an empty folder to write in, of `size` bytes at most. Raises OSError."""
    _set_host_name()
    kernel.mount("none", "/", "", _PRIVATE | _RECURSIVE)
    small = f"mode=0755,size=1m,nr_inodes={200 + 20 * len(shown)}"
    kernel.mount("none", _BUILT_AT, "tmpfs", _NOSUID | _NODEV | _NOEXEC, small)
    for path, source in shown.items():
        _show(source, _BUILT_AT + path)
    folder = _BUILT_AT + work
    os.makedirs(folder)
    options = f"mode=0700,size={size},nr_inodes={_INODES},uid={NOBODY},gid={NOBODY}"
    kernel.mount("none", folder, "tmpfs", _NOSUID | _NODEV | _NOEXEC, options)
    os.chdir(_BUILT_AT)
    here = ctypes.c_char_p(b".")
    kernel.call("pivot_root", here, here)
    kernel.unmount(".")
    os.chdir("/")
    _make_read_only("/", 0)


def _show(source: str, target: str) -> None:
    folder = os.path.isdir(source)
    os.makedirs(target if folder else os.path.dirname(target), exist_ok=True)
    if not folder:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.mount(source, target, "", _BIND | _RECURSIVE)
    if not source.startswith("/dev/"):
        _make_read_only(target, 0x8000)  # AT_RECURSIVE


def _say(process: int, name: str, words: str) -> None:
    with open(f"/proc/{process}/{name}", "w") as file:
        file.write(words)


def _make_read_only(path: str, flags: int) -> None:
    wanted = (ctypes.c_uint64 * 4)(1 | _NOSUID | _NODEV, 0, 0, 0)
    name = ctypes.c_char_p(os.fsencode(path))
    kernel.call("mount_setattr", -100, name, flags, ctypes.byref(wanted), ctypes.sizeof(wanted))


def _set_host_name() -> None:
    name = b"sandbox"
    library = ctypes.CDLL(None, use_errno=True)
    kernel.checked("sethostname", library.sethostname(name, len(name)))


_INODES, _SIGCHLD = 10_000, 17
