"""Walking: the files that a person would list, in a fixed order, whatever the folder holds."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from onrecord.errors import UsageError
from onrecord.retrieval.document import Failure
from onrecord.retrieval.loading import failure, find_files
from tests.retrieval.loading_files import REPOSITORY, one


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the text of {name}\n", encoding="utf-8")


def found(root: Path) -> list[str]:
    return [
        f"! {item.reason}" if isinstance(item, Failure) else item.relative_to(root).as_posix()
        for item in find_files(root)
    ]


def test_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    make(tmp_path, "b.md", "a/z.txt", "a/b.txt", "c/d/e.rst", "B.md")
    assert found(tmp_path) == ["B.md", "a/b.txt", "a/z.txt", "b.md", "c/d/e.rst"]


def test_a_relative_root_gives_relative_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "docs/a.md", "docs/skip.md")
    (tmp_path / "docs/.gitignore").write_text("skip.md\n")
    monkeypatch.chdir(tmp_path)
    assert list(find_files(Path("docs"))) == [Path("docs/a.md")]
    assert list(find_files(Path())) == [Path("docs/a.md")]
    assert list(find_files(Path("docs/../docs"))) == [Path("docs/../docs/a.md")]


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert found(tmp_path) == []


def test_hidden_things_and_backups_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, ".env", ".git/config.txt", "a/.hidden/x.md", "~$report.docx", "a.md~", "a.md")
    assert found(tmp_path) == ["a.md"]


def test_a_hidden_root_is_meant(tmp_path: Path) -> None:
    make(tmp_path, ".notes/a.md", ".secret.md")
    assert found(tmp_path / ".notes") == ["a.md"]
    assert list(find_files(tmp_path / ".secret.md")) == [tmp_path / ".secret.md"]


def test_dependencies_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "env/pyvenv.cfg", "env/lib/x.py", "node_modules/a.md", "__pycache__/a.txt")
    make(tmp_path, "venv/notes.md")  # a name alone makes no virtual environment
    assert found(tmp_path) == ["venv/notes.md"]


def test_unknown_suffixes_are_taken_when_they_hold_text(tmp_path: Path) -> None:
    make(tmp_path, "Makefile", "LICENSE", "main.go", "setup.toml")
    (tmp_path / "blob.xyz").write_bytes(b"\x00\x01\x02" * 100)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "code.pyc").write_bytes(b"\x00")
    assert found(tmp_path) == ["LICENSE", "Makefile", "main.go", "setup.toml"]


def test_a_document_of_an_unread_format_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "old.doc").write_bytes(b"\xd0\xcf\x11\xe0")
    assert found(tmp_path) == ["old.doc"]


def test_files_empty_by_design_are_passed_over(tmp_path: Path) -> None:
    for name in ("__init__.py", "py.typed", "empty.md", "empty"):
        (tmp_path / name).touch()
    assert found(tmp_path) == ["empty", "empty.md"]


def test_whatever_file_is_named_is_meant(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG")
    assert list(find_files(picture)) == [picture]


def test_gitignore_files_are_honoured_and_the_nested_one_wins(tmp_path: Path) -> None:
    make(tmp_path, "build/a.md", "docs/build/b.md", "a.log", "keep.log", "docs/draft.md")
    make(tmp_path, "docs/final.md", "docs/keep/draft.md", "top/x.md", "docs/top/x.md")
    (tmp_path / ".gitignore").write_text(
        "# a comment\nbuild/\n*.log\n!keep.log\n/top\n\ndraft.md\n"
    )
    (tmp_path / "docs/keep/.gitignore").write_text("!draft.md\n")
    assert found(tmp_path) == ["docs/final.md", "docs/keep/draft.md", "docs/top/x.md", "keep.log"]


def test_the_repository_around_the_folder_has_its_say(tmp_path: Path) -> None:
    make(tmp_path, "docs/a.md", "docs/_build/b.md", "docs/c.md", "out/d.md")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("docs/_build/\nout/\nc.md\n")
    assert found(tmp_path / "docs") == ["a.md"]
    assert found(tmp_path / "out") == ["d.md"]  # who names an ignored folder means it


def test_without_a_repository_the_folders_above_have_no_say(tmp_path: Path) -> None:
    make(tmp_path, "docs/a.md")
    (tmp_path / ".gitignore").write_text("*.md\n")
    assert found(tmp_path / "docs") == ["a.md"]


def test_a_broken_gitignore_line_is_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "b.md")
    (tmp_path / ".gitignore").write_bytes(b"\xef\xbb\xbfa.md\r\n!\r\n[\r\n\\\r\n\xff\xfe\r\n")
    assert found(tmp_path) == ["b.md"]


def test_git_agrees_on_what_is_ignored(tmp_path: Path) -> None:
    names = ["a/b/c.md", "a/x.md", "foo/bar.md", "foo/keep/y.md", "foo/z.txt", "d/e/f.md", "d/g.md"]
    make(tmp_path, *names, "sp ace.md", "ä.md", "x/deep/er/one.md", "x/one.md")
    (tmp_path / ".gitignore").write_text(
        "foo/*\n!foo/keep/\na/**/c.md\n/d/e\nsp\\ ace.md\n**/deep/**\n!x/deep/er/one.md\n"
    )
    try:
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("git is not installed")
    command = ["git", "ls-files", "-z", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    expected = [name for name in listed.decode().split("\0") if name and name != ".gitignore"]
    assert sorted(found(tmp_path)) == sorted(expected)


def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    make(tmp_path, "docs/z/real.md", "docs/b.md", "outside/o.md")
    docs = tmp_path / "docs"
    (docs / "a").symlink_to(docs / "z")  # seen under its own name instead
    (docs / "alias.md").symlink_to(docs / "b.md")
    (docs / "z/up").symlink_to(docs)
    (docs / "z/self").symlink_to(docs / "z/self")
    (docs / "everything").symlink_to(tmp_path)  # would pull in what lies beside docs
    (docs / "other").symlink_to(tmp_path / "outside")
    (docs / "other2").symlink_to(tmp_path / "outside")
    (docs / "gone.md").symlink_to(tmp_path / "nothing.md")
    reached = ["b.md", "z/real.md"]
    assert found(docs) == [*reached, "! a link to nothing", "other/o.md", "! a link to itself"]


def test_a_link_as_root_is_followed(tmp_path: Path) -> None:
    make(tmp_path, "real/a.md")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert found(tmp_path / "link") == ["a.md"]


def test_pipes_and_sockets_are_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    make(tmp_path, "a.txt")
    assert found(tmp_path) == ["a.txt"]


def test_folders_nest_deeper_than_calls_do(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    depth = 300
    try:
        for _ in range(depth):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(os.open("a.md", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    finally:
        os.close(here)
    assert found(tmp_path) == ["d/" * depth + "a.md"]


def test_a_name_that_is_no_utf8_is_walked(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.md")
    path.write_text("text")
    assert list(find_files(tmp_path)) == [path]
    assert one(path).title == "caf\ufffd"  # a title is text, and so is a reason
    assert failure(path, "empty").path.endswith("caf\ufffd.md")


@pytest.mark.parametrize("name", ["missing", "file.md/below", "a\0b"])
def test_a_path_where_nothing_is_is_the_callers_error(tmp_path: Path, name: str) -> None:
    make(tmp_path, "file.md")
    with pytest.raises(UsageError, match="no such file or folder"):
        find_files(tmp_path / name)  # at once, not on the first file


AS_NOBODY = """
import os, sys
from pathlib import Path
from onrecord.retrieval.loading import can_load, find_files, load, failure
from onrecord.retrieval.document import Failure, Fields
from onrecord.errors import LoadError
import pathspec
can_load(Path("a.xyz"))  # imports what root's own Python may hide from others
root = Path(sys.argv[1])
os.setgid(65534); os.setuid(65534)
for item in find_files(root):
    if isinstance(item, Failure):
        print("walk", Path(item.path).name, item.reason)
    else:
        try:
            print("read", item.name, len(list(load(item, Fields(), item.name))))
        except LoadError as error:
            print("load", failure(item, error).reason)
"""


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="takes root to drop its rights")
def test_what_may_not_be_read_is_reported() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own are closed to other users
        root = Path(name)
        root.chmod(0o755)
        make(root, "a.md", "closed/b.md", "secret.md", "secret.xyz", "z.md")
        for path in ("closed", "secret.md", "secret.xyz"):
            (root / path).chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(root)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
        )
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip("this machine's Python is closed to other users")
    assert done.stdout.splitlines() == [
        "read a.md 1",
        "walk closed no permission to read it",
        "load no permission to read it",
        "walk secret.xyz no permission to read it",
        "read z.md 1",
    ], done.stderr
