"""The one table between a record and the attributes of a span, and the version it follows.

OpenTelemetry's conventions for generative AI live in a repository of their own that has no tagged
release; its main branch calls itself by SCHEMA_URL, and the table was made from what stood there
AS_OF. None of them is stable. What they have no word for is ours, under `onrecord.`: with it a
record comes back from a span exactly as it was.

Not mapped, because a record does not know it: `server.*`, `gen_ai.agent.*`, `gen_ai.memory.*`,
`gen_ai.prompt.*`, `gen_ai.request.stream`, `gen_ai.response.id`, `gen_ai.tool.call.id`,
`gen_ai.response.time_to_first_chunk`, `gen_ai.tool.definitions`, and metrics; system messages stand
in `gen_ai.input.messages`, not in `gen_ai.system_instructions`. Values of a span that no field of
a record holds are kept under `attributes` in its input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from onrecord.records.exchange.chat import to_message, to_messages
from onrecord.records.record import Kind

VERSION = "1"
"""Of the table. It rises with every change of what an attribute means."""

SCHEMA_URL = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"
AS_OF = "2026-10"

Form = Literal["text", "int", "double", "bool", "texts", "json"]


class Row(NamedTuple):
    """One attribute of a span and where it stands in a record.

    `field` is a path: `output.model` is the item `model` of the record's output. `form` is how
    the value is written; "json" is JSON text, because few receivers take more than scalars.
    `kinds`: of these records only; empty means of all. `older`: names under which the same value
    is read, first match wins. `write` turns the record's value into the attribute's, None where
    there is nothing to say.
    """

    attribute: str
    field: str
    form: Form = "text"
    kinds: tuple[Kind, ...] = ()
    older: tuple[str, ...] = ()
    write: Callable[[Any], Any] | None = None


def provider(name: object) -> str | None:
    """The conventions' name of the provider in `provider:model`."""
    before, colon, _ = name.partition(":") if isinstance(name, str) else ("", "", "")
    return _PROVIDERS.get(before, before) if colon and before else None


def provider_here(name: str) -> str:
    """Our name of a provider, from the conventions' name or an older one."""
    lower = name.lower()
    return _PROVIDERS_HERE.get(lower, lower)


def model(name: object) -> str | None:
    """The model in `provider:model`."""
    if not isinstance(name, str):
        return None
    return name.partition(":")[2] or name


def finish(reason: object) -> list[str] | None:
    """Why a model stopped, in the conventions' words."""
    return [_FINISHES.get(reason, reason)] if isinstance(reason, str) else None


def finish_here(reasons: object) -> str | None:
    """Why a model stopped, in our words; None where we have none for it."""
    first = reasons[0] if isinstance(reasons, list) and reasons else reasons
    return _FINISHES_HERE.get(first.lower()) if isinstance(first, str) else None


def error_type(error: object) -> str | None:
    """The class of an error like "TimeoutError: no answer", "_OTHER" where none is named."""
    if not isinstance(error, str):
        return None
    name = error.partition(":")[0].strip()
    return name if name.replace(".", "").replace("_", "").isalnum() else "_OTHER"


def _answer(message: object) -> list[Any] | None:
    made = to_message(message)
    return None if made is None else [made]


def _documents(passages: object) -> list[Any] | None:
    if not isinstance(passages, list | tuple):
        return None
    return [
        {"id": str(passage["document_id"]), "score": passage.get("score")}
        for passage in passages
        if isinstance(passage, dict) and "document_id" in passage
    ]


def _json_wanted(schema: object) -> str | None:
    return None if schema is None else "json"


def _counted(number: object) -> int | None:
    return number if isinstance(number, int) and number else None


_ASKED: tuple[Kind, ...] = ("model",)
_TO_MODELS: tuple[Kind, ...] = ("model", "embed")
_SEARCH: tuple[Kind, ...] = ("search",)
_TOOL: tuple[Kind, ...] = ("tool",)
_TALKING: tuple[Kind, ...] = ("model", "embed", "search", "tool", "flow")


def _usage(attribute: str, field: str, *older: str) -> Row:
    return Row(attribute, f"usage.{field}", "int", (), older, _counted)


def _parameter(attribute: str, field: str, form: Form, *older: str) -> Row:
    return Row(f"gen_ai.request.{attribute}", f"input.parameters.{field}", form, _ASKED, older)


OPERATION = "gen_ai.operation.name"
OPERATIONS: dict[Kind, str] = {
    "model": "chat",
    "embed": "embeddings",
    "search": "retrieval",
    "tool": "execute_tool",
    "flow": "invoke_workflow",
}
"""What the conventions call a kind of record. Steps, ingests, guards, scores, pauses and feedback
are no operations of theirs: such a span has no `gen_ai.operation.name`."""

