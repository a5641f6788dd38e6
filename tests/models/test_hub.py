"""Choosing a model: the Hub's protocol, spoken with a real server, and cards of every kind."""

from __future__ import annotations

import gzip
import json
import math
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onrecord.errors import (
    MissingExtraError,
    ModelRefusedError,
    ModelUnavailableError,
    OnrecordError,
    UnknownNameError,
    UsageError,
)
from onrecord.models.hub.card import ModelFacts, Weights, filed, read_card, stated, training
from onrecord.models.hub.entries import entry_facts
from onrecord.models.hub.filters import Filters, checked, checked_name, parameters, query, short
from onrecord.models.hub.names import closest
from onrecord.models.hub.search import Listing, facts, search
from tests.servers.hub_server import HubServer, unused_url

pytestmark = pytest.mark.anyio
SECRET = "hf_abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def names(listing: Listing) -> list[str]:
    return [each.name for each in listing]


# --- searching -------------------------------------------------------------------------------


async def test_the_search_of_the_documentation(hub_server: HubServer) -> None:
    wanted = Filters(
        task="summarization", license="apache-2.0", languages=("en",), max_params="500M"
    )
    found = await search(wanted)
    assert names(found) == ["acme/small", "acme/small-news"]
    assert found.cached == "" and found.source == hub_server.url
    assert found.notes == ("models whose size the Hub does not know are left out",)
    small = found.models[0]
    assert (small.parameters, small.downloads, small.likes) == (60506624, 2_000_000, 400)
    assert small.weights == (Weights("F32", 60506624, 4 * 60506624),)
    assert (small.task, small.license, small.library) == (
        "summarization",
        "apache-2.0",
        "transformers",
    )
    assert small.languages == ("en", "fr") and small.datasets == ("xsum",)
    assert small.updated == datetime(2026, 6, 30, 2, 31, 26, tzinfo=UTC)
    assert [asked.path for asked in hub_server.asked] == ["/api/models"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(sort="likes", limit=2), ["acme/large", "acme/small-news"]),
        (Filters(task="translation"), ["ecole/petit"]),
        (Filters(languages=("en", "fr")), ["acme/small"]),
        (Filters(license="mit"), ["ecole/petit"]),
        (Filters(words="SMALL"), ["acme/small", "acme/small-news"]),
        (Filters(base="acme/small"), ["acme/small-news"]),
        (Filters(min_params="1B"), ["acme/large"]),
        (Filters(min_params="100M", max_params="1B"), ["ecole/petit"]),
        (Filters(min_params=60_506_624, max_params=60_506_624, limit=1), ["acme/small"]),
        (Filters(min_downloads=1_000_000), ["acme/large", "acme/small"]),
        (Filters(min_likes=900, sort="downloads"), ["acme/large", "acme/small-news"]),
        (Filters(updated_since="2026-06-01"), ["acme/small", "acme/small-news"]),
        (Filters(updated_since="2026-06-01", sort="updated"), ["acme/small-news", "acme/small"]),
    ],
)
async def test_every_filter(hub_server: HubServer, filters: Filters, expected: list[str]) -> None:
    assert names(await search(filters)) == expected


async def test_it_asks_what_the_hubs_own_client_asks(hub_server: HubServer) -> None:
    from huggingface_hub import HfApi

    await search(
        Filters(
            words="small",
            task="summarization",
            license="apache-2.0",
            languages=("en",),
            min_params="1M",
            max_params="1.5B",
            base="acme/small",
            sort="updated",
            limit=7,
        )
    )
    ours = hub_server.asked[-1].query
    theirs = HfApi(endpoint=hub_server.url, token=False).list_models(
        search="small",
        pipeline_tag="summarization",
        filter=["license:apache-2.0", "en", "base_model:finetune:acme/small"],
        num_parameters="min:1M,max:1500M",
        sort="last_modified",
        limit=7,
        expand=ours["expand"],  # type: ignore[arg-type]  # a list of the names that it allows
    )
    assert [each.id for each in theirs] == ["acme/small-news"]
    assert hub_server.asked[-1].query == ours
    await facts("acme/small")
    ours = hub_server.asked[-2].query
    assert HfApi(endpoint=hub_server.url, token=False).model_info("acme/small", files_metadata=True)
    assert hub_server.asked[-1].query == ours == {"blobs": ["true"]}


