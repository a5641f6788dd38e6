"""`onrecord demo`."""

from __future__ import annotations

import time

from onrecord.cli.answers import say_answer
from onrecord.cli.output import plural, say
from onrecord.records.recording import recording
from onrecord.records.tree import dollars, duration


def demo() -> None:
    """Ask the documentation of Python's standard library, and measure how good the answers are.

    Needs no network, no key and no download: everything runs on this machine.
    """
    from onrecord.programs.demo import ingest_documentation, measure, questions
    from onrecord.retrieval.collection import Collection

    started = time.monotonic()
    docs = Collection.open(_COLLECTION)
    say("Reading the documentation of this Python's standard library and of Onrecord ...")
    done = ingest_documentation.run(docs)
    say(
        f"{plural(done.added + done.changed + done.unchanged, 'document')}, "
        f"{plural(done.chunks, 'chunk')}, {plural(done.embedded, 'text')} embedded "
        f"in {duration(done.seconds)}.\n"
    )
    for question in _QUESTIONS:
        _ask(question)
    asked = questions()
    scores = measure.run(docs, asked)
    say(f"Measured on {len(asked)} questions written for this documentation:")
    for what, rate, total in (
        ("the right object is first", scores.hit_at_1, scores.answerable),
        ("the right object is in the first 5", scores.hit_at_5, scores.answerable),
        ("refused, and rightly", scores.refused_rightly, scores.unanswerable),
        ("refused, and wrongly", scores.refused_wrongly, scores.answerable),
    ):
        say(f"  {what:<35}{rate:>5.0%} of {total}")
    say(f"\n{duration(time.monotonic() - started)} in all, $0.00, nothing left this machine.")
    say("\nNext:")
    for command in _NEXT:
        say(f"  {command}")


_COLLECTION = "python-docs"
_QUESTIONS = (
    "How do I make a temporary directory that deletes itself?",
    "How do I generate a random UUID?",
    "How do I get the standard deviation of a sample?",
    "What is the company's policy on parental leave?",
)
_NEXT = (
    f'onrecord ask "How do I copy a folder?" --collection {_COLLECTION}',
    "onrecord ingest PATH-OF-YOUR-OWN-DOCUMENTS",
    "onrecord records",
)


def _ask(question: str) -> None:
    from onrecord.programs.answering import ask
    from onrecord.retrieval.collection import Collection

    say(f"> {question}")
    with recording() as run:
        cited = ask.run(question, Collection.open(_COLLECTION))
    say_answer(cited)
    say(f"  {duration(run.records[-1].seconds)}, {dollars(run.cost)}\n")
