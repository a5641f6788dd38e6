from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import onrecord.errors
from onrecord.errors import OnrecordError, SettingsError, StorageError
from onrecord.settings import Settings


def test_defaults(project: Path) -> None:
    settings = Settings.load(environ={})
    assert settings.home == project / ".onrecord"
    assert settings.model == "embedded:extractive"


def test_the_file_then_the_variables(project: Path) -> None:
    (project / "onrecord.toml").write_text('model = "a:b"\ncollection = "notes"\nhome = "kept"\n')
    deep = project / "a" / "b"
    deep.mkdir(parents=True)
    settings = Settings.load(deep, environ={"ONRECORD_MODEL": "c:d", "ONRECORD_RECORD": "false"})
    assert (settings.model, settings.collection, settings.record) == ("c:d", "notes", False)
    assert settings.home == project / "kept"  # relative to the file, from wherever it is read


def test_the_folder_with_a_home_is_the_root(project: Path) -> None:
    (project / ".onrecord").mkdir()
    (project / "deep").mkdir()
    assert Settings.load(project / "deep", environ={}).home == project / ".onrecord"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle = 'x'", "Did you mean 'model'"),
        ("zzz = 1", "The settings are home, model"),
        ("model = [", "not valid TOML"),
        ("max_file_mb = 'many'", "wrong type"),
        ("home = 3", "wrong type"),
    ],
)
def test_mistakes_are_named_with_their_file(project: Path, text: str, message: str) -> None:
    (project / "onrecord.toml").write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        Settings.load(environ={})
    assert "onrecord.toml" in str(caught.value)


def test_a_wrong_variable_is_named(project: Path) -> None:
    with pytest.raises(SettingsError, match=r"ONRECORD_MODLE.*Did you mean 'model'"):
        Settings.load(environ={"ONRECORD_MODLE": "x"})
    with pytest.raises(SettingsError, match="cannot be read"):
        (project / "onrecord.toml").mkdir()
        Settings.load(environ={})
    (project / "onrecord.toml").rmdir()
    assert Settings.load(environ={"ONRECORD_BENCH_DATA": "elsewhere"}) == Settings.load(environ={})
    with pytest.raises(SettingsError, match="variable ONRECORD_RECORD"):
        Settings.load(environ={"ONRECORD_RECORD": "perhaps"})


def test_an_error_says_what_where_and_what_to_do() -> None:
    error = StorageError("the disk is full", where="/there", cure="Free some space.")
    assert str(error) == "the disk is full (/there). Free some space."
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is StorageError
    assert (again.what, again.where, again.cure) == (error.what, error.where, error.cure)


def test_the_drawn_tree_of_errors_is_the_real_one() -> None:
    drawn: dict[str, tuple[str, int]] = {}
    trail: list[str] = []
    for line in (onrecord.errors.__doc__ or "").splitlines():
        words = line.replace("│", " ").replace("├──", "   ").replace("└──", "   ").split()
        if not words or not words[0].endswith("Error"):
            continue
        depth = (len(line) - len(line.lstrip(" │├└─"))) // 4
        trail = [*trail[: depth - 1], words[0]]
        number = next((int(word) for word in words[1:3] if word.isdigit()), -1)
        drawn[words[0]] = (trail[-2] if len(trail) > 1 else "Exception", number)
    real = {
        cls.__name__: (cls.__base__.__name__, cls.exit_status)
        for cls in vars(onrecord.errors).values()
        if isinstance(cls, type) and issubclass(cls, OnrecordError) and cls.__base__
    }
    assert {name: parent for name, (parent, _) in drawn.items()} == {
        name: parent for name, (parent, _) in real.items()
    }
    for name, (_, number) in drawn.items():
        if number >= 0 and name != "OnrecordError":
            assert real[name][1] == number, name


@pytest.mark.parametrize(
    "line",
    [
        "keep_days = -1",
        "keep_days = 0",
        "keep_days = nan",
        "journal_mb = inf",
        "max_body_mb = nan",
        "fold_seconds = 1e300",
        "fold_seconds = -1",
        "journal_mb = 0",
    ],
)
def test_an_impossible_number_is_named(project: Path, line: str) -> None:
    (project / "onrecord.toml").write_text(f"{line}\n")
    with pytest.raises(SettingsError, match=line.partition(" ")[0]):
        Settings.load()


@pytest.mark.parametrize("home", ["", ".", "./"])
def test_a_home_that_is_the_project_itself_is_refused(project: Path, home: str) -> None:
    (project / "onrecord.toml").write_text(f'home = "{home}"\n')
    with pytest.raises(SettingsError, match="'home' is the project's folder itself"):
        Settings.load()


def test_several_values_of_a_variable_stand_between_commas(project: Path) -> None:
    settings = Settings.load(environ={"ONRECORD_REDACT": "fields, keys"})
    assert settings.redact == ("fields", "keys")


def test_a_folder_above_that_everybody_may_write_to_is_no_project(tmp_path: Path) -> None:
    common, mine = tmp_path / "common", tmp_path / "common" / "mine" / "deep"
    mine.mkdir(parents=True)
    (common / ".onrecord").mkdir()
    (common / "onrecord.toml").write_text("max_body_mb = 7\n")
    assert Settings.load(mine).max_body_mb == 7
    common.chmod(0o1777)
    assert Settings.load(mine).home == mine / ".onrecord"
    (mine.parent / ".onrecord").mkdir()
    assert Settings.load(mine).home == mine.parent / ".onrecord"
    assert Settings.load(common).max_body_mb == 7  # who works there means it
