"""The process outside of the walls that starts the sandbox, watches over it, and ends it.

It reads a job from its standard input, which stays open: when that ends, whoever wanted the result
is gone, and the sandbox with it. Its output is the program's; what it has to say itself goes to its
standard error, as one line and what the program gave:

    ended STATUS STOPPED LACKING...     `STOPPED` is -, time or disk
    lacks LAYER WORDS                   this machine cannot put up a wall, and it is not given up
"""

from __future__ import annotations

import marshal
import os
import select
import time

from onrecord.programs.tools.sandbox import limits, namespaces, supervisor

TYPE_CHECKING = False  # typing and collections take longer to import than all the rest here
if TYPE_CHECKING:
    from onrecord.programs.tools.sandbox.job import Job


def main() -> None:
    """Run the job that comes in. It is called by nobody else than a fresh interpreter."""
    length = int.from_bytes(_exactly(8), "little")
    job: Job = marshal.loads(_exactly(length))
    limits.forget_groups()
    lacking = job["lacking"]
    while True:
        said, stopped = _attempt(job, lacking)
        head, _, value = said.partition(b"\n")
        kind, _, rest = head.partition(b" ")
        layer = rest.partition(b" ")[0].decode()
        if kind != b"lacks" or layer not in job["may_lack"] or layer in lacking:
            break
        lacking.append(layer)
    if kind != b"lacks":
        names = " ".join([(rest or b"-9").decode(), stopped or "-", *lacking])
        said = f"ended {names}\n".encode() + value
    while said:
        said = said[os.write(2, said) :]
    if "namespaces" in lacking:
        os.killpg(0, 9)  # whatever is left, this process too


def _attempt(job: Job, lacking: list[str]) -> tuple[bytes, str]:
    """What the supervisor says at the end, and why it was stopped, if it was."""
    told, tell = os.pipe()
    wait, go = os.pipe()
    apart = "namespaces" not in lacking
    try:
        child = namespaces.fork() if apart else os.fork()
    except OSError as error:
        return f"lacks namespaces {error.strerror}\n".encode(), ""
    if child == 0:
        os.close(told)
        os.close(go)
        supervisor.supervise(job, lacking, wait, tell)
    os.close(tell)
    os.close(wait)
    try:
        if apart:
            namespaces.name_users(child)
        os.write(go, b"!")
        return _watch(told, time.monotonic() + job["seconds"], "" if apart else job["work"], job)
    except OSError as error:
        return f"lacks namespaces {error}\n".encode(), ""
    finally:
        os.close(go)
        os.close(told)
        os.kill(child, 9)
        os.waitpid(child, 0)


def _watch(told: int, deadline: float, folder: str, job: Job) -> tuple[bytes, str]:
    """Wait for the end, or bring it about by coming back. A folder on a real disk is looked at
    meanwhile: nothing else limits what is in it."""
    poll, said = select.poll(), b""
    poll.register(0, 0)  # an end of it is always reported
    poll.register(told, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return said, "time"
        if folder and _is_full(folder, job["disk"]):
            return said, "disk"
        for number, _ in poll.poll(1000 * (min(left, _LOOKED_AT) if folder else left) + 1):
            if number == 0:
                return said, "time"
            more = os.read(told, 1 << 17)
            if not more:
                return said, ""
            said += more


def _is_full(folder: str, most: int) -> bool:
    """Whether a folder holds more bytes than allowed, or more names."""
    used, folders, names = 0, [folder], 0
    while folders:
        try:
            entries = os.scandir(folders.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                names += 1
                try:
                    used += entry.stat(follow_symlinks=False).st_blocks * 512
                except OSError:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                if used > most or names > _NAMES:
                    return True
    return False


def _exactly(length: int) -> bytes:
    read = b""
    while len(read) < length:
        more = os.read(0, min(length - len(read), 1 << 20))
        if not more:
            os._exit(1)
        read += more
    return read


_LOOKED_AT, _NAMES = 0.1, 10_000
