"""`onrecord demo`."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from onrecord.cli.answers import say_answer
from onrecord.cli.output import AsJson, plural, print_json, say
from onrecord.records.scope import recording
from onrecord.records.views.wording import dollars, duration

if TYPE_CHECKING:
    from onrecord.retrieval.collection import Collection
    from onrecord.retrieval.ingesting import Ingested


def demo(json: AsJson = False) -> None:
    """Ask the documentation of Python's standard library, and measure how good the answers are.

    Needs no network, no key and no download: everything runs on this machine.
    """
    from onrecord.evaluation.demonstration import measure
    from onrecord.programs.demo import ingest_documentation, questions
    from onrecord.retrieval.collection import Collection

    started = time.monotonic()
    docs = Collection.open(_COLLECTION, embedder="embedded:minilm")
    with recording() as run:
        if not json:
            say("Reading the documentation of this Python's standard library and of Onrecord ...")
        done = ingest_documentation.run(docs)
        if not json:
            _say_ingested(done)
            for question in _QUESTIONS:
                _ask(question, docs)
        report = measure.run(docs, questions())
    seconds = time.monotonic() - started
    if json:
        print_json({"ingested": done, "report": report.document(), "seconds": round(seconds, 2)})
        return
    say("Measured on the questions that were written for this documentation:\n")
    say(str(report))
    say(f"\n{duration(seconds)} in all, {dollars(run.cost)}, on this machine alone.")
    say("\nNext:")
    for command in (*_NEXT, f"experiments show {report.run} --html demo.html"):
        say(f"  {_program()} {command}")


_COLLECTION = "python-docs"
_QUESTIONS = (
    "How do I make a temporary directory that deletes itself?",
    "How do I generate a random UUID?",
    "How do I get the standard deviation of a sample?",
    "What is the company's policy on parental leave?",
)
_NEXT = (
    f'ask "How do I copy a folder?" --collection {_COLLECTION}',
    "ingest PATH-OF-YOUR-OWN-DOCUMENTS",
    "records",
)


def _program() -> str:
    """How this program was called: what stands before the next commands, too."""
    called = Path(sys.argv[0])
    return "onrecord" if shutil.which("onrecord") or called.suffix == ".py" else str(called)


def _say_ingested(done: Ingested) -> None:
    documents = plural(done.added + done.changed + done.unchanged, "document")
    embedded = f"{plural(done.embedded, 'text')} embedded in {duration(done.seconds)}"
    say(f"{documents}, {plural(done.chunks, 'chunk')}, {embedded}.\n")


def _ask(question: str, docs: Collection) -> None:
    from onrecord.programs.answering import ask

    say(f"> {question}")
    with recording() as run:
        cited = ask.run(question, docs, model="embedded:extractive")
    say_answer(cited)
    say(f"  {duration(run.records[-1].seconds)}, {dollars(run.cost)}\n")
