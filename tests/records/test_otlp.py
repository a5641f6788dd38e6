from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onrecord.errors import LoadError, UsageError
from onrecord.messages import Completion
from onrecord.models.model import Request
from onrecord.records.exchange import conventions, sending
from onrecord.records.exchange.from_spans import records_of
from onrecord.records.exchange.importing import read_otlp, redacted
from onrecord.records.exchange.otlp import Skipped, encode_span, read_request, request
from onrecord.records.exchange.sending import Delivery, Exported, export_otlp
from onrecord.records.exchange.span import is_hex, span_id, trace_id
from onrecord.records.exchange.to_spans import span_of
from onrecord.records.query import Query
from onrecord.records.record import Record, new_id
from onrecord.records.store import Store
from onrecord.settings import Settings
from tests.records.exchange_records import NOW, a_run, records
from tests.servers.otlp_collector import Collector, decode

SOON = Delivery(patience=30, timeout=20)


@pytest.fixture
def store(project: Path) -> Store:
    return Store(project / ".onrecord", fold=False)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_pause", lambda attempt: 0.01)


def send(store: Store, endpoint: str | None, **options: Any) -> Exported:
    return asyncio.run(export_otlp(store, endpoint, **({"delivery": SOON} | options)))


# The table


def test_every_attribute_stands_in_the_table_once() -> None:
    names = [row.attribute for row in conventions.TABLE]
    assert len(names) == len(set(names))
    older = [name for row in conventions.TABLE for name in row.older]
    assert not set(older) & set(names)
    assert conventions.SCHEMA_URL.startswith("https://opentelemetry.io/schemas/gen-ai")


def test_a_model_call_speaks_the_conventions() -> None:
    model = a_run()[5]
    span = span_of(model)
    found = span.attributes
    assert span.name == "chat gpt-5-mini"
    assert span.kind == 3
    assert found["gen_ai.operation.name"] == "chat"
    assert found["gen_ai.provider.name"] == "openai"
    assert found["gen_ai.request.model"] == "gpt-5-mini"
    assert found["gen_ai.response.model"] == "gpt-5-mini-2026-01-01"
    assert found["gen_ai.response.finish_reasons"] == ["tool_call"]
    assert found["gen_ai.request.temperature"] == 0.5
    assert found["gen_ai.request.stop_sequences"] == ["END"]
    assert found["gen_ai.usage.input_tokens"] == 120
    assert found["gen_ai.usage.cache_read.input_tokens"] == 100
    assert found["gen_ai.usage.reasoning.output_tokens"] == 10
    assert found["gen_ai.conversation.id"] == found["session.id"] == "s-4"
    assert found["onrecord.cost"] == 1500
    assert json.loads(found["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Où est Köln? 🙂"}]},
    ]
    (answer,) = json.loads(found["gen_ai.output.messages"])
    assert answer["role"] == "assistant"
    assert answer["parts"][1] == {
        "type": "tool_call",
        "id": "c1",
        "name": "map",
        "arguments": {"city": "Köln"},
    }
    assert "Be brief" not in found["onrecord.input"]  # said once


def test_the_other_kinds_speak_the_conventions_where_they_have_a_word() -> None:
    flow, search, embed, step, failed, _, tool, score = map(span_of, a_run())
    assert (flow.name, search.name) == ("invoke_workflow ask", "retrieval handbook")
    assert (embed.name, step.name) == ("embeddings minilm", "answer")
    assert tool.name == "execute_tool map"
    assert embed.kind == 1  # in this process
    assert "gen_ai.operation.name" not in step.attributes
    assert search.attributes["gen_ai.retrieval.query.text"] == "Köln"
    assert json.loads(search.attributes["gen_ai.retrieval.documents"]) == [
        {"id": "rhine.md", "score": 0.75}
    ]
    assert json.loads(tool.attributes["gen_ai.tool.call.arguments"]) == {"city": "Köln"}
    assert failed.failed and failed.attributes["error.type"] == "ModelUnavailableError"
    (event,) = score.events
    assert event.name == "gen_ai.evaluation.result"
    assert event.attributes == {
        "gen_ai.evaluation.name": "grounded",
        "gen_ai.evaluation.score.value": 0.9,
        "gen_ai.evaluation.explanation": "quoted",
    }


