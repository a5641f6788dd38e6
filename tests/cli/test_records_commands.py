"""`onrecord records` as a user meets it: real processes on a store that was filled before."""

from __future__ import annotations

import itertools
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onrecord.messages import Usage
from onrecord.records import call as recorded
from onrecord.records.call import RESUMED
from onrecord.records.erasing.receipts import is_about
from onrecord.records.record import Record
from onrecord.records.store import Store
from tests.cli.test_bad_input import refused
from tests.cli.test_commands import onrecord, printed

NUMBERS = itertools.count(1)
SECOND = 10**9
HOUR = 3600 * SECOND


def call(kind: Any, name: str, parent: Record | None = None, **changes: Any) -> Record:
    now = time.time_ns()
    # As `new_id` makes them; those of one run begin alike, and those of different runs do not.
    beginning = f"{now // 10**6 + next(NUMBERS):012x}" if parent is None else parent.id[:12]
    id = f"{beginning}{next(NUMBERS):020x}"
    made = Record(
        id=id,
        run=id if parent is None else parent.run,
        parent=None if parent is None else parent.id,
        kind=kind,
        name=name,
        input={"question": "How many days?"},
        key="0" * 32,
        started_ns=now if parent is None else parent.started_ns,
        output="28 days",
        ended_ns=now + SECOND,
        state="done",
    )
    return msgspec.structs.replace(made, **changes)


def answering() -> list[Record]:
    """A run of four calls: one of them failed, one was taken from a record, one has no price."""
    ask = call("flow", "ask", user="u-17", session="s-4", tags=("beta",), release="v3")
    whose: dict[str, Any] = {"user": "u-17", "session": "s-4"}
    failed = call("model", "openai:gpt", ask, state="failed", error="ModelError: 503", **whose)
    again = call("model", "openai:gpt", ask, usage=Usage(1204, 88, 600), cost=1500, **whose)
    cheap = call("model", "local:unpriced", ask, usage=Usage(10, 2), cost=None, **whose)
    hit = call("model", "openai:gpt", ask, source=again.id, **whose)
    return [ask, failed, again, cheap, hit]


def broken() -> list[Record]:
    """A run that failed, and whose texts would command a terminal."""
    name = "broken \x1b[2J\x1b]0;title\x07"
    return [call("flow", name, state="failed", error="KeyError: '\x1b[31m\nno such order'")]


@pytest.fixture
def runs(project: Path) -> tuple[list[Record], list[Record]]:
    made = answering(), broken()
    store = Store(project / ".onrecord")
    store.take([*made[0], *made[1]])
    store.close()
    return made


