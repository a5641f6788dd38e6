"""How an experiment runs: what `evaluate` is given besides an application, cases and scorers."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from onrecord.errors import UsageError
from onrecord.evaluation.dataset import Dataset
from onrecord.records.views.wording import shortened


class Plan(NamedTuple):
    """How an experiment runs; `evaluate` says what each means."""

    repeats: int
    concurrent: int
    seed: int
    seconds: float | None
    skip: Collection[str]

    def check(self, dataset: Dataset) -> None:
        """Raises UsageError for what asks nobody, or skips a case that is none."""
        for name, value in (("repeats", self.repeats), ("concurrent", self.concurrent)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UsageError(f"{name}={value!r} asks nobody", cure="Give at least 1.")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise UsageError(
                f"seed={self.seed!r} is no seed", cure="Give 0 or a whole number above."
            )
        is_number = isinstance(self.seconds, int | float) and not isinstance(self.seconds, bool)
        if self.seconds is not None and not (is_number and self.seconds > 0):
            raise UsageError(
                f"seconds={self.seconds!r} is no time", cure="Give a number above 0, or None."
            )
        if isinstance(self.skip, str):
            raise UsageError(
                "what is skipped are several ids, not one", cure=f"Write skip=[{self.skip!r}]."
            )
        known = {each.id for each in dataset}
        for case in self.skip:
            if not isinstance(case, str) or case not in known:
                raise UsageError(
                    f"there is no case '{shortened(str(case), 60)}' to skip", where=dataset.name
                )