def test_without_bodies_no_word_leaves() -> None:
    sent = b"".join(encode_span(span_of(record, bodies=False)) for record in a_run()).decode()
    for secret in ("Köln", "Rhine", "Be brief", "no answer within", "quoted"):
        assert secret not in sent
    assert "ModelUnavailableError" in sent and "gen_ai.usage.input_tokens" in sent


def test_ids_are_those_of_the_record() -> None:
    ids = [new_id() for _ in range(20_000)]
    assert len({span_id(id) for id in ids}) == len(ids)
    assert all(is_hex(span_id(id), 16) for id in ids[:100])
    assert trace_id(ids[0]) == ids[0]
    assert is_hex(trace_id("elsewhere"), 32)


# The wire


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(records)
def test_a_record_comes_back_from_its_span(record: Record) -> None:
    assert read(request([encode_span(span_of(record))], {})) == [record]


def test_protobufs_own_converter_reads_it_and_writes_what_is_read_back() -> None:
    run = a_run()
    body = request([encode_span(span_of(record)) for record in run], {"service.name": "x"})
    normal = decode(body, "application/json")
    (group,) = normal["resourceSpans"]
    (scope,) = group["scopeSpans"]
    assert scope["schemaUrl"] == conventions.SCHEMA_URL
    assert scope["scope"]["name"] == "onrecord"
    assert len(scope["spans"]) == len(run)
    assert read(msgspec.json.encode(normal)) == run


@pytest.mark.parametrize("bad", ["\ud800", "\x00"])
def test_odd_text_is_sent_all_the_same(bad: str) -> None:
    record = msgspec.structs.replace(a_run()[0], name=bad, input={bad: bad})
    (back,) = read(request([encode_span(span_of(record))], {}))
    assert back.name == "\ufffd"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "resourceSpans scopeSpans spans resource attributes scope traceId spanId"
                " parentSpanId name kind startTimeUnixNano endTimeUnixNano status code events"
                " key value stringValue intValue arrayValue kvlistValue values timeUnixNano"
                " links".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)
names = st.sampled_from(
    [name for row in conventions.TABLE for name in (row.attribute, *row.older)]
    + list(conventions.KINDS)
    + [*conventions.INPUTS, *conventions.OUTPUTS, *conventions.COSTS]
    + ["gen_ai.prompt.0.content", "gen_ai.prompt.0.role", "gen_ai.completion.1.content"]
    + ["llm.input_messages.0.message.tool_calls.0.tool_call.function.name"]
    + ["retrieval.documents.0.document.id", "gen_ai.system_instructions", "gen_ai.prompt.0.0.0"]
)
words = st.sampled_from(["chat", "tool", "retrieval", "LLM", "[{]", '{"messages": [{"role": 1}]}'])
events = st.fixed_dictionaries(
    {
        "name": st.sampled_from([*conventions.SPOKEN, "exception", "gen_ai.content.prompt"]),
        "attributes": st.dictionaries(names | st.sampled_from(["content", "role"]), json_values),
    }
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(json_values, st.sampled_from(["", "resourceSpans", "span", "attributes"]))
def test_anything_else_is_told_not_thrown(value: Any, place: str) -> None:
    span = json.loads(encode_span(span_of(a_run()[5])))
    if place == "span" and isinstance(value, dict):
        span |= value
    if place == "attributes":
        span["attributes"] = value
    groups = [{"scopeSpans": [{"spans": [span]}]}]
    data = {"": value, "resourceSpans": {"resourceSpans": value}}.get(
        place, {"resourceSpans": groups}
    )
    list(records_of(lambda: list(read_request(data)), lambda skipped: None))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(names, json_values | words, max_size=8), st.lists(events, max_size=3))
