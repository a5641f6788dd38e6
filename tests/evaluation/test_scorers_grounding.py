"""Claims of an answer beside its sources: what is told apart, what is not, and by whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import onrecord as on
from onrecord.evaluation import scorers
from onrecord.evaluation.scorers.grounding.claims import claims_of
from onrecord.evaluation.scorers.grounding.facts import content, facts_of
from onrecord.evaluation.scoring import Scorers
from onrecord.evaluation.trial import Score, Trial
from onrecord.models.model import Request

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of its own: a cache would otherwise know the answers of the last run."""
    monkeypatch.chdir(tmp_path)


HANDBOOK = """# Leave

Every employee has twenty-eight days of paid leave a year. Leave that is not taken by the end of
March expires. Parents may take up to sixteen weeks of parental leave, of which six are paid in
full. The head of the department, Maria Lund, approves requests within five working days.

# Travel

Trains are booked in second class. Flights within Europe are not refunded. The office in Oslo dates
from 2011 and is closed on Sundays."""


def trial(output: Any, *sources: Any, **fields: Any) -> Trial:
    given = {"sources": list(sources or [HANDBOOK])}
    return Trial(case="c", input="q", output=output, metadata=given, **fields)


CLAIMS = {
    "Employees have 28 days of paid leave a year.": "supported",
    "Every employee has twenty-eight days of paid leave each year.": "supported",
    "Leave not taken by the end of March expires.": "supported",
    "Parents may take sixteen weeks of parental leave.": "supported",
    "Maria Lund approves requests within five working days.": "supported",
    "Trains are booked in second class.": "supported",
    "The office in Oslo dates from 2011.": "supported",
    "Every employee has 25 days of paid leave a year.": "contradicted",
    "Parents may take up to twenty weeks of parental leave.": "contradicted",
    "Leave that is not taken by the end of March does not expire.": "contradicted",
    "Flights within Europe are refunded.": "contradicted",
    "Trains are not booked in second class.": "contradicted",
    "The office in Oslo is open on Sundays.": "contradicted",
    "The office in Bergen dates from 2011.": "contradicted",
    "Oskar Brandt's department approves requests within five working days.": "contradicted",
    "The canteen serves lunch from noon.": "unsupported",
    "Every employee gets a laptop and a telephone.": "unsupported",
    "Leave is paid because the law of Norway demands it.": "unsupported",
}


@pytest.mark.parametrize("claim", CLAIMS)
async def test_wording_is_checked(claim: str) -> None:
    said = await scorers.grounded(trial(claim))
    verdict = said.reason.partition(":")[0]
    assert verdict == CLAIMS[claim], said.reason
    assert said.value == float(verdict == "supported")


OFFICE = """The Berlin office opened in 2014 with 40 employees. Maria Lopez leads the Berlin office.
Overtime is not paid, but it may be taken as time off. The lift carries up to 500 kg. Revenue rose
12 % to $4.2 million in 2023. Parental leave lasts sixteen weeks. The company was founded before the
war. Staff have 28 days of leave. Up to five days may be carried over.

| Plan | Price | Storage |
|---|---|---|
| Basic | $10 | 5 GB |
| Pro | $25 | 50 GB |
"""

FIGURES = {
    # Other ways to write the same.
    "Revenue rose to $4,200,000 in 2023.": "supported",
    "Revenue rose 12% in 2023.": "supported",
    "The lift carries up to 500 kilograms.": "supported",
    "Parental leave lasts 16 weeks.": "supported",
    "Staff have 28 days of leave, and up to five days may be carried over.": "supported",
    # The part of a sentence that is denied, and the one that is not.
    "Overtime may be taken as time off.": "supported",
    "Overtime is paid.": "contradicted",
    # Another unit, scale, side, direction, name, cell.
    "Revenue rose to $4.2 billion in 2023.": "contradicted",
    "Revenue rose to €4.2 million in 2023.": "contradicted",
    "The lift carries up to 500 lb.": "contradicted",
    "The lift carries at least 500 kg.": "contradicted",
    "Parental leave lasts sixteen months.": "contradicted",
    "The company was founded after the war.": "contradicted",
    "Revenue fell 12 % in 2023.": "contradicted",
    "Peter Jones leads the Berlin office.": "contradicted",
    "The Basic plan has 5 GB of storage.": "supported",
    "The Basic plan has 50 GB of storage.": "contradicted",
    # A year that is not there may be another event.
    "The Berlin office opened in 2016.": "unsupported",
}


