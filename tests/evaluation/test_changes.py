"""Two reports on the same cases: paired differences, verdicts, flips; and how they are shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

import onrecord as on
from onrecord.errors import UsageError
from onrecord.evaluation.experiments.changes import compare
from onrecord.evaluation.experiments.pairing import matched
from onrecord.evaluation.experiments.report import Report, Subject
from onrecord.evaluation.gate import gate
from onrecord.evaluation.reports.markdown import markdown
from onrecord.evaluation.reports.page import page, section, write_page
from onrecord.evaluation.reports.slices import fields, parts
from onrecord.evaluation.scoring import Facts
from onrecord.evaluation.statistics import Interval, paired_bootstrap, wilson
from onrecord.evaluation.trial import Score, Trial
from tests import browser

NASTY = '<script>document.title="run"</script>| `x` [link](http://e.com) \x1b[31m‮'


def report(scores: list[float], name: str = "f1", **changes: object) -> Report:
    trials = tuple(
        Trial(
            case=f"c{at}",
            input=f"question {at} {NASTY}" if at == 1 else f"question {at}",
            output=f"answer {at}",
            expected="an answer",
            metadata={"topic": "abc"[at % 3], "id": at},
            seconds=0.01 * at,
            cost=100 * at,
            record=f"{at:032x}",
            scores={name: Score(each, "why" if at == 0 else "")},
        )
        for at, each in enumerate(scores)
    )
    made = Report(
        application=Subject("app", "1"),
        dataset=Subject("d", "1"),
        scorers=(Facts(name),),
        trials=trials,
    )
    return msgspec.structs.replace(made, **changes)


def test_a_difference_is_that_of_the_statistics() -> None:
    random = np.random.default_rng(0)
    old, new = random.random(50).tolist(), random.random(50).tolist()
    change = compare(report(old), report(new)).measures["f1"]
    wanted = paired_bootstrap(new, old)
    assert change.difference == wanted
    assert change.before == pytest.approx(np.mean(old)) and change.after == pytest.approx(
        np.mean(new)
    )


def test_flips_name_the_cases() -> None:
    change = compare(report([1.0, 1.0, 0.0, 0.4]), report([1.0, 0.2, 1.0, 0.5])).measures["f1"]
    assert (change.broke, change.mended) == (("c1",), ("c2", "c3"))
    lower = Facts("f1", better="lower", worst=None)
    old = report([0.0, 1.0], scorers=(lower,))
    assert compare(old, report([1.0, 0.0], scorers=(lower,))).measures["f1"].broke == ("c0",)
    lengths = compare(report([10.0, 20.0]), report([1.0, 0.0])).measures["f1"]
    assert (lengths.broke, lengths.mended) == ((), ())


def test_verdicts_in_words() -> None:
    good, bad = report([1.0] * 40), report([0.0] * 40)
    assert compare(bad, good).measures["f1"].verdict == "better"
    assert compare(good, bad).measures["f1"].verdict == "worse"
    assert compare(good, good, margin=0.1).measures["f1"].verdict == "equivalent"
    few = compare(report([1.0, 0.0, 1.0]), report([0.0, 1.0, 1.0])).measures["f1"]
    assert few.verdict == "inconclusive" and few.words.startswith("inconclusive")


def test_repeats_count_as_the_mean_of_their_case() -> None:
    twice = report([1.0, 0.0])
    again = tuple(msgspec.structs.replace(t, repeat=1, scores={"f1": Score(0.5)}) for t in twice)
    change = compare(report([0.0, 0.0]), msgspec.structs.replace(twice, trials=(*twice, *again)))
    assert change.measures["f1"].after == pytest.approx((0.75 + 0.25) / 2)
    assert change.measures["f1"].cases == 2


def test_other_cases() -> None:
    with pytest.raises(UsageError, match="only the report after has 'c2'"):
        compare(report([1.0, 1.0]), report([1.0] * 3))
    changes = compare(report([1.0] * 5), report([1.0] * 3), intersection=True)
    assert (changes.cases, changes.only_before, changes.only_after) == (3, 2, 0)
    other = msgspec.structs.replace(report([1.0]).trials[0], input="something else")
    with pytest.raises(UsageError, match="asks something else"):
        compare(report([1.0]), report([1.0], trials=(other,)))
    with pytest.raises(UsageError, match="no case in common"):
        compare(report([1.0]), report([1.0], trials=(msgspec.structs.replace(other, case="z"),)))


def test_slices_are_found_in_fields_with_few_values() -> None:
    found = report([1.0] * 9)
    assert fields(found) == ["topic"]
    assert [(value, part.cases) for value, part in parts(found, "topic")] == [
        ("a", 3), ("b", 3), ("c", 3),
    ]  # fmt: skip


def test_texts_and_documents() -> None:
    changes = compare(report([1.0, 0.0, 1.0]), report([1.0, 1.0, 0.0]))
    assert "f1: 1 broke: c2" in str(changes) and "f1: 1 mended: c1" in str(changes)
    assert json.loads(msgspec.json.encode(changes.document()))["measures"]["f1"]["broke"] == ["c2"]
    told = str(report([1.0, 0.0]))
    assert told.splitlines()[0] == "app on d" and "0.500" in told


def test_markdown_shows_what_cases_say_as_it_is() -> None:
    found = report([1.0, 0.0, 1.0])
    failed = Trial(case="x`|<b>", input="?", error=NASTY)
    found = msgspec.structs.replace(found, trials=(*found.trials, failed))
    text = markdown(found, compare(found, found), gate("f1 > 0.9", found))
    assert "**Gate not passed:** `f1 > 0.9`" in text
    assert "`` x`\\|<b> ``" in text or "``x`\\|<b>``" in text
    outside = re.sub(r"(`+).+?\1", "", text)
    assert "<script>" not in outside and "\x1b" not in text


def test_a_page_is_written_whole_and_says_all(tmp_path: Path) -> None:
    before, after = report([1.0, 0.0, 1.0, 0.2] * 5), report([1.0, 1.0, 0.0, 0.2] * 5)
    failed = Trial(case="boom", input="?", error="ValueError: <b>no</b>")
    after = msgspec.structs.replace(after, trials=(*after.trials, failed))
    changes = compare(before, after, intersection=True)
    path = write_page(tmp_path / "new" / "report.html", after, changes)
    text = path.read_text()
    for part in ("Measures", "Against the baseline", "Slices", "Failures", "Worst trials", "cost"):
        assert part in text
    assert "<script" not in text and "&lt;script&gt;" in text and "ValueError: &lt;b&gt;" in text
    assert "http://" not in re.sub(r"http://e\.com", "", text) and "https://" not in text
    assert "<table>" in section(after)


@browser.needed
def test_a_browser_shows_the_page_with_its_style_and_runs_nothing(tmp_path: Path) -> None:
    found = report([1.0, 0.5, 0.0, 0.25] * 4)
    path = tmp_path / "report.html"
    path.write_text(page(found, compare(found, report([0.5] * 16))), "utf-8")
    shown = browser.dom(path)
    assert "<title>app on d</title>" in shown and shown.count("<svg") > 5
    assert _has_colour(browser.picture(path, tmp_path / "report.png"))


def _has_colour(picture: Path) -> bool:
    """Whether the marks of the charts were drawn: the style was applied, its hash is right."""
    from PIL import Image

    pixels = np.asarray(Image.open(picture).convert("RGB"), np.int16)
    spread = pixels.max(axis=-1) - pixels.min(axis=-1)
    return bool((spread > 80).sum() > 200)


def test_a_margin_for_each_measure() -> None:
    old, new = report([1.0] * 300), report([1.0] * 299 + [0.0])
    assert compare(old, new, margin={"f1": 0.05}).measures["f1"].verdict == "equivalent"
    assert compare(old, new, margin={"error": 0.05}).measures["f1"].verdict == "inconclusive"


def several(scores: dict[str, list[float]], **changes: object) -> Report:
    trials = tuple(
        Trial(case=f"c{at}", input=at, scores=dict(zip(scores, map(Score, row), strict=True)))
        for at, row in enumerate(zip(*scores.values(), strict=True))
    )
    made = Report(
        application=Subject("app", "1"),
        dataset=Subject("d", "1"),
        scorers=tuple(map(Facts, scores)),
        trials=trials,
    )
    return msgspec.structs.replace(made, **changes)


def test_several_measures_are_allowed_for() -> None:
    rise = [0.0] * 24
    old = several({"a": rise, "b": rise, "c": rise})
    new = several({"a": [1.0] * 7 + rise[7:], "b": rise, "c": rise})
    changes = compare(old, new)
    found = changes.measures["a"]
    assert found.verdict == "better" and found.p == pytest.approx(2 * 0.5**7)
    assert found.adjusted == pytest.approx(3 * found.p)  # the rate of errors is not one of them
    assert not found.is_lonely
    six = compare(old, several({"a": [1.0] * 6 + rise[6:], "b": rise, "c": rise}))
    assert six.measures["a"].verdict == "better" and six.measures["a"].is_lonely
    assert "not sure among 3 measures: a better (Holm: p 0.094)" in str(six)
    assert "better by itself" in str(six)
    assert "not sure among 3 measures" in page(old, six) + markdown(old, six)
    assert json.loads(msgspec.json.encode(six.document()))["measures"]["a"]["adjusted"] > 0.05


def test_what_is_no_mean_over_trials_is_not_compared() -> None:
    broken = Trial(case="x", input="?", error="ValueError: no")
    over = {"f1.macro": Interval(0.4, 0.3, 0.5)}
    old = report([1.0, 0.0])
    old = msgspec.structs.replace(old, trials=(*old.trials, broken), overall=over)
    assert "f1.macro" in old.measures and list(compare(old, old).measures) == ["error", "f1"]


def test_trials_are_matched() -> None:
    one, other = report([1.0, 0.0]), report([0.0, 1.0, 0.5])
    pairs = matched(one, other, intersection=True)
    assert [(a.case, b.case) for a, b in pairs] == [("c0", "c0"), ("c1", "c1")]
    with pytest.raises(UsageError, match="only the report after"):
        matched(one, other)
    again = tuple(msgspec.structs.replace(each, repeat=1) for each in one)
    twice = msgspec.structs.replace(one, trials=(*one.trials, *again))
    with pytest.raises(UsageError, match="2 trials are in one report only, such as repeat 2"):
        matched(one, twice)


def test_a_corrected_rate_is_shown_as_one() -> None:
    found = report([1.0, 0.0], overall={"f1.corrected": Interval(0.25, 0.1, 0.4)})
    assert "25.0 %" in str(found) and "10.0 – 40.0 %" in str(found)


def test_addresses_become_no_links_in_markdown() -> None:
    found = report([1.0], application=Subject("see https://x.example/a or www.x.example", "1"))
    text = markdown(found)
    assert "https://" not in text and r"https\://x.example" in text and r"www\.x" in text


def test_versions_are_told() -> None:
    found = report([1.0], scorers=(Facts("f1", version="judge-version"),))
    for told in (page(found), markdown(found)):
        assert "scorer f1 judge-versio" in told
    assert found.document()["scorers"] == [{"name": "f1", "version": "judge-version"}]


def test_charts_of_numbers_that_hardly_differ() -> None:
    for scores in ([1e30, 1e30], [0.3, 0.3 + 1e-16], [-5.0, -5.0], [1e-300, 2e-300]):
        assert page(report(scores)).count("<svg") >= 2


def test_labels_are_drawn() -> None:
    found = report([1.0] * 3)
    labelled = [
        msgspec.structs.replace(each, scores={"f1": Score(label)})
        for each, label in zip(found, ["<b>", "<b>", "cold"], strict=True)
    ]
    text = page(msgspec.structs.replace(found, trials=tuple(labelled)))
    assert "66.7 %" in text and "&lt;b&gt;" in text and "<b>" not in text


def test_the_steps_stand_beside_the_verdict() -> None:
    @on.step
    async def search(question: str) -> list[str]:
        return ["travel.md"]

    @on.flow
    async def look_up(question: str) -> str:
        return str(await search(question))

    case = on.Case("c", "<q>", "x", {"steps": {"search": ["leave.md"]}})
    made = on.evaluate.run(look_up, on.Dataset([case]), [on.scorers.exact_match])
    text = page(made)
    assert "the first that went wrong" in text and "travel.md" in text and "leave.md" in text
    store = on.Store.open()
    inside = store.records(run=made.run, name="search")
    store.close()
    assert f"record {inside[0].id}" in text
    elsewhere = msgspec.structs.replace(
        made, trials=(msgspec.structs.replace(made.trials[0], record="f" * 32),)
    )
    assert "Worst trials" in page(elsewhere)


def test_the_gate_stands_on_the_page() -> None:
    found = report([1.0, 0.0])
    text = page(found, verdict=gate("f1 > 0.9", found))
    assert "does not hold" in text and "f1 &gt; 0.9" in text


def with_scores(base: Report, scores: list[Score]) -> Report:
    trials = tuple(
        msgspec.structs.replace(trial, scores={"f1": score})
        for trial, score in zip(base.trials, scores, strict=True)
    )
    return msgspec.structs.replace(base, trials=trials)


def test_pairs_that_were_lost_are_told() -> None:
    old = report([1.0] * 30)
    new = with_scores(old, [Score(1.0)] * 5 + [Score(None, error="ValueError: nan")] * 25)
    changes = compare(old, new)
    assert changes.measures["f1"].cases == 5
    assert changes.notes["f1"][0].startswith("compared on 5 of the 30 cases")
    assert "f1: compared on 5 of the 30 cases" in str(changes)
    none = with_scores(old, [Score(None)] * 30)
    assert "not compared" in compare(old, none).notes["f1"][0]
    assert compare(old, old).notes == {}


def test_different_rulers_are_told_or_refused() -> None:
    old = report([1.0] * 30)
    later = report([1.0] * 30, scorers=(Facts("f1", "2"),))
    assert "measured with different rulers" in compare(old, later).notes["f1"][0]
    upside = report([1.0] * 30, scorers=(Facts("f1", better="lower"),))
    assert "better was higher, and now is lower" in compare(old, upside).notes["f1"][0]
    flags = with_scores(old, [Score(True)] * 30)
    assert "was a rate, and now is a mean of numbers" in compare(flags, old).notes["f1"][0]
    other = msgspec.structs.replace(report([1.0]).trials[0], expected="something else")
    with pytest.raises(UsageError, match="'c0' expects something else"):
        compare(report([1.0]), report([1.0], trials=(other,)))


def test_mixed_kinds_are_told() -> None:
    base = report([1.0] * 30)
    labels = with_scores(base, [Score("unsure")] * 9 + [Score(0.5)] * 21)
    assert labels.measure("f1").mixed == {"labels": 9, "numbers": 21}
    assert "f1: the scorer gave 9 labels and 21 numbers" in str(labels)
    flags = with_scores(base, [Score(True)] * 10 + [Score(0.5)] * 20)
    assert (
        flags.measure("f1").note == "the scorer gave 10 flags and 20 numbers: a flag counts 1 or 0"
    )
    assert base.measure("f1").note == "" and compare(base, flags).notes["f1"]


def test_where_every_trial_failed_a_rate_is_a_rate() -> None:
    failed = tuple(Trial(case=str(at), input=at, error="ValueError: no") for at in range(30))
    found = report([], trials=failed).measure("f1")
    assert found.kind == "rate" and found.interval == wilson(0, 30)


def test_scores_that_are_nearly_alike_have_an_interval() -> None:
    found = report([1.0] * 26 + [0.999]).measure("f1").interval
    assert found is not None and found.low < 0.9 and found.high <= 1


def test_what_is_compared_may_be_a_path(tmp_path: Path) -> None:
    old = report([1.0, 0.0])
    path = old.save(tmp_path / "base.json")
    assert on.compare(path, str(path)).cases == 2
    with pytest.raises(UsageError, match="None is no report"):
        on.compare(old, None)  # type: ignore[arg-type]  # what a user may write
    with pytest.raises(UsageError, match="'2%' is no margin"):
        on.compare(old, old, margin="2%")  # type: ignore[arg-type]  # the same


def test_numbers_without_bounds_that_are_all_equal_have_no_interval() -> None:
    found = report([85.0] * 20)
    assert "none: all are alike" in str(found)
    verdict = gate("low(f1) > 80", found)
    assert not verdict and "no interval" in verdict.reasons[0]


def test_what_makes_measures_hard_to_compare_stands_in_every_form() -> None:
    old = report([1.0] * 20)
    new = report([1.0] * 20, scorers=(Facts("f1", version="another"),))
    changes = compare(old, new)
    assert changes.notes
    for said in (str(changes), markdown(new, changes), page(new, changes)):
        assert "version" in said and changes.notes["f1"][0].split()[0] in said


def test_a_margin_of_no_measure_is_told() -> None:
    one = report_of_numbers({"a": 0.5, "b": 0.6})
    with pytest.raises(UsageError, match=r"no measure 'exakt'.*There are error, loss"):
        on.compare(one, one, margin={"exakt": 0.02})


def test_what_is_better_neither_way_breaks_nothing() -> None:
    old, new = report_of_numbers({"a": 0.9, "b": 0.1}), report_of_numbers({"a": 0.1, "b": 0.9})
    change = on.compare(old, new).measures["loss"]
    assert (change.broke, change.mended) == ((), ())
    old, new = report_of_numbers({"a": 1.0, "b": 0.1}), report_of_numbers({"a": 0.1, "b": 0.9})
    lower = on.compare(*(msgspec.structs.replace(each, scorers=LOWER) for each in (old, new)))
    assert (lower.measures["loss"].broke, lower.measures["loss"].mended) == (("b",), ("a",))


def test_seconds_and_dollars_neither_break_nor_are_mended() -> None:
    old, new = report_of_numbers({"a": 0.7, "b": 0.1}), report_of_numbers({"a": 0.1, "b": 0.9})
    took = on.compare(*(msgspec.structs.replace(each, scorers=LOWER) for each in (old, new)))
    assert (took.measures["loss"].broke, took.measures["loss"].mended) == ((), ())
    assert "broke" not in str(took) and "mended" not in markdown(new, took) + page(new, took)


LOWER = (Facts("loss", better="lower", worst=None),)


def report_of_numbers(values: dict[str, float]) -> Report:
    return Report(
        application=Subject("app", "1"),
        dataset=Subject("d", "1"),
        scorers=(Facts("loss", better=None, worst=None),),
        trials=tuple(
            Trial(case=case, input=case, scores={"loss": Score(value)})
            for case, value in values.items()
        ),
    )


def of_many_measures(count: int, lost: bool) -> Report:
    """Six cases, of which the first may have no score."""
    trials = tuple(
        Trial(
            case=f"c{at}",
            input=at,
            scores={
                f"m{number}": Score(None if lost and not at else (at + number * lost) % 7 / 7)
                for number in range(count)
            },
        )
        for at in range(6)
    )
    facts = tuple(Facts(f"m{number}", version=str(lost)) for number in range(count))
    return report([], scorers=facts, trials=trials)


def test_what_many_measures_have_in_common_is_said_once() -> None:
    old, new = of_many_measures(13, False), of_many_measures(13, True)
    changes = compare(old, new)
    for told in (str(changes), markdown(new, changes), page(new, changes)):
        assert told.count("compared on 5 of the 6 cases") == 1
        assert told.count("measured with different rulers") == 1
        assert told.count("cannot tell") == 1
        assert "m0, m1, m2, m3, m4, m5 and 7 more: compared on 5" in told
    assert len(str(changes).splitlines()) < 32  # with 14 rows of the table, and the flips
    assert len(changes.notes) == 13  # each by its name, for who asks for one


def test_a_report_beside_itself() -> None:
    one = report([1.0, 0.0] * 10, run="r1")
    changes = compare(one, one)
    assert changes.is_same and changes.measures["f1"].is_nothing
    for told in (str(changes), markdown(one, changes), page(one, changes)):
        assert "the same report twice" in told and "not different on a single case" in told
        assert "margin" in told
    assert 'class="said inconclusive"' not in page(one, changes)
    other = compare(one, report([1.0, 0.0] * 10, run="r2"))
    assert not other.is_same and "same report" not in str(other)
    assert "only with a margin" in other.measures["f1"].words


def test_it_is_said_which_report_was_before(tmp_path: Path) -> None:
    old = report([1.0, 0.0], run="0190before", started_ns=1_700_000_000_000_000_000)
    old = msgspec.structs.replace(old, application=Subject("ask", "3f2a" * 8))
    path = old.save(tmp_path / ("deep" * 20) / "base.json")
    new = report([1.0, 1.0], run="0190after")
    changes = compare(path, new)
    assert changes.baseline is not None and changes.baseline.file == str(path)
    for told in (str(changes), page(new, changes), markdown(new, changes).replace("\\", "")):
        for part in ("ask 3f2a3f2a3f2a on d 1", "2023-11-1", "run 0190before", "base.json"):
            assert part in told
    assert compare(old, new).baseline == msgspec.structs.replace(changes.baseline, file="")


def test_a_scorer_without_a_measure_of_its_own_name_is_not_missed() -> None:
    trials = tuple(
        Trial(
            case=f"c{at}",
            input=at,
            scores={"r": Score(None)} if at == 0 else {"r.one": Score(at / 9)},
        )
        for at in range(9)
    )
    one = report([], scorers=(Facts("r"),), trials=trials)
    assert "r" not in compare(one, one).notes


def test_measures_of_nothing_say_why_once() -> None:
    why = 'the case does not say what is relevant: write metadata["relevant"]'
    trials = tuple(
        Trial(case=f"c{at}", input=at, scores={"hit": Score(None, why), "mrr": Score(None, why)})
        for at in range(3)
    )
    found = report([], scorers=(Facts("hit"), Facts("mrr")), trials=trials)
    assert f"hit, mrr: never scored: {why}" in str(found)
    assert str(found).count("what is relevant") == 1 and "never scored" in markdown(found)


def test_names_that_may_be_misspelt_are_told_once() -> None:
    doubt = "not found: “a.md” (did you mean “docs/a.md”?)"
    trials = tuple(
        Trial(case=f"c{at}", input=at, scores={"hit": Score(False, doubt), "mrr": Score(0, doubt)})
        for at in range(3)
    )
    found = report([], scorers=(Facts("hit"), Facts("mrr")), trials=trials)
    told = "perhaps misspelt in the cases, for it was not found: “a.md” (3), and “docs/a.md” was"
    assert str(found).count(told) == 1 and told in page(found)
    assert "perhaps misspelt" in markdown(found)


def test_an_error_is_cut_at_the_end_of_a_sentence() -> None:
    error = "OutputError: the answer does not fit. " + "Ask for one of these. " * 40
    base = report([1.0] * 3)
    told = str(with_scores(base, [Score(None, error=error)] * 3))
    (line,) = [each for each in told.splitlines() if "not scorable: Out" in each]
    assert line.endswith("Ask for one of these. …") and len(line) < 500


def with_failures(scores: list[float | None]) -> Report:
    """A report by a scorer that does not say what a failure counts; None is a failure."""
    trials = tuple(
        Trial(case=f"c{at}", input=at, error="ValueError: no")
        if value is None
        else Trial(case=f"c{at}", input=at, output="x", scores={"f1": Score(value)})
        for at, value in enumerate(scores)
    )
    return report([], scorers=(Facts("f1", worst="lowest"),), trials=trials)


def test_a_failure_counts_the_lowest_of_both_reports() -> None:
    old, new = with_failures([-2.0, -1.0, 3.0]), with_failures([None, -1.0, 3.0])
    change = compare(old, new).measures["f1"]
    assert (change.before, change.after) == (0.0, 0.0)  # -2 in both, not -1 in the second
    assert compare(new, old).measures["f1"].before == 0.0
    assert new.measure("f1").lowest == -1.0  # by itself
    assert compare(old, new).notes["f1"] == ("a failed trial counts -2, the lowest that any got",)
    assert "counts -2" in str(compare(old, new))


def test_failing_is_no_way_to_be_better() -> None:
    old = with_failures([-5.0] * 20 + [1.0] * 20)
    new = with_failures([None] * 20 + [1.0] * 20)
    assert not gate("better(baseline, f1)", new, old)
    assert compare(old, new).measures["f1"].is_nothing