def test_whatever_the_attributes_say_a_span_becomes_a_record(
    attributes: dict[str, Any], events: list[Any]
) -> None:
    ours = {conventions.ID, "onrecord.kind"}
    span = {
        "traceId": "ab" * 16,
        "spanId": "cd" * 8,
        "name": "x",
        "startTimeUnixNano": "1",
        "attributes": {name: v for name, v in attributes.items() if name not in ours},
        "events": events,
    }
    data = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    problems: list[Skipped] = []
    made = list(records_of(lambda: list(read_request(data)), problems.append))
    assert problems == [] and len(made) == 1
    assert made[0].input["attributes"]["otel.span_id"] == "cd" * 8
    assert msgspec.json.decode(msgspec.json.encode(made[0]), type=Record).id == made[0].id


message = st.sampled_from(
    [
        '[{"role":"user","parts":[{"type":"text","content":"%s"}]}]',
        '[{"role":"assistant","parts":[{"type":"reasoning","content":"%s"}]}]',
        '{"messages":[{"role":"user","content":"%s"}],"model":"m"}',
        '{"choices":[{"message":{"role":"assistant","content":"%s"},"index":0}]}',
        '[{"id":"%s","score":0.5}]',
        '{"query":"%s"}',
        "%s",
        "%s",
    ]
)
places = st.one_of(
    names,
    st.tuples(
        st.sampled_from([*conventions.SPOKEN, "exception", "gen_ai.content.prompt", "mine"]),
        names
        | st.sampled_from(
            ["content", "role", "message", "exception.stacktrace", "exception.message"]
        ),
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(places, message, max_size=8), st.booleans())
def test_no_word_of_a_span_is_lost(said: dict[Any, str], failed: bool) -> None:
    words = {place: form % f"word{number}x" for number, (place, form) in enumerate(said.items())}
    span = a_span({place: word for place, word in words.items() if isinstance(place, str)})
    span["status"] = {"code": 2, "message": "problem"} if failed else {}
    span["events"] = [
        {"name": place[0], "attributes": [{"key": place[1], "value": {"stringValue": word}}]}
        for place, word in words.items()
        if isinstance(place, tuple)
    ]
    (record,) = read_data([span])
    kept = msgspec.json.encode(record).decode().lower()
    assert [word for word in range(len(words)) if f"word{word}x" not in kept] == []


# What others wrote


def test_spans_of_the_conventions_of_today() -> None:
    (record,) = read_spans(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "gcp.gemini",
            "gen_ai.request.model": "gemini-3",
            "gen_ai.request.max_tokens": 100,
            "gen_ai.usage.input_tokens": 11,
            "gen_ai.usage.cache_creation.input_tokens": 5,
            "gen_ai.usage.output_tokens": 7,
            "gen_ai.response.finish_reasons": ["max_tokens"],
            "gen_ai.response.id": "r-1",
            "gen_ai.conversation.id": "c-1",
            "gen_ai.system_instructions": '[{"type":"text","content":"Be brief."}]',
            "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]',
            "gen_ai.output.messages": json.dumps(
                [
                    {
                        "role": "assistant",
                        "parts": [
                            {"type": "reasoning", "content": "hm"},
                            {"type": "text", "content": "Hello"},
                        ],
                    }
                ]
            ),
        }
    )
    assert (record.kind, record.name, record.session) == ("model", "gemini:gemini-3", "c-1")
    assert (record.usage.input, record.usage.output, record.usage.cache_write) == (11, 7, 5)
    asked = msgspec.convert(record.input, Request)
    assert [message.role for message in asked.messages] == ["system", "user"]
    assert asked.parameters.max_tokens == 100
    answer = msgspec.convert(record.output, Completion)
    assert (answer.text, answer.finish, answer.model) == ("Hello", "length", "gemini-3")
    assert record.cost is None
    kept = record.input["attributes"]
    assert kept["gen_ai.response.id"] == "r-1"
    assert "hm" in kept["gen_ai.output.messages"]  # thinking has no place: it is kept as it came
    assert "gen_ai.input.messages" not in kept


