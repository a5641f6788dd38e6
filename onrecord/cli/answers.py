"""`onrecord ask`."""

from __future__ import annotations

from typing import Annotated

import typer

from onrecord.cli.output import AsJson, CollectionName, Where, complain, print_json, say
from onrecord.messages import Cited
from onrecord.records.scope import recording
from onrecord.records.views.wording import dollars, duration


def ask(
    question: Annotated[str, typer.Argument(help="What to answer.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Who answers: provider:name, or 'auto'."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many passages to answer from.")] = 6,
    where: Where = None,
    collection: CollectionName = None,
    json: AsJson = False,
) -> None:
    """Answer a question from a collection; every quotation is verified.

    Without --model the answer is the best quotation itself (`embedded:extractive`), or a refusal.
    """
    from onrecord.models.names import choose
    from onrecord.programs.answering import ask as answer
    from onrecord.retrieval.collection import Collection
    from onrecord.settings import Settings

    docs = Collection.open(collection)
    wanted = model or Settings.load().model
    choice = choose.run(wanted)
    if wanted == "auto":
        complain(choice.reason)
    with recording() as run:
        cited = answer.run(question, docs, model=choice.model, k=k, where=where)
    asked = run.records[-1]
    if json:
        print_json(
            {
                "answer": cited.value,
                "refused": cited.refused,
                "reason": cited.reason,
                "citations": cited.citations,
                "model": choice.model.name,
                "seconds": round(asked.seconds, 4),
                "cost_usd": None if run.cost is None else run.cost / 1e6,
                "run": asked.run,
            }
        )
        return
    say_answer(cited)
    say(f"{choice.model.name}, {duration(asked.seconds)}, {dollars(run.cost)}, run {asked.run}")


def say_answer(cited: Cited[str]) -> None:
    """Print an answer with its citations, or the refusal with its reason."""
    quoted = " ".join(citation.quote for citation in cited.citations)
    written = not cited.refused and cited.value != quoted  # the extractive answer is its quotations
    if cited.refused:
        say(f"No answer: {cited.reason}")
    elif written:
        if not cited.citations:
            say("Not verified, no quotation supports it:")
        say(str(cited.value))
    for number, citation in enumerate(cited.citations):
        if number or written:
            say()
        say(f"  “{' '.join(citation.quote.split())}”")
        place = f"{citation.document_id}, characters {citation.start:,}-{citation.end:,}"
        say(f"  {citation.title}: {place}")
    if cited.reason and not cited.refused:
        say(f"\n(Note: {cited.reason})")
    say()
