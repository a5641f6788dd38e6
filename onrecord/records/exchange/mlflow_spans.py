"""MLflow's form of a trace, as plain values: no MLflow needed.

A span's attributes are JSON texts there. Inputs and outputs have attributes of their own, and those
of models and retrievers have the form that MLflow's page draws as a conversation, as documents.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from onrecord.messages import Usage
from onrecord.records.exchange import conventions
from onrecord.records.exchange.chat import as_json, from_message, from_messages
from onrecord.records.exchange.otlp import Skipped, read_request
from onrecord.records.exchange.span import Span, is_hex, span_id, trace_id
from onrecord.records.exchange.to_spans import attributes_of
from onrecord.records.record import Record, question_key

Plain = dict[str, Any]
INPUTS, OUTPUTS, TYPE = "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.spanType"


def mlflow_id(run: str) -> str:
    """The id of a run's trace in MLflow."""
    return f"tr-{trace_id(run)}"


def span_dict(record: Record) -> Plain:
    """A record as `mlflow.entities.Span.from_dict` takes it."""
    failed = record.state in ("failed", "interrupted")
    attributes = mlflow_attributes(record)
    return {
        "trace_id": _base64(trace_id(record.run)),
        "span_id": _base64(span_id(record.id)),
        "parent_span_id": None if record.parent is None else _base64(span_id(record.parent)),
        "name": record.name,
        "start_time_unix_nano": record.started_ns,
        "end_time_unix_nano": max(record.ended_ns, record.started_ns),
        "events": [],
        "status": {
            "code": "STATUS_CODE_ERROR" if failed else "STATUS_CODE_OK",
            "message": (record.error or record.state) if failed else "",
        },
        "attributes": {name: as_json(value) for name, value in attributes.items()},
        "links": [],
    }


def mlflow_attributes(record: Record) -> Plain:
    """The attributes of a record's span in MLflow: those of the table, and MLflow's own."""
    found = attributes_of(record)
    for name in (conventions.MESSAGES, conventions.ANSWER, *_SAID_BELOW):
        found.pop(name, None)
    input, output = _drawn(record)
    if _input_back(record.kind, input) != record.input:
        found[conventions.INPUT] = as_json(record.input)
    rest = _rest_of_search(record, output)
    if _output_back(record.kind, output, rest) != record.output:
        found[conventions.OUTPUT] = as_json(record.output)
    elif rest is not None:
        found[conventions.OUTPUT] = as_json(rest)
    found["mlflow.traceRequestId"] = mlflow_id(record.run)
    found[TYPE] = conventions.MLFLOW_TYPES.get(record.kind, "UNKNOWN")
    found |= {INPUTS: input} if record.input is not None else {}
    found |= {OUTPUTS: output} if record.output is not None else {}
    if record.kind in ("model", "embed"):
        found["mlflow.llm.model"] = conventions.model(record.name)
        found["mlflow.llm.provider"] = conventions.provider(record.name) or ""
    usage = record.usage
    if usage.input or usage.output:
        found["mlflow.chat.tokenUsage"] = token_usage([record])
    if record.cost:
        found["mlflow.llm.cost"] = {"total_cost": record.cost / 1e6}
    if record.ended_ns < record.started_ns:
        found["onrecord.ended_ns"] = record.ended_ns
    return found


def token_usage(records: Sequence[Record]) -> dict[str, int]:
    """The tokens of records together, in MLflow's words."""
    total = sum((record.usage for record in records), start=Usage())
    counts = {
        "input_tokens": total.input,
        "output_tokens": total.output,
        "total_tokens": total.input + total.output,
    }
    if total.cached:
        counts["cache_read_input_tokens"] = total.cached
    if total.cache_write:
        counts["cache_creation_input_tokens"] = total.cache_write
    return counts


def spans_of_trace(trace: Any, where: str) -> Iterator[Span | Skipped]:
    """The spans of a trace as `mlflow.entities.Trace.to_dict` gives it, and what is none."""
    info = _dict(_dict(trace).get("info"))
    spans = _dict(_dict(trace).get("data")).get("spans")
    if not isinstance(spans, list):
        yield Skipped(where, "it is no MLflow trace: there are no spans in it")
        return
    metadata = _dict(info.get("trace_metadata") or info.get("request_metadata"))
    whose = {"session.id": metadata.get("mlflow.trace.session")}
    whose["user.id"] = metadata.get("mlflow.trace.user")
    told = {"mlflow.trace.tags": info.get("tags"), "mlflow.trace.metadata": metadata}
    for span in spans:
        data = _wire(_dict(span))
        attributes = {n: _read(value) for n, value in _dict(data.get("attributes")).items()}
        root = not data.get("parentSpanId")
        for name, value in {**whose, **(told if root else {})}.items():
            if value:
                attributes.setdefault(name, value)
        data["attributes"] = _translated(attributes)
        scopes = [{"spans": [data]}]
        yield from read_request({"resourceSpans": [{"scopeSpans": scopes}]}, where)


