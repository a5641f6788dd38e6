"""All prompts of a project: their files, their versions, and what the records know of each.

No code of the project is imported: files are found by where they are, and a prompt that is a
docstring alone is known from its calls. Versions come from the files, from git where there is a
repository, and from the records, which keep the text of every version that was called; each is
told by the hash of its words.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

import onrecord
from onrecord.errors import PromptError, UnknownNameError
from onrecord.prompts.front_matter import guess
from onrecord.prompts.git_history import Commit, Git, GitRefusal
from onrecord.prompts.reading import DEMOS, SUFFIXES, demos_of, demos_path, parsed, read
from onrecord.prompts.template import Template
from onrecord.prompts.uses import Use, uses
from onrecord.prompts.versions import HALF, Kept, words_hash
from onrecord.records.store import Store


class PromptFile(msgspec.Struct, frozen=True):
    """A prompt's file as it is now. `words` is the first half of its version; `problem` says why it
    cannot be read, and then there is no template."""

    name: str
    path: Path
    words: str = ""
    template: Template | None = None
    demos: str = ""
    problem: str = ""


class Version(msgspec.Struct, frozen=True):
    """One version of a prompt: its words (`id`, 16 digits; with its types 32), where they are known
    from, and its calls. `current`: the file holds it now. `commits`: the newest first."""

    id: str
    kept: Kept | None
    current: bool = False
    use: Use | None = None
    commits: tuple[Commit, ...] = ()

    @property
    def last_ns(self) -> int:
        """When it was last in use, or came in."""
        commit = self.commits[0].at_ns if self.commits else 0
        return max(self.use.last_ns if self.use else 0, commit)


class History(msgspec.Struct, frozen=True):
    """The versions of one prompt, the newest first. `without_git` says why git is not asked."""

    name: str
    file: PromptFile | None
    versions: tuple[Version, ...]
    without_git: str = ""


class Listed(msgspec.Struct, frozen=True):
    """A prompt and all calls of it; `uses` the last used version first. `built_in`: it is one of
    Onrecord's own, which its tasks and judges ask with."""

    name: str
    file: PromptFile | None
    uses: tuple[Use, ...]
    built_in: bool = False


