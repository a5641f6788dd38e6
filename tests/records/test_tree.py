"""A run drawn: as text, on a screen, as HTML, as a diagram. Every call is shown or counted."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.messages import Usage
from onrecord.records.record import Record
from onrecord.records.scope import Recording
from onrecord.records.views.drawing import bar, described, draw, drawing, one_line, summary, wide
from onrecord.records.views.graph import mermaid
from onrecord.records.views.page import run_page
from onrecord.records.views.timeline import Span, Timeline
from onrecord.records.views.tree import Hidden, Sums, Tree, drawn, outline

NOW = 2_000_000_000_000_000_000
SECOND = 10**9


def record(number: int, parent: int | None = None, **changes: Any) -> Record:
    made = Record(
        id=f"{number:032x}",
        run=f"{0:032x}",
        parent=None if parent is None else f"{parent:032x}",
        kind="step",
        name="work",
        input={"n": number},
        key="",
        started_ns=NOW + number * SECOND,
        ended_ns=NOW + (number + 1) * SECOND,
        state="done",
    )
    return msgspec.structs.replace(made, **changes)


def text_of(lines: Any) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


@st.composite
def runs(draw: st.DrawFn) -> list[Record]:
    """Any set of records: orphans, circles of parents, clocks that jump, calls under way."""
    numbers = draw(st.lists(st.integers(0, 60), unique=True, min_size=1, max_size=40))
    names = st.sampled_from(["work", "openai:gpt", "日本語", "a\nb\tc", "\x1b[31m", "<b>&amp;"])
    return [
        record(
            number,
            draw(st.none() | st.integers(0, 70)),
            name=draw(names),
            kind=draw(st.sampled_from(["flow", "step", "model", "pause"])),
            started_ns=NOW + draw(st.integers(-(10**15), 10**15)),
            ended_ns=draw(st.just(0) | st.integers(NOW - 10**15, NOW + 10**15)),
            state=draw(st.sampled_from(["open", "done", "failed", "interrupted", "paused"])),
            error=draw(st.none() | st.text()),
            cost=draw(st.none() | st.integers(0, 10**7)),
            usage=Usage(draw(st.integers(0, 10**5)), draw(st.integers(0, 10**5))),
            source=draw(st.none() | st.just(f"{1:032x}")),
            output=draw(st.none() | st.text() | st.dictionaries(st.text(), st.text())),
        )
        for number in numbers
    ]


@given(runs())
def test_every_call_of_any_run_has_a_line(records: list[Record]) -> None:
    lines = list(drawn(records))
    assert len(lines) == len(records)
    rows = outline(Tree(records), most=None)
    assert {row.what.id for row in rows if isinstance(row.what, Record)} == {
        each.id for each in records
    }


@given(runs(), st.integers(1, 40))
def test_what_is_not_shown_is_counted(records: list[Record], most: int) -> None:
    rows = outline(Tree(records), most)
    shown = [row.what for row in rows if isinstance(row.what, Record)]
    hidden = [row.what for row in rows if isinstance(row.what, Hidden)]
    assert len({each.id for each in shown}) == len(shown)
    assert len(shown) + sum(each.calls + each.inside for each in hidden) == len(records)


@given(runs(), st.integers(50, 160))
def test_any_run_fits_on_a_screen(records: list[Record], width: int) -> None:
    picture = drawing(Tree(records), 20, NOW)
    picture = picture._replace(details=True, ids=True)
    for line in draw(picture, width):
        assert sum(wide(text) for text, _ in line) <= width
        assert not any("\n" in text for text, _ in line)
    assert f"{len(records):,} call" in text_of(summary(picture))
    for each in records:
        assert each.kind in text_of([one_line(each, NOW)])


@given(runs())
def test_bars_lie_on_the_ruler(records: list[Record]) -> None:
    timeline = Timeline(records, NOW)
    for each in records:
        begin, end = timeline.of(each)
        assert 0 <= begin <= end <= 1
        drawn_bar = bar(Span(begin, end), 20)
        assert len(drawn_bar) == 20 and drawn_bar.strip()


@given(runs())
@settings(max_examples=50)
def test_any_run_is_a_page_and_a_diagram(records: list[Record]) -> None:
    page = Page.read(run_page(records, now_ns=NOW))
    assert page.open == []
    diagram = mermaid(Tree(records))
    assert diagram.startswith("flowchart TD\n")
    labels = re.findall(r'"(.*)"', diagram)
    assert all('"' not in each and "\x1b" not in each for each in labels)
    assert sum(_calls(label) for label in labels) == len(records)


def _calls(label: str) -> int:
    found = re.search(r"([\d,]+) (?:more )?calls", label)
    return int(found[1].replace(",", "")) if found else 1


class Page(HTMLParser):
    """The elements of a page, their texts, and what was left open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    @classmethod
    def read(cls, html: str) -> Page:
        page = cls()
        page.feed(html)
        page.close()
        return page

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


