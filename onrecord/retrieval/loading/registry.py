"""Which loader reads which file: a table by suffix, then plugins, then plain text.

To add a format: write one function with the signature of `Loader`, add one line to `LOADERS`. A
package of your own needs no change here; it declares, in its pyproject.toml,

    [project.entry-points."onrecord.loaders"]
    epub = "your_package:load_epub"        # the name is the suffix without its dot

and is asked for suffixes that the table does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Protocol, cast

from onrecord.errors import UsageError
from onrecord.retrieval.document import Document, Failure, Fields
from onrecord.retrieval.loading.html import load_html
from onrecord.retrieval.loading.json_rows import load_json, load_json_lines
from onrecord.retrieval.loading.mail import load_mail
from onrecord.retrieval.loading.markdown import load_markdown
from onrecord.retrieval.loading.pdf import load_pdf
from onrecord.retrieval.loading.plain import load_python, load_text
from onrecord.retrieval.loading.presentation import load_pptx
from onrecord.retrieval.loading.rst import load_rst
from onrecord.retrieval.loading.spreadsheet import load_xlsx
from onrecord.retrieval.loading.table import load_table
from onrecord.retrieval.loading.unreadable import load_unreadable
from onrecord.retrieval.loading.word import load_docx

Loaded = Document | Failure


class Loader(Protocol):
    """Reads one file format."""

    def __call__(self, path: Path, fields: Fields, document_id: str) -> Iterator[Loaded]:
        """The documents of the file: one with `document_id`, or one a row, each with its own id.

        A part that cannot be read (a bad line, a row without text) is yielded as a Failure with
        the file's path, and the rest goes on. Raises LoadError with the reason, in one clause,
        where the file as a whole cannot be read; UsageError where `fields` names a field that the
        file has not; MissingExtraError where a package is missing. Anything else that it lets
        through, `load` turns into a LoadError.
        """


def loader_for(path: Path) -> Loader:
    """The loader of the file's suffix; plain text for a suffix that nobody knows."""
    suffix = path.suffix.lower()
    if loader := LOADERS.get(suffix) or _plugin(suffix):
        return loader
    return load_unreadable if suffix in UNREADABLE else load_text


def can_load(path: Path) -> bool:
    """Whether the suffix has a loader of its own. Other files are tried as plain text."""
    return path.suffix.lower() in LOADERS or loader_for(path) is not load_text


@cache
def _plugin(suffix: str) -> Loader | None:
    from importlib.metadata import entry_points

    for entry in entry_points(group="onrecord.loaders", name=suffix.removeprefix(".")):
        try:
            return cast("Callable[..., Iterator[Loaded]]", entry.load())
        except Exception as error:  # a plugin's import can fail in any way
            raise UsageError(
                f"the loader for {suffix} files cannot be imported: {error}",
                where=entry.value,
                cure="Repair or uninstall the package that declares it",
            ) from error
    return None


LOADERS: dict[str, Loader] = {
    ".txt": load_text,
    ".text": load_text,
    ".log": load_text,
    ".py": load_python,
    ".pyi": load_python,
    ".md": load_markdown,
    ".markdown": load_markdown,
    ".rst": load_rst,
    ".rest": load_rst,
    ".html": load_html,
    ".htm": load_html,
    ".xhtml": load_html,
    ".csv": load_table,
    ".tsv": load_table,
    ".tab": load_table,
    ".json": load_json,
    ".jsonl": load_json_lines,
    ".ndjson": load_json_lines,
    ".eml": load_mail,
    ".pdf": load_pdf,
    ".docx": load_docx,
    ".pptx": load_pptx,
    ".xlsx": load_xlsx,
    ".xlsm": load_xlsx,
}
# Documents that a plugin may read and this package does not: named, so that no folder of them
# is passed over as if it had been read.
UNREADABLE = frozenset(
    {".doc", ".docm", ".epub", ".key", ".mobi", ".msg", ".numbers", ".odp", ".ods", ".odt"}
    | {".pages", ".ppt", ".pptm", ".rtf", ".xls", ".xlsb"}
)
