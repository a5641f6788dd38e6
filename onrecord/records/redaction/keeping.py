"""What is kept of a call: nothing that the settings remove reaches the journal, or the disk."""

from __future__ import annotations

import atexit
from collections.abc import Callable

import msgspec

from onrecord.records.frames import NOTHING, Body, Source
from onrecord.records.journal import Journal
from onrecord.records.record import pack, question_key, unpacked
from onrecord.records.redaction.redactor import Redactor, pseudonym_key
from onrecord.settings import Settings


class Keeper:
    """The journal of a project, and the rules for what goes into it."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self.home = home = settings.home
        self.settings = settings
        self.journal = journal
        self.write = journal.append
        self._redactor = Redactor(
            settings.redact, settings.redact_fields, key=lambda: pseudonym_key(home)
        )
        self._bodies = settings.bodies
        self._largest = int(settings.max_body_mb * 1e6)
        self._sources: set[str] = set()
        self._tags: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.attend: Callable[[], None] = lambda: None
        """Called at every call that starts: see folding/thread.py."""

    def body(self, packed: bytes) -> tuple[Body, bool]:
        """What is kept of a packed value, and whether that is less than all of it."""
        if not self._bodies:
            return NOTHING, True
        if len(packed) > self._largest:
            return msgspec.Raw(pack(f"<{len(packed):,} bytes, not kept: max_body_mb>")), True
        if not self._redactor.suspicious(packed):
            return msgspec.Raw(packed), False
        redacted, changes = self._redactor.redact(unpacked(packed))
        return msgspec.Raw(pack(redacted) if changes else packed), changes > 0

    def key(
        self, kind: str, name: str, version: str, packed: bytes, also: object, changed: bool
    ) -> str:
        """The key of a call whose packed input was `changed` by `body`, or not.

        Where something was removed, nobody without the project's secret shall find it by trying
        inputs until the key is right.
        """
        if changed:
            also = (also, self._redactor.secret)
        return question_key(kind, name, version, packed, also)

    def tags(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        """What is kept of tags. User, session and tenant are kept as they are: they say whose
        records are to be found, and erased."""
        if tags not in self._tags:
            if len(self._tags) == _TAGS:
                self._tags.clear()
            self._tags[tags] = tuple(self._redactor.redact_text(tag)[0] for tag in tags)
        return self._tags[tags]

    def text(self, text: str) -> str:
        """What is kept of a text that is no body: an error's message."""
        if len(text) > self._largest:
            text = f"{text[: self._largest]}…"
        return self._redactor.redact_text(text)[0] if self._bodies else text.partition(":")[0]

    def source(self, version: str, text: str) -> None:
        """Keep the code that a version stands for, once a process."""
        if version in self._sources or not self._bodies:
            return
        if self.write(Source(version, self.text(text))):
            self._sources.add(version)


def journal_of(settings: Settings) -> Journal:
    """The journal of a project, closed when the process ends."""
    # Half of the room is for segments that are folded already: the store is rebuilt from them.
    room = int(settings.journal_mb * 1e6) // 2
    journal = Journal(settings.home / "journal", room=room, fsync=settings.fsync)
    atexit.register(journal.close)  # what was lost is still to be told
    return journal


_TAGS = 1000