def test_hostile_texts_stay_texts() -> None:
    hostile = "</pre><script>alert(1)</script><img src=x onerror=alert(2)> \" ' &amp; \x00\x1b[2J"
    records = [
        record(
            0, name=hostile, input={hostile: hostile}, output=hostile, error=hostile, state="failed"
        )
    ]
    page = Page.read(run_page(records))
    assert page.tags <= {"style", "div", "details", "summary", "span", "bdi", "i", "pre"}
    assert page.attributes <= {"class", "style"}
    assert "<script>alert(1)</script>" in page.text and "&amp;" in page.text
    assert "\x00" not in page.text and "\x1b" not in page.text


COMMANDS = "\x1b[2J\x07\x9b31m\x00\x7f"  # clear the screen, ring, red, nothing, delete
TURNS = "\u202egnp.exe\u2066"


def test_no_line_of_a_drawing_commands_a_terminal() -> None:
    hostile = f"a{COMMANDS}{TURNS}b"
    call = record(0, name=hostile, input=hostile, output=hostile, error=hostile, state="failed")
    call = msgspec.structs.replace(call, user=hostile, tags=(hostile,), session=hostile)
    asking = record(1, 0, state="paused", output={"text": hostile, "options": [hostile]})
    sums = Sums(0, 0, 0, 0, {})
    later = Hidden(f"step {hostile}", 3, 0, None, sums, NOW, NOW + SECOND, later=True)
    picture = drawing(Tree([call, asking], [later]), None)._replace(details=True)
    styled = [*draw(picture, 200), *summary(picture), one_line(call, NOW), *described(call)]
    shown = ["".join(text for text, _ in line) for line in styled]
    shown += drawn([call, asking], details=True)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "".join(shown))
    assert any(r"a\x1b[2J\x07\x9b31m\x00\x7f\u202egnp.exe\u2066b" in line for line in shown)


def test_a_long_name_is_cut_in_every_line_of_a_list() -> None:
    named = record(0, name="n" * 5_000)
    listed = "".join(text for text, _ in one_line(named, NOW))
    (line,) = drawn([named])
    for shown in (listed, line):
        assert "n…" in shown and len(shown) < 150
    assert "n" * 5_000 in "".join(text for line in described(named) for text, _ in line)


def test_a_recording_shows_itself_in_a_notebook() -> None:
    recording = Recording()
    assert "nothing was recorded" in recording._repr_html_()
    recording.records = [record(0, kind="flow", name="ask", output="28 days"), record(1, 0)]
    page = Page.read(recording._repr_html_())
    for words in ("ask", "work", "28 days", '"n": 1', "2 calls", "$0.00"):
        assert words in page.text
    assert "http" not in recording._repr_html_()  # nothing is fetched


