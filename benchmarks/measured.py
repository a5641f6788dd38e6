"""`docs/measured.md`, made of the newest result of each benchmark: python -m benchmarks.measured

A test compares the page with what this makes, so no number in it can be anything but measured.
"""

# ruff: noqa: E501 (the lines of the page are prose)

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.reporting import FOLDER, ROOT

PAGE = ROOT / "docs" / "measured.md"
Cells = tuple[object, ...]


def page() -> str:
    """The page as Markdown."""
    parts = [_HEAD, *(_section(name, *section) for name, section in _SECTIONS.items())]
    return "\n".join(parts)


def newest(name: str) -> dict[str, Any]:
    """The newest result of a benchmark."""
    path = max(FOLDER.glob(f"{name}-????-??-??.json"))
    result: dict[str, Any] = {"date": path.stem[-10:], **json.loads(path.read_text())}
    return result


def _section(
    name: str,
    title: str,
    text: str,
    header: Cells,
    rows: Callable[[Any], Iterable[Cells]],
    only: str = "",
) -> str:
    result = newest(name)
    lines = [header, ("---",) * len(header), *rows(result)]
    table = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    source = f"`make bench ONLY={only or name}`, {result['date']}"
    return f"## {title}\n\n{text}\n\n{table}\n\n{source}\n"


def _retrieval(result: Any) -> Iterable[Cells]:
    cranfield = result["cranfield"]
    for arm, scores in result["squad2"].items():
        figures = (f"{scores[key]:.3f}" for key in ("hit@1", "hit@5", "MRR@10"))
        yield (arm.split(" (")[0], *figures, f"{cranfield[arm]['nDCG@10']:.3f}")


def _answers(result: Any) -> Iterable[Cells]:
    for key in (
        "holds a gold answer",
        "holds, refusals counted",
        "AUROC, answerable",
        "refused, answerable",
        "refused, unanswerable",
        "refused, CLINC",
    ):
        yield key, f"{result[key]:.3f}"
    for key in ("characters, mean", "characters, median", "words, mean"):
        yield key, f"{result[key]:.0f}"


def _vectors(result: Any) -> Iterable[Cells]:
    rows = {(row["n"], row["filter"], row["index"]): row for row in result["vectors"]}
    for index in dict.fromkeys(row["index"] for row in result["vectors"]):
        cells: list[object] = [index]
        for n, filtered in ((10_000, False), (100_000, False), (100_000, True)):
            row = rows[n, filtered, index]
            cells += [f"{row['p50_ms']:.2f} / {row['p95_ms']:.2f}", f"{row['recall']:.3f}"]
        yield tuple(cells)
    whole = result["collection"]
    yield (
        f"whole `Collection.search`, {whole['documents']:,} documents",
        f"p50 {whole['search_p50_ms']:.1f} ms",
        "",
        f"of it embedding {whole['embed_p50_ms']:.1f} ms",
        "",
        f"filtered {whole['filtered_p50_ms']:.1f} ms",
        "",
    )


def _chunking(result: Any) -> Iterable[Cells]:
    for row in result["results"]:
        scores = row["scores"]["5 chunks"]
        figures = (f"{scores[key]:.3f}" for key in ("recall", "precision", "iou"))
        yield (row["splitter"], row["retrieval"], row["chunks"], *figures)


def _embedding(result: Any) -> Iterable[Cells]:
    for row in result["rows"]:
        speed = f"{row['texts_per_second']:.0f}"
        yield row["name"], speed, f"{row['hit1']:.3f}", f"{row['hit5']:.3f}"


def _ingest(result: Any) -> Iterable[Cells]:
    for row in result["rows"]:
        again = row["nothing changed, seconds"]
        yield row["what"], row["files/s"], row["chunks/s"], row["texts/s"], row["peak MiB"], again


def _startup(result: Any) -> Iterable[Cells]:
    for row in result["rows"]:
        yield row["what"], row["median ms"], row["worst ms"]


def _columns(*keys: str) -> Callable[[Any], Iterable[Cells]]:
    """The rows of a result as they are, of each these columns."""
    return lambda result: (
        tuple(_shown(row.get(key, "")) for key in keys) for row in result["rows"]
    )


def _shown(value: object) -> object:
    return f"{value:,}" if isinstance(value, int) else value


def _across(result: Any) -> Iterable[Cells]:
    """A result of one row, a line for each of its columns."""
    yield from ((name, _shown(value)) for name, value in result["rows"][0].items())


