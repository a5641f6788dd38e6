"""Every code block of the documentation is executed: Python page by page, commands line by line."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN_ONLY = {"text", "toml"}


class Block(NamedTuple):
    language: str
    code: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(match[1], match[2], text.count("\n", 0, match.start()) + 1)
        for match in FENCE.finditer(text)
    ]


@pytest.fixture
def handbook(project: Path) -> Path:
    """The folder that the documentation speaks of."""
    folder = project / "handbook"
    folder.mkdir()
    (folder / "leave.md").write_text(
        "---\nstatus: Final\ncreated: 2021-03-01\n---\n# Leave\n\nEvery employee has twenty-eight "
        "days of paid leave a year. Leave that is not taken by the end of March expires.\n\n"
        "## Parental leave\n\nParents may take up to sixteen weeks of parental leave, of which six "
        "are paid in full.\n"
    )
    (folder / "travel.md").write_text("# Travel\n\nTrains are booked in second class.\n")
    return folder


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of models that docs/transformers.md speaks of."""
    from tests.models import tiny_models

    folder = tmp_path_factory.mktemp("models")
    tiny_models.causal(folder / "tiny")
    tiny_models.encoder(folder / "tiny-encoder")
    tiny_models.classifier(folder / "tiny-classifier")
    return folder


@pytest.fixture
def models_at_hand(request: pytest.FixtureRequest, handbook: Path) -> None:
    """Those folders, for the page that needs them."""
    if request.node.callspec.params["page"].name == "transformers.md":
        for folder in request.getfixturevalue("tiny_folders").iterdir():
            (handbook.parent / folder.name).symlink_to(folder)


def test_every_block_says_what_it_is() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.language in {"python", "sh", *SHOWN_ONLY}, f"{page.name}:{block.line}"


@pytest.mark.usefixtures("models_at_hand")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks(page: Path, handbook: Path) -> None:
    found = [block for block in blocks(page) if block.language == "python"]
    if not found:
        pytest.skip("no Python on this page")
    # A module of its own, in a file, as a reader would try it.
    script = handbook.parent / f"{page.stem.lower()}_page.py"
    script.write_text("\n".join(block.code for block in found))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_shell_blocks(page: Path, handbook: Path) -> None:
    lines = [
        line
        for block in blocks(page)
        if block.language == "sh"
        for line in block.code.splitlines()
        if line.strip()
    ]
    if not lines:
        pytest.skip("no commands on this page")
    for line in lines:
        words = shlex.split(line)
        if words[0] == "make":  # what runs this test; that its targets exist is what is left
            done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True)
            assert done.returncode == 0, line
        elif not words[0].startswith("OPENAI_"):  # needs a server that is not here
            command = line.replace("onrecord", f"{sys.executable} -m onrecord", 1)
            done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            assert "Traceback" not in done.stderr


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_anchors_exist() -> None:
    for page in PAGES:
        links = re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
        for target, anchor in links:
            there = (page.parent / target if target else page).read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.+)$", there, re.MULTILINE)
            assert anchor in {re.sub(r"\W+", "-", heading.lower()) for heading in headings}


def test_the_page_of_measurements_holds_what_was_measured() -> None:
    from benchmarks.measured import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_dependency_page_names_every_dependency() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "dependencies.md").read_text()
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    for requirement in [*project["dependencies"], *extras]:
        name = re.split(r"[<>=\[; ]", requirement)[0]
        assert name == "onrecord" or name in page, name
