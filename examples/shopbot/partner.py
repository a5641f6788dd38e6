"""The shipping partner: a small HTTP server that makes return labels, and bills each of them.

    python examples/shopbot/partner.py --port 8070 --key KEY

    POST /labels {"reference": "T-204117"}  ->  201 {"label": "RL-7F3A…", "url": "http://…"}
    GET  /labels?reference=T-204117         ->  200 ["RL-7F3A…"]

As with many real ones, asking twice makes two labels. With GET a person can find out what was made.
"""

from __future__ import annotations

import argparse
import hmac
import json
import secrets
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Partner(ThreadingHTTPServer):
    """The server. `labels`: those that it has made, by the order that they are for."""

    daemon_threads = True

    def __init__(self, key: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.key = key
        self.labels: dict[str, list[str]] = defaultdict(list)

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.server_port}"

    def make(self, reference: str) -> str:
        """A new label."""
        label = f"RL-{secrets.token_hex(5).upper()}"
        self.labels[reference].append(label)
        return label


@contextmanager
def running(key: str) -> Iterator[Partner]:
    """A partner in a thread of this process, to try things with."""
    with Partner(key) as partner:
        threading.Thread(target=partner.serve_forever, args=(0.05,), daemon=True).start()
        yield partner
        partner.shutdown()


class Handler(BaseHTTPRequestHandler):
    """One request to the partner."""

    server: Partner

    def do_POST(self) -> None:
        """Make a label."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, 10_000))
        if not self._knows_the_key() or urlsplit(self.path).path != "/labels":
            return
        try:
            reference = json.loads(body)["reference"]
        except (ValueError, KeyError, TypeError):
            return self._answer(400, {"error": "give a reference"})
        label = self.server.make(str(reference)[:100])
        self._answer(201, {"label": label, "url": f"{self.server.url}/labels/{label}.pdf"})

    def do_GET(self) -> None:
        """The labels that were made for an order."""
        asked = urlsplit(self.path)
        if self._knows_the_key() and asked.path == "/labels":
            (reference,) = parse_qs(asked.query).get("reference", [""])[:1]
            self._answer(200, self.server.labels.get(reference, []))

    def _knows_the_key(self) -> bool:
        given = self.headers.get("Authorization") or ""
        if hmac.compare_digest(given.encode(), f"Bearer {self.server.key}".encode()):
            return True
        self._answer(401, {"error": "no such key"})
        return False

    def _answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A shipping partner that makes return labels.")
    parser.add_argument("--port", type=int, default=8070)
    parser.add_argument("--key", required=True, help="what shops have to show")
    options = parser.parse_args()
    with Partner(options.key, options.port) as partner:
        print(f"labels are made at {partner.url}", flush=True)
        with suppress(KeyboardInterrupt):
            partner.serve_forever()
