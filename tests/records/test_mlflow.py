from __future__ import annotations

import importlib.util
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onrecord.errors import MissingExtraError, OnrecordError, UnknownNameError, UsageError
from onrecord.records.exchange.from_spans import records_of
from onrecord.records.exchange.importing import read_mlflow_files, records_of_trace
from onrecord.records.exchange.mlflow_spans import mlflow_id, span_dict, spans_of_trace
from onrecord.records.exchange.mlflow_traces import export_mlflow, read_mlflow
from onrecord.records.exchange.otlp import Skipped
from onrecord.records.exchange.span import span_id
from onrecord.records.query import Query
from onrecord.records.record import Record, new_id
from onrecord.records.store import Store
from tests.records.exchange_records import ANSWER, NOW, QUESTION, a_run, records


@pytest.fixture
def store(project: Path) -> Store:
    return Store(project / ".onrecord", fold=False)


@pytest.fixture
def experiment() -> str:
    return f"test-{uuid.uuid4().hex}"


def test_runs_appear_in_mlflow_and_its_own_client_reads_them_back(
    mlflow_server: str, store: Store, experiment: str
) -> None:
    from mlflow import MlflowClient

    uri = mlflow_server
    run = a_run()
    root, search, _, _, failed, model, tool, _ = run
    thumbs = feedback_on(root)
    store.take([*run, thumbs])

    done = export_mlflow(store, uri, experiment)

    assert (done.sent, done.failed, done.left, done.problems) == (9, 0, 0, ())
    client = MlflowClient(uri)
    id = experiment_id(client, experiment)
    (trace,) = client.search_traces(locations=[id])
    assert trace.info.trace_id == mlflow_id(root.run)
    assert trace.info.state == "OK"
    assert trace.info.request_time == NOW // 1_000_000
    assert trace.info.execution_duration == 100
    assert trace.info.tags["onrecord.run"] == root.run
    assert trace.info.tags["onrecord.tags"] == "beta, eu"
    assert trace.info.trace_metadata["mlflow.trace.session"] == "s-4"
    assert trace.info.trace_metadata["mlflow.trace.user"] == "u-17"
    assert trace.info.token_usage is not None
    assert trace.info.token_usage["input_tokens"] == 120
    assert trace.info.token_usage["cache_read_input_tokens"] == 100

    spans = {span.span_id: span for span in trace.data.spans}
    assert len(spans) == len(run)
    kinds = {span.name: span.span_type for span in spans.values()}
    assert kinds["ask"] == kinds["answer"] == "CHAIN"
    assert (kinds["handbook"], kinds["embedded:minilm"]) == ("RETRIEVER", "EMBEDDING")
    assert (kinds["openai:gpt-5-mini"], kinds["map"]) == ("CHAT_MODEL", "TOOL")
    assert kinds["grounded"] == "EVALUATOR"
    asked = spans[span_id(model.id)]
    assert asked.parent_id == span_id(model.parent or "")
    assert asked.start_time_ns == model.started_ns
    assert asked.inputs["messages"][1] == {"role": "user", "content": "Où est Köln? 🙂"}
    message = asked.outputs["choices"][0]["message"]
    assert message["content"] == "On the Rhine."
    assert message["tool_calls"][0]["function"]["name"] == "map"
    assert asked.model_name == "gpt-5-mini"
    assert asked.get_attribute("mlflow.chat.tokenUsage")["total_tokens"] == 150
    assert asked.llm_cost == {"total_cost": 0.0015}
    assert spans[span_id(failed.id)].status.status_code == "ERROR"
    assert spans[span_id(failed.id)].status.description == failed.error
    assert spans[span_id(tool.id)].outputs == tool.output
    document = spans[span_id(search.id)].outputs[0]
    assert document["page_content"] == "Köln lies on the Rhine."

    verdicts = {each.name: each for each in trace.info.assessments}
    assert verdicts["grounded"].value == 0.9
    assert verdicts["grounded"].rationale == "quoted"
    assert verdicts["grounded"].source.source_type == "CODE"
    assert verdicts["grounded"].span_id == span_id(model.id)
    assert verdicts["thumbs"].value is False
    assert verdicts["thumbs"].source.source_type == "HUMAN"
    assert verdicts["thumbs"].source.source_id == "u-17"

    (flow,) = client.search_runs([id])
    assert flow.data.params == {"flow": "ask", "release": "r1"}
    assert flow.data.metrics["calls"] == 1
    assert flow.data.metrics["input_tokens"] == 120
    assert flow.data.metrics["cost_usd"] == 0.0015
    assert flow.data.metrics["calls_of_unknown_cost"] == 1
    assert flow.data.metrics["latency_p50_seconds"] == pytest.approx(0.1)
    linked = client.search_traces(locations=[id], run_id=flow.info.run_id)
    assert [each.info.trace_id for each in linked] == [mlflow_id(root.run)]

    # Twice changes nothing, neither what is remembered nor what is written over itself.
    assert export_mlflow(store, uri, experiment).sent == 0
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM exported")
    assert export_mlflow(store, uri, experiment).sent == 9
    (again,) = client.search_traces(locations=[id])
    assert len(again.data.spans) == len(run)
    assert len(again.info.assessments) == 2
    assert again.info.token_usage == trace.info.token_usage
    assert len(client.search_runs([id])) == 1

    # And back: exactly what it was.
    traces = read_mlflow(uri, experiment)
    assert {record.id: record for record in traces} == {each.id: each for each in [*run, thumbs]}
    assert traces.skipped == []
    assert store.take(traces) == 0


