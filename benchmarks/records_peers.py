"""The peers of a recorded call, and of prompt -> model -> parse.

Each as its own documentation has it, with its own double for a model and its defaults, and with
whatever would reach the network switched off. Where a peer can trace, its tracing is off in the
prompts: what it costs is in the table of calls.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.records_calls import ANSWER, QUESTION
from benchmarks.rounds import Contender, Entry, paced, timed, timed_async

TEMPLATE = "What is the capital of {country}? Answer with its name alone."


def calls() -> dict[str, Entry]:
    """A span with two attributes of 200 characters; spans inside a span, as ours in a flow."""
    telemetry, mlflow = "opentelemetry.sdk", "mlflow"
    return {
        "OpenTelemetry: simple processor, no-op exporter": Entry(
            partial(_opentelemetry, batch=False), telemetry
        ),
        "OpenTelemetry: batch processor, no-op exporter": Entry(
            partial(_opentelemetry, batch=True), telemetry, 1_000
        ),
        "MLflow on SQLite: a span inside a trace": Entry(partial(_mlflow, nested=True), mlflow, 50),
        "MLflow on SQLite: a trace of one span": Entry(partial(_mlflow, nested=False), mlflow, 50),
    }


def beside_folding() -> dict[str, Entry]:
    """Calls at a steady rate: the processor's caches are cold for everybody."""
    batch = partial(_opentelemetry, batch=True, pace=1_000)
    return {"OpenTelemetry, batch: 1,000 calls a second": Entry(batch, "opentelemetry.sdk", 10_000)}


def prompts() -> dict[str, Entry]:
    """The same question of each, whose answer is one word."""
    return {
        "LangChain: invoke": Entry(partial(_langchain, run=True), "langchain_core", 100),
        "LangChain: await ainvoke": Entry(partial(_langchain, run=False), "langchain_core", 100),
        "Haystack: run": Entry(partial(_haystack, run=True), "haystack", 100),
        "Haystack: await run_async": Entry(partial(_haystack, run=False), "haystack", 100),
        "DSPy: call": Entry(partial(_dspy, run=True), "dspy", 100),
        "DSPy: await acall": Entry(partial(_dspy, run=False), "dspy", 100),
        "pydantic-ai: run_sync": Entry(partial(_pydantic_ai, run=True), "pydantic_ai", 50),
        "pydantic-ai: await run": Entry(partial(_pydantic_ai, run=False), "pydantic_ai", 50),
    }


def _opentelemetry(folder: Path, *, batch: bool, pace: int | None = None) -> Contender:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import (
        BatchSpanProcessor,
        SimpleSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )

    class NoOp(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    processor = BatchSpanProcessor(NoOp()) if batch else SimpleSpanProcessor(NoOp())
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("bench")

    def one() -> None:
        with tracer.start_as_current_span("answer") as span:
            span.set_attribute("input", QUESTION)
            span.set_attribute("output", ANSWER)

    around = partial(tracer.start_as_current_span, "ask")
    loop = paced(one, around, pace) if pace else timed(one, around)
    return Contender(loop, provider.force_flush)


def _mlflow(folder: Path, *, nested: bool) -> Contender:
    """Logging is asynchronous, as it is by default: time until control returns."""
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment("bench")

    def one() -> None:
        with mlflow.start_span("answer") as span:
            span.set_inputs({"text": QUESTION})
            span.set_outputs(ANSWER)

    loop = timed(one, partial(mlflow.start_span, "ask")) if nested else timed(one)
    return Contender(loop, mlflow.flush_trace_async_logging)


def _langchain(folder: Path, *, run: bool) -> Contender:
    os.environ.update(LANGSMITH_TRACING="false", LANGCHAIN_TRACING_V2="false")
    from langchain_core.language_models import FakeListChatModel
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate

    prompt = ChatPromptTemplate.from_messages([("user", TEMPLATE)])
    chain = prompt | FakeListChatModel(responses=["Paris"]) | StrOutputParser()
    _check(chain.invoke({"country": "France"}))
    if run:
        return Contender(timed(lambda: chain.invoke({"country": "France"})))
    return Contender(timed_async(lambda: chain.ainvoke({"country": "France"})))


def _haystack(folder: Path, *, run: bool) -> Contender:
    os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
    from haystack import Pipeline, component
    from haystack.components.builders import PromptBuilder

    @component
    class Scripted:
        @component.output_types(replies=list[str])
        def run(self, prompt: str) -> dict[str, Any]:
            return {"replies": ["Paris"]}

    @component
    class Parser:
        @component.output_types(answer=str)
        def run(self, replies: list[str]) -> dict[str, Any]:
            return {"answer": replies[0].strip()}

    pipeline = Pipeline()
    pipeline.add_component("prompt", PromptBuilder(TEMPLATE.replace("{country}", "{{ country }}")))
    pipeline.add_component("model", Scripted())
    pipeline.add_component("parser", Parser())
    pipeline.connect("prompt.prompt", "model.prompt")
    pipeline.connect("model.replies", "parser.replies")
    asked = {"prompt": {"country": "France"}}
    _check(pipeline.run(asked)["parser"]["answer"])
    if run:
        return Contender(timed(lambda: pipeline.run(asked)))
    return Contender(timed_async(lambda: pipeline.run_async(asked)))


def _dspy(folder: Path, *, run: bool) -> Contender:
    os.environ["DSPY_CACHEDIR"] = str(folder / "cache")
    import dspy
    from dspy.utils import DummyLM

    model = DummyLM([])
    model.answers = itertools.repeat({"answer": "Paris"})
    dspy.configure(lm=model)
    predict = dspy.Predict("country -> answer")
    _check(predict(country="France").answer)
    if run:
        return Contender(timed(lambda: predict(country="France")))
    return Contender(timed_async(lambda: predict.acall(country="France")))


def _pydantic_ai(folder: Path, *, run: bool) -> Contender:
    from pydantic_ai import Agent
    from pydantic_ai.models.test import TestModel

    agent = Agent(TestModel(custom_output_text="Paris"))
    asked = TEMPLATE.format(country="France")
    _check(agent.run_sync(asked).output)
    if run:
        return Contender(timed(lambda: agent.run_sync(asked)))
    return Contender(timed_async(lambda: agent.run(asked)))


def _check(answer: str) -> None:
    if answer != "Paris":
        raise SystemExit(f"the answer is {answer!r} instead of 'Paris': nothing is measured here")
