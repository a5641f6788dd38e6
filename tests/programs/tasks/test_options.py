"""Options that somebody gives in another form than the tasks take: told at the door."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onrecord as on
from onrecord.errors import UnknownNameError, UsageError
from onrecord.programs.tasks.checking import check_option
from onrecord.programs.tasks.spelling import IN_PYTHON, OptionError, Spelled


@pytest.mark.parametrize("name", [3, None, ["summarize"], b"summarize"])
def test_a_name_that_is_no_text(name: Any) -> None:
    with pytest.raises(UnknownNameError, match="There are summarize, sentiment"):
        on.task(name)


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        ("classify", {"examples": 5}, "5 does not fit. examples may be"),
        (
            "classify",
            {"labels": [1, 2]},
            r"\[1, 2\] does not fit. labels may be a list of texts or",
        ),
        ("classify", {"labels": {"a": 5, "b": 6}}, "{'a': 5, 'b': 6} does not fit. labels may be"),
        ("classify", {"labels": {"a", "b"}}, "{.*} does not fit. labels may be"),
        ("classify", {"labels": None}, "None does not fit. labels may be"),
        ("summarize", {"sentences": "2"}, "'2' does not fit. sentences may be a whole number"),
        ("summarize", {"sentences": True}, "True does not fit. sentences may be a whole number"),
        ("summarize", {"sentences": 2.0}, r"2\.0 does not fit. sentences may be"),
        (
            "summarize",
            {"window": "big"},
            "'big' does not fit. window may be a whole number or None",
        ),
        (
            "summarize",
            {"window": 15},
            "15 is too small. window may be 16 or more",
        ),
        (
            "classify",
            {"max_tokens": 0},
            "0 is too small. max_tokens may be 1 or more",
        ),
        ("summarize", {"long": 5}, "5 does not fit. long may be 'map-reduce' or 'refine'"),
        ("summarize", {"prefix": 5}, "5 does not fit. prefix may be"),
        ("summarize", {"instruction": ["a"]}, r"\['a'\] does not fit. instruction may be a text"),
        ("answer", {"question": 5}, "5 does not fit. question may be a text"),
        ("translate", {"to": 5}, "5 does not fit. to may be a text"),
        ("similar", {"embedder": 5}, "5 does not fit. embedder may be a text, an embedder or None"),
        ("similar", {"embedder": on.Scripted("x")}, ".* does not fit. embedder may be"),
        ("summarize", {"model": 5}, "5 does not fit. model may be a text, a model or None"),
        ("summarize", {"model": Path("x")}, ".* does not fit. model may be"),
        (
            "similar",
            {"candidates": 5},
            "5 does not fit. candidates may be a text or a list of texts",
        ),
        ("extract", {"fields": 5}, "5 does not fit. fields may be"),
        (
            "generate",
            {"parameters": 5},
            "5 does not fit. parameters may be Parameters or a mapping",
        ),
    ],
)
def test_an_option_of_another_type_is_one_sentence(
    task: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        on.task(task, **options)


def test_options_of_a_call_and_of_a_batch_are_checked_as_well(project: Path) -> None:
    with pytest.raises(UsageError, match="the question is no text but int"):
        on.task("answer").run("A pump.", 5)
    with pytest.raises(UsageError, match="candidates may be a text or a list"):
        on.task("similar").run("A pump.", 5)
    task, path, out = on.task("generate", model="scripted:echo"), "in.txt", "out.jsonl"
    (project / path).write_text("a line\n")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"path": 5}, "5 does not fit. path may be"),
        ({"out": None}, "None does not fit. out may be"),
        ({"together": "4"}, "'4' does not fit. together may be a whole number"),
        ({"column": 1}, "1 does not fit. column may be a text or None"),
    ]
    for options, said in wrong:
        with pytest.raises(UsageError, match=said):
            task.over.run(**{"path": path, "out": out, **options})


def test_whatever_fits_its_type_is_taken() -> None:
    on.task("summarize", sentences=np.int64(2), window=None, model=on.Scripted("x"))
    on.task("classify", labels=("a", "b"), examples=[("x", "a")])
    check_option("labels", {"a": "b"}, list[str] | Mapping[str, str])


def test_a_long_value_is_shown_by_its_beginning() -> None:
    with pytest.raises(UsageError) as caught:
        on.task("classify", labels=list(range(10_000)))
    assert len(str(caught.value)) < 250


def test_a_sentence_about_an_option_is_spelled_for_who_reads_it() -> None:
    cure = "Name it: {to}, not {labels:alone}."
    error = OptionError("nothing was named", where="{here}", cure=cure)
    assert str(error) == "nothing was named ({here}). Name it: to='German', not labels."
    assert isinstance(error, UsageError)
    elsewhere = error.spelled({"to": Spelled("--to", " German")})
    assert "Name it: --to German, not labels (in Python alone)." in str(elsewhere)


def test_every_option_has_a_spelling() -> None:
    from onrecord.programs.tasks.task import NAMES, options_of

    assert {option for name in NAMES for option in options_of(name)} <= set(IN_PYTHON)
