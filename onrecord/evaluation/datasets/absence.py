"""Questions that a collection does not answer: about names that stand nowhere in it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import msgspec

from onrecord.evaluation.datasets.heuristics import Draft
from onrecord.retrieval.collection import Collection
from onrecord.retrieval.database import DATABASE, Database


class Absent(msgspec.Struct, frozen=True):
    """A question like one that has an answer, with a name that stands nowhere in its place."""

    draft: Draft
    question: str
    entity: str


class Texts:
    """The texts of a collection, to look something up in all of them."""

    def __init__(self, collection: Collection) -> None:
        self._database = Database(collection.folder / DATABASE, create=False)

    def ids(self) -> list[str]:
        """The ids of all documents, in order."""
        with self._database.reading() as connection:
            return [id for (id,) in connection.execute("SELECT id FROM document ORDER BY id")]

    def hold(self, phrase: str) -> bool:
        """Whether some document holds a phrase; the case of ASCII letters does not matter."""
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT 1 FROM document WHERE instr(lower(text), lower(?)) > 0"
                " OR instr(lower(title), lower(?)) > 0 LIMIT 1",
                (phrase, phrase),
            )
            return found.fetchone() is not None

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def without_answer(draft: Draft, names: Iterable[str], chance: random.Random) -> Iterator[Absent]:
    """The question of a draft about somebody or something else. `names` are names of the
    collection, to make new ones of. Whether one stands nowhere is for the caller to find out."""
    if not draft.swaps:
        return
    old = max(draft.swaps, key=len)
    for entity in _others(old, list(names), chance):
        question = (
            draft.question.replace(f"“{old}”", f"“{entity}”")
            if (draft.made == "heading")
            else draft.question.replace(old, entity)
        )
        if question != draft.question:
            yield Absent(draft, question, entity)


def _others(old: str, names: list[str], chance: random.Random) -> Iterator[str]:
    """First of the collection's own words in a new order, then with a word that nobody uses."""
    parts = [name.split() for name in names if len(name.split()) == len(old.split()) > 1]
    for _ in range(_TRIES if len(parts) > 1 else 0):
        one, other = chance.sample(parts, 2)
        yield " ".join([*one[:-1], other[-1]])
    for _ in range(_TRIES):
        yield " ".join([_invented(chance), *old.split()[1:][-1:]])


def _invented(chance: random.Random) -> str:
    """A word that could be a name: “Vornhal”."""
    middle = "".join(chance.choice(_STARTS) + chance.choice(_VOWELS) for _ in range(2))
    return f"{middle}{chance.choice(_ENDS)}".capitalize()


_TRIES = 5
_STARTS = "b br d dr f g gr h k kl l m n p qu r s st t tr v w z".split()
_VOWELS = "a e i o u ei au".split()
_ENDS = "l n r rn rt lm st ck nd x".split()
