"""Starts the sandbox, and reads what it says: with bounds, and without blocking the event loop."""

from __future__ import annotations

import asyncio
import marshal
import os
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from onrecord.errors import UsageError
from onrecord.threads import in_thread

if TYPE_CHECKING:
    from onrecord.programs.tools.sandbox.job import Job

Stopped = Literal["time", "memory", "disk", "output"]


class Ended(NamedTuple):
    """How a program ended: what it printed (its errors too), its exit status (less than 0: the
    signal that ended it), why it was stopped if it was (time, memory, disk, output), the value of
    its last line, and the walls that it ran without."""

    output: str
    is_cut: bool
    status: int
    stopped: Stopped | None
    value: str | None
    lacking: tuple[str, ...]


async def run(job: Job, most: int) -> Ended:
    """Run a job; `most`: how many bytes of its output are kept. Whoever is cancelled ends it.
    Raises UsageError where this machine cannot put up a wall that the job may not lack."""
    async with _work(job) as ready, _process() as process:
        assert process.stdin and process.stdout and process.stderr
        given = marshal.dumps(dict(ready))
        printed = asyncio.ensure_future(_read(process, process.stdout, Kept(most)))
        said = asyncio.ensure_future(_read(process, process.stderr, Kept(_REPORT)))
        try:
            with suppress(ConnectionError):  # its end says why
                process.stdin.write(len(given).to_bytes(8, "little") + given)
                await process.stdin.drain()
            async with asyncio.timeout(job["seconds"] + _LATE):
                report = await said
                output = await printed
        except TimeoutError:  # the launcher itself did not get to it
            return Ended("", True, -9, "time", None, ())
        finally:
            _kill(process)
            for reading in (printed, said):
                reading.cancel()
            await asyncio.gather(printed, said, return_exceptions=True)
    return _ended(report, output, most)


