"""`onrecord serve` as a user meets it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

APPLICATION = '''
import onrecord as on
from onrecord import ask


@on.flow
def greet(name: str) -> str:
    """Greet somebody."""
    return f"hello {name}"


@on.flow
def other() -> None:
    """Does nothing."""


clerk = on.Agent(on.Scripted(["Yes."]), name="clerk")
_hidden = on.Agent(on.Scripted(["Yes."]), name="hidden")


@on.tool(approve=True)
def pay(amount: int) -> str:
    """Pays."""
    return "paid"
'''


def serve(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A server whose client goes away at once."""
    return subprocess.run(
        [sys.executable, "-m", "onrecord", "serve", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def application(project: Path) -> Path:
    path = project / "app.py"
    path.write_text(APPLICATION)
    return path


def test_what_is_offered(application: Path) -> None:
    done = serve(application, "--mcp")
    assert (done.returncode, done.stdout) == (0, "")
    assert "greet, other, clerk: on standard input and output" in done.stderr
    assert "not offered: the tool 'pay' wants a person's approval" in done.stderr
    named = serve(application, "--mcp", "--flows", "greet, clerk")
    assert "greet, clerk: on standard" in named.stderr and "not offered" not in named.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["app.py"], "nothing says how to serve. Write --mcp."),
        (["--mcp"], "nothing is named that could be offered"),
        (["none.py", "--mcp"], "there is no file none.py"),
        (["app.py", "--mcp", "--flows", "greeet"], "no flow 'greeet' in app.py. Did you mean 'gr"),
        (["app.py", "--mcp", "--flows", "pay"], "the tool 'pay' wants a person's approval"),
        (["app.py", "--mcp", "--flows", "ask"], "cannot be described to a model"),
        (["--mcp", "--collections", "none"], "the collection 'none' is empty. Fill it: onrecord"),
        (["--mcp", "--flows", "greet", "-c", "none"], "--flows names flows of no file"),
        (["onrecord.words", "--mcp"], "there is no flow in onrecord.words"),
        (["app.py", "--mcp", "--http", "--host", "192.0.2.1"], "nothing can listen there"),
    ],
)
def test_what_cannot_be_served(application: Path, arguments: list[str], said: str) -> None:
    done = serve(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_port_that_is_taken(application: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = serve("app.py", "--mcp", "--http", "--port", taken.getsockname()[1])
    assert done.returncode == 2 and "nothing can listen there: Address already" in done.stderr


@pytest.mark.parametrize("more", [(), ("--http", "--port", "0")])
def test_control_c_ends_it(application: Path, more: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "onrecord", "serve", "app.py", "--mcp", *more]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while b"greet, other, clerk" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(1)  # it says so a moment before it listens
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0 and said == b"ended\n"


def test_an_address_for_others_is_warned_of(application: Path) -> None:
    command = [sys.executable, "-m", "onrecord", "serve", "app.py", "--mcp", "--http"]
    arguments = [*command, "--host", "0.0.0.0", "--port", "0"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines: list[str] = []
        while not lines or "warning" not in lines[-1]:
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        process.send_signal(signal.SIGTERM)
    assert "whoever reaches this address may call them" in lines[-1]
