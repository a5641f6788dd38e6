"""Requests that wait together for an `hf:` model are answered together.

One thread a model computes; it is there while there is work. What waits is taken in order: the
first request, and all others with equal decoding settings that fit beside it.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from onrecord.errors import ModelError
from onrecord.messages import TextDelta
from onrecord.models.transformers.decoding import Decoding
from onrecord.models.transformers.streaming import Answer

News = TextDelta | Answer | ModelError


class Job:
    """A request on its way through the worker: what to do, and where to say what came of it.

    `limit` is how many tokens the answer may have, `loop` the event loop of whoever waits;
    `logprobs` as in Parameters.
    """

    def __init__(
        self,
        ids: list[int],
        decoding: Decoding,
        limit: int,
        loop: asyncio.AbstractEventLoop,
        *,
        seed: int = 0,
        stop: tuple[str, ...] = (),
        logprobs: int | None = None,
    ) -> None:
        self.ids = ids
        self.decoding = decoding
        self.limit = limit
        self.seed = seed
        self.stop = stop
        self.logprobs = logprobs
        self.cancelled = False  # nobody waits any more
        self.batch = 1  # how many requests it was answered with, itself included
        self.news: asyncio.Queue[News] = asyncio.Queue()
        self._loop = loop

    def send(self, news: News) -> None:
        """Tell whoever waits. From any thread."""
        try:
            self._loop.call_soon_threadsafe(self.news.put_nowait, news)
        except RuntimeError:  # the loop was closed without waiting for its tasks
            self.cancelled = True


class Room(msgspec.Struct, frozen=True):
    """How much is computed at once: `rows` requests (a beam counts one), padded to at most `tokens`
    tokens together. `positions`: how long a padded row may get.
    """

    rows: int = 32
    tokens: int = 131_072
    positions: int | None = None

    def holds(self, jobs: Sequence[Job]) -> bool:
        """Whether these may be computed at once. A single one always may."""
        if len(jobs) == 1:
            return True
        prompt, limit = max(len(job.ids) for job in jobs), max(job.limit for job in jobs)
        rows = sum(job.decoding.num_beams for job in jobs)
        fits = self.positions is None or prompt + limit <= self.positions
        return fits and rows <= self.rows and rows * (prompt + limit) <= self.tokens


class Worker:
    """The thread that computes. `run` answers jobs, and never raises.

    `key` of two jobs is equal where they may be computed at once. Jobs that come within `wait`
    seconds of each other are taken as waiting together.
    """

    def __init__(
        self,
        run: Callable[[list[Job]], None],
        key: Callable[[Job], object],
        room: Room,
        wait: float = 0.003,
    ) -> None:
        self._run = run
        self._key = key
        self._room = room
        self._wait = wait
        self._waiting: deque[Job] = deque()
        self._now: list[Job] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        _WORKERS.add(self)

    def submit(self, job: Job) -> None:
        """Have a job computed. From any thread."""
        if self._closed:
            self._drop(job)
            return
        with self._changed:
            self._waiting.append(job)
            # Not alive either: the thread of a process that this one was forked from.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="hf", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """End what is computed, at its next token, and take nothing up any more."""
        self._closed = True
        for job in [*self._waiting, *self._now]:
            self._drop(job)
        with self._changed:
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_PATIENCE)

    def _drop(self, job: Job) -> None:
        job.cancelled = True
        job.send(ModelError("the model was closed", cure="Make it again to go on."))

    def _work(self) -> None:
        while not self._closed:
            with self._changed:
                if not self._waiting and not self._changed.wait(_IDLE):
                    self._thread = None  # under the lock: the next job starts another
                    return
                self._gather()
                self._now = self._take()
            if self._now:
                for job in self._now:
                    job.batch = len(self._now)
                self._run(self._now)
                self._now = []

    def _gather(self) -> None:
        """Wait while others come, each soon after the one before, and more would fit."""
        seen = 0
        while seen < len(self._waiting) < self._room.rows and not self._closed:
            seen = len(self._waiting)
            self._changed.wait(self._wait)

    def _take(self) -> list[Job]:
        batch: list[Job] = []
        left: deque[Job] = deque()
        for job in self._waiting:
            if job.cancelled:
                continue
            fits = not batch or (
                self._key(job) == self._key(batch[0]) and self._room.holds([*batch, job])
            )
            (batch if fits else left).append(job)
        self._waiting = left
        return batch


def _close_all() -> None:
    for worker in list(_WORKERS):
        worker.close()


# A thread inside torch while the interpreter goes away can bring the process down.
_WORKERS: weakref.WeakSet[Worker] = weakref.WeakSet()
atexit.register(_close_all)
_PATIENCE = 5.0
_IDLE = 10.0
