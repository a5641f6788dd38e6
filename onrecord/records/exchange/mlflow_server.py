"""What is used of an MLflow server, in our words, and its errors as ours.

The extra `mlflow` is loaded when it is needed, and its telemetry is switched off before.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from onrecord.errors import MissingExtraError, OnrecordError, UnknownNameError
from onrecord.records.exchange.addresses import checked, shown
from onrecord.records.exchange.mlflow_spans import span_dict
from onrecord.records.record import Record, content_key


@contextlib.contextmanager
def connected(tracking_uri: str) -> Iterator[Server]:
    """MLflow's server at this address, its errors turned into ours.

    Raises UsageError for an address that no server can have, MissingExtraError without MLflow,
    OnrecordError where the server cannot be reached, or refuses what is done in the block.
    """
    is_http = tracking_uri.lower().startswith(("http:", "https:"))
    if is_http or _HOST_AND_PORT.match(tracking_uri):
        checked(tracking_uri, "http://host:5000")
    if importlib.util.find_spec("mlflow") is None:
        raise MissingExtraError(
            "MLflow is not installed", cure="Install it with `pip install 'onrecord[mlflow]'`."
        )
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
    import requests
    from mlflow.exceptions import MlflowException

    try:
        if is_http:
            _knock(tracking_uri)
        yield Server(tracking_uri)
    except (MlflowException, requests.RequestException, NotImplementedError, OSError) as error:
        said = " ".join(str(getattr(error, "message", None) or error).split())
        raise OnrecordError(
            f"MLflow: {said[:500]}",
            where=shown(tracking_uri),
            cure="Check that the server runs, its address, and that you may write there.",
        ) from None


def _knock(address: str) -> None:
    """Find out whether there is a server at all.

    MLflow tries every request again, for minutes and by variables that are the whole process's
    (MLFLOW_HTTP_REQUEST_MAX_RETRIES): right for a server that is busy, not for one that is not
    there. `requests` is what MLflow sends with, so that proxies are the same.
    """
    import requests

    try:
        requests.get(address, timeout=_SECONDS, stream=True).close()
    except (requests.ReadTimeout, requests.exceptions.SSLError):
        return  # it is there: late, or with a certificate that MLflow may have been told to trust
    except requests.ConnectionError as error:
        raise OnrecordError(
            f"no MLflow server answers: {_why(error)}",
            where=shown(address),
            cure="Check that it runs, and its address.",
        ) from None


def _why(error: BaseException) -> str:
    """What the innermost of nested errors says: the outer ones name objects and the address."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return getattr(error, "strerror", None) or type(error).__name__


class Group(NamedTuple):
    """What shares an MLflow run: the outermost calls of one name and release."""

    kind: str
    name: str
    release: str | None


class Refused(Exception):
    """MLflow does not take this trace, and would not take it another time."""


class Server:
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

    def run_of(self, experiment: str, group: Group) -> str:
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
        """One trace with its spans, over what there is of it. Raises Refused."""
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
            for at in range(0, len(spans), _SPANS_AT_ONCE):
                some = spans[at : at + _SPANS_AT_ONCE]
                made_of = [Span.from_dict(span_dict(record)) for record in some]
                self._traces.log_spans(experiment, made_of)
        except MlflowException as error:
            status: int = error.get_http_status_code()  # type: ignore[no-untyped-call]  # MLflow types it not
            if 400 <= status < 500:
                raise Refused(" ".join(str(error.message).split())[:500]) from None
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


def _feedback(values: dict[str, Any], trace: str) -> Any:
    from mlflow.entities import AssessmentSource, Feedback

    rest = dict(values)
    id, kind, name = (rest.pop(each) for each in ("assessment_id", "source_type", "source_id"))
    made = Feedback(source=AssessmentSource(kind, name), trace_id=trace, **rest)
    made.assessment_id = id
    return made


# MLflow takes folders and addresses of databases, too, and would make a folder of this.
_HOST_AND_PORT = re.compile(r"[\w.-]+:\d+(/|$)")
_SPANS_AT_ONCE = 500
_SECONDS = 5.0  # for a connection; a server that has taken it may answer as late as it likes
