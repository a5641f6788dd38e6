"""A research desk: an agent that searches documents, fetches figures, reckons, and answers with
quotations that were verified.

python examples/research_desk/app.py                              offline, with a double
python examples/research_desk/app.py "Why was the old line closed?"
python examples/research_desk/app.py --model openai:gpt-6-luna "Why was the old line closed?"
python examples/research_desk/app.py --evaluate                   cases.jsonl, with scorers
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import figures
import researcher

import onrecord as on
from onrecord.errors import OutputError, UsageError
from onrecord.models.model import Model
from onrecord.programs.agents.outcome import Outcome
from onrecord.programs.tool import Tool
from onrecord.programs.tools.python_tool import PythonResult
from onrecord.records.views.wording import dollars, duration, flat, shortened, visible

HERE = Path(__file__).parent
DOUBLES = {"scripted:careful": researcher.careful, "scripted:gullible": researcher.gullible}
DOUBLE = "scripted:careful"
QUESTION = (
    "How many kilowatt-hours per kilometre did the trams need in 2015 and in 2023, and what is the "
    "council's goal?"
)


def documents() -> on.Collection:
    """The documents, searchable: read at the first start, and again where one has changed."""
    collection = on.Collection.open("research_desk", embedder="embedded:minilm")
    collection.ingest.run(HERE / "documents")
    return collection


def sandbox() -> Tool[[str], PythonResult]:
    """Where what the model writes is run. Raises UsageError on a machine that cannot wall it in."""
    compute = on.tools.python(seconds=5, memory_mb=256)
    compute.run("1 + 1")  # only a call shows whether the walls stand
    return compute


def desk(
    model: Model,
    collection: on.Collection,
    address: str,
    compute: Tool[[str], PythonResult] | None,
) -> on.Agent[on.Cited[str]]:
    """The agent. What it may reach is decided here: these documents, this host, that sandbox."""
    search = on.tools.search(collection, k=4)
    fetch = on.tools.http([address], private=True)  # private: the service is on this machine
    instructions = (HERE / "prompts" / "research.md").read_text(encoding="utf-8")
    return on.Agent(
        model,
        tools=[search, fetch, *([compute] if compute else [])],
        output=on.Cited[str],
        instructions=instructions.replace("{{ address }}", address),
        limits=on.Limits(steps=12),
        speaks="react",  # so that models that cannot call tools can do it, too
        name="research_desk",
    )


def model_of(name: str) -> Model:
    """The model of a name, or a double."""
    return on.Scripted(DOUBLES[name], name=name) if name in DOUBLES else on.model(name)


def main() -> None:
    """Ask the question, and show how it is answered."""
    options = arguments()
    model = model_of(options.model)
    if options.model in DOUBLES:
        print("The model is a double that counts equal words: name a real one with --model.\n")
    try:
        compute = sandbox()
    except UsageError as error:
        compute = None
        print(f"The desk goes on without the tool python: {error.what}.\n")
    collection = documents()
    if options.evaluate:
        with figures.serving() as address:
            print(evaluated(desk(model, collection, address, compute)))
        return
    with figures.serving() as address, on.recording() as taken:
        outcome = research(desk(model, collection, address, compute), options.question)
    tokens, whole = taken.usage.input + taken.usage.output, taken.records[-1]
    print(f"\n{duration(whole.seconds)}, {dollars(taken.cost)}, {tokens:,} tokens")
    print(f"Every step: onrecord records show {whole.run}")
    answer_of(outcome)


def research(agent: on.Agent[on.Cited[str]], question: str) -> Outcome[on.Cited[str]]:
    """The agent's answer to a question. Prints each turn as it comes, then the answer."""
    print(question)
    outcome: Outcome[on.Cited[str]]
    for event in agent.stream(question):
        if isinstance(event, on.Turn):
            show_turn(event)
        elif isinstance(event, on.Result):
            outcome = event.value
    if isinstance(outcome, on.Done):
        show_answer(outcome.value)
    return outcome


def evaluated(agent: on.Agent[on.Cited[str]]) -> on.Report:
    """How good its answers to the questions of cases.jsonl are."""

    @on.flow
    async def answer(question: str) -> on.Cited[str]:
        return answer_of(await agent(question))

    scorers = on.scorers
    return on.evaluate.run(
        answer,
        on.Dataset.read(HERE / "cases.jsonl"),
        [
            scorers.contains,  # the words that are expected
            scorers.refusal,
            scorers.citations,
            scorers.tools(ordered=True, extra=True),  # the case's, others may be between them
        ],
    )


def answer_of(outcome: Outcome[on.Cited[str]]) -> on.Cited[str]:
    """What the agent answered. Raises OutputError where it was stopped before that."""
    if isinstance(outcome, on.Done):
        return outcome.value
    why = f"{outcome.reason}: {outcome.said}" if isinstance(outcome, on.Stopped) else "it waits"
    raise OutputError(f"the agent gave no answer ({shortened(why, 300)})")


def show_turn(turn: on.Turn) -> None:
    """What the model thought, what it called, and what came back."""
    thought = THOUGHT.search(turn.said)
    print(f"{turn.number}. {shortened(thought[1] if thought else turn.said, 300)}")
    for call, result in zip(turn.calls, turn.results, strict=False):
        print(f"   {call.name} {shortened(call.arguments, 90)}")
        titles = ", ".join(TITLE.findall(result.text))
        print(f"   {'failed' if result.failed else '->'} {shortened(titles or result.text, 90)}")


def show_answer(cited: on.Cited[str]) -> None:
    """The answer with its quotations, or why there is none."""
    print(f"\n{visible(cited.value or 'No answer: ' + cited.reason)}")
    for at, each in enumerate(cited.citations, start=1):
        place = f"{Path(each.document_id).name}, characters {each.start}-{each.end}"
        print(f"  [{at}] “{flat(each.quote)}” ({flat(each.title)}: {place})")


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description="Answer a question about the tram of Velmouth, with quotations."
    )
    parser.add_argument("question", nargs="?", default=QUESTION)
    parser.add_argument("--model", default=DOUBLE, help=f"provider:name (default: {DOUBLE})")
    parser.add_argument("--evaluate", action="store_true", help="answer cases.jsonl, and measure")
    return parser.parse_args()


THOUGHT = re.compile(r"Thought:\s*(.+)")
TITLE = re.compile(r'^<passage number="\d+" title="([^"]*)"', re.MULTILINE)


if __name__ == "__main__":
    try:
        main()
    except on.OnrecordError as error:
        sys.exit(f"error: {error}")
    except OSError as error:  # nothing listens on this machine, say
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