def lines(*arguments: object, **options: Any) -> list[str]:
    done = onrecord("records", *arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def ids(*arguments: object) -> list[str]:
    document = printed("records", *arguments)
    (records,) = (document[name] for name in ("runs", "calls") if name in document)
    return [record["id"] for record in records]


def test_runs_are_listed_newest_first(runs: tuple[list[Record], ...]) -> None:
    (ask, *_), (bad,) = runs
    first, second = lines()
    assert first.startswith(bad.id) and second.startswith(ask.id)
    assert "flow ask  1.0" in second
    assert r"KeyError: '\x1b[31m no such order'" in first
    assert "\x1b" not in first and "\x07" not in first
    assert ids() == ids("list") == [bad.id, ask.id]


def test_filters(runs: tuple[list[Record], ...]) -> None:
    (ask, failed, again, cheap, hit), (bad,) = runs
    assert ids("--failed") == ids("--state", "failed") == [bad.id]
    assert ids("--failed", "--calls") == [bad.id, failed.id]
    assert ids("--kind", "model", "--calls") == [hit.id, cheap.id, again.id, failed.id]
    assert ids("--kind", "model,flow", "--name", "ask", "--tag", "beta") == [ask.id]
    assert ids("--user", "u-17", "--session", "s-4", "--release", "v3") == [ask.id]
    assert ids("--error", "503", "--calls") == [failed.id]
    assert ids("--text", "no such order") == [bad.id]
    assert ids("--since", "1h") == [bad.id, ask.id] and ids("--until", "1h") == []
    assert "--calls looks inside of runs, too" in lines("--error", "503")[0]


def test_pages(runs: tuple[list[Record], ...], project: Path) -> None:
    (ask, *_), (bad,) = runs
    first, _, more = lines("list", "-n", 1)
    assert first.startswith(bad.id)
    assert more == f"More: onrecord records list -n 1 --before {bad.id}"
    assert printed("records", "list", "-n", 1)["next"] == bad.id
    document = printed("records", "list", "-n", 1, "--before", bad.id)
    assert [record["id"] for record in document["runs"]] == [ask.id] and document["next"] is None
    assert lines("--before", ask.id) == ["Nothing is older than that."]


def test_a_project_without_records(project: Path) -> None:
    assert lines() == ["No records yet. `onrecord demo` makes some."]
    refused(2, "there is no run yet", "records", "show")
    assert lines("cost") == ["No call on record fits."]
    assert printed("records", "status")["records"] == 0
    assert printed("records", "cost")["totals"] == []


@pytest.mark.parametrize(
    "command",
    [
        *("list", "list --json", "cost", "cost --json", "status", "status --json"),
        *("export --to jsonl -", "rows --out rows.jsonl", "erase --user u --yes"),
    ],
)
def test_who_only_looks_leaves_nothing_behind(project: Path, command: str) -> None:
    lines(*command.split())
    assert not (project / ".onrecord").exists()


def test_status_where_there_is_nothing_yet(project: Path) -> None:
    (said,) = lines("status")
    assert said == f"No records yet ({project / '.onrecord'}). `onrecord demo` makes some."
    assert printed("records", "status")["where"] == str(project / ".onrecord/records.db")


def test_a_long_wait_is_told(runs: tuple[list[Record], ...], project: Path) -> None:
    Store(project / ".onrecord").close()
    with recorded.call("flow", "one", {}):
        pass  # the journal has something that the command must write into the store
    holding = sqlite3.connect(project / ".onrecord/records.db", isolation_level=None)
    holding.execute("BEGIN IMMEDIATE")
    command = [sys.executable, "-m", "onrecord", "records", "-n", "100"]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as waits:
        assert waits.stderr is not None
        assert "waiting for another process that writes the records" in waits.stderr.readline()
        holding.execute("ROLLBACK")
        holding.close()
        shown, _ = waits.communicate(timeout=60)
    assert waits.returncode == 0 and "flow one" in shown


def test_runs_are_pointed_at_by_number_and_by_a_piece(runs: tuple[list[Record], ...]) -> None:
    (ask, _, again, *_), (bad,) = runs
    assert printed("records", "show", "@1")["run"] == bad.id
    assert printed("records", "show", "@2")["run"] == ask.id
    assert printed("records", "show", again.id[2:])["run"] == ask.id
    assert printed("records", "show", again.id[2:], "--call")["id"] == again.id
    assert printed("records", "show", "@2", "--call")["id"] == ask.id
    assert ids("list", "--run", "@2", "--calls") == [each.id for each in reversed(runs[0])]
    assert printed("records", "cost", "--run", "@2", "--by", "name")["totals"][0]["calls"]
    refused(2, "there is no run @3", "records", "show", "@3")


def test_a_paused_run_is_listed_with_its_questions(project: Path) -> None:
    flow = call("flow", "refund", state="paused", ended_ns=1, output=None)
    question = {"question": "Refund \x1b[2J?", "options": ["yes", "no"]}
    asked = call("pause", "pause", flow, state="paused", input=question, output=None)
    again = call("flow", "refund", flow, state="paused", source=flow.id, tags=(RESUMED,))
    text = {"id": "0123", "text": "Is it to be made again?", "options": [], "kind": "repeat"}
    unsure = call("tool", "pay", again, state="paused", output=text)
    done = call("flow", "fine", state="paused")
    finished = call("flow", "fine", done, source=done.id, tags=(RESUMED,))
    old = call("pause", "pause", done, state="paused", input=question, output=None)
    store = Store(project / ".onrecord")
    store.take([flow, asked, done, old, finished])
    shown = lines("list", "--state", "paused")
    assert shown[0].startswith(done.id) and shown[1].startswith(flow.id)
    assert shown[2:] == [
        r"    asks  “Refund \x1b[2J?” (yes / no)",
        f"    goes on with  refund.resume.run('{flow.id}', answers={{'{asked.id}': …}})",
    ]
    store.take([again, unsure])
    assert lines("list", "--state", "paused")[2:] == [
        "    asks  “Is it to be made again?”",
        f"    goes on with  refund.resume.run('{flow.id}', answers={{'0123': …}})",
    ]


def test_calls_that_never_ended_are_in_no_percentile(project: Path) -> None:
    lost = [call("tool", "pay", state="interrupted", ended_ns=0) for _ in range(3)]
    Store(project / ".onrecord").take(lost)
    row = lines("cost", "--by", "name")[1]
    assert row.split()[-3:] == ["-", "-", "$0.00"]
    assert printed("records", "cost", "--by", "name")["totals"][0]["seconds_p50"] is None


def test_every_command_has_examples_that_can_be_read() -> None:
    help = onrecord("records", "--help").stdout
    assert "onrecord records show @1" in help
    for command in "list show watch cost erase status dataset rows export import".split():
        shown = onrecord("records", command, "--help").stdout
        assert "Example" in shown and f"onrecord records {command}" in shown.split("Example")[1]


def test_bad_options(runs: tuple[list[Record], ...]) -> None:
    refused(2, "there is no kind 'modl'. Choose from flow", "records", "--kind", "modl")
    refused(2, "there is no state 'bad'", "records", "watch", "--state", "bad")
    refused(2, "'tomorrow' is no point in time", "records", "--since", "tomorrow")
    refused(2, "cannot be grouped by 'colour'", "records", "cost", "--by", "colour")
    refused(2, "these options stand before the command", "records", "--failed", "cost")
    refused(2, "no record has an id", "records", "show", "nonsense")
    refused(2, "no record has an id", "records", "cost", "--run", "nonsense")
    refused(2, "the ids of 5 calls begin with", "records", "show", runs[0][0].id[:22], "--call")
    assert len(ids("--calls")) == 6  # and none of that left a record


def test_show_draws_the_newest_run_or_the_one_it_is_told(runs: tuple[list[Record], ...]) -> None:
    (ask, *_, hit), (bad,) = runs
    shown = onrecord("records", "show").stdout
    assert shown.startswith(r"flow broken \x1b[2J") and "\x1b" not in shown
    assert f"run {bad.id}" in shown
    for part in (ask.id, hit.id, ask.id[:-2]):  # any call's id, or how it begins
        shown = onrecord("records", "show", part).stdout
        assert shown.startswith("flow ask") and "└─ model openai:gpt" in shown
    for words in (
        "ModelError: 503",
        "1,204 → 88",
        "$0.0015",
        "cost unknown",
        f"from record {hit.source}",
        "5 calls, 1 failed, 1,304 tokens, $0.0015 + 1 call whose price is not known",
        "user u-17  session s-4  release v3  tags beta",
        "{'question': 'How many days?'}",
        "█",
    ):
        assert words in shown
    assert "How many days?" not in onrecord("records", "show", ask.id, "--no-bodies").stdout
    assert hit.id in onrecord("records", "show", ask.id, "--ids").stdout


def test_show_as_json_and_as_a_diagram(runs: tuple[list[Record], ...]) -> None:
    (ask, *_), _ = runs
    document = printed("records", "show", ask.id)
    assert document["run"] == ask.id and len(document["records"]) == 5
    assert document["records"][0]["output"] == "28 days"
    bare = printed("records", "show", ask.id, "--no-bodies")
    assert bare["records"][0]["output"] is None
    diagram = onrecord("records", "show", ask.id, "--graph").stdout
    assert diagram.startswith("flowchart TD")
    assert "n0 -->|3| n1" in diagram and "3 calls" in diagram


def test_show_one_call_whole(runs: tuple[list[Record], ...]) -> None:
    (_, _, again, *_), _ = runs
    shown = onrecord("records", "show", again.id, "--call").stdout
    for words in (again.id, "input 1,204, output 88, cached 600", '"question": "How many days?"'):
        assert words in shown
    assert printed("records", "show", again.id, "--call")["usage"]["cached"] == 600


def test_a_large_run_is_folded(project: Path) -> None:
    flow = call("flow", "evaluate")
    steps = [call("step", "score", flow, output="x" * 50) for _ in range(3000)]
    store = Store(project / ".onrecord")
    store.take([flow, *steps])
    shown = lines("show", flow.id)
    assert len(shown) == 15 and "… 2,990 more step score" in shown[11]
    assert "3,001 calls" in shown[13]
    assert "xxx" not in "".join(shown)
    assert len(lines("show", flow.id, "--all")) == 3004
    assert "xxx" in "".join(lines("show", flow.id, "--bodies"))


def test_an_output_that_knows_ascii_only(runs: tuple[list[Record], ...]) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = "\n".join(lines("show", runs[0][0].id, env=environment))
    assert shown.isascii() and "`- model openai:gpt" in shown and "####" in shown


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours_on_a_terminal(runs: tuple[list[Record], ...], no_color: str) -> None:
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": no_color, "COLUMNS": "90"}
    status, shown = on_terminal("show", runs[0][0].id, env=environment)
    assert status == 0
    assert ("\x1b[31m" in shown) is not bool(no_color)
    assert "\x1b[2J" not in shown


def on_terminal(*arguments: str, typed: str = "", **options: Any) -> tuple[int, str]:
    """Run a command on a terminal of its own: its status, and what it showed."""
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "onrecord", "records", *arguments]
    process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, **options)
    os.close(child)
    os.write(parent, typed.encode())
    shown = b""
    try:
        while data := os.read(parent, 65536):
            shown += data
    except OSError:  # how a terminal says that nobody is there any more
        pass
    os.close(parent)
    return process.wait(timeout=60), shown.decode()