def project() -> Path:
    """The folder of the project: that of the settings or the records, else the working folder."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "onrecord.toml").exists() or (folder / ".onrecord").is_dir():
            return folder
    return here


def files(root: Path) -> list[PromptFile]:
    """The prompts in the folders `prompts` of a project, wherever in it they are, by name.

    Hidden folders, virtual environments and installed packages are left out, and so are links to
    folders and files named README.
    """
    return sorted(map(_file, _paths(root)), key=lambda each: (each.name, str(each.path)))


def listed(store: Store, root: Path) -> list[Listed]:
    """Every prompt that has a file or was called, by name."""
    there = files(root)
    used: dict[str, list[Use]] = {}
    for use in uses(store, {each.name for each in there}):
        used.setdefault(use.name, []).append(use)
    several = _several(there)
    found = [
        Listed(each.name, each, tuple(_of(each, used.get(each.name, ()), several)))
        for each in there
    ]
    shown = {id(use) for each in found for use in each.uses}
    for name, of_name in used.items():
        rest = [use for use in of_name if id(use) not in shown]
        own = tuple(use for use in rest if use.version[:HALF] in _built_in())
        others = tuple(use for use in rest if use not in own)
        found += [Listed(name, None, others)] if others else []
        found += [Listed(name, None, own, built_in=True)] if own else []
    return sorted(found, key=lambda each: (each.name, each.file is None))


def history(store: Store, root: Path, name: str) -> History:
    """The versions of a prompt: of the file as it is, in git, in the records.

    `name` may also be the path of its file. Raises UnknownNameError.
    """
    file = named(store, root, name)
    own = file.name if file else name
    calls = uses(store, {own}, only=own)
    if file is not None:
        calls = list(_of(file, calls, _several(files(root))))
    commits, texts, reason = _from_git(file) if file is not None else ([], {}, "")
    by_words: dict[str, Version] = {}
    for words, commit in commits:
        known = by_words.get(words) or Version(words, texts[words])
        by_words[words] = msgspec.structs.replace(known, commits=(*known.commits, commit))
    if file is not None and file.template is not None:
        kept = Kept(file.template.source, file.demos)
        known = by_words.get(file.words) or Version(file.words, kept)
        by_words[file.words] = msgspec.structs.replace(known, current=True, kept=kept)
    versions = list(_joined(by_words, calls))
    versions.sort(key=lambda each: (not each.current, -each.last_ns))
    return History(own, file, tuple(versions), reason)


def named(store: Store, root: Path, name: str) -> PromptFile | None:
    """The file of a prompt; None where it has none and was called. Raises UnknownNameError."""
    there = files(root)
    found = [each for each in there if each.name == name]
    if not found:
        path = Path(os.path.abspath(name))  # noqa: PTH100  # as it is written, links and all
        found = [each for each in there if each.path == path or each.path == root / name]
    if len(found) > 1:
        places = ", ".join(shortest(each.path, root) for each in found)
        raise UnknownNameError(
            f"{len(found)} prompts have the name '{name}'", cure=f"Name one: {places}."
        )
    if found:
        return found[0]
    called = uses(store, only=name)
    if called:
        return None
    others = sorted({each.name for each in there} | {use.name for use in uses(store)})
    listed = "`onrecord prompts list` lists them." if others else _NONE
    raise UnknownNameError(f"there is no prompt '{name}'", cure=guess(name, others) + listed)


def version(of: History, beginning: str) -> Version:
    """The version whose id begins like this; "" is the current one, or the last one called.

    Raises UnknownNameError, and PromptError where the file is asked for and cannot be read.
    """
    if of.file is not None and of.file.problem and not beginning:
        raise PromptError(of.file.problem)
    if not of.versions:
        raise UnknownNameError(f"no version of '{of.name}' is known")
    if not beginning:
        return of.versions[0]
    wanted = beginning.replace(".", "").lower()
    exact = [each for each in of.versions if label(of, each) == beginning]
    found = exact or [each for each in of.versions if each.id.startswith(wanted)]
    if len(found) != 1:
        there = ", ".join(label(of, each) for each in (found or of.versions)[:_SHOWN])
        problem = "more than one version" if found else "no version"
        raise UnknownNameError(
            f"{problem} of '{of.name}' begins with '{beginning}'", cure=f"There are {there}."
        )
    return found[0]


def label(of: History, each: Version) -> str:
    """A version as it is shown: eight digits of its words, and four of its types where the words
    alone are those of several."""
    words = [other.id[:HALF] for other in of.versions]
    own = each.id[:HALF]
    kind = f".{each.id[HALF : HALF + 4]}" if len(each.id) > HALF and words.count(own) > 1 else ""
    return own[:8] + kind


def whole(kept: Kept) -> str:
    """All that is kept of a version, as one text: what two versions are compared by."""
    parts = [kept.text.rstrip("\n")]
    if kept.demos.strip():
        parts += ["", "<!-- demos -->", kept.demos.rstrip("\n")]
    if kept.docstring:
        parts += ["", "<!-- docstring -->", kept.docstring]
    return "\n".join(parts)


def template_of(of: History, each: Version) -> Template | None:
    """The template of a version; None where it is a docstring. Raises PromptError."""
    if of.file is None or each.kept is None:
        return None
    return parsed(each.kept.text, str(of.file.path))


def shortest(path: Path, root: Path) -> str:
    """A path as it is shown: from the project's folder, where it is in there."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _paths(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root, followlinks=False):
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        folders[:] = sorted(
            each for each in folders if not each.startswith(".") and each not in _NOT_OURS
        )
        if Path(folder).name != "prompts":
            continue
        for name in sorted(names):
            path = Path(folder, name)
            readme = path.stem.lower() == "readme"
            if path.suffix in SUFFIXES and path.stem and not name.startswith(".") and not readme:
                yield path


