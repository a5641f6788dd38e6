"""`hf:` embedders."""

import json
import shutil

import numpy as np
import pytest

import onrecord as on
from onrecord.errors import ModelRefusedError
from onrecord.models import names
from onrecord.models.model import Embedder, counts
from onrecord.models.transformers.embedder import HFEmbedder

pytestmark = pytest.mark.anyio
TEXTS = ["the cat sat", "a pump delivers four litres of water", "", "naïve 東京 🙂", "x</s>y"]


@pytest.fixture
def anyio_backend():
    return "asyncio"


def plain(folder, texts, pool):
    """The vectors by hand, one text at a time."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    out = []
    for text in texts:
        given = tokenizer(text, return_tensors="pt", split_special_tokens=True)
        with torch.no_grad():
            hidden = model(**given).last_hidden_state[0]
        out.append(torch.nn.functional.normalize(pool(hidden), dim=0).numpy())
    return np.stack(out)


def sentence_transformer(folder, place, *, pooling=None, modules=(), **config):
    """The files that sentence-transformers puts beside a model."""
    shutil.copytree(folder, place)
    kinds = ["Transformer", "Pooling", *modules, "Normalize"]
    paths = ["", "1_Pooling", *(f"{n + 2}_{kind}" for n, kind in enumerate(modules)), "9_Normalize"]
    listed = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    (place / "modules.json").write_text(json.dumps(listed))
    (place / "1_Pooling").mkdir()
    (place / "1_Pooling" / "config.json").write_text(json.dumps(pooling or {}))
    for name, content in config.items():
        (place / f"{name}.json").write_text(json.dumps(content))
    return place


async def test_vectors_are_the_mean_of_the_tokens(tiny):
    embedder = HFEmbedder(str(tiny("encoder")), batch=2)
    texts = [text for text in TEXTS if text]
    vectors = await embedder.embed(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(texts), embedder.dimensions) == (4, 32)
    wanted = plain(tiny("encoder"), texts, lambda hidden: hidden.mean(0))
    np.testing.assert_allclose(vectors, wanted, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [
        ({"pooling_mode_cls_token": True}, lambda hidden: hidden[0]),
        ({"pooling_mode_max_tokens": True}, lambda hidden: hidden.amax(0)),
        ({"pooling_mode_lasttoken": True}, lambda hidden: hidden[-1]),
        ({"pooling_mode": "cls"}, lambda hidden: hidden[0]),
        ({"pooling_mode_mean_tokens": True}, lambda hidden: hidden.mean(0)),
    ],
)
async def test_pooling_is_that_of_sentence_transformers(tiny, tmp_path, pooling, pool):
    folder = sentence_transformer(tiny("encoder"), tmp_path / "st", pooling=pooling)
    vectors = await HFEmbedder(str(folder)).embed(TEXTS[:2])
    np.testing.assert_allclose(vectors, plain(folder, TEXTS[:2], pool), atol=1e-5)


async def test_longest_text_and_prompt_are_those_of_sentence_transformers(tiny, tmp_path):
    folder = sentence_transformer(
        tiny("encoder"),
        tmp_path / "st",
        sentence_bert_config={"max_seq_length": 20},
        config_sentence_transformers={"prompts": {"q": "query: "}, "default_prompt_name": "q"},
    )
    embedder = HFEmbedder(str(folder))
    assert embedder.max_tokens == 18  # and a mark on either side
    wanted = plain(folder, ["query: water"], lambda hidden: hidden.mean(0))
    np.testing.assert_allclose(await embedder.embed(["water"]), wanted, atol=1e-5)


async def test_what_is_not_done_is_refused(tiny, tmp_path):
    dense = sentence_transformer(tiny("encoder"), tmp_path / "a", modules=["Dense"])
    with pytest.raises(ModelRefusedError, match="not done here: Dense"):
        await HFEmbedder(str(dense)).embed(["x"])
    weighted = {"pooling_mode_weightedmean_tokens": True}
    odd = sentence_transformer(tiny("encoder"), tmp_path / "b", pooling=weighted)
    with pytest.raises(ModelRefusedError, match="weightedmean"):
        await HFEmbedder(str(odd)).embed(["x"])
    with pytest.raises(ModelRefusedError, match="encoder-decoder"):
        await HFEmbedder(str(tiny("t5"))).embed(["x"])


async def test_a_text_has_the_same_vector_alone(tiny):
    embedder = HFEmbedder(str(tiny("encoder")), batch=3)
    texts = [text for text in TEXTS if text]
    alone = np.concatenate([await embedder.embed([text]) for text in texts])
    np.testing.assert_allclose(await embedder.embed(texts), alone, atol=1e-5)


async def test_a_long_text_is_read_to_its_end(tiny):
    embedder = HFEmbedder(str(tiny("encoder")))
    long = "the cat sat on the mat " * 40
    (whole, usage) = await embedder.embed_counted([long, long + "東京" * 200])
    assert usage.input == sum(len(embedder.tokens(text)) for text in (long, long + "東京" * 200))
    assert np.linalg.norm(whole[0]) == pytest.approx(1, abs=1e-5)
    assert abs(whole[0] - whole[1]).max() > 0.01


async def test_it_is_an_embedder_by_name_and_on_record(tiny):
    embedder: Embedder = names.embedder(f"hf:{tiny('encoder')}")
    assert names.embedder(f"hf:{tiny('encoder')}") is embedder
    assert counts(embedder)
    text = "the cat, 東京"
    spans = embedder.tokens(text)
    assert spans[0][0] == 0 and spans[-1][1] == len(text)
    assert (await embedder.embed([])).shape == (0, 32)
    collection = on.Collection.open("words", embedder=embedder)
    assert collection is not None


async def test_an_empty_text_has_a_vector(tiny):
    vectors = await HFEmbedder(str(tiny("encoder"))).embed(["", "x"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
