"""Values out of texts that are longer than a request may hold."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

import onrecord as on
from onrecord.errors import OutputError
from onrecord.models.model import Request
from onrecord.programs.tasks.merging import merged

PAGES = "\n\n".join(
    f"Page {number}. Nothing moved in the harbour that morning, and it rained all day."
    for number in range(12)
)
TEXT = f"The report is by Ann.\n\n{PAGES}\n\nAnn paid 41 pounds to Bob.\n\n{PAGES}\n\nSigned: Carl."


class Report(msgspec.Struct):
    author: str | None
    people: list[str]
    paid: int | None = None


def by_reading(request: Request) -> str:
    shown = request.messages[-1].text
    people = re.findall(r"Ann|Bob|Carl", shown)
    paid = 41 if re.search(r"\b41\b", shown) else None  # no part of a random fence
    return json.dumps({"author": (people or [None])[0], "people": people, "paid": paid})


def test_a_long_text_is_read_in_parts_and_its_values_are_put_together() -> None:
    model = on.Scripted(by_reading)
    with on.recording() as run:
        result = on.task("extract", into=Report, model=model, window=80).run(TEXT)
    parts = [each for each in run.records if each.name == "map_part"]
    assert len(parts) == len(model.requests) > 4
    assert result.value == Report("Ann", ["Ann", "Bob", "Carl"], 41)
    assert {each.quote for each in result.evidence} == {"Ann", "Bob", "Carl", "41"}
    assert all(each.quote == TEXT[each.start : each.end] for each in result.evidence)
    assert max(each.start for each in result.evidence) > len(PAGES) * 2
    assert f"read in {len(parts)} parts of at most 80 tokens" in result.note
    assert "say different things of author: the first is kept" in result.note


def test_named_fields_of_a_long_text() -> None:
    task = on.task(
        "extract", fields="author,paid", model=on.Scripted(lambda r: _fields(r)), window=80
    )
    assert task.run(TEXT).value == {"author": "Ann", "paid": "41"}


def _fields(request: Request) -> str:
    said = json.loads(by_reading(request))
    return json.dumps({"author": said["author"], "paid": said["paid"] and str(said["paid"])})


def test_a_short_text_is_one_request() -> None:
    model = on.Scripted(by_reading)
    result = on.task("extract", into=Report, model=model, window=80).run("By Ann.")
    assert (len(model.requests), result.note) == (1, "")


def test_a_cassette_gives_the_parts_again(project: Any) -> None:
    with on.replay("cassette.jsonl", record=True):
        first = on.task("extract", into=Report, model=on.Scripted(by_reading), window=80).run(TEXT)
    silent = on.Scripted(lambda request: pytest.fail("it was asked again"))
    with on.replay("cassette.jsonl"):
        task = on.task("extract", into=Report, model=silent, window=80)
        assert task.run(TEXT) == first


class Pair(msgspec.Struct):
    """Takes no values that parts put together: at most one item."""

    people: list[str]

    def __post_init__(self) -> None:
        if len(self.people) > 1:
            raise ValueError("one person at most")


def test_values_that_do_not_fit_the_type_together_are_an_error() -> None:
    model = on.Scripted(
        lambda request: json.dumps({"people": json.loads(by_reading(request))["people"][:1]})
    )
    with pytest.raises(OutputError, match="the values of the parts do not fit together"):
        on.task("extract", into=Pair, model=model, window=80).run(TEXT)


@pytest.mark.parametrize(
    ("values", "whole", "differing"),
    [
        ([None, "a", "a"], "a", []),
        ([None, "", None], None, []),
        ([0, 1], 0, ["value"]),
        ([[1, 2], [2, 3], None], [1, 2, 3], []),
        ([{"a": {"b": None}}, {"a": {"b": 1}}, {"a": {"b": 2}}], {"a": {"b": 1}}, ["b"]),
        ([[{"a": 1}], [{"a": 1}, {"a": 2}]], [{"a": 1}, {"a": 2}], []),
        ([{"a": None}, {"a": []}], {"a": None}, []),
        ([False, None], False, []),
        (["a", ["b"]], "a", ["value"]),
    ],
)
def test_merged(values: list[Any], whole: Any, differing: list[str]) -> None:
    found = merged(values)
    assert (found.value, found.differing) == (whole, differing)