def test_spans_of_the_first_conventions_and_of_traceloop() -> None:
    (record,) = read_spans(
        {
            "gen_ai.system": "OpenAI",
            "llm.request.type": "chat",
            "gen_ai.request.model": "gpt-4",
            "gen_ai.usage.prompt_tokens": 3,
            "gen_ai.usage.completion_tokens": "4",
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "Hi",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "Hello",
            "gen_ai.completion.0.finish_reason": "stop",
            "gen_ai.completion.0.tool_calls.0.id": "c1",
            "gen_ai.completion.0.tool_calls.0.name": "map",
            "gen_ai.completion.0.tool_calls.0.arguments": '{"a": 1}',
        }
    )
    assert record.name == "openai:gpt-4"
    assert (record.usage.input, record.usage.output) == (3, 4)
    assert record.input["messages"] == [text("user", "Hi")]
    assert record.output["message"]["parts"] == [
        {"type": "text", "text": "Hello"},
        {"type": "tool_call", "id": "c1", "name": "map", "arguments": '{"a": 1}'},
    ]
    assert not any("prompt." in name for name in record.input["attributes"])


def test_messages_that_were_events() -> None:
    span = a_span({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"})
    span["events"] = [
        {"name": "gen_ai.system.message", "attributes": {"content": "Be brief."}},
        {"name": "gen_ai.user.message", "attributes": {"content": "Hi", "role": "user"}},
        {"name": "gen_ai.choice", "attributes": {"message": '{"content": "Hello"}', "index": 0}},
        {"name": "retry", "timeUnixNano": "5", "attributes": {"n": 1}},
    ]
    (record,) = read_data([span])
    assert record.input["messages"] == [text("system", "Be brief."), text("user", "Hi")]
    assert record.output["message"] == text("assistant", "Hello")
    assert record.input["attributes"]["otel.events"] == [
        {"name": "retry", "time_ns": 5, "attributes": {"n": 1}}
    ]


def test_spans_of_openinference() -> None:
    root = a_span({"openinference.span.kind": "CHAIN", "input.value": "Hi"}, id="01" * 8)
    model = a_span(
        {
            "openinference.span.kind": "LLM",
            "llm.provider": "anthropic",
            "llm.model_name": "claude",
            "llm.token_count.prompt": 3,
            "llm.cost.total": 0.0015,
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "Hi",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.contents.0.message_content.type": "text",
            "llm.output_messages.0.message.contents.0.message_content.text": "Hello",
            "session.id": "s",
        },
        id="02" * 8,
        parent="01" * 8,
    )
    search = a_span(
        {
            "openinference.span.kind": "RETRIEVER",
            "input.value": "Hi",
            "retrieval.documents.0.document.id": "d1",
            "retrieval.documents.0.document.content": "Hello",
            "retrieval.documents.0.document.score": 0.5,
        },
        id="03" * 8,
        parent="01" * 8,
    )
    tool = a_span(
        {"openinference.span.kind": "TOOL", "tool.name": "map", "tool.parameters": '{"a":1}'},
        id="04" * 8,
        parent="01" * 8,
    )
    first, second, third, fourth = read_data([model, search, tool, root])
    assert [r.kind for r in (first, second, third, fourth)] == ["model", "search", "tool", "flow"]
    assert (first.name, first.cost, first.session) == ("anthropic:claude", 1500, "s")
    assert first.input["messages"] == [text("user", "Hi")]
    assert first.output["message"] == text("assistant", "Hello")
    assert second.input["question"] == "Hi"
    assert second.output["passages"][0]["text"] == "Hello"
    assert third.name == "map"
    assert fourth.input == {"value": "Hi", "attributes": fourth.input["attributes"]}
    assert {r.run for r in (first, second, third)} == {fourth.id}
    assert {r.parent for r in (first, second, third)} == {fourth.id}


def test_errors_and_calls_that_never_ended() -> None:
    failed = a_span({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "map"})
    failed["status"] = {"code": 2, "message": "no map"}
    attributes = [{"key": "exception.type", "value": {"stringValue": "ValueError"}}]
    failed["events"] = [{"name": "exception", "attributes": attributes}]
    hanging = a_span({}, id="0a" * 8)
    del hanging["endTimeUnixNano"]
    first, second = read_data([failed, hanging])
    assert (first.state, first.error, first.name) == ("failed", "ValueError: no map", "map")
    assert (second.state, second.ended_ns, second.kind) == ("interrupted", 0, "flow")


def test_a_body_that_a_collector_cut_is_marked() -> None:
    data = json.loads(request([encode_span(span_of(a_run()[0]))], {}))
    span = data["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    for attribute in span["attributes"]:
        if attribute["key"] == "onrecord.output":
            attribute["value"]["stringValue"] = attribute["value"]["stringValue"][:10]
    (record,) = read(msgspec.json.encode(data))
    assert record.redacted and record.output == '{"value":"'


# Files


@pytest.mark.parametrize("form", ["lines", "document", "gzip"])
def test_files_are_read_in_every_form(form: str, tmp_path: Path, store: Store) -> None:
    run = a_run()
    bodies = [request([encode_span(span_of(record))], {}) for record in reversed(run)]
    path = tmp_path / "traces.json"
    if form == "document":
        whole = request([encode_span(span_of(record)) for record in run], {})
        path.write_bytes(msgspec.json.format(whole, indent=2))
    elif form == "lines":
        path.write_bytes(b"\n".join(bodies) + b"\n\n")
    else:
        path = tmp_path / "traces.json.gz"
        path.write_bytes(gzip.compress(b"\n".join(bodies)))
    traces = read_otlp(path)
    assert sorted(traces, key=lambda record: record.id) == sorted(run, key=lambda r: r.id)
    assert store.take(traces) == len(run)
    assert store.take(traces) == 0
    assert store.run(run[0].id)[0].input == run[0].input


def test_what_comes_in_is_redacted_as_what_is_recorded() -> None:
    (record,) = read_spans({"gen_ai.tool.name": "map", "input.value": "secret"})
    (bare,) = redacted([record], Settings(bodies=False))
    assert (bare.input, bare.output, bare.redacted) == (None, None, True)
    (same,) = redacted([record], Settings(redact=()))
    assert same == record


def test_what_is_no_span_is_counted_with_its_place(tmp_path: Path) -> None:
    good = request([encode_span(span_of(a_run()[0]))], {})
    bad = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"x"}, 5]}]}]}'
    path = tmp_path / "traces.jsonl"
    path.write_bytes(b"\n".join([good, b"{torn", bad, b'{"resourceLogs":[]}', good]))
    traces = read_otlp(path)
    assert len(list(traces)) == 2
    assert traces.count == 4
    assert [str(each.where).removeprefix(str(path)) for each in traces.skipped] == [
        ":2",
        ":3, span 1",
        ":3, span 2",
        ":4",
    ]
    assert traces.skipped[1].reason == "it has no startTimeUnixNano"


