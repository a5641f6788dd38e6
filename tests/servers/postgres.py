"""A PostgreSQL cluster of the test run's own, and a fresh database for every test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.servers import processes

DEBIAN = Path("/usr/lib/postgresql")

# Data that is thrown away need not survive a power cut (a crash of the server it does survive); the
# rest keeps the cluster small.
QUICK = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
}


class Cluster:
    """A PostgreSQL server with its data in a temporary folder.

    It listens on a port of 127.0.0.1, where the user `onrecord` needs its password, so that a
    test may look whether a password is shown to anybody; and on a socket in `folder`.
    """

    user = "onrecord"
    password = "not-to-be-shown"

    def __init__(self, programs: Path, folder: Path, account: str | None) -> None:
        self.folder = folder
        self.port = processes.free_port()
        self.log = folder / "log"
        self._programs = programs
        # PostgreSQL refuses to run as root.
        self._options = (
            {"cwd": folder, "user": account, "group": account} if account else {"cwd": folder}
        )
        if account:
            self._options["extra_groups"] = []
            shutil.chown(folder, account, account)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """The address of one database, password included."""
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Make the cluster's files."""
        password = self.folder / "password"
        password.write_text(self.password)
        password.chmod(0o644)  # the folder itself is closed to others
        command = [self._programs / "initdb", "--pgdata", self.folder / "data", "--no-sync"]
        command += ["--username", self.user, "--pwfile", password, "--encoding", "UTF8"]
        command += ["--locale", "C", "--auth-local", "trust", "--auth-host", "scram-sha-256"]
        done = subprocess.run(command, capture_output=True, text=True, **self._options)
        if done.returncode:
            raise processes.ServerFailed(f"initdb: {done.stderr}")

    def start(self) -> None:
        """Start the server and return when it answers. Does nothing when it runs."""
        if self.running:
            return
        command = [str(self._programs / "postgres"), "-D", str(self.folder / "data")]
        command += ["-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.folder)]
        for name, value in QUICK.items():
            command += ["-c", f"{name}={value}"]
        self._process = processes.start(command, self.log, signal.SIGQUIT, **self._options)
        processes.wait_until_up(self._process, self._answers, self.log)

    def stop(self) -> None:
        """Stop the server: whoever is connected is cut off, and nobody can connect.

        What was committed is there again after `start()`, at the same address.
        """
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Stop the server as a crash would: no goodbye, and recovery at the next `start()`."""
        self._end(signal.SIGQUIT)

    @property
    def running(self) -> bool:
        """Whether the server process lives."""
        return self._process is not None and self._process.poll() is None

    def execute(self, statement: str) -> None:
        """Run one statement outside of a transaction, in the database `postgres`."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _end(self, ending: signal.Signals) -> None:
        if self._process is not None:
            processes.stop(self._process, ending)
            self._process = None

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url()).close()
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Cluster]:
    programs = programs_folder()
    if programs is None:
        pytest.skip("PostgreSQL's programs are not here (Debian: apt-get install postgresql)")
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is not here (pip install 'onrecord[postgres]')")
    account = "postgres" if os.geteuid() == 0 else None
    if account and not has_account(account):
        pytest.skip("PostgreSQL does not run as root, and there is no account 'postgres'")
    # Not pytest's own temporary folder: that is closed to other accounts.
    with tempfile.TemporaryDirectory(
        prefix="onrecord-postgres-", ignore_cleanup_errors=True
    ) as name:
        cluster = Cluster(programs, Path(name), account)
        try:
            cluster.create()
            cluster.start()
            yield cluster
        finally:
            cluster.crash()


@pytest.fixture
def postgres_cluster(_cluster: Cluster) -> Iterator[Cluster]:
    """The running cluster, for a test that stops and starts it. It runs again afterwards."""
    _cluster.start()
    yield _cluster
    _cluster.start()


@pytest.fixture
def postgres(postgres_cluster: Cluster) -> Iterator[str]:
    """The URL of an empty database, `postgresql://user:password@127.0.0.1:port/name`."""
    name = f"test_{uuid.uuid4().hex}"
    postgres_cluster.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield postgres_cluster.url(name)
    postgres_cluster.start()
    postgres_cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


def programs_folder() -> Path | None:
    """Where `initdb` and `postgres` are: the newest of Debian's, or what the path leads to."""
    debian = [folder for folder in DEBIAN.glob("*/bin") if (folder / "initdb").exists()]
    if debian:
        return max(debian, key=lambda folder: float(folder.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def has_account(name: str) -> bool:
    """Whether this machine knows the account."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
