"""What makes a function or an object a scorer that tells its name, its version and which way is up.

    @described(of=[metrics.squad_em])      a function is a scorer as it is
    class Contains(Described)              one with options
    rouge = Adjustable("rouge", Rouge)     called with options; where none is needed, also as it is

`best`, `drawn` and `spoken` are what several of them have in common.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, ParamSpec, overload

from onrecord.errors import UsageError
from onrecord.evaluation.scoring import LOWEST, Better
from onrecord.evaluation.statistics import Interval, bootstrap
from onrecord.evaluation.trial import Trial
from onrecord.programs.functions import Code
from onrecord.records.record import content_key, plain

P = ParamSpec("P")


class Described:
    """A scorer with options: `name` is what its measure is called, `version` changes with its code
    and with its options, so that no two of them are taken for one. What a trial counts whose
    application failed is `worst`; one that does not say has none, as any scorer."""

    better: Better = "higher"
    worst: float | None

    def __init__(self, name: str, *options: Any, of: Sequence[Callable[..., Any]] = ()) -> None:
        self.name = name
        self._told = options
        self._of = of

    @functools.cached_property
    def version(self) -> str:
        """The hash of its code, of that of the metrics that it is made of, and of its options."""
        return _version((type(self).__call__, *self._of), plain(self._told))

    def __call__(self, trial: Trial) -> Any:
        """What it says of a trial."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<scorer {self.name}>"


class Function:
    """A function of a trial as a scorer. `described` makes it."""

    def __init__(
        self,
        function: Callable[[Trial], Any],
        name: str,
        of: Sequence[Callable[..., Any]],
        better: Better,
        worst: float | Literal["lowest"] | None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.name = name
        self.better: Better = better
        if worst != LOWEST:  # one that does not say has none, as any scorer
            self.worst = worst
        self._function = function
        self._of = of

    @functools.cached_property
    def version(self) -> str:
        """The hash of its code and of that of the metrics that it is made of."""
        return _version((self._function, *self._of))

    def __call__(self, trial: Trial) -> Any:
        """What it says of a trial."""
        return self._function(trial)

    def __repr__(self) -> str:
        return f"<scorer {self.name}>"


def described(
    *,
    name: str | None = None,
    of: Sequence[Callable[..., Any]] = (),
    better: Better = "higher",
    worst: float | Literal["lowest"] | None = LOWEST,
) -> Callable[[Callable[[Trial], Any]], Function]:
    """Make a function a scorer: `name` is its own where none is given, `of` are the metrics whose
    code its version changes with, `worst` what a trial counts whose application failed. Where it
    is not said, that is the lowest of 0 and what any trial got, or nothing if lower is better."""

    def made(function: Callable[[Trial], Any]) -> Function:
        return Function(function, name or function.__name__, of, better, worst)

    return made


class Adjustable(Generic[P]):
    """A scorer with options: called with options it gives a scorer, and where all of them have
    defaults it is one as it is. `rouge` and `rouge(stem=True)` are both scorers; of `hit(5)`, `hit`
    alone is none, and says so. `public` is what it is called in `on.scorers`, `example` a call of
    one that has to be called."""

    def __init__(self, public: str, make: Callable[P, Described], example: str = "") -> None:
        self.__doc__ = make.__doc__
        self._public = public
        self._make = make
        self._example = example

    @overload
    def __call__(self, trial: Trial, /) -> Any: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Described: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the scorer says of a trial; of anything else, the scorer with these options."""
        if len(args) == 1 and not kwargs and isinstance(args[0], Trial):
            return self._plain(args[0])
        return self._make(*args, **kwargs)

    @functools.cached_property
    def _plain(self) -> Described:
        """The scorer without options. Raises UsageError where it cannot be without."""
        make: Any = self._make
        needed = [
            name
            for name, each in inspect.signature(make).parameters.items()
            if each.default is inspect.Parameter.empty
        ]
        if needed:
            raise UsageError(
                f"the scorer {self._public} has to know its {needed[0]} first",
                cure=f"Call it, as in {self._example}.",
            )
        made: Described = make()
        return made

    @property
    def name(self) -> str:
        """What its measure is called."""
        return self._plain.name

    @property
    def version(self) -> str:
        """That of the scorer without options."""
        return self._plain.version

    @property
    def better(self) -> Better:
        """Which way is up."""
        return self._plain.better

    @property
    def worst(self) -> float | None:
        """What a trial counts whose application failed; there is none where it does not say."""
        return self._plain.worst

    @property
    def overall(self) -> Any:
        """What it says of all trials together; None where that is only their mean."""
        return getattr(self._plain, "overall", None)

    def __repr__(self) -> str:
        return f"<scorer {self._public}>"


def best(trial: Trial, metric: Callable[[Any, Any], Any]) -> Any:
    """What a metric (prediction, expected) says of a trial's answer: the best over the answers that
    are accepted. None where nothing is expected; where only a refusal is right, whether it is one.
    """
    accepted = trial.accepted
    if accepted is None:
        return None
    if not accepted:
        return trial.refused
    return max(metric(trial.answer, each) for each in accepted)


def drawn(
    rows: Sequence[float], statistic: Callable[[Any], float], cases: Sequence[str]
) -> Interval:
    """The bootstrap interval of a statistic of rows, whole cases together where some are repeated:
    2,000 resamples, for these statistics are slower than means."""
    repeated = len(set(cases)) < len(cases)
    return bootstrap(rows, statistic, resamples=2_000, clusters=cases if repeated else None)


def spoken(value: Any) -> Any:
    """A value as metrics of text take it: nothing is the empty text, a number its digits. Lists and
    objects stay, and the metric says that they are no text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _version(functions: Sequence[Callable[..., Any]], options: Any = None) -> str:
    return content_key([_code(each) for each in functions], options)


def _code(function: Callable[..., Any]) -> str:
    """The hash of a function; of one of Onrecord's, of the module with all that helps it there."""
    name = getattr(inspect.unwrap(function), "__module__", None) or ""
    if name.startswith("onrecord."):
        try:
            return _module(name)
        except OSError:  # there is no source beside the compiled code
            pass
    return Code(function).version


@functools.cache
def _module(name: str) -> str:
    return content_key(inspect.getsource(sys.modules[name]))
