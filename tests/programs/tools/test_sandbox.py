"""The sandbox of the tool `python`: nothing gets out, and every way out is shown to be one."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from onrecord.errors import UsageError
from onrecord.programs.tools.sandbox import running
from tests.programs.tools.sandbox_escapes import ESCAPES, Escape, Scene, job, run_free, scene_in

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    folder = tmp_path / "outside"
    folder.mkdir()
    with scene_in(folder) as made:
        monkeypatch.setenv("A_KEY", made.secret)
        yield made


async def tried(escape: Escape, scene: Scene, *lacking: str) -> Scene:
    """The scene after an escape was run in the sandbox, without some of its walls."""
    given = job(escape.script(scene), seconds=escape.seconds, lacking=lacking)
    try:
        done = await running.run(given, 20_000)
    except UsageError as error:
        pytest.skip(str(error))
    return dataclasses.replace(scene, printed=f"{done.output} {done.value}")


@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.name)
async def test_no_escape_works(escape: Escape, scene: Scene) -> None:
    after = await tried(escape, scene)
    assert not escape.works(after), after.printed


@pytest.mark.parametrize("wall", ["namespaces", "landlock", "seccomp"])
async def test_two_walls_hold_without_the_third(wall: str, scene: Scene) -> None:
    expected = [each for each in ESCAPES if wall not in each.relies_on]
    some = asyncio.Semaphore(4)

    async def one(escape: Escape) -> Scene:
        async with some:
            return await tried(escape, scene, wall)

    scenes = await asyncio.gather(*map(one, expected))
    pairs = zip(expected, scenes, strict=True)
    assert [escape.name for escape, after in pairs if escape.works(after)] == []
    assert len(expected) > 60


@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.name)
def test_every_escape_works_without_a_sandbox(escape: Escape, scene: Scene) -> None:
    run_free(escape, scene)
    if escape.works(scene):
        return
    if "PermissionError" in scene.printed or "not implemented" in scene.printed:
        pytest.skip(f"this machine lets nobody do it: {scene.printed.splitlines()[-1]}")
    pytest.fail(f"this shows nothing: {scene.printed[-2000:]}")
