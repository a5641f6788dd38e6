"""Files in place whole or not at all; what is no regular file is written into, and stays."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from onrecord.errors import StorageError
from onrecord.records import whole_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing else in it."""
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def test_a_file_is_replaced_and_keeps_its_mode(folder: Path) -> None:
    place = folder / "report.json"
    place.write_text("old")
    place.chmod(0o640)
    before = place.stat().st_ino
    whole_file.write(place, "new\n")
    assert place.read_text() == "new\n" and place.stat().st_ino != before
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    assert [each.name for each in folder.iterdir()] == ["report.json"]


def test_of_a_link_what_it_points_to_is_replaced(folder: Path) -> None:
    place, link = folder / "real", folder / "link"
    place.write_text("old")
    link.symlink_to("real")
    whole_file.write(link, "new")
    assert link.is_symlink() and place.read_text() == "new"


def test_a_fifo_stays_one_and_its_reader_gets_the_text(folder: Path) -> None:
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()), daemon=True)
    reader.start()
    whole_file.write_lines(fifo, (b"one\n", b"two\n"))
    reader.join(10)
    assert read == [b"one\ntwo\n"] and stat.S_ISFIFO(fifo.stat().st_mode)
    assert [each.name for each in folder.iterdir()] == ["fifo"]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no /dev/full")
def test_a_device_stays_one_and_its_error_is_told(folder: Path) -> None:
    device = folder / "full"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, Path("/dev/full").stat().st_rdev)
        device.open("wb").close()
    except OSError:  # only root makes devices, and not on every file system
        device.unlink(missing_ok=True)
        if os.geteuid() == 0:
            pytest.skip("a mistake here would replace the machine's own device")
        device.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        whole_file.write(device, "text")
    assert device.is_char_device() and Path("/dev/full").is_char_device()
    assert [each.name for each in folder.iterdir()] == ["full"]


def test_a_socket_is_refused_and_stays(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        with pytest.raises(OSError, match="socket"):
            whole_file.write(folder / "socket", "text")
    assert (folder / "socket").is_socket() and [each.name for each in folder.iterdir()] == [
        "socket"
    ]


WRITING = "import sys; from pathlib import Path; from onrecord.records import whole_file\n"
WRITING += "print('said', flush=True); whole_file.write(Path(sys.argv[1]), 'text\\n')"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_is_a_place_too(name: str, folder: Path) -> None:
    if not Path(name).parent.is_dir():
        pytest.skip("this system has none")
    command = [sys.executable, "-c", WRITING, name]
    piped = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60)
    assert piped.stdout == b"said\ntext\n"
    place = folder / "out.txt"
    with place.open("wb") as out:  # as `> out.txt` does: what follows goes to the same file
        subprocess.run(command, stdout=out, check=True, timeout=60)
        out.seek(0, os.SEEK_END)
        out.write(b"more\n")
    assert place.read_bytes() == b"said\ntext\nmore\n"
    assert [each.name for each in folder.iterdir()] == ["out.txt"]


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="there is no bash")
def test_a_process_substitution_is_a_place_too(folder: Path) -> None:
    script = f'"$1" -c "$2" >(cat > {folder}/got); wait $!'
    subprocess.run(
        ["/bin/bash", "-c", script, "bash", sys.executable, WRITING], check=True, timeout=60
    )
    assert (folder / "got").read_text() == "text\n"


def test_what_cannot_be_put_in_place_is_told_by_its_name(tmp_path: Path) -> None:
    place = whole_file.save(tmp_path / "new" / "page.html", "<p>half \ud800</p>", "the page")
    assert place.read_text() == "<p>half ?</p>"
    with pytest.raises(StorageError, match=r"the page cannot be written: .*new\)\. Name a file"):
        whole_file.save(tmp_path / "new", "text", "the page")
    with pytest.raises(StorageError, match=r"the report .* what should be its folder is a file"):
        whole_file.save(place / "report.json", b"{}", "the report")
