"""A collector of OpenTelemetry traces: OTLP over HTTP, JSON and protobuf, kept in memory."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

JSON = "application/json"
PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True)
class Received:
    """One request that was accepted."""

    headers: dict[str, str]  # names in lower case
    body: bytes  # as it came, perhaps compressed
    data: dict[str, Any]  # the OTLP JSON form, whichever form came: ids in hex, camelCase names

    @property
    def spans(self) -> list[dict[str, Any]]:
        """Its spans, in the order sent."""
        return [
            span
            for resource in self.data.get("resourceSpans", [])
            for scope in resource.get("scopeSpans", [])
            for span in scope.get("spans", [])
        ]


@dataclass(frozen=True)
class Failure:
    """How the collector answers one request instead of taking it."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    keep: bool = False  # store what came all the same
    hang_up: bool = False  # close the connection without an answer


class Collector:
    """What a test sees of the collector: what came, and how to make it fail."""

    def __init__(self) -> None:
        self.attempts = 0  # well-formed requests that came, failed ones included
        self.received: list[Received] = []
        self._failures: list[Failure] = []
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.collector = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    @property
    def url(self) -> str:
        """What `OTEL_EXPORTER_OTLP_ENDPOINT` would hold; traces go to `/v1/traces` below it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def spans(self) -> list[dict[str, Any]]:
        """Every span that was stored, in the OTLP JSON form; one sent twice is here twice."""
        with self._changed:
            return [span for received in self.received for span in received.spans]

    def fail(
        self, times: int = 1, status: int = 503, *, retry_after: float | str | None = None
    ) -> None:
        """Refuse the next `times` requests with `status`; `retry_after` is the header's value."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        with self._changed:
            self._failures += [Failure(status, headers)] * times

    def hang_up(self, times: int = 1, *, keep: bool = True) -> None:
        """Close the next `times` connections without an answer, by default after storing."""
        with self._changed:
            self._failures += [Failure(0, keep=keep, hang_up=True)] * times

    def wait(self, spans: int = 0, attempts: int = 0, *, seconds: float = 30) -> None:
        """Return when so many spans are stored and so many requests have come.

        Raises:
            TimeoutError: they have not after `seconds`.
        """

        def arrived() -> bool:
            return self.attempts >= attempts and len(self.spans) >= spans

        with self._changed:
            if not self._changed.wait_for(arrived, seconds):
                raise TimeoutError(f"{len(self.spans)} spans came in {self.attempts} requests")

    def take(self, received: Received) -> Failure | None:
        """Store one request, or say how it fails."""
        with self._changed:
            self.attempts += 1
            failure = self._failures.pop(0) if self._failures else None
            if failure is None or failure.keep:
                self.received.append(received)
            self._changed.notify_all()
        return failure

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def otlp_collector() -> Iterator[Collector]:
    """A running, empty collector."""
    with Collector() as collector:
        yield collector


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    collector: Collector


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        media_type = self.headers.get("Content-Type", "").partition(";")[0].strip()
        if self.path != "/v1/traces":
            return self._answer(404, JSON, b"{}")
        if media_type not in (JSON, PROTOBUF):
            return self._answer(415, JSON, b"{}")
        try:
            plain = (
                gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            )
            data = decode(plain, media_type)
        except Exception as error:  # whatever a decoder raises, the sender is told
            return self._answer(400, JSON, json.dumps({"message": repr(error)}).encode())
        headers = {name.lower(): value for name, value in self.headers.items()}
        failure = self.server.collector.take(Received(headers, body, data))
        if failure is None:
            return self._answer(200, media_type, b"{}" if media_type == JSON else b"")
        if failure.hang_up:
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        self._answer(failure.status, JSON, b"{}", failure.headers)

    def _answer(
        self, status: int, media_type: str, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def decode(body: bytes, media_type: str) -> dict[str, Any]:
    """The OTLP JSON form of a request in either form.

    Raises:
        Exception: it is not an OTLP request; protobuf's parser or ours says why.
    """
    from google.protobuf.json_format import MessageToDict, ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    if media_type == JSON:
        data = json.loads(body)
        # Strict where a real collector is lenient: a misspelt field is an error here.
        ParseDict(_ids(data, _to_base64), request)
    else:
        request.ParseFromString(body)
    normal = MessageToDict(request, use_integers_for_enums=True)
    return _ids(normal, _to_hex)


def _ids(value: Any, convert: Any) -> Any:
    """A copy in which trace and span ids are converted: OTLP writes them in hex, protobuf's own
    JSON in base64.
    """
    if isinstance(value, list):
        return [_ids(item, convert) for item in value]
    if not isinstance(value, dict):
        return value
    names = ("traceId", "spanId", "parentSpanId")
    return {
        name: convert(item) if name in names and isinstance(item, str) else _ids(item, convert)
        for name, item in value.items()
    }


def _to_base64(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode()


def _to_hex(text: str) -> str:
    return base64.b64decode(text).hex()
