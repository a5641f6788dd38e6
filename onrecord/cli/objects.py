"""What the user names: of their own code "app.py:ask", "package.module:ask"; a scorer."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from onrecord.errors import OnrecordError, UsageError

if TYPE_CHECKING:
    from onrecord.evaluation.scoring import Scorer


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


def scorer_of(text: str) -> Scorer:
    """The scorer of a name, of a name with arguments, or of the user's own code. Raises
    UsageError."""
    if ":" in text and "(" not in text:
        found: Scorer = named(text)
        return found
    from onrecord.evaluation import scorers
    from onrecord.evaluation.scorers.described import Function

    tree = _parsed(text)
    name = tree.func if isinstance(tree, ast.Call) else tree
    if not isinstance(name, ast.Name) or name.id not in scorers.__all__:
        close = difflib.get_close_matches(getattr(name, "id", text), scorers.__all__, 1)
        guess = f"Did you mean {close[0]}? " if close else ""
        raise UsageError(
            f"there is no scorer '{text}'",
            cure=f"{guess}There are {', '.join(scorers.__all__)}; your own is FILE.py:NAME.",
        )
    made: Any = getattr(scorers, name.id)
    if not isinstance(tree, ast.Call):
        plain: Scorer = made
        return plain
    if isinstance(made, Function):
        raise UsageError(f"the scorer {name.id} takes no options", cure=f"Write {name.id}.")
    try:
        arguments = [ast.literal_eval(each) for each in tree.args]
        keywords = {each.arg or "": ast.literal_eval(each.value) for each in tree.keywords}
        return made(*arguments, **keywords)  # type: ignore[no-any-return]  # whichever was named
    except OnrecordError:
        raise
    except Exception as error:  # whatever the arguments make of it
        raise UsageError(f"the scorer '{text}' cannot be made: {error}") from None


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise UsageError(
            f"the scorer '{text}' cannot be read: {getattr(error, 'msg', error)}",
            cure="Write a name, or a name with its arguments: 'contains(\"refund\")'.",
        ) from None


def _module(place: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except OnrecordError:
        raise
    except (Exception, SystemExit) as error:  # a module may fail in any way while it is loaded
        said = error.msg if isinstance(error, SyntaxError) else error
        raise UsageError(
            f"{place} cannot be loaded: {type(error).__name__}: {said}", where=_where(error, place)
        ) from None


def _where(error: BaseException, place: str) -> str:
    """The user's line that an error is of: what a text that is no Python says itself, else the
    last one outside of Python's own machinery of imports."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    last = [each for each in frames if not each.filename.startswith("<frozen importlib")][-1:]
    return f"{last[0].filename}, line {last[0].lineno}" if last else place


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
