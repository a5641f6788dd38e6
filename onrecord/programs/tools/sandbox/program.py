"""Runs the model's code, in the process that is walled in for it.

The walls are put up first, each for good, then the code runs as a script does. The value of its
last expression goes to the supervisor, through a pipe that the code may write to as well: it is the
model's word, like all that is printed.
"""

# pathlib would take longer to import than all that is done here.
# ruff: noqa: PTH103, PTH120, PTH123, PTH211

from __future__ import annotations

import atexit
import builtins
import os
import sys

from onrecord.programs.tools.sandbox import kernel, landlock, limits, namespaces, seccomp

TYPE_CHECKING = False  # see launcher: typing and collections take long to import
if TYPE_CHECKING:
    from collections.abc import Callable

    from onrecord.programs.tools.sandbox.job import Job

NAME = "<python>"
MEMORY, VALUE = b"M", b"V"
_ONLY_TREE = 0x400  # ast.PyCF_ONLY_AST; importing ast takes a while


class Lacking(Exception):
    """A wall that this machine does not have."""

    def __init__(self, layer: str, error: OSError) -> None:
        super().__init__(f"{layer} {error.strerror or error}")


def put(layer: str, wall: Callable[[], object]) -> None:
    """Put up a wall. Raises Lacking."""
    try:
        wall()
    except OSError as error:
        raise Lacking(layer, error) from None


def wall_in(job: Job, lacking: list[str], work: str) -> None:
    """Put up all walls around this process. Raises Lacking."""
    apart = "namespaces" not in lacking
    os.umask(0o077)
    user = namespaces.NOBODY if apart or limits.can_be_nobody() else os.getuid()
    if not apart and user != os.getuid():
        os.chown(work, user, user)
    put("limits", lambda: limits.become(user))
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)  # after the user: a new one would take it back
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    os.chdir(work)
    os.environ["HOME"] = os.environ["TMPDIR"] = work
    shown = [inside if apart else real for inside, real in job["shown"]]
    if "landlock" not in lacking:
        put("landlock", lambda: landlock.restrict(shown, [work, "/dev/null"]))
    memory, seconds, disk = job["memory"], job["seconds"], job["disk"]
    put("limits", lambda: limits.limit(memory=memory, seconds=seconds, disk=disk, alone=apart))
    if "seccomp" not in lacking:
        put("seccomp", lambda: seccomp.restrict(attributes=apart))


def settle(job: Job, apart: bool) -> None:
    """Put what the code finds in its folder there, and what it imports on its path."""
    places = {inside: inside if apart else real for inside, real in job["shown"]}
    if job["folder"]:
        os.symlink(places[job["folder"]], "input")
    for name, data in job["files"].items():
        if folder := os.path.dirname(name):
            os.makedirs(folder, exist_ok=True)
        with open(name, "wb") as file:
            file.write(data)
    for name in [each for each in sys.modules if each.split(".")[0] == "onrecord"]:
        del sys.modules[name]
    sys.path[:] = ["", *sys.path, *(places[each] for each in job["packages"])]
    sys.argv[:] = [NAME]
    sys.dont_write_bytecode = True
    for name in ("exit", "quit"):  # as the module site has it, which was not run
        setattr(builtins, name, sys.exit)


def run(code: str, tell: Callable[[bytes], object]) -> None:
    """Run the code and end this process: as a script that consists of it would."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]  # they are TextIOWrappers
    main = type(sys)("__main__")
    sys.modules["__main__"] = main
    status = 0
    try:
        value = _value(code, main.__dict__)
        if value is not None:
            tell(VALUE + repr(value).encode("utf-8", "backslashreplace"))
    except SystemExit as error:
        status = _status(error.code)
    except BaseException as error:
        status = 1
        if isinstance(error, MemoryError):
            tell(MEMORY)
        _show(error, code)
    _end(status)


def _value(code: str, names: dict[str, object]) -> object:
    """Run the code; what its last line is worth, if that is an expression."""
    tree = compile(code, NAME, "exec", _ONLY_TREE, True)
    last = tree.body[-1:]
    if not last or type(last[0]).__name__ != "Expr":
        exec(compile(tree, NAME, "exec", 0, True), names)
        return None
    del tree.body[-1]
    import _ast

    exec(compile(tree, NAME, "exec", 0, True), names)
    return eval(compile(_ast.Expression(last[0].value), NAME, "eval", 0, True), names)


def _status(code: object) -> int:
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)  # noqa: T201  # as Python does
    return 1


def _show(error: BaseException, code: str) -> None:
    """Print what went wrong, with the lines of the code and none of this module's."""
    try:
        import linecache
        import traceback

        linecache.cache[NAME] = (len(code), None, code.splitlines(True), NAME)
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != NAME:
            trace = trace.tb_next
        traceback.print_exception(type(error), error, trace)
    except BaseException:
        os.write(2, type(error).__name__.encode() + b"\n")


def _end(status: int) -> None:
    """End as an interpreter does: threads are waited for, exit functions run. The frames of the
    launcher, of which this process is a copy, are not returned to."""
    try:
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(status)
