"""The tool `python`: a model runs code that it wrote, in a sandbox."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec

from onrecord.arguments import several
from onrecord.errors import UsageError
from onrecord.programs.tool import Approve, Tool, checked_name, tool
from onrecord.programs.tools.sandbox import readable, running
from onrecord.programs.tools.sandbox.job import Job
from onrecord.programs.tools.sandbox.running import Stopped

Layer = Literal["namespaces", "landlock", "seccomp"]


class PythonResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of code that ran.

    `output` is all that it printed, errors too, in order; `cut` says that some was left out of it
    or of `value`: the value of the code's last line as Python shows it, None where that is no
    expression. `exit_status`: 0 where it went well, else that of the script; less than 0, the
    signal that ended it. `stopped`: the limit that it met. `lacking`: the walls that this machine
    did not have, and that the tool was told to do without.
    """

    output: str
    exit_status: int
    value: str | None = None
    stopped: Stopped | None = None
    cut: bool = False
    lacking: tuple[str, ...] = ()


def python(
    *,
    seconds: float = 10.0,
    memory_mb: int = 512,
    disk_mb: int = 64,
    max_output: int = 20_000,
    packages: bool = False,
    files: Mapping[str, str | bytes] | None = None,
    folder: str | Path | None = None,
    may_lack: Sequence[Layer] = (),
    approve: Approve = False,
    name: str = "python",
) -> Tool[[str], PythonResult]:
    """A tool with which a model runs Python code that it wrote, in a sandbox: a process of its own
    that sees nothing of this one, of the files and of the network. Linux only.

        compute = on.tools.python(seconds=5, files={"sales.csv": text})
        result = await compute("print(1 + 1)")

    Each call is a fresh interpreter (the same version as this one), with an empty folder in memory
    to work in (`disk_mb`, 10,000 files at most) and nothing left of it afterwards. It gets the
    standard library; with `packages=True` what is installed beside Onrecord too, to be read only
    (what is installed in place, as `pip install -e` does, is not there). `files` are put into its
    folder by their names; `folder` can be read as `input`. Where this process is root, the program
    is not, and reads no file that is for root only.

    Limits: `seconds` of time, and of one processor; `memory_mb` of addresses; 64 threads;
    `max_output` bytes of what it prints are kept, the beginning and the end, and beyond 16 MiB it
    is ended. All of it ends with the call, also where that is cancelled.

    The walls. Each of the first two shuts off files and network by itself; where this machine lacks
    one, the tool raises UsageError unless `may_lack` names it, and the result then says so.

    - "namespaces": users, processes, network, mounts of its own. The program sees its own folder,
      the standard library, the libraries of the system, the time zones, `/dev/null` and
      `/dev/urandom`; no `/etc`, no `/proc`, no home. Without it: it can ask whether a path exists,
      how large and how old it is; it works in a folder on the real disk, whose size is looked at
      ten times a second; and where the interpreter is in root's own folder, it stays root without
      any capability, whose threads only the memory limits.
    - "landlock": the same files, and nothing else, can be opened; no TCP, no signals to processes
      outside. Without both of these, the program reads and writes what the user can.
    - "seccomp": no new processes and no other programs, no sockets, no signals to other processes,
      no tracing, no mounts; of about 460 system calls 180 are left. Without it: it can start
      processes, which the namespaces end with the call; without both, they can go on after it.

    What it does NOT protect against: an error in the kernel (it is shared; for code of people who
    are out to break it, run Onrecord itself in a virtual machine); what the program learns from
    timing and load of the machine, its kernel and processor, the time, the memory in use and the
    real names of the folders that it is shown; the use of processor and memory up to the limits, by
    each of many calls at once (a program can hold `memory_mb`, and `disk_mb` more in its folder);
    and what is done with its result: that is a model's word, whatever it says, and so is `value`.
    The code is on record like every input.

    Raises UsageError for options that are none, and where this is not Linux.
    """
    if sys.platform != "linux":
        raise UsageError(
            "the tool python needs Linux: its sandbox is built of namespaces, Landlock and seccomp",
            cure="Run the application in a Linux container or virtual machine.",
        )
    job = _job(seconds, memory_mb, disk_mb)
    job["may_lack"] = _layers(may_lack)
    _number("max_output", max_output, 100)
    if packages:
        inside = {f"/packages/{at}": path for at, path in enumerate(readable.packages())}
        job["shown"] += inside.items()
        job["packages"] = list(inside)
    if folder is not None:
        job["shown"].append(("/input", _folder(folder)))
        job["folder"] = "/input"
    job["files"] = _files(files or {}, disk_mb << 20)

    async def run(code: str) -> PythonResult:
        done = await running.run({**job, "code": code, "lacking": []}, max_output)
        return PythonResult(
            done.output, done.status, done.value, done.stopped, done.is_cut, done.lacking
        )

    run.__name__ = run.__qualname__ = checked_name(name)
    run.__doc__ = _said(job, packages)
    run.__annotations__["code"] = Annotated[str, "A whole script"]
    return tool(approve=approve)(run)


