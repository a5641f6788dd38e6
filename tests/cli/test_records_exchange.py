"""`onrecord records export`, `import`: as processes, to real servers and back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import onrecord as on
from onrecord.records.call import call


def onrecord(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "onrecord", "records", *arguments], capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def recorded(project: Path) -> list[on.Query]:
    for at in range(3):
        with call("flow", "ask", {"q": f"question {at}"}) as this:
            with call("model", "openai:m", {"messages": []}) as inner:
                inner.usage, inner.cost = on.Usage(10, 5), 70
                inner.output = {"text": "an answer"}
            this.output = "an answer"
    return []


def test_records_go_to_a_file_and_come_back(recorded: Any, project: Path) -> None:
    said = onrecord("export", "--to", "jsonl", "all.jsonl").stdout
    assert said == "all.jsonl: 6 records.\n"
    lines = (project / "all.jsonl").read_text().splitlines()
    assert onrecord("export", "--to", "jsonl", "-").stdout.splitlines() == lines
    models = json.loads(
        onrecord("export", "--to", "jsonl", "m.jsonl", "--kind", "model", "--json").stdout
    )
    assert models == {"records": 3, "path": "m.jsonl"}
    assert onrecord("import", "--from", "jsonl", "all.jsonl").stdout == (
        "6 records, 0 of them new; 0 skipped.\n"
    )
    on.Store.open().erase(on.Query(kinds=("flow", "model")))
    assert "6 of them new" in onrecord("import", "--from", "jsonl", "all.jsonl").stdout
    assert onrecord("export", "--to", "jsonl", "-").stdout.splitlines() == lines


def test_records_go_to_a_table(recorded: Any, project: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    onrecord("export", "--to", "parquet", "all.parquet")
    assert parquet.read_table(project / "all.parquet").num_rows == 6


def test_records_go_to_a_collector_once(recorded: Any, otlp_collector: Any) -> None:
    first = json.loads(onrecord("export", "--to", "otlp", otlp_collector.url, "--json").stdout)
    again = json.loads(onrecord("export", "--to", "otlp", otlp_collector.url, "--json").stdout)
    assert (first["sent"], again["sent"], again["left"]) == (6, 0, 0)
    assert len(otlp_collector.spans) == 6


def test_what_a_collector_refused_is_told_until_it_takes_it(
    recorded: Any, otlp_collector: Any
) -> None:
    otlp_collector.fail(1, 400)
    send = ("export", "--to", "otlp", otlp_collector.url)
    assert onrecord(*send, status=5).stdout.startswith("0 records sent, 6 refused, 0 left.")
    again = onrecord(*send).stdout.splitlines()
    assert again == [
        "0 records sent, 0 refused, 0 left.",
        "6 records that the server refused before: --again sends them once more.",
    ]
    assert onrecord(*send, "--again").stdout == "6 records sent, 0 refused, 0 left.\n"


def test_a_collector_that_is_away_leaves_them_for_next_time(recorded: Any) -> None:
    done = onrecord(
        "export", "--to", "otlp", "http://127.0.0.1:9", "--patience", "0", "--json", status=5
    )
    assert json.loads(done.stdout)["left"] == 6


def test_traces_of_others_are_brought_in_without_their_secrets(project: Path) -> None:
    span = {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": "chat gpt",
        "startTimeUnixNano": "1795255116663119551",
        "endTimeUnixNano": "1795255117663119551",
        "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-x"}},
            {"key": "note", "value": {"stringValue": "card 4111 1111 1111 1111"}},
        ],
    }
    request = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    (project / "traces.json").write_text(json.dumps(request))
    (project / "broken.json").write_text("{")
    assert "1 of them new" in onrecord("import", "traces.json").stdout
    assert "0 of them new" in onrecord("import", "traces.json").stdout
    (record,) = on.Store.open().records()
    assert record.kind == "model" and "4111" not in str(record) and "<card:" in str(record)
    assert "broken.json" in onrecord("import", "broken.json", status=3).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "--to", "jsonl"], "needs a file"),
        (["export", "--to", "mlflow"], "which MLflow server"),
        (["export", "--to", "otlp", "http://x", "--header", "nonsense"], "is no header"),
        (
            ["export", "--to", "jsonl", "x", "--header", "a=b"],
            "--header does nothing with --to jsonl",
        ),
        (["export", "--to", "mlflow", "http://x", "--no-bodies"], "It is for otlp"),
        (["export", "--to", "otlp", "http://x", "--experiment", "e"], "It is for mlflow"),
        (["export", "--to", "mlflow", "localhost:5000"], "Write http://host:5000"),
        (["export", "--to", "xml", "x"], "error: invalid value for '--to': 'xml' is not one of"),
        (["import"], "nothing to import"),
        (["import", "--mlflow", "http://127.0.0.1:9", "x.json"], "nothing to import"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(arguments: list[str], said: str) -> None:
    assert said in onrecord(*arguments, status=2).stderr
