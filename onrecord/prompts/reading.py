"""The files of a prompt: its text, NAME.md or NAME.prompty, and NAME.demos.jsonl beside it."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import NamedTuple

from onrecord.errors import PromptError
from onrecord.prompts import prompty
from onrecord.prompts.demos import Choice, Demos, read_choice, read_front, read_lines
from onrecord.prompts.template import Template, parameters, text_of

SUFFIXES = (".md", prompty.SUFFIX)
DEMOS = ".demos.jsonl"
_THEM = "the file of the demos"


class Files(NamedTuple):
    """What the files of a prompt hold; None for those that are not there."""

    template: Template | None
    demos: Demos | None


class Reading:
    """The files of one prompt, in the first folder that has any; a changed one is read anew, and
    then `files()` gives another value.

    Every call asks, so a file that is as it was is looked at and not read.
    """

    def __init__(self, folders: tuple[str, ...], name: str) -> None:
        join = os.path.join  # what every call compares is text
        self._folders = [
            (
                folder,
                [join(folder, f"{name}{suffix}") for suffix in SUFFIXES],
                join(folder, f"{name}{DEMOS}"),
            )
            for folder in folders
        ]
        self.places = tuple(path for _, paths, _ in self._folders for path in paths)
        self._text = _Text((), None, None)
        self._read: tuple[Stamp, Files] = ((), Files(None, None))

    def files(self) -> Files:
        """What the files hold now. Raises PromptError."""
        text = self._current()
        if text.template is None:
            stamp = self._lone_demos()
        else:
            stamp = () if text.beside is None else _stamp(text.beside)
        seen, files = self._read
        if files.template is text.template and seen == stamp:
            return files
        beside = str(stamp[0]) if stamp else text.beside
        if not self._is_same(text.template, stamp):
            files = Files(text.template, demos_of(text.template, beside))
        self._read = _trusted(stamp), files
        return files

    def _is_same(self, template: Template | None, stamp: Stamp) -> bool:
        """Whether the file of the demos, which may have changed, holds what was read from it."""
        seen, (known, demos) = self._read
        if known is not template or demos is None or not stamp or seen[:1] != stamp[:1]:
            return False
        return text_of(Path(str(stamp[0])), _THEM) == demos.source

    def _current(self) -> _Text:
        """The text as it is now, and where its demos are."""
        text = self._text
        known = text.template.where if text.template is not None else ""
        for folder, paths, _ in self._folders:
            if known not in paths and not os.access(folder, os.F_OK):
                continue
            for path in paths:
                stamp = _stamp(path, likely=path == known)
                if not stamp:
                    continue
                if text.stamp != stamp:
                    self._text = text = _read(path, stamp, text)
                return text
        return _Text((), None, None)

    def _lone_demos(self) -> Stamp:
        """The stamp of the demos of a prompt without a text."""
        for folder, _, demos in self._folders:
            if os.access(folder, os.F_OK) and (stamp := _stamp(demos)):
                return stamp
        return ()


# What changes when a file does: its path, its times, its size and what it is; () for none. Of a
# file that cannot be trusted yet it is the path alone.
Stamp = tuple[str | int, ...]


class _Text(NamedTuple):
    """The text of a prompt as it was last read, and the file that its demos are in."""

    stamp: Stamp
    template: Template | None
    beside: str | None


def _read(path: str, stamp: Stamp, before: _Text) -> _Text:
    """The text in a file that may have changed since `before`."""
    known = before.template
    if known is not None and known.where == path and text_of(Path(path)) == known.source:
        return before._replace(stamp=_trusted(stamp))
    template = read(Path(path))
    return _Text(_trusted(stamp), template, demos_path(template))


def read(path: Path) -> Template:
    """The template in a file; what of a Prompty file is not honoured is logged. Raises
    PromptError."""
    other = SUFFIXES[path.suffix == SUFFIXES[0]]
    if path.with_name(f"{path.stem}{other}").is_file():
        raise PromptError(
            f"there are two texts of the prompt '{path.stem}', as Markdown and as Prompty",
            where=str(path.parent),
            cure="Remove one of them.",
        )
    template = parsed(text_of(path), str(path))
    for note in template.parts.notes:
        _log.warning("%s: %s", path, note)
    return template


def parsed(text: str, where: str) -> Template:
    """The template of a text that stood in the file `where`. Raises PromptError."""
    is_prompty = where.endswith(prompty.SUFFIX)
    template = prompty.parsed(text, where) if is_prompty else Template(text, where)
    parameters(template.front.parameters, where)  # a mistake in them is one of the file, too
    return template


def demos_path(template: Template) -> str | None:
    """The file that the demos of a template are in; None where they are in its own."""
    said = template.front.demos
    if isinstance(said, list):
        return None
    beside = Path(template.where)
    named = said.get("file") if said is not None else None
    if isinstance(named, str) and named:
        if "\0" in named:
            raise PromptError(
                "the front matter's demos name a file with the character NUL in its name",
                where=template.where,
                cure="Name one of the prompt's folder.",
            )
        return str(beside.parent / named)
    return str(beside.with_suffix(DEMOS))


def demos_of(
    template: Template | None, beside: str | None, text: str | None = None
) -> Demos | None:
    """The demos of a prompt; None where it has none. `text`: that of the file `beside`, which is
    read where none is given. Raises PromptError."""
    where = template.where if template is not None else ""
    said = template.front.demos if template is not None else None
    if isinstance(said, list):
        return Demos(read_front(said, where), Choice()) if said else None
    if beside is None:
        return None
    choice = Choice() if said is None else read_choice(said, where)
    if text is None:
        if said is None and not Path(beside).exists():
            return None
        if said is not None and not Path(beside).exists():
            raise PromptError(
                "the file of the demos is not there",
                where=beside,
                cure=f"{where} names it: write it, or take it out.",
            )
        text = text_of(Path(beside), _THEM)
    demos = read_lines(text, beside)
    if not demos:
        raise PromptError(
            "there is no demo in the file", where=beside, cure="Write one, or remove it."
        )
    return Demos(demos, choice, text)


def _stamp(path: str, *, likely: bool = False) -> Stamp:
    """The stamp of a file; () where there is none. `likely`: it was there a moment ago."""
    # Most are not there, and an exception takes longer.
    if not likely and not os.access(path, os.F_OK):
        return ()
    try:
        status = os.stat(path)  # noqa: PTH116  # every call waits for this
    except OSError:
        return ()
    # The time of a change cannot be set back, as that of the content is by `cp -p` and `rsync -t`.
    return path, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _trusted(stamp: Stamp) -> Stamp:
    """A stamp to tell a change by. A file that has just changed may change once more within one
    tick of its file system's clock: until that is over it is read at each call."""
    if not stamp:
        return stamp
    changed = max(map(int, stamp[1:3]))
    tick = _TICK_NS if changed % _SECOND_NS else 2 * _SECOND_NS  # FAT counts every other second
    return stamp if time.time_ns() - changed > tick else stamp[:1]


_SECOND_NS = 1_000_000_000
_TICK_NS = 20_000_000  # Linux counts in 10 milliseconds at most
_log = logging.getLogger("onrecord")
