"""The servers of the tests are real, and the tests reach nothing else."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import urllib.request
import uuid

import httpx
import pytest

from tests.servers.otlp_collector import JSON, PROTOBUF, Collector
from tests.servers.postgres import Cluster

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def request(**more: object) -> dict[str, object]:
    """An OTLP request of one span, in its JSON form."""
    span = {"traceId": TRACE, "spanId": SPAN, "name": "answer", "kind": 1}
    span |= {"startTimeUnixNano": "1795000000000000000", "endTimeUnixNano": "1795000001000000000"}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span | more]}]}]}


class TestPostgres:
    def test_a_row_is_written_and_read(self, postgres: str) -> None:
        import sqlalchemy as sa

        engine = sa.create_engine(postgres.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE note (body text)"))
            connection.execute(sa.text("INSERT INTO note VALUES ('čtyři')"))
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT body FROM note")) == "čtyři"
        engine.dispose()

    @pytest.mark.parametrize("turn", [1, 2])
    def test_every_test_has_an_empty_database(self, postgres: str, turn: int) -> None:
        import psycopg

        tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        with psycopg.connect(postgres) as connection:
            assert connection.execute(tables).fetchall() == []
            connection.execute("CREATE TABLE only_here (turn int)")

    def test_a_database_in_use_does_not_hold_the_tests_up(self, postgres: str) -> None:
        import psycopg

        connection = psycopg.connect(postgres)  # left open: the database is dropped all the same
        assert connection.execute("SELECT 1").fetchone() == (1,)

    @pytest.mark.parametrize("way", ["stop", "crash"])
    def test_the_server_goes_away_and_comes_back(
        self, postgres: str, postgres_cluster: Cluster, way: str
    ) -> None:
        import psycopg

        with psycopg.connect(postgres) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
            connection.commit()
            getattr(postgres_cluster, way)()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(postgres)
        postgres_cluster.start()
        with psycopg.connect(postgres) as connection:
            assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]

    def test_a_test_may_leave_the_server_stopped(
        self, postgres: str, postgres_cluster: Cluster
    ) -> None:
        postgres_cluster.stop()
        assert not postgres_cluster.running

    def test_a_wrong_password_is_refused(self, postgres: str) -> None:
        import psycopg

        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(postgres.replace(Cluster.password, "guess"))


class TestMLflow:
    def test_the_client_lists_experiments(self, mlflow_server: str) -> None:
        from mlflow import MlflowClient

        client = MlflowClient(mlflow_server)
        name = uuid.uuid4().hex
        client.create_experiment(name)
        assert name in [experiment.name for experiment in client.search_experiments()]

    def test_a_trace_comes_in_over_otlp_and_is_read_back(self, mlflow_server: str) -> None:
        from mlflow import MlflowClient

        client = MlflowClient(mlflow_server)
        experiment = client.create_experiment(uuid.uuid4().hex)
        answer = httpx.post(
            f"{mlflow_server}/v1/traces",
            json=request(),
            headers={"x-mlflow-experiment-id": experiment},
        )
        assert answer.status_code == 200
        (trace,) = client.search_traces(locations=[experiment])
        assert trace.info.trace_id == f"tr-{TRACE}"
        assert [span.name for span in trace.data.spans] == ["answer"]


class TestCollector:
    @pytest.mark.parametrize("packed", [False, True])
    def test_json_is_kept(self, otlp_collector: Collector, packed: bool) -> None:
        body = json.dumps(request()).encode()
        headers = {"Content-Type": JSON} | ({"Content-Encoding": "gzip"} if packed else {})
        content = gzip.compress(body) if packed else body
        answer = httpx.post(f"{otlp_collector.url}/v1/traces", content=content, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {})
        (span,) = otlp_collector.spans
        assert (span["traceId"], span["spanId"], span["name"]) == (TRACE, SPAN, "answer")

    def test_protobuf_is_kept_in_the_same_form(self, otlp_collector: Collector) -> None:
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

        message = trace_service_pb2.ExportTraceServiceRequest()
        span = message.resource_spans.add().scope_spans.add().spans.add()
        span.trace_id, span.span_id, span.name = bytes.fromhex(TRACE), bytes.fromhex(SPAN), "answer"
        span.kind, span.start_time_unix_nano = 1, 1795000000000000000
        span.end_time_unix_nano = 1795000001000000000
        answer = httpx.post(
            f"{otlp_collector.url}/v1/traces",
            content=message.SerializeToString(),
            headers={"Content-Type": PROTOBUF},
        )
        assert (answer.status_code, answer.content) == (200, b"")
        httpx.post(f"{otlp_collector.url}/v1/traces", json=request())
        first, second = otlp_collector.spans
        assert first == second

    def test_it_fails_as_often_as_it_is_told(self, otlp_collector: Collector) -> None:
        otlp_collector.fail(2, 429, retry_after=3)
        otlp_collector.fail(1, 503)
        url = f"{otlp_collector.url}/v1/traces"
        answers = [httpx.post(url, json=request()) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [429, 429, 503, 200]
        assert answers[0].headers["Retry-After"] == "3"
        assert (otlp_collector.attempts, len(otlp_collector.spans)) == (4, 1)

    def test_it_hangs_up_after_storing(self, otlp_collector: Collector) -> None:
        otlp_collector.hang_up()
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(f"{otlp_collector.url}/v1/traces", json=request())
        httpx.post(f"{otlp_collector.url}/v1/traces", json=request())
        otlp_collector.wait(spans=2)

    @pytest.mark.parametrize(
        ("path", "content", "media_type", "status"),
        [
            ("/v1/metrics", b"{}", JSON, 404),
            ("/v1/traces", b"{}", "text/plain", 415),
            ("/v1/traces", b"{", JSON, 400),
            ("/v1/traces", json.dumps(request(nmae="x")).encode(), JSON, 400),
            ("/v1/traces", b"\xff\xff", PROTOBUF, 400),
        ],
    )
    def test_what_is_no_trace_is_refused(
        self, otlp_collector: Collector, path: str, content: bytes, media_type: str, status: int
    ) -> None:
        headers = {"Content-Type": media_type}
        answer = httpx.post(otlp_collector.url + path, content=content, headers=headers)
        assert answer.status_code == status
        assert not otlp_collector.received


class TestNetwork:
    """Addresses and a name that are nobody's (RFC 5737, 3849, 2606), were the guard to fail."""

    def test_no_address_is_reached(self, only_loopback: list[str]) -> None:
        with socket.socket() as sock, pytest.raises(OSError, match="no network but loopback"):
            sock.connect(("192.0.2.1", 80))
        with socket.socket(socket.AF_INET6) as sock:
            assert sock.connect_ex(("2001:db8::1", 80)) != 0
        assert len(only_loopback) == 2
        only_loopback.clear()

    def test_no_name_is_looked_up(self, only_loopback: list[str]) -> None:
        with pytest.raises(OSError, match="no network but loopback"):
            urllib.request.urlopen("http://nobody.invalid/")
        with pytest.raises(httpx.ConnectError):
            asyncio.run(get("http://nobody.invalid/"))
        assert only_loopback == ["nobody.invalid"] * 2
        only_loopback.clear()

    def test_loopback_is_reached(self, otlp_collector: Collector) -> None:
        url = otlp_collector.url.replace("127.0.0.1", "localhost")
        assert asyncio.run(get(url)).status_code == 501

    def test_unix_sockets_are_reached(self) -> None:
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind("socket")
            server.listen()
            client.connect("socket")
            client.sendall(b"reached")
            with server.accept()[0] as accepted:
                assert accepted.recv(16) == b"reached"

    def test_no_hub_is_asked(self) -> None:
        from huggingface_hub import constants

        assert constants.HF_HUB_OFFLINE
        assert os.environ["HF_HOME"] == constants.HF_HOME


async def get(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(url)
