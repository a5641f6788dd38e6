"""Redaction, from a call to the disk: what must not be kept is in no file."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onrecord as on
from onrecord.records.call import call
from onrecord.records.store import Store
from tests.records.secrets_made import KINDS, made, placed, traces


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


RULES = ["fields", "keys", "cards", "ibans", "emails", "phones"]


def everything_under(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_5000_secrets_are_in_no_file(project: Path) -> None:
    (project / "onrecord.toml").write_text(f"redact = {RULES}\n".replace("'", '"'))
    chance = random.Random(20261121)
    kinds = [KINDS[at % len(KINDS)] for at in range(5000)]
    secrets = [made(kind, chance) for kind in kinds]
    seeded = [
        (placed(kind, secret, chance), secret) for kind, secret in zip(kinds, secrets, strict=True)
    ]

    @on.step
    async def work(text: str, deep: dict[str, Any]) -> list[Any]:
        if chance.random() < 0.1:
            raise ValueError(f"cannot do this: {text}")
        return [text] if "list" in deep else [deep]

    @on.flow
    async def everything() -> int:
        failed = 0
        for at, (text, secret) in enumerate(seeded):
            try:
                deep = {"list": [{"note": text}]} if at % 2 else {"password": secret}
                await work(text, {"n": at, **deep})
            except ValueError:
                failed += 1
        return failed

    with on.recording() as run:
        assert everything.run() > 100
    store = Store.open()
    assert len(store.records(limit=10_000)) == 5001
    store.close()
    (project / "onrecord.toml").unlink()
    kept = everything_under(project) + msgspec.json.encode(run.records)
    assert b"<card:" in kept and b"<key:" in kept and b"<iban:" in kept
    leaked = [trace for secret in secrets for trace in traces(secret) if trace.encode() in kept]
    assert leaked == []


def test_without_bodies_nothing_that_was_said_is_kept(project: Path) -> None:
    (project / "onrecord.toml").write_text("bodies = false\n")
    with pytest.raises(ValueError), call("flow", "quiet", {"q": "unmistakable words"}) as this:
        this.output = "unmistakable answer"
        raise ValueError("unmistakable error")
    (record,) = Store.open().records()
    assert (record.name, record.state, record.input, record.output) == (
        "quiet",
        "failed",
        None,
        None,
    )
    assert record.error == "ValueError" and record.redacted
    assert b"unmistakable" not in everything_under(project / ".onrecord")


def test_a_huge_body_leaves_its_size(project: Path) -> None:
    huge = "x" * 100_000_000
    with call("flow", "huge", huge) as this:
        this.output = huge
    (record,) = Store.open().records()
    assert "not kept" in record.input and record.redacted
    assert len(everything_under(project / ".onrecord")) < 1_000_000
    assert sys.getsizeof(record.input) < 200


def test_a_key_does_not_tell_what_was_removed(project: Path) -> None:
    """Otherwise whoever has the records could try card numbers until the key is right."""
    from onrecord.records.record import pack, question_key

    secret = {"q": "my card is 4111 1111 1111 1111"}
    for at in range(2):
        with call("flow", "ask", secret if at == 0 else dict(secret)):
            pass
    with call("flow", "ask", {"q": "nothing to hide"}):
        pass
    plain, again, first = Store.open().records()
    assert first.key == again.key != question_key("flow", "ask", "", pack(secret), None)
    assert plain.key == question_key("flow", "ask", "", pack({"q": "nothing to hide"}), None)


@pytest.mark.anyio
async def test_an_answer_to_a_secret_question_is_found_again() -> None:
    from onrecord.messages import text_message
    from onrecord.models.calling import complete
    from onrecord.models.model import Request

    model = on.Scripted(["it is valid"])
    request = Request((text_message("user", "is 4111 1111 1111 1111 valid?"),))
    for _ in range(2):
        assert (await complete(on.cached(model), request)).text == "it is valid"
    assert len(model.requests) == 1


def test_a_rule_whose_module_makes_calls_while_it_is_imported(project: Path) -> None:
    (project / "rules.py").write_text(
        "import onrecord as on\n"
        "@on.flow\nasync def warm(text: str) -> str:\n    return text\n"
        "warm.run('words of the import')\n"
        "def rule(text: str) -> str:\n    return text.replace('Ada', 'somebody')\n"
    )
    (project / "onrecord.toml").write_text('redact = ["rules:rule"]\n')
    script = "import onrecord as on, rules; print(rules.warm.run('Ada asks'))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=project
    )
    assert done.stdout == "Ada asks\n", done.stderr
    kept = [record.input for record in Store.open().runs()]
    assert kept == [
        {"text": "somebody asks"},
        {"<redacted: rule failed>": "<redacted: rule failed>"},
    ]