_COVERAGE = ("scores", "cases", "bootstrap", "width", "bounded_mean", "its width")
_POWER = ("noise", "160 cases", "200 cases", "300 cases", "400 cases")
_JUDGES = (
    "rate",
    "TPR",
    "TNR",
    "double",
    "which",
    "carried",
    "uncorrected",
    "width double",
    "width carried",
)
_MICROSECONDS = ("what", "p50 us", "p99 us", "p99.9 us", "mean us", "calls")
_HEAD = """# Measured

Made by `python -m benchmarks.measured` out of `benchmarks/results/`; every figure is printed by a command of this
repository, on a machine with two cores, with the peers measured in the same run. `make bench` measures anew.

Public data is for measuring; no constant was fitted to it. But its results were seen while rules were chosen (how many
sentences are quoted, which signs make an answer doubtful), and CLINC helped to set the threshold of refusal: take the
figures on SQuAD and CLINC as somewhat optimistic.
"""
_Table = Callable[[Any], Iterable[Cells]]
_SECTIONS: dict[str, tuple[str, str, Cells, _Table] | tuple[str, str, Cells, _Table, str]] = {
    "retrieval_quality": (
        "Finding the right passage",
        "SQuAD 2.0 dev: 5,928 questions, the right paragraph among 1,204. Cranfield: 225 questions, 1,400 abstracts. "
        "On Cranfield ours is above each single arm and below fixed reciprocal-rank fusion.",
        ("arm", "SQuAD hit@1", "hit@5", "MRR@10", "Cranfield nDCG@10"),
        _retrieval,
    ),
    "answers": (
        "Quoted answers",
        "`embedded:extractive` on SQuAD 2.0 dev, asked of all 1,204 paragraphs at once: how often the quotation holds a "
        "gold answer, how long it is, how well the score tells answerable from unanswerable questions (AUROC; .5 is "
        "chance), and how often it refuses. CLINC's requests are about nothing in the collection. The weak spot: "
        "questions that a passage is about and does not answer are seldom refused.",
        ("what", "figure"),
        _answers,
    ),
    "search": (
        "Vector search",
        "384 dimensions, k = 10; p50 / p95 in milliseconds of one query, and recall@10 against brute force.",
        ("index", "10k, ms", "recall", "100k, ms", "recall", "100k, 1 % filter, ms", "recall"),
        _vectors,
    ),
    "chunking": (
        "Splitting",
        "Three long texts, 276 questions with the exact spans that answer them; the best five chunks, by characters.",
        ("splitter", "retrieval", "chunks", "recall", "precision", "IoU"),
        _chunking,
    ),
    "embedding": (
        "The embedded encoder",
        "Throughput on paragraphs, and vectors alone on SQuAD 2.0 dev.",
        ("encoder", "texts/s", "hit@1", "hit@5"),
        _embedding,
    ),
    "ingest": (
        "Ingest",
        "Python Enhancement Proposals. We embed sentences as well as chunks, so a chunk costs more texts than Chroma's.",
        ("what", "files/s", "chunks/s", "texts/s", "peak MiB", "nothing changed, s"),
        _ingest,
    ),
    "startup": (
        "Start-up",
        "Fresh processes; imports without the interpreter's own start.",
        ("what", "median ms", "worst ms"),
        _startup,
    ),
    "records-calls": (
        "A recorded call",
        "What a call with 200 characters in and 200 out costs its caller, in microseconds. Every contender has a process "
        "of its own and they take turns; the garbage collector is on; the clock's own cost is subtracted. Ours is in the "
        "hands of the operating system when control returns, so that `kill -9` loses none of it; a span of OpenTelemetry "
        "or MLflow is then still in the memory of the process. OpenTelemetry exports nowhere. MLflow logs to SQLite in the "
        "background, as by default; that work is not in the figures of a span.",
        _MICROSECONDS,
        _columns(*_MICROSECONDS),
        "records",
    ),
    "records-folding-meanwhile": (
        "A recorded call beside the thread that folds",
        "Half a million calls without a pause, then 1,000 calls a second: there the processor's caches are cold, for everybody.",
        _MICROSECONDS,
        _columns(*_MICROSECONDS),
        "records",
    ),
    "records-prompts": (
        "Prompt, model, parse",
        "A prompt, a double that answers at once, its answer parsed; in microseconds. Ours is recorded (two records), the "
        "peers do not trace. Each peer has its own public double. Synchronous calls compare with `.run()`, which hands the "
        "call to a loop in another thread, asynchronous ones with `await`.",
        _MICROSECONDS,
        _columns(*_MICROSECONDS),
        "records",
    ),
    "records-folding": (
        "Folding",
        "A journal of a million calls into SQLite, 100,000 at a time.",
        ("what", "figure"),
        _columns("what", "figure"),
        "records",
    ),
    "records-filters": (
        "The newest 100 of a million records",
        "p50 of 20, and the first one; `Store.records(Query(...), limit=100)` with inputs and outputs. Words in bodies that "
        "are rare (the last line, of 3) are a scan of everything.",
        ("filter", "found", "p50 ms", "worst ms", "first ms"),
        _columns("filter", "found", "p50 ms", "worst ms", "first ms"),
        "records",
    ),
    "records-run": (
        "A run of 100,000 records",
        "In the same store.",
        ("what", "median ms", "worst ms"),
        _columns("what", "median ms", "worst ms"),
        "records",
    ),
    "records-crashes": (
        "kill -9",
        "At random instants, under load: three threads and tasks in each of two processes make nested calls, one or two others "
        "fold, segments are 64 KiB. Torn bytes are of calls that had not ended.",
        ("what", "figure"),
        _across,
        "records",
    ),
    "ledger_load": (
        "One budget, eight processes",
        "10,000 calls each, a budget for about half of them; amounts in micro-dollars.",
        ("what", "figure"),
        _across,
        "records",
    ),
    "models-streams": (
        "Streams over HTTP",
        "How long after a local server wrote a token `prompt.stream` passed it on; 60 tokens a stream, 20 a second. Server and "
        "client share two cores; of 256 streams that begin at once every token arrived.",
        ("what", "p50 ms", "p99 ms", "worst ms"),
        _columns("what", "p50 ms", "p99 ms", "worst ms"),
        "models",
    ),
    "models_hf": (
        "A model in this process, and many callers",
        "32 callers of a small causal model made in the benchmark, 64 tokens each, the same words from everybody. Ours is recorded.",
        ("name", "tokens/s", "x pipeline", "same words"),
        _columns("name", "tokens/s", "x pipeline", "same words"),
        "models",
    ),
    "evaluation-squad": (
        "Published systems, and how sure their differences are",
        "SQuAD 2.0 dev, 11,873 questions: EM and F1 of three published systems, and each pair compared with 10,000 resamples. "
        "How much narrower an interval gets by pairing depends on how alike the systems are; the last column is how many times "
        "the cases an unpaired comparison needs for the same width.",
        ("what", "figure", "unpaired / paired width", "as many cases"),
        _columns("what", "figure", "unpaired / paired width", "as many cases"),
        "evaluation",
    ),
    "evaluation-overhead": (
        "An experiment beside its scorers",
        "Five scorers without a model (exact match, SQuAD F1, ROUGE, chrF, METEOR) on answers of a few words: a loop over them, "
        "and the same as an experiment, every trial on record, with its measures and intervals.",
        ("what", "figure"),
        _columns("what", "figure"),
        "evaluation",
    ),
    "evaluation-same": (
        "Answers of deterministic models",
        "How many of 128 answers change with how many are asked at once, beside one at a time.",
        ("what", "changed"),
        _columns("what", "changed"),
        "evaluation",
    ),
    "simulations-coverage": (
        "Intervals of means between 0 and 1",
        "How often the 95 % interval of a mean holds the true mean, of 500 draws, and how wide it is. Reports use `bounded_mean`.",
        _COVERAGE,
        _columns(*_COVERAGE),
        "simulations",
    ),
    "simulations-equivalence": (
        "Equivalence where there is none",
        "How often `tost` says equivalent where the true difference is the margin, of 500 draws: at most 5 % is allowed.",
        ("cases", '"equivalent" wrongly'),
        _columns("cases", '"equivalent" wrongly'),
        "simulations",
    ),
    "simulations-power": (
        "Equivalence where there is nothing but noise",
        "How often it says so with a margin of 0.02, of 100 draws, by the standard deviation of the differences.",
        _POWER,
        _columns(*_POWER),
        "simulations",
    ),
    "judges": (
        "The rate of a calibrated judge",
        "1,000 answers, 100 of them labelled, 1,000 draws a line: how often the 95 % interval holds the true rate, and how wide it is. "
        "With labels of the answers themselves, with half of them as `Calibration.which` says, with labels from elsewhere, and "
        "uncorrected.",
        _JUDGES,
        _columns(*_JUDGES),
    ),
}


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"written: {PAGE.relative_to(ROOT)}")
