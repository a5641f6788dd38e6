"""What goes from the one who runs code to the launcher. Imported for its type only, inside."""

from __future__ import annotations

from typing import TypedDict


class Job(TypedDict):
    """What is to be run, and how. Sizes in bytes."""

    code: str
    files: dict[str, bytes]
    shown: list[tuple[str, str]]  # paths inside, and what they are outside
    folder: str  # one of those inside, or ""
    packages: list[str]  # some of those inside
    work: str  # a real folder to work in, for want of namespaces
    seconds: float
    memory: int
    disk: int
    may_lack: list[str]
    lacking: list[str]  # walls that are not even tried