def _job(seconds: float, memory_mb: int, disk_mb: int) -> Job:
    _number("seconds", seconds, 0.1)
    _number("memory_mb", memory_mb, 64)
    _number("disk_mb", disk_mb, 1)
    return {
        "code": "",
        "files": {},
        "shown": [(path, path) for path in readable.interpreter()],
        "folder": "",
        "packages": [],
        "work": "",
        "seconds": float(seconds),
        "memory": memory_mb << 20,
        "disk": disk_mb << 20,
        "may_lack": [],
        "lacking": [],
    }


def _number(name: str, value: object, least: float) -> None:
    kind = float if name == "seconds" else int
    if isinstance(value, bool) or not isinstance(value, int | kind) or not least <= value < 1e9:
        raise UsageError(f"{name}={value!r:.40} cannot be", cure=f"Give a number from {least:g}.")


def _layers(given: Sequence[str]) -> list[str]:
    found = list(several(given, "may_lack: these"))
    if unknown := [each for each in found if each not in running.CURES]:
        raise UsageError(
            f"may_lack: {unknown[0]!r:.40} is no wall of the sandbox",
            cure=f"These are: {', '.join(running.CURES)}.",
        )
    return found


def _folder(given: str | Path) -> str:
    path = Path(given).resolve()
    if not path.is_dir():
        raise UsageError("the folder for a program to read is not there", where=str(path))
    others = path.stat().st_mode & 0o005
    if os.geteuid() == 0 and others != 0o005:
        raise UsageError(
            "this process is root, the program in the sandbox is not, and may not read the folder",
            where=str(path),
            cure=f"chmod -R o+rX {path}",
        )
    return str(path)


def _files(given: Mapping[str, str | bytes], most: int) -> dict[str, bytes]:
    found = {}
    for name, content in given.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
            raise UsageError(f"files: {name!r:.80} is no name of a file in the program's folder")
        if not isinstance(content, str | bytes):
            raise UsageError(f"files: {name!r:.80} is {type(content).__name__}, not str or bytes")
        found[str(path)] = content.encode() if isinstance(content, str) else content
    if sum(map(len, found.values())) > most:
        raise UsageError(f"files: they are larger than disk_mb={most >> 20} allows")
    return found


def _said(job: Job, packages: bool) -> str:
    """What the model reads."""
    version = ".".join(map(str, sys.version_info[:2]))
    names = sorted(job["files"])
    have = [f"The working folder holds {', '.join(names[:20])}."] if names else []
    have += ["Files to read are in the folder `input`."] if job["folder"] else []
    libraries = "and the packages installed here" if packages else "only"
    return " ".join(
        [
            f"Run Python {version} code and get what it prints, and the value of its last line.",
            "Every call starts afresh: no variable or file of an earlier one is left.",
            f"It has the standard library {libraries}; no network and no other programs.",
            *have,
            f"At most {job['seconds']:g} seconds and {job['memory'] >> 20} MB of memory.",
        ]
    )
