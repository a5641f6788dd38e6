"""Batches as somebody runs them who kills them, runs them again, and mistypes their files."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import onrecord as on
from onrecord.errors import LimitError, LoadError, ModelError, StorageError, UsageError
from onrecord.messages import Completion, text_message
from onrecord.models.model import Request


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def texts(path: Path, count: int) -> Path:
    path.write_text("".join(f"text {number}\n" for number in range(1, count + 1)))
    return path


def asked(request: Request) -> str:
    return request.messages[-1].text


def test_each_row_has_a_line_in_order(project: Path) -> None:
    model = on.Scripted(lambda request: f"about {asked(request)}")
    task = on.task("generate", model=model)
    report = task.over.run(texts(project / "in.txt", 9), project / "out.jsonl", together=3)
    assert (report.rows, report.done, report.failed, report.already) == (9, 9, 0, 0)
    lines = lines_of(project / "out.jsonl")
    assert [line["row"] for line in lines] == list(range(1, 10))
    assert [line["result"]["text"] for line in lines] == [f"about text {n}" for n in range(1, 10)]
    assert sorted(p.name for p in project.iterdir() if "jsonl" in p.name) == ["out.jsonl"]


def test_what_is_there_is_not_asked_again(project: Path) -> None:
    model = on.Scripted(lambda request: "done")
    task = on.task("generate", model=model)
    path, out = texts(project / "in.txt", 6), project / "out.jsonl"
    task.over.run(path, out)
    whole = out.read_bytes()
    kept = b"".join(whole.splitlines(keepends=True)[:3])
    out.write_bytes(kept + b'{"row": 4, "begins": "te')  # torn, as by a kill
    report = task.over.run(path, out)
    assert (report.already, len(model.requests)) == (3, 6 + 3)
    assert out.read_bytes() == whole
    again = task.over.run(path, out)
    assert (again.already, again.done, len(model.requests)) == (6, 6, 9)


class Priced:
    """Costs what is said of each text, a thousandth of a cent or nobody knows what."""

    name, version = "own:priced", "1"

    def __init__(self, **costs: int | None) -> None:
        self.costs = costs

    async def stream(self, request: Request) -> Any:
        text = asked(request)
        yield Completion(text_message("assistant", "x"), self.name, cost=self.costs[text])


def test_a_batch_tells_what_this_run_took(project: Path) -> None:
    path, out = project / "in.txt", project / "out.jsonl"
    path.write_text("one\ntwo\n")
    task = on.task("generate", model=Priced(one=10, two=5))
    report = task.over.run(path, out)
    assert report.cost == 15 and report.seconds > 0
    assert task.over.run(path, out).cost == 0  # all of it was there
    path.write_text("one\ndark\n")
    task = on.task("generate", model=Priced(one=10, dark=None))
    assert task.over.run(path, project / "dark.jsonl").cost is None


def test_the_cost_of_a_batch_is_also_seen_by_who_records_it(project: Path) -> None:
    (project / "in.txt").write_text("one\ntwo\n")
    with on.recording() as run:
        report = on.task("generate", model=Priced(one=1, two=2)).over.run(
            project / "in.txt", project / "out.jsonl"
        )
    assert run.cost == report.cost == 3


class Uneven:
    """Answers at its own speed: the rows behind the slow one are done before it."""

    name, version = "scripted:uneven", "1"

    def __init__(self, slow: str, fails: bool) -> None:
        self.slow, self.fails, self.asked = slow, fails, list[str]()

    async def stream(self, request: Request) -> Any:
        text = asked(request)
        self.asked.append(text)
        if text == self.slow:
            await asyncio.sleep(0.3)
            if self.fails:
                raise LimitError("the money is spent")
        yield Completion(text_message("assistant", text.upper()), self.name, cost=0)


def test_rows_done_ahead_are_kept_when_it_stops(project: Path) -> None:
    path, out = texts(project / "in.txt", 5), project / "out.jsonl"
    first = Uneven("text 2", fails=True)
    with pytest.raises(LimitError, match="the money is spent"):
        on.task("generate", model=first).over.run(path, out, together=4)
    assert [line["row"] for line in lines_of(out)] == [1]
    second = Uneven("", fails=False)
    report = on.task("generate", model=second).over.run(path, out, together=4)
    assert second.asked == ["text 2"] and report.done == 5
    assert [line["result"]["text"] for line in lines_of(out)] == [f"TEXT {n}" for n in range(1, 6)]


def test_a_row_that_fails_is_a_row(project: Path) -> None:
    def reply(request: Request) -> str:
        if asked(request) == "text 2" and failing:
            raise ModelError("the server stumbled")
        return "fine"

    failing = True
    model = on.Scripted(reply)
    path, out = texts(project / "in.txt", 3), project / "out.jsonl"
    task = on.task("generate", model=model)
    report = task.over.run(path, out)
    assert (report.done, report.failed) == (2, 1)
    assert lines_of(out)[1]["error"] == "the server stumbled"
    assert task.over.run(path, out).failed == 1
    failing = False
    report = task.over.run(path, out, retry=True)
    assert (report.done, report.failed, len(model.requests)) == (3, 0, 4)
    assert [line["row"] for line in lines_of(out)] == [1, 2, 3]


def test_a_csv_row_without_a_text_and_one_too_long(project: Path) -> None:
    path = project / "in.csv"
    path.write_text("id,review\n1,good\n2,\n3," + "x" * 5_000_000 + "\n")
    out = project / "out.jsonl"
    report = on.task("generate", model="scripted:echo").over.run(path, out, column="review")
    assert (report.rows, report.done, report.failed) == (3, 1, 2)
    assert "no review" in lines_of(out)[1]["error"]
    assert "5,000,000 characters" in lines_of(out)[2]["error"]
    assert len(out.read_bytes()) < 2_000


@pytest.mark.parametrize("name", ["in.csv", "in.tsv", "in.jsonl", "in.json"])
def test_every_row_has_its_line_however_many_are_bad_and_whatever_their_ids(
    name: str, project: Path
) -> None:
    rows = [{"id": "the same", "text": "" if n % 2 else f"text {n}"} for n in range(300)]
    path = project / name
    if name.endswith(("csv", "tsv")):
        gap = "," if name == "in.csv" else "\t"
        told = [("id", "text"), *((row["id"], row["text"]) for row in rows)]
        path.write_text("".join(f"{gap.join(each)}\n" for each in told))
    elif name == "in.jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        path.write_text(json.dumps(rows))
    out = project / "out.jsonl"
    report = on.task("generate", model="scripted:echo").over.run(path, out)
    assert (report.rows, report.done, report.failed) == (300, 150, 150)
    for number, line in enumerate(lines_of(out)):
        assert line["row"] == number + 1
        assert ("error" in line) if number % 2 else line["result"]["text"] == f"text {number}"


def test_examples_may_share_an_id(project: Path) -> None:
    lines = ["id,text,label", "7,so good,a", "7,bad,b"]
    (project / "seen.csv").write_text("\n".join(lines))
    assert on.task("sentiment", examples="seen.csv").run("good").label in ("a", "b")


def test_broken_json_lines_are_rows_with_their_errors(project: Path) -> None:
    path = project / "in.jsonl"
    path.write_text('{"text": "one"}\n{"text": \n{"text": "three"}\n')
    out = project / "out.jsonl"
    assert on.task("generate", model="scripted:echo").over.run(path, out).failed == 1
    assert "line 2: not JSON" in lines_of(out)[1]["error"]


def test_what_no_row_is_to_blame_for_stops_it(project: Path) -> None:
    path, out = texts(project / "in.txt", 3), project / "out.jsonl"
    with pytest.raises(UsageError, match="generate needs a model"):
        on.task("generate").over.run(path, out)
    assert out.read_bytes() == b""
    task = on.task("generate", model="scripted:echo")
    with pytest.raises(UsageError, match="over the input"):
        task.over.run(path, path)
    with pytest.raises(UsageError, match="no columns"):
        task.over.run(path, out, column="text")
    with pytest.raises(StorageError, match="there is no folder"):
        task.over.run(path, project / "nowhere" / "out.jsonl")
    for folder in (project, Path()):
        with pytest.raises(UsageError, match="the output is a folder"):
            task.over.run(path, folder)
    with pytest.raises(LoadError, match="no such file"):
        task.over.run(project / "in.csv", out)
    (project / "binary.txt").write_bytes(b"\x00\x01\xff\xfe" * 500)
    with pytest.raises(LoadError):
        task.over.run(project / "binary.txt", out)
    (project / "empty.txt").write_bytes(b"")
    with pytest.raises(LoadError, match="empty"):
        task.over.run(project / "empty.txt", out)


def test_another_output_is_not_gone_on_with(project: Path) -> None:
    path, out = texts(project / "in.txt", 3), project / "out.jsonl"
    on.task("generate", model="scripted:echo").over.run(path, out)
    before = out.read_bytes()
    with pytest.raises(UsageError, match="the output of the task 'generate'"):
        on.task("extract", fields="dates").over.run(path, out)
    with pytest.raises(UsageError, match="with other options, of another input"):
        on.task("generate", model="scripted:demo").over.run(path, out)
    texts(path, 2)  # fewer rows than lines
    with pytest.raises(UsageError, match=r"line 3"):
        on.task("generate", model="scripted:echo").over.run(path, out)
    assert out.read_bytes() == before
    out.write_text("# notes\n")
    with pytest.raises(UsageError, match="no output of a task"):
        on.task("generate", model="scripted:echo").over.run(path, out)


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
def test_the_other_columns_of_a_row_stay_with_its_result(name: str, project: Path) -> None:
    path, out = project / name, project / "out.jsonl"
    if name == "in.csv":
        rows = [{"ID": "007", "title": "A day", "review": "so good", "result": "kept"}] * 2
        path.write_text("ID,title,review,result\n007,A day,so good,kept\n007,A day,,kept\n")
        rows[1] = {**rows[1], "review": ""}
    else:
        rows = [
            {"ID": 7, "review": "so good", "tags": ["a", {"b": None}], "huge": 10**30},
            {"ID": None, "review": "", "when": "3 March 2024", "odd": "\ud800"},
        ]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    task = on.task("generate", model="scripted:echo")
    report = task.over.run(path, out, column="review")
    assert (report.done, report.failed) == (1, 1)
    good, bad = lines_of(out)
    assert good["result"]["text"] == "so good" and "no review" in bad["error"]
    assert list(good)[:3] == ["row", "begins", "input"]
    del rows[0]["review"]
    if name == "in.csv":
        assert [good["input"], bad["input"]] == rows
    else:
        assert good["input"] == {**rows[0], "huge": str(10**30)}
        assert bad["input"] == {**rows[1], "odd": "\ufffd"}
    assert task.over.run(path, out, column="review").already == 2


def test_a_row_without_a_column_of_text_keeps_all_of_them(project: Path) -> None:
    path, out = project / "in.csv", project / "out.jsonl"
    path.write_text("town,rain\nLagos,12\n")
    on.task("generate", model="scripted:echo").over.run(path, out)
    (line,) = lines_of(out)
    assert line["result"]["text"] == "town: Lagos\nrain: 12"
    assert line["input"] == {"town": "Lagos", "rain": "12"}


def test_lines_of_a_text_have_no_columns(project: Path) -> None:
    out = project / "out.jsonl"
    on.task("generate", model="scripted:echo").over.run(texts(project / "in.txt", 1), out)
    assert list(lines_of(out)[0]) == ["row", "begins", "result", "task", "key"]


def test_an_output_without_the_columns_or_with_other_ones_is_not_gone_on_with(
    project: Path,
) -> None:
    path, out = project / "in.csv", project / "out.jsonl"
    path.write_text("id,text\n1,one\n2,two\n")
    task = on.task("generate", model="scripted:echo")
    task.over.run(path, out)
    path.write_text("id,text\n1,one\n3,two\n")
    with pytest.raises(UsageError, match=r"of another input, .* \(line 2\)"):
        task.over.run(path, out)
    lines = [
        {name: each for name, each in line.items() if name != "input"} for line in lines_of(out)
    ]
    out.write_text("".join(f"{json.dumps({**line, 'key': 'older'})}\n" for line in lines))
    with pytest.raises(UsageError, match="by another version of Onrecord"):
        task.over.run(path, out)


def test_two_processes_do_not_write_one_file(project: Path) -> None:
    import filelock

    path, out = texts(project / "in.txt", 3), project / "out.jsonl"
    with (
        filelock.FileLock(project / ".out.jsonl.lock"),
        pytest.raises(StorageError, match="another process writes this file"),
    ):
        on.task("generate", model="scripted:echo").over.run(path, out)


KILLED = """
import asyncio, sys
import onrecord as on
from onrecord.messages import Completion, text_message

