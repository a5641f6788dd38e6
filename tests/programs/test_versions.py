"""The version of a function is that of the code that runs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import onrecord as on
from onrecord.programs.functions import Code
from onrecord.programs.versions import code_hash, source_of

ROOT = Path(__file__).parent.parent.parent

SHOP = """
import onrecord as on

@on.step
async def price(x: int) -> int:
    return x + 1

class Shop:
    @on.step
    def greet(self) -> str:
        return super().__class__.__name__
"""


def imported(path: Path, text: str) -> ModuleType:
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_file_that_was_edited_after_its_import_is_not_the_source(project: Path) -> None:
    path = project / "shop.py"
    before = imported(path, SHOP)
    path.write_text(SHOP.replace("x + 1", "x + 100"))
    assert before.price.run(1) == 2
    store = on.Store.open()
    (record,) = store.records(on.Query(name="price"))
    assert record.version == before.price.version and store.source(record.version) is None
    store.close()
    after = imported(path, SHOP.replace("x + 1", "x + 100"))
    assert after.price.run(1) == 101 and after.price.version != before.price.version


def test_lines_that_moved_are_the_source_all_the_same(project: Path) -> None:
    path = project / "shop.py"
    before = imported(path, SHOP)
    path.write_text(f"# A line\n# and another.\n{SHOP}")
    later = imported(project / "later.py", SHOP)
    for name, ending in (("price", "return x + 1\n"), ("greet", "__class__.__name__\n")):
        function = getattr(before, name, None) or before.Shop.greet
        again = getattr(later, name, None) or later.Shop.greet
        source = Code(_plain(function)).source
        assert source is not None and source.endswith(ending)
        assert source.lstrip().startswith("@on.step") and function.version == again.version


def test_a_function_in_a_function_has_a_source() -> None:
    held = "eu"

    def inner() -> str:
        return held

    assert source_of(inner) == "    def inner() -> str:\n        return held\n"
    assert Code(inner).held() == {"held": "eu"}


def test_what_a_function_counts_with_is_not_what_it_is() -> None:
    count, names, flag = 0, ["a"], True

    def counting() -> tuple[int, list[str], bool]:
        nonlocal count
        count += 1
        return count, names, flag

    assert Code(counting).held() is None
    assert Code(len).held() is None and Code(len).source is None
    assert Code(len).version != Code(max).version


def test_long_texts_and_secrets_that_a_function_holds() -> None:
    def made(text: str, password: str) -> Code:
        def inner() -> str:
            return text + password

        return Code(inner)

    ones = [made("x" * 5_000_000 + each, "hunter2") for each in "aba"]
    first, second, third = (each.held() for each in ones)
    assert first == third != second and len(str(first)) < 100
    assert "hunter2" not in str(first) and first is not None and first.keys() == {"text"}
    # It is hashed once, not at every call.
    assert ones[0].held() is first


def test_what_a_function_holds_may_change() -> None:
    place = "eu"

    def inner() -> str:
        return place

    code = Code(inner)
    assert code.held() == {"place": "eu"}
    place = "us"
    assert code.held() == {"place": "us"}


def test_code_without_a_source_has_one_version_in_every_process() -> None:
    script = """
from onrecord.programs.functions import Code
made = {}
exec('''
def f(x):
    inner = lambda y: y in {"a", "b", "c", ("d", 1.0, None), b"e"}
    return inner(x)
''', made)
print(Code(made["f"]).source, Code(made["f"]).version)
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in (1, 2, 3)
    }
    assert len(said) == 1 and said.pop().startswith("None ")


def test_other_code_is_another_version() -> None:
    def made(text: str) -> str:
        space: dict[str, Any] = {}
        exec(text, space)
        return code_hash(space["f"].__code__)

    texts = [
        "def f(x): return 1",
        "def f(x): return 1.0",
        "def f(x): return True",
        "def f(x): return x in {1, 2}",
        "def f(x): return x in {1, 3}",
        "def f(x): return lambda: 1",
        "def f(x): return lambda: 2",
        "def f(*x): return 1",
        "async def f(x): return 1",
    ]
    assert len({made(text) for text in texts}) == len(texts)
    assert made(texts[0]) == made(f"\n\n{texts[0]}")


def _plain(recorded: Any) -> Callable[..., Any]:
    function = recorded._function
    assert callable(function)
    return function
