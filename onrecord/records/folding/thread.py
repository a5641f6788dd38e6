"""The thread that folds: while calls are made, it brings the journal into the store."""

from __future__ import annotations

import atexit
import logging
import math
import os
import threading
import time
from collections.abc import Callable

from onrecord.settings import Settings


class Attendant:
    """Folds the journal of a project in a thread of its own, for as long as there are calls.

    The thread begins with the first call, ends when a while passed without one, and begins again.
    A store that cannot be reached is told of once and tried again, less and less often: the journal
    holds what it missed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._calls = False  # since the last look
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        os.register_at_fork(after_in_child=self._begin_anew)

    def attend(self) -> None:
        """A call started. Costs next to nothing while the thread lives."""
        self._calls = True
        if self._thread is None:
            self._begin()

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(
                    target=self._work, name="onrecord-fold", daemon=True
                )
                self._thread.start()
                atexit.register(self._end, self._thread)

    def _begin_anew(self) -> None:
        # A forked child has none of its parent's threads.
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread, self._calls = None, False

    def _end(self, thread: threading.Thread) -> None:
        """At the interpreter's end: let a fold that is under way finish its batch."""
        self._stop.set()
        thread.join(timeout=_PATIENCE)

    def _work(self) -> None:
        wait, idle, failed_at = self._settings.fold_seconds, 0, -math.inf
        while not self._stop.wait(wait):
            busy, self._calls = self._calls, False
            idle = 0 if busy else idle + 1
            try:
                _fold(self._settings, self._stop.is_set)
                wait = self._settings.fold_seconds
            except Exception as error:  # whatever is wrong with the store, the calls go on
                now = time.monotonic()
                if now - failed_at > _CALM:  # a store that comes and goes is told of once
                    _log.warning("records stay in the journal for now: %s", error)
                wait, failed_at, idle = min(2 * wait, _LONGEST_WAIT), now, 0
            if idle >= _IDLE:
                with self._lock:
                    if not self._calls:
                        self._thread = None
                        atexit.unregister(self._end)
                        return


def _fold(settings: Settings, stopped: Callable[[], bool]) -> None:
    if not (settings.home / "journal").is_dir():  # the project is gone
        return
    from onrecord.records.store import Store

    store = Store.open(settings, fold=False)
    try:
        if not store.read_only:  # else the journal has said so
            store.fold(wait=False, stopped=stopped)
    finally:
        store.close()


_PATIENCE = 5.0
_LONGEST_WAIT = 60.0
_CALM = 5 * _LONGEST_WAIT  # without a failure: the next one is told of again
_IDLE = 3
_log = logging.getLogger("onrecord")
