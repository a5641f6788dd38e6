"""An editor's desk: each article is summarized, then the summary's tone is judged.

python examples/article_desk/app.py                              offline, with a double
python examples/article_desk/app.py --model openai:gpt-6-luna
python examples/article_desk/app.py --model openai:gpt-6-luna my/articles/*.txt
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onrecord as on
from onrecord.errors import OutputError
from onrecord.models.model import Model, Request
from onrecord.records.views.wording import dollars, duration

HERE = Path(__file__).parent
Tone = Literal["positive", "negative", "neutral"]


@dataclass
class Article:
    """What comes to the desk."""

    title: str
    text: str


@dataclass
class Line:
    """What the desk makes of an article, and what that took; `cost` in micro-dollars, None where a
    price is not known. `problem`: what is wrong with an answer that could not be read."""

    title: str
    summary: str
    tone: Tone | None
    seconds: float
    cost: int | None
    tokens: int
    problem: str = ""


# Two prompts. Their texts are prompts/summarize.md and prompts/judge_tone.md.


@on.prompt
async def summarize(title: str, text: str) -> str:
    """Summarize an article in one sentence."""


@on.prompt
async def judge_tone(summary: str) -> Tone:
    """Judge the tone of a piece of news."""


# Chaining is calling one function with what another one gave; mapping is a loop.


@on.step
async def handle(article: Article, model: str) -> Line:
    """One article: two requests, the second about the answer to the first."""
    answering, began = model_of(model), time.perf_counter()
    summary, tone, problem = "", None, ""
    with on.recording() as taken:
        try:
            summary = await summarize.using(answering)(article.title, article.text)
            tone = await judge_tone.using(answering)(summary)
        except OutputError as error:  # of this article alone; what stops all of them is raised
            problem = str(error)
    tokens, seconds = taken.usage.input + taken.usage.output, time.perf_counter() - began
    return Line(article.title, summary, tone, seconds, taken.cost, tokens, problem)


@on.flow
async def read_all(articles: list[Article], model: str, concurrent: int) -> list[Line]:
    """All articles, so many at once. After an interrupt `read_all.resume` makes only the rest."""
    free = asyncio.Semaphore(concurrent)

    async def in_turn(article: Article) -> Line:
        async with free:
            return await handle(article, model)

    return list(await asyncio.gather(*map(in_turn, articles)))


# A double, so that everything runs without a model. It takes first sentences and counts words from
# a list: what it answers says nothing about any model.

GOOD = set("delighted praised best excellent wonderful happy won generous good opens".split())
BAD = set("angry failed lost flooded insolvent fear disaster closed loses rust twice".split())


def double(request: Request) -> str:
    """Summarizes by the first sentence, and judges by words from a list."""
    if "text" in request.inputs:
        text: str = request.inputs["text"]
        return text.partition(". ")[0].rstrip(".") + "."
    words = set(re.findall(r"\w+", request.inputs["summary"].lower()))
    good, bad = len(words & GOOD), len(words & BAD)
    return "neutral" if good == bad else "positive" if good > bad else "negative"


DOUBLE = "scripted:desk"


def model_of(name: str) -> Model:
    """The model of a name, or the double."""
    return on.Scripted(double, name=DOUBLE) if name == DOUBLE else on.model(name)


GO_ON = "What was done is on record: --resume RUN goes on (`onrecord records list` names the run)."


def main() -> None:
    """Read the articles and print a line for each."""
    options = arguments()
    articles = [read(path) for path in options.files] or [article for article, _ in labelled()]
    if options.model == DOUBLE:
        print("The model is a double (first sentences and a list of words): name a real one with")
        print("--model.\n")
    with on.recording() as run:
        if options.resume:
            lines = read_all.resume.run(options.resume)
        else:
            lines = read_all.run(articles, options.model, options.concurrent)
    for line in lines:
        show(line)
    costs = [line.cost for line in lines]
    known = None if None in costs else sum(cost or 0 for cost in costs)
    whole = run.records[-1]
    print(
        f"\n{len(lines)} article{'s' * (len(lines) != 1)}: {duration(whole.seconds)}, "
        f"{dollars(known)}, {sum(line.tokens for line in lines):,} tokens"
    )
    known_tones = {article.title: tone for article, tone in labelled()}
    if all(line.title in known_tones for line in lines):
        right = sum(line.tone == known_tones[line.title] for line in lines)
        print(f"The tone is the one that cases.jsonl expects in {right} of {len(lines)}.")
    print(f"Every request: onrecord records show {whole.run}")
    if failed := sum(bool(line.problem) for line in lines):
        sys.exit(f"{failed} of {len(lines)} could not be done: their lines say why")


def show(line: Line) -> None:
    """An article, what the desk makes of it, and what that took."""
    print(line.title)
    if line.summary:
        print(f"  {line.summary}")
    tone = line.tone or f"failed: {line.problem}"
    print(f"  {tone} · {duration(line.seconds)} · {dollars(line.cost)} · {line.tokens:,} tokens")


def labelled() -> list[tuple[Article, Tone]]:
    """The articles of cases.jsonl, and the tone that people heard in them."""
    cases = on.Dataset.read(HERE / "cases.jsonl")
    return [(Article(**case.input), case.expected) for case in cases]


def read(path: Path) -> Article:
    """A text file; its first line is the title."""
    try:
        title, _, text = path.read_text(encoding="utf-8-sig").strip().partition("\n")
    except UnicodeDecodeError:
        sys.exit(f"error: {path}: this is no text in UTF-8")
    title = title.lstrip("# ")
    if not title:
        sys.exit(f"error: {path}: there is no title in it")
    return Article(title, text.strip() or title)


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description="Summarize articles and judge their tone, with time and cost for each."
    )
    parser.add_argument("files", nargs="*", type=Path, help="text files (default: cases.jsonl)")
    parser.add_argument("--model", default=DOUBLE, help=f"provider:name (default: {DOUBLE})")
    parser.add_argument("--concurrent", type=int, default=4, help="articles at once (default: 4)")
    parser.add_argument("--resume", metavar="RUN", help="go on with a run that was interrupted")
    found = parser.parse_args()
    if found.concurrent < 1:
        parser.error("--concurrent is at least 1")
    return found


if __name__ == "__main__":
    try:
        main()
    except on.OnrecordError as error:
        sys.exit(f"error: {error}\n{GO_ON}")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit(f"interrupted\n{GO_ON}")
