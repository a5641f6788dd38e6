"""Gates: one expression, an answer, and the reasons."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import onrecord as on
from onrecord.errors import UsageError
from onrecord.evaluation.experiments.report import Report, Subject
from onrecord.evaluation.gate import check, gate, keep
from onrecord.evaluation.scoring import FACTS, Facts, Scorers
from onrecord.evaluation.trial import Score, Trial
from onrecord.records.query import Query


def report(rights: list[bool], *, cost: int | None = 1_000_000, failed: int = 0) -> Report:
    trials = [
        Trial(
            case=str(at),
            input=at,
            output="x",
            seconds=0.1 * (at + 1),
            cost=cost,
            scores={"exact": Score(right), "cited.precision": Score(0.5), "tone": Score("warm")},
        )
        for at, right in enumerate(rights)
    ]
    trials += [
        Trial(case=f"f{at}", input=at, error="ValueError: no", cost=0) for at in range(failed)
    ]
    return Report(
        application=Subject("app", "1"),
        dataset=Subject("d", "1"),
        scorers=(Facts("exact"), Facts("cited"), Facts("tone", better=None, worst=None)),
        trials=tuple(trials),
    )


EIGHT = report([True] * 8 + [False] * 2)


@pytest.mark.parametrize(
    ("expression", "passed"),
    [
        ("exact >= 0.8", True),
        ("exact > 0.8", False),
        ("0.7 < exact < 0.9", True),
        ("exact >= 0.8 and p95 < 0.5", False),
        ("exact >= 0.9 or cited.precision == 0.5", True),
        ("not exact < 0.5", True),
        ("low(exact) > 0.4 and high(exact) <= 1", True),
        ("high(exact) < low(exact)", False),
        ("cost <= 10 and cases == 10 and trials == 10", True),
        ("cost / cases <= 0.5", False),
        ("exact * 2 - 0.6 >= 1 + 0", True),
        ("exact - 0.8 == 0 and error == 0", True),
        ("p50 <= 0.5", True),
        ("exact > -1", True),
        ('"exact" >= 0.8', True),
        ("True", True),
        ("exact < 1" + "0" * 400, False),
        ("not (1e308 * 10 - 1e308 * 10 < 1)", False),
        ("not worse(baseline, margin=cost / 0)", False),
        ("exact >= 0.8\n  and error == 0", True),
        ("exact >= 0.8 or 1 / 0 > 1", True),  # whatever the other is
        ("not (exact < 0.8 and 1 / 0 > 1)", True),
        ("not (exact < 0.8 or 1 / 0 > 1)", False),
        ("not (exact >= 0.8 and 1 / 0 > 1)", False),
    ],
)
def test_expressions(expression: str, passed: bool) -> None:
    verdict = gate(expression, EIGHT, EIGHT)
    assert verdict.passed is passed and bool(verdict) is passed
    assert verdict.reasons or expression == "True"


def test_reasons_say_what_was_found() -> None:
    verdict = gate("exact >= 0.9 and p95 < 2", EIGHT)
    assert verdict.reasons == (
        "exact >= 0.9: does not hold (exact is 0.8)",
        "p95 < 2: holds (p95 is 1)",
    )


@pytest.mark.parametrize(
    "expression", ["cost < 5", "not cost > 5", "tone > 0.5", "not tone > 0.5", "1 / error > 0"]
)
def test_what_is_not_known_passes_nothing(expression: str) -> None:
    verdict = gate(expression, report([True] * 5, cost=None))
    assert not verdict.passed
    assert any("is not known" in reason or "divides" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("exct >= 0.8", r"`exct` is no measure \(column 1 .*Did you mean 'exact'"),
        ("exact >=", "cannot be read"),
        ("exact", "nothing that holds"),
        ("exact + 1", "nothing that holds"),
        ("exact in (1, 2)", "no number that a gate knows"),
        ("exact is 1", "compares in a way"),
        ("worse(exact)", "does not name the baseline"),
        ("baseline > 0.5", "`baseline` is no name of a measure"),
        ("low(p95) > 1", "`p95` is no name of a measure"),
        ("'cost' > 1", "is no name of a measure"),
        ("worse(baseline, margin=-0.02)", "`-0.02` is no margin"),
        ("worse(baseline, margin=0)", "`0` is no margin"),
        ("'ää' > 0 and exct > 1", r"`'ää'` is no measure \(column 1 "),
        ("exact != 'ää' and exct > 1", r"column 10 "),
        ("worse(baseline, margn=1)", "has no 'margn'"),
        ("equivalent(baseline)", "needs a margin"),
        ("worse(baseline)", "none was given"),
        ("__import__('os').system('true') == 0", "no number that a gate knows"),
        ("(lambda: 1)() == 1", "no number that a gate knows"),
        ("exact.__class__ == 1", "is no measure"),
        ("[x for x in (1,)] == 1", "no number that a gate knows"),
        ("low(nothing) > 0", "`nothing` is no measure"),
        ("1 < 'a'", "is no measure"),
        ("", "cannot be read"),
        ("(" * 300 + "1" + ")" * 300 + " < 2", "cannot be read"),
        ("1 < 2 or " * 400 + "1 < 2", "2,000 characters"),
        ("-" * 1500 + "1 < 2", "nested too deeply"),
        ("not " * 400 + "True", "nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_said(expression: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        gate(expression, EIGHT, EIGHT if "margin=" in expression else None)


@given(st.text(alphabet="exact01.<>=andornt ()+-*/,'_[]{}:", max_size=40))
def test_whatever_is_written_is_an_answer_or_one_sentence(expression: str) -> None:
    try:
        verdict = gate(expression, EIGHT)
    except UsageError as error:
        assert re.search(r"\w", str(error)) and "\n" not in error.what
    else:
        assert isinstance(verdict.passed, bool)


def against(before: list[bool], after: list[bool], expression: str) -> Any:
    return gate(expression, report(after), report(before))


def test_verdicts_against_a_baseline() -> None:
    good, bad = [True] * 90 + [False] * 10, [True] * 60 + [False] * 40
    assert not against(good, bad, "not worse(baseline)")
    assert against(bad, good, "not worse(baseline)") and against(
        bad, good, "better(baseline, exact)"
    )
    assert not against(bad, good, "better(baseline)")  # cited.precision is what it was
    assert against(good, good[::-1][::-1], "equivalent(baseline, exact, margin=0.05)")
    said = against(good, bad, "not worse(baseline, exact, margin=0.02)")
    assert said.reasons == (f"exact: {said.reasons[0][7:]}",) and "worse" in said.reasons[0]


def test_a_difference_within_the_margin_is_not_worse() -> None:
    before, after = [True] * 2000, [True] * 1996 + [False] * 4
    six = [True] * 1990 + [False] * 10
    assert "worse" in against(before, six, "worse(baseline, exact)").reasons[0]
    assert not against(before, six, "worse(baseline, exact, margin=0.02)")
    assert against(before, after, "equivalent(baseline, exact, margin=0.02)")


def lengths(numbers: list[int]) -> Report:
    trials = [
        Trial(case=str(at), input=at, scores={"length": Score(each), "short": Score(each < 40)})
        for at, each in enumerate(numbers)
    ]
    return Report(
        application=Subject("app", "1"),
        dataset=Subject("d", "1"),
        scorers=(Facts("length", better="lower"), Facts("short")),
        trials=tuple(trials),
    )


def test_a_margin_is_in_the_unit_of_the_measures_it_is_of() -> None:
    old, new = lengths(list(range(10, 90))), lengths([11 + at - 2 * (at % 2) for at in range(80)])
    assert gate("equivalent(baseline, length, margin=5)", new, old)
    assert not gate("equivalent(baseline, length, margin=0.05)", new, old)
    check("equivalent(baseline, length, margin=5)", new.scorers, old)
    for expression in ("not worse(baseline, margin=5)", "not worse(baseline, short, margin=5)"):
        for look in (
            lambda: gate(expression, new, old),  # noqa: B023  # called here
            lambda: check(expression, new.scorers, old),  # noqa: B023
        ):
            with pytest.raises(UsageError, match=r"5\.0 is no margin of 'short', a rate"):
                look()
    changes = on.compare(old, msgspec.structs.replace(new, scorers=new.scorers[:1]), margin=5)
    assert changes.measures["length"].verdict == "equivalent"
    assert changes.measures["error"].verdict == "inconclusive"


def test_other_cases_are_refused_or_left_out_when_asked() -> None:
    before, after = report([True] * 10), report([True] * 9)
    with pytest.raises(UsageError, match=r"only the report before has '9'.*9 shared"):
        gate("not worse(baseline)", after, before)
    assert gate("not worse(baseline)", after, before, intersection=True)


def test_failures_count() -> None:
    verdict = gate("exact >= 0.8 and error <= 0.1", report([True] * 8, failed=4))
    assert not verdict and verdict.reasons[0].endswith("(exact is 0.6667)")


THREE = (Facts("exact"), Facts("cited"), Facts("tone", better=None, worst=None))


def test_a_gate_is_read_before_anything_is_spent() -> None:
    check("exact >= 0.8 and not worse(baseline)", THREE, EIGHT)
    check("cited.whatever > 0.5 and low(error) == 0 and cost / trials < 1", THREE)
    check("better(baseline, cited.precision)", THREE, EIGHT)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("exact >=", "cannot be read"),
        ("not worse(baseline)", "none was given"),
        ("exct > 0.5", r"no measure .*'exact'\? There will be error, exact, cited, tone, p50"),
        ("cots < 2", "Did you mean 'cost'"),
        ("error == 0 and errors(exct) == 0", r"`exct` is no measure \(column 23 "),
        ("exact is 1", "compares in a way"),
    ],
)
def test_a_gate_that_cannot_be_decided_is_known_beforehand(expression: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check(expression, THREE)


@pytest.mark.parametrize("name", ["cited.precison", "cited", "tone"])
def test_what_the_baseline_lacks_is_known_beforehand(name: str) -> None:
    with pytest.raises(UsageError, match=f"`{name}` cannot be compared.*cited.precision"):
        check(f"better(baseline, {name})", THREE, EIGHT)


def test_no_scorer_has_the_name_of_a_word_of_gates() -> None:
    for word in ("error", "p50", "cost", "cases", "baseline", "low", "errors", "better"):

        def scorer(trial: Trial) -> bool:
            return True

        scorer.__name__ = word
        with pytest.raises(UsageError, match=f"cannot be called '{word}'.*gate.*my_{word}"):
            Scorers([scorer])
    for fact in FACTS:
        assert gate(f"{fact} >= 0", EIGHT).passed


def test_one_case_has_no_ends() -> None:
    one = report([True])
    long = msgspec.structs.replace(
        one, trials=(msgspec.structs.replace(one.trials[0], scores={"exact": Score(7)}),)
    )
    verdict = gate("low(exact) >= 5", long)
    assert not verdict and "has no interval" in verdict.reasons[0]


def test_a_verdict_is_on_record_in_the_experiments_run() -> None:
    made = on.evaluate.run(lambda text: text, on.Dataset([on.Case("a", "b", "b")]), [right])
    keep(gate("right >= 0.5", made), made)
    store = on.Store.open()
    (found,) = store.records(Query(run=made.run, kinds=("score",), name="gate"))
    store.close()
    assert found.parent == made.run and found.input == {"gate": "right >= 0.5"}
    assert found.output["passed"] is True and "holds" in found.output["reasons"][0]
    assert len(on.Report.open(made.run)) == 1


def right(trial: Trial) -> bool:
    return bool(trial.answer == trial.expected)


def scored(scores: list[Score]) -> Report:
    trials = [Trial(case=str(at), input=at, scores={"f1": each}) for at, each in enumerate(scores)]
    return Report(
        application=Subject("app", "1"),
        dataset=Subject("d", "1"),
        scorers=(Facts("f1"),),
        trials=tuple(trials),
    )


BROKEN = Score(None, error="ValueError: no")


def test_a_measure_whose_scorer_failed_is_not_known() -> None:
    mostly_broken = scored([Score(1.0)] * 2 + [BROKEN] * 28)
    good = scored([Score(1.0)] * 30)
    for expression in (
        "f1 >= 0.9",
        "not f1 < 0.9",
        "low(f1) > 0",
        "not worse(baseline)",
        "not worse(baseline, f1)",
    ):
        verdict = gate(expression, mostly_broken, good)
        assert not verdict, expression
        assert "28 of 30 could not be scored" in verdict.reasons[0]
    assert gate("errors(f1) <= 28 and f1 >= 0.9", mostly_broken)
    assert not gate("errors(f1) <= 1 and f1 >= 0.9", mostly_broken)
    assert gate("errors(f1) == 0", good)
    assert not gate("errors(f1) <= 30 and f1 >= 0", scored([BROKEN] * 30))
    with pytest.raises(UsageError, match="no measure"):
        gate("errors(f2) == 0", good)


def test_errors_of_a_scorer_of_several_are_those_of_each_measure() -> None:
    scores = [{"f1.a": Score(1.0)}, {"f1": BROKEN}]
    trials = tuple(Trial(case=str(at), input=at, scores=each) for at, each in enumerate(scores))
    found = msgspec.structs.replace(scored([]), trials=trials)
    assert (found.measure("f1.a").errors, found.measure("f1.a").missing) == (1, 0)
    assert not gate("f1.a >= 0.9", found)


def test_a_denial_that_passes_because_the_cases_cannot_tell_says_so() -> None:
    old, new = [True] * 25 + [False] * 5, [True] * 20 + [False] * 10
    verdict = against(old, new, "not worse(baseline, exact)")
    assert verdict.passed
    assert any("passed, because these 30 cases cannot tell" in each for each in verdict.reasons)
    strict = "better(baseline, exact) or equivalent(baseline, exact, margin=0.02)"
    assert not against(old, new, strict)
    inside = against(old, new, "not (worse(baseline, exact) or exact < 0.1)")
    assert inside.passed and "cannot tell" in inside.reasons[-1]
    certain = against(old, new, "not (worse(baseline, exact) and exact < 0.1)")
    assert certain.passed and not any("passed, because" in each for each in certain.reasons)


def test_nothing_in_common_is_not_known() -> None:
    other = msgspec.structs.replace(
        EIGHT, trials=tuple(msgspec.structs.replace(each, scores={}) for each in EIGHT)
    )
    for expression in ("worse(baseline)", "not worse(baseline)", "better(baseline)"):
        verdict = gate(expression, scored([Score("yes")] * 10), other)
        assert not verdict and "no measure in common" in verdict.reasons[0], expression


def test_a_comparison_of_what_was_never_scored_is_not_known() -> None:
    good, broken = scored([Score(1.0)] * 30), scored([BROKEN] * 30)
    verdict = gate("not worse(baseline, f1)", broken, good)
    assert not verdict and "30 of 30 could not be scored" in verdict.reasons[0]
    for expression in ("not worse(baseline, f1)", "not worse(baseline)"):
        nothing = gate(expression, scored([Score(None)] * 30), good)
        assert not nothing and "'f1' is not known" in nothing.reasons[0]


def test_what_a_scorer_of_several_no_longer_gives_is_not_known() -> None:
    lost = msgspec.structs.replace(
        EIGHT,
        trials=tuple(
            msgspec.structs.replace(each, scores={"exact": each.scores["exact"]}) for each in EIGHT
        ),
    )
    verdict = gate("not worse(baseline)", lost, EIGHT)
    assert not verdict and "'cited.precision' is not known" in verdict.reasons[0]
    assert gate("not worse(baseline, exact)", lost, EIGHT)
    without = msgspec.structs.replace(lost, scorers=lost.scorers[:1])  # it was left out
    assert gate("not worse(baseline)", without, EIGHT)


def test_reports_by_their_paths_and_what_is_none(tmp_path: Path) -> None:
    path = EIGHT.save(tmp_path / "base.json")
    assert on.gate("exact >= 0.8 and not worse(baseline)", str(path), baseline=path)
    with pytest.raises(UsageError, match=r"0\.8 is no gate"):
        on.gate(0.8, EIGHT)  # type: ignore[arg-type]  # what a user may write
    with pytest.raises(UsageError, match="None is no report"):
        on.gate("exact > 0.8", None)  # type: ignore[arg-type]  # the same


def many(count: int, seed: int) -> Report:
    """Thirty cases, scored by so many scorers of which no thirty cases can tell."""
    trials = tuple(
        Trial(
            case=str(at),
            input=at,
            scores={f"m{n}": Score((at * (n + 3) + seed * (at % 5)) % 7 / 7) for n in range(count)},
        )
        for at in range(30)
    )
    facts = tuple(Facts(f"m{n}", version=str(seed)) for n in range(count))
    return msgspec.structs.replace(EIGHT, scorers=facts, trials=trials)


def test_what_many_measures_have_in_common_is_one_reason() -> None:
    verdict = gate("not worse(baseline)", many(13, 1), many(13, 0))
    told = "\n".join(verdict.reasons)
    assert len(verdict.reasons) <= 6, told
    assert "these 30 cases cannot tell (" in told and "m0" in told
    assert told.count("measured with different rulers") == 1
    assert "passed, because these 30 cases cannot tell (" in told
    same = gate("not worse(baseline)", many(13, 0), many(13, 0)).reasons
    assert any("not different on a single case (13): m0, m1" in each for each in same)


def test_what_is_worse_is_told_one_by_one() -> None:
    new = many(13, 0)
    down = {f"m{n}": Score(0.0) for n in range(4)}
    trials = [msgspec.structs.replace(each, scores=each.scores | down) for each in new]
    verdict = gate("not worse(baseline)", msgspec.structs.replace(new, trials=tuple(trials)), new)
    worse = [each for each in verdict.reasons if each.endswith(": worse")]
    assert not verdict and [each.split(":")[0] for each in worse] == [f"m{n}" for n in range(4)]
    few = gate("not worse(baseline, m0, m7)", new, many(13, 0)).reasons
    assert [each.split(":")[0] for each in few][:2] == ["m0", "m7"]


def test_a_margin_of_all_is_that_of_comparisons_that_name_none() -> None:
    one = report([True, False] * 150)
    assert not gate("equivalent(baseline, exact, margin=0.001)", one, one, margin=0.5)
    for margin in (0.05, {"exact": 0.05}):
        verdict = gate("equivalent(baseline, exact)", one, one, margin=margin)
        assert verdict and "equivalent" in verdict.reasons[0]
    assert not gate("equivalent(baseline, exact)", one, one, margin={"cited.precision": 0.05})
    assert gate("better(baseline, exact) or equivalent(baseline, exact)", one, one, margin=0.05)
    check("equivalent(baseline, exact)", one.scorers, one, 0.05)
    for without in (None, {}):
        with pytest.raises(UsageError, match="needs a margin"):
            gate("equivalent(baseline, exact)", one, one, margin=without)
    with pytest.raises(UsageError, match="is no margin of 'exact'"):
        gate("not worse(baseline, exact)", one, one, margin=2.0)
