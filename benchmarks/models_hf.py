"""`hf:` with concurrent callers, beside transformers' own pipeline called one by one.

python benchmarks/models_hf.py [--callers 32] [--tokens 64] [--rounds 5]

A small causal model with random weights is made first; all answer the same prompts, greedily, with
equally many tokens, and take turns. Peers: `pipeline("text-generation")` one prompt after the other
and, where it can be started, `transformers serve` with all callers at once, with and without its
continuous batching. Ours is recorded, as every call is. It is checked that ours gives the
pipeline's words. Writes results/models_hf-DATE.json.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.reporting import save, table
from onrecord.messages import text_message
from onrecord.models.calling import complete
from onrecord.models.model import Parameters, Request
from onrecord.models.transformers.model import HFModel
from tests.models.tiny_models import byte_level

# Every contender gives the texts that it answered the prompts with.
Answer = Callable[[list[str]], list[str]]
PATIENCE = 180.0
WORDS = "the cat sat on the mat while a pump delivers four litres of water a minute".split()
TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--callers", type=int, default=32)
    options.add_argument("--tokens", type=int, default=64)
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
    prompts = [" ".join(WORDS[at % 9 :][: 3 + at % 5]) for at in range(asked.callers)]
    with tempfile.TemporaryDirectory(prefix="onrecord-bench-") as home, ExitStack() as stack:
        os.chdir(home)  # the records go there
        folder = make_model(Path(home, "model"))
        contenders = {
            "hf: concurrent, recorded": ours(folder, asked.tokens),
            "pipeline, one by one": pipeline(folder, asked.tokens),
        }
        for name, flags in (
            ("transformers serve, concurrent", []),
            ("transformers serve, continuous batching", ["--continuous-batching"]),
        ):
            server = stack.enter_context(served(folder, asked.tokens, flags))
            if server is not None:
                contenders[name] = server
        rows = measure(contenders, prompts, asked.tokens, asked.rounds)
        os.chdir("/")
    table(rows)
    save("models_hf", rows)


def measure(
    contenders: dict[str, Answer], prompts: list[str], tokens: int, rounds: int
) -> list[dict[str, Any]]:
    first = {name: answer(prompts) for name, answer in contenders.items()}  # warms up, too
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, answer in contenders.items():
            began = time.perf_counter()
            answer(prompts)
            seconds[name].append(time.perf_counter() - began)
    alone = seconds["pipeline, one by one"]
    words = first["pipeline, one by one"]
    return [
        {
            "name": name,
            "callers": len(prompts),
            "tokens each": tokens,
            "tokens/s": round(len(prompts) * tokens / statistics.median(times)),
            "x pipeline": round(
                statistics.median(a / b for a, b in zip(alone, times, strict=True)), 2
            ),
            "same words": sum(a == b for a, b in zip(first[name], words, strict=True)),
        }
        for name, times in seconds.items()
    ]


def make_model(folder: Path) -> Path:
    """A Llama of 4 layers and 256 dimensions with random weights, and no end-of-text token."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level([" ".join(WORDS)] * 10, 2_000, ["<pad>"]),
        pad_token="<pad>",
        model_max_length=2048,
        padding_side="left",
    )
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=256,
            intermediate_size=1024,
            num_hidden_layers=4,
            num_attention_heads=8,
            num_key_value_heads=8,
            max_position_embeddings=2048,
            initializer_range=0.2,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=None,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def ours(folder: Path, tokens: int) -> Answer:
    model, runner = HFModel(str(folder)), asyncio.Runner()

    async def ask(prompt: str) -> str:
        parameters = Parameters(temperature=0.0, max_tokens=tokens)
        request = Request((text_message("user", prompt),), parameters)
        return (await complete(model, request)).text

    async def all_at_once(prompts: list[str]) -> list[str]:
        return list(await asyncio.gather(*(ask(prompt) for prompt in prompts)))

    return lambda prompts: runner.run(all_at_once(prompts))


def pipeline(folder: Path, tokens: int) -> Answer:
    import transformers

    pipe = transformers.pipeline("text-generation", model=str(folder))

    def ask(prompt: str) -> str:
        turns = [{"role": "user", "content": prompt}]
        made = pipe(turns, max_new_tokens=tokens, do_sample=False, return_full_text=False)
        return str(made[0]["generated_text"])

    return lambda prompts: [ask(prompt) for prompt in prompts]


@contextmanager
def served(folder: Path, tokens: int, flags: list[str]) -> Iterator[Answer | None]:
    """`transformers serve` with the model; None, after a sentence, where it does not start."""
    program = Path(sys.executable).with_name("transformers")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [program, "serve", str(folder), "--host", "127.0.0.1", "--port", port, *flags]
    log = folder.parent / f"serve-{port}.log"
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        answer = asking(url, str(folder), tokens)
        if not ready(server, url) or failing(answer):
            last = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
            print(f"No peer `transformers serve {' '.join(flags)}`: {' '.join(last)[:300]}")
            yield None
        else:
            yield answer
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def ready(server: subprocess.Popen[bytes], url: str) -> bool:
    until = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < until:
        try:
            if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                return True
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    return False


def asking(url: str, model: str, tokens: int) -> Answer:
    runner = asyncio.Runner()

    async def all_at_once(prompts: list[str]) -> list[str]:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:

            async def ask(prompt: str) -> str:
                body = {
                    "model": model,
                    "messages": [{"role": "user", "content": prompt}],
                    "max_tokens": tokens,
                    "temperature": 0,
                    "stream": False,
                }
                response = await client.post("/v1/chat/completions", json=body)
                return str(response.raise_for_status().json()["choices"][0]["message"]["content"])

            return list(await asyncio.gather(*(ask(prompt) for prompt in prompts)))

    return lambda prompts: runner.run(all_at_once(prompts))


def failing(answer: Answer) -> bool:
    try:
        return not answer(["the cat"])
    except (httpx.HTTPError, LookupError, ValueError) as error:
        print(f"{type(error).__name__}: {error}")
        return True


if __name__ == "__main__":
    main()
