"""Evaluation: published numbers, sure differences, what an experiment costs beside its scorers.

    python -m benchmarks.evaluation [squad] [overhead] [same]

    squad      SQuAD 2.0 dev with the answers of three published systems: EM and F1, how long they
               take, each pair compared with 10,000 resamples, and how much narrower the paired
               interval is than the unpaired one
    overhead   10,000 rows and five scorers, without a model: `evaluate` beside a loop over the same
               scorers, and the metrics of Ragas that ask no model
    same       whether the answers of deterministic models change with how many are asked at once

Goals: EM and F1 as published, all three systems within 3 s; a pair within 1 s; 10,000 rows within
30 s, at most 10 % over the loop; no answer changes. Results: evaluation-*-DATE.json.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.reporting import data_folder, save, table
from benchmarks.rounds import Row

if TYPE_CHECKING:
    from onrecord.evaluation.dataset import Case

ROWS = 10_000
ROUNDS = 3


def main() -> None:
    """Measure, print and save."""
    if unknown := sorted(set(sys.argv[1:]) - set(PARTS)):
        raise SystemExit(f"there is no part '{unknown[0]}': choose from {', '.join(PARTS)}")
    if len(sys.argv) == 2:
        PARTS[sys.argv[1]]()
        return
    for part in sys.argv[1:] or PARTS:
        print(f"-- {part}", flush=True)
        subprocess.run([sys.executable, "-m", "benchmarks.evaluation", part], check=True)


def squad() -> None:
    """Three published systems on SQuAD 2.0."""
    from onrecord.evaluation.metrics import squad_em, squad_f1
    from onrecord.evaluation.statistics import paired_bootstrap, unpaired_bootstrap

    found = _squad()
    if found is None:
        return
    questions, systems = found
    em: dict[str, list[float]] = {}
    f1: dict[str, list[float]] = {}
    began = time.perf_counter()
    for name, answers in systems.items():
        pairs = [(answers.get(id, ""), accepted) for id, accepted in questions]
        em[name] = [squad_em(said, accepted) for said, accepted in pairs]
        f1[name] = [squad_f1(said, accepted) for said, accepted in pairs]
    seconds = time.perf_counter() - began
    rows: list[Row] = [
        {"what": f"{name}: EM / F1", "figure": f"{_percent(em[name])} / {_percent(f1[name])}"}
        for name in systems
    ]
    rows.append({"what": "EM and F1 of all three, seconds", "figure": round(seconds, 2)})
    for (one, other), (said, scores) in itertools.product(
        itertools.combinations(systems, 2), (("EM", em), ("F1", f1))
    ):
        began = time.perf_counter()
        paired = paired_bootstrap(scores[one], scores[other])
        took = time.perf_counter() - began
        unpaired = unpaired_bootstrap(scores[one], scores[other])
        ratio = (unpaired.high - unpaired.low) / (paired.high - paired.low)
        rows.append(
            {
                "what": f"{one} - {other}, {said}",
                "figure": f"{100 * paired.mean:.2f} [{100 * paired.low:.2f}, "
                f"{100 * paired.high:.2f}] points, {took:.2f} s",
                "unpaired / paired width": round(ratio, 2),
                "as many cases": round(ratio**2, 2),
            }
        )
    table(rows)
    save("evaluation-squad", rows)


def overhead() -> None:
    """An experiment beside a loop over its scorers."""
    found = _squad()
    if found is None:
        return
    from onrecord.evaluation import scorers
    from onrecord.evaluation.dataset import Case, Dataset
    from onrecord.evaluation.experiments.experiment import evaluate
    from onrecord.evaluation.trial import Trial

    questions, systems = found
    answers = next(iter(systems.values()))
    some = [each for each in questions if each[1]]
    some = (some + questions)[:ROWS]
    cases = [
        Case(str(at), f"Question {at}", {"any_of": accepted})
        for at, (_, accepted) in enumerate(some)
    ]
    said = {case.input: answers.get(id, "") for case, (id, _) in zip(cases, some, strict=True)}
    five = [scorers.exact_match, scorers.squad_f1, scorers.rouge, scorers.chrf, scorers.meteor]

    async def app(question: str) -> str:
        return said[question]

    def loop() -> None:
        for case in cases:
            trial = Trial(
                case=case.id,
                input=case.input,
                output=said[case.input],
                expected=case.expected,
            )
            for scorer in five:
                scorer(trial)

    def experiment() -> None:
        evaluate.run(app, Dataset(cases, name="squad"), five)

    with tempfile.TemporaryDirectory(prefix="onrecord-bench-", dir="/var/tmp") as home:
        os.environ["ONRECORD_HOME"] = home
        loop()  # loads what is loaded late, and fills what is cached
        ours, alone = [], []
        for _ in range(ROUNDS):
            alone.append(_seconds(loop))
            ours.append(_seconds(experiment))
    loops, experiments = statistics.median(alone), statistics.median(ours)
    more = 100 * (experiments / loops - 1)
    rows: list[Row] = [
        {"what": f"a loop over 5 scorers, {ROWS:,} rows, s", "figure": round(loops, 2)},
        {"what": "the same as an experiment, recorded, s", "figure": round(experiments, 2)},
        {"what": "more than the loop, %", "figure": round(more, 1)},
        *_peers(cases, said),
    ]
    table(rows)
    save("evaluation-overhead", rows)


def _peers(cases: Sequence[Case], said: dict[str, str]) -> list[Row]:
    """Ragas' metrics that ask no model, on a tenth of the rows. The metrics of `evaluate` are
    programs that it downloads when they are named: there is nothing to measure offline."""
    try:
        from ragas import evaluate
        from ragas.dataset_schema import EvaluationDataset, SingleTurnSample
        from ragas.metrics import BleuScore, ChrfScore, ExactMatch, RougeScore, StringPresence
    except ImportError as error:
        print(f"Ragas is not installed and not measured: {error}")
        return []
    few = cases[: len(cases) // 10]
    samples = [
        SingleTurnSample(
            response=said[case.input] or "-", reference=(case.expected["any_of"] or ["-"])[0]
        )
        for case in few
    ]
    metrics = [ExactMatch(), StringPresence(), RougeScore(), ChrfScore(), BleuScore()]
    took = _seconds(
        lambda: evaluate(EvaluationDataset(samples), metrics=metrics, show_progress=False)
    )
    what = f"Ragas: 5 metrics that ask no model, one reference, {len(few):,} rows, s"
    return [{"what": what, "figure": round(took, 2)}]


def same() -> None:
    """Whether answers change with how many are asked at once."""
    import onrecord as on
    from benchmarks.models_hf import make_model
    from onrecord.evaluation.dataset import Case, Dataset
    from onrecord.evaluation.experiments.experiment import evaluate
    from onrecord.models.transformers.model import HFModel

    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="onrecord-bench-", dir="/var/tmp") as home:
        os.environ["ONRECORD_HOME"] = str(Path(home, "records"))
        folder = make_model(Path(home, "model"))
        dataset = Dataset(
            [Case(str(at), f"Question {at}: " + "why " * (at % 17)) for at in range(128)]
        )
        told = {}
        for batch, concurrent in ((1, 1), (8, 8), (64, 64), (64, 8)):
            model = HFModel(str(folder), batch=batch)

            @on.prompt(model=model, parameters={"max_tokens": 24, "temperature": 0})
            async def ask(question: str) -> str:
                """Answer."""

            report = evaluate.run(ask, dataset, [], concurrent=concurrent)
            told[batch, concurrent] = [trial.output for trial in report]
        first = told[1, 1]
        for (batch, concurrent), answers in told.items():
            changed = sum(one != other for one, other in zip(first, answers, strict=True))
            rows.append(
                {"what": f"hf:, batches of {batch}, {concurrent} at once", "changed": changed}
            )
    table(rows)
    save("evaluation-same", rows)


def _squad() -> tuple[list[tuple[str, list[str]]], dict[str, dict[str, str]]] | None:
    """The questions with the answers that are accepted, and each system's answers."""
    folder = data_folder("squad2")
    if folder is None:
        return None
    lines = (folder / "questions.jsonl").read_text().splitlines()
    questions = [
        (each["id"], list(dict.fromkeys(each["answers"]))) for each in map(json.loads, lines)
    ]
    systems = {
        path.stem: json.loads(path.read_text())
        for path in sorted((folder / "systems").glob("*.json"))
    }
    return questions, systems


def _percent(scores: list[float]) -> str:
    return f"{100 * statistics.fmean(scores):.2f}"


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


PARTS: dict[str, Callable[[], None]] = {"squad": squad, "overhead": overhead, "same": same}

if __name__ == "__main__":
    main()
