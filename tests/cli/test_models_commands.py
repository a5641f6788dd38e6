"""`onrecord models search` and `onrecord models show`, as a user meets them."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from onrecord.cli.models import age
from tests.cli.terminal import on_terminal
from tests.cli.test_bad_input import refused
from tests.cli.test_commands import onrecord, printed
from tests.servers.hub_server import HubServer

SEARCH = (
    *("models", "search", "--task", "summarization", "--license", "apache-2.0"),
    *("--language", "en", "--max-params", "500M", "--sort", "downloads"),
)


def test_search(hub_server: HubServer) -> None:
    done = onrecord(*SEARCH)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "model            licence     languages  parameters  downloads  likes     updated",
        "acme/small       apache-2.0  en, fr          60.5M  2,000,000    400  2026-06-30",
        "acme/small-news  apache-2.0  en              60.5M     90,000    900  2026-11-01",
        "2 models, by downloads. See one: onrecord models show NAME",
    ]
    assert done.stderr == "note: models whose size the Hub does not know are left out\n"


def test_names_are_whole_on_a_narrow_terminal(hub_server: HubServer) -> None:
    name = "sentence-transformers/all-MiniLM-L6-v2"
    hub_server.add(name, tags=["license:apache-2.0", "en", "de", "fr"], downloads=123_456_789)
    for columns, heads in (
        (80, ["model", "licence", "parameters", "downloads"]),
        (102, ["model", "licence", "languages", "parameters", "downloads", "updated"]),
    ):
        lines = on_terminal(columns, "models", "search")
        assert lines[0].split() == heads
        assert lines[1].split()[0] == name and max(map(len, lines)) <= columns
    by_likes = on_terminal(80, "models", "search", "--sort", "likes")
    assert by_likes[0].split() == ["model", "licence", "parameters", "likes"]


def test_search_as_json(hub_server: HubServer) -> None:
    found = printed(*SEARCH)
    assert list(found) == ["models", "source", "as_of", "cached", "notes"]
    assert [each["name"] for each in found["models"]] == ["acme/small", "acme/small-news"]
    assert found["models"][0]["weights"] == [
        {"dtype": "F32", "parameters": 60506624, "bytes": 242026496}
    ]


def test_every_option_reaches_the_hub(hub_server: HubServer) -> None:
    found = printed(
        *("models", "search", "news", "--min-params", "1M", "--min-downloads", 5, "--min-likes", 5),
        *("--updated-since", "2026-10-01", "--base", "hf:acme/small", "--sort", "updated", "-n", 1),
    )
    assert [each["name"] for each in found["models"]] == ["acme/small-news"]


def test_the_same_search_offline_says_how_old_it_is(hub_server: HubServer) -> None:
    fresh = onrecord(*SEARCH)
    for path in Path(".onrecord/hub").glob("*.json"):
        kept = json.loads(path.read_text())
        kept["as_of"] = (datetime.now(UTC) - timedelta(days=3, minutes=5)).isoformat()
        path.write_text(json.dumps(kept))
    hub_server.asked.clear()
    offline = onrecord(*SEARCH, "--offline")
    assert offline.stdout == fresh.stdout and offline.returncode == 0
    assert "the Hub was not asked, as you wished; this answer is 3 days old" in offline.stderr
    assert hub_server.asked == []
    hub_server.hang(5)
    late = onrecord(*SEARCH, "--timeout", "0.3")
    assert late.stdout == fresh.stdout
    assert "did not answer within 0.3 s; this answer is 3 days old" in late.stderr
    message = refused(5, "no answer about this search is kept", "models", "search", "--offline")
    assert "Try it again with the network" in message


def test_nothing_found(hub_server: HubServer) -> None:
    done = onrecord("models", "search", "nothing-like-this")
    assert done.returncode == 0 and "There is no model like this" in done.stdout


def test_show(hub_server: HubServer) -> None:
    done = onrecord("models", "show", "hf:acme/small")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "acme/small",
        f"  from           {hub_server.url}",
        "  task           summarization",
        "  licence        apache-2.0",
        "  languages      en, fr",
        "  architecture   T5ForConditionalGeneration",
        "  parameters     60,506,624",
        "                 F32: 60.5M, 242 MB",
        "  on disk        onnx 500 B; safetensors 2 kB",
        "  base model     not said",
        "  training data  xsum, c4",
        "                 “Trained on the Colossal Clean Crawled Corpus and on xsum.”",
        "  library        transformers",
        "  downloads      2,000,000 in the last 30 days",
        "  likes          400",
        "  gated          no",
        "  updated        2026-06-30",
    ]
    assert printed("models", "show", "acme/small")["training"].startswith("Trained on")


def test_show_what_is_on_this_machine() -> None:
    done = onrecord("models", "show", "embedded:minilm")
    assert done.returncode == 0, done.stderr
    assert "sentence-transformers/all-MiniLM-L6-v2 (quantized)" in done.stdout
    folder = Path("my-model")
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "gpt2", "n_positions": 1024}')
    done = onrecord("models", "show", "./my-model")
    assert "gpt2" in done.stdout and "1,024 tokens" in done.stdout


def test_gated_models_are_marked(hub_server: HubServer) -> None:
    assert "ecole/petit (gated)" in onrecord("models", "search", "petit").stdout
    assert "its conditions must be accepted" in onrecord("models", "show", "ecole/petit").stdout


def test_names_from_the_hub_do_not_command_the_terminal(hub_server: HubServer) -> None:
    hub_server.add(
        "evil/\x1b[2J\u202egnp\nname",
        tags=["license:m\x07it"],
        downloads=10**9,
        cardData={"license_name": "\x1b]0;title\x07"},
    )
    hub_server.add("日本/モデル", downloads=10**8, library_name="\x9b31m")
    done = onrecord("models", "search", "-n", 2)
    assert "evil/\\x1b[2J\\u202egnp name" in done.stdout and "m\\x07it" in done.stdout
    assert "日本/モデル" in done.stdout
    assert not set(done.stdout) & set("\x1b\x07\x9b\u202e")
    hub_server.models["acme/odd"] = {**hub_server.models["evil/\x1b[2J\u202egnp\nname"]}
    done = onrecord("models", "show", "acme/odd")
    assert "\\x1b]0;title\\x07" in done.stdout
    assert not set(done.stdout + done.stderr) & set("\x1b\x07\x9b\u202e")
    message = refused(2, "cannot be the name of a model", "models", "show", "a\x1b[31mb")
    assert "\x1b" not in message


def test_mistakes(hub_server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(2, "Did you mean 'summarization'?", "models", "search", "--task", "sumarization")
    refused(2, "Did you mean 'en' (English)?", "models", "search", "--language", "english")
    refused(2, "'lots' is no number of parameters", "models", "search", "--max-params", "lots")
    refused(2, "Did you mean 'likes'?", "models", "search", "--sort", "like")
    refused(2, "Did you mean acme/small", "models", "show", "acme/smal")
    refused(2, "the model's name is empty", "models", "show", " ")
    refused(2, "there is no folder './nowhere'", "models", "show", "./nowhere")
    hub_server.fail(429, retry_after="12")
    refused(5, "Try again in 12 s", "models", "search")
    monkeypatch.setenv("HF_TOKEN", "hf_notashamed")
    message = refused(5, "does not accept your token (401)", "models", "search")
    assert "hf_notashamed" not in message


def test_a_wish_for_offline_is_the_variables_too(
    hub_server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused(5, "HF_HUB_OFFLINE is set", "models", "search")
    assert hub_server.asked == []


def test_a_process_ends_though_the_hub_hangs(hub_server: HubServer) -> None:
    hub_server.hang(600)  # longer than `onrecord` here waits for its process
    refused(5, "did not answer within 0.3 s", "models", "search", "--timeout", "0.3")


def test_help() -> None:
    for command in ("search", "show"):
        done = onrecord("models", command, "--help", env={**os.environ, "COLUMNS": "200"})
        assert done.returncode == 0 and "For example: onrecord models" in done.stdout


def test_age() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    for passed, said in (
        (timedelta(seconds=5), "less than a minute"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(hours=5, minutes=40), "5 hours"),
        (timedelta(days=12), "12 days"),
        (timedelta(days=-1), "less than a minute"),
    ):
        assert age(now - passed, now) == said