def test_a_file_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(LoadError, match="cannot be read"):
        list(read_otlp(path))
    path.write_text("hello\nyou")
    with pytest.raises(LoadError, match="holds no JSON"):
        list(read_otlp(path))
    path.write_text("")
    assert list(read_otlp(path)) == []
    torn = tmp_path / "a.json.gz"
    torn.write_bytes(gzip.compress(b"{}" * 1000)[:20])
    with pytest.raises(LoadError, match="cannot be read"):
        list(read_otlp(torn))


def test_a_parent_that_is_not_there_begins_a_run(store: Store) -> None:
    child = a_span({}, id="02" * 8, parent="01" * 8)
    (record,) = read_data([child])
    assert record.parent is None and record.run == record.id
    assert record.input["attributes"]["otel.parent_span_id"] == "01" * 8
    assert record.id.startswith(f"{NOW // 1_000_000:012x}")
    assert read_data([child]) == [record]
    loop = [a_span({}, id="03" * 8, parent="04" * 8), a_span({}, id="04" * 8, parent="03" * 8)]
    assert len(read_data(loop)) == 2


# Sending


def test_every_ended_record_arrives_once(store: Store, otlp_collector: Collector) -> None:
    run = a_run()
    store.take(run)
    headers = {"authorization": "Bearer k"}
    done = send(store, otlp_collector.url, headers=headers, delivery=Delivery(spans=3))
    assert done == Exported(sent=len(run))
    assert {span["spanId"] for span in otlp_collector.spans} == {span_id(r.id) for r in run}
    assert {span["traceId"] for span in otlp_collector.spans} == {run[0].run}
    assert otlp_collector.attempts == 3
    received = otlp_collector.received[0]
    assert received.headers["content-encoding"] == "gzip"
    assert received.headers["authorization"] == "Bearer k"
    assert send(store, otlp_collector.url) == Exported()
    assert otlp_collector.attempts == 3