@functools.cache
def _built_in() -> set[str]:
    """The words of Onrecord's own prompts, as they are told in a version."""
    there = (_file(path) for path in _paths(Path(onrecord.__file__).parent))
    return {each.words for each in there if each.words}


def _file(path: Path) -> PromptFile:
    try:
        template = read(path)
        beside = demos_path(template)
        demos = demos_of(template, beside)
    except PromptError as error:
        return PromptFile(path.stem, path, problem=str(error))
    source = demos.source if demos is not None else ""
    return PromptFile(path.stem, path, words_hash(template.source, source), template, source)


def _several(there: Iterable[PromptFile]) -> set[str]:
    """The names that more than one file has."""
    names = [each.name for each in there]
    return {name for name in names if names.count(name) > 1}


def _of(file: PromptFile, of_name: Iterable[Use], several: set[str]) -> Iterator[Use]:
    """The calls of a file's prompt. Where several have its name, those of its words as they are."""
    for use in of_name:
        if file.name not in several or use.version[:HALF] == file.words:
            yield use


def _joined(by_words: dict[str, Version], calls: Iterable[Use]) -> Iterator[Version]:
    """The versions, one for each pair of words and types that was called."""
    called: set[str] = set()
    for use in calls:
        words = use.version[:HALF]
        known = by_words.get(words) or Version(words, use.kept)
        called.add(words)
        yield msgspec.structs.replace(known, id=use.version, use=use, kept=use.kept or known.kept)
    yield from (each for words, each in by_words.items() if words not in called)


def _from_git(
    file: PromptFile,
) -> tuple[list[tuple[str, Commit]], dict[str, Kept], str]:
    """The commits of a file and of its demos, newest first, each with the words it left; the words
    by their hash; and why there are none, in a sentence."""
    git = Git.around(file.path.parent)
    if isinstance(git, str):
        return [], {}, git
    beside = _demos_name(file)
    try:
        texts = git.commits(file.path.name)
        demos = git.commits(beside) if beside else []
        order = git.commits_of(file.path.name, *([beside] if beside else []))
        content = git.texts([each.blob for each in (*texts, *demos) if each.blob])
    except GitRefusal as error:
        return [], {}, str(error)
    return (*_states(texts, demos, order, content), "")


def _demos_name(file: PromptFile) -> str | None:
    """The name of the file of its demos, in its own folder."""
    if file.template is None:
        return f"{file.path.stem}{DEMOS}"
    beside = demos_path(file.template)
    inside = beside is not None and Path(beside).parent == file.path.parent
    return Path(beside).name if beside is not None and inside else None


def _states(
    texts: list[Commit], demos: list[Commit], order: list[str], content: dict[str, str]
) -> tuple[list[tuple[str, Commit]], dict[str, Kept]]:
    of_text = {each.id: each for each in texts}
    of_demos = {each.id: each for each in demos}
    order += [each.id for each in texts if each.id not in set(order)]  # before a renaming
    found: list[tuple[str, Commit]] = []
    kept: dict[str, Kept] = {}
    text, lines = "", ""
    for id in reversed(order):
        if id in of_text:
            text = content.get(of_text[id].blob or "", "")
        if id in of_demos:
            lines = content.get(of_demos[id].blob or "", "")
        commit = of_text.get(id) or of_demos.get(id)
        if not text or commit is None:
            continue
        words = words_hash(text, lines)
        kept[words] = Kept(text, lines)
        if not found or found[-1][0] != words:
            found.append((words, commit))
    return found[::-1], kept


_SHOWN = 6
_NOT_OURS = {"node_modules", "site-packages", "dist-packages", "__pycache__", "__pypackages__"}
_NONE = "A prompt's text is prompts/NAME.md, or the docstring of a function that was called."
