"""A real MLflow server, with its store in a temporary SQLite file."""

from __future__ import annotations

import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.servers import processes

# No job runner: tracking needs none, and the server starts sooner and is one process less.
SMALL = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an MLflow server, `http://127.0.0.1:port`, shared by all tests that ask for it.

    What they log stays until the end: a test makes an experiment with a name of its own. OTLP
    traces are taken at `/v1/traces`, with the experiment's id in the header
    `x-mlflow-experiment-id`.
    """
    if find_spec("mlflow") is None or find_spec("flask") is None:
        pytest.skip("the MLflow server is not here (pip install mlflow)")
    folder = tmp_path_factory.mktemp("mlflow")
    port = processes.free_port()
    url = f"http://127.0.0.1:{port}"
    log = folder / "log"
    ending = signal.SIGTERM
    process = processes.start(
        command(folder, port), log, ending, cwd=folder, env=os.environ | SMALL
    )
    try:
        processes.wait_until_up(process, lambda: is_healthy(url), log)
        yield url
    finally:
        processes.stop(process, ending)


def command(folder: Path, port: int) -> list[str]:
    """The command line of the server."""
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts"), "--workers", "1"),
    ]


def is_healthy(url: str) -> bool:
    """Whether the server says that it can be used."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
