"""The seccomp filter, run by hand: also that of a machine which this one is not."""

from __future__ import annotations

import errno
import re
import subprocess
from pathlib import Path

import pytest

from onrecord.programs.tools.sandbox import permitted, seccomp

ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOSYS = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ME = 4321


def verdict(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the kernel's machine makes of a system call."""
    seen = {0: number, 4: MACHINES[machine] if architecture is None else architecture}
    for at, value in enumerate(arguments):
        seen[16 + 8 * at] = value & 0xFFFFFFFF
    program = seccomp.program(machine, ME, attributes=False)
    held, at = 0, 0
    while True:
        code, yes, no, value = program[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            held = seen.get(value, 0)
        else:
            at += yes if (held == value if code == 0x15 else held >= value) else no


@pytest.mark.parametrize(
    ("machine", "read", "socket", "kill", "clone", "fcntl", "execve", "socketpair"),
    [("x86_64", 0, 41, 62, 56, 72, 59, 53), ("aarch64", 63, 198, 129, 220, 25, 221, 199)],
)
def test_what_is_let_through(
    machine: str,
    read: int,
    socket: int,
    kill: int,
    clone: int,
    fcntl: int,
    execve: int,
    socketpair: int,
) -> None:
    assert verdict(machine, read) == ALLOW
    assert verdict(machine, socket, 2, 1, 0) == EPERM
    assert verdict(machine, execve) == EPERM
    assert verdict(machine, kill, ME, 9) == ALLOW
    assert verdict(machine, kill, ME + 1, 9) == EPERM
    assert verdict(machine, kill, 0, 9) == verdict(machine, kill, -1, 9) == EPERM
    assert verdict(machine, clone, 17) == EPERM
    assert verdict(machine, clone, 0x3D0F00) == ALLOW
    assert verdict(machine, clone, 0x3D0F00 | 0x10000000) == EPERM
    assert verdict(machine, fcntl, 3, 4) == ALLOW
    assert verdict(machine, fcntl, 3, 8) == EPERM  # F_SETOWN
    assert verdict(machine, socketpair, 1, 1 | 0o2000000) == ALLOW
    assert verdict(machine, socketpair, 1, 2) == EPERM  # datagrams can be sent elsewhere
    assert verdict(machine, socketpair, 2, 1) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_not_known(machine: str) -> None:
    assert verdict(machine, 435) == ENOSYS  # clone3: the C library takes clone
    assert verdict(machine, 9999) == ENOSYS
    assert verdict(machine, 0x40000000) == ENOSYS  # the 32-bit pointers of x86_64
    assert verdict(machine, 0, architecture=0x40000003) == KILL


def test_the_numbers_are_the_kernels() -> None:
    """Against the headers of this machine, where they are installed."""
    here = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    there = Path("/usr/include/asm-generic/unistd.h")
    if not (here.exists() and there.exists()):
        pytest.skip("the kernel's headers are not installed")
    known = {
        "x86_64": dict(re.findall(r"#define __NR_(\w+)\s+(\d+)", here.read_text())),
        "aarch64": dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", there.read_text())),
    }
    known["aarch64"]["newfstatat"] = known["aarch64"].pop("fstatat")
    text = Path(permitted.__file__).read_text()
    lines = re.findall(r"(\w+) (\d+|-) (\d+|-)(?=[,\n])", text)
    assert len(lines) > 170
    for name, *numbers in lines:
        for machine, number in zip(MACHINES, numbers, strict=True):
            if number != "-" and name != "fchmodat2":  # newer than many a header
                assert known[machine][name] == number, (machine, name)


def test_the_filter_is_short_enough() -> None:
    for machine in MACHINES:
        assert len(seccomp.program(machine, ME, attributes=True)) < 4096  # BPF_MAXINSNS


def test_it_is_put_up() -> None:
    """In a process of its own, which cannot take it down."""
    from onrecord.programs.tools.sandbox import kernel

    if not kernel.machine():
        pytest.skip("no table of calls for this machine")
    code = (
        "from onrecord.programs.tools.sandbox import seccomp; import os, sys\n"
        "seccomp.restrict(attributes=False)\n"
        "try: os.fork()\n"
        "except PermissionError: print('held', flush=True)\n"
        "os._exit(0)"
    )
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "held\n", done.stderr
