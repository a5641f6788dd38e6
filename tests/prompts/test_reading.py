"""The files of a prompt, looked at by every call: never a text that is no longer there."""

import logging
import os
import shutil
from pathlib import Path

import pytest

from onrecord.errors import PromptError
from onrecord.prompts import reading
from onrecord.prompts.reading import Reading

FIRST, SECOND = "app/prompts", "prompts"
DEMO = '{"inputs": {"mail": "%s"}, "output": "x"}\n'


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def settled(monkeypatch):
    """Files count as settled at once: their stamps alone are to tell a change."""
    monkeypatch.setattr(reading, "_TICK_NS", 0)


def write(text, name="sort.md", folder=SECOND):
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder, name)
    path.write_text(text, encoding="utf-8")
    return path


def text_of(files):
    return files.template and files.template.source


def first_mails(files):
    return files.demos and [demo.inputs["mail"] for demo in files.demos.demos]


def test_what_did_not_change_is_the_same_value():
    files = Reading((FIRST, SECOND), "sort")
    assert files.files() is files.files() == (None, None)
    path = write("one")
    write(DEMO % "a", "sort.demos.jsonl")
    known = files.files()
    assert files.files() is known
    os.utime(path)  # another time, the same words
    assert files.files() is known


@pytest.mark.usefixtures("settled")
def test_a_file_that_comes_changes_moves_or_goes_is_noticed():
    files = Reading((FIRST, SECOND), "sort")
    assert text_of(files.files()) is None
    write("in the working folder")
    assert text_of(files.files()) == "in the working folder"
    write("edited")
    assert text_of(files.files()) == "edited"
    beside = write("beside the module", folder=FIRST)
    assert text_of(files.files()) == "beside the module"
    beside.unlink()
    assert text_of(files.files()) == "edited"
    shutil.rmtree(SECOND)
    assert text_of(files.files()) is None
    write("as Prompty\n", "sort.prompty")
    assert files.files().template.sections[0].role == "system"


@pytest.mark.usefixtures("settled")
def test_a_change_that_keeps_size_and_time_is_noticed():
    files = Reading((SECOND,), "sort")
    path = write("one")
    before = path.stat()
    assert text_of(files.files()) == "one"
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as rsync and `cp -p` do
    assert text_of(files.files()) == "two"
    other = write("six", "other.md")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert text_of(files.files()) == "six"


@pytest.mark.parametrize("name", ["sort.md", "sort.demos.jsonl"])
def test_a_change_within_one_tick_of_the_clock_is_noticed(name, monkeypatch):
    look = os.stat

    def coarse(*args, **options):
        """A file system whose clock counts whole seconds."""
        found = look(*args, **options)
        fields = {each: getattr(found, each) for each in dir(found) if each.startswith("st_")}
        for time in ("st_mtime_ns", "st_ctime_ns"):
            fields[time] = fields[time] // 10**9 * 10**9
        return type("Status", (), fields)

    files = Reading((SECOND,), "sort")
    write("text")
    write(DEMO % "a", name) if "demos" in name else write("one", name)
    monkeypatch.setattr(reading.os, "stat", coarse)
    before = files.files()
    assert files.files() is before
    write(DEMO % "b", name) if "demos" in name else write("two", name)
    now = files.files()
    assert (text_of(now), first_mails(now)) != (text_of(before), first_mails(before))


@pytest.mark.usefixtures("settled")
def test_demos_that_come_change_or_go_are_noticed():
    files = Reading((FIRST, SECOND), "sort")
    for text in (None, "# user\n{{ mail }}"):  # without a text, and beside one
        if text:
            write(text)
        assert first_mails(files.files()) is None
        path = write(DEMO % "a", "sort.demos.jsonl")
        assert first_mails(files.files()) == ["a"]
        path.write_text(DEMO % "b")
        assert first_mails(files.files()) == ["b"]
        path.unlink()
        assert first_mails(files.files()) is None
    path = write(DEMO % "a", "other.jsonl")
    write("---\ndemos: {file: other.jsonl}\n---\n{{ mail }}")
    assert first_mails(files.files()) == ["a"]
    path.unlink()
    for _ in range(2):
        with pytest.raises(PromptError, match=r"other\.jsonl"):
            files.files()
    write(DEMO % "c", "other.jsonl")
    assert first_mails(files.files()) == ["c"]


def test_a_file_that_cannot_be_read_is_an_error_at_each_call_until_it_is_mended():
    files = Reading((SECOND,), "sort")
    path = write("one")
    assert text_of(files.files()) == "one"
    path.write_bytes(b"\xff")
    for _ in range(2):
        with pytest.raises(PromptError, match="not UTF-8 at byte 0"):
            files.files()
    path.unlink()
    path.mkdir()
    with pytest.raises(PromptError, match="it is no file"):
        files.files()
    path.rmdir()
    write("one")
    assert text_of(files.files()) == "one"


def test_the_notes_of_a_file_are_logged_once(caplog):
    files = Reading((SECOND,), "sort")
    write("---\nname: sort\noutputs: {x: y}\n---\nuser:\nHello.\n", "sort.prompty")
    with caplog.at_level(logging.WARNING, "onrecord"):
        for _ in range(3):
            files.files()
    assert len([each for each in caplog.messages if "outputs" in each]) == 1
