"""Debian's chromium, without a window: what a page comes to, as text and as a picture."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
needed = pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")
_SECONDS = 60


def dom(page: Path) -> str:
    """The document after the browser has read it, as HTML."""
    return _run(page, "--dump-dom")


def picture(page: Path, into: Path, *, width: int = 900, height: int = 1200) -> Path:
    """The page as a PNG file."""
    _run(page, f"--window-size={width},{height}", f"--screenshot={into}")
    return into


def _run(page: Path, *flags: str) -> str:
    """Its output goes to a file: its children outlive it for a while, and would hold a pipe."""
    said = page.with_suffix(".said")
    command = [str(PROGRAM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-dev-shm-usage", f"--user-data-dir={page.with_suffix('.profile')}"]
    with said.open("wb") as out:
        process = subprocess.Popen(
            [*command, *flags, page.as_uri()],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return said.read_text("utf-8", "replace")
