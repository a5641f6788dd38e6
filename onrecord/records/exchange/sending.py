"""OTLP over HTTP: the store's records to any tracer, each at least once.

What was acknowledged is remembered in the store (`exported.py`), so the next export sends what
is missing: later records, calls that ended late, whatever a server did not take. The ids of traces
and spans are made from those of runs and records: what is sent twice is the same span.
"""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlunsplit

import msgspec

from onrecord.errors import UsageError
from onrecord.records.exchange.addresses import checked, shown
from onrecord.records.exchange.otlp import encode_span, request
from onrecord.records.exchange.to_spans import span_of
from onrecord.records.query import Query
from onrecord.records.record import Record

if TYPE_CHECKING:
    import httpx

    from onrecord.records.store import Store


class Exported(msgspec.Struct, frozen=True):
    """What an export did. `sent` records are acknowledged; `failed` ones the target refused, and
    they are put aside; `left` ones were not taken this time, the next export sends them. `problems`
    says why, in the target's words. `aside` were refused by an earlier export, and wait for one
    with `again`."""

    sent: int = 0
    failed: int = 0
    left: int = 0
    problems: tuple[str, ...] = ()
    aside: int = 0


class Delivery(msgspec.Struct, frozen=True):
    """What one request holds, and how long its acknowledgement is waited for.

    At most `spans` spans and `bytes` bytes before compression (a span that is larger goes alone).
    A server that is busy or away is tried again for `patience` seconds. An answer is waited for
    `timeout` seconds, but not beyond the patience: two seconds at least.
    Without `bodies`, inputs, outputs and messages of errors stay here.
    """

    spans: int = 512
    bytes: int = 4_000_000
    patience: float = 60.0
    timeout: float = 30.0
    bodies: bool = True


_EVERYTHING, _USUAL = Query(), Delivery()


async def export_otlp(
    store: Store,
    endpoint: str | None = None,
    *,
    query: Query = _EVERYTHING,
    headers: Mapping[str, str] | None = None,
    target: str | None = None,
    again: bool = False,
    delivery: Delivery = _USUAL,
) -> Exported:
    """Send the ended records of a query that `endpoint` has not acknowledged yet.

    `endpoint`: the address of the server, with or without a path (`/v1/traces` is added to none);
    default: the variables OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and OTEL_EXPORTER_OTLP_ENDPOINT.
    `headers` go on top of those of OTEL_EXPORTER_OTLP_HEADERS. What was acknowledged is remembered
    under `target`, by default the address: name it where one address has several places that
    headers tell apart. `again`: also what the server refused before.

    Raises UsageError where there is no such server, it lets nobody in or its answer is none of
    OTLP's: no record counts as sent, then.
    """
    import httpx

    address = traces_address(endpoint)
    target = target or target_of(address)
    resource = resource_of(os.environ)
    sent = failed = left = put_aside = 0
    problems: list[str] = []
    from onrecord.records.exchange import exported

    async with httpx.AsyncClient(timeout=delivery.timeout, follow_redirects=False) as client:
        channel = _Channel(client, address, {**headers_of(os.environ), **(headers or {})}, delivery)
        pages = exported.pending(store, target, query, again=again)
        while page := await asyncio.to_thread(next, pages, None):
            for batch in batches(page, delivery):
                ids = [id for id, _ in batch]
                answer = await channel.send(request((span for _, span in batch), resource))
                if answer.problem and answer.problem not in problems[-_TOLD:]:
                    problems.append(answer.problem)
                if not answer.settled:
                    left = await asyncio.to_thread(
                        exported.count_pending, store, target, query, again=again
                    )
                    break
                reason = answer.problem if answer.refused else None
                await asyncio.to_thread(exported.remember, store, target, ids, failed=reason)
                refused = len(ids) if answer.refused else min(answer.rejected, len(ids))
                sent, failed = sent + len(ids) - refused, failed + refused
                put_aside += len(ids) if answer.refused else 0
            if left:
                break
    aside = await asyncio.to_thread(exported.count_aside, store, target, query) - put_aside
    return Exported(sent, failed, left, tuple(problems[:_TOLD]), max(aside, 0))