def test_cost(runs: tuple[list[Record], ...]) -> None:
    head, gpt, local, _, total, unknown = lines("cost")
    assert head.split() == "model calls failed reused in cached out p50 p95 cost".split()
    assert gpt.split()[:7] == ["openai:gpt", "3", "1", "1", "1,204", "600", "88"]
    assert gpt.endswith("$0.0015") and local.endswith("$0.00 +")
    assert total.split()[:4] == ["total", "4", "1", "1"] and total.endswith("$0.0015 +")
    assert unknown == "+ 1 call whose price is not known"
    document = printed("records", "cost", "--by", "flow,day", "--user", "u-17")
    assert (document["by"], document["cost"], document["unpriced"]) == (["flow", "day"], 1500, 1)
    assert document["totals"][0]["group"]["flow"] == "ask"


@pytest.fixture
def odd(project: Path) -> str:
    """A call whose name is long, turns the text around it and commands the terminal."""
    name = "odd \u202egnp.exe\x1b[2J\x9b" + "n" * 300
    made = call("model", name, tags=(name,), user=name, error=name, state="failed", input=name)
    store = Store(project / ".onrecord")
    store.take([made])
    store.close()
    return name


def test_names_are_cut_in_tables_and_whole_as_json(odd: str) -> None:
    head, row, *_ = lines("cost")
    assert row.startswith(r"odd \u202egnp.exe\x1b[2J\x9bnnn") and "n…  " in row
    assert head.index("calls") + len("calls") == row.index("…") + len("…      1")
    assert printed("records", "cost")["totals"][0]["group"]["model"] == odd
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
    status, shown = on_terminal("cost", "--by", "name,user,kind", env=environment)
    assert status == 0 and max(map(len, shown.splitlines())) == 120
    assert shown.count("…") == 2  # the name, and the user

    listed = lines()[0]
    assert "n…" in listed and len(listed) < 400
    assert printed("records")["runs"][0]["name"] == odd


