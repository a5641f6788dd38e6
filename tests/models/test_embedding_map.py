"""Maps of embeddings: what is counted, what two dimensions hold, and pages that nothing breaks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import onrecord as on
from onrecord.errors import MissingExtraError, UnknownNameError, UsageError
from onrecord.models.embeddings.drawing import Frame, colours, dots, legend
from onrecord.models.embeddings.map import EmbeddingMap, View, embedding_map, project
from onrecord.models.embeddings.page import page
from onrecord.models.embeddings.picture import figure_of, picture

pytestmark = pytest.mark.anyio
TEXTS = [
    "The train to Rome was late",
    "The bus to the airport was late",
    "A cheap flight to Rome",
    "Boil the pasta in salted water",
    "Fry the onions in butter",
    "Salt the water for the pasta",
]
GROUPS = ["travel"] * 3 + ["food"] * 3


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_share_that_two_dimensions_hold() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(60, 9)) * [9, 5, 1, 1, 1, 1, 1, 1, 1]
    points, held = project(vectors)
    centred = vectors - vectors.mean(axis=0)
    values = np.linalg.svd(centred, compute_uv=False) ** 2
    assert held == pytest.approx(values[:2].sum() / values.sum())
    # Distances in the plane are those of the best plane.
    assert np.sum(points**2) == pytest.approx(values[:2].sum())
    sparse, also = project(scipy.sparse.csr_matrix(vectors))
    assert np.allclose(sparse, points) and also == pytest.approx(held)


async def test_large_and_sparse() -> None:
    table = scipy.sparse.random(1_500, 20_000, density=0.001, random_state=0, format="csr")
    points, held = project(table)
    again, _ = project(table)
    assert points.shape == (1_500, 2) and np.array_equal(points, again)
    assert held is not None and 0 < held < 0.1


async def test_vectors_without_a_second_dimension() -> None:
    points, held = project(np.array([[1.0], [2.0], [4.0]]))
    assert held == pytest.approx(1.0) and np.allclose(points[:, 1], 0)
    points, held = project(np.ones((4, 3)))
    assert held is None and not points.any()
    assert project(np.array([[0.0, 1], [0, 1], [1, 0]]))[1] == pytest.approx(1.0)


@pytest.mark.parametrize("projection", ["pca", "tsne"])
async def test_texts_that_mean_alike_lie_together(projection: str) -> None:
    found = await embedding_map(TEXTS, views=["embedded:minilm"], projection=projection)
    points = np.array(found.maps[0].points)
    assert points.shape == (6, 2) and found.labels == tuple(TEXTS)
    if projection == "pca":
        travel, food = points[:3].mean(axis=0), points[3:].mean(axis=0)
        assert all(
            np.linalg.norm(each - own) < np.linalg.norm(each - other)
            for each, own, other in [
                *[(each, travel, food) for each in points[:3]],
                *[(each, food, travel) for each in points[3:]],
            ]
        )
    else:
        assert found.maps[0].held is None
    assert found == await embedding_map(TEXTS, views=["embedded:minilm"], projection=projection)


async def test_bag_of_words_and_tfidf_are_scikit_learns() -> None:
    from sklearn.decomposition import PCA
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    found = await embedding_map(TEXTS, views=["bow", "tfidf"])
    for view, make in zip(found.maps, (CountVectorizer, TfidfVectorizer), strict=True):
        table = make(token_pattern=r"\w+").fit_transform(TEXTS).toarray()
        pca = PCA(2, svd_solver="full").fit(table)
        assert view.dimensions == table.shape[1]
        assert view.held == pytest.approx(pca.explained_variance_ratio_.sum())
        assert np.allclose(view.points, pca.transform(table))


async def test_words_as_points() -> None:
    found = await embedding_map(TEXTS, views=["bow", "embedded:minilm"], by_word=True, most=4)
    assert found.labels[:2] == ("the", "to")
    assert found.maps[0].dimensions == len(TEXTS)
    assert found.notes == ("4 of 21 words are drawn, the most frequent",)


async def test_many_texts_are_spread_evenly() -> None:
    texts = [f"text {at}" for at in range(10)]
    found = await embedding_map(texts, views=["bow"], most=5, groups=[str(at) for at in range(10)])
    assert found.labels == ("text 0", "text 2", "text 4", "text 6", "text 8")
    assert found.groups == ("0", "2", "4", "6", "8")
    assert found.notes == ("5 of 10 texts are drawn, evenly spread",)


WORD2VEC = """
from onrecord.models.embeddings.map import embedding_map
print(embedding_map.run(["a b c d", "b c a", "d c b a", "!"], views=["word2vec"]).maps[0].points)
"""


async def test_word2vec_is_the_same_in_every_process() -> None:
    pytest.importorskip("gensim")
    said = {
        subprocess.run(
            [sys.executable, "-c", WORD2VEC],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


async def test_word2vec_says_when_it_learned_from_little() -> None:
    pytest.importorskip("gensim")
    found = await embedding_map(TEXTS, views=["word2vec"])
    assert "too few to mean much" in found.notes[0] and found.maps[0].dimensions == 50


@pytest.mark.parametrize("projection", ["pca", "tsne"])
async def test_points_that_all_lie_in_one_place_are_said_to(projection: str) -> None:
    found = await embedding_map(["The same."] * 4, views=["bow"], projection=projection)
    assert found.notes == ("all vectors of bow are the same: its points lie on one another",)
    assert set(found.maps[0].points) == {(0.0, 0.0)}
    assert "all vectors are the same" in page(found)


async def test_embeddings_are_recorded() -> None:
    with on.recording() as run:
        await embedding_map(TEXTS, views=["tfidf", "embedded:minilm"])
    assert [(each.kind, each.name) for each in run.records] == [("embed", "embedded:minilm")]


@pytest.mark.parametrize(
    ("error", "said", "options"),
    [
        (UsageError, "a map needs 3 texts or more, not 2. Draw sentences", {"texts": TEXTS[:2]}),
        (UsageError, "a map needs 3 texts or more, not 1", {"texts": ["word " * 9]}),
        (
            UsageError,
            "3 different words or more, not 2. Give more",
            {"texts": ["a b"] * 5, "by_word": True},
        ),
        (UsageError, "no word in the texts", {"texts": ["!", "?", "."]}),
        (UsageError, "the labels are 2, and the texts 6", {"groups": ["a", "b"]}),
        (UsageError, "words have no labels", {"groups": GROUPS, "by_word": True}),
        (UsageError, "no projection 'umap'", {"projection": "umap"}),
        (UsageError, "no view is named", {"views": []}),
        (UsageError, r"views are several, not one: 'tfidf'. Write \['tfidf'\]", {"views": "tfidf"}),
        (UsageError, "texts are several, not one: 'a text'", {"texts": "a text"}),
        (UsageError, "texts are texts, and 5 is none", {"texts": ["a", "b", 5]}),
        (UsageError, "groups are several", {"groups": "a"}),
        (UnknownNameError, "Did you mean 'tfidf'", {"views": ["tf-idf"]}),
        (UnknownNameError, "Did you mean 'embedded:minilm'", {"views": ["embedded:minlm"]}),
    ],
)
async def test_what_is_refused(error: type[Exception], said: str, options: dict[str, str]) -> None:
    with pytest.raises(error, match=said):
        await embedding_map(**{"texts": TEXTS, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("module", ["sklearn", "gensim"])
async def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else find(name)
    )
    with pytest.raises(MissingExtraError, match=r"pip install 'onrecord\[look\]'"):
        await embedding_map(TEXTS, views=["word2vec"])


EVIL = ['<script>alert(1)</script>"', "&amp; ' \x1b[2J \u202e", "]]> --> </title></svg>"]


class Reader(HTMLParser):
    """What a browser would find: tags, texts of titles, policy."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.labels: list[str] = []
        self.policy = ""
        self.links: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = dict(attrs)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "g":
            self.labels.append(named["aria-label"] or "")
        if (
            tag == "meta"
            and "content" in named
            and "policy" in str(named.get("http-equiv")).lower()
        ):
            self.policy = named["content"] or ""
        if tag not in ("meta", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("meta", "circle"):
            assert self.open.pop() == tag


def evil_map() -> EmbeddingMap:
    view = View("<b>bow</b>", ((0.0, 1.0), (1.0, 0.0), (0.5, 0.5)), 7, 0.25)
    return EmbeddingMap(tuple(EVIL), ("<i>", "$x_", ""), "pca", (view, view))


async def test_labels_cannot_become_markup() -> None:
    source = page(evil_map(), "<title> & more")
    found = Reader(source)
    assert found.open == [] and found.tags.count("script") == 1 and "b" not in found.labels
    assert found.tags.count("b") == 2 and "i" not in found.tags  # the names of the two plots
    assert found.labels[0] == f"{EVIL[0]} (<i>)"
    assert found.labels[1] == "&amp; ' \\x1b[2J \\u202e ($x_)"
    assert found.links == [] and "http://" not in source and "https://" not in source
    assert found.policy.startswith("default-src 'none'") and "unsafe" not in found.policy
    assert "hold 25.0 % of the variance" in source


async def test_the_policy_allows_the_page_s_own_script() -> None:
    import base64
    import hashlib
    import re

    source = page(evil_map())
    for kind in ("script", "style"):
        written = re.search(rf"<{kind}>(.*?)</{kind}>", source, re.DOTALL)
        assert written is not None
        digest = base64.b64encode(hashlib.sha256(written[1].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in source


async def test_one_tab_stop_a_plot() -> None:
    assert page(evil_map()).count('tabindex="0"') == 2


async def test_a_picture() -> None:
    data, notes = picture(evil_map(), "$x_{")
    assert data.startswith(b"\x89PNG") and notes == ()
    again, _ = picture(evil_map(), "$x_{")
    assert data == again
    assert (
        "drawn as boxes" in picture(EmbeddingMap(("日本",) * 3, (), "pca", evil_map().maps))[1][0]
    )


async def test_a_long_legend_and_title_of_a_picture_are_not_cut_off() -> None:
    from matplotlib.figure import Figure

    groups = tuple(f"a rather long name of a label no {at % 9}" for at in range(18))
    places = tuple((float(at % 5), float(at)) for at in range(18))
    for count in (1, 2):
        found = EmbeddingMap(("x",) * 18, groups, "pca", (View("bow", places, 2, 1.0),) * count)
        drawn: Figure = figure_of(found, "A title that goes on and on, " * 9)
        drawn.draw_without_rendering()
        for text in drawn.texts:
            box = text.get_window_extent()
            assert box.x0 >= 0 and box.x1 <= drawn.bbox.width, text.get_text()
        heads = [text.get_window_extent().y0 for text in drawn.texts]
        assert min(heads) > max(axes.get_tightbbox().y1 for axes in drawn.axes)


async def test_wide_letters_stay_in_the_frame() -> None:
    frame = Frame(400, 300, 20)
    view = View("x", ((0.0, 0.0), (1.0, 0.5), (2.0, 1.0)), 2, 1.0)
    for dot in dots(view, ["日本語の長い長い長い長い言葉"] * 3, frame, 6):
        wide = 6 * 28
        assert not dot.labelled or (dot.x - 8 - wide >= 0 if dot.left else dot.x + 8 + wide <= 400)


async def test_points_lie_in_the_frame_and_labels_beside_each_other() -> None:
    frame, generator = Frame(400, 300, 20), np.random.default_rng(1)
    points = tuple((float(x), float(y)) for x, y in generator.normal(size=(200, 2)) * 1e-9)
    placed = dots(View("x", points, 2, 1.0), ["label"] * 200, frame, 6)
    assert all(19 <= dot.x <= 381 and 19 <= dot.y <= 281 for dot in placed)
    boxes = [(dot.x - 38 if dot.left else dot.x + 8, dot.y) for dot in placed if dot.labelled]
    assert 5 < len(boxes) < 200
    for at, (x, y) in enumerate(boxes):
        assert all(abs(x - u) >= 30 or abs(y - v) >= 12 for u, v in boxes[:at])
    same = dots(View("x", ((1.0, 1.0),) * 3, 2, None), ["a"] * 3, frame, 6)
    assert [(dot.x, dot.y) for dot in same] == [(200, 150)] * 3


async def test_more_groups_than_colours() -> None:
    groups = tuple("aabbccddeeffgghij")
    found = EmbeddingMap(groups, groups, "pca", ())
    assert len(set(colours(found).values())) == 8
    assert legend(found)[-1][0] == "3 others"


async def test_nothing_is_written_by_the_library(project: Path) -> None:
    await embedding_map(TEXTS, views=["bow"])
    assert [each.name for each in project.iterdir()] in ([], [".onrecord"])