MESSAGES, ANSWER = "gen_ai.input.messages", "gen_ai.output.messages"
ARGUMENTS, RESULT = "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"
INPUT, OUTPUT = "onrecord.input", "onrecord.output"
ID = "onrecord.id"
EVALUATION = "gen_ai.evaluation.result"
"""The event that a score or a feedback puts on its span."""

TABLE: tuple[Row, ...] = (
    # What is asked of whom
    Row("gen_ai.provider.name", "name", "text", _TO_MODELS,
        ("gen_ai.system", "llm.provider", "llm.system", "mlflow.llm.provider"), provider),
    Row("gen_ai.request.model", "name", "text", _TO_MODELS,
        ("llm.model_name", "llm.request.model_name", "embedding.model_name", "llm.request.model",
         "mlflow.llm.model"), model),
    Row("gen_ai.response.model", "output.model", "text", _ASKED,
        ("llm.response.model_name", "llm.response.model")),
    Row("gen_ai.response.finish_reasons", "output.finish", "texts", _ASKED,
        ("gen_ai.response.finish_reason", "llm.response.finish_reason"), finish),
    _parameter("temperature", "temperature", "double"),
    _parameter("top_p", "top_p", "double", "llm.top_p"),
    _parameter("max_tokens", "max_tokens", "int", "llm.request.max_tokens"),
    _parameter("stop_sequences", "stop", "texts"),
    _parameter("seed", "seed", "int", "gen_ai.openai.request.seed"),
    Row("gen_ai.output.type", "input.schema", "text", _ASKED, (), _json_wanted),
    Row(MESSAGES, "input.messages", "json", _ASKED, (), to_messages),
    Row(ANSWER, "output.message", "json", _ASKED, (), _answer),
    # What it took
    _usage("gen_ai.usage.input_tokens", "input",
           "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens", "llm.token_count.prompt"),
    _usage("gen_ai.usage.output_tokens", "output",
           "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens",
           "llm.token_count.completion"),
    _usage("gen_ai.usage.cache_read.input_tokens", "cached",
           "gen_ai.usage.cache_read_input_tokens", "llm.token_count.prompt_details.cache_read"),
    _usage("gen_ai.usage.cache_write.input_tokens", "cache_write",
           "gen_ai.usage.cache_creation.input_tokens",
           "gen_ai.usage.cache_creation_input_tokens",
           "llm.token_count.prompt_details.cache_write"),
    _usage("gen_ai.usage.reasoning.output_tokens", "reasoning",
           "gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens",
           "llm.token_count.completion_details.reasoning"),
    _usage("gen_ai.usage.audio.input_tokens", "audio_input",
           "llm.token_count.prompt_details.audio"),
    _usage("gen_ai.usage.audio.cache_read.input_tokens", "cached_audio"),
    _usage("gen_ai.usage.image.input_tokens", "image_input"),
    _usage("gen_ai.usage.audio.output_tokens", "audio_output",
           "llm.token_count.completion_details.audio"),
    _usage("gen_ai.usage.image.output_tokens", "image_output"),
    _usage("onrecord.usage.cache_write_1h", "cache_write_1h"),
    Row("onrecord.cost", "cost", "int"),
    # Retrieval, tools, flows
    Row("gen_ai.data_source.id", "name", "text", _SEARCH),
    Row("gen_ai.retrieval.query.text", "input.question", "text", _SEARCH),
    Row("gen_ai.request.top_k", "input.k", "double", _SEARCH),
    Row("gen_ai.retrieval.documents", "output.passages", "json", _SEARCH, (), _documents),
    Row("gen_ai.tool.name", "name", "text", _TOOL, ("tool.name", "traceloop.entity.name")),
    Row("gen_ai.tool.type", "kind", "text", _TOOL, (), lambda kind: "function"),
    Row(ARGUMENTS, "input", "json", _TOOL),
    Row(RESULT, "output", "json", _TOOL),
    Row("gen_ai.workflow.name", "name", "text", ("flow",),
        ("traceloop.workflow.name",)),
    # On whose behalf
    Row("gen_ai.conversation.id", "session", "text", _TALKING,
        ("traceloop.association.properties.session_id", "langfuse.session.id")),
    Row("session.id", "session"),
    Row("user.id", "user", "text", (),
        ("enduser.id", "traceloop.association.properties.user_id", "langfuse.user.id")),
    Row("onrecord.release", "release"),
    Row("onrecord.tenant", "tenant"),
    Row("onrecord.tags", "tags", "texts", (), ("tag.tags", "langfuse.trace.tags")),
    # What it is to us
    Row(ID, "id"),
    Row("onrecord.run", "run"),
    Row("onrecord.parent", "parent"),
    Row("onrecord.kind", "kind"),
    Row("onrecord.name", "name"),
    Row("onrecord.key", "key"),
    Row("onrecord.version", "version"),
    Row("onrecord.state", "state"),
    Row("onrecord.source", "source"),
    Row("onrecord.redacted", "redacted", "bool"),
    Row("error.type", "error", "text", (), ("exception.type",), error_type),
    Row("onrecord.error", "error"),
    Row(INPUT, "input", "json"),
    Row(OUTPUT, "output", "json"),
)  # fmt: skip