@pytest.mark.parametrize(
    "command",
    ["list", "list --calls", "show", "show --ids --all", "show --graph", "cost", "status"],
)
def test_no_command_turns_or_commands_the_terminal(odd: str, command: str) -> None:
    shown = "\n".join(lines(*command.split()))
    assert not any(character in shown for character in "\u202e\x1b\x9b")
    assert command == "status" or "gnp.exe" in shown


def test_one_call_is_shown_whole_and_harmless(odd: str) -> None:
    id = printed("records")["runs"][0]["id"]
    shown = "\n".join(lines("show", "--call", id))
    escaped = odd.replace("\u202e", r"\u202e").replace("\x1b", r"\x1b").replace("\x9b", r"\x9b")
    assert shown.count(escaped) == 5  # name, error, user, tags, input
    assert not any(character in shown for character in "\u202e\x1b\x9b")


def test_an_error_about_a_name_is_harmless(odd: str) -> None:
    message = refused(2, r"'\u202e\x1b[2J'", "records", "show", "\u202e\x1b[2J")
    assert "\u202e" not in message and "\x1b" not in message


@pytest.mark.parametrize(
    "command",
    [
        *(
            "records --json",
            "records",
            "records list --calls",
            "records show",
            "records show --json",
        ),
        *("records cost", "records status", "records watch", "records export --to jsonl -"),
        *("records erase --user u --yes", "records dataset d", "records rows -o r.jsonl"),
        *("ingest .", "search x", "ask x", "--help", "--version", "demo"),
    ],
)
def test_a_closed_standard_output_is_told_in_a_sentence(
    runs: tuple[list[Record], ...], project: Path, command: str
) -> None:
    line = f"{sys.executable} -m onrecord {command} >&-"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("error: standard output is closed")


