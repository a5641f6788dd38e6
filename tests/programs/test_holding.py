"""One process goes on with a run at a time, also where machines share a PostgreSQL store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from onrecord.programs.holding import _StoreLock
from onrecord.settings import Settings
from tests.servers.postgres import Cluster

ROOT = Path(__file__).parent.parent.parent

PROGRAM = """
import os, signal, sys
from pathlib import Path
import onrecord as on
from onrecord.errors import ResumeError

@on.tool(idempotent=False)
async def refund(order: str) -> str:
    with Path(os.environ["DONE"]).open("a") as file:
        file.write(order + "\\n")
    print("begun", flush=True)
    sys.stdin.readline()
    return "refunded"

@on.flow
async def settle(order: str) -> str:
    if await on.pause("Refund?") == "yes":
        return await refund(order)
    return "kept"

try:
    if sys.argv[1] == "begin":
        settle.run("17")
    else:
        print(settle.resume.run(sys.argv[1], answers={sys.argv[2]: "yes"}))
except on.PausedError as paused:
    on.Store.open().close()
    print(paused.run, paused.questions[0].id)
except ResumeError as error:
    print(error)
"""


class Machines:
    """Two of them, with a home each and one store."""

    def __init__(self, folder: Path, store: str) -> None:
        self._folder = folder
        self._store = store
        (folder / "program.py").write_text(PROGRAM)

    def start(self, machine: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "program.py", *arguments],
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "ONRECORD_HOME": str(self._folder / machine),
                "ONRECORD_STORE": self._store,
                "ONRECORD_FOLD_SECONDS": "0",
                "DONE": str(self._folder / "done"),
                "PYTHONPATH": str(ROOT),
            },
        )

    def say(self, machine: str, *arguments: str) -> str:
        return self.start(machine, *arguments).communicate("\n", timeout=60)[0].strip()

    @property
    def done(self) -> list[str]:
        return (self._folder / "done").read_text().split()


def _begun(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None and process.stdout.readline() == "begun\n"


def test_two_machines_do_not_go_on_with_one_run(postgres: str, tmp_path: Path) -> None:
    machines = Machines(tmp_path, postgres)
    run, question = machines.say("one", "begin").split()
    first = machines.start("one", run, question)
    _begun(first)
    assert "another process goes on with the run" in machines.say("two", run, question)
    assert first.communicate("\n")[0].strip() == "refunded"
    # What the first has done is in the store before it lets go, though nothing else folds.
    assert machines.say("two", run, question) == "refunded"
    assert machines.done == ["17"]


def test_a_machine_that_died_keeps_its_run_until_its_journal_is_taken_in(
    postgres: str, tmp_path: Path
) -> None:
    machines = Machines(tmp_path, postgres)
    run, question = machines.say("one", "begin").split()
    first = machines.start("one", run, question)
    _begun(first)
    first.kill()
    first.communicate()
    assert "the run is still going" in machines.say("two", run, question)
    _, doubt = machines.say("one", run, question).split()  # its journal tells what was begun
    assert machines.done == ["17"] and doubt != question


def test_a_run_is_let_go_of_where_the_store_is_down(
    postgres: str, postgres_cluster: Cluster, tmp_path: Path
) -> None:
    machines = Machines(tmp_path, postgres)
    run, question = machines.say("one", "begin").split()
    first = machines.start("one", run, question)
    _begun(first)
    postgres_cluster.stop()
    assert first.communicate("\n")[0].strip() == "refunded"
    postgres_cluster.start()
    assert "the run is still going" in machines.say("two", run, question)
    assert machines.say("one", run, question) == "refunded"
    assert machines.say("two", run, question) == "refunded"
    assert machines.done == ["17"]


def test_a_connection_that_was_lost_is_closed(
    postgres: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONRECORD_STORE", postgres)
    lock = _StoreLock(Settings.load(), "0" * 32)
    connection = lock._connection
    backend = connection.scalar(sa.select(sa.func.pg_backend_pid()))
    with lock._store.engine.connect() as other:
        other.execute(sa.select(sa.func.pg_terminate_backend(backend)))
    lock.release()
    assert connection.closed