def test_calls_that_end_late_are_sent_when_they_have_ended(
    store: Store, otlp_collector: Collector
) -> None:
    run = a_run()
    store.take(run)
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE record SET state = 'open' WHERE id = '{run[0].id}'")
    assert send(store, otlp_collector.url).sent == len(run) - 1
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE record SET state = 'done' WHERE id = '{run[0].id}'")
    assert send(store, otlp_collector.url).sent == 1
    assert otlp_collector.spans[-1]["spanId"] == span_id(run[0].id)


def test_a_store_in_postgresql_remembers_as_well(
    postgres: str, project: Path, otlp_collector: Collector
) -> None:
    store = Store(project / ".onrecord", postgres, fold=False)
    store.take(a_run())
    otlp_collector.fail(1, 400)
    done = send(store, otlp_collector.url, delivery=Delivery(spans=5))
    assert (done.sent, done.failed) == (3, 5)
    assert send(store, otlp_collector.url, again=True).sent == 5
    assert send(store, otlp_collector.url, again=True) == Exported()
    store.close()


def test_each_target_gets_its_own(store: Store, otlp_collector: Collector) -> None:
    store.take(a_run())
    send(store, otlp_collector.url)
    assert send(store, otlp_collector.url + "/v1/traces").sent == 0  # the same one
    assert send(store, otlp_collector.url, target="another project there").sent == 8
    with pytest.raises(UsageError, match="takes no traces"):
        send(store, otlp_collector.url + "/elsewhere")


def test_a_busy_server_is_waited_for(store: Store, otlp_collector: Collector) -> None:
    store.take(a_run())
    otlp_collector.fail(2, 503)
    otlp_collector.fail(1, 429, retry_after=0)
    otlp_collector.hang_up(1, keep=True)
    done = send(store, otlp_collector.url)
    assert (done.sent, done.left) == (8, 0)
    assert otlp_collector.attempts == 5
    ids = [span["spanId"] for span in otlp_collector.spans]
    assert len(ids) == 16 and len(set(ids)) == 8  # twice, and the same


def test_a_server_that_stays_away_leaves_the_rest_for_next_time(
    store: Store, otlp_collector: Collector
) -> None:
    store.take(a_run())
    otlp_collector.fail(1, 503, retry_after=3600)
    done = send(store, otlp_collector.url, delivery=Delivery(spans=3, patience=1))
    assert (done.sent, done.failed, done.left) == (0, 0, 8)
    assert "503" in done.problems[0]
    done = send(store, "http://127.0.0.1:9", delivery=Delivery(patience=0))
    assert done.left == 8 and "did not answer" in done.problems[0]
    otlp_collector.fail(1, 500)
    assert send(store, otlp_collector.url).left == 8
    assert send(store, otlp_collector.url).sent == 8


