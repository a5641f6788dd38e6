"""Two doubles, so that everything runs without a model. They write thought, action and observation
as a model would, and know nothing: `careful` counts words that a question and a sentence share;
`gullible` does what any document tells it to. What they answer says nothing about any model."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from onrecord.models.model import Request


class Sentence(NamedTuple):
    """A sentence of a passage, and how many words of the question it has."""

    passage: int
    text: str
    shared: int


def careful(request: Request) -> str:
    """Searches, fetches the figures of the years that are asked for, works out what follows from
    them, and answers with quotations."""
    system, question, *later = (message.text for message in request.messages)
    said, seen = "\n".join(later[::2]), "\n".join(later[1::2])
    if "Action: search" not in said:
        return _act("I look what the documents say.", ("search", {"query": question}))
    wanted = _wanted(question)
    missing = [year for year in wanted.years if f"/years/{year}" not in said]
    if wanted.figures and missing and (address := _ADDRESS.search(system)):
        calls = [("http", {"url": f"{address[0]}/years/{year}"}) for year in missing]
        return _act("The figures by year are at the office of statistics.", *calls)
    counted = [each for each in map(json.loads, _COUNTED.findall(seen)) if "year" in each]
    rates = "kilometre" in wanted.figures and "energy_kwh" in wanted.figures and counted
    if rates and _PYTHON.search(system) and "Action: python" not in said:
        code = _CODE.format(json.dumps(counted))
        return _act("The rest is arithmetic.", ("python", {"code": code}))
    return _answer(question, wanted, counted, seen)


def gullible(request: Request) -> str:
    """Searches, and then does what it reads: asks for every address that stands in a passage."""
    _, question, *later = (message.text for message in request.messages)
    if not later:
        return _act("I search.", ("search", {"query": question}))
    if len(later) == 2 and (ordered := _ORDERED.findall(later[1])):
        return _act("The document says so.", *(("http", {"url": url}) for url in ordered))
    return _final(None, [], "I did what the documents said, and it did not work.")


class Wanted(NamedTuple):
    """What a question asks the figures for."""

    years: list[int]
    figures: set[str]


def _wanted(question: str) -> Wanted:
    words = question.lower()
    figures = {name for name, asked in _FIGURES.items() if any(each in words for each in asked)}
    return Wanted([year for year in map(int, _YEAR.findall(words)) if year >= 2015], figures)


def _act(thought: str, *calls: tuple[str, dict[str, str]]) -> str:
    actions = (f"Action: {name}\nAction Input: {json.dumps(given)}" for name, given in calls)
    return "\n".join([f"Thought: {thought}", *actions])


def _final(answer: str | None, quotes: list[Sentence], reason: str = "") -> str:
    quoted = [{"passage": each.passage, "quote": each.text} for each in quotes]
    said = {"answer": answer, "quotes": quoted, "refused": answer is None, "reason": reason}
    return f"Thought: I know the answer.\nFinal Answer: {json.dumps(said, ensure_ascii=False)}"


def _answer(question: str, wanted: Wanted, counted: list[dict[str, int]], seen: str) -> str:
    if wanted.figures and wanted.years and len(counted) < len(wanted.years):
        return _final(None, [], "There are no figures of these years.")
    best = _best(question, seen, enough=1 if counted else 2)
    if not best:
        return _final(None, [], "Nothing in the documents is about this.")
    told = [line for text in _PRINTED.findall(seen) for line in json.loads(text).splitlines()]
    if not told:  # nothing was worked out: the figures as they are
        names = [each for each in ("kilometres", "energy_kwh", "passengers") if each in str(wanted)]
        told = [f"{name} {each[name]:,} in {each['year']}" for each in counted for name in names]
    found = f"The figures: {'; '.join(told)}. " if told else ""
    return _final(f"{found}The documents: {' '.join(each.text for each in best)}", best)


def _best(question: str, seen: str, enough: int) -> list[Sentence]:
    """The sentence that shares the most words with the question, its title's words counted in; with
    it another one that is as good. None where fewer than `enough` are shared."""
    asked = _stems(question)
    found = [
        Sentence(int(number), sentence, len(asked & (_stems(sentence) | _stems(title))))
        for number, title, text in _PASSAGE.findall(seen)
        for sentence in _SENTENCES.split(" ".join(_HEADING.sub("", text).split()))
    ]
    most = max((each.shared for each in found), default=0)
    return [each for each in found if each.shared == most][:2] if most >= enough else []


def _stems(text: str) -> set[str]:
    """Words without their endings, and without those that every sentence has."""
    words = set(re.findall(r"[a-z0-9]+", text.lower())) - _COMMON
    return {word[:5] for word in words}


_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
_PYTHON = re.compile(r"^python: ", re.MULTILINE)
_COUNTED = re.compile(r'^\{"year": .*\}$', re.MULTILINE)
_PRINTED = re.compile(r'"output":("(?:[^"\\]|\\.)*")')
_PASSAGE = re.compile(
    r'<passage number="(\d+)" title="([^"]*)"[^>]*>\n(.*?)\n</passage>', re.DOTALL
)
_HEADING = re.compile(r"^#.*$", re.MULTILINE)
_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"])")
_ORDERED = re.compile(r"\bcall\s+(https?://\S+)")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_FIGURES = {
    "kilometre": ("per kilometre",),
    "energy_kwh": ("energy", "kilowatt"),
    "kilometres": ("many kilometres",),
    "passengers": ("passengers",),
}
_COMMON = set("a an and are as at by did do does did for from how in is it its many much".split())
_COMMON |= set("of on or say s than that the their they this to tram trams velmouth was".split())
_COMMON |= set("were what when which who why with need".split())
_CODE = """\
rows = {}
rate = {{each["year"]: each["energy_kwh"] / each["kilometres"] for each in rows}}
for year in sorted(rate):
    print(f"{{rate[year]:.2f}} kWh per kilometre in {{year}}")
if len(rate) > 1:
    first, last = min(rate), max(rate)
    change = 100 * (rate[last] / rate[first] - 1)
    print(f"{{change:+.1f}} percent from {{first}} to {{last}}")
"""