async def test_pages_are_followed_and_nobody_is_asked_for_more_than_needed(
    hub_server: HubServer,
) -> None:
    for number in range(30):
        hub_server.add(f"many/model-{number:02}", downloads=number)
    hub_server.page = 8
    found = await search(Filters(words="many/", limit=20))
    assert names(found) == [f"many/model-{number:02}" for number in range(29, 9, -1)]
    assert len(hub_server.asked) == 3
    # By downloads, whoever comes after the first one below the bound is below it, too.
    found = await search(Filters(words="many/", min_downloads=20, limit=20))
    assert len(found) == 10 and len(hub_server.asked) == 5


async def test_a_search_that_nearly_nothing_fits_ends_and_says_so(hub_server: HubServer) -> None:
    hub_server.models.clear()
    for number in range(2100):
        hub_server.add(f"many/model-{number}", downloads=number)
    found = await search(Filters(min_likes=1))
    assert names(found) == []
    assert found.notes == (
        "the first 2,000 models were looked through, and others may fit; sort by what you filter "
        "by, or filter by more",
    )


async def test_the_token_stays_with_its_host(
    hub_server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    hub_server.token = SECRET
    elsewhere = '<http://192.0.2.1/api/models?cursor=2>; rel="next"'
    body = json.dumps([{"id": "acme/one"}]).encode()
    hub_server.replies.append(lambda handler: handler.answer(200, body, link=elsewhere))
    found = await search(Filters())
    # The page that the link names was asked of the Hub itself, whatever host it names.
    assert hub_server.asked[-1].query == {"cursor": ["2"]}
    assert all(asked.headers["authorization"] == f"Bearer {SECRET}" for asked in hub_server.asked)
    hub_server.fail(302, location="http://192.0.2.1/api/models")
    with pytest.raises(ModelRefusedError, match=r"sends the request on to another host, 192\.0"):
        await search(Filters())
    kept = b"".join(path.read_bytes() for path in Path(".onrecord").rglob("*") if path.is_file())
    assert kept and SECRET.encode() not in kept and SECRET not in repr(found)


async def test_no_request_besides_and_no_telemetry(hub_server: HubServer) -> None:
    await search(Filters())
    assert [asked.path for asked in hub_server.asked] == ["/api/models"]
    assert hub_server.asked[0].headers["user-agent"].startswith("onrecord/")
    assert "torch" not in hub_server.asked[0].headers["user-agent"]
    assert "authorization" not in hub_server.asked[0].headers


def test_it_is_called_in_three_ways(hub_server: HubServer) -> None:
    assert len(search.run(Filters())) == 5
    assert facts.run("acme/small").name == "acme/small"


# --- names that do not exist ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "hint"),
    [
        (Filters(task="sumarization"), "no task 'sumarization'. Did you mean 'summarization'?"),
        (Filters(task="mind reading"), "Did you mean 'mind-reading'?"),
        (Filters(license="apache2"), "no license 'apache2'. Did you mean 'apache-2.0'?"),
        (Filters(languages=("english",)), "Did you mean 'en' (English)?"),
        (Filters(languages=("en", "Germn")), "Did you mean 'de' (German)?"),
        (Filters(task="qqqqqq"), "no task 'qqqqqq'. Its names are at 127.0.0.1"),
    ],
)
async def test_a_name_that_does_not_exist(
    hub_server: HubServer, filters: Filters, hint: str
) -> None:
    with pytest.raises(UnknownNameError) as raised:
        await search(filters)
    assert hint in str(raised.value)


async def test_names_newer_than_our_tables_are_the_hubs_to_judge(hub_server: HubServer) -> None:
    for filters in (
        Filters(task="mind-reading"),
        Filters(license="brand-new-1.0"),
        Filters(languages=("gsw",)),
    ):
        assert names(await search(filters)) == []
    hub_server.fail(404)
    found = await search(Filters(task="something-new"))
    assert found.notes == ("whether there is a task 'something-new' could not be checked",)


def test_the_closest_name() -> None:
    assert closest("language", "klingon", ["de"]) == ""
    assert closest("license", "Apache 2", ["apache-2.0", "mit"]) == "'apache-2.0'"
    assert closest("task", "", ["summarization"]) == ""


# --- filters that make no sense ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("500M", 500_000_000),
        ("1.5B", 1_500_000_000),
        ("7b", 7_000_000_000),
        (" 12 k ", 12_000),
        (".5B", 500_000_000),
        ("1T", 10**12),
        ("42", 42),
        ("0", 0),
        (7, 7),
        (None, None),
    ],
)
def test_sizes(written: Any, count: int | None) -> None:
    assert parameters(written) == count