SHORT = "The pen costs 10 euros. The book costs 20 euros. Maria Lund leads the office. Ann sleeps."


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("The pen costs 10 euros.", "supported"),
        ("The pen costs 20 euros.", "contradicted"),  # what the book costs supports nothing
        ("The book costs 10 euros.", "contradicted"),
        ("The pen costs 10 euros and the book costs 20 euros.", "supported"),
        ("Oskar Brandt leads the office.", "contradicted"),
        ("Oskar Brandt sleeps.", "unsupported"),  # others may sleep, too
    ],
)
@pytest.mark.parametrize("embedder", ["embedded:minilm", None])
async def test_the_sentence_that_is_nearer_decides(
    claim: str, verdict: str, embedder: str | None
) -> None:
    said = await scorers.grounded(embedder=embedder)(trial(claim, SHORT))
    assert said.reason.partition(":")[0] == verdict, said.reason


@pytest.mark.parametrize("embedder", ["embedded:minilm", None])
async def test_the_same_figure_of_several_years_is_told_by_the_year(embedder: str | None) -> None:
    source = "Revenue was 5 million euros in 2022. Revenue was 6 million euros in 2023."
    scorer = scorers.grounded(embedder=embedder)
    assert (await scorer(trial("Revenue was 6 million euros in 2023.", source))).value == 1.0
    assert (await scorer(trial("Revenue was 5 million euros in 2022.", source))).value == 1.0


@pytest.mark.parametrize("claim", FIGURES)
async def test_figures_units_and_bounds(claim: str) -> None:
    said = await scorers.grounded(trial(claim, OFFICE))
    assert said.reason.partition(":")[0] == FIGURES[claim], said.reason


@pytest.mark.parametrize("source", [HANDBOOK, OFFICE])
async def test_every_sentence_of_a_source_is_supported_by_it(source: str) -> None:
    said = await scorers.grounded(embedder=None)(trial(source, source))
    assert said.value == 1.0, said.reason


async def test_shares_of_claims_and_every_claim_in_the_reason() -> None:
    answer = (
        "Employees have 28 days of paid leave a year [1]. Is that much? Flights within Europe are"
        " refunded. The canteen serves lunch from noon."
    )
    grounded = await scorers.grounded(trial(answer))
    assert grounded.value == pytest.approx(1 / 3)
    assert [line.partition(":")[0] for line in grounded.reason.splitlines()] == [
        "supported",
        "contradicted",
        "unsupported",
    ]
    found = await scorers.hallucination(trial({"value": answer, "refused": False}))
    assert {name: each.value for name, each in found.items()} == {
        "contradicted": pytest.approx(1 / 3),
        "unsupported": pytest.approx(1 / 3),
    }
    assert (
        "canteen" in found["unsupported"].reason and "canteen" not in found["contradicted"].reason
    )
    assert scorers.hallucination.better == "lower" and scorers.grounded.better == "higher"


async def test_words_alone_where_no_embedder_is_wanted() -> None:
    with on.recording() as seen:
        said = await scorers.grounded(embedder=None)(trial("Trains are booked in second class."))
    assert said.value == 1.0 and not seen.records


async def test_what_wording_cannot_see() -> None:
    """The limits that the documentation states; a change here belongs there, too."""
    swapped = trial("Oskar paid Maria.", "Maria paid Oskar.")
    assert (await scorers.grounded(swapped)).value == 1.0
    added = trial(
        "The two together cost 30 euros.", "The pen costs 10 euros. The book costs 20 euros."
    )
    assert (await scorers.grounded(added)).value == 0.0


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (trial({"value": None, "refused": True}), "it refused, and claims nothing"),
        (trial("What do you mean?"), "it claims nothing"),
        (trial(17), "it claims nothing"),
        (
            Trial(case="c", input="q", output="It is."),
            "no search is on record, and the case names no sources",
        ),
    ],
)
async def test_where_there_is_nothing_to_check_it_says_why(one: Trial, said: str) -> None:
    assert await scorers.grounded(one) == Score(None, said)
    found = await scorers.hallucination(one)
    assert found == {"contradicted": Score(None, said), "unsupported": Score(None, said)}


async def test_sources_that_are_empty_support_nothing() -> None:
    assert (await scorers.grounded(trial("Trains are late.", ""))).value == 0.0


def test_claims_are_sentences_that_claim() -> None:
    text = (
        "# Heading\n\nIt is so [1, 2]. Is it?\n\n- First point.\n2. Second point\n\nNamely:\n\n..."
    )
    assert claims_of(text) == ["It is so.", "First point.", "Second point"]


