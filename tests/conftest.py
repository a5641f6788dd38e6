from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Every test has a project folder of its own, and no settings of the machine's."""
    for variable in list(os.environ):
        if variable.startswith(("ONRECORD_", "OPENAI_")):
            monkeypatch.delenv(variable)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder


@pytest.fixture
def public_data() -> Path:
    """The public data for measuring; a test that needs it is skipped where it is not."""
    if not DATA.is_dir():
        pytest.skip("the public data (../shared/data) is not here")
    return DATA
