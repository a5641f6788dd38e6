"""MLflow: runs of ours become traces there, flows become runs with metrics, verdicts assessments.

Everything that this writes has an id of ours: exporting twice changes nothing. What MLflow has
taken is remembered as for any target; a run that got new records since (feedback, a resumed flow)
is written once more, as a whole, over itself. The extra `mlflow` is loaded when it is needed, and
its telemetry is switched off before.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from onrecord.errors import MissingExtraError, OnrecordError, UnknownNameError
from onrecord.records.exchange import conventions
from onrecord.records.exchange.chat import as_json
from onrecord.records.exchange.importing import Imported, records_of_trace
from onrecord.records.exchange.mlflow_spans import mlflow_id, span_dict, token_usage
from onrecord.records.exchange.otlp import Skipped
from onrecord.records.exchange.sending import Exported
from onrecord.records.exchange.span import span_id
from onrecord.records.exchange.verdict import Verdict
from onrecord.records.query import Query, Total
from onrecord.records.record import Record, content_key
from onrecord.records.tree import total_cost

if TYPE_CHECKING:
    from onrecord.records.store import Store

_EVERYTHING = Query()


def export_mlflow(
    store: Store,
    tracking_uri: str,
    experiment: str = "onrecord",
    *,
    query: Query = _EVERYTHING,
    again: bool = False,
) -> Exported:
    """Write every run that has ended and holds a record of `query` to an MLflow server.

    A run becomes a trace with its calls as spans, tokens, costs, session and user; scores and
    feedback become assessments of it. Each flow and release gets an MLflow run with its counts,
    times, tokens and costs; its traces are linked to it. `experiment` is made where there is none.

    `Exported` counts records. Raises MissingExtraError, and OnrecordError where MLflow cannot be
    reached or refuses the experiment.
    """
    with _mlflow(tracking_uri) as server:
        target = f"mlflow {_shown(tracking_uri)} {experiment}"
        return _Export(store, server, server.experiment(experiment), target).run(query, again)


def read_mlflow(
    tracking_uri: str, experiment: str, *, filter: str | None = None, page: int = 100
) -> Imported:
    """The records of the traces of an MLflow experiment; `filter` is a filter of MLflow's search.

    Traces that `export_mlflow` wrote come back as they were. Raises, while reading,
    UnknownNameError for an experiment that there is not, and what `export_mlflow` raises.
    """

    def traces(skip: Callable[[Skipped], None]) -> Iterator[Record]:
        with _mlflow(tracking_uri) as server:
            for trace in server.traces(experiment, filter, page):
                yield from records_of_trace(trace, trace["info"].get("trace_id", ""), skip)

    return Imported(traces)


class _Group(NamedTuple):
    """What shares an MLflow run: the outermost calls of one name and release."""

    kind: str
    name: str
    release: str | None


class _Export:
    def __init__(self, store: Store, server: _Server, experiment: str, target: str) -> None:
        self._store = store
        self._server = server
        self._experiment = experiment
        self._target = target
        self._runs: dict[_Group, str] = {}
        self._latest: dict[_Group, int] = {}
        self._sent = self._failed = self._left = 0
        self._problems: list[str] = []

    def run(self, query: Query, again: bool) -> Exported:
        from onrecord.records.exchange import exported

        seen: set[str] = set()
        for page in exported.pending(self._store, self._target, query, again=again):
            for run, verdicts in self._runs_of(page).items():
                if run not in seen or verdicts:
                    seen.add(run)
                    self._take(run, verdicts)
        for group in self._runs:
            self._write_metrics(group, query)
        return Exported(self._sent, self._failed, self._left, tuple(self._problems))

    def _runs_of(self, page: Sequence[Record]) -> dict[str, list[Record]]:
        """The runs that records belong to, each with the verdicts on it from other runs."""
        runs: dict[str, list[Record]] = {}
        for record in page:
            about = Verdict(record).about if record.kind == "feedback" else None
            judged = self._find(about) if about else None
            if judged is not None and judged.run != record.run:
                runs.setdefault(judged.run, []).append(record)
                if record.parent is None:  # a run of nothing else
                    continue
            runs.setdefault(record.run, [])
        return runs

    def _find(self, id: str) -> Record | None:
        return next(iter(self._store.records(Query(ids=(id,)), 1)), None)

    def _take(self, run: str, verdicts: list[Record]) -> None:
        """Write one run, and note what became of it."""
        from onrecord.records.exchange import exported

        records = list(self._store.each(Query(run=run)))
        if not records:  # erased meanwhile
            return
        ended = [record for record in records if record.state != "open"]
        if len(ended) < len(records):
            self._left += len(ended) + len(verdicts)
            return
        problem = None
        try:
            self._write(records, verdicts)
        except _Refused as error:
            problem = str(error)
            self._problems.append(f"run {run}: {problem}")
        exported.remember(
            self._store, self._target, [each.id for each in (*ended, *verdicts)], failed=problem
        )
        if problem is None:
            self._sent += len(ended) + len(verdicts)
        else:
            self._failed += len(ended) + len(verdicts)

    def _write(self, records: list[Record], verdicts: list[Record]) -> None:
        root = _root(records)
        group = _Group(root.kind, root.name, root.release)
        if group not in self._runs:
            self._runs[group] = self._server.run_of(self._experiment, group)
        self._latest[group] = max(self._latest.get(group, 0), root.ended_ns)
        spans = [record for record in records if _is_span(record, root)]
        judging = [record for record in records if record.kind in ("feedback", "score")]
        asked = {record.parent for record in records if record.kind == "model"}
        known = {record.id for record in spans}
        assessments = [
            assessment(each, judged=each.id in asked, spans=known) for each in (*judging, *verdicts)
        ]
        info = trace_info(records, root, self._runs[group])
        self._server.write(self._experiment, info, spans, assessments)

    def _write_metrics(self, group: _Group, query: Query) -> None:
        calls = self._total(query, group, ("kind", "name", "release"), "name")
        within = self._total(query, group, ("flow", "release"), "flow")
        if calls is None or within is None:
            return
        self._server.log_metrics(
            self._runs[group],
            {
                "calls": calls.calls,
                "failed": calls.failed,
                "latency_p50_seconds": calls.seconds_p50,
                "latency_p95_seconds": calls.seconds_p95,
                "input_tokens": within.usage.input,
                "output_tokens": within.usage.output,
                "cost_usd": within.cost / 1e6,
                "calls_of_unknown_cost": within.unpriced,
            },
            self._latest[group] // 1_000_000,
        )

    def _total(self, query: Query, group: _Group, by: tuple[str, ...], name: str) -> Total | None:
        wanted = {name: group.name, "release": group.release, "kind": group.kind}
        totals = self._store.totals(query, by)
        found = (t for t in totals if all(t.group[each] == wanted[each] for each in by))
        return next(found, None)


def trace_info(records: Sequence[Record], root: Record, run: str) -> dict[str, Any]:
    """What `mlflow.entities.TraceInfo` is made of, for one run of ours."""
    cost = total_cost(records)
    failed = root.state in ("failed", "interrupted")
    metadata = {
        "mlflow.trace_schema.version": "3",
        "mlflow.trace.tokenUsage": as_json(token_usage(records)),
        "mlflow.sourceRun": run,
        "onrecord.conventions": conventions.VERSION,
    }
    if cost:
        metadata["mlflow.trace.cost"] = as_json({"total_cost": cost / 1e6})
    if root.session is not None:
        metadata["mlflow.trace.session"] = root.session[:_LONGEST_METADATA]
    if root.user is not None:
        metadata["mlflow.trace.user"] = root.user[:_LONGEST_METADATA]
    tags = {
        "mlflow.traceName": root.name[:_LONGEST_TAG],
        "onrecord.run": root.run,
        "onrecord.tags": ", ".join(root.tags),
        "onrecord.release": root.release,
        "onrecord.tenant": root.tenant,
    }
    return {
        "trace_id": mlflow_id(root.run),
        "request_time": root.started_ns // 1_000_000,
        "execution_duration": max(root.ended_ns - root.started_ns, 0) // 1_000_000,
        "state": "ERROR" if failed else "OK",
        "request_preview": _preview(root.input),
        "response_preview": _preview(root.output),
        "client_request_id": root.run,
        "trace_metadata": metadata,
        "tags": {name: text[:_LONGEST_TAG] for name, text in tags.items() if text},
    }


def assessment(record: Record, *, judged: bool, spans: set[str]) -> dict[str, Any]:
    """What `mlflow.entities.Feedback` is made of, for a score or a feedback. `judged`: a model was
    asked for it; `spans`: the records that are spans of the trace."""
    verdict = Verdict(record)
    human = record.kind == "feedback"
    source = "HUMAN" if human else "LLM_JUDGE" if judged else "CODE"
    value = verdict.value
    if value is not None and not isinstance(value, bool | int | float | str):
        value = as_json(value)
    whole = as_json(record)
    metadata = {conventions.ID: record.id}
    if len(whole) <= _LONGEST_RECORD:
        metadata["onrecord.record"] = whole
    failed = record.error if value is None else None
    return {
        "assessment_id": f"a-{record.id}",
        "name": record.name or record.kind,
        "value": "" if value is None and failed is None else value,
        "error": failed,
        "rationale": verdict.reason or None,
        "source_type": source,
        "source_id": (record.user if human else record.name) or "onrecord",
        "span_id": span_id(verdict.about) if verdict.about in spans else None,
        "metadata": metadata,
        "create_time_ms": record.started_ns // 1_000_000,
        "last_update_time_ms": max(record.ended_ns, record.started_ns) // 1_000_000,
    }


class _Refused(Exception):
    """MLflow does not take this trace, and would not take it another time."""


class _Server:
    """What is used of MLflow's client, in our words."""

    def __init__(self, tracking_uri: str) -> None:
        from mlflow import MlflowClient
        from mlflow.tracing.client import TracingClient

        self._client = MlflowClient(tracking_uri)
        self._traces = TracingClient(tracking_uri)

    def experiment(self, name: str, *, make: bool = True) -> str:
        """The id of an experiment."""
        found = self._client.get_experiment_by_name(name)
        if found is None and not make:
            raise UnknownNameError(f"MLflow has no experiment '{name}'")
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def run_of(self, experiment: str, group: _Group) -> str:
        """The id of the MLflow run of a group; made where there is none."""
        key = content_key(*group)
        found = self._client.search_runs([experiment], f"tags.`onrecord.group` = '{key}'")
        if found:
            return str(found[0].info.run_id)
        release = f" {group.release}" if group.release else ""
        made = self._client.create_run(
            experiment, tags={"onrecord.group": key}, run_name=f"{group.name}{release}"[:250]
        )
        id = str(made.info.run_id)
        self._client.log_param(id, group.kind, group.name)
        if group.release:
            self._client.log_param(id, "release", group.release)
        self._client.update_run(id, status="FINISHED")  # set_terminated prints
        return id

    def log_metrics(self, run: str, metrics: dict[str, float], at_ms: int) -> None:
        """Numbers of a run; the same numbers of the same moment are kept once."""
        from mlflow.entities import Metric

        values = [Metric(name, value, at_ms, 0) for name, value in metrics.items()]
        self._client.log_batch(run, metrics=values)

    def write(
        self,
        experiment: str,
        info: dict[str, Any],
        spans: Sequence[Record],
        assessments: Sequence[dict[str, Any]],
    ) -> None:
        """One trace with its spans, over what there is of it. Raises _Refused."""
        from mlflow.entities import Span, TraceInfo, TraceLocation, TraceState
        from mlflow.exceptions import MlflowException

        made = TraceInfo(
            trace_location=TraceLocation.from_experiment_id(experiment),
            state=TraceState(info["state"]),
            assessments=[_feedback(each, info["trace_id"]) for each in assessments],
            **{name: value for name, value in info.items() if name != "state"},
        )
        try:
            self._traces.start_trace(made)
            for some in _chunks(spans, _SPANS_AT_ONCE):
                self._traces.log_spans(
                    experiment, [Span.from_dict(span_dict(record)) for record in some]
                )
        except MlflowException as error:
            status: int = error.get_http_status_code()  # type: ignore[no-untyped-call]  # MLflow types it not
            if 400 <= status < 500:
                raise _Refused(" ".join(str(error.message).split())[:500]) from None
            raise

    def traces(self, experiment: str, filter: str | None, page: int) -> Iterator[dict[str, Any]]:
        """The traces of an experiment, oldest first, as plain values."""
        id = self.experiment(experiment, make=False)
        token: str | None = None
        while True:
            found = self._client.search_traces(
                locations=[id],
                filter_string=filter,
                max_results=page,
                order_by=["timestamp ASC"],
                page_token=token,
            )
            for trace in found:
                yield trace.to_dict()
            token = found.token
            if not token:
                return