class Kept:
    """The beginning and the end of a stream: all of it, if it is no longer than `most` bytes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.seen = 0
        self._head = b""
        self._tail: deque[bytes] = deque()
        self._held = 0

    def add(self, data: bytes) -> None:
        """Take what comes next."""
        self.seen += len(data)
        free = self.most // 2 - len(self._head)
        if free > 0:
            self._head += data[:free]
            data = data[free:]
        self._tail.append(data)
        self._held += len(data)
        while self._held - len(self._tail[0]) >= self.most - self.most // 2:
            self._held -= len(self._tail.popleft())

    @property
    def is_cut(self) -> bool:
        """Whether something was left out."""
        return self.seen > self.most

    def data(self) -> bytes:
        """What was kept, with words about what was not between."""
        tail = b"".join(self._tail)
        if not self.is_cut:
            return self._head + tail
        tail = tail[len(tail) - (self.most - self.most // 2) :]
        return self._head + b"\n[... %d bytes left out ...]\n" % (self.seen - self.most) + tail


async def _read(
    process: asyncio.subprocess.Process, stream: asyncio.StreamReader, kept: Kept
) -> Kept:
    """Read a stream to its end; end a program that floods it."""
    while data := await stream.read(1 << 16):
        kept.add(data)
        if kept.seen > kept.most + _FLOOD:
            _kill(process)  # and read on: what it has still in the pipe
    return kept


def _ended(report: Kept, output: Kept, most: int) -> Ended:
    text = output.data().decode("utf-8", "replace")
    if output.seen > output.most + _FLOOD:
        return Ended(text, True, -9, "output", None, ())
    head, _, rest = report.data().partition(b"\n")
    kind, *words = head.decode("utf-8", "replace").split(" ")
    if kind != "ended":
        raise _refused(words, report.data().decode("utf-8", "replace"))
    status, stopped, *lacking = words
    value, flag = rest[1:], rest[:1]
    shown = value[:most].decode("utf-8", "replace") if flag == b"V" else None
    return Ended(
        text,
        output.is_cut or len(value) > most or len(rest) >= _VALUE,
        int(status),
        _limit(stopped, int(status), flag),
        shown,
        tuple(lacking),
    )


def _limit(stopped: str, status: int, flag: bytes) -> Stopped | None:
    if stopped == "time" or status == -signal.SIGXCPU:
        return "time"
    if stopped == "disk":
        return "disk"
    return "memory" if flag == b"M" else None


def _refused(words: list[str], report: str) -> UsageError:
    layer, why = words[0] if words else "", " ".join(words[1:])
    if layer in CURES:
        return UsageError(
            f"this machine cannot run code that a model wrote in a full sandbox: it lacks {layer} "
            f"({why})",
            cure=f"{CURES[layer]} Or do without: python(may_lack=[{layer!r}]); the docstring says "
            "what this gives up.",
        )
    return UsageError(
        f"the sandbox could not be set up: {report.strip()[:500]}",
        cure="Look at what it says: the interpreter and its folders have to be readable.",
    )


CURES = {
    "namespaces": "Allow user namespaces (sysctl user.max_user_namespaces, "
    "kernel.apparmor_restrict_unprivileged_userns=0; in a container, its seccomp profile).",
    "landlock": "Use Linux 5.13 or newer with landlock among its security modules (lsm=).",
    "seccomp": "Use Linux on x86_64 or aarch64, with seccomp filters.",
}
"""What can be lacking, and how a machine gets it."""


@asynccontextmanager
async def _process() -> AsyncIterator[asyncio.subprocess.Process]:
    """The launcher, which is ended with all that it has started when it is left."""
    process = await asyncio.create_subprocess_exec(
        *_command(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        cwd="/",
        env=_environment(),
    )
    try:
        yield process
    finally:
        _kill(process)
        with suppress(TimeoutError):  # a process that a missing wall has let go holds the pipes
            async with asyncio.timeout(1):
                for stream in (process.stdout, process.stderr):
                    while stream and await stream.read(1 << 16):
                        pass  # some versions of Python wait until the pipes are at their end
        await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _command() -> list[str]:
    """A fresh interpreter that imports the launcher, and of Onrecord nothing else: the packages
    above it would be imported first, which takes a second, so it is given empty ones."""
    folder = Path(__file__).parent
    names = __name__.split(".")[:-2]
    folders = [str(each) for each in folder.parents][len(names) - 1 :: -1]
    bootstrap = (  # -I would also take PYTHONHASHSEED away
        "import sys\n"
        "for name, folder in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        "    sys.modules[name] = type(sys)(name)\n"
        "    sys.modules[name].__path__ = [folder]\n"
        "from onrecord.programs.tools.sandbox.launcher import main\n"
        "main()\n"
    )
    packages = [".".join(names[: at + 1]) for at in range(len(names))]
    pairs = [each for pair in zip(packages, folders, strict=True) for each in pair]
    options = ["-s", "-S", "-P", "-X", "utf8", *(["-B"] if sys.dont_write_bytecode else [])]
    return [_interpreter(), *options, "-c", bootstrap, *pairs]


def _interpreter() -> str:
    """The interpreter outside of any virtual environment."""
    found = getattr(sys, "_base_executable", None) or sys.executable
    if not found:
        raise UsageError(
            "the sandbox needs a Python that it can start, and this one is part of another program",
            cure="Run it with a plain interpreter.",
        )
    return str(found)


def _environment() -> dict[str, str]:
    """Nothing of this process's: there are keys in it."""
    one = {f"{each}_NUM_THREADS": "1" for each in ("OMP", "OPENBLAS", "MKL")}
    same = {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "TZ": "UTC", "MALLOC_ARENA_MAX": "2", **one}
    libraries = os.environ.get("LD_LIBRARY_PATH")
    return {**same, "LD_LIBRARY_PATH": libraries} if libraries else same


@asynccontextmanager
async def _work(job: Job) -> AsyncIterator[Job]:
    """With a folder on the disk to work in, where there may be none in memory."""
    if "namespaces" not in (*job["may_lack"], *job["lacking"]):
        yield job
        return
    folder = await in_thread(_folder)
    try:
        yield {**job, "work": folder}
    finally:
        await in_thread(_remove, folder)


def _folder() -> str:
    return str(Path(tempfile.mkdtemp(prefix="onrecord-python-")).resolve())


def _remove(folder: str) -> None:
    """All processes that could write in it have ended."""
    for place, folders, _ in os.walk(folder):
        for name in folders:
            inner = Path(place, name)
            if not inner.is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


_FLOOD = 16 << 20
"""Bytes that a program may print and nobody keeps; then it is ended."""
_LATE, _REPORT, _VALUE = 10.0, 1 << 18, 1 << 16
