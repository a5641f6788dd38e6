"""Splitters by name, as settings and the command line call them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from onrecord.errors import UnknownNameError, UsageError
from onrecord.models.model import Embedder
from onrecord.retrieval.document import Splitter
from onrecord.retrieval.splitting.by_sentence import Sentences
from onrecord.retrieval.splitting.fixed import FixedTokens
from onrecord.retrieval.splitting.recursive import Recursive
from onrecord.retrieval.splitting.sections import Sections
from onrecord.retrieval.splitting.semantic import Semantic
from onrecord.retrieval.splitting.structure import Structure


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parameters of all splitters; None is the splitter's own default. Sizes are in tokens."""

    max_tokens: int | None = None
    target: int | None = None
    size: int | None = None
    overlap: int | None = None
    sentences: int | None = None
    percentile: float | None = None


def by_name(name: str, embedder: Embedder, options: Options | None = None) -> Splitter:
    """The splitter called `name`: structure, fixed, sentences, recursive, sections or semantic.

    Raises UnknownNameError for another name, UsageError for an option that the splitter has not or
    that is out of range.
    """
    if name not in _SPLITTERS:
        raise UnknownNameError(
            f"there is no splitter named {name!r}", cure=f"Choose one of {', '.join(_SPLITTERS)}"
        )
    build, taken = _SPLITTERS[name]
    options = options or Options()
    given = [field for field in Options.__struct_fields__ if getattr(options, field) is not None]
    foreign = [field for field in given if field not in taken]
    if foreign:
        raise UsageError(
            f"the splitter {name!r} has no option {foreign[0]!r}",
            cure=f"It has: {', '.join(taken)}",
        )
    return build(embedder, options)


def _structure(embedder: Embedder, options: Options) -> Splitter:
    return Structure(embedder, max_tokens=options.max_tokens, target=options.target)


def _fixed(embedder: Embedder, options: Options) -> Splitter:
    return FixedTokens(embedder, size=options.size, overlap=options.overlap or 0)


def _sentences(embedder: Embedder, options: Options) -> Splitter:
    count = 5 if options.sentences is None else options.sentences
    return Sentences(embedder, count=count, max_tokens=options.max_tokens)


def _recursive(embedder: Embedder, options: Options) -> Splitter:
    return Recursive(embedder, size=options.size)


def _sections(embedder: Embedder, options: Options) -> Splitter:
    return Sections(embedder, max_tokens=options.max_tokens)


def _semantic(embedder: Embedder, options: Options) -> Splitter:
    percentile = 90.0 if options.percentile is None else options.percentile
    return Semantic(embedder, percentile=percentile, max_tokens=options.max_tokens)


_Build = Callable[[Embedder, Options], Splitter]
# Name -> how it is built, and the options it takes.
_SPLITTERS: dict[str, tuple[_Build, tuple[str, ...]]] = {
    "structure": (_structure, ("max_tokens", "target")),
    "fixed": (_fixed, ("size", "overlap")),
    "sentences": (_sentences, ("sentences", "max_tokens")),
    "recursive": (_recursive, ("size",)),
    "sections": (_sections, ("max_tokens",)),
    "semantic": (_semantic, ("percentile", "max_tokens")),
}
