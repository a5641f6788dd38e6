"""What every server that is a process of its own needs: a port, patience, and an end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


class ServerFailed(Exception):
    """A server of the tests ended, or did not answer in time; its log stands in the message."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    command: list[str], log: Path, ending: signal.Signals, **options: Any
) -> subprocess.Popen[bytes]:
    """A process in a group of its own, whose output goes to `log`; `options` are Popen's.

    On Linux it also gets the signal `ending` when the test run itself is killed.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [*leash(ending), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **options,
        )


def wait_until_up(
    process: subprocess.Popen[bytes], answers: Callable[[], bool], log: Path, *, seconds: float = 90
) -> None:
    """Return when `answers()` is true.

    Raises:
        ServerFailed: the process ended first, or `seconds` have passed.
    """
    limit = time.monotonic() + seconds
    while not answers():
        if process.poll() is not None or time.monotonic() > limit:
            raise ServerFailed(f"{process.args!r} did not come up:\n{log.read_text()[-4000:]}")
        time.sleep(0.02)


def stop(process: subprocess.Popen[bytes], ending: signal.Signals) -> None:
    """Send `ending`, wait, and leave nothing of the process group behind."""
    with suppress(ProcessLookupError):
        process.send_signal(ending)
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def leash(ending: signal.Signals) -> list[str]:
    """What makes a command end with its parent: util-linux's `setpriv`, nothing where it is not."""
    command = ["setpriv", "--pdeathsig", ending.name.removeprefix("SIG")]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return command
