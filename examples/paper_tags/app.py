"""Which models does a paper's abstract name? Two prompts, any models, side by side.

python examples/paper_tags/app.py                                  offline, with two doubles
python examples/paper_tags/app.py --model openai:gpt-6-luna --model hf:Qwen/Qwen3-0.6B
python examples/paper_tags/app.py --abstract "We present Quillon-7B …" --model openai:gpt-6-luna
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import onrecord as on
from onrecord.evaluation.comparing import compare_models
from onrecord.models.model import Model, Request

HERE = Path(__file__).parent


@dataclass
class Tags:
    """What an abstract is tagged with: the names of models, as they are written there."""

    models: list[str]


# The first version of the prompt, and what it became after reading its mistakes. Their texts are
# prompts/tags_plain.md and prompts/tags_careful.md; the type above is what both have to give.


@on.prompt
async def tags_plain(abstract: str) -> Tags:
    """Which models does this abstract name?"""


@on.prompt
async def tags_careful(abstract: str) -> Tags:
    """Tag a paper with the models that its abstract names."""


PROMPTS = [tags_plain, tags_careful]


def tag_f1(trial: on.Trial) -> float:
    """Precision and recall of the names in one number, whatever their order; 1.0 for no name where
    there is none."""
    found, wanted = set(trial.output["models"]), set(trial.expected["models"])
    if not found and not wanted:
        return 1.0
    return 2 * len(found & wanted) / (len(found) + len(wanted))


# Doubles, so that everything runs without a model. They are regular expressions: what they score
# says nothing about any model, and nothing about which prompt is better for one.

NAME = re.compile(r"\b[A-Z][A-Za-z]*(?:[A-Z][A-Za-z]*|-\d*[A-Z]*)+\b|\b[A-Z][a-z]+-\d\b")
NO_MODEL = re.compile(r"[\w-]+ (?:benchmark|dataset|corpus)|[\w-]+ library|library, [\w-]+")


def eager(request: Request) -> str:
    """A double that takes every name, and leaves out those of data only where it is told to."""
    abstract, first = request.inputs["abstract"], request.messages[0].text
    if "models only" in first:
        abstract = NO_MODEL.sub("", abstract)
    names = list(dict.fromkeys(NAME.findall(abstract)))
    is_repair = len(request.messages) > 2
    if not names and not is_repair:
        return "I found no models in this abstract."  # no JSON: goes back to it once
    return json.dumps({"models": names})


def shy(request: Request) -> str:
    """A double that never takes more than one name."""
    names = NAME.findall(NO_MODEL.sub("", request.inputs["abstract"]))
    return json.dumps({"models": names[:1]})


DOUBLES: dict[str, on.Scripted] = {
    "scripted:eager": on.Scripted(eager, name="scripted:eager"),
    "scripted:shy": on.Scripted(shy, name="scripted:shy"),
}


def model_of(name: str) -> Model:
    """The model of a name, or one of the doubles."""
    return DOUBLES.get(name) or on.model(name)


def main() -> None:
    """Compare, or tag one abstract."""
    options = arguments()
    models = [model_of(name) for name in options.model or DOUBLES]
    if options.abstract is not None:
        found = tags_careful.using(models[0]).run(options.abstract)
        print(json.dumps({"models": found.models}, ensure_ascii=False))
        return
    if not options.model:
        print("The models are doubles (regular expressions): their numbers say nothing of models.")
        print("Name real ones with --model.\n")
    compared = compare_models.run(
        models,
        on.Dataset.read(options.data),
        ask=PROMPTS,
        scorers=[tag_f1, on.scorers.exact_match],
        concurrent=options.concurrent,
        resume=options.resume,
    )
    print(json.dumps(compared.document()) if options.json else compared.text())


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description="Tag abstracts with the models they name; compare prompts and models at it."
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="provider:name; repeat it to compare several (default: the doubles "
        f"{' and '.join(DOUBLES)})",
    )
    parser.add_argument("--abstract", help="tag this text with the first model, and no more")
    parser.add_argument(
        "--data", type=Path, default=HERE / "cases.jsonl", help="labelled cases (JSON Lines)"
    )
    parser.add_argument("--concurrent", type=int, default=4, help="cases at once (default: 4)")
    parser.add_argument("--resume", action="store_true", help="take what is on record already")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except on.OnrecordError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: what was answered is on record; --resume goes on")
