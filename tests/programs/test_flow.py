from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import onrecord as on
from onrecord.programs.flow import Recorded


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
