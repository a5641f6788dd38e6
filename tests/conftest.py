from __future__ import annotations

import errno
import ipaddress
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.hub_server import hub_server
from tests.servers.mlflow_server import mlflow_server
from tests.servers.otlp_collector import otlp_collector
from tests.servers.postgres import _cluster, postgres, postgres_cluster

__all__ = [
    "_cluster",
    "hub_server",
    "mlflow_server",
    "otlp_collector",
    "postgres",
    "postgres_cluster",
]

DATA = Path(__file__).parent.parent.parent / "shared" / "data"

# Settings of the machine's that a test must not see.
FOREIGN = (
    "ONRECORD_",
    "OPENAI_",
    "ANTHROPIC_",
    "OTEL_",
    "PG",
    "MLFLOW_TRACKING_",
    "MLFLOW_EXPERIMENT_",
)

# Libraries read these when they are imported, so they are set before any test is collected.
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}


def pytest_configure(config: pytest.Config) -> None:
    """Nothing looks for a hub, and nothing reports home."""
    cache = tempfile.TemporaryDirectory(prefix="onrecord-hf-", ignore_cleanup_errors=True)
    config.add_cleanup(cache.cleanup)
    os.environ.update(OFFLINE, HF_HOME=cache.name)
    for variable in ("HF_DATASETS_CACHE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        os.environ.pop(variable, None)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Every test has a project folder of its own, and no settings of the machine's."""
    for variable in list(os.environ):
        if variable.startswith(FOREIGN):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("ONRECORD_FOLD_SECONDS", "0")  # no thread outlives its test's folder
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """This process reaches no network: to the code under test it is down, and the test fails.

    It sees Python's own sockets, asyncio's included; not those of C libraries, and not those of
    other processes.
    """
    refused: list[str] = []
    connect, connect_ex, resolve = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if is_outside(self, address):
            refused.append(str(address))
            raise OSError(errno.ENETUNREACH, "a test reaches no network but loopback", address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        if is_outside(self, address):
            refused.append(str(address))
            return errno.ENETUNREACH
        return connect_ex(self, address)

    def guarded_resolve(host: Any, *args: Any, **options: Any) -> Any:
        host = host.decode() if isinstance(host, bytes) else host
        if not is_here(host):
            refused.append(host)
            raise socket.gaierror(socket.EAI_AGAIN, "a test reaches no network but loopback", host)
        return resolve(host, *args, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)
    yield refused
    assert not refused, f"a test reaches no network but loopback, and this one tried: {refused}"


def is_outside(sock: socket.socket, address: Any) -> bool:
    """Whether to connect there would leave this machine; unix sockets never do."""
    return sock.family in (socket.AF_INET, socket.AF_INET6) and not is_here(address[0])


def is_here(host: str | None) -> bool:
    """Whether a host, as getaddrinfo takes it, is this machine's loopback."""
    if host in (None, "", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@pytest.fixture
def public_data() -> Path:
    """The public data for measuring; a test that needs it is skipped where it is not."""
    if not DATA.is_dir():
        pytest.skip("the public data (../shared/data) is not here")
    return DATA
