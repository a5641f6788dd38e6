"""The first process inside of the namespaces: builds the root, starts the program, waits for it.

When it ends, the kernel ends all that is left. What it has to say goes to the launcher.
"""

from __future__ import annotations

import os

from onrecord.programs.tools.sandbox import kernel, namespaces, program

TYPE_CHECKING = False  # see launcher: typing and collections take long to import
if TYPE_CHECKING:
    from typing import NoReturn

    from onrecord.programs.tools.sandbox.job import Job

WORK = "/sandbox"
_MOST = 1 << 16  # as much as a pipe holds


def supervise(job: Job, lacking: list[str], go: int, told: int) -> NoReturn:
    """Run the job's code in a process of its own, and tell how it ended."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
        if os.read(go, 1):  # or the launcher has ended
            os.close(go)
            _go(job, lacking, told)
    except program.Lacking as lack:
        os.write(told, f"lacks {lack}\n".encode())
    except BaseException as error:
        os.write(told, f"lacks setup {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(0)


def _go(job: Job, lacking: list[str], told: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(1, 2)
    work = job["work"]
    if "namespaces" not in lacking:
        work = WORK
        shown = dict(job["shown"])
        program.put("namespaces", lambda: namespaces.build_root(shown, work, job["disk"]))
    value, given = os.pipe()
    started = os.fork()
    if started == 0:
        os.set_blocking(given, False)
        _start(job, lacking, work, told, given)
    os.close(given)
    _, status = os.waitpid(started, 0)
    said = b""
    while len(said) < _MOST and (more := os.read(value, _MOST)):
        said += more
    os.write(told, b"ended %d\n" % os.waitstatus_to_exitcode(status) + said)


def _start(job: Job, lacking: list[str], work: str, told: int, given: int) -> NoReturn:
    try:
        program.wall_in(job, lacking, work)
        kept = sorted((told, given))
        os.closerange(3, kept[0])
        os.closerange(kept[0] + 1, kept[1])
        os.closerange(kept[1] + 1, 4096)
        program.settle(job, "namespaces" not in lacking)
    except program.Lacking as lack:
        os.write(told, f"lacks {lack}\n".encode())
        os._exit(1)
    except BaseException as error:
        os.write(told, f"lacks setup {type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os.close(told)
    program.run(job["code"], lambda said: os.write(given, said[:_MOST]))
    os._exit(1)