def batches(records: Sequence[Record], delivery: Delivery) -> Iterator[list[tuple[str, bytes]]]:
    """Records as encoded spans with the records' ids, each batch as much as one request holds."""
    batch: list[tuple[str, bytes]] = []
    size = 0
    for record in records:
        span = encode_span(span_of(record, bodies=delivery.bodies))
        if batch and (len(batch) >= delivery.spans or size + len(span) > delivery.bytes):
            yield batch
            batch, size = [], 0
        batch.append((record.id, span))
        size += len(span) + 1
    if batch:
        yield batch


def traces_address(endpoint: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Where traces go. Raises UsageError where nobody has said, or the address is none."""
    if not endpoint:
        if exact := environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
            checked(exact, _EXAMPLE)
            return exact
        endpoint = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        if endpoint:
            checked(endpoint, _EXAMPLE)
            return endpoint.rstrip("/") + "/v1/traces"
        raise UsageError(
            "nobody has said where the traces go",
            cure="Name the server (http://localhost:4318), or set OTEL_EXPORTER_OTLP_ENDPOINT.",
        )
    parts = checked(endpoint, _EXAMPLE)
    if parts.path not in ("", "/"):
        return endpoint
    return urlunsplit(parts._replace(path="/v1/traces"))


def target_of(address: str) -> str:
    """What a target is remembered by: its address without user, password and query."""
    return f"otlp {shown(address)}"


def headers_of(environ: Mapping[str, str]) -> dict[str, str]:
    """The headers of the standard variables: `name=value,name=value`, percent-encoded."""
    text = environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or environ.get(
        "OTEL_EXPORTER_OTLP_HEADERS", ""
    )
    return _pairs(text)


def resource_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Who sends: OTEL_RESOURCE_ATTRIBUTES, and OTEL_SERVICE_NAME (default: onrecord)."""
    found = {"service.name": "onrecord", **_pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))}
    if name := environ.get("OTEL_SERVICE_NAME"):
        found["service.name"] = name
    return found


class Answer(NamedTuple):
    """What became of a request: `settled` (there is nothing to try again), `refused` as a whole,
    `rejected` spans of it."""

    settled: bool
    refused: bool = False
    rejected: int = 0
    problem: str = ""