class Slow:
    name, version = "scripted:slow", "1"
    async def stream(self, request):
        with open("asked.txt", "a") as file:
            file.write(request.messages[-1].text + "\\n")
        await asyncio.sleep(0.02)
        text = request.messages[-1].text.upper()
        yield Completion(text_message("assistant", text), self.name, cost=0)

if __name__ == "__main__":
    on.task("generate", model=Slow()).over.run("in.txt", "out.jsonl", together=3)
"""


def test_kill_9_in_the_middle_costs_only_what_was_under_way(project: Path) -> None:
    texts(project / "in.txt", 60)
    (project / "killed.py").write_text(KILLED)
    command = [sys.executable, "killed.py"]
    kills = 0
    for _ in range(2):
        process = subprocess.Popen(command, cwd=project)
        wanted = len(lines_of(project / "out.jsonl")) + 8 if kills else 8
        while process.poll() is None:
            out = project / "out.jsonl"
            if out.exists() and out.read_bytes().count(b"\n") >= wanted:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.005)
        process.wait()
    subprocess.run(command, cwd=project, check=True)
    lines = lines_of(project / "out.jsonl")
    assert [line["result"]["text"] for line in lines] == [f"TEXT {n}" for n in range(1, 61)]
    asked_for = (project / "asked.txt").read_text().splitlines()
    assert set(asked_for) == {f"text {n}" for n in range(1, 61)}
    assert kills == 2 and len(asked_for) <= 60 + 3 * kills
