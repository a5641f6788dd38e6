"""A server that speaks the model Hub's HTTP API, and applies the filters it is sent.

What it knows: `GET /api/models` with its filters, order, pages and fields; `GET /api/models/NAME`;
`GET /api/models-tags-by-type`; `GET /NAME/resolve/main/FILE`. A parameter it does not know is
refused with 400, so that a misspelt one is seen.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

import pytest

LISTED = {"id", "_id", "modelId"}
FILTERS = {
    *("filter", "pipeline_tag", "num_parameters", "search", "author", "sort", "limit", "expand"),
    "cursor",
}
UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Asked:
    """One request that came."""

    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]  # names in lower case


@dataclass
class HubServer:
    """What a test sees of the Hub: what it holds, what it was asked, how it fails."""

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    tags: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    gated_files: set[str] = field(default_factory=set)
    token: str | None = None  # the only one that is accepted
    page: int = 100  # the longest page
    replies: list[Callable[[Handler], None]] = field(default_factory=list)  # instead of an answer
    url: str = ""

    def add(self, name: str, **facts: Any) -> None:
        """A model; `facts` are the fields of its entry, as the Hub names them."""
        entry = {
            "_id": f"{len(self.models):024x}",
            "id": name,
            "modelId": name,
            "private": False,
            "gated": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "createdAt": "2024-01-01T00:00:00.000Z",
            "lastModified": "2025-01-01T00:00:00.000Z",
        }
        self.models[name] = {**entry, **facts}

    def fail(
        self, status: int, times: int = 1, *, body: bytes = b"{}", **headers: str | None
    ) -> None:
        """Answer the next requests with a status; `retry_after="7"` is a header."""
        named = {name.replace("_", "-"): value for name, value in headers.items() if value}
        self.replies += [lambda handler: handler.answer(status, body, **named)] * times

    def hang(self, seconds: float = 30) -> None:
        """Take the next request and say nothing."""
        self.replies.append(lambda _: time.sleep(seconds))

    def answer(self, body: bytes, media_type: str = "application/json") -> None:
        """Answer the next request with this."""
        self.replies.append(lambda handler: handler.answer(200, body, content_type=media_type))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: HubServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        hub, parts = self.server.hub, urlsplit(self.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        headers = {name.lower(): value for name, value in self.headers.items()}
        hub.asked.append(Asked(path, query, headers))
        if hub.replies:
            self.close_connection = True
            return hub.replies.pop(0)(self)
        sent = headers.get("authorization", "")
        if sent.startswith("Bearer ") and sent != f"Bearer {hub.token}":
            return self.refuse(401, "", "Invalid credentials in Authorization header")
        if path == "/api/models":
            return self._list(query)
        if path == "/api/models-tags-by-type":
            kinds = query.get("type", list(hub.tags))
            return self.give({kind: hub.tags.get(kind, []) for kind in kinds})
        if path.startswith("/api/models/"):
            return self._model(path.removeprefix("/api/models/"), query)
        if found := re.fullmatch(r"/(.+)/resolve/main/(.+)", path):
            return self._file(found[1], found[2])
        self.refuse(404, "", "Sorry, we can't find the page you are looking for.")

    def _list(self, query: dict[str, list[str]]) -> None:
        hub = self.server.hub
        if unknown := set(query) - FILTERS:
            return self.refuse(400, "", f"unknown parameters: {', '.join(sorted(unknown))}")
        found = [entry for entry in hub.models.values() if fits(entry, query)]
        order = query.get("sort", ["trendingScore"])[0]
        if order not in ("downloads", "likes", "lastModified", "createdAt", "trendingScore"):
            return self.refuse(400, "", f'"sort" must not be {order}')
        found.sort(key=lambda entry: entry.get(order) or 0, reverse=True)
        start = int(query.get("cursor", ["0"])[0])
        length = min(int(query.get("limit", ["100"])[0]), hub.page)
        wanted = {*LISTED, *query.get("expand", ["downloads", "likes", "tags", "pipeline_tag"])}
        page = [
            {name: value for name, value in entry.items() if name in wanted}
            for entry in found[start : start + length]
        ]
        headers = {}
        if start + length < len(found):
            following = urlencode({**query, "cursor": [str(start + length)]}, doseq=True)
            headers["link"] = f'<{hub.url}/api/models?{following}>; rel="next"'
        self.give(page, **headers)

    def _model(self, name: str, query: dict[str, list[str]]) -> None:
        hub = self.server.hub
        entry = hub.models.get(name)
        if entry is None:
            if old := next((n for n in hub.models if n.endswith(f"/{name}")), None):
                return self.answer(307, b"", location=f"/api/models/{quote(old)}")
            status = 401 if "authorization" not in self.headers else 404
            return self.refuse(status, "RepoNotFound", "Repository not found")
        sizes = {file: len(body) for (owner, file), body in hub.files.items() if owner == name}
        siblings: list[dict[str, Any]] = [{"rfilename": file} for file in sizes]
        if query.get("blobs"):
            siblings = [{"rfilename": file, "size": size} for file, size in sizes.items()]
        self.give({"siblings": siblings, **entry})

    def _file(self, name: str, file: str) -> None:
        hub = self.server.hub
        if name in hub.gated_files and "authorization" not in self.headers:
            message = f"Access to model {name} is restricted. You must be authenticated."
            return self.refuse(401, "GatedRepo", message)
        body = hub.files.get((name, file))
        if body is None:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        self.answer(200, body, content_type="text/plain; charset=utf-8")

    def give(self, value: Any, **headers: str) -> None:
        self.answer(200, json.dumps(value).encode(), **headers)

    def refuse(self, status: int, code: str, message: str) -> None:
        headers = {"x-error-message": message, **({"x-error-code": code} if code else {})}
        self.answer(status, json.dumps({"error": message}).encode(), **headers)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.send_response(status)
        for name, value in {"content-type": "application/json", **named}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # whoever asked has gone
            self.close_connection = True


def fits(entry: dict[str, Any], query: dict[str, list[str]]) -> bool:
    """Whether an entry is what a query asks for, as far as the Hub itself filters."""
    tags = {*entry["tags"], entry.get("pipeline_tag")}
    owner = entry["id"].rpartition("/")[0]
    size = (entry.get("safetensors") or {}).get("total")
    bounds = [range for given in query.get("num_parameters", []) for range in given.split(",")]
    return (
        all(tag in tags for tag in query.get("filter", []))
        and all(entry.get("pipeline_tag") == task for task in query.get("pipeline_tag", []))
        and all(words.lower() in entry["id"].lower() for words in query.get("search", []))
        and all(owner == author for author in query.get("author", []))
        and all(size is not None and within(size, bound) for bound in bounds)
    )


def within(size: int, bound: str) -> bool:
    """Whether a size keeps to "min:100M" or "max:1B"."""
    found = re.fullmatch(r"(min|max):(\d+(?:\.\d+)?)([KMBT]?)", bound)
    assert found, bound
    limit = float(found[2]) * UNITS[found[3]]
    return size >= limit if found[1] == "min" else size <= limit


def serving(hub: HubServer) -> Iterator[HubServer]:
    server = Server(("127.0.0.1", 0), Handler)
    server.hub, hub.url = hub, f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def hub_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A running Hub with five models, which this process and its children ask for the Hub."""
    hub = HubServer()
    fill(hub)
    for server in serving(hub):
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # of processes that are started
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        yield server


