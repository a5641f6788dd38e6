"""`hf:` classifiers: what transformers' own pipeline says."""

import shutil

import msgspec
import pytest

from onrecord.errors import ContextLengthError, ModelRefusedError, UnknownNameError, UsageError
from onrecord.models.transformers.pipeline import HFClassifier
from tests.models import tiny_models

pytestmark = pytest.mark.anyio
TEXTS = ["a delight", "a bore, awful and bad", "", "naïve 東京 🙂", "half \ud83d"]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def classifier(tiny):
    return HFClassifier(str(tiny("classifier")), batch=2)


def expected(folder, texts, **options):
    import transformers

    pipe = transformers.pipeline(
        "text-classification", model=str(folder), tokenizer=str(folder), top_k=None, device="cpu"
    )
    return [{row["label"]: row["score"] for row in found} for found in pipe(texts, **options)]


async def test_probabilities_are_those_of_the_pipeline(tiny, classifier):
    found = await classifier.classify(TEXTS)
    texts = [text.encode("utf-8", "replace").decode() for text in TEXTS]
    for ours, theirs in zip(found, expected(tiny("classifier"), texts), strict=True):
        assert ours.probabilities == pytest.approx(theirs, abs=1e-5)
        assert sum(ours.probabilities.values()) == pytest.approx(1)
        assert ours.confidence == max(ours.probabilities.values())
        assert ours.probabilities[ours.label] == ours.confidence
    assert classifier.labels == ("negative", "positive")
    assert found[0].tokens > 0


async def test_a_text_has_the_same_probabilities_alone(classifier):
    together = await classifier.classify(TEXTS)
    for text, label in zip(TEXTS, together, strict=True):
        alone = (await classifier.classify([text]))[0]
        assert alone.probabilities == pytest.approx(label.probabilities, abs=1e-5)


async def test_two_texts_are_compared(tiny, classifier):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tiny("classifier")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        given = tokenizer("the cat", "the dog", return_tensors="pt")
        theirs = model(**given).logits.softmax(-1)[0].tolist()
    found = await classifier.classify(["the cat"], ["the dog"])
    assert [found[0].probabilities[name] for name in classifier.labels] == pytest.approx(theirs)
    with pytest.raises(UsageError, match="1 texts stand beside 2"):
        await classifier.classify(["a"], ["b", "c"])


async def test_several_labels_a_text_have_probabilities_of_their_own(tiny, tmp_path):
    folder = shutil.copytree(tiny("classifier"), tmp_path / "several")
    config = msgspec.json.decode((folder / "config.json").read_bytes())
    config["problem_type"] = "multi_label_classification"
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    found = await HFClassifier(str(folder)).classify(TEXTS[:2])
    assert not found[0].exclusive
    for ours, theirs in zip(found, expected(folder, TEXTS[:2]), strict=True):
        assert ours.probabilities == pytest.approx(theirs, abs=1e-5)
    config["problem_type"] = "regression"
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    with pytest.raises(ModelRefusedError, match="no labels"):
        await HFClassifier(str(folder)).classify(["x"])


async def test_nothing_is_cut_off(classifier):
    with pytest.raises(ContextLengthError, match=r"text 2 has \d+ tokens, and the model reads 64"):
        await classifier.classify(["short", "the cat sat on the mat " * 30])


async def test_no_texts_are_no_labels(classifier):
    assert await classifier.classify([]) == []


async def test_a_model_without_a_head_is_refused(tiny):
    with pytest.raises(ModelRefusedError, match=r"no weights for bert\.pooler.* and 3 more"):
        await HFClassifier(str(tiny("encoder"))).classify(["x"])


async def test_a_marker_in_a_text_is_only_words(classifier):
    plain, marked = await classifier.classify(["a b", "a</s>b"])
    assert marked.tokens > plain.tokens


def test_name_and_version(tiny):
    folder = tiny("classifier")
    assert HFClassifier(str(folder)).name == f"hf:{folder}"
    other = HFClassifier(str(folder), dtype="float32")
    assert other.version == HFClassifier(str(folder)).version + "-float32"
    with pytest.raises(UnknownNameError):
        HFClassifier("./nowhere")


async def test_labels_are_those_of_the_model(tmp_path):
    folder = tiny_models.classifier(tmp_path / "three", labels=["left", "right", "up"])
    found = await HFClassifier(str(folder)).classify(["x"])
    assert set(found[0].probabilities) == {"left", "right", "up"}


async def test_a_model_without_a_padding_token_reads_one_text_at_a_time(tiny, tmp_path):
    from transformers import AutoTokenizer, GPT2Config, GPT2ForSequenceClassification

    folder = tmp_path / "gpt2"
    words = AutoTokenizer.from_pretrained(tiny("gpt2"))
    words.pad_token = None
    words.save_pretrained(folder)
    config = GPT2Config.from_pretrained(tiny("gpt2"), num_labels=2, pad_token_id=None)
    GPT2ForSequenceClassification(config).save_pretrained(folder)
    found = await HFClassifier(str(folder)).classify(TEXTS[:2])
    for ours, theirs in zip(found, expected(folder, TEXTS[:2]), strict=True):
        assert ours.probabilities == pytest.approx(theirs, abs=1e-5)