@contextlib.contextmanager
def _mlflow(tracking_uri: str) -> Iterator[_Server]:
    """MLflow, with its errors turned into ours."""
    if importlib.util.find_spec("mlflow") is None:
        raise MissingExtraError(
            "MLflow is not installed", cure="Install it with `pip install 'onrecord[mlflow]'`."
        )
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
    import requests
    from mlflow.exceptions import MlflowException

    try:
        yield _Server(tracking_uri)
    except (MlflowException, requests.RequestException, NotImplementedError, OSError) as error:
        said = " ".join(str(getattr(error, "message", None) or error).split())
        raise OnrecordError(
            f"MLflow: {said[:500]}",
            where=_shown(tracking_uri),
            cure="Check that the server runs, its address, and that you may write there.",
        ) from None


def _feedback(values: dict[str, Any], trace: str) -> Any:
    from mlflow.entities import AssessmentSource, Feedback

    rest = dict(values)
    id, kind, name = (rest.pop(each) for each in ("assessment_id", "source_type", "source_id"))
    made = Feedback(source=AssessmentSource(kind, name), trace_id=trace, **rest)
    made.assessment_id = id
    return made


def _root(records: Sequence[Record]) -> Record:
    known = {record.id for record in records}
    return next(record for record in records if record.parent not in known)


def _is_span(record: Record, root: Record) -> bool:
    """Whether a record is a span of its trace. A verdict that came later is not: it would draw the
    trace out to days."""
    if record.kind == "feedback" and record is not root:
        return False
    return record.kind != "score" or record.started_ns <= root.ended_ns


def _preview(body: Any) -> str | None:
    if body is None:
        return None
    text = body if isinstance(body, str) else as_json(body)
    return text if len(text) <= _LONGEST_PREVIEW else text[: _LONGEST_PREVIEW - 3] + "..."


def _chunks(records: Sequence[Record], size: int) -> Iterable[Sequence[Record]]:
    return (records[at : at + size] for at in range(0, len(records), size))


def _shown(tracking_uri: str) -> str:
    parts = urlsplit(tracking_uri)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, place, parts.path, "", ""))


_SPANS_AT_ONCE = 500
_LONGEST_PREVIEW = 1000
_LONGEST_METADATA = 250
_LONGEST_TAG = 4000
_LONGEST_RECORD = 20_000