def unused_url() -> str:
    """An address of this machine where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


CARD = """---
language: [en, fr]
license: apache-2.0
---
# Small

## Training data

Trained on the **Colossal** Clean Crawled Corpus and on `xsum`.

## Use

Prefix the text with "summarize:".
"""


def fill(hub: HubServer) -> None:
    """Five models that differ in what they can be searched by."""
    hub.add(
        "acme/small",
        pipeline_tag="summarization",
        library_name="transformers",
        tags=["transformers", "en", "fr", "license:apache-2.0", "dataset:xsum", "arxiv:1910.10683"],
        safetensors={"parameters": {"F32": 60506624}, "total": 60506624},
        cardData={"language": ["en", "fr"], "license": "apache-2.0", "datasets": ["xsum", "c4"]},
        config={"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"},
        downloads=2_000_000,
        likes=400,
        lastModified="2026-06-30T02:31:26.000Z",
    )
    hub.files["acme/small", "README.md"] = CARD.encode()
    hub.files["acme/small", "model.safetensors"] = bytes(2000)
    hub.files["acme/small", "onnx/model.onnx"] = bytes(500)
    hub.add(
        "acme/small-news",
        pipeline_tag="summarization",
        tags=[
            "en",
            "license:apache-2.0",
            "base_model:acme/small",
            "base_model:finetune:acme/small",
        ],
        safetensors={"parameters": {"BF16": 60_000_000, "F32": 506_624}, "total": 60_506_624},
        downloads=90_000,
        likes=900,
        lastModified="2026-11-01T00:00:00.000Z",
    )
    hub.add(
        "acme/large",
        pipeline_tag="summarization",
        tags=["en", "license:apache-2.0"],
        safetensors={"parameters": {"BF16": 7_000_000_000}, "total": 7_000_000_000},
        downloads=5_000_000,
        likes=5_000,
    )
    hub.add(
        "ecole/petit",
        pipeline_tag="translation",
        tags=["fr", "license:mit"],
        safetensors={"parameters": {"F16": 200_000_000}, "total": 200_000_000},
        downloads=10,
        likes=1,
        gated="manual",
    )
    hub.add("nobody/unsized", pipeline_tag="summarization", tags=["en", "license:apache-2.0"])
    hub.tags = {
        "pipeline_tag": [{"type": "pipeline_tag", "id": "mind-reading", "label": "Mind Reading"}],
        "license": [{"type": "license", "id": "license:brand-new-1.0", "label": "new"}],
        "language": [{"type": "language", "id": "gsw", "label": "Swiss German"}],
    }
