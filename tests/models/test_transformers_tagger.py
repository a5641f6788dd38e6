"""`hf:` taggers: the entities that transformers' own pipeline finds, at their exact places."""

import msgspec
import pytest

from onrecord.errors import ModelRefusedError
from onrecord.models.transformers.tagger import Entity, HFTagger, Labels, entities
from onrecord.models.transformers.windows import Token
from tests.models import tiny_models

pytestmark = pytest.mark.anyio
QUIET = "It was a quiet day. " * 40


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def tagger(tiny):
    return HFTagger(str(tiny("tagger")))


async def test_entities_at_their_exact_places(tagger):
    assert tagger.labels == ("PER", "LOC", "ARTICLE")
    right = 0
    for person in tiny_models.townspeople(60, seed=5):
        found = await tagger.tag(person.text)
        expected = sorted(
            (*span, tiny_models.KINDS[kind]) for kind, span in person.spans.items() if span
        )
        right += [(each.start, each.end, each.label) for each in found.entities] == expected
    assert right >= 55  # of 60; a training goes a little differently on every machine


@pytest.mark.parametrize("kind", ["tagger", "random_tagger"])
async def test_entities_are_those_of_the_pipeline(tiny, kind):
    import transformers

    pipe = transformers.pipeline(
        "token-classification",
        model=str(tiny(kind)),
        tokenizer=str(tiny(kind)),
        aggregation_strategy="first",
        device="cpu",
    )
    tagger = HFTagger(str(tiny(kind)))
    texts = [each.text for each in tiny_models.townspeople(30, seed=6)]
    count = 0
    for text in [*texts, "Mary Jones, Ann and Oskar (in Lima). 東京 naïve café!"]:
        theirs = pipe(text)
        ours = (await tagger.tag(text)).entities
        count += len(ours)
        assert [(each.label, each.start, each.end) for each in ours] == [
            (each["entity_group"], each["start"], each["end"]) for each in theirs
        ]
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.score == pytest.approx(float(other["score"]), abs=1e-5)
    assert count > 30


async def test_a_long_text_is_read_to_its_end(tagger):
    text = f"{QUIET}In Lagos, Chidi sells umbrellas. {QUIET}Ann lives in Lima now."
    found = await tagger.tag(text)
    assert found.windows > 5
    assert [(each.label, text[each.start : each.end]) for each in found.entities] == [
        ("LOC", "Lagos"),
        ("PER", "Chidi"),
        ("ARTICLE", "umbrellas"),
        ("PER", "Ann"),
        ("LOC", "Lima"),
    ]


async def test_an_entity_at_the_border_of_windows_is_one(tagger):
    for before in range(20):  # wherever the sentence falls among the windows
        text = f"{'It was a quiet day. ' * before}Mary Jones lives in New Delhi now. {QUIET}"
        found = await tagger.tag(text)
        assert [text[each.start : each.end] for each in found.entities] == [
            "Mary Jones",
            "New Delhi",
        ]


async def test_a_text_of_nothing_has_none(tagger):
    assert (await tagger.tag("\u200b")).entities == ()


def tagged(text, names, tokens):
    """Entities of (start, end, word, label) a token, all of them as likely."""
    labels = Labels.of(names)
    found = [(names.index(label), 0.5) for *_, label in tokens]
    return entities(text, [Token(*token[:3]) for token in tokens], found, labels)


def test_a_word_has_the_label_of_its_first_token():
    tokens = [(0, 3, 0, "B-X"), (3, 5, 0, "O"), (5, 8, 0, "B-Y"), (8, 13, 1, "I-X")]
    assert tagged("Reykjavik tea", ["O", "B-X", "I-X", "B-Y"], tokens) == [Entity("X", 0, 13, 0.5)]
    # Metaspace tokenizers count all up to the next space as one word.
    tokens = [(0, 5, 0, "X"), (5, 6, 0, "O"), (7, 9, 1, "O"), (9, 11, 1, "X")]
    assert tagged("Paris, 東京大学", ["O", "X"], tokens) == [
        Entity("X", 0, 5, 0.5),
        Entity("X", 9, 11, 0.5),
    ]
    # A token may hold the space before a word, or be one; a character may be of several tokens.
    tokens = [(0, 4, 0, "X"), (4, 5, 1, "O"), (5, 6, 2, "X"), (5, 6, 2, "O")]
    assert tagged(" Ann 🙂", ["O", "X"], tokens) == [Entity("X", 1, 6, 0.5)]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["B-X", "I-X", "B-X"], [(0, 3), (4, 5)]),
        (["B-X", "E-X", "S-X"], [(0, 3), (4, 5)]),
        (["I-X", "I-X", "O"], [(0, 3)]),
        (["I-X", "I-Y", "I-X"], [(0, 1), (2, 3), (4, 5)]),
        (["O", "B-E-X", "I-E-X"], [(2, 5)]),
    ],
)
def test_schemes_of_labels(names, found):
    tokens = [(at * 2, at * 2 + 1, at, name) for at, name in enumerate(names)]
    all_names = ["O", *sorted({*names, "B-X"} - {"O"})]
    assert [(each.start, each.end) for each in tagged("a b c", all_names, tokens)] == found


def test_labels_without_a_scheme_stand_for_themselves():
    assert Labels.of(["O", "E-mail", "S-Bahn"]).kinds == ("O", "E-mail", "S-Bahn")
    assert Labels.of(["O", "B-E-mail", "I-E-mail"]).kinds == ("O", "E-mail", "E-mail")


async def test_what_cannot_be_tagged_is_said(tiny, tmp_path):
    import shutil

    with pytest.raises(ModelRefusedError, match="hold no weights for classifier"):
        await HFTagger(str(tiny("encoder"))).tag("Ann")
    slow = tiny_models.canine(tmp_path / "slow", "TokenClassification")
    with pytest.raises(ModelRefusedError, match="does not say where its tokens stand"):
        await HFTagger(str(slow)).tag("Ann")
    folder = shutil.copytree(tiny("tagger"), tmp_path / "nameless")
    config = msgspec.json.decode((folder / "config.json").read_bytes())
    del config["id2label"], config["label2id"]
    config["num_labels"] = 7
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    with pytest.raises(ModelRefusedError, match=r"does not name its labels \(LABEL_0, LABEL_1"):
        await HFTagger(str(folder)).tag("Ann")
