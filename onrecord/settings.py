"""The settings: one frozen value, read from `onrecord.toml` and then `ONRECORD_*` variables.

Nothing here is global. `Settings.load()` reads; whoever needs a setting is handed the value, or
loads it at the edge (the command line, the first recorded call of a process).
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from onrecord.errors import SettingsError


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting there is. Relative paths count from the project's root: the folder with
    `onrecord.toml`, else with `.onrecord/`, else the working folder. Folders above that everybody
    may write to, such as /tmp, are passed over."""

    home: Path = Path(".onrecord")
    """Where records and collections are kept."""

    model: str = "embedded:extractive"
    """Who answers when nothing else is said; `auto` looks for a local server first."""

    embedder: str = "embedded:minilm"
    """Who turns texts into vectors when a collection is first filled."""

    collection: str = "default"
    """The collection of a command without `--collection`."""

    record: bool = True
    """Keep records of calls. Without them there is no trace, cache, replay or bill."""

    store: str = ""
    """Where records are kept for good: empty for SQLite in `home`, or
    `postgresql://user:password@host/database`."""

    bodies: bool = True
    """Keep inputs and outputs. Without them a record holds names, times, tokens and costs only."""

    redact: tuple[str, ...] = ("fields", "keys", "cards", "ibans")
    """What is removed before anything is written: the rules of docs/records.md, and functions of
    your own as `package.module:function`."""

    redact_fields: tuple[str, ...] = ()
    """Further names of fields whose values are removed."""

    max_body_mb: float = 16.0
    """The largest input or output that is kept, in megabytes; a larger one leaves its size."""

    journal_mb: float = 1024.0
    """The disk that the journal may take, in megabytes. Beyond it calls go on without a record,
    and are counted."""

    fsync: bool = False
    """Wait for the disk at every frame: records survive a power cut, and every call waits."""

    fold_seconds: float = 2.0
    """How often a process folds its journal into the store; 0: only when somebody reads."""

    keep_days: float | None = None
    """Records older than this are erased when the journal is folded. None keeps them."""

    prices: dict[str, dict[str, float]] = {}
    """Prices of your own, in dollars a million tokens: [prices."openai:my-model"] input = 1.25"""

    max_file_mb: float = 50.0
    """The largest file that `ingest` takes in, in megabytes (10^6 bytes)."""

    @classmethod
    def load(cls, start: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings that hold in folder `start` (default: the working folder).

        Raises SettingsError, naming the file or variable and the closest setting there is.
        """
        folder = (start or Path.cwd()).absolute()
        root, values = _from_file(folder)
        settings = _convert(values, str(root / _FILE))
        _check_numbers(settings, str(root / _FILE))
        for variable, text in environ.items():
            name = variable.removeprefix(_PREFIX).lower()
            if not variable.startswith(_PREFIX) or not text:
                continue
            if _closest(name):  # other variables of the same beginning are somebody else's
                _check_name(name, f"variable {variable}")
                several = name in _SEVERAL  # written with commas between them
                value = [part.strip() for part in text.split(",")] if several else text
                changed = _convert({name: value}, f"variable {variable}")
                _check_numbers(changed, f"variable {variable}")
                settings = msgspec.structs.replace(settings, **{name: getattr(changed, name)})
        if settings.store and not _STORE.match(settings.store):
            raise SettingsError(
                "the setting 'store' is not the address of a database",
                cure="Write postgresql://user:password@host/database, or leave it empty for "
                "SQLite.",
            )
        home = root / settings.home.expanduser()
        if home.resolve() == root.resolve():
            raise SettingsError(
                "the setting 'home' is the project's folder itself, which the records would fill",
                where=str(root / _FILE),
                cure="Name a folder in it, such as .onrecord.",
            )
        return msgspec.structs.replace(settings, home=home)


def make_home(home: Path) -> None:
    """Make the folder of a project's records and collections, where it is not there yet. Only its
    owner may look inside: it holds what people wrote. Raises OSError."""
    home.parent.mkdir(parents=True, exist_ok=True)
    try:
        home.mkdir(mode=0o700)
    except FileExistsError:
        if not home.is_dir():
            raise


_FILE = "onrecord.toml"
_PREFIX = "ONRECORD_"
_STORE = re.compile(r"postgres(?:ql)?(?:\+\w+)?://.")
# The least and the most of each number.
_BOUNDS = {
    "max_file_mb": (1e-6, 1e6),
    "max_body_mb": (1e-6, 4000.0),
    "journal_mb": (0.1, 1e9),
    "fold_seconds": (0.0, 86400.0),
    "keep_days": (1e-4, 36500.0),
}
_SEVERAL = ("redact", "redact_fields")


def _from_file(folder: Path) -> tuple[Path, dict[str, Any]]:
    for root in (folder, *filter(_is_ones_own, folder.parents)):
        path = root / _FILE
        if path.exists():
            return root, _read(path)
        if (root / ".onrecord").is_dir():
            return root, {}
    return folder, {}


def _is_ones_own(folder: Path) -> bool:
    """Whether a folder above can hold one's project. Where everybody may write, as in /tmp, it
    would be anybody's: their settings would hold, and records go where they can read them."""
    try:
        return not folder.stat().st_mode & stat.S_IWOTH
    except OSError:
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(f"the settings cannot be read: {reason}", where=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings are not valid TOML: {error}", where=str(path)) from None
    for name in values:
        _check_name(name, str(path))
    return values


def _check_name(name: str, where: str) -> None:
    if name not in Settings.__struct_fields__:
        there = "The settings are " + ", ".join(Settings.__struct_fields__) + "."
        close = _closest(name)
        hint = f"Did you mean '{close}'?" if close else there
        raise SettingsError(f"there is no setting '{name}'", where=where, cure=hint)


def _check_numbers(settings: Settings, where: str) -> None:
    for name, (least, most) in _BOUNDS.items():
        value = getattr(settings, name)
        if value is not None and not least <= value <= most:
            raise SettingsError(
                f"the setting '{name}' cannot be {value:g}",
                where=where,
                cure=f"It is a number between {least:g} and {most:g}.",
            )


def _closest(name: str) -> str | None:
    return next(iter(difflib.get_close_matches(name, Settings.__struct_fields__, 1)), None)


def _convert(values: dict[str, Any], where: str) -> Settings:
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=lambda type, x: type(x))
    except (msgspec.ValidationError, TypeError) as error:
        reason = str(error)
        raise SettingsError(f"a setting has the wrong type: {reason}", where=where) from None
