"""What is looked for on the Hub: one value, checked before anything is asked."""

from __future__ import annotations

import difflib
import math
import re
from typing import Any, Literal, get_args

import msgspec

from onrecord.arguments import several
from onrecord.errors import UsageError
from onrecord.records.query import moment

Sort = Literal["downloads", "likes", "updated", "created", "trending"]


class Filters(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which models to look for, in which order, and how many. None asks for nothing.

    words          a part of the model's name
    task           the Hub's name of a task: "summarization", "text-classification"
    license        the Hub's name of a licence: "apache-2.0"
    languages      codes such as "en"; the model speaks all of them
    min_params, max_params    parameters: a number, or "500M", "1.5B". Models whose size the Hub
                   does not know are left out
    min_downloads  in the last 30 days; min_likes: ever
    updated_since  a date ("2026-01-31") or an age ("90d"), as `onrecord records --since` takes it
    base           the model that it was fine-tuned from
    """

    words: str = ""
    task: str | None = None
    license: str | None = None
    languages: tuple[str, ...] = ()
    min_params: int | str | None = None
    max_params: int | str | None = None
    min_downloads: int | None = None
    min_likes: int | None = None
    updated_since: str | None = None
    base: str | None = None
    sort: Sort = "downloads"
    limit: int = 20


def checked(filters: Filters) -> Filters:
    """The same filters with sizes as numbers. Raises UsageError with one sentence on what is wrong.

    Whether tasks, licences and languages exist is not looked at here: the Hub knows.
    """
    filters = _typed(filters)
    least, most = parameters(filters.min_params), parameters(filters.max_params)
    if least is not None and most is not None and least > most:
        raise UsageError(
            f"no model has at least {short(least)} and at most {short(most)} parameters",
            cure="Swap the two, or leave one out.",
        )
    if filters.sort not in get_args(Sort):
        near = difflib.get_close_matches(str(filters.sort), get_args(Sort), 1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        raise UsageError(
            f"models cannot be sorted by '{filters.sort}'",
            cure=f"{hint}There are {', '.join(get_args(Sort))}.",
        )
    for name, number, lowest in (
        ("limit", filters.limit, 1),
        ("min_downloads", filters.min_downloads, 0),
        ("min_likes", filters.min_likes, 0),
    ):
        if number is not None and not lowest <= number <= _MOST:
            raise UsageError(f"{name} cannot be {number}", cure=f"Give {lowest} or more.")
    texts = (filters.words, filters.task, filters.license, *filters.languages)
    if not all(len(text) <= _LONGEST and text.isprintable() for text in texts if text):
        raise UsageError(
            "a filter is longer than 200 characters, or holds some that no name has",
            cure="Write a part of the name as it is shown on the Hub.",
        )
    names = (filters.task, filters.license, *filters.languages)
    if not all(name.strip() for name in names if name is not None):
        raise UsageError(
            "a task, licence or language to look for is empty", cure="Leave it out, or name one."
        )
    if filters.updated_since is not None:
        moment(filters.updated_since)
    if filters.base is not None:
        checked_name(filters.base)
    return msgspec.structs.replace(filters, min_params=least, max_params=most)


def _typed(filters: Any) -> Filters:
    if not isinstance(filters, Filters):
        raise UsageError(
            f"{filters!r:.80} does not say which models", cure='Write Filters(words="…", task="…").'
        )
    languages = several(filters.languages, "languages", texts=True)
    try:
        given = {**msgspec.structs.asdict(filters), "languages": languages, "sort": "downloads"}
        return msgspec.structs.replace(msgspec.convert(given, Filters), sort=filters.sort)
    except msgspec.ValidationError as error:
        raise UsageError(f"a filter does not fit: {error}") from None


def parameters(size: int | str | None) -> int | None:
    """How many parameters a size says: 500, "500M", "1.5B", "7b"; None stays None.

    Raises UsageError for what is none.
    """
    if size is None:
        return None
    if isinstance(size, str):
        found = _SIZE.fullmatch(size.strip())
        number = float(found[1]) * _UNITS[found[2].upper()] if found else math.nan
    else:
        number = float(size)
    if not 0 <= number <= _MOST:
        raise UsageError(
            f"'{size}' is no number of parameters",
            cure="Write a number with K, M, B or T behind it, such as 500M or 1.5B.",
        )
    return round(number)


def short(count: int) -> str:
    """A number of parameters for people: 60506624 -> "60.5M", 500000000 -> "500M"."""
    for unit in ("T", "B", "M", "K"):
        if count >= 0.9995 * _UNITS[unit]:
            number = count / _UNITS[unit]
            return f"{number:.3g}{unit}" if number < 999.5 else f"{number:.0f}{unit}"
    return str(count)


def checked_name(name: str) -> str:
    """A model's name on the Hub, `owner/name` or `name`. Raises UsageError if it cannot be one."""
    if not _NAME.fullmatch(name) or "--" in name or ".." in name or name.endswith(".git"):
        raise UsageError(
            f"'{name[:120]}' cannot be the name of a model on the Hub",
            cure="A name is OWNER/NAME, of letters, digits, '-', '_' and '.'; a folder needs a '/' "
            "or '.' in front (./folder).",
        )
    return name


def query(filters: Filters, *, page: int) -> dict[str, str | list[str]]:
    """The parameters of the Hub's `GET /api/models` for checked filters.

    The same that `huggingface_hub.HfApi.list_models` sends (a test compares the two).
    """
    tags = [
        *([f"license:{filters.license}"] if filters.license else []),
        *filters.languages,
        *([f"base_model:finetune:{filters.base}"] if filters.base else []),
    ]
    asked: dict[str, str | list[str]] = {
        "filter": tags,
        "pipeline_tag": filters.task or "",
        "num_parameters": _range(filters),
        "search": filters.words,
        "sort": _SORTS[filters.sort],
        "limit": str(page),
        "expand": list(_WANTED),
    }
    return {name: value for name, value in asked.items() if value}


def _range(filters: Filters) -> str:
    sides = (("min", filters.min_params), ("max", filters.max_params))
    return ",".join(f"{side}:{_whole(int(size))}" for side, size in sides if size is not None)


def _whole(count: int) -> str:
    """A number in the largest unit that loses nothing: 1500000000 -> "1500M"."""
    for unit in ("B", "M", "K"):
        if count and count % _UNITS[unit] == 0:
            return f"{count // _UNITS[unit]}{unit}"
    return str(count)


_MOST = 10**15
_LONGEST = 200
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?|\.[0-9]{1,6})[ _]?([KMBT]?)", re.IGNORECASE)
# As huggingface_hub checks it: at most 96 characters, no '-' or '.' at an end.
_NAME = re.compile(r"(?=.{1,96}\Z)(?:[A-Za-z0-9_][\w.-]*/)?[A-Za-z0-9_](?:[\w.-]*\w)?", re.ASCII)
_SORTS: dict[Sort, str] = {
    "downloads": "downloads",
    "likes": "likes",
    "updated": "lastModified",
    "created": "createdAt",
    "trending": "trendingScore",
}
_WANTED = (
    *("pipeline_tag", "tags", "library_name", "safetensors", "gguf", "gated"),
    *("downloads", "likes", "createdAt", "lastModified"),
)
