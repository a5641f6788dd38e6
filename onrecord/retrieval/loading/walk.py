"""The files under a path, as a person would list them."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from onrecord.errors import UsageError
from onrecord.retrieval.document import Failure
from onrecord.retrieval.loading.encoding import looks_like_text
from onrecord.retrieval.loading.ignore import (
    Rules,
    holds_no_text,
    is_dependency,
    is_hidden,
    is_marker,
)
from onrecord.retrieval.loading.load import failure
from onrecord.retrieval.loading.registry import can_load


def find_files(root: Path) -> Iterator[Path | Failure]:
    """The files to load under `root`, in a fixed order; a Failure for what cannot be looked into.

    A file is yielded whatever it is: who names it wants it, or wants to know why not. In a folder,
    hidden files and folders, what `.gitignore` files leave out, virtual environments, node_modules
    and files that hold no text (images, archives, programs) are passed over without a word. Links
    are followed, after everything that is reached without them, and each real file and folder is
    visited once. Raises UsageError where there is nothing at `root`.
    """
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise UsageError(
            "there is no such file or folder", where=str(root), cure="Check the path"
        ) from None
    except OSError as error:
        return iter([failure(root, error)])
    return _Walk(root).files() if is_folder else iter([root])


class _Place(NamedTuple):
    path: Path  # as the user spelled it
    absolute: Path  # the same, below the real path of the root: what .gitignore rules speak of


class _Walk:
    def __init__(self, root: Path) -> None:
        self.root = _Place(root, Path(os.path.realpath(root)))
        self.seen: set[str] = set()  # real paths of the files and folders visited
        self.links: deque[tuple[_Place, Rules]] = deque()

    def files(self) -> Iterator[Path | Failure]:
        yield from self._under(self.root, Rules.above(self.root.absolute))
        while self.links:
            # Last, so that what can be reached by its own name keeps it, whatever links to it.
            yield from self._follow(*self.links.popleft())

    def _under(self, folder: _Place, rules: Rules) -> Iterator[Path | Failure]:
        pending = [(folder, True, rules)]  # a stack, for folders can nest deeper than calls
        while pending:
            place, is_folder, rules = pending.pop()
            if not is_folder:
                yield from self._file(place, rules)
                continue
            if not self._first_visit(place):
                continue
            inside = rules.inside(place.absolute)
            try:
                found = list(self._entries(place, inside))
            except OSError as error:
                yield failure(place.path, error)
                continue
            pending += [(entry, is_folder, inside) for entry, is_folder in reversed(found)]

    def _entries(self, folder: _Place, rules: Rules) -> Iterator[tuple[_Place, bool]]:
        """What a folder holds, by name; links are put aside."""
        with os.scandir(folder.path) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        for entry in entries:
            if is_hidden(entry.name):
                continue
            place = _Place(folder.path / entry.name, folder.absolute / entry.name)
            if entry.is_symlink():
                self.links.append((place, rules))
            elif entry.is_dir(follow_symlinks=False):
                if not (rules.ignores(place.absolute, folder=True) or is_dependency(place.path)):
                    yield place, True
            elif entry.is_file(follow_symlinks=False):  # not a pipe, a socket or a device
                yield place, False

    def _follow(self, link: _Place, rules: Rules) -> Iterator[Path | Failure]:
        try:
            mode = link.path.stat().st_mode
        except OSError as error:
            if not holds_no_text(link.path) and not rules.ignores(link.absolute, folder=False):
                loop = error.errno == errno.ELOOP
                yield failure(link.path, "a link to itself" if loop else "a link to nothing")
            return
        if stat.S_ISDIR(mode):
            left_out = rules.ignores(link.absolute, folder=True) or is_dependency(link.path)
            if not left_out and not self._leads_up(link):
                yield from self._under(link, rules)
        elif stat.S_ISREG(mode):
            yield from self._file(link, rules)

    def _leads_up(self, link: _Place) -> bool:
        """A link to a folder around the root would pull in everything beside it."""
        return self.root.absolute.is_relative_to(os.path.realpath(link.path))

    def _file(self, place: _Place, rules: Rules) -> Iterator[Path | Failure]:
        if rules.ignores(place.absolute, folder=False) or not self._first_visit(place):
            return
        try:
            if can_load(place.path):
                wanted = not is_marker(place.path)
            else:
                wanted = not holds_no_text(place.path) and looks_like_text(place.path)
                wanted = wanted and not is_marker(place.path)
        except OSError as error:
            yield failure(place.path, error)
            return
        if wanted:
            yield place.path

    def _first_visit(self, place: _Place) -> bool:
        real = os.path.realpath(place.absolute)
        first = real not in self.seen
        self.seen.add(real)
        return first
