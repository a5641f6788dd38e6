"""What git knows of a prompt's file: each commit that changed it, and its text then.

Git is only asked to read, and a repository may be anybody's: no hook, pager, filter, external diff
or file-system monitor that its configuration names is run, and nothing is fetched. The user's own
configuration holds (it says which foreign repositories may be read at all).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple


class Commit(NamedTuple):
    """A commit that changed a file: `blob` is its content then, None where it was deleted."""

    id: str
    at_ns: int
    author: str
    subject: str
    blob: str | None


class Git:
    """The repository that a folder is in. `Git.around` finds it, or says why there is none."""

    def __init__(self, folder: Path, program: str) -> None:
        self._folder = folder
        self._program = program

    @classmethod
    def around(cls, folder: Path) -> Git | str:
        """The repository around a folder; a sentence where there is none that can be read."""
        program = shutil.which("git")
        if program is None:
            return "git is not installed"
        git = cls(folder, program)
        try:
            git._ask("rev-parse", "--is-inside-work-tree")
        except GitRefusal as error:
            return str(error)
        return git

    def commits(self, file: str) -> list[Commit]:
        """The commits that changed a file of the folder, newest first; through its renamings.

        Raises GitRefusal, whose text is git's own sentence.
        """
        return list(_commits(self._log("--follow", "--", file)))

    def commits_of(self, *files: str) -> list[str]:
        """The ids of the commits that changed one of these files, newest first."""
        return [each.id for each in _commits(self._log("--", *files))]

    def _log(self, *what: str) -> bytes:
        return self._ask(
            *("log", "--raw", "-z", "--no-abbrev", "--no-ext-diff", "--no-textconv"),
            *("--no-show-signature", f"--max-count={_MOST_COMMITS}", "-M"),
            *(f"--format={_FIELDS}", *what),
        )

    def texts(self, blobs: Sequence[str]) -> dict[str, str]:
        """The texts of blobs by their ids; those that are text, and not longer than a prompt is."""
        wanted = list(dict.fromkeys(blobs))
        if not wanted:
            return {}
        out = self._ask("cat-file", "--batch", input="\n".join(wanted).encode() + b"\n")
        found: dict[str, str] = {}
        at = 0
        while (end := out.find(b"\n", at)) >= 0:
            head = out[at:end].split()
            at = end + 1
            if len(head) != 3 or not head[2].isdigit():  # "… missing"
                continue
            content = out[at : at + int(head[2])]
            at += int(head[2]) + 1
            if len(content) <= _LONGEST:
                found[head[0].decode()] = decoded(content)
        return found

    def _ask(self, *arguments: str, input: bytes = b"") -> bytes:
        command = [self._program, "--no-pager", "--no-replace-objects", "--literal-pathspecs"]
        for setting in _HARMLESS:
            command += ["-c", setting]
        try:
            done = subprocess.run(
                [*command, *arguments],
                cwd=self._folder,
                env=_environment(),
                input=input,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise GitRefusal(f"git took longer than {_SECONDS} seconds") from None
        except OSError as error:
            raise GitRefusal(f"git cannot be run: {error.strerror or error}") from None
        if done.returncode != 0:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise GitRefusal(lines[0].removeprefix("fatal: ") if lines else "git failed")
        return done.stdout


class GitRefusal(Exception):
    """Git would not answer. Its text says why; whoever asked goes on without git, and says so."""


def decoded(content: bytes) -> str:
    """A file's bytes as the text that a prompt is read as; what is no UTF-8 is replaced."""
    return content.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")


def _commits(out: bytes) -> Iterator[Commit]:
    """The commits of `git log --raw -z`: four fields, then the changes. No field holds a NUL, which
    ends each of them; a change is followed by its path, or by two where a file was renamed."""
    fields = iter(out.split(b"\0"))
    found: list[bytes] = []
    blob: str | None = None
    for field in fields:
        words = field.strip().split(b" ")
        if len(words) == 5 and words[0].startswith(b":"):
            for _ in range(2 if words[4][:1] in (b"R", b"C") else 1):
                next(fields, None)
            blob = blob or words[3].decode()
        elif _ID.fullmatch(field.strip()):
            if found:
                yield _commit(found, blob)
            found, blob = [field.strip(), *(next(fields, b"") for _ in range(3))], None
    if found:
        yield _commit(found, blob)


def _commit(fields: list[bytes], blob: str | None) -> Commit:
    id, seconds, author, subject = (each.decode("utf-8", "replace") for each in fields)
    gone = blob is None or set(blob) == {"0"}
    return Commit(id, int(seconds or 0) * 10**9, author, subject, None if gone else blob)


def _environment() -> dict[str, str]:
    """The environment of git: none of its variables but where its configuration is."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name in _CONFIGURATION
    }
    return {**kept, **_READ_ONLY, "LC_ALL": "C"}


_FIELDS = "%H%x00%ct%x00%an%x00%s%x00"
_ID = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SECONDS = 30
_MOST_COMMITS = 1000
_LONGEST = 4_000_000
_CONFIGURATION = {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"}
_READ_ONLY = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_PAGER": "cat",
}
# What a repository's own configuration could have run, switched off: a later -c wins.
_HARMLESS = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    f"core.attributesFile={os.devnull}",
    "core.pager=cat",
    "core.alternateRefsCommand=",
    "diff.external=",
    "log.showSignature=false",
    "gpg.program=false",
    "protocol.allow=never",
    "safe.bareRepository=explicit",
    "submodule.recurse=false",
    "log.mailmap=false",
)