def test_a_run_of_100_000_calls_is_folded() -> None:
    calls = [record(0, kind="flow", ended_ns=NOW + 200_000 * SECOND)]
    for number in range(1, 100_000):
        failed = {"state": "failed", "error": "no such order"}
        calls.append(record(number, 0, **failed if number in (70_000, 80_000) else {}))
    tree = Tree(calls)
    rows = outline(tree)
    assert len(rows) == 14
    *_, seventy, eighty, last = rows
    assert isinstance(last.what, Hidden)
    assert (last.what.calls, last.what.inside) == (99_987, 0)
    assert [seventy.what, eighty.what] == [calls[70_000], calls[80_000]]
    shown = text_of(draw(drawing(tree, 400, NOW), 100))
    assert "… 99,987 more step work, p50 1.00 s" in shown and shown.count("no such order") == 2
    assert len(run_page(calls)) < 40_000
    assert len(outline(tree, most=None)) == 100_000


def test_subtrees_of_hidden_calls_are_counted_and_added_up() -> None:
    calls = [record(0, kind="flow")]
    for number in range(1, 101):
        calls.append(record(2 * number, 0))
        made = record(2 * number + 1, 2 * number, kind="model", usage=Usage(10, 2), cost=5)
        calls.append(made if number < 100 else msgspec.structs.replace(made, cost=None))
    hidden = outline(Tree(calls))[-1].what
    assert isinstance(hidden, Hidden)
    assert (hidden.calls, hidden.inside) == (90, 90)
    sums = hidden.sums
    assert (sums.input, sums.output, sums.cost, sums.unpriced) == (900, 180, 89 * 5, 1)
    shown = text_of(draw(drawing(Tree(calls), 400, NOW), 200))
    assert "90 more step work with 90 calls inside, p50 1.00 s, 900 → 180 tokens" in shown
    assert "+ 1 call whose price is not known" in shown


def test_a_name_for_every_call_is_folded_too() -> None:
    calls = [record(0), *(record(number, 0, name=f"w{number}") for number in range(1, 500))]
    *shown, last = outline(Tree(calls))
    assert len(shown) == 11 and isinstance(last.what, Hidden)
    assert (last.what.name, last.what.calls) == ("", 489)


def test_what_failed_deep_inside_is_opened_first() -> None:
    calls, number = [record(0, state="failed")], 1
    for branch in range(15):
        parent, bad = 0, branch == 14
        for _ in range(6):
            state = "failed" if bad else "done"
            calls.append(record(number, parent, name=f"b{branch}", state=state))
            parent, number = number, number + 1
    rows = outline(Tree(calls), most=25)
    opened = {row.what.name for row in rows if row.depth == 6 and isinstance(row.what, Record)}
    assert opened == {"b14"}


def test_a_long_chain_of_calls() -> None:
    chain = [record(0), *(record(number, number - 1) for number in range(1, 5000))]
    lines = list(drawn(chain))
    assert len(lines) == 5000 and len(lines[-1]) < 120
    assert "4999 deep" in lines[-1]
    assert "more calls" in mermaid(Tree(chain))
    assert run_page(chain)


def test_bars_in_eighths_of_a_column() -> None:
    for begin, end, drawn_bar in (
        (0.0, 1.0, "██████████"),
        (0.0, 0.5, "█████     "),
        (0.5, 0.55, "     ▌    "),
        (0.55, 1.0, "     ▐████"),
        (0.0, 0.0, "▏         "),
        (1.0, 1.0, "         ▕"),
        (0.2, 0.2375, "  ▍       "),
    ):
        assert bar(Span(begin, end), 10) == drawn_bar


def test_time_in_which_nobody_worked_is_left_out() -> None:
    day = 86_400 * SECOND
    first = record(0, kind="flow", state="paused", ended_ns=NOW + 2 * SECOND)
    again = record(
        5,
        0,
        kind="flow",
        started_ns=NOW + 3 * day,
        ended_ns=NOW + 3 * day + 2 * SECOND,
        source=first.id,
    )
    timeline = Timeline([first, again], NOW)
    assert timeline.seconds == 4
    assert timeline.of(first) == (0, 0.5) and timeline.of(again) == (0.5, 1)
    picture = drawing(Tree([first, again]), None, NOW)
    shown = text_of(draw(picture, 80)) + text_of(summary(picture))
    assert "goes on with the run" in shown and "Resumed once, and now done." in shown
    assert "┊" in shown