def verdicts_of_trace(trace: Any, records: Sequence[Record]) -> Iterator[Record | Skipped]:
    """The assessments of a trace as feedback, but for those that are among its records."""
    assessments = _dict(_dict(trace).get("info")).get("assessments")
    known = {record.id: record for record in records}
    spans: dict[Any, Record] = {span_id(record.id): record for record in records}
    spans |= {
        _dict(_dict(record.input).get("attributes")).get("otel.span_id"): record
        for record in records
    }
    root = next((record for record in records if record.parent is None), None)
    for assessment in assessments if isinstance(assessments, list) else ():
        metadata = _dict(_dict(assessment).get("metadata"))
        if metadata.get(conventions.ID) in known or root is None:
            continue
        try:
            if text := metadata.get("onrecord.record"):
                yield msgspec.json.decode(text, type=Record)
            else:
                about = spans.get(assessment.get("span_id"), root)
                yield _feedback(assessment, about)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            yield Skipped("assessment", str(error))


def put_back(attributes: Plain, kind: str) -> None:
    """MLflow's inputs and outputs as the attributes that a record of ours is made from."""
    if conventions.INPUT not in attributes and INPUTS in attributes:
        attributes[conventions.INPUT] = as_json(_input_back(kind, attributes[INPUTS]))
    if OUTPUTS in attributes:
        rest = attributes.get(conventions.OUTPUT)
        rest = _read(rest)
        drawn = isinstance(rest, dict) and kind == "search" and "passages" not in rest
        if rest is None or drawn:
            body = _output_back(kind, attributes[OUTPUTS], rest)
            attributes[conventions.OUTPUT] = as_json(body)


# The form that MLflow's page draws, and back


def _drawn(record: Record) -> tuple[Any, Any]:
    input, output = record.input, record.output
    if record.kind == "model":
        if isinstance(input, dict) and isinstance(input.get("messages"), list):
            input = {**input, "messages": [_to_openai(each) for each in input["messages"]]}
        if isinstance(output, dict) and isinstance(output.get("message"), dict):
            rest = {name: value for name, value in output.items() if name != "message"}
            output = {"choices": [{"index": 0, "message": _to_openai(output["message"])}], **rest}
    if record.kind == "search" and isinstance(output, dict):
        passages = output.get("passages")
        if isinstance(passages, list) and all(map(_is_passage, passages)):
            output = [_document(each) for each in passages]
    return input, output


def _rest_of_search(record: Record, drawn: Any) -> Plain | None:
    """What the output of a search says beside its passages."""
    if record.kind != "search" or not isinstance(drawn, list) or drawn == record.output:
        return None
    return {name: value for name, value in record.output.items() if name != "passages"}


def _input_back(kind: str, input: Any) -> Any:
    if kind != "model" or not isinstance(input, dict) or "messages" not in input:
        return input
    return {**input, "messages": from_messages(input["messages"])[0]}


def _output_back(kind: str, output: Any, rest: Plain | None) -> Any:
    if kind == "model" and isinstance(output, dict) and isinstance(output.get("choices"), list):
        choices = output["choices"]
        below = {name: value for name, value in output.items() if name != "choices"}
        message = _dict(choices[0]).get("message") if choices else None
        return {"message": from_message(message, "assistant")[0], **below}
    if kind == "search" and isinstance(output, list) and rest is not None:
        return {**rest, "passages": [_passage(each) for each in output]}
    return output


def _to_openai(message: Any) -> Any:
    """A message of ours in the form that most software knows."""
    parts = _dict(message).get("parts")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        return message
    made: Plain = {"role": message.get("role")}
    words = [part for part in parts if part.get("type") == "text"]
    calls = [part for part in parts if part.get("type") == "tool_call"]
    if len(parts) == 1 and parts[0].get("type") == "tool_result" and not parts[0].get("failed"):
        part = parts[0]
        id, name = part.get("id"), part.get("name")
        return {**made, "tool_call_id": id, "name": name, "content": part.get("text")}
    if len(words) + len(calls) < len(parts) or len(words) > 1:
        made["content"] = parts
        return made
    made["content"] = words[0].get("text") if words else None
    if calls:
        made["tool_calls"] = [
            {
                "id": call.get("id"),
                "type": "function",
                "function": {"name": call.get("name"), "arguments": call.get("arguments")},
            }
            for call in calls
        ]
    return made


def _is_passage(passage: Any) -> bool:
    return isinstance(passage, dict) and isinstance(passage.get("text"), str)