KINDS: dict[str, dict[str, Kind]] = {
    OPERATION: {
        **{operation: kind for kind, operation in OPERATIONS.items()},
        "generate_content": "model",
        "text_completion": "model",
        "fetch_response": "model",
        "completion": "model",
        "search_memory": "search",
        "invoke_agent": "step",
        "create_agent": "step",
        "plan": "step",
    },
    "openinference.span.kind": {
        "llm": "model",
        "embedding": "embed",
        "retriever": "search",
        "reranker": "step",
        "tool": "tool",
        "chain": "step",
        "agent": "step",
        "prompt": "step",
        "guardrail": "guard",
        "evaluator": "score",
    },
    "mlflow.spanType": {
        "llm": "model",
        "chat_model": "model",
        "embedding": "embed",
        "retriever": "search",
        "reranker": "step",
        "tool": "tool",
        "chain": "step",
        "agent": "step",
        "workflow": "step",
        "task": "step",
        "parser": "step",
        "memory": "step",
        "guardrail": "guard",
        "evaluator": "score",
    },
    "traceloop.span.kind": {"workflow": "step", "task": "step", "agent": "step", "tool": "tool"},
    "llm.request.type": {
        "chat": "model",
        "completion": "model",
        "embedding": "embed",
        "rerank": "step",
    },
}
"""Which attributes say what kind of work a span is, in the order in which they are believed. A
step without a parent is a flow."""

MLFLOW_TYPES: dict[Kind, str] = {
    "flow": "CHAIN",
    "step": "CHAIN",
    "model": "CHAT_MODEL",
    "embed": "EMBEDDING",
    "search": "RETRIEVER",
    "tool": "TOOL",
    "guard": "GUARDRAIL",
    "score": "EVALUATOR",
    "ingest": "TASK",
    "pause": "TASK",
}
"""What MLflow calls a kind of record. Feedback is no span there, but an assessment."""

SPREAD = (
    ("input.messages", ("gen_ai.prompt", "llm.input_messages", "llm.prompts")),
    ("output.message", ("gen_ai.completion", "llm.output_messages")),
)
"""Messages that older conventions spread over many attributes: `gen_ai.prompt.0.content`."""

INPUTS = (
    "gen_ai.tool.call.arguments",
    "gen_ai.retrieval.query.text",
    "mlflow.spanInputs",
    "input.value",
    "traceloop.entity.input",
    "tool.parameters",
    "langfuse.observation.input",
    "gen_ai.prompt",
    MESSAGES,
)
OUTPUTS = (
    "gen_ai.tool.call.result",
    "gen_ai.retrieval.documents",
    "mlflow.spanOutputs",
    "output.value",
    "traceloop.entity.output",
    "langfuse.observation.output",
    "gen_ai.completion",
    ANSWER,
)
"""Where the input and output of a span stand that came from elsewhere, first match wins."""

SPOKEN = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "",
}
"""Events that were one message each, and whose; "" is the answer."""

COSTS = ("gen_ai.usage.cost", "gen_ai.usage.total_cost", "llm.cost.total")
"""Where others put what a call cost, in dollars."""

_PROVIDERS = {
    "gemini": "gcp.gemini",
    "google": "gcp.gen_ai",
    "vertex": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
    "grok": "x_ai",
    "moonshot": "moonshot_ai",
}
_PROVIDERS_HERE = {
    **{theirs: ours for ours, theirs in reversed(_PROVIDERS.items())},
    "vertex_ai": "vertex",
    "az.ai.openai": "azure",
    "az.ai.inference": "azure",
    "azure.ai.inference": "azure",
}
_FINISHES = {"tool_calls": "tool_call", "refused": "content_filter"}
_FINISHES_HERE = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_call": "tool_calls",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "refused",
    "safety": "refused",
    "refusal": "refused",
}
