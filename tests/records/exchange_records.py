"""Records for the tests of what leaves the store and comes in: made by hypothesis, and by hand."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from onrecord.messages import Usage
from onrecord.records.record import Kind, Record, new_id

NOW = 1_790_000_000_000_000_000

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
ids = st.integers(1, 2**128 - 1).map(lambda number: f"{number:032x}")
times = st.integers(0, 2**63 - 1)
counts = st.integers(0, 2**40)
maybe = st.none() | texts

arguments = texts | plain.map(lambda value: msgspec.json.encode(value).decode())
parts = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts}),
    st.fixed_dictionaries(
        {
            "type": st.just("media"),
            "media_type": st.sampled_from(["image/png", "audio/wav", "application/pdf"]),
            "url": st.sampled_from(["https://a.b/c", "data:image/png;base64,AAAA", ""]),
        }
    ),
    st.fixed_dictionaries(
        {"type": st.just("tool_call"), "id": texts, "name": texts, "arguments": arguments}
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("tool_result"),
            "id": texts,
            "name": texts,
            "text": texts,
            "failed": st.booleans(),
        }
    ),
    plain,
)
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user", "assistant", "tool", "critic"]),
        "parts": st.lists(parts, max_size=3),
    }
)
inputs = plain | st.fixed_dictionaries(
    {"messages": st.lists(messages, max_size=3) | plain},
    optional={
        "parameters": st.fixed_dictionaries(
            {}, optional={"temperature": numbers, "stop": st.lists(texts), "seed": numbers}
        ),
        "question": texts,
        "k": numbers,
        "schema": plain,
    },
)
passages = st.fixed_dictionaries({"document_id": texts, "text": texts, "score": numbers})
outputs = plain | st.one_of(
    st.fixed_dictionaries(
        {"message": messages | plain}, optional={"model": maybe, "finish": maybe, "usage": plain}
    ),
    st.fixed_dictionaries({"passages": st.lists(passages | plain, max_size=3), "strategy": plain}),
)
records = st.builds(
    Record,
    id=ids,
    run=ids | texts,
    parent=st.none() | ids,
    kind=st.sampled_from(get_args(Kind)),
    name=texts | st.just("openai:gpt-5-mini"),
    input=inputs,
    key=texts,
    started_ns=times,
    output=outputs,
    error=maybe,
    ended_ns=times,
    usage=st.builds(Usage, *[counts] * len(Usage.__struct_fields__)),
    cost=st.none() | st.integers(-(2**63), 2**63 - 1),
    state=st.sampled_from(["done", "failed", "interrupted", "paused", "open"]),
    release=maybe,
    session=maybe,
    user=maybe,
    tags=st.lists(texts, max_size=3).map(tuple),
    tenant=maybe,
    version=texts,
    source=st.none() | ids,
    redacted=st.booleans(),
)
"""Any record that a store can hold."""

QUESTION = {
    "messages": [
        {"role": "system", "parts": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "text": "Où est Köln? 🙂"}]},
    ],
    "parameters": {"temperature": 0.5, "stop": ["END"], "max_tokens": 50},
    "schema": None,
    "inputs": {"question": "Où est Köln? 🙂"},
}
ANSWER = {
    "message": {
        "role": "assistant",
        "parts": [
            {"type": "text", "text": "On the Rhine."},
            {"type": "tool_call", "id": "c1", "name": "map", "arguments": '{"city":"Köln"}'},
        ],
    },
    "model": "gpt-5-mini-2026-01-01",
    "usage": {"input": 120, "output": 30, "cached": 100, "reasoning": 10},
    "finish": "tool_calls",
    "cost": 1500,
}
FOUND = {
    "passages": [
        {
            "document_id": "rhine.md",
            "title": "Rhine",
            "text": "Köln lies on the Rhine.",
            "start": 10,
            "end": 33,
            "score": 0.75,
            "metadata": {"year": 2020},
        }
    ],
    "strategy": {"index": "exact"},
}


def a_run(*, started_ns: int = NOW, name: str = "ask", **changes: Any) -> list[Record]:
    """A flow with a search, an embedding, a failed and a good model call, a tool and a score."""
    flow, step, first, second, tool, search, embed, score = (new_id() for _ in range(8))
    ms = 1_000_000

    def record(
        id: str, parent: str | None, kind: Kind, name: str, at: int, **fields: Any
    ) -> Record:
        begun = started_ns + at * ms
        given: dict[str, Any] = {
            "id": id,
            "run": flow,
            "parent": parent,
            "kind": kind,
            "name": name,
            "key": f"{kind}-key",
            "started_ns": begun,
            "ended_ns": begun + 5 * ms,
            "state": "done",
            "session": "s-4",
            "user": "u-17",
            "tags": ("beta", "eu"),
            "release": "r1",
        }
        return Record(**(given | fields | changes))

    tokens = Usage(input=120, output=30, cached=100, reasoning=10)
    return [
        record(
            flow,
            None,
            "flow",
            name,
            0,
            input={"question": "Où est Köln? 🙂"},
            output={"value": "On the Rhine.", "citations": []},
            ended_ns=started_ns + 100 * ms,
            version="f" * 32,
        ),
        record(search, flow, "search", "handbook", 1, input=SEARCHED, output=FOUND),
        record(
            embed,
            search,
            "embed",
            "embedded:minilm",
            2,
            input={"texts": ["a"]},
            output={"shape": [1, 384]},
        ),
        record(
            step, flow, "step", "answer", 10, input={"a": None}, output=[1, None, 2.5, {"é": "ü"}]
        ),
        record(
            first,
            step,
            "model",
            "openai:gpt-5-mini",
            11,
            input=QUESTION,
            state="failed",
            error="ModelUnavailableError: no answer within 30 s",
            cost=None,
        ),
        record(
            second,
            step,
            "model",
            "openai:gpt-5-mini",
            20,
            input=QUESTION,
            output=ANSWER,
            usage=tokens,
            cost=1500,
        ),
        record(tool, flow, "tool", "map", 30, input={"city": "Köln"}, output={"at": [50.9, 6.9]}),
        record(
            score,
            flow,
            "score",
            "grounded",
            40,
            input={"record": second},
            output={"value": 0.9, "reason": "quoted"},
        ),
    ]


SEARCHED = {"question": "Köln", "k": 6, "where": None, "min_score": 0.0}