class _Channel:
    """Requests to one server, each tried until it is settled or the patience is over."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        address: str,
        headers: Mapping[str, str],
        delivery: Delivery,
    ) -> None:
        self._client = client
        self._address = address
        self._patience, self._timeout = delivery.patience, delivery.timeout
        own = {"content-type": "application/json", "content-encoding": "gzip"}
        self._headers = {**{name.lower(): value for name, value in headers.items()}, **own}

    async def send(self, body: bytes) -> Answer:
        """Raises UsageError where the server would refuse every request."""
        packed = await asyncio.to_thread(gzip.compress, body, 5, mtime=0)
        until = time.monotonic() + self._patience
        for attempt in range(1_000_000):
            seconds = min(self._timeout, max(until - time.monotonic(), _LEAST_SECONDS))
            problem, wait = await self._attempt(packed, seconds)
            if isinstance(problem, Answer):
                return problem
            pause = _pause(attempt) if wait is None else wait
            if time.monotonic() + pause > until:
                return Answer(settled=False, problem=problem)
            await asyncio.sleep(pause)
        raise AssertionError

    async def _attempt(self, packed: bytes, seconds: float) -> tuple[Answer | str, float | None]:
        """The answer; or the problem, and how long the server asks to wait."""
        import httpx

        try:
            async with asyncio.timeout(seconds):
                response = await self._client.post(
                    self._address, content=packed, headers=self._headers
                )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise UsageError(f"the traces cannot be sent: {error}", where=self._shown) from None
        except (TimeoutError, httpx.TimeoutException):
            return f"{self._shown} did not answer within {seconds:.0f} seconds", None
        except httpx.HTTPError as error:
            return f"{self._shown} did not answer: {str(error) or type(error).__name__}", None
        if response.is_success:
            return self._acknowledged(response), None
        status = response.status_code
        said = f"{status} {response.reason_phrase}: {_said(response.content)}".rstrip(": ")
        if status in _BUSY:
            return f"{self._shown} answers {said}", retry_after(response.headers.get("retry-after"))
        if status in _NOBODY or 300 <= status < 400:
            raise UsageError(
                f"the server takes no traces here: {said}",
                where=self._shown,
                cure="Check the address, and the headers it wants (a key, a project).",
            )
        if 400 <= status < 500 and status not in _LATER:
            return Answer(settled=True, refused=True, problem=said), None
        return Answer(settled=False, problem=f"{self._shown} answers {said}"), None

    def _acknowledged(self, response: httpx.Response) -> Answer:
        """Raises UsageError where the answer is no acknowledgement: whoever answers 200 to
        everything would make records count as sent that nobody has."""
        kind = response.headers.get("content-type", "")
        if not is_acknowledgement(response.content, kind):
            raise UsageError(
                f"what answers there takes no traces: {_said(response.content)}",
                where=self._shown,
                cure="Check the address and its port. Nothing counts as sent.",
            )
        rejected, message = partial_success(response.content, kind)
        told = f"{rejected} spans were rejected: {message}" if rejected else message
        return Answer(settled=True, rejected=rejected, problem=told)

    @property
    def _shown(self) -> str:
        return shown(self._address)


def is_acknowledgement(body: bytes, content_type: str) -> bool:
    """Whether a server that answers 200 says so as OTLP has it: with nothing, a JSON object or
    protobuf."""
    if not body.strip() or "protobuf" in content_type:
        return True
    try:
        return isinstance(msgspec.json.decode(body), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def partial_success(body: bytes, content_type: str) -> tuple[int, str]:
    """How many spans a server rejected although it answered 200, and its words.

    Servers answer in JSON or in protobuf, whatever they were sent; what cannot be read counts as
    full success, as an empty answer does.
    """
    if "protobuf" in content_type:
        return _protobuf_success(body)
    try:
        said = msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, RecursionError):
        return 0, ""
    said = said.get("partialSuccess", said.get("partial_success")) if type(said) is dict else None
    if not isinstance(said, dict):
        return 0, ""
    count = str(said.get("rejectedSpans", said.get("rejected_spans", 0)))
    message = said.get("errorMessage", said.get("error_message", ""))
    rejected = int(count) if count.isdecimal() and len(count) < 20 else 0
    return rejected, message if isinstance(message, str) else ""


def retry_after(text: str | None, now: float | None = None) -> float | None:
    """Seconds to wait, from a Retry-After header: a number, or a date."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            then = email.utils.parsedate_to_datetime(text).timestamp()
        except (ValueError, TypeError, OverflowError):
            return None
        seconds = then - (time.time() if now is None else now)
    return max(seconds, 0.0) if seconds == seconds else None


def _pause(attempt: int) -> float:
    """Twice as long each time, up to half a minute, and never exactly: servers that come back
    are not run over by all at once."""
    return min(0.25 * 2.0 ** min(attempt, 10), 30.0) * random.uniform(0.5, 1.0)


def _pairs(text: str) -> dict[str, str]:
    pairs = (item.partition("=") for item in text.split(",") if "=" in item)
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs if name.strip()}


def _said(body: bytes) -> str:
    text = " ".join(body[:2000].decode("utf-8", "replace").split())
    return text if len(text) <= 300 else text[:299] + "…"


def _protobuf_success(body: bytes) -> tuple[int, str]:
    rejected, message = 0, ""
    try:
        for number, value in _fields(body):
            if number == 1 and isinstance(value, bytes):
                for inner, below in _fields(value):
                    if inner == 1 and isinstance(below, int):
                        rejected = below
                    elif inner == 2 and isinstance(below, bytes):
                        message = below.decode("utf-8", "replace")
    except (ValueError, IndexError):
        return 0, ""
    return rejected, message


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: numbers, and texts or messages as bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
        elif tag & 7 == 2:
            length, at = _varint(data, at)
            yield tag >> 3, data[at : at + length]
            at += length
        else:
            raise ValueError("no field of an OTLP answer")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError("a number that is too long")


_EXAMPLE = "http://host:4318"
# As OTLP has it: these pass, others do not.
_BUSY = {429, 502, 503, 504}
# These answers would be the same for every batch: no record is put aside for them.
_NOBODY = {401, 403, 404, 405, 407}
_LATER = {408, 425}
_LEAST_SECONDS = 2.0
_TOLD = 20
