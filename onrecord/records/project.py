"""What holds in the working folder: its settings, and who keeps what is called there."""

from __future__ import annotations

import functools
import os
import threading
from pathlib import Path

from onrecord.records.folding.thread import Attendant
from onrecord.records.journal import Journal
from onrecord.records.redaction.keeping import Keeper, journal_of
from onrecord.settings import Settings


def settings_here() -> Settings:
    """The settings that hold in the working folder, read once a process and folder."""
    return _settings(os.getcwd(), *map(os.environb.get, _VARIABLES))  # noqa: PTH109  # twice as fast


def keeper_here() -> Keeper | None:
    """Who keeps what is called in the working folder; None where nothing is recorded."""
    # Asked for at every outermost call: these are all that the answer depends on, except for
    # onrecord.toml, which is read once a process and folder.
    return _keeper(os.getcwd(), *map(os.environb.get, _VARIABLES))  # noqa: PTH109  # twice as fast


_VARIABLES = (b"ONRECORD_HOME", b"ONRECORD_RECORD")


_journals: dict[Path, Journal] = {}


_journals_lock = threading.RLock()  # a signal's handler may make a call, too


@functools.lru_cache(maxsize=64)
def _settings(folder: str, *variables: bytes | None) -> Settings:
    return Settings.load(Path(folder))


@functools.lru_cache(maxsize=64)
def _keeper(folder: str, *variables: bytes | None) -> Keeper | None:
    settings = _settings(folder, *variables)
    if not settings.record:
        return None
    with _journals_lock:  # one writer a process and home; each project has rules of its own
        journal = _journals.get(settings.home)
        if journal is None:
            journal = _journals.setdefault(settings.home, journal_of(settings))
        elif settings.fsync:  # what one project of a home asks for holds for all of them
            journal.fsync = True
    keeper = Keeper(settings, journal)
    if settings.fold_seconds > 0:
        keeper.attend = Attendant(settings).attend
    return keeper
