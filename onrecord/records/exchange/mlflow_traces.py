"""MLflow: runs of ours become traces there, flows become runs with metrics, verdicts assessments.

Everything that this writes has an id of ours: exporting twice changes nothing. What MLflow has
taken is remembered as for any target; a run that got new records since (feedback, a resumed flow)
is written once more, as a whole, over itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from onrecord.records.exchange import conventions
from onrecord.records.exchange.addresses import shown
from onrecord.records.exchange.chat import as_json
from onrecord.records.exchange.importing import Imported, records_of_trace
from onrecord.records.exchange.mlflow_server import Group, Refused, Server, connected
from onrecord.records.exchange.mlflow_spans import mlflow_id, token_usage
from onrecord.records.exchange.otlp import Skipped
from onrecord.records.exchange.sending import Exported
from onrecord.records.exchange.span import span_id
from onrecord.records.exchange.verdict import Verdict
from onrecord.records.query import Query, Total
from onrecord.records.record import Record
from onrecord.records.views.tree import total_cost

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
    with connected(tracking_uri) as server:
        target = f"mlflow {shown(tracking_uri)} {experiment}"
        return _Export(store, server, server.experiment(experiment), target).run(query, again)


def read_mlflow(
    tracking_uri: str, experiment: str, *, filter: str | None = None, page: int = 100
) -> Imported:
    """The records of the traces of an MLflow experiment; `filter` is a filter of MLflow's search.

    Traces that `export_mlflow` wrote come back as they were. Raises, while reading,
    UnknownNameError for an experiment that there is not, and what `export_mlflow` raises.
    """

    def traces(skip: Callable[[Skipped], None]) -> Iterator[Record]:
        with connected(tracking_uri) as server:
            for trace in server.traces(experiment, filter, page):
                yield from records_of_trace(trace, trace["info"].get("trace_id", ""), skip)

    return Imported(traces)


class _Export:
    def __init__(self, store: Store, server: Server, experiment: str, target: str) -> None:
        self._store = store
        self._server = server
        self._experiment = experiment
        self._target = target
        self._runs: dict[Group, str] = {}
        self._latest: dict[Group, int] = {}
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
        aside = exported.count_aside(self._store, self._target, query) - self._failed
        return Exported(self._sent, self._failed, self._left, tuple(self._problems), max(aside, 0))

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
        except Refused as error:
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
        group = Group(root.kind, root.name, root.release)
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

    def _write_metrics(self, group: Group, query: Query) -> None:
        calls = self._total(query, group, ("kind", "name", "release"), "name")
        within = self._total(query, group, ("flow", "release"), "flow")
        if calls is None or within is None:
            return
        metrics = {
            "calls": calls.calls,
            "failed": calls.failed,
            "latency_p50_seconds": calls.seconds_p50,
            "latency_p95_seconds": calls.seconds_p95,
            "input_tokens": within.usage.input,
            "output_tokens": within.usage.output,
            "cost_usd": within.cost / 1e6,
            "calls_of_unknown_cost": within.unpriced,
        }
        known = {name: value for name, value in metrics.items() if value is not None}
        self._server.log_metrics(self._runs[group], known, self._latest[group] // 1_000_000)

    def _total(self, query: Query, group: Group, by: tuple[str, ...], name: str) -> Total | None:
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


_LONGEST_PREVIEW = 1000
_LONGEST_METADATA = 250
_LONGEST_TAG = 4000
_LONGEST_RECORD = 20_000
