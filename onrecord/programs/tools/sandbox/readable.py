"""What a program in the sandbox can read of the real files: what an interpreter is made of."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from pathlib import Path

_SYSTEM = (
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/nix/store",
    "/dev/null",
    "/dev/urandom",
)


@functools.cache
def interpreter() -> tuple[str, ...]:
    """The standard library, and the libraries of the system: existing paths, none in another."""
    found = {Path(each) for each in _SYSTEM}
    for prefix in (sys.base_prefix, sys.base_exec_prefix):
        found.add(Path(prefix) / "lib")
        found.add(Path(prefix) / "lib64")
    bases = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    bases |= {"installed_base": sys.base_prefix, "installed_platbase": sys.base_exec_prefix}
    found |= {Path(sysconfig.get_path(each, vars=bases)) for each in ("stdlib", "platstdlib")}
    found |= _loaded()
    there = {each for each in found if each.exists() and str(each) != "/"}
    return tuple(sorted(str(each) for each in there if not there & set(each.parents)))


def packages() -> tuple[str, ...]:
    """The folders that this environment's packages are installed in."""
    paths = {sysconfig.get_path(each) for each in ("purelib", "platlib")}
    return tuple(sorted(each for each in paths if Path(each).is_dir()))


def _loaded() -> set[Path]:
    """The folders of the interpreter's own shared libraries."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return set()
    names = {line.partition("/")[2] for line in lines if "/libpython" in line}
    return {Path("/" + name).parent for name in names if os.access("/" + name, os.R_OK)}
