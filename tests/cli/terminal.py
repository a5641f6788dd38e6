"""What a command shows on a terminal of so many columns."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import suppress


def on_terminal(columns: int, *arguments: object) -> list[str]:
    """The lines that `onrecord` writes to a terminal; those for standard error are left out.

    Raises AssertionError for a command that fails.
    """
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "onrecord", *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=its, stdout=its, stderr=subprocess.DEVNULL, env=environment
    ) as done:
        os.close(its)
        drawn = b""
        with suppress(OSError):  # Linux's way to say that nobody holds the other end any more
            while some := os.read(mine, 65536):
                drawn += some
    os.close(mine)
    assert done.returncode == 0, drawn
    return drawn.decode().split("\r\n")
