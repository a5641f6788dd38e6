"""`cached(model)`: a model that is asked only what is not on record yet.

There is no cache beside the records: an answer is the output of an earlier call with an equal key,
and the key holds everything that determines it (model, its version and parameters, the messages,
and with them the prompt's text and the passages of the index). A hit is a record of its own, which
names its source and costs nothing.

    look the key up -> found: give it again, as a stream
                    -> not found: take the key's lock, look again, else ask the model

The lock makes concurrent equal calls one request, in all tasks, threads and processes of a project.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import math
import os
import struct
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from onrecord.errors import StorageError, UsageError
from onrecord.messages import Completion, TextDelta, Usage
from onrecord.models.calling import complete
from onrecord.models.model import Event, Model, Request, pieces
from onrecord.models.names import model as model_named
from onrecord.models.wrappers.similar import Similarity, is_whole, similar_question
from onrecord.records.call import asked_key, current
from onrecord.records.ledger import in_time
from onrecord.records.record import Record, content_key
from onrecord.records.scope import here
from onrecord.settings import Settings

if TYPE_CHECKING:
    from onrecord.records.store import Store


class Cached:
    """A model whose answers on record are given again. Made by `cached`."""

    def __init__(
        self,
        model: str | Model,
        seconds: float | None = None,
        everyone: bool = False,
        similar: Similarity | None = None,
    ) -> None:
        self.wrapped = (model_named(model),)
        self.name = f"cached:{self.wrapped[0].name}"
        self._seconds = seconds
        self._everyone = everyone
        self._similar = similar
        self._stores: dict[Path, Store] = {}
        self._told = False

    @property
    def version(self) -> str:
        """That of the model behind it."""
        return self.wrapped[0].version

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """The answer on record, streamed; else the model's. Raises ModelError and UsageError."""
        found: Record | None = None
        async with contextlib.AsyncExitStack() as held:
            try:
                async with in_time():  # whoever asks the same may take longer than we have
                    found = await self._known(request, held)
            except (StorageError, OSError) as error:  # the application goes on, and pays
                self._tell(error)
            if found is None:
                yield await complete(self.wrapped[0], request)
                return
        if (this := current()) is not None and this.start.name == self.name:
            this.source = found.id
        answer = msgspec.convert(found.output, Completion)
        for words in pieces(answer.text):
            yield TextDelta(words)
        yield msgspec.structs.replace(answer, usage=Usage(), cost=0)

    async def _known(self, request: Request, held: contextlib.AsyncExitStack) -> Record | None:
        """The answer on record; where there is none, the key's lock is held, to ask the model."""
        store = await asyncio.to_thread(self._store)
        if (found := await self._equal(store, request)) is not None:
            return found
        await held.enter_async_context(_alone(store.home, self._lock_key(request)))
        await asyncio.to_thread(store.fold)
        return await self._equal(store, request) or await self._like(store, request)

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            _log.warning("%s is asked without a look at the records: %s", self.name, error)

    def __repr__(self) -> str:
        return f"cached({self.wrapped[0]!r})"

    async def _equal(self, store: Store, request: Request) -> Record | None:
        """The answer on record to this very question."""
        whose = here()
        found = await asyncio.to_thread(
            store.find,
            self._key(request),
            "model",
            user=whose.user,
            tenant=whose.tenant,
            everyone=self._everyone,
            since_ns=self._since(),
        )
        return found if found is not None and is_whole(found) else None

    async def _like(self, store: Store, request: Request) -> Record | None:
        """The answer on record to a question that means the same."""
        if self._similar is None:
            return None
        return await similar_question(
            self._similar, store, self.wrapped[0], request, self._since(), self._everyone
        )

    def _since(self) -> int:
        return 0 if self._seconds is None else time.time_ns() - int(self._seconds * 1e9)

    def _key(self, request: Request) -> str:
        """The key under which the model itself is recorded when it answers."""
        model = self.wrapped[0]
        return asked_key("model", model.name, request, model.version, request.fences)

    def _lock_key(self, request: Request) -> str:
        whose = () if self._everyone else (here().user, here().tenant)
        return content_key(self._key(request), whose)

    def _store(self) -> Store:
        from onrecord.records.store import Store

        settings = Settings.load()
        if not (settings.record and settings.bodies):
            raise UsageError(
                "there is nothing to answer from: the records are the cache",
                where="the settings 'record' and 'bodies'",
                cure="Switch them on, or use the model without cached().",
            )
        if settings.home not in self._stores:
            self._stores[settings.home] = Store.open(settings)
        return self._stores[settings.home]


def cached(
    model: str | Model,
    *,
    ttl: float | timedelta | None = None,
    everyone: bool = False,
    similar: Similarity | None = None,
) -> Cached:
    """`model`, asked only what is not on record yet: `cached("openai:gpt-6-luna", ttl=3600)`.

    `ttl`: how old an answer may be, in seconds; None: any age. Answers are given only to the user
    and tenant they were made for (`on.context`), or to everybody with `everyone=True`. `similar`
    also gives the answer to a similar question; it has to be calibrated on labelled pairs first
    (`on.calibrate_similarity`). An answer that was cut off, or from which the rules of redaction
    removed something, is made again.
    """
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if seconds is not None and not (isinstance(seconds, int | float) and 0 < seconds < math.inf):
        raise UsageError(
            f"ttl={ttl!r} is no age of an answer", cure="Give ttl in seconds, above 0."
        )
    if similar is not None and not isinstance(similar, Similarity):
        raise UsageError(
            "a similar question is only as good as its threshold, and this one is not calibrated",
            cure="Measure it: similar = on.calibrate_similarity.run(pairs).",
        )
    return Cached(model, seconds, everyone, similar)


_log = logging.getLogger("onrecord")
_BYTE_LOCKS = sys.platform == "linux"
_HELD = (errno.EAGAIN, errno.EACCES)  # POSIX leaves it to the system which
_FIRST_WAIT, _LONGEST_WAIT = 0.002, 0.05


@contextlib.asynccontextmanager
async def _alone(home: Path, key: str) -> AsyncIterator[None]:
    """Hold a key's lock: one byte of one file, of which each key has its own."""
    # Where there are no such locks, keys that begin alike share a file, and wait for each other.
    name = "cached.lock" if _BYTE_LOCKS else f"cached-{key[:2]}.lock"
    file = os.open(home / name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        wait = _FIRST_WAIT
        while not _lock_byte(file, int(key[:15], 16)):
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        yield
    finally:
        os.close(file)


def _lock_byte(file: int, at: int) -> bool:
    # An "open file description" lock: it belongs to this `open`, so that it also tells apart the
    # tasks and threads of one process, and ends with it whatever happens.
    wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, at, 1, 0)
    try:
        if _BYTE_LOCKS:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _HELD:  # there are no such locks here: nobody will let go of one
            raise
        return False
    return True
