"""Embeddings to look at: texts as vectors of several kinds, each drawn in two dimensions.

    found = embedding_map.run(lines, views=["tfidf", "embedded:minilm"])
    found.maps[0].points, found.maps[0].held

| view | what a text's vector is |
|---|---|
| `bow` | how often each word stands in it (bag of words) |
| `tfidf` | the same, rare words weighing more, of unit length |
| `word2vec` | the mean of the vectors of its words, learned here from which words stand together |
| an embedder | what `embedded:minilm`, `hf:NAME` or `openai:NAME` makes of it, on the record |

Two dimensions hold a part of what is there: `held` says which. Points that lie together may still
be far apart in the rest. The same texts give the same map on the same machine: seeds are fixed.

Sources: Mikolov and others, "Distributed Representations of Words and Phrases" (NeurIPS 2013) for
`word2vec`; van der Maaten and Hinton, "Visualizing Data using t-SNE" (JMLR 9, 2008).
"""

from __future__ import annotations

import asyncio
import difflib
import importlib.util
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.arguments import several
from onrecord.calling import Operation
from onrecord.errors import MissingExtraError, UnknownNameError, UsageError
from onrecord.models.calling import embed
from onrecord.models.model import Embedder
from onrecord.models.names import embedder as embedder_named
from onrecord.words import words

if TYPE_CHECKING:
    import scipy.sparse

COUNTED = ("bow", "tfidf", "word2vec")
PROJECTIONS = ("pca", "tsne")
Matrix = NDArray[np.float64]