@pytest.mark.parametrize(
    "written",
    ["", "lots", "-1", "5 GB", "1e9", "1,5B", "NaN", "inf", "٣M", "9" * 400, "1" * 15 + "T", -3],
)
def test_what_is_no_size(written: Any) -> None:
    with pytest.raises(UsageError, match="is no number of parameters"):
        parameters(written)


@given(st.integers(0, 10**15))
def test_a_size_reads_as_it_is_sent(count: int) -> None:
    sent = str(query(checked(Filters(max_params=count)), page=1)["num_parameters"])
    assert parameters(sent.removeprefix("max:")) == count


@given(st.integers(1, 10**15))
def test_a_short_size_is_near(count: int) -> None:
    assert math.isclose(parameters(short(count)) or 0, count, rel_tol=0.006)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (Filters(min_params="2B", max_params="1B"), "at least 2B and at most 1B"),
        (Filters(sort="like"), "Did you mean 'likes'"),  # type: ignore[arg-type]
        (Filters(limit=0), "limit cannot be 0"),
        ("bart", "'bart' does not say which models. Write Filters"),
        (Filters(languages="en"), "languages are several, not one: 'en'"),  # type: ignore[arg-type]
        (Filters(limit="5"), "a filter does not fit: Expected `int`"),  # type: ignore[arg-type]
        (Filters(min_likes=-1), "min_likes cannot be -1"),
        (Filters(updated_since="yesterday-ish"), "is no point in time"),
        (Filters(base="a/b/c"), "cannot be the name of a model"),
        (Filters(words="\udcff"), "holds some that no name has"),
        (Filters(task="\x1b[31m"), "holds some that no name has"),
        (Filters(words="x" * 100_000), "longer than 200 characters"),
        (Filters(task=""), "is empty. Leave it out"),
        (Filters(languages=("en", " ")), "is empty"),
    ],
)
async def test_a_filter_that_makes_no_sense_asks_nobody(
    hub_server: HubServer, filters: Filters, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        await search(filters)
    assert hub_server.asked == []


@pytest.mark.parametrize(
    "name", ["", "a/b/c", "../etc", "a--b", "a b", "é", "-a", "a.", "a.git", "a" * 97, "a\x1b[31m"]
)
async def test_what_cannot_be_a_name_is_not_asked_for(hub_server: HubServer, name: str) -> None:
    with pytest.raises(UsageError):
        checked_name(name)
    assert checked_name("google-t5/t5-small") and checked_name("gpt2")


# --- offline ----------------------------------------------------------------------------------


async def test_the_same_search_without_a_network(
    hub_server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Filters(task="summarization", limit=2)
    fresh = await search(wanted)
    asked = len(hub_server.asked)
    kept = await search(wanted, offline=True)
    assert names(kept) == names(fresh) and kept.as_of == fresh.as_of
    assert kept.cached == "the Hub was not asked, as you wished"
    assert len(hub_server.asked) == asked
    hub_server.fail(503)
    assert (await search(wanted)).cached.endswith("fails (503)")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert (await search(wanted)).cached == "HF_HUB_OFFLINE is set, so the Hub is not asked"
    with pytest.raises(ModelUnavailableError, match="no answer about this search is kept"):
        await search(Filters(task="summarization", limit=3))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    # Another Hub's answers are not this one's.
    monkeypatch.setenv("HF_ENDPOINT", unused_url())
    with pytest.raises(ModelUnavailableError, match=r"no connection to 127\.0\.0\.1"):
        await search(wanted)


async def test_a_mistyped_name_is_told_offline_too(hub_server: HubServer) -> None:
    with pytest.raises(ModelUnavailableError, match="Did you mean 'summarization'"):
        await search(Filters(task="sumarization"), offline=True)


async def test_facts_without_a_network(hub_server: HubServer) -> None:
    fresh = await facts("acme/small")
    kept = await facts("hf:acme/small", offline=True)
    assert kept.cached and msgspec.structs.replace(kept, cached="") == fresh
    with pytest.raises(ModelUnavailableError, match="no answer about this model is kept"):
        await facts("acme/large", offline=True)


async def test_facts_of_a_model_that_was_downloaded(
    hub_server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "hub" / "models--acme--here" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"architectures": ["BertModel"]}')
    refs = tmp_path / "hub" / "models--acme--here" / "refs"
    refs.mkdir()
    (refs / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    found = await facts("acme/here", offline=True)
    assert (found.name, found.architecture) == ("acme/here", "BertModel")
    assert found.source == str(snapshot) and found.as_of is None and found.cached


async def test_a_damaged_cache_is_no_answer(hub_server: HubServer) -> None:
    await search(Filters())
    for path in Path(".onrecord/hub").glob("*.json"):
        path.write_bytes(b'{"models": [{"na')
    with pytest.raises(ModelUnavailableError, match="no answer about this search is kept"):
        await search(Filters(), offline=True)
    assert len(await search(Filters())) == 5


async def test_a_cache_that_cannot_be_written_is_said(hub_server: HubServer) -> None:
    Path(".onrecord").mkdir()
    Path(".onrecord/hub").write_text("a file where the folder would be")
    found = await search(Filters())
    assert len(found) == 5 and "could not be kept for offline use" in found.notes[0]
    assert "could not be kept" in (await facts("acme/small")).warnings[0]


async def test_old_answers_make_room(hub_server: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "hub"
    folder.mkdir(parents=True)
    for number in range(520):
        (folder / f"{number:032}.json").write_text("{}")
    await search(Filters(), home=tmp_path / "home")
    assert len(list(folder.iterdir())) == 500
    assert len(await search(Filters(), offline=True, home=tmp_path / "home")) == 5


# --- a Hub that fails -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "kind", "said"),
    [
        (500, {}, ModelUnavailableError, "fails (500)"),
        (
            503,
            {"x_error_message": "in  repair"},
            ModelUnavailableError,
            "(503): in repair",
        ),
        (429, {"retry_after": "7"}, ModelUnavailableError, "Try again in 7 s"),
        (429, {"ratelimit": '"api";r=0;t=55'}, ModelUnavailableError, "Try again in 55 s"),
        (429, {}, ModelUnavailableError, "Try again later"),
        (400, {"x_error_message": '"sort" is wrong'}, ModelRefusedError, '(400): "sort" is wrong'),
        (403, {}, ModelRefusedError, "does not give this to you (403)"),
        (418, {}, ModelRefusedError, "refuses the request (418)"),
    ],
)
async def test_failures(
    hub_server: HubServer, status: int, headers: dict[str, str], kind: type[Exception], said: str
) -> None:
    hub_server.fail(status, **headers)
    with pytest.raises(kind) as raised:
        await search(Filters())
    assert said in str(raised.value)
    assert len(hub_server.asked) == 1  # a list is nobody's last hope: it is not tried again


async def test_how_long_to_wait_is_on_the_error(hub_server: HubServer) -> None:
    hub_server.fail(429, retry_after="7")
    with pytest.raises(ModelUnavailableError) as raised:
        await search(Filters())
    assert raised.value.retry_after == 7


async def test_a_wrong_token_is_never_shown(
    hub_server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    with pytest.raises(ModelRefusedError, match="does not accept your token") as raised:
        await search(Filters())
    assert SECRET not in str(raised.value)
    hub_server.fail(418, body=json.dumps({"error": f"Bearer {SECRET} is bad"}).encode())
    with pytest.raises(ModelRefusedError, match="Bearer … is bad") as raised:
        await search(Filters())
    assert SECRET not in repr(raised.value)
    monkeypatch.setenv("HF_TOKEN", "hf_é\u202e")
    with pytest.raises(UsageError, match="holds characters that no token has") as refused:
        await search(Filters())
    assert "é" not in str(refused.value)


async def test_a_hub_that_hangs(hub_server: HubServer) -> None:
    hub_server.hang(5)
    with pytest.raises(ModelUnavailableError, match=r"did not answer within 0\.2 s"):
        await search(Filters(), seconds=0.2)

    def drip(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "100000")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b" ")
            time.sleep(0.05)

    hub_server.replies.append(drip)
    with pytest.raises(ModelUnavailableError, match=r"did not answer within 0\.3 s"):
        await search(Filters(), seconds=0.3)


@pytest.mark.parametrize(
    "body",
    [b"<html>Log in</html>", b"", b'[{"id": "a"}', b"\xff\xfe", b"[" * 100_000, b'{"models": []}'],
)
async def test_what_is_not_a_list_of_models(hub_server: HubServer, body: bytes) -> None:
    hub_server.answer(body, "text/html; charset=utf-8")
    with pytest.raises(ModelUnavailableError, match=r"did not answer with.*HF_ENDPOINT"):
        await search(Filters())


async def test_an_answer_without_end(hub_server: HubServer) -> None:
    bomb = gzip.compress(bytes(40_000_000))
    hub_server.replies.append(lambda handler: handler.answer(200, bomb, content_encoding="gzip"))
    with pytest.raises(ModelUnavailableError, match="longer than 32 MB"):
        await search(Filters())


async def test_redirects_that_turn_in_circles(hub_server: HubServer) -> None:
    hub_server.fail(307, times=9, location="/api/models")
    with pytest.raises(ModelRefusedError, match="sends the request on and on"):
        await search(Filters())


@pytest.mark.parametrize("endpoint", ["ftp://there", "nonsense", "https://", "http://[::1", "a b"])
async def test_an_endpoint_that_is_none(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(UsageError, match="HF_ENDPOINT is no address"):
        await search(Filters())


async def test_without_its_client(hub_server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'huggingface_hub>=2\.4'"):
        await search(Filters())
    assert (await facts("embedded:minilm")).license == "apache-2.0"


async def test_a_password_in_the_endpoint_is_not_shown(
    hub_server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = hub_server.url.removeprefix("http://")
    monkeypatch.setenv("HF_ENDPOINT", f"http://me:hunter2@{host}")
    found = await search(Filters())
    assert len(found) == 5 and "hunter2" not in repr(found)
    assert "hunter2" not in repr(await facts("acme/small"))
    hub_server.fail(500)
    with pytest.raises(OnrecordError) as raised:
        await search(Filters(limit=3))
    assert "hunter2" not in str(raised.value)


# --- entries with missing and wrong fields ------------------------------------------------------


async def test_a_page_with_missing_fields(hub_server: HubServer) -> None:
    entries: list[Any] = [
        {"id": "bare/one"},
        {"modelId": "bare/two", "tags": None, "safetensors": None, "downloads": None},
        {"id": "bare/three", "safetensors": {"parameters": {"F32": "many", "Q9": 5}, "total": -1}},
        {"id": "bare/four", "tags": ["en", 3, None], "lastModified": "not a date", "likes": 1e99},
        {"id": ""},
        {"downloads": 5},
        "acme/text",
        None,
        [],
    ]
    hub_server.answer(json.dumps(entries).encode())
    found = await search(Filters())
    assert names(found) == ["bare/one", "bare/two", "bare/three", "bare/four"]
    one, _, three, four = found
    assert one == ModelFacts(name="bare/one", source=hub_server.url)
    assert three.weights == (Weights("Q9", 5, None),) and three.parameters == 5
    assert four.languages == ("en",) and four.updated is None and four.likes is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)
fields = st.sampled_from(
    """id tags safetensors gguf cardData siblings gated downloads likes createdAt lastModified
    config pipeline_tag library_name""".split()
)


@given(st.dictionaries(fields, json_values))
def test_no_entry_breaks_it(entry: dict[str, Any]) -> None:
    found = entry_facts({"id": "some/model", **entry}, "https://hub")
    assert found is None or msgspec.json.decode(msgspec.json.encode(found), type=ModelFacts)


# --- the facts of one model ---------------------------------------------------------------------


async def test_the_facts_of_a_model(hub_server: HubServer) -> None:
    found = await facts("acme/small")
    assert found.datasets == ("xsum", "c4")  # the card's own, not the tags
    assert found.training == "Trained on the Colossal Clean Crawled Corpus and on xsum."
    assert found.architecture == "T5ForConditionalGeneration"
    assert {(each.format, each.count, each.bytes) for each in found.files} == {
        ("safetensors", 1, 2000),
        ("onnx", 1, 500),
    }
    assert found.gated is False and found.warnings == ()
    news = await facts("acme/small-news")
    assert (news.base_models, news.base_relation) == (("acme/small",), "finetune")
    assert [(each.dtype, each.bytes) for each in news.weights] == [
        ("BF16", 120_000_000),
        ("F32", 2_026_496),
    ]
    assert news.warnings == ("there is no card (README.md)",)


async def test_a_model_that_was_renamed(hub_server: HubServer) -> None:
    found = await facts("small")
    assert found.name == "acme/small" and found.files[0].bytes == 500


@pytest.mark.parametrize(
    ("name", "near"),
    [("acme/smal", "acme/small, acme/small-news"), ("ecole/petti", "ecole/petit")],
)
async def test_an_unknown_model(hub_server: HubServer, name: str, near: str) -> None:
    with pytest.raises(UnknownNameError) as raised:
        await facts(name)
    assert str(raised.value).startswith(f"there is no model '{name}' that 127.0.0.1")
    assert f"Did you mean {near}?" in str(raised.value)
    with pytest.raises(UnknownNameError, match="there is no model 'xyzzy/zork'"):
        await facts("xyzzy/zork")


async def test_a_gated_model(hub_server: HubServer) -> None:
    hub_server.gated_files.add("ecole/petit")
    hub_server.files["ecole/petit", "README.md"] = b"# Data\n"
    found = await facts("ecole/petit")
    assert found.gated is True
    assert len(found.warnings) == 1 and "does not give this to you (401)" in found.warnings[0]
    hub_server.fail(403, x_error_code="GatedRepo", x_error_message="Ask its authors.")
    with pytest.raises(ModelRefusedError, match=r"Ask its authors.*accept its conditions"):
        await facts("ecole/petit")


async def test_a_page_that_cannot_be_read(hub_server: HubServer) -> None:
    hub_server.answer(b'["not a model"]')
    with pytest.raises(ModelUnavailableError, match=r"what 127.* says of 'acme/small' cannot be"):
        await facts("acme/small")


async def test_a_card_that_is_huge_or_no_text(hub_server: HubServer) -> None:
    hub_server.files["acme/small", "README.md"] = b"# Training data\n" + b"word " * 2_000_000
    assert len((await facts("acme/small")).training) == 600
    hub_server.files["acme/small", "README.md"] = bytes(range(256)) * 4
    assert (await facts("acme/small")).training == ""


@pytest.mark.parametrize(
    "name",
    [
        "openai:gpt-5",
        "scripted:demo",
        "./nowhere",
        "/nowhere",
        "~nobody/x",
        "hf:",
        "\udcff",
        "a\0b",
        "x" * 5_000,
        "/" + "x" * 5_000,
    ],
)
async def test_names_that_have_no_facts(name: str) -> None:
    with pytest.raises(UsageError) as raised:
        await facts(name)
    assert raised.value.cure and len(str(raised.value)) < 400


async def test_a_file_is_no_model(project: Path) -> None:
    (project / "model.gguf").write_bytes(b"GGUF")
    for name in ("model.gguf", "./model.gguf", f"hf:{project}/model.gguf"):
        with pytest.raises(UsageError, match=r"is a file.*Name the folder"):
            await facts(name)


async def test_the_embedded_encoder() -> None:
    found = await facts("embedded:minilm")
    assert (found.license, found.languages) == ("apache-2.0", ("en",))
    assert found.base_models == ("sentence-transformers/all-MiniLM-L6-v2",)
    assert found.base_relation == "quantized" and "ms_marco" in found.datasets
    assert [each.format for each in found.files] == ["onnx"] and found.warnings == ()
    with pytest.raises(UnknownNameError, match="no card of 'embedded:extractive'"):
        await facts("embedded:extractive")


# --- a model in a folder ------------------------------------------------------------------------


def a_folder(folder: Path) -> Path:
    from safetensors.numpy import save_file

    folder.mkdir()
    half = np.zeros((10, 30), np.float16)
    save_file({"a": half, "b": np.zeros(7, np.float32)}, folder / "model-1.safetensors")
    save_file({"c": half}, folder / "model-2.safetensors")
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["GPT2LMHeadModel"], "n_positions": 64})
    )
    (folder / "README.md").write_text("---\nlicense: mit\nlanguage: no\n---\n# Mine\n")
    return folder


async def test_a_model_in_a_folder(tmp_path: Path) -> None:
    found = await facts(str(a_folder(tmp_path / "mine")))
    assert found.parameters == 607
    assert found.weights == (Weights("F16", 600, 1200), Weights("F32", 7, 28))
    assert (found.architecture, found.context) == ("GPT2LMHeadModel", 64)
    assert (found.license, found.languages) == ("mit", ("no",))
    assert found.files[0].count == 2 and found.warnings == ()


async def test_a_folder_with_damaged_files(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "mine")
    whole = (folder / "model-2.safetensors").read_bytes()
    (folder / "model-2.safetensors").write_bytes(whole[:-400])
    (folder / "model-3.safetensors").write_bytes(b"\xff" * 50)
    (folder / "model-4.safetensors").write_bytes(b"")
    (folder / "model-5.safetensors").write_bytes((5).to_bytes(8, "little") + b"[1,2]")
    (folder / "config.json").write_text("[" * 10_000)
    (folder / "README.md").write_text("---\nlicense: [mit\n---\n")
    found = await facts(str(folder))
    assert found.parameters == 307
    assert found.warnings[:2] == (
        "README.md: the card's front matter is not valid YAML",
        "config.json is not a JSON object",
    )
    assert [warning.split()[0] for warning in found.warnings[2:]] == [
        f"model-{number}.safetensors" for number in (2, 3, 4, 5)
    ]
    assert "model-2.safetensors cannot be read: it is cut off" in found.warnings[2]


async def test_a_folder_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "data.bin").write_bytes(b"not weights")
    (tmp_path / "far" / "down").mkdir(parents=True)
    (tmp_path / "far" / "down" / "model.onnx").write_bytes(b"not looked for")
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(UsageError, match="there is no model in this folder"):
        await facts(str(tmp_path))


# --- cards --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("", ""),
        ("# Only text", ""),
        ("---\nlicense: mit\n---\n", ""),
        ("\ufeff---\r\nlicense: mit\r\n---\r\ntext", ""),
        ("---\nlicense: mit\n", "does not end"),
        ("---\n- mit\n---\n", "does not name any fields"),
        ("---\na: &a [*a]\nb: *b\n---\n", "not valid YAML"),
        ("---\na: !!python/object:os.system {}\n---\n", "not valid YAML"),
        ("---\nx: " + "[" * 5000 + "\n---\n", "not valid YAML"),
        ("---\nx: " + "y" * 1_100_000 + "\n---\n", "too long"),
    ],
)
def test_cards(source: str, problem: str) -> None:
    card = read_card(source)
    assert problem in card.problem and bool(problem) == bool(card.problem)
    assert stated(card.fields) == ({"license": "mit"} if "license" in card.fields else {})