def _document(passage: Plain) -> Plain:
    """A passage as MLflow's scorers know documents."""
    rest = {name: value for name, value in passage.items() if name != "text"}
    id = passage.get("document_id")
    return {
        "page_content": passage["text"],
        "id": id,
        "metadata": {"doc_uri": id, "onrecord.passage": rest},
    }


def _passage(document: Any) -> Any:
    rest = _dict(_dict(_dict(document).get("metadata")).get("onrecord.passage"))
    return {**rest, "text": _dict(document).get("page_content")}


# Reading


def _wire(span: Plain) -> Plain:
    """A span in the names of OTLP, from any of MLflow's forms."""
    data = dict(span)
    context = _dict(data.pop("context", None))  # until MLflow 2
    data["traceId"] = _id(data.pop("trace_id", context.get("trace_id")), 32)
    data["spanId"] = _id(data.pop("span_id", context.get("span_id")), 16)
    data["parentSpanId"] = _id(data.pop("parent_span_id", data.pop("parent_id", None)), 16)
    if "status_code" in data:
        data["status"] = {
            "code": data.pop("status_code"),
            "message": data.pop("status_message", None),
        }
    for theirs, names in _TIMES.items():
        data[theirs] = next((data.pop(n) for n in names if data.get(n) is not None), None)
    events = data.get("events")
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict):
            event.setdefault("timeUnixNano", event.get("timestamp"))
    return data


def _translated(attributes: Plain) -> Plain:
    """MLflow's own attributes in the words of the conventions, where theirs have none yet."""
    usage = _dict(attributes.get("mlflow.chat.tokenUsage"))
    for theirs, ours in _TOKENS.items():
        if theirs in usage:
            attributes.setdefault(ours, usage[theirs])
    cost = _dict(attributes.get("mlflow.llm.cost")).get("total_cost")
    if cost is not None:
        attributes.setdefault(conventions.COSTS[0], cost)
    if usage and usage.keys() <= _TOKENS.keys() | {"total_tokens"}:
        del attributes["mlflow.chat.tokenUsage"]
    kind = attributes.get("onrecord.kind")
    if conventions.ID in attributes and isinstance(kind, str):
        put_back(attributes, kind)
    return attributes


def _feedback(assessment: Plain, about: Record) -> Record:
    name = str(assessment.get("assessment_name") or "feedback")
    told = _dict(assessment.get("feedback"))
    expected = _dict(assessment.get("expectation"))
    output: Plain = {"value": told.get("value")} if told else {"expected": expected.get("value")}
    if reason := assessment.get("rationale"):
        output["reason"] = reason
    kept = ("source", "metadata", "overrides", "valid")
    input = {"record": about.id, **{name: assessment[name] for name in kept if name in assessment}}
    at_ns = _moment(assessment.get("create_time"))
    id = str(assessment.get("assessment_id") or as_json(assessment))
    rest = hashlib.blake2b(f"{about.run}{id}".encode(), digest_size=10).hexdigest()
    problem = _dict(told.get("error"))
    error = str(problem.get("error_message") or problem) if problem else None
    return Record(
        id=f"{at_ns // 1_000_000:012x}{rest}",
        run=about.run,
        parent=about.id,
        kind="feedback",
        name=name,
        input=input,
        key=question_key("feedback", name, "", as_json(input).encode(), None),
        started_ns=at_ns,
        ended_ns=at_ns,
        output=output,
        error=error,
        state="failed" if error else "done",
        session=about.session,
        user=about.user,
    )


def _moment(text: Any) -> int:
    """Nanoseconds of a time as MLflow writes it. Raises ValueError where it is none."""
    if not isinstance(text, str):
        raise ValueError("it has no create_time")
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    at_ns = int(moment.timestamp() * 1000) * 1_000_000
    if at_ns < 0:
        raise ValueError("its create_time is before 1970")
    return at_ns


def _id(value: Any, digits: int) -> Any:
    if not isinstance(value, str):
        return value
    text = value.rpartition("/")[2].removeprefix("tr-").removeprefix("0x").lower()
    return text.zfill(digits) if is_hex(text.zfill(digits), digits) else value


def _base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value


def _dict(value: Any) -> Plain:
    return value if isinstance(value, dict) else {}


_TIMES = {
    "startTimeUnixNano": ("start_time_unix_nano", "start_time", "startTimeUnixNano"),
    "endTimeUnixNano": ("end_time_unix_nano", "end_time", "endTimeUnixNano"),
}
_TOKENS = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_creation_input_tokens": "gen_ai.usage.cache_write.input_tokens",
}
_SAID_BELOW = (
    conventions.INPUT,
    conventions.OUTPUT,
    conventions.ARGUMENTS,
    conventions.RESULT,
    "gen_ai.retrieval.documents",
)
