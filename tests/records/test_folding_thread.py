"""The thread that folds: what it says of a store that cannot be reached."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from onrecord.errors import StorageError
from onrecord.records.folding import thread
from onrecord.settings import Settings


def test_a_store_that_comes_and_goes_is_told_of_once(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (project / "onrecord.toml").write_text("fold_seconds = 0.001\n")
    monkeypatch.delenv("ONRECORD_FOLD_SECONDS")
    folds, enough = [0], threading.Event()

    def now_and_then(*_: object) -> None:
        folds[0] += 1
        if folds[0] == 12:
            enough.set()
        if folds[0] % 2:
            raise StorageError("the server is away")

    monkeypatch.setattr(thread, "_fold", now_and_then)
    attendant = thread.Attendant(Settings.load())
    attendant.attend()
    folding = attendant._thread
    assert folding is not None and enough.wait(30)
    attendant._end(folding)
    said = [each.getMessage() for each in caplog.records]
    assert said == ["records stay in the journal for now: the server is away"]