def test_what_a_card_states_in_odd_ways() -> None:
    assert stated({"license": ["mit", "apache-2.0"]}) == {"license": "mit, apache-2.0"}
    assert stated({"language": ["en", False, None, 3, "en"]}) == {"languages": ("en", "no")}
    assert stated({"license": {"a": 1}, "datasets": 7, "base_model": "x" * 1000}) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("## Training Data\n\nBooks.\n\n## Use\nNo.", "Books."),
        ("## Training\nSlowly.\n### Training data\nBooks.\n### Other\nNo.", "Books."),
        ("## Pre-training\nSlowly.", "Slowly."),
        ("## Training data\n[More Information Needed]\n## Training\nSlowly.", "Slowly."),
        ("## Training data\n<!-- say which -->\n", ""),
        ("```\n# training data\nno\n```\n", ""),
        ("## Training data\n\n| set |\n|---|\n| books |", "| set | | books |"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_a_card_says_of_training(text: str, said: str) -> None:
    assert training(text) == said


@pytest.mark.parametrize("piece", ["# training\n", "<!--", "`" * 3, "\n", "| - ", "#" * 6 + " a\n"])
def test_a_long_card_of_one_thing(piece: str) -> None:
    """In quadratic time this would take minutes."""
    assert len(training(piece * (300_000 // len(piece)))) <= 600
    assert read_card("---\n" + piece * (300_000 // len(piece))).problem


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.text(alphabet=st.sampled_from("-:\n# []{}&*!|>'\"abtraining é\x00"), max_size=200))
def test_no_card_breaks_it(source: str) -> None:
    card = read_card("---\n" + source)
    assert msgspec.json.encode(stated(card.fields)) and len(training(card.text)) <= 600


def test_which_files_are_weights() -> None:
    sizes = {
        "a/model.onnx": 5,
        "a/model.onnx_data": 7,
        "pytorch_model.bin": None,
        "training_args.bin": 3,
        "tokenizer.json": 1,
        "x.gguf": 2,
    }
    found = {each.format: (each.count, each.bytes) for each in filed(sizes)}
    assert found == {"onnx": (2, 12), "pytorch": (1, None), "gguf": (1, 2)}


def test_ages_are_filters_of_the_moment() -> None:
    recent = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    found = entry_facts({"id": "a/b", "lastModified": recent}, "hub")
    assert found is not None and found.updated is not None
