"""`hf:` models from a server that speaks as much of the Hub as loading takes."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SCRIPT = """
import asyncio, json, sys
from onrecord.errors import OnrecordError
from onrecord.messages import text_message
from onrecord.models.model import Parameters, Request
from onrecord.models.transformers.model import HFModel

async def last(model):
    request = Request((text_message("user", "the cat"),), Parameters(max_tokens=5))
    return [event async for event in model.stream(request)][-1]

said = {}
for name in sys.argv[1:]:
    try:
        model = HFModel(name)
        said[name] = [model.version, asyncio.run(last(model)).text]
    except OnrecordError as error:
        said[name] = [type(error).__name__, str(error)]
print(json.dumps(said))
"""


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path

    def do_HEAD(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/owner/tiny/"):  # templates in a folder of their own?
            return self.reply(200, b"[]", content_type="application/json")
        name, _, rest = path[1:].partition("/resolve/")
        file = self.folder / rest.partition("/")[2]
        if name == "owner/gated":
            return self.reply(403, b"", x_error_code="GatedRepo")
        if name != "owner/tiny":
            return self.reply(401, b"", x_error_code="RepoNotFound")
        if not rest or not file.is_file():
            return self.reply(404, b"", x_error_code="EntryNotFound", x_repo_commit=COMMIT)
        self.reply(200, file.read_bytes(), etag=f'"{file.name}"', x_repo_commit=COMMIT)

    do_GET = do_HEAD

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(tiny):
    handler = type("Handler", (Hub,), {"folder": tiny("causal")})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def said(place, names, **variables):
    environment = {**os.environ, "HF_HOME": str(place), "NO_PROXY": "127.0.0.1", **variables}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *names],
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_models_of_the_hub(hub, tmp_path):
    names = ["owner/tiny", "owner/gated", "owner/nothing"]
    found = said(tmp_path, names, HF_ENDPOINT=hub, HF_HUB_OFFLINE="0")
    assert found["owner/tiny"][0] == COMMIT[:16], found
    assert found["owner/tiny"][1]
    kind, sentence = found["owner/gated"]
    assert kind == "ModelRefusedError"
    assert "gated" in sentence and "HF_TOKEN" in sentence
    kind, sentence = found["owner/nothing"]
    assert kind == "ModelRefusedError"
    assert "no such model on the Hub" in sentence
    # What was loaded once is there without the Hub.
    again = said(tmp_path, ["owner/tiny"], HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert again["owner/tiny"] == found["owner/tiny"]
