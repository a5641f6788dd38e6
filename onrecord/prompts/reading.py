"""The files of a prompt: its text, NAME.md or NAME.prompty, and NAME.demos.jsonl beside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from onrecord.errors import PromptError
from onrecord.prompts import prompty
from onrecord.prompts.demos import Choice, Demos, read_choice, read_front, read_lines
from onrecord.prompts.template import Template, parameters, text_of

SUFFIXES = (".md", prompty.SUFFIX)
DEMOS = ".demos.jsonl"


class Files(NamedTuple):
    """What the files of a prompt hold; None for those that are not there."""

    template: Template | None
    demos: Demos | None


class Reading:
    """The files of one prompt, in the first folder that has any; a changed one is read anew, and
    then `files()` gives another value."""

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
        self._seen: tuple[object, Template | None] = (None, None)
        self._beside: str | None = None  # the file of the demos of the template that was seen
        self._read: tuple[object, Files] = (None, Files(None, None))

    def files(self) -> Files:
        """What the files hold now. Raises PromptError."""
        there = [each for each in self._folders if os.access(each[0], os.F_OK)]
        template = self._template(there)
        beside = self._beside if template else _first(demos for _, _, demos in there)
        stamp = template, beside and _stamp(beside)
        if self._read[0] != stamp:
            self._read = stamp, Files(template, demos_of(template, beside))
        return self._read[1]

    def _template(self, there: list[tuple[str, list[str], str]]) -> Template | None:
        for _, paths, _ in there:
            for path in paths:
                stamp = _stamp(path)
                if stamp is None:
                    continue
                if self._seen[0] != stamp:
                    template = read(Path(path))
                    self._seen, self._beside = (stamp, template), demos_path(template)
                return self._seen[1]
        return None


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
        text = text_of(Path(beside))
    demos = read_lines(text, beside)
    if not demos:
        raise PromptError(
            "there is no demo in the file", where=beside, cure="Write one, or remove it."
        )
    return Demos(demos, choice, text)


def _first(paths: Iterable[str]) -> str | None:
    return next((path for path in paths if _stamp(path) is not None), None)


def _stamp(path: str) -> object:
    """What changes when a file does; None where there is none."""
    if not os.access(path, os.F_OK):  # most are not there, and an exception takes longer
        return None
    try:
        status = os.stat(path)  # noqa: PTH116  # every call waits for this
    except OSError:
        return None
    return path, status.st_mtime_ns, status.st_size


_log = logging.getLogger("onrecord")
