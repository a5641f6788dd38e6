"""The store that commands read: looking at records makes no folder, and a long wait is told."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from onrecord.cli.output import complain
from onrecord.settings import Settings

if TYPE_CHECKING:
    from onrecord.records.store import Store


def opened(*, fold: bool = True) -> Store:
    """The project's store, for reading. Where there is none yet, an empty one elsewhere stands in
    for it, which is gone when the command ends: who only looks leaves nothing behind."""
    from onrecord.records.store import Store

    settings = Settings.load()
    if not is_there(settings):
        elsewhere = tempfile.mkdtemp(prefix="onrecord-")
        atexit.register(shutil.rmtree, elsewhere, ignore_errors=True)
        settings = msgspec.structs.replace(settings, home=Path(elsewhere))
    with told_waiting():
        return Store.open(settings, fold=fold)


def is_there(settings: Settings) -> bool:
    """Whether a project has any records, or a place for them."""
    return bool(settings.store) or settings.home.exists()


@contextmanager
def told_waiting() -> Iterator[None]:
    """Say so where the block takes longer than anybody waits for without asking why."""
    timer = threading.Timer(_SECONDS, complain, [_STILL])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


_SECONDS = 2.0
_STILL = "waiting for another process that writes the records, or for a long journal to be read …"