def test_other_closed_streams(runs: tuple[list[Record], ...]) -> None:
    line = f"{sys.executable} -m onrecord records --json <&- 2>&-"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and len(json.loads(done.stdout)["runs"]) == 2
    line = f"{sys.executable} -m onrecord records erase --user u-17 <&-"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "nobody is there to confirm this" in done.stderr


def test_erasing_needs_a_yes(runs: tuple[list[Record], ...]) -> None:
    refused(2, "this would erase every record", "records", "erase")
    nobody = {"stdin": subprocess.DEVNULL}
    refused(2, "Say --yes", "records", "erase", "--user", "u-17", **nobody)
    refused(2, "Say --yes", "records", "erase", "--user", "u-17", "--json", **nobody)
    status, shown = on_terminal("erase", "--user", "u-17", typed="n\n")
    assert status == 1 and "Erase 5 records for good?" in shown and "Nothing was erased" in shown
    status, shown = on_terminal("erase", "--user", "nobody")
    assert status == 0 and "there is nothing to erase" in shown
    assert len(ids("--calls")) == 6


def test_erasing_on_a_terminal(runs: tuple[list[Record], ...], project: Path) -> None:
    status, shown = on_terminal("erase", "--run", runs[0][0].id[:-4], typed="y\n")
    assert status == 0 and "Erased 5 records" in shown and "Receipt:" in shown
    assert ids("--calls") == [runs[1][0].id]


def test_the_receipt_of_an_erasure(runs: tuple[list[Record], ...], project: Path) -> None:
    document = printed("records", "erase", "--user", "u-17", "--yes")
    assert document["records"] == 5 and document["query"]["user"] == "u-17"
    assert ids("--user", "u-17", "--calls") == []
    (receipt,) = (project / ".onrecord/receipts").iterdir()
    assert document["saved"] == str(receipt)
    written = receipt.read_text()
    assert json.loads(written)["records"] == 5
    assert "u-17" not in written and "How many days?" not in written
    assert is_about(receipt, user="u-17") and not is_about(receipt, user="u-18")
    again = printed("records", "erase", "--user", "u-17", "--yes")
    assert (again["records"], again["saved"]) == (0, None)


def test_erasing_by_age(runs: tuple[list[Record], ...], project: Path) -> None:
    old = call("flow", "old", started_ns=time.time_ns() - 100 * 24 * HOUR)
    Store(project / ".onrecord").take([old])
    assert printed("records", "erase", "--older-than", "90d", "--yes")["records"] == 1
    assert old.id not in ids()


