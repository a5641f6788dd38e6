"""`onrecord ask` with a model that writes, over real HTTP: a small server speaking the protocol."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_commands import onrecord


class Handler(BaseHTTPRequestHandler):
    """Lists one model, and streams the same answer, with one true and one invented quotation."""

    asked: list[dict[str, Any]]

    def do_GET(self) -> None:
        self._send("application/json", json.dumps({"object": "list", "data": [{"id": "tiny"}]}))

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        quotes = ["twenty-eight days of paid leave", "and a golden watch"]
        answer = {
            "answer": "28 days.",
            "quotes": [{"passage": 1, "quote": quote} for quote in quotes],
            "refused": False,
            "reason": "",
        }
        text = json.dumps(answer)
        parts = [text[at : at + 7] for at in range(0, len(text), 7)]
        chunks = [{"choices": [{"index": 0, "delta": {"content": part}}]} for part in parts]
        usage = {"prompt_tokens": 50, "completion_tokens": 9, "total_tokens": 59}
        done = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage}
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in (*chunks, done)]
        self._send("text/event-stream", "".join([*lines, "data: [DONE]\n\n"]))

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _send(self, kind: str, body: str) -> None:
        data = body.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    asked: list[dict[str, Any]] = []
    handler = type("Asked", (Handler,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("model", ["openai:tiny", "auto"])
def test_an_answer_in_words_with_verified_quotations(
    project: Path, server: tuple[str, list[dict[str, Any]]], model: str
) -> None:
    address, asked = server
    text = "Every employee has twenty-eight days of paid leave a year."
    (project / "leave.md").write_text(text)
    assert onrecord("ingest", "leave.md").returncode == 0
    environment = {**os.environ, "OPENAI_BASE_URL": address, "OPENAI_API_KEY": "sk-secret-key"}
    question = "How many days of leave?"
    done = onrecord("ask", question, "--model", model, "--json", env=environment)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["answer"], answer["model"]) == ("28 days.", "openai:tiny")
    assert answer["cost_usd"] == 0  # a server on this machine is the user's own
    (citation,) = answer["citations"]
    assert text[citation["start"] : citation["end"]] == citation["quote"]
    assert "golden watch" in answer["reason"]
    assert len(asked) == 2  # once more, told which quotation is not there
    assert "golden watch" in asked[1]["messages"][-1]["content"]
    assert ("the server found at" in done.stderr) == (model == "auto")
    shown = onrecord("ask", question, "--model", model, env=environment)
    assert "28 days." in shown.stdout and "golden watch" in shown.stdout
    assert "$0.00" in shown.stdout
    everything = b"".join(path.read_bytes() for path in project.rglob("*") if path.is_file())
    assert b"sk-secret-key" not in everything


def test_auto_without_a_server_says_that_it_falls_back(project: Path) -> None:
    (project / "leave.md").write_text("Every employee has twenty-eight days of paid leave a year.")
    assert onrecord("ingest", "leave.md").returncode == 0
    done = onrecord("ask", "How many days of paid leave?", "--model", "auto", "--json")
    answer = json.loads(done.stdout)
    if answer["model"] == "embedded:extractive":  # else somebody runs a model on this machine
        assert "no local server was found" in done.stderr
    assert done.returncode == 0
