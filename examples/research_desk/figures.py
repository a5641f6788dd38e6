"""The office of statistics: a small web service on this machine, and real HTTP.

GET /years          [2015, …]
GET /years/2023     {"year": 2023, "kilometres": …, "energy_kwh": …, "passengers": …}
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COUNTED = ("kilometres", "energy_kwh", "passengers")
FIGURES = {  # invented, like the town
    2015: (768_000, 2_995_200, 5_120_000),
    2016: (771_000, 2_960_640, 5_204_000),
    2017: (770_000, 2_956_800, 5_377_000),
    2018: (772_000, 3_010_800, 5_410_000),
    2019: (781_000, 2_967_800, 5_655_000),
    2020: (640_000, 2_240_000, 2_980_000),
    2021: (702_000, 2_316_600, 3_870_000),
    2022: (790_000, 2_488_500, 5_540_000),
    2023: (812_000, 2_517_200, 6_090_000),
    2024: (820_000, 2_501_000, 6_314_000),
}


def answer(path: str) -> tuple[int, Any]:
    """The status and the JSON for a path."""
    if path == "/years":
        return 200, sorted(FIGURES)
    year = path.removeprefix("/years/")
    if path.startswith("/years/") and year.isdecimal() and int(year) in FIGURES:
        return 200, {"year": int(year), **dict(zip(COUNTED, FIGURES[int(year)], strict=True))}
    return 404, {"error": "not found", "years": sorted(FIGURES)}


class Service(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """Answer it."""
        status, value = answer(self.path)
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing on the terminal."""


@contextmanager
def serving() -> Iterator[str]:
    """The service while the block runs; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