def test_what_a_server_refuses_is_put_aside_and_told(
    store: Store, otlp_collector: Collector
) -> None:
    store.take(a_run())
    otlp_collector.fail(1, 413)
    done = send(store, otlp_collector.url, delivery=Delivery(spans=5))
    assert (done.sent, done.failed, done.left) == (3, 5, 0)
    assert done.problems[0].startswith("413 ")
    assert send(store, otlp_collector.url) == Exported(aside=5)
    assert send(store, otlp_collector.url, again=True) == Exported(sent=5)


@contextlib.contextmanager
def answering(body: bytes | None, content_type: str = "") -> Iterator[str]:
    """A server that answers 200 with this body to everything; with None it never answers."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if body is None:
                over.wait(60)
                return
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            if content_type:
                self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"<html>hello</html>", "text/html"), (b"OK", ""), (b"[]", "application/json")],
)
def test_a_server_that_answers_anything_has_taken_nothing(
    store: Store, otlp_collector: Collector, body: bytes, content_type: str
) -> None:
    store.take(a_run())
    with answering(body, content_type) as address:
        with pytest.raises(UsageError, match="takes no traces") as told:
            send(store, address, target="there")
        assert body.decode() in str(told.value)
    assert send(store, otlp_collector.url, target="there").sent == 8


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"", ""), (b"{}", "text/plain"), (b"", "text/html"), (b"\x0a\x00", "application/x-protobuf")],
)
def test_what_acknowledges(store: Store, body: bytes, content_type: str) -> None:
    store.take(a_run())
    with answering(body, content_type) as address:
        assert send(store, address) == Exported(sent=8)


def test_a_server_that_hangs_is_not_waited_for_beyond_the_patience(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_LEAST_SECONDS", 0.1)
    store.take(a_run())
    with answering(None) as address:
        done = send(store, address, delivery=Delivery(patience=0.2, timeout=3600))
    assert (done.sent, done.left) == (0, 8)
    assert re.fullmatch(r"http://.* did not answer within \d+ seconds", done.problems[0])


@pytest.mark.parametrize("status", [401, 403, 307])
def test_a_server_that_lets_nobody_in_puts_nothing_aside(
    store: Store, otlp_collector: Collector, status: int
) -> None:
    store.take(a_run())
    otlp_collector.fail(1, status)
    with pytest.raises(UsageError, match=str(status)):
        send(store, otlp_collector.url)
    assert send(store, otlp_collector.url).sent == 8


def test_only_what_is_asked_for_is_sent(store: Store, otlp_collector: Collector) -> None:
    store.take(a_run())
    assert send(store, otlp_collector.url, query=Query(kinds=("model",))).sent == 2
    assert (
        send(
            store, otlp_collector.url, query=Query(name="map"), delivery=Delivery(bodies=False)
        ).sent
        == 1
    )
    assert "gen_ai.tool.call.arguments" not in json.dumps(otlp_collector.spans[-1])
    assert send(store, otlp_collector.url).sent == 5


def test_the_standard_variables_are_read(
    store: Store, otlp_collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.take(a_run())
    with pytest.raises(UsageError, match="where the traces go"):
        send(store, None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp_collector.url + "/")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x=1")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    assert send(store, None).sent == 8
    received = otlp_collector.received[0]
    assert (received.headers["api-key"], received.headers["x"]) == ("a b", "1")
    resource = json.dumps(received.data["resourceSpans"][0]["resource"])
    assert "shop" in resource


@pytest.mark.parametrize(
    "address",
    [
        *("localhost:4318", "ftp://a", "http://", "http://localhost:99999", "http://a:0"),
        *("http://a:b", "http://[::1"),
    ],
)
def test_an_address_that_is_none(
    store: Store, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="not the address"):
        send(store, address)  # though there is nothing to send
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.setenv(name, address)
        with pytest.raises(UsageError, match="not the address"):
            send(store, None)


def test_partial_success_in_both_forms() -> None:
    said = b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}'
    assert sending.partial_success(said, "application/json") == (3, "too old")
    inner = b"\x08\x03\x12\x07too old"
    packed = b"\x0a" + bytes([len(inner)]) + inner
    assert sending.partial_success(packed, "application/x-protobuf") == (3, "too old")


@given(st.binary(max_size=40), st.sampled_from(["application/x-protobuf", "application/json", ""]))
def test_an_answer_may_be_anything(body: bytes, content_type: str) -> None:
    rejected, message = sending.partial_success(body, content_type)
    assert rejected >= 0 and isinstance(message, str)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), ("-5", 0), ("Thu, 01 Jan 1970 00:01:40 GMT", 40), ("soon", None), (None, None)],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    assert sending.retry_after(text, now=60) == seconds


def test_killed_between_sending_and_remembering(
    store: Store, otlp_collector: Collector, project: Path
) -> None:
    """What was sent and not remembered is sent again, with the same ids."""
    run = a_run()
    store.take(run)
    code = (
        "import asyncio, os, signal, sys\n"
        "from pathlib import Path\n"
        "from onrecord.records.exchange import exported, sending\n"
        "from onrecord.records.store import Store\n"
        "exported.remember = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        "store = Store(Path(sys.argv[1]), fold=False)\n"
        "asyncio.run(sending.export_otlp(store, sys.argv[2]))\n"
    )
    arguments = [sys.executable, "-c", code, str(project / ".onrecord"), otlp_collector.url]
    killed = subprocess.run(arguments, capture_output=True, env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(otlp_collector.spans) == 8
    assert send(store, otlp_collector.url).sent == 8
    ids = [span["spanId"] for span in otlp_collector.spans]
    assert sorted(ids[:8]) == sorted(ids[8:])


def test_processes_that_export_at_the_same_time_lose_nothing(
    store: Store, otlp_collector: Collector
) -> None:
    runs = [a_run(started_ns=NOW + number) for number in range(20)]
    store.take([record for run in runs for record in run])

    async def both() -> list[Exported]:
        one = export_otlp(store, otlp_collector.url, delivery=Delivery(spans=7))
        other = export_otlp(store, otlp_collector.url, delivery=Delivery(spans=7))
        return list(await asyncio.gather(one, other))

    asyncio.run(both())
    assert {span["spanId"] for span in otlp_collector.spans} == {
        span_id(record.id) for run in runs for record in run
    }
    assert send(store, otlp_collector.url) == Exported()


def read(body: bytes) -> list[Record]:
    data = msgspec.json.decode(body)
    problems: list[Skipped] = []
    found = list(records_of(lambda: list(read_request(data)), problems.append))
    assert problems == []
    return found


def read_data(spans: list[dict[str, Any]]) -> list[Record]:
    return read(msgspec.json.encode({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))


def read_spans(attributes: dict[str, Any]) -> list[Record]:
    return read_data([a_span(attributes)])


def a_span(attributes: dict[str, Any], *, id: str = "cd" * 8, parent: str = "") -> dict[str, Any]:
    return {
        "traceId": "ab" * 16,
        "spanId": id,
        "parentSpanId": parent,
        "name": "work",
        "startTimeUnixNano": str(NOW),
        "endTimeUnixNano": str(NOW + 5),
        "attributes": [{"key": name, "value": as_value(v)} for name, v in attributes.items()],
    }


def as_value(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [as_value(each) for each in value]}}
    kind = {str: "stringValue", int: "intValue", float: "doubleValue"}[type(value)]
    return {kind: str(value) if kind == "intValue" else value}


def text(role: str, words: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "text": words}]}
