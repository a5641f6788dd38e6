"""Embeddings over the OpenAI protocol, from a real server."""

import asyncio
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onrecord as on
from onrecord.errors import LimitError, ModelRefusedError, ModelUnavailableError
from onrecord.messages import Usage
from onrecord.models.calling import embed
from onrecord.models.model import counts
from onrecord.models.openai.embedder import OpenAIEmbedder
from onrecord.models.scripted import Scripted
from tests.models.test_openai_api import failed, known_of, reply, serving


def vectors(handler):
    texts = handler.server.asked[-1][1]["input"]
    rows = [{"index": at, "embedding": [len(text), 1, 0]} for at, text in enumerate(texts)]
    reply(200, {"data": rows[::-1]})(handler)


def embedding(*replies, texts=("a", "bbb"), **options):
    with serving(*replies) as server:
        embedder = OpenAIEmbedder("e", base_url=server.url, key="", **options)
        return asyncio.run(embedder.embed(list(texts))), embedder, server


def test_vectors_are_in_order_and_of_unit_length():
    found, embedder, server = embedding(vectors, texts=["a", " ", "bbb"])
    assert found.dtype == np.float32 and found.shape == (3, 3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(found[2] * np.sqrt(10), [3, 1, 0], rtol=1e-6)
    assert embedder.dimensions == 3
    assert server.asked == [
        ("/v1/embeddings", {"model": "e", "input": ["a", ".", "bbb"], "encoding_format": "float"})
    ]


def test_many_texts_go_in_batches():
    found, _, server = embedding(*[vectors] * 3, texts=["x" * (at + 1) for at in range(600)])
    assert [len(body["input"]) for _, body in server.asked] == [256, 256, 88]
    assert np.all(np.diff(found[:, 0]) >= 0)
    assert embedding(texts=[], dimensions=7)[0].shape == (0, 7)


def test_tokens_of_embeddings_are_counted_over_all_batches():
    def counted(handler):
        texts = handler.server.asked[-1][1]["input"]
        rows = [{"index": at, "embedding": [1, 0]} for at in range(len(texts))]
        count = sum(map(len, texts))
        reply(200, {"data": rows, "usage": {"prompt_tokens": count, "total_tokens": count}})(
            handler
        )

    with serving(counted, counted, counted, failed(503, "busy"), counted, reply(200, {})) as server:
        embedder = OpenAIEmbedder("e", base_url=server.url, key="", dimensions=2)
        found, usage = asyncio.run(embedder.embed_counted(["ab"] * 300))
        assert (found.shape, usage) == ((300, 2), Usage(600))
        for sent in (False, True):  # refused by a busy server; answered with no vectors
            with pytest.raises(ModelUnavailableError) as caught:
                asyncio.run(embedder.embed_counted(["ab"] * 300))
            assert known_of(caught.value)[:2] == (sent, Usage(512))
        assert asyncio.run(embedder.embed_counted([]))[1] == Usage()
    assert embedding(vectors)[1].server  # a server that counts nothing embeds all the same


def test_who_counts_is_seen_without_asking_a_server():
    silent = OpenAIEmbedder("e", base_url="http://127.0.0.1:1/v1", key="")
    assert counts(silent)
    assert not counts(Scripted("x"))


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"data": None},
        {"data": []},
        {"data": [{"embedding": [1, 2]}]},
        {"data": [{"embedding": [1, 2]}, {"embedding": [1]}]},
        {"data": [{"embedding": [1, float("nan")]}, {"embedding": [1, 2]}]},
        {"data": [{"embedding": "AAAA"}, {"embedding": "AAAA"}]},
    ],
)
def test_what_is_no_vectors_is_not_taken_for_some(answer):
    with pytest.raises(ModelUnavailableError, match="sent no 2 vectors"):
        embedding(reply(200, answer))


@pytest.mark.parametrize("answer", [{"error": {"message": "busy"}}, {"error": "busy"}])
def test_why_there_are_no_vectors_is_told(answer):
    with pytest.raises(ModelUnavailableError, match="sent no 2 vectors of one length: busy"):
        embedding(reply(200, answer))


def test_unknown_dimensions_are_asked_for():
    with serving(vectors) as server:
        assert OpenAIEmbedder("e", base_url=server.url, key="").dimensions == 3
    with pytest.raises(ModelRefusedError):
        embedding(failed(404, "no such model"))
    assert OpenAIEmbedder("text-embedding-3-small").dimensions == 1536
    assert OpenAIEmbedder("nomic-embed-text:latest").max_tokens == 2048


@given(st.text(max_size=100))
@settings(deadline=None)
def test_tokens_are_spans_of_all_that_is_not_blank(text):
    spans = OpenAIEmbedder("e").tokens(text)
    assert "".join(text[start:end] for start, end in spans) == "".join(text.split())
    assert all(a < b <= c for (a, b), (c, _) in pairwise(spans))


def test_what_earlier_batches_took_is_not_given_back(project):
    (project / "onrecord.toml").write_text('[prices."openai:*"]\ninput = 10\noutput = 10\n')
    limits = on.Limits(usd=5)
    with serving(vectors, failed(429, "slow down"), failed(429, "slow down")) as server:
        embedder = OpenAIEmbedder("e", base_url=server.url, key="")
        for spent, count in ((True, 300), (False, 3)):  # two batches, and one
            with on.budget(limits) as budget, pytest.raises(ModelUnavailableError) as caught:
                asyncio.run(embed(embedder, ["a text"] * count))
            assert caught.value.sent is spent
            assert (budget.spent().cost > 0) is spent and budget.spent().calls == 1


def test_asking_for_dimensions_is_a_call_like_any_other():
    with serving(vectors) as server, on.recording() as run, on.budget(on.Limits(calls=1)):
        assert OpenAIEmbedder("e", base_url=server.url, key="").dimensions == 3
        with pytest.raises(LimitError):
            OpenAIEmbedder("f", base_url=server.url, key="").dimensions  # noqa: B018  # it asks
        assert len(server.asked) == 1
    assert [(each.kind, each.name) for each in run.records][:1] == [("embed", "openai:e")]
