from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import onrecord as on
from onrecord.errors import UsageError
from onrecord.programs import functions, versions
from onrecord.programs.flow import Recorded
from onrecord.programs.functions import binder
from onrecord.records.store import Store


@on.step
async def add(x: int, y: int = 1) -> int:
    await asyncio.sleep(0)
    return x + y


@on.flow
async def twice(x: int) -> int:
    """Adds, twice."""
    return await add(await add(x), y=1)


def test_await_run_and_stream() -> None:
    async def awaited() -> int:
        return await twice(1)

    assert asyncio.run(awaited()) == 3
    assert twice.run(2) == 4
    *records, result = twice.stream(3)
    assert [record.name for record in records] == ["add", "add", "twice"]
    assert result == on.Result(5)
    assert twice.__doc__ == "Adds, twice." and twice.__name__ == "twice"


def test_defaults_are_part_of_the_input_and_the_key(project: Path) -> None:
    with on.recording() as run:
        add.run(1)
        add.run(1, y=1)
        add.run(1, 2)
    first, same, other = run.records
    assert first.input == same.input == {"x": 1, "y": 1}
    assert first.key == same.key != other.key


def test_a_plain_function_is_a_flow_too() -> None:
    @on.flow
    def shout(text: str) -> str:
        return text.upper()

    assert shout.run("hello") == "HELLO"


def test_a_method_can_be_a_flow() -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @on.flow
        async def greet(self, who: str) -> str:
            return f"{self.name} greets {who}"

    with on.recording() as run:
        assert Shop("Onrecord").greet.run("Ada") == "Onrecord greets Ada"
    assert run.records[0].input["who"] == "Ada"


def test_the_version_follows_the_code() -> None:
    def made(code: str) -> Recorded[[], object]:
        space: dict[str, object] = {}
        exec(code, space)
        return on.flow(space["f"])  # type: ignore[arg-type]  # made on the spot

    one, same, other = (made(f"async def f(): return {value}") for value in (1, 1, 2))
    assert one.version == same.version != other.version


def test_what_is_no_function_cannot_be_a_flow() -> None:
    with pytest.raises(TypeError, match="is a function"):
        on.flow(3)  # type: ignore[call-overload]  # the mistake under test


def test_wrong_arguments_are_python_errors_and_leave_no_record() -> None:
    with on.recording() as run, pytest.raises(TypeError, match="unexpected keyword"):
        add.run(1, z=2)  # type: ignore[call-arg]  # the mistake under test
    assert run.records == []


def test_a_missing_argument_is_said_with_the_function_it_is_missing_of() -> None:
    with pytest.raises(TypeError, match=r"^add\(\) missing a required argument: 'x'$"):
        add.run()  # type: ignore[call-arg]  # the mistake under test
    with pytest.raises(TypeError, match=r"^twice\(\) "):
        twice.run(y=1)  # type: ignore[call-arg]  # the mistake under test


@on.flow
async def forgetful(x: int) -> int:
    return add(x)  # type: ignore[return-value]  # the mistake under test


@on.step(idempotent=False)
async def forgetful_step(x: int) -> int:
    return asyncio.sleep(x)  # type: ignore[return-value]  # the mistake under test


@on.flow
def plainly(x: int) -> int:
    return add(x)  # type: ignore[return-value]  # the mistake under test


@pytest.mark.filterwarnings("error")
def test_a_forgotten_await_is_said_with_the_call_it_is_forgotten_of() -> None:
    with on.recording() as run, pytest.raises(UsageError, match=r"Write `await add\(\.\.\.\)`"):
        forgetful.run(1)
    assert [(each.name, each.state, each.output) for each in run.records] == [
        ("forgetful", "failed", None)
    ]
    with pytest.raises(UsageError, match=r"'forgetful_step' returned .* call sleep\("):
        forgetful_step.run(1)
    with pytest.raises(UsageError, match=r"'plainly' returned .* nobody waited for, add\("):
        plainly.run(1)
    gc.collect()


def none() -> None: ...
def two(a: int, b: int) -> None: ...
def tail(a: int, b: int = 2, c: int = 3) -> None: ...
def keyword(a: int, *, b: int, c: int = 3) -> None: ...
def positional(a: int, b: int = 2, /, c: int = 3) -> None: ...
def everything(a: int, /, b: int = 2, *args: int, c: int, **kwargs: int) -> None: ...


@given(
    st.sampled_from([none, two, tail, keyword, positional, everything]),
    st.lists(st.integers(0, 9), max_size=5),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9), max_size=5),
)
def test_arguments_are_bound_as_python_binds_them(
    function: Callable[..., Any], args: list[int], kwargs: dict[str, int]
) -> None:
    signature = inspect.signature(function)
    try:
        expected = signature.bind(*args, **kwargs)
    except TypeError as error:
        with pytest.raises(TypeError, match=str(error).partition("(")[0]):
            binder(signature)(tuple(args), kwargs)
        return
    expected.apply_defaults()
    bound = binder(signature)(tuple(args), kwargs)
    assert list(bound.items()) == list(expected.arguments.items())


def test_the_source_of_every_version_is_on_record() -> None:
    twice.run(1)
    store = Store.open()
    for record in store.run(store.runs(1)[0].id):
        source = store.source(record.version)
        assert source is not None and f"async def {record.name}(" in source


def test_a_method_reads_its_source_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shop:
        @on.step
        async def greet(self) -> str:
            return "hello"

    read = []

    def source_of(function: Any) -> str | None:
        read.append(function)
        return versions.source_of(function)

    monkeypatch.setattr(functions, "source_of", source_of)
    shop = Shop()
    found = {(shop.greet.run(), shop.greet.version)[1] for _ in range(3)}
    assert len(found) == 1 and len(read) == 1


def test_steps_and_flows_know_whether_they_may_be_repeated() -> None:
    @on.step(idempotent=False)
    def send(text: str) -> str:
        return text

    assert not send.idempotent and add.idempotent and twice.idempotent
    assert send.run("x") == "x"