@pytest.mark.parametrize("width", [60, 80, 120])
def test_short_names_leave_the_branches_whole(width: int) -> None:
    calls = [record(0, name="f", kind="flow"), record(1, 0, name="s"), record(2, 0, name="s")]
    calls.append(record(3, 2, name="s"))
    shown = [*draw(drawing(Tree(calls), None, NOW), width)]
    starts = ["".join(text for text, _ in line)[:13].rstrip() for line in shown]
    assert starts == ["flow f", "├─ step s", "└─ step s", "   └─ step s"]


def killed(*, resumed: bool) -> list[Record]:
    """A flow that was killed while it paid, 2 seconds after its first step had begun."""
    mine, later = 10 << 40, 99 << 40  # where an id has its process
    flow = record(mine, kind="flow", name="settle", state="interrupted", ended_ns=0, started_ns=NOW)
    flow = msgspec.structs.replace(flow, run=flow.id)
    step = record(mine + 1, mine, started_ns=NOW, ended_ns=NOW + 2 * SECOND)
    pay = record(
        mine + 2,
        mine,
        name="pay",
        state="interrupted",
        ended_ns=0,
        started_ns=NOW + 1 * SECOND,
    )
    day = NOW + 86_400 * SECOND
    again = record(later, mine, kind="flow", source=flow.id, started_ns=day, ended_ns=day + SECOND)
    made = [flow, step, pay, *([again] if resumed else [])]
    return [msgspec.structs.replace(each, run=flow.id) for each in made]


@pytest.mark.parametrize("resumed", [False, True])
def test_a_call_whose_process_was_killed_lasted_until_the_last_word_of_it(resumed: bool) -> None:
    calls = killed(resumed=resumed)
    flow, _, pay = calls[:3]
    timeline = Timeline(calls, NOW)
    share = 2 / 3 if resumed else 1.0
    assert timeline.seconds == 3 if resumed else 2
    assert timeline.of(flow) == (0, share) and timeline.of(pay) == (share / 2, share)
    picture = drawing(Tree(calls), None, NOW)
    lines = ["".join(text for text, _ in line) for line in draw(picture, 80)]
    assert [line.count("→") for line in lines[:3]] == [1, 0, 1]  # their ends are open
    said = text_of(summary(picture))
    assert said.startswith("at least ") and "2 interrupted" in said
    assert "How long interrupted calls lasted is not on record" in said
    assert "nothing was under way" not in said
    assert ("left out a break" in said or "leave out a break" in said) is resumed
    html = run_page(calls, now_ns=NOW)
    assert html.count('"bar warn open-ended"') == 2
    diagram = mermaid(Tree(calls))
    assert "step pay<br>interrupted" in diagram and "0 µs" not in diagram


def test_what_is_said_of_calls_that_did_not_simply_succeed() -> None:
    calls = [
        record(0, kind="flow", state="open", ended_ns=0, started_ns=NOW - 5 * SECOND),
        record(1, 0, source=f"{9:032x}"),
        record(2, 0, state="failed", error="ValueError: no\nsuch order"),
        record(3, 0, state="interrupted", ended_ns=0),
        record(
            4,
            0,
            kind="pause",
            state="paused",
            input={"question": "May I?", "options": ["yes", "no"]},
        ),
        record(5, 0, kind="model", usage=Usage(1204, 88), cost=None),
    ]
    shown = text_of(draw(drawing(Tree(calls), None, NOW), 120))
    for words in (
        "… 5.00 s",
        f"from record {9:032x}",
        "ValueError: no such order",
        "✗ 1.00 s",
        "interrupted",
        "asks “May I?” (yes / no)",
        "1,204 → 88",
        "cost unknown",
    ):
        assert words in shown
