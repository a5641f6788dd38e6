"""What the user names of their own code: "app.py:ask", "package.module:ask"."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from onrecord.errors import OnrecordError, UsageError


def named(place: str) -> Any:
    """The object of a place; its module is run, as any import runs it. Raises UsageError."""
    module, colon, name = place.rpartition(":")
    if not colon or not module or not name:
        raise UsageError(
            f"'{place}' names nothing in a module",
            cure="Write FILE.py:NAME or package.module:NAME.",
        )
    loaded = _module(module)
    found: Any = loaded
    for part in name.split("."):
        if not hasattr(found, part):
            own = [key for key in vars(loaded) if not key.startswith("_")]
            close = difflib.get_close_matches(name, own, 1)
            guess = f" Did you mean '{close[0]}'?" if close else ""
            raise UsageError(f"there is no '{name}' in {module}.{guess}")
        found = getattr(found, part)
    return found


def _module(place: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except OnrecordError:
        raise
    except (Exception, SystemExit) as error:  # a module may fail in any way while it is loaded
        last = traceback.extract_tb(error.__traceback__)[-1:]
        where = f"{last[0].filename}, line {last[0].lineno}" if last else place
        raise UsageError(
            f"{place} cannot be loaded: {type(error).__name__}: {error}", where=where
        ) from None


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(
            f"there is no file {path}", cure="Name it from the working folder: app.py:ask."
        )
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = path.stem
    if name in sys.stdlib_module_names or getattr(sys.modules.get(name), "__path__", None):
        name = f"{name} of the user"  # whoever imports json later must not get theirs
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path.resolve()):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module