def test_status(runs: tuple[list[Record], ...], project: Path) -> None:
    found = printed("records", "status")
    assert (found["records"], found["runs"], found["under_way"]) == (6, 2, 0)
    assert (found["lost"], found["torn"], found["damaged"]) == (0, 0, [])
    assert found["oldest_ns"] == runs[0][0].started_ns
    (project / ".onrecord/records.db.damaged-20260101-101010").write_bytes(b"")
    shown = "\n".join(lines("status"))
    for words in ("records.db", "6 in 2 runs", "0 calls without", "damaged"):
        assert words in shown


def test_status_tells_what_somebody_should_know(
    runs: tuple[list[Record], ...], project: Path
) -> None:
    newer = project / ".onrecord/journal/0123456789abcdef.000001.journal"
    newer.parent.mkdir(exist_ok=True)
    newer.write_bytes(b"onrecord journal 99\n")
    notes = printed("records", "status")["notes"]
    shown = "\n".join(lines("status"))
    assert notes and all(note in shown for note in notes)


LIVE = """
import asyncio, sys
import onrecord as on

@on.step
async def work(order: str) -> str:
    if order == "bad":
        raise ValueError("no such order")
    return order

@on.flow
async def live() -> str:
    await asyncio.gather(work("good"), work("bad"), return_exceptions=True)
    print("under way", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    return await work("last")

live.run()
"""


@pytest.fixture
def live(project: Path) -> Iterator[subprocess.Popen[str]]:
    """A process whose flow waits for a line on its standard input."""
    process = subprocess.Popen(
        [sys.executable, "-c", LIVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


def watching(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "onrecord", "records", "watch", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_watch_waits_for_the_first_record(project: Path) -> None:
    with watching() as watch:
        assert watch.stdout is not None and watch.stderr is not None
        assert watch.stderr.readline() == "No records yet; waiting for the first.\n"
        assert not (project / ".onrecord").exists()
        with recorded.call("flow", "first", {}):
            pass
        assert "flow first" in watch.stdout.readline()
        watch.send_signal(signal.SIGINT)
        watch.communicate(timeout=60)


def test_watch_follows_other_processes(live: subprocess.Popen[str]) -> None:
    assert live.stdout and live.stdin
    assert live.stdout.readline() == "under way\n"
    watch = watching("--long", "0")
    assert watch.stdout and watch.stderr
    assert "Watching" in watch.stderr.readline()
    assert "flow live" in watch.stdout.readline()  # it began before, and has not ended
    live.stdin.write("\n")
    live.stdin.flush()
    told = [watch.stdout.readline(), watch.stdout.readline()]
    assert sorted(line.split()[1:3] for line in told) == [["flow", "live"], ["step", "work"]]
    watch.send_signal(signal.SIGINT)
    rest = watch.communicate(timeout=60)
    assert watch.returncode == 0 and rest == ("", "")


def test_watch_with_filters_as_json_lines(live: subprocess.Popen[str], project: Path) -> None:
    watch = watching("--failed", "--name", "work", "--json")
    assert watch.stdout and live.stdin
    # Nothing says that it watches: calls are made until it tells of one.
    store = Store(project / ".onrecord")
    os.set_blocking(watch.stdout.fileno(), False)
    line = ""
    while not line:
        store.take([call("step", "work", state="failed"), call("step", "other", state="failed")])
        line = watch.stdout.readline()
    os.set_blocking(watch.stdout.fileno(), True)
    told = json.loads(line)
    assert (told["name"], told["state"]) == ("work", "failed")
    watch.send_signal(signal.SIGINT)
    watch.communicate(timeout=60)
    assert watch.returncode == 0


@pytest.mark.parametrize("command", ["list", "show", "watch", "cost", "erase", "status"])
def test_every_command_has_help(project: Path, command: str) -> None:
    done = onrecord("records", command, "--help")
    assert done.returncode == 0 and "--json" in done.stdout
    assert ("Which records" in done.stdout) is (command not in ("show", "status"))
