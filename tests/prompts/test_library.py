"""All prompts of a project: found as files, joined to their calls, followed through git."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from onrecord.errors import ModelError, UnknownNameError
from onrecord.models.scripted import Scripted
from onrecord.models.wrappers.cached import cached
from onrecord.programs.flow import flow, step
from onrecord.prompts.library import files, history, label, listed, project, version
from onrecord.prompts.prompt import prompt
from onrecord.prompts.versions import Kept, read_kept, words_hash, written
from onrecord.records.record import Record, new_id
from onrecord.records.store import Store

TEXT = "---\nmodel: scripted:echo\n---\n# system\n{}\n# user\n{{{{ mail }}}}\n"
DEMO = '{"inputs": {"mail": "a"}, "output": "b"}\n'


@prompt
async def triage(mail: str) -> str:
    """Which desk?"""


@prompt(model="scripted:echo")
async def bare(mail: str) -> str:
    """Say it."""


@flow
async def bystander(mail: str) -> str:
    return mail


@pytest.fixture(autouse=True)
def root(project, monkeypatch):
    monkeypatch.chdir(project)
    (project / "onrecord.toml").write_text("")
    return project


def write(words, name="triage", folder="prompts"):
    path = Path(folder) / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TEXT.format(words))
    return path


def git(*arguments, **more):
    command = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, env=os.environ | more)


def commit(subject, when):
    git("add", "-A", "prompts")
    git("commit", "-qm", subject, GIT_COMMITTER_DATE=f"{1_700_000_000 + when} +0000")


def versions(name="triage"):
    of = history(Store.open(), project(), name)
    return of, [(each.use.calls if each.use else 0, len(each.commits)) for each in of.versions]


# -- files


def test_files_are_found_wherever_they_are_and_nothing_else(root):
    write("a")
    write("b", "inner", "package/deep/prompts")
    for folder in (".hidden/prompts", "node_modules/x/prompts", "env/lib/prompts", "docs"):
        write("no", "no", folder)
    (root / "env/pyvenv.cfg").write_text("")
    write("no", "README")
    (root / "prompts/other.txt").write_text("x")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "prompts/pipe.md")
    (root / "prompts/v1.prompty").write_text("user:\nHi")
    found = files(root)
    assert [each.name for each in found] == ["inner", "pipe", "triage", "v1"]
    assert "it is no file" in found[1].problem
    assert found[3].template is not None


def test_a_broken_file_is_listed_with_its_problem(root):
    write("x").write_text("---\nmodel")
    (broken,) = listed(Store.open(), root)
    assert broken.file.problem.startswith("the front matter is not closed")
    assert broken.uses == ()


# -- versions


def test_the_first_half_of_a_version_is_told_from_the_file(root):
    write("Sort.")
    (file,) = files(root)
    assert triage.version.startswith(file.words)
    (root / "prompts/triage.demos.jsonl").write_text(DEMO)
    (with_demos,) = files(root)
    assert triage.version.startswith(with_demos.words) and with_demos.words != file.words
    assert words_hash("a\r\nb") == words_hash("a\nb")


@pytest.mark.parametrize(
    "kept",
    [
        Kept("words", "", "", "f(a: str)"),
        Kept("words\n\nmore", DEMO.strip(), "Doc.\n\nMore.", "f(a: str, return: str)"),
        Kept("<!-- prompt: x -->\nend", "", "", "f(x)"),
        Kept("", "", "", "f(x)"),
    ],
)
def test_what_is_kept_is_read_again(kept):
    assert read_kept(written(kept)) == kept
    assert read_kept("async def f():\n    return 1") is None


# -- the records


def test_calls_failures_models_and_what_has_no_file(root):
    write("Sort.")
    asked = triage.using(Scripted(["x", "y"]))
    asked.run("1"), asked.run("2")
    with pytest.raises(ModelError):
        asked.run("3")
    bare.run("x")
    bystander.run("y")
    named, without = sorted(listed(Store.open(), root), key=lambda each: each.file is None)
    (use,) = named.uses
    assert (use.calls, use.failed, use.models) == (3, 1, ("scripted:test",))
    assert use.kept.text == TEXT.format("Sort.").rstrip() and use.kept.types.startswith("triage(")
    assert (without.name, without.file, without.uses[0].kept.text) == ("bare", None, "Say it.")
    assert without.uses[0].models == ("scripted:echo",)


def test_a_step_with_the_name_of_a_prompt_is_none(root):
    write("Sort.")

    async def triage() -> str:
        return "x"

    own = step(triage)

    @flow
    async def outer() -> str:
        return await own()

    outer.run()
    (found,) = listed(Store.open(), root)
    assert found.uses == ()


def test_what_a_wrapper_asked_is_counted_once(root):
    write("Sort.")
    asked = triage.using(cached(Scripted(["x"])))
    asked.run("1"), asked.run("1")
    (found,) = listed(Store.open(), root)
    (use,) = found.uses
    assert use.calls == 2 and use.cost == 0 and len(use.models) == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_was_asked_and_taken_is_added_up(root, request, monkeypatch, kind):
    if kind == "postgresql":
        monkeypatch.setenv("ONRECORD_STORE", request.getfixturevalue("postgres"))
    write("Sort.")
    now = time.time_ns()

    def call(kind, name, parent=None, **changes):
        id = new_id()
        run = parent.run if parent else id
        above = parent.id if parent else None
        return Record(id, run, above, kind, name, {}, "k", now, "x", None, now, **changes)

    step = call("step", "triage", version=triage.version, state="done")
    model = call("model", "cached:m", step, state="done")
    attempts = [
        call("model", "openai:m", model, cost=700, state="failed"),
        call("model", "openai:m", model, cost=None, state="done"),
    ]
    search = call("search", "triage demos", step, state="done")
    embedded = call("embed", "openai:e", search, cost=5, state="done")
    again = call("step", "triage", version=triage.version, state="done")
    reused = call("model", "openai:m", again, cost=900, state="done", source=attempts[1].id)
    elsewhere = call("model", "openai:m", call("flow", "f"), cost=10_000, state="done")
    store = Store.open()
    store.take([step, model, *attempts, search, embedded, again, reused, elsewhere])
    (found,) = listed(store, root)
    (use,) = found.uses
    assert (use.calls, use.cost, use.unpriced) == (2, 705, 1)
    assert set(use.models) == {"cached:m", "openai:m"}
    assert history(store, root, "triage").versions[0].use.cost == 705
    store.close()


def test_history_without_git_is_that_of_the_records(root):
    write("One.")
    triage.using(Scripted("x")).run("1")
    write("Two.")
    of, counts = versions()
    assert counts == [(0, 0), (1, 0)] and of.versions[0].current
    assert "not a git repository" in of.without_git
    assert "One." in of.versions[1].kept.text
    assert version(of, label(of, of.versions[1])) == of.versions[1]
    with pytest.raises(UnknownNameError, match="no version of 'triage' begins with 'zz'"):
        version(of, "zz")


def test_equal_words_with_other_types_are_told_apart(root):
    write("One.")
    triage.using(Scripted("x")).run("1")

    @prompt(name="triage")
    async def other(mail: str) -> int:
        """Which desk?"""

    other.using(Scripted("1")).run("1")
    of, counts = versions()
    assert counts == [(1, 0), (1, 0)]
    labels = [label(of, each) for each in of.versions]
    assert labels[0] != labels[1] and labels[0][:9] == labels[1][:9] and labels[0][8] == "."
    assert [version(of, each) for each in labels] == list(of.versions)
    with pytest.raises(UnknownNameError, match="more than one version"):
        version(of, labels[0][:6])


def test_two_files_of_one_name(root):
    write("One.")
    write("Other.", folder="package/prompts")
    triage.using(Scripted("x")).run("1")
    first, second = sorted(listed(Store.open(), root), key=lambda each: len(each.uses))
    assert (len(first.uses), len(second.uses)) == (0, 1)
    with pytest.raises(UnknownNameError, match=r"2 prompts have the name 'triage'. Name one: "):
        history(Store.open(), root, "triage")
    assert history(Store.open(), root, "package/prompts/triage.md").name == "triage"


def test_an_unknown_name_has_the_closest(root):
    write("One.")
    with pytest.raises(UnknownNameError, match=r"no prompt 'triag'. Did you mean 'triage'\?"):
        history(Store.open(), root, "triag")


# -- git


def test_git_tells_versions_that_were_never_called_through_a_renaming(root):
    git("init", "-q", ".")
    write("One word and some more of them.", "old")
    commit("first", 0)
    git("mv", "prompts/old.md", "prompts/triage.md")
    commit("renamed", 10)
    write("Two.")
    commit("second \x1b[31m", 20)
    triage.using(Scripted("x")).run("1")
    (root / "prompts/triage.demos.jsonl").write_text(DEMO)
    commit("demos", 30)
    write("Three.")
    of, counts = versions()
    assert of.without_git == ""
    assert [[each.subject for each in one.commits] for one in of.versions] == [
        [],
        ["second \x1b[31m"],
        ["demos"],
        ["first"],
    ]
    assert [count for count, _ in counts] == [0, 1, 0, 0]
    assert of.versions[2].kept.demos == DEMO
    assert "One word" in of.versions[3].kept.text


def test_a_version_that_came_back_has_both_commits(root):
    git("init", "-q", ".")
    for at, words in enumerate(["One.", "Two.", "One."]):
        write(words)
        commit(words, at)
    of, counts = versions()
    assert counts == [(0, 2), (0, 1)] and of.versions[0].current


def test_without_the_program_git(root, monkeypatch):
    write("One.")
    monkeypatch.setenv("PATH", str(root / "nothing"))
    of, _ = versions()
    assert of.without_git == "git is not installed" and len(of.versions) == 1


def test_a_hostile_repository_runs_nothing(root):
    git("init", "-q", ".")
    write("One.")
    commit("one", 0)
    trap = root / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {root}/sprung\ncat\n")
    trap.chmod(0o755)
    for setting in (
        *("core.fsmonitor", "core.pager", "pager.log", "diff.external", "gpg.program"),
        *("diff.trap.textconv", "diff.trap.command", "filter.trap.smudge", "filter.trap.clean"),
        *("core.sshCommand", "core.alternateRefsCommand", "core.askPass", "alias.log"),
    ):
        git("config", setting, str(trap))
    git("config", "core.hooksPath", str(root))
    git("config", "log.showSignature", "true")
    for hook in ("post-index-change", "post-checkout", "reference-transaction"):
        shutil.copy(trap, root / hook)
    (root / ".gitattributes").write_text("*.md diff=trap filter=trap\n")
    of, counts = versions()
    assert counts == [(0, 1)] and of.without_git == ""
    assert not (root / "sprung").exists()


@pytest.mark.parametrize(
    "name", ["-rf", "--output=x", "a b", "a'\";$(touch y)", "ü\x1b[31m", "a:b"]
)
def test_hostile_names_are_names(root, name):
    git("init", "-q", ".")
    write("One.", name)
    commit("one", 0)
    of, counts = versions(name)
    assert counts == [(0, 1)] and of.name == name
    assert {each.name for each in root.iterdir()} == {
        ".git",
        ".onrecord",
        "onrecord.toml",
        "prompts",
    }


def test_a_name_with_a_line_break_and_a_repository_without_commits(root):
    git("init", "-q", ".")
    write("One.", "a\nb")
    of, counts = versions("a\nb")
    assert counts == [(0, 0)] and "does not have any commits yet" in of.without_git
    commit("one", 0)
    assert versions("a\nb")[1] == [(0, 1)]