class View(msgspec.Struct, frozen=True):
    """A map of one kind of vectors.

    `points` are (x, y), one a label, in their order. `dimensions` is what the vectors had. `held`
    is the share of their variance that the two dimensions hold, 0 to 1; None for t-SNE, which keeps
    neighbours and no distances, and where all vectors are the same.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    dimensions: int
    held: float | None


class EmbeddingMap(msgspec.Struct, frozen=True):
    """Texts, or words, as points. `groups` are what they are coloured by; empty where unknown."""

    labels: tuple[str, ...]
    groups: tuple[str, ...]
    projection: str
    maps: tuple[View, ...]
    notes: tuple[str, ...] = ()


@Operation
async def embedding_map(
    texts: Sequence[str],
    *,
    views: Sequence[str] = ("tfidf", "embedded:minilm"),
    by_word: bool = False,
    groups: Sequence[str] = (),
    projection: str = "pca",
    most: int = 500,
) -> EmbeddingMap:
    """Draw texts in two dimensions, once for each view. Three texts are the fewest.

    `by_word`: the points are the words that the texts hold, the `most` frequent ones; for `bow` and
    `tfidf` a word's vector is then which texts it stands in, for an embedder that of the word
    alone. Of more than `most` texts as many are drawn, evenly spread; `word2vec` learns from all.
    `groups`: one a text. `projection`: "pca", or "tsne" (slow above some thousand points).

    Raises UsageError (too few texts, no word in them, not a group a text), UnknownNameError, and
    MissingExtraError without the extra `look`.
    """
    texts, groups = several(texts, "texts", texts=True), several(groups, "groups", texts=True)
    views = tuple(dict.fromkeys(several(views, "views", texts=True)))
    _check(texts, views, by_word, groups, projection)
    split = [words(text) for text in texts]
    counts = Counter(word for each in split for word in each)
    items, notes = _items(texts, counts, by_word, most)
    labels = items if by_word else [texts[at] for at in items]
    maps = []
    for name in views:
        if name in COUNTED:
            # scikit-learn and gensim take processor time: the event loop stays free.
            vectors = await asyncio.to_thread(_counted, name, split, items, by_word)
        else:
            vectors = np.asarray(await embed(embedder_named(name), labels), np.float64)
        if not _varies(vectors):
            notes += (f"all vectors of {name} are the same: its points lie on one another",)
        points, held = await asyncio.to_thread(project, vectors, projection)
        rounded = tuple((float(x), float(y)) for x, y in points + 0.0)  # no -0.0
        maps.append(View(name, rounded, int(vectors.shape[1]), held))
    if "word2vec" in views and counts.total() < _MANY:
        notes += (f"word2vec learned from {counts.total():,} words, too few to mean much",)
    drawn = tuple(groups[at] for at in items) if groups else ()
    return EmbeddingMap(tuple(labels), drawn, projection, tuple(maps), notes)


def project(vectors: Any, projection: str = "pca") -> tuple[Matrix, float | None]:
    """Vectors (rows, dimensions), dense or sparse, in two: shape (rows, 2), and the share of the
    variance that they hold (None for "tsne", and where nothing varies)."""
    _need("sklearn", "a map", "scikit-learn")
    from sklearn.decomposition import PCA

    rows, dimensions = vectors.shape
    wanted = min(2 if projection == "pca" else _FIRST, rows, dimensions)
    if not _varies(vectors):
        return np.zeros((rows, 2)), None
    small = rows * dimensions <= _DENSE or wanted == min(rows, dimensions)
    dense = np.asarray(vectors.todense()) if small and hasattr(vectors, "todense") else vectors
    pca = PCA(wanted, svd_solver="full" if small else "arpack", random_state=0)
    points = pca.fit_transform(dense)
    if projection == "pca":
        held = float(np.sum(pca.explained_variance_ratio_))
        return np.pad(points, ((0, 0), (0, 2 - wanted))), min(held, 1.0)
    from sklearn.manifold import TSNE

    near = min(30.0, (rows - 1) / 3)
    flat = np.pad(points, ((0, 0), (0, max(2 - wanted, 0))))
    return TSNE(2, perplexity=near, init="pca", random_state=0).fit_transform(flat), None


def _check(
    texts: Sequence[str],
    views: Sequence[str],
    by_word: bool,
    groups: Sequence[str],
    projection: str,
) -> None:
    _need("sklearn", "a map", "scikit-learn")
    if not views:
        raise UsageError("no view is named", cure=f"Name some of {', '.join(COUNTED)}.")
    for name in views:
        if name == "word2vec":
            _need("gensim", "the view 'word2vec'", "gensim")
        elif name not in COUNTED:
            _check_embedder(name)
    if projection not in PROJECTIONS:
        raise UsageError(f"there is no projection '{projection}'", cure="Use pca or tsne.")
    if groups and by_word:
        raise UsageError(
            "words have no labels of their own", cure="Leave the labels out, or draw the texts."
        )
    if groups and len(groups) != len(texts):
        raise UsageError(
            f"the labels are {len(groups):,}, and the texts {len(texts):,}",
            cure="Give one label for each text, in their order.",
        )


def _check_embedder(name: str) -> Embedder:
    try:
        return embedder_named(name)
    except UnknownNameError as error:
        close = difflib.get_close_matches(name.lower(), [*COUNTED, "embedded:minilm"], 1)
        hint = f"Did you mean '{close[0]}'? " if close else ""
        if ":" in name and not close:
            raise
        raise UnknownNameError(
            f"there is no view '{name}'",
            cure=f"{hint}There are {', '.join(COUNTED)}, and embedders such as embedded:minilm.",
        ) from error


def _items(
    texts: Sequence[str], counts: Counter[str], by_word: bool, most: int
) -> tuple[Any, tuple[str, ...]]:
    """The points: words, or the places of texts; and what has to be said of those left out."""
    if not counts:
        raise UsageError("there is no word in the texts", cure="Give texts with words.")
    there = len(counts) if by_word else len(texts)
    if there < _FEWEST:
        noun = "different words" if by_word else "texts"
        raise UsageError(
            f"a map needs {_FEWEST} {noun} or more, not {there}",
            cure="Give more text."
            if by_word
            else "Draw sentences or words (--by sentence, --by word), or give more text.",
        )
    if not by_word:
        if there <= most:
            return list(range(there)), ()
        drawn = [there * at // most for at in range(most)]
        return drawn, (f"{most:,} of {there:,} texts are drawn, evenly spread",)
    chosen = [word for word, _ in counts.most_common(most)]
    if there <= most:
        return chosen, ()
    return chosen, (f"{most:,} of {there:,} words are drawn, the most frequent",)


def _counted(
    name: str, split: Sequence[Sequence[str]], items: Sequence[Any], by_word: bool
) -> Matrix | scipy.sparse.csr_matrix:
    """The vectors of the items in the view `name`: shape (items, dimensions)."""
    if name == "word2vec":
        return _word2vec(split, items, by_word)
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    make = CountVectorizer if name == "bow" else TfidfVectorizer
    vectorizer = make(analyzer=_same, dtype=np.float64)
    table = vectorizer.fit_transform(split)
    if by_word:
        return table.T.tocsr()[[vectorizer.vocabulary_[word] for word in items]]
    return table[items]


def _word2vec(split: Sequence[Sequence[str]], items: Sequence[Any], by_word: bool) -> Matrix:
    """Skip-gram vectors of 50 numbers, trained here on the texts alone.

    One worker and a seed: with more of them the order of updates is left to chance.
    """
    from gensim.models import Word2Vec

    model = Word2Vec(
        [list(each) for each in split],
        vector_size=50,
        window=5,
        min_count=1,
        sg=1,
        workers=1,
        seed=1,
        epochs=max(5, min(100, _STEPS // max(1, sum(map(len, split))))),
    )
    vectors = model.wv
    if by_word:
        return np.asarray(vectors[list(items)], np.float64)
    none = np.zeros(vectors.vector_size)
    means = [vectors[split[at]].mean(axis=0) if split[at] else none for at in items]
    return np.asarray(means, np.float64)


def _varies(vectors: Any) -> bool:
    first = vectors[[0]]
    if hasattr(vectors, "todense"):
        return bool(
            np.asarray(vectors.max(axis=0).todense() != vectors.min(axis=0).todense()).any()
        )
    return bool((vectors != first).any())


def _same(each: Sequence[str]) -> Sequence[str]:
    return each


def _need(module: str, what: str, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise MissingExtraError(
            f"{what} needs {package}, which is not installed",
            cure="Install it with `pip install 'onrecord[look]'`.",
        )


_FEWEST = 3
_FIRST = 50  # dimensions that t-SNE is given, as its authors advise
_DENSE = 20_000_000  # numbers: 160 MB
_MANY = 10_000
_STEPS = 500_000  # words to read: short texts are read over and over
