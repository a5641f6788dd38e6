"""The house rules of docs/architecture.md, checked on the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import onrecord

PACKAGE = Path(onrecord.__path__[0])
MODULES = sorted(PACKAGE.rglob("*.py"))

# Lowest first. Folders on one rung never import each other.
LADDER = [
    {
        "arguments",
        "errors",
        "messages",
        "settings",
        "calling",
        "citations",
        "notebook",
        "progress",
        "sentences",
        "threads",
        "words",
    },
    {"records"},
    {"models"},
    {"prompts", "retrieval", "guards"},
    {"programs"},
    {"evaluation"},
    {"adaptation"},
    {"releases"},
    {"monitoring"},
    {"scaling"},
    {"serving"},
    {"cli"},
]
RUNG = {name: number for number, names in enumerate(LADDER) for name in names}

PUBLIC = """
    Agent Case Citation Cited Collection Completion Dataset Document Done LimitError Limits
    Memory Message ModelError OnrecordError Partial Passage Paused PausedError Progress Query
    Question Report Result Score Scripted Settings Stopped Store TextDelta ToolCall Trial Turn
    Usage __version__ ask budget cached calibrate_similarity cascade compare context embedder
    evaluate fallback flow gate gather judge limited model pause prompt recording replay retry
    router rows scorers step task tool tools untrusted write_rows
""".split()

HEAVY = """
    alembic anthropic anyio docx faiss fastapi filelock genai_prices gensim httpx httpx2
    huggingface_hub jinja2 jsonschema matplotlib mcp mlflow nltk numpy onnxruntime openpyxl
    pathspec pptx psycopg pyarrow pydantic pypdfium2 rich rouge_score sacrebleu scipy
    selectolax sentencepiece sklearn sqlalchemy sqlglot sqlite3 starlette tokenizers torch
    transformers typer uvicorn yaml
""".split()

NAMELESS = {"utils", "util", "core", "common", "helpers", "base", "misc"}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def home_of(module: str) -> str:
    """The folder, or for a module at the top the module, that stands on the ladder."""
    return module.split(".")[1] if "." in module else ""


def imports_of(path: Path, *, at_load: bool) -> Iterator[str]:
    """The modules of Onrecord that a module imports (or, with at_load, imports while it loads)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    known = {name_of(each) for each in MODULES}
    for node in _statements(tree, at_load):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [each if each in known else node.module or "" for each in submodules]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "onrecord")


def _statements(node: ast.AST, at_load: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        skipped = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        )
        if not (at_load and skipped):
            yield child
            yield from _statements(child, at_load)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_from_lower_rungs(path: Path) -> None:
    here = home_of(name_of(path))
    if here in ("", "data", "__main__"):
        return
    for imported in imports_of(path, at_load=False):
        there = home_of(imported)
        if there and there != here:
            same_floor = RUNG[here] == RUNG[there] == 0
            assert same_floor or RUNG[there] < RUNG[here], f"{name_of(path)} imports {imported}"


def test_every_folder_stands_on_the_ladder() -> None:
    homes = {home_of(name_of(path)) for path in MODULES} - {"", "data", "__main__"}
    assert homes <= RUNG.keys()


def test_no_import_cycle() -> None:
    graph = {name_of(path): set(imports_of(path, at_load=True)) for path in MODULES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail, module])
        if module not in done:
            for imported in graph.get(module, ()):
                visit(imported, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())
    assert len(done) >= len(MODULES)


def test_init_files_hold_names_only() -> None:
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr)
    for path in PACKAGE.rglob("__init__.py"):
        if path.parent == PACKAGE:
            continue  # the lazy names: test_the_public_names
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            assert isinstance(node, allowed), f"{path}:{node.lineno}"


def test_every_module_has_a_telling_name_and_a_docstring() -> None:
    for path in MODULES:
        assert path.stem not in NAMELESS, path
        text = path.read_text(encoding="utf-8")
        assert not text.strip() or ast.get_docstring(ast.parse(text)), path


def test_the_public_names() -> None:
    assert sorted(onrecord.__all__) == sorted(PUBLIC)
    for name in PUBLIC:
        assert getattr(onrecord, name) is not None
        assert name in dir(onrecord)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = onrecord.nonsense


def test_type_checkers_and_users_see_the_same_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        (node.module, alias.asname)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {(home, name) for name, home in onrecord._HOME.items()}


def test_import_is_light_and_touches_nothing(project: Path) -> None:
    script = f"""
import sys
opened = []
def audit(event, args):
    writes = event == "open" and any(letter in str(args[1]) for letter in "wax+")
    if writes or event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
        opened.append((event, args[0]))
sys.dont_write_bytecode = True
sys.addaudithook(audit)
import onrecord
print(sorted(set({HEAVY!r}) & set(sys.modules)), opened)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=project, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] []"
    assert list(project.iterdir()) == []
