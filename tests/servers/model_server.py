"""A server for the protocols of models: its replies are functions of the request that came."""

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Double(ThreadingHTTPServer):
    """A server whose replies are functions of its request handler; keeps what it was asked."""

    daemon_threads = True

    def __init__(self, *replies):
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies = list(replies)
        self.asked = []
        self.headers = []
        self.connections = set()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.headers.append(dict(self.headers))
        self.server.connections.add(self.client_address)
        self.server.replies.pop(0)(self)

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.server.asked.append((self.path, json.loads(self.rfile.read(length))))
        self.do_GET()

    def log_message(self, *_):
        pass


def reply(status, body, content_type="application/json", **headers):
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()

    def send(handler):
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return send


def failed(status, message, **more):
    return reply(status, {"error": {"message": message, **more}})


def stream(*events, done=True, cut=False, pieces=1_000_000, content_type="text/event-stream"):
    """Server-sent events, chunked; `cut` drops the connection before the last chunk. An event with
    a `type` is sent under that name, too."""
    data = "".join(map(_event, [*events, "[DONE]"] if done else events)).encode()

    def send(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for at in range(0, len(data), pieces):
            piece = data[at : at + pieces]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            handler.wfile.flush()
        if cut:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
        else:
            handler.wfile.write(b"0\r\n\r\n")

    return send


def _event(event):
    named = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
    return f"{named}data: {event if isinstance(event, str) else json.dumps(event)}\n\n"


@contextmanager
def serving(*replies):
    with Double(*replies) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
