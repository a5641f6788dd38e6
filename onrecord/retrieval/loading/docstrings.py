"""The documentation of installed Python modules: one document for each docstring.

Python source is read, not imported, so nothing runs; only modules without source (written in C and
built into the interpreter or lying beside the standard library) are imported.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from onrecord.retrieval.document import Document


def standard_library() -> Iterator[Document]:
    """The docstrings of the standard library of the Python that runs this.

    A document a public module, class, function or method with a docstring. Its id and title are
    the qualified name ("tempfile.TemporaryDirectory"), its metadata `kind`, `module` and `object`.
    """
    seen: set[str] = set()
    for document in _all_docstrings():
        if document.id not in seen:
            seen.add(document.id)
            yield document


def _all_docstrings() -> Iterator[Document]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    for name in sorted(sys.stdlib_module_names):
        if name.startswith("_") or name in _LEFT_OUT:
            continue
        if (folder / f"{name}.py").is_file() or (folder / name).is_dir():
            for path in _sources(folder, name):
                yield from source_docstrings(path, _module_name(path, folder))
        else:
            yield from compiled_docstrings(name)


def source_docstrings(path: Path, module: str) -> Iterator[Document]:
    """The docstrings of one Python file, which is the module named `module`."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    text = ast.get_docstring(tree)
    if text:
        yield _document(module, "", "module", "", text)
    yield from _definitions(tree, module, "")
    yield from _from_accelerators(tree, module)


def compiled_docstrings(module: str) -> Iterator[Document]:
    """The docstrings of a module that has no Python source. Imports it."""
    loaded = _compiled(module)
    if loaded is None:  # not built on this platform
        return
    text = inspect.getdoc(loaded)
    if text:
        yield _document(module, "", "module", "", text)
    yield from _members(loaded, module, "")


# Tests and demonstrations, tools with a window, and tables of character codes: not what one asks
# about; `antigravity` and `this` are jokes.
_LEFT_OUT = frozenset(
    "antigravity ensurepip idlelib lib2to3 pydoc_data test this tkinter turtle turtledemo "
    "distutils encodings".split()
)


def _sources(folder: Path, name: str) -> Iterator[Path]:
    single = folder / f"{name}.py"
    if single.is_file():
        yield single
    else:
        for path in sorted((folder / name).rglob("*.py")):
            inner = path.relative_to(folder).with_suffix("").parts
            private = any(part.startswith("_") and part != "__init__" for part in inner)
            if not private and not {"test", "tests"} & set(inner):
                yield path


def _module_name(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _definitions(node: ast.AST, module: str, outer: str) -> Iterator[Document]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If | ast.Try):
            yield from _definitions(child, module, outer)
        if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if child.name.startswith("_"):
            continue
        name = f"{outer}{child.name}"
        text = ast.get_docstring(child)
        if isinstance(child, ast.ClassDef):
            if text:
                yield _document(module, name, "class", "", text)
            yield from _definitions(child, module, f"{name}.")
        elif text:
            kind = "method" if outer else "function"
            yield _document(module, name, kind, f"({ast.unparse(child.args)})", text)


def _from_accelerators(tree: ast.Module, module: str) -> Iterator[Document]:
    """What a module takes from its private twin in C: `from _collections import defaultdict`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("_"):
            accelerator = _compiled(node.module or "")
            for alias in node.names if accelerator is not None else ():
                for name, member in _taken(accelerator, alias):
                    yield from _member(name, member, module, "")


def _compiled(name: str) -> ModuleType | None:
    """The module `name` if it has no Python source, else None: source is not to be run."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or (spec.origin or "").endswith(".py"):
        return None
    with warnings.catch_warnings():
        # That a module is about to leave the library is no news for who reads its documentation.
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(name)


def _taken(accelerator: ModuleType | None, alias: ast.alias) -> list[tuple[str, Any]]:
    if alias.name == "*":
        return [pair for pair in vars(accelerator).items() if not pair[0].startswith("_")]
    name = alias.asname or alias.name
    member = getattr(accelerator, alias.name, None)
    return [] if name.startswith("_") or not callable(member) else [(name, member)]


def _members(holder: ModuleType | type, module: str, outer: str) -> Iterator[Document]:
    for name, member in sorted(vars(holder).items()):
        if not name.startswith("_") and _belongs(member, module):
            yield from _member(name, member, module, outer)


def _member(name: str, member: Any, module: str, outer: str) -> Iterator[Document]:
    text = inspect.getdoc(member)
    full = f"{outer}{name}"
    if isinstance(member, type):
        if text:
            yield _document(module, full, "class", "", text)
        if not outer:
            yield from _members(member, module, f"{full}.")
    elif text and callable(member):
        yield _document(module, full, "method" if outer else "function", "", text)


def _belongs(member: Any, module: str) -> bool:
    home = getattr(member, "__module__", None)
    return home is None or home == module or home.lstrip("_") == module.lstrip("_")


def _document(module: str, name: str, kind: str, arguments: str, text: str) -> Document:
    full = f"{module}.{name}" if name else module
    return Document(
        id=full,
        title=full,
        text=f"{full}{arguments}\n\n{text}",
        format="rst",
        metadata={"kind": kind, "module": module, "object": name or module},
    )
