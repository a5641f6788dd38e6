"""Bad input: one clear sentence, the right exit status, no traceback, and nothing lost."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_commands import onrecord, printed


def refused(status: int, sentence: str, *arguments: object, **options: Any) -> str:
    """The command fails with this status, and one message that holds this sentence."""
    done = onrecord(*arguments, **options)
    assert done.returncode == status, done.stdout + done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def notes(project: Path) -> Path:
    folder = project / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# Trains\n\nTrains are booked in second class by the assistant.")
    assert onrecord("ingest", folder).returncode == 0
    return folder


def documents(project: Path) -> int:
    with sqlite3.connect(project / ".onrecord/collections/default/collection.db") as connection:
        return int(connection.execute("SELECT count(*) FROM document").fetchone()[0])


def test_an_empty_folder(project: Path) -> None:
    (project / "empty").mkdir()
    done = printed("ingest", "empty")
    assert (done["added"], done["chunks"], done["failed"]) == (0, 0, [])
    assert "there is no file here that can be read" in onrecord("ingest", "empty").stdout
    for command in ("search", "ask"):
        message = refused(2, "'default' holds nothing yet", command, "anything")
        assert "Fill it with `onrecord ingest PATH`" in message


def test_a_path_that_was_mistyped(project: Path) -> None:
    assert "hanbook" in refused(2, "there is no such file or folder", "ingest", "hanbook")
    refused(2, "there is no collection 'default' yet", "search", "anything")
    assert not (project / ".onrecord/collections/default/collection.db").exists()


def test_an_empty_file_and_binary_junk(notes: Path, project: Path) -> None:
    (notes / "empty.md").write_text("")
    (notes / "junk.txt").write_bytes(bytes(range(256)) * 50)
    message = refused(3, "empty.md: empty", "ingest", notes)
    assert "junk.txt: " in message
    assert documents(project) == 1


def test_a_200_mb_text_file(notes: Path, project: Path) -> None:
    with (notes / "large.txt").open("wb") as file:
        file.truncate(200_000_000)
    message = refused(3, "too large: 200 MB, the limit is 50 MB", "ingest", notes)
    assert "large.txt" in message and "max_file_mb" in message
    assert documents(project) == 1


def test_one_line_of_a_megabyte_and_more(notes: Path) -> None:
    # The 5 MB line takes half a minute to embed; the path is the same.
    line = " ".join(f"word{number} is number {number}" for number in range(12_000))
    (notes / "line.txt").write_text(line[:300_000])
    done = printed("ingest", notes)
    assert done["added"] == 1 and not done["failed"]
    passage = printed("search", "word7777 is number 7777", "-k", 1)["passages"][0]
    assert line[passage["start"] : passage["end"]] == passage["text"]


def test_invalid_utf_8(notes: Path) -> None:
    (notes / "latin.txt").write_bytes(
        "Die Züge fahren über die Brücke nach Köln.".encode("latin-1")
    )
    (notes / "nearly.txt").write_bytes(b"A text in UTF-8 \xe2\x82\xac with one bad byte \xff here.")
    assert printed("ingest", notes)["added"] == 2
    assert "Köln" in printed("search", "Züge nach Köln", "-k", 1)["passages"][0]["text"]


def test_a_file_name_that_is_no_utf_8(notes: Path) -> None:
    name = os.fsdecode(b"caf\xe9.md")
    (notes / name).write_text("Coffee is served in the morning.")
    assert printed("ingest", notes)["added"] == 1
    assert "Coffee" in printed("search", "coffee", "-k", 1)["passages"][0]["text"]


def test_questions(notes: Path) -> None:
    refused(2, "the question is empty", "ask", "")
    refused(2, "the question is empty", "search", "   ")
    for question in (
        "trains " * 14_000,
        "'; DROP TABLE document; --",
        '" AND NEAR( * ^',
        "🚂 قطار",
    ):
        assert len(printed("search", question)["passages"]) == 1
        assert "answer" in printed("ask", question)
    refused(2, "k is 0", "search", "trains", "-k", 0)


def test_filters(notes: Path) -> None:
    message = refused(2, "there is no field", "search", "x", "--where", 'colour = "red"')
    assert "column 1" in message
    refused(2, "column", "search", "x", "--where", 'title = "a" and')
    refused(2, "column", "ask", "x", "--where", "title = 'a'; DROP TABLE document")


def test_a_collection_that_is_not_there_or_newer(notes: Path, project: Path) -> None:
    refused(2, "there is no collection 'nothing' yet", "ask", "x", "--collection", "nothing")
    refused(2, "cannot be the name of a collection", "ask", "x", "--collection", "../up")
    refused(2, "there is no such file or folder", "ingest", "nowhere")
    with sqlite3.connect(project / ".onrecord/collections/default/collection.db") as connection:
        connection.execute("PRAGMA user_version = 9")
    for command in (("ask", "x"), ("search", "x"), ("ingest", notes)):
        refused(4, "newer Onrecord", *command)
    assert documents(project) == 1  # nothing of it was touched


def test_settings(notes: Path, project: Path) -> None:
    (project / "onrecord.toml").write_text('modle = "scripted:demo"\n')
    refused(2, "Did you mean 'model'?", "ask", "x")
    (project / "onrecord.toml").write_text("model = [\n")
    refused(2, "not valid TOML", "ask", "x")
    (project / "onrecord.toml").write_text("max_file_mb = 'many'\n")
    refused(2, "wrong type", "ingest", notes)
    (project / "onrecord.toml").unlink()
    environment = {**os.environ, "ONRECORD_MAX_FILE_MB": "few"}
    refused(2, "variable ONRECORD_MAX_FILE_MB", "ingest", notes, env=environment)
    assert printed("ingest", notes)["unchanged"] == 1  # with the settings mended, all is there


def test_ctrl_c_in_the_middle(notes: Path, project: Path) -> None:
    for number in range(4000):
        (notes / f"{number}.txt").write_text(f"Number {number} is a number between the others.")
    child = subprocess.Popen(
        [sys.executable, "-m", "onrecord", "ingest", str(notes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(1.5)
    child.send_signal(signal.SIGINT)
    _, message = child.communicate(timeout=60)
    assert child.returncode == 130
    assert message.strip() == "error: interrupted; what was not finished was not kept"
    assert documents(project) == 1


@pytest.fixture
def small_disk(project: Path) -> Iterator[Path]:
    """A disk of three megabytes of its own."""
    folder = project / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk(notes: Path, small_disk: Path) -> None:
    environment = {**os.environ, "ONRECORD_HOME": str(small_disk / ".onrecord")}
    assert onrecord("ingest", notes, env=environment).returncode == 0
    for number in range(60):
        sentences = [f"Sentence {number}-{i} tells of the number {i * number}." for i in range(60)]
        (notes / f"{number}.txt").write_text(" ".join(sentences))
    refused(4, "the disk is full; nothing was changed", "ingest", notes, env=environment)
    found = onrecord("search", "trains", "--json", env=environment)
    assert found.returncode == 0 and "second class" in found.stdout


def test_a_read_only_disk(notes: Path, small_disk: Path) -> None:
    environment = {**os.environ, "ONRECORD_HOME": str(small_disk / ".onrecord")}
    assert onrecord("ingest", notes, env=environment).returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    (notes / "b.md").write_text("Another one.")
    refused(4, "read-only", "ingest", notes, env=environment)
    asked = onrecord("ask", "Who books trains in second class?", env=environment)
    assert asked.returncode == 0 and "second class" in asked.stdout
    assert "records are not being kept" in asked.stderr


def test_an_unreadable_file(notes: Path, project: Path) -> None:
    secret = notes / "secret.md"
    secret.write_text("Nobody may read this.")
    secret.chmod(0)
    if os.geteuid() != 0:
        done = onrecord("ingest", "notes")
    else:  # root reads everything: let go of that right, and of nothing else
        drop = ["capsh", "--drop=cap_dac_override,cap_dac_read_search", "--", "-c"]
        if shutil.which("capsh") is None:
            pytest.skip("root reads every file, and capsh (libcap2-bin) is not here to change that")
        command = f"{sys.executable} -m onrecord ingest notes"
        done = subprocess.run([*drop, command], capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert "secret.md: no permission to read it" in done.stderr


def test_no_room_for_the_output(notes: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    for command in ("search trains", "search trains --json"):
        line = f"{sys.executable} -m onrecord {command} > /dev/full"
        done = subprocess.run(line, shell=True, capture_output=True, text=True)
        assert done.returncode == 4
        assert "No space left on device" in done.stderr and "Traceback" not in done.stderr


def test_a_document_cannot_command_the_terminal(notes: Path) -> None:
    (notes / "evil.txt").write_text("A crocodile \x1b]0;title\x07 says \x1b[31mred things.")
    assert onrecord("ingest", notes).returncode == 0
    for command in ("search", "ask"):
        said = onrecord(command, "What does the crocodile say?").stdout
        assert "\x1b" not in said and r"\x1b[31mred things" in said
    passage = printed("search", "crocodile", "-k", 1)["passages"][0]
    assert "\x1b[31m" in passage["text"]  # as data it stays what it is


def test_an_emptied_database_is_filled_again(notes: Path, project: Path) -> None:
    for path in (project / ".onrecord/collections/default").glob("collection.db*"):
        path.write_bytes(b"")
    refused(2, "holds nothing yet", "ask", "x")
    assert printed("ingest", notes)["added"] == 1


def test_damaged_records_are_kept_aside_and_built_anew(notes: Path, project: Path) -> None:
    before = onrecord("records")
    assert before.returncode == 0
    (project / ".onrecord/records.db").write_bytes(b"junk" * 500)
    after = onrecord("records")
    assert after.returncode == 0 and after.stdout == before.stdout
    assert "was damaged. It is kept as" in after.stderr