def test_facts() -> None:
    facts = facts_of("On Monday twenty-eight people and 3.5 % of NASA did not come to Oslo.")
    assert facts.numbers == {28.0, 3.5} and facts.denies
    assert facts.names == {"monday", "nasa", "oslo"}
    assert {thing for number, thing in facts.counted if number == 28} == {"peopl"}
    assert {thing for number, thing in facts.counted if number == 3.5} == {"percent"}
    assert not facts_of("It was not impossible that nobody came.").denies
    assert not facts_of("There are no more than 5, and not only here.").denies
    assert not facts_of("The office is in No. 5, Main Street.").denies
    assert facts_of("At most five before the war, over two.").bounds == {
        ("<", "5"),
        ("<", "war"),
        (">", "2"),
    }
    assert facts_of("It costs £3.5 million.").counted == {(3_500_000.0, "pound")}
    assert content("The leave of employees isn't paid by 28 of us") == {"leav", "employe", "paid"}


def judge(request: Request) -> str:
    """A double that knows one fact, and quotes what is not there when asked about Oslo."""
    claim = request.inputs["claim"]
    if "28" in claim:
        return json.dumps(
            {"why": "It says so.", "quote": "twenty-eight days", "verdict": "supported"}
        )
    if "Oslo" in claim:
        return json.dumps(
            {"why": "Closed.", "quote": "never on Sundays", "verdict": "contradicted"}
        )
    return json.dumps({"why": "Not there.", "quote": "", "verdict": "unsupported"})


async def test_a_judge_is_asked_claim_by_claim_and_its_quotations_are_verified() -> None:
    model = on.Scripted(judge, name="scripted:judge")
    answer = "There are 28 days. Oslo is open. It rains."
    with on.recording() as seen:
        said = await scorers.grounded(model=model)(trial(answer))
    assert said.value == pytest.approx(1 / 3)
    assert said.reason.splitlines() == [
        "supported: There are 28 days. (“twenty-eight days”; It says so.)",
        "contradicted: Oslo is open. (what it quotes stands in no source; Closed.)",
        "unsupported: It rains. (Not there.)",
    ]
    assert [each.name for each in seen.records if each.kind == "step"] == ["check_claim"] * 3
    assert "twenty-eight days of paid leave" in model.requests[0].messages[-1].text


async def test_a_judge_that_returns_prose_is_asked_again_and_then_is_an_error_of_that_score() -> (
    None
):
    good = json.dumps({"why": "w", "quote": "", "verdict": "supported"})
    model = on.Scripted(["It seems fine to me.", good], name="scripted:judge")
    assert (await scorers.grounded(model=model)(trial("It rains."))).value == 1.0
    prose = on.Scripted("It seems fine to me.", name="scripted:judge")
    scored, _ = await Scorers([scorers.grounded(model=prose)]).scored(trial("It rains."))
    assert scored["grounded"].value is None and "OutputError" in (scored["grounded"].error or "")
    assert len(prose.requests) < 6


async def test_both_scorers_with_one_judge_pay_once_where_it_is_cached() -> None:
    model = on.Scripted(judge, name="scripted:judge")
    both = on.cached(model)
    one = trial("There are 28 days. It rains.")
    assert (await scorers.grounded(model=both)(one)).value == 0.5
    assert (await scorers.hallucination(model=both)(one))["unsupported"].value == 0.5
    assert len(model.requests) == 2


def test_the_version_says_who_judges() -> None:
    one, other = on.Scripted("a", name="scripted:a"), on.Scripted("b", name="scripted:b")
    versions = {
        scorers.grounded.version,
        scorers.grounded(embedder=None).version,
        scorers.grounded(model=one).version,
        scorers.grounded(model=other).version,
    }
    assert len(versions) == 4


@pytest.mark.parametrize(
    "sentence",
    [
        "The war of 1973–74 cost US$12 a barrel, and B12 rose from 1,200 to 1,300 units by 2.5.1.",
        "Bergen's harbour, not Oslo's, was closed on 3 May and never opened again.",
        "“Seven Years” refers to 1756-1763; no one had 7 of them.",
    ],
)
async def test_a_source_supports_itself(sentence: str) -> None:
    said = await scorers.grounded(
        trial(sentence, f"It began so. {sentence} It ended 5 days later.")
    )
    assert said.value == 1.0, said.reason


@given(st.text(max_size=120), st.lists(st.text(max_size=120), max_size=3))
def test_any_text_beside_any_sources(answer: str, sources: list[str]) -> None:
    scorer = scorers.grounded(embedder=None)
    said = on.calling.run(scorer(trial(answer, *(sources or [""]))))
    assert said.value is None or 0 <= said.value <= 1
    facts_of(answer)


@given(st.lists(st.sampled_from(list(CLAIMS)), min_size=1, max_size=3))
def test_what_is_copied_is_supported(sentences: list[str]) -> None:
    text = " ".join(sentences)
    said = on.calling.run(scorers.grounded(embedder=None)(trial(text, text)))
    assert said.value == 1.0, said.reason