def test_what_comes_later_reaches_the_trace(
    mlflow_server: str, store: Store, experiment: str
) -> None:
    from mlflow import MlflowClient

    run = a_run()
    store.take(run)
    assert export_mlflow(store, mlflow_server, experiment).sent == len(run)
    # A verdict of another process, which had no run to belong to
    alone = new_id()
    later = msgspec.structs.replace(feedback_on(run[0]), id=alone, run=alone, parent=None)
    under_way = a_run(started_ns=NOW + 10**9)
    store.take([later, *under_way])
    with store.engine.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE record SET state = 'open' WHERE id = '{under_way[0].id}'"
        )

    done = export_mlflow(store, mlflow_server, experiment)

    assert (done.sent, done.left) == (len(run) + 1, len(under_way) - 1)
    client = MlflowClient(mlflow_server)
    id = experiment_id(client, experiment)
    (trace,) = client.search_traces(locations=[id])  # the run that is under way is not there
    assert {each.name for each in trace.info.assessments} == {"grounded", "thumbs"}
    assert trace.info.execution_duration == 100


def test_traces_of_mlflow_itself_become_records(
    mlflow_server: str, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    from mlflow.entities import AssessmentSource, SpanType

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", experiment)
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    mlflow.MlflowClient().create_experiment(experiment)
    with mlflow.start_span("agent", span_type=SpanType.AGENT) as agent:
        agent.set_inputs({"question": "Where?"})
        mlflow.update_current_trace(
            metadata={"mlflow.trace.session": "s1", "mlflow.trace.user": "u1"}, tags={"team": "a"}
        )
        with mlflow.start_span("ask", span_type=SpanType.CHAT_MODEL) as ask:
            ask.set_inputs({"model": "gpt-5", "messages": [{"role": "user", "content": "Where?"}]})
            ask.set_outputs({"choices": [{"message": {"role": "assistant", "content": "There."}}]})
            ask.set_attribute("mlflow.llm.model", "gpt-5")
            ask.set_attribute("mlflow.llm.provider", "openai")
            ask.set_attribute(
                "mlflow.chat.tokenUsage",
                {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
            )
        with mlflow.start_span("find", span_type=SpanType.RETRIEVER) as find:
            find.set_inputs({"query": "Where?"})
            find.set_outputs([{"page_content": "There.", "metadata": {"a": 1}, "id": "d1"}])
        with pytest.raises(ValueError), mlflow.start_span("tool", span_type=SpanType.TOOL) as tool:
            tool.set_inputs({"city": "Köln"})
            raise ValueError("no map")
        agent.set_outputs({"answer": "There."})
    mlflow.log_feedback(
        trace_id=agent.trace_id,
        name="correct",
        value=True,
        rationale="it is",
        source=AssessmentSource("HUMAN", "ada"),
    )

    traces = read_mlflow(mlflow_server, experiment)
    found = {record.name: record for record in traces}

    assert traces.skipped == []
    root, model, search = found["agent"], found["openai:gpt-5"], found["find"]
    assert [root.kind, model.kind, search.kind] == ["flow", "model", "search"]
    assert root.run == root.id and root.parent is None and model.parent == root.id
    assert root.output == {"answer": "There."}
    assert root.input["question"] == "Where?"
    assert root.input["attributes"]["mlflow.trace.tags"]["team"] == "a"
    assert (root.session, root.user) == ("s1", "u1")
    assert model.usage.input == 7 and model.usage.output == 3
    assert model.input["messages"] == [
        {"role": "user", "parts": [{"type": "text", "text": "Where?"}]}
    ]
    assert model.input["attributes"]["mlflow.spanInputs"]["model"] == "gpt-5"  # nothing is lost
    assert model.output["message"]["parts"] == [{"type": "text", "text": "There."}]
    assert search.input["question"] == "Where?"
    assert search.output["passages"][0]["document_id"] == "d1"
    assert found["tool"].state == "failed" and "no map" in (found["tool"].error or "")
    assert found["correct"].kind == "feedback"
    assert found["correct"].output == {"value": True, "reason": "it is"}
    assert found["correct"].input["record"] == root.id
    assert {each.id for each in read_mlflow(mlflow_server, experiment)} == {
        each.id for each in found.values()
    }


def test_mlflow_takes_what_is_sent_to_it_over_otlp(
    mlflow_server: str, store: Store, experiment: str
) -> None:
    import asyncio

    from mlflow import MlflowClient

    from onrecord.records.exchange.sending import export_otlp

    client = MlflowClient(mlflow_server)
    id = client.create_experiment(experiment)
    run = a_run()
    store.take(run)

    done = asyncio.run(export_otlp(store, mlflow_server, headers={"x-mlflow-experiment-id": id}))

    assert (done.sent, done.problems) == (len(run), ())
    (trace,) = client.search_traces(locations=[id])
    assert trace.info.trace_id == mlflow_id(run[0].run)
    assert len(trace.data.spans) == len(run)
    assert trace.info.token_usage["output_tokens"] == 30
    back = {record.id: record for record in read_mlflow(mlflow_server, experiment)}
    assert back == {record.id: record for record in run}


def test_errors_are_sentences(
    mlflow_server: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownNameError, match="no experiment 'nowhere'"):
        list(read_mlflow(mlflow_server, "nowhere"))
    with pytest.raises(OnrecordError, match="no MLflow server answers") as caught:
        export_mlflow(store, "http://user:secret@127.0.0.1:9")
    assert "secret" not in str(caught.value)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"onrecord\[mlflow\]"):
        export_mlflow(store, mlflow_server)


def test_a_server_that_is_not_there_is_told_without_trying_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    from urllib3.util.retry import Retry

    def waited(retry: Retry, response: object = None) -> None:
        pytest.fail("it waited for a server that is not there")

    monkeypatch.setattr(Retry, "sleep", waited)
    store.take(a_run())
    for ask in (
        lambda: export_mlflow(store, CLOSED),
        lambda: list(read_mlflow(CLOSED, "onrecord")),
    ):
        with pytest.raises(OnrecordError, match="no MLflow server answers") as caught:
            ask()
        assert str(caught.value).count("\n") == 0 and CLOSED in str(caught.value)


CLOSED = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "address",
    ["http://localhost:99999", "http://localhost:0", "http://:5000", "http://[::1", "http://a:b"],
)
def test_an_address_that_no_server_has_is_refused_though_there_is_nothing_to_send(
    store: Store, address: str
) -> None:
    with pytest.raises(UsageError, match="is not the address of a server"):
        export_mlflow(store, address)
    with pytest.raises(UsageError, match="is not the address of a server"):
        list(read_mlflow(address, "onrecord"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(records)
def test_a_record_comes_back_from_mlflows_form(record: Record) -> None:
    span = msgspec.json.decode(msgspec.json.encode(span_dict(record)))
    trace = {"info": {}, "data": {"spans": [span]}}
    problems: list[Skipped] = []
    assert list(records_of(lambda: list(spans_of_trace(trace, "")), problems.append)) == [record]
    assert problems == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "info data spans trace_id span_id parent_span_id start_time_unix_nano attributes"
                " name assessments metadata feedback create_time context events status tags"
                " mlflow.spanInputs mlflow.spanType onrecord.id onrecord.kind".split()
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(json_values)
def test_anything_else_is_told_not_thrown(value: object) -> None:
    problems: list[Skipped] = []
    list(records_of_trace(value, "x", problems.append))
    span = span_dict(a_run()[5]) | (value if isinstance(value, dict) else {})
    list(records_of_trace({"info": value, "data": {"spans": [span]}}, "x", problems.append))


def test_trace_files_of_old_and_new_forms(tmp_path: Path) -> None:
    new = {"info": {"trace_id": "tr-1"}, "data": {"spans": [span_dict(a_run()[5])]}}
    old = {
        "info": {"request_id": "tr-" + "ab" * 16},
        "data": {
            "spans": [
                {
                    "name": "llm",
                    "context": {"trace_id": "0x" + "ab" * 16, "span_id": "0x" + "cd" * 8},
                    "parent_id": None,
                    "start_time": NOW,
                    "end_time": NOW + 5,
                    "status_code": "ERROR",
                    "status_message": "no key",
                    "attributes": {
                        "mlflow.spanType": '"LLM"',
                        "mlflow.spanInputs": '"Where?"',
                        "mlflow.spanOutputs": '"There."',
                    },
                }
            ]
        },
    }
    path = tmp_path / "traces.json"
    path.write_bytes(msgspec.json.encode([new, old, {"info": {}}]))
    traces = read_mlflow_files(path)
    first, second = list(traces)
    assert first.input == QUESTION and first.output == ANSWER
    assert (second.kind, second.error, second.state) == ("model", "no key", "failed")
    assert second.input["messages"][0]["parts"] == [{"type": "text", "text": "Where?"}]
    assert second.output["message"]["parts"] == [{"type": "text", "text": "There."}]
    assert [each.reason for each in traces.skipped] == [
        "it is no MLflow trace: there are no spans in it"
    ]


def experiment_id(client: Any, name: str) -> str:
    return str(client.get_experiment_by_name(name).experiment_id)


def feedback_on(record: Record) -> Record:
    at = NOW + 86_400 * 10**9
    return Record(
        id=new_id(),
        run=record.run,
        parent=record.id,
        kind="feedback",
        name="thumbs",
        input={"record": record.id},
        output={"value": False, "comment": "Köln is in Germany"},
        key="k",
        started_ns=at,
        ended_ns=at,
        state="done",
        user="u-17",
    )


def test_only_the_runs_of_the_query_are_written(
    mlflow_server: str, store: Store, experiment: str
) -> None:
    from mlflow import MlflowClient

    first, second = a_run(), a_run(name="other", started_ns=NOW + 10**9)
    store.take([*first, *second])
    export_mlflow(store, mlflow_server, experiment, query=Query(kinds=("flow",), name="other"))
    client = MlflowClient(mlflow_server)
    (trace,) = client.search_traces(locations=[experiment_id(client, experiment)])
    assert len(trace.data.spans) == len(second)
