"""Onrecord: LLM applications, on the record.

The public names, each loaded when it is first asked for, so that `import onrecord` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onrecord.errors import LimitError as LimitError
    from onrecord.errors import ModelError as ModelError
    from onrecord.errors import OnrecordError as OnrecordError
    from onrecord.errors import PausedError as PausedError
    from onrecord.evaluation import scorers as scorers
    from onrecord.evaluation.dataset import Case as Case
    from onrecord.evaluation.dataset import Dataset as Dataset
    from onrecord.evaluation.experiments.changes import compare as compare
    from onrecord.evaluation.experiments.experiment import evaluate as evaluate
    from onrecord.evaluation.experiments.report import Report as Report
    from onrecord.evaluation.gate import gate as gate
    from onrecord.evaluation.judges.judge import judge as judge
    from onrecord.evaluation.rows import rows as rows
    from onrecord.evaluation.rows import write_rows as write_rows
    from onrecord.evaluation.trial import Score as Score
    from onrecord.evaluation.trial import Trial as Trial
    from onrecord.messages import Citation as Citation
    from onrecord.messages import Cited as Cited
    from onrecord.messages import Completion as Completion
    from onrecord.messages import Message as Message
    from onrecord.messages import Partial as Partial
    from onrecord.messages import Passage as Passage
    from onrecord.messages import Progress as Progress
    from onrecord.messages import Question as Question
    from onrecord.messages import Result as Result
    from onrecord.messages import TextDelta as TextDelta
    from onrecord.messages import ToolCall as ToolCall
    from onrecord.messages import Usage as Usage
    from onrecord.models.names import embedder as embedder
    from onrecord.models.names import model as model
    from onrecord.models.scripted import Scripted as Scripted
    from onrecord.models.wrappers.cached import cached as cached
    from onrecord.models.wrappers.cascade import cascade as cascade
    from onrecord.models.wrappers.fallback import fallback as fallback
    from onrecord.models.wrappers.limited import limited as limited
    from onrecord.models.wrappers.retrying import retry as retry
    from onrecord.models.wrappers.similar import calibrate_similarity as calibrate_similarity
    from onrecord.programs import tools as tools
    from onrecord.programs.agents.agent import Agent as Agent
    from onrecord.programs.agents.compaction import Memory as Memory
    from onrecord.programs.agents.outcome import Done as Done
    from onrecord.programs.agents.outcome import Paused as Paused
    from onrecord.programs.agents.outcome import Stopped as Stopped
    from onrecord.programs.agents.outcome import Turn as Turn
    from onrecord.programs.answering import ask as ask
    from onrecord.programs.flow import flow as flow
    from onrecord.programs.flow import step as step
    from onrecord.programs.gathering import gather as gather
    from onrecord.programs.pausing import pause as pause
    from onrecord.programs.routing import router as router
    from onrecord.programs.tasks.task import task as task
    from onrecord.programs.tool import tool as tool
    from onrecord.prompts.prompt import prompt as prompt
    from onrecord.prompts.untrusted import untrusted as untrusted
    from onrecord.records.ledger import budget as budget
    from onrecord.records.limits import Limits as Limits
    from onrecord.records.query import Query as Query
    from onrecord.records.replay import replay as replay
    from onrecord.records.scope import context as context
    from onrecord.records.scope import recording as recording
    from onrecord.records.store import Store as Store
    from onrecord.retrieval.collection import Collection as Collection
    from onrecord.retrieval.document import Document as Document
    from onrecord.settings import Settings as Settings

__version__ = "0.1.0"

_HOMES = {
    "onrecord.errors": ["LimitError", "ModelError", "OnrecordError", "PausedError"],
    "onrecord.evaluation": ["scorers"],
    "onrecord.evaluation.dataset": ["Case", "Dataset"],
    "onrecord.evaluation.experiments.changes": ["compare"],
    "onrecord.evaluation.experiments.experiment": ["evaluate"],
    "onrecord.evaluation.experiments.report": ["Report"],
    "onrecord.evaluation.gate": ["gate"],
    "onrecord.evaluation.judges.judge": ["judge"],
    "onrecord.evaluation.rows": ["rows", "write_rows"],
    "onrecord.evaluation.trial": ["Score", "Trial"],
    "onrecord.messages": [
        "Citation",
        "Cited",
        "Completion",
        "Message",
        "Partial",
        "Passage",
        "Progress",
        "Question",
        "Result",
        "TextDelta",
        "ToolCall",
        "Usage",
    ],
    "onrecord.models.wrappers.cached": ["cached"],
    "onrecord.models.wrappers.cascade": ["cascade"],
    "onrecord.models.wrappers.fallback": ["fallback"],
    "onrecord.models.wrappers.limited": ["limited"],
    "onrecord.models.names": ["embedder", "model"],
    "onrecord.models.wrappers.retrying": ["retry"],
    "onrecord.models.scripted": ["Scripted"],
    "onrecord.models.wrappers.similar": ["calibrate_similarity"],
    "onrecord.programs": ["tools"],
    "onrecord.programs.agents.agent": ["Agent"],
    "onrecord.programs.agents.compaction": ["Memory"],
    "onrecord.programs.agents.outcome": ["Done", "Paused", "Stopped", "Turn"],
    "onrecord.programs.answering": ["ask"],
    "onrecord.programs.flow": ["flow", "step"],
    "onrecord.programs.gathering": ["gather"],
    "onrecord.programs.pausing": ["pause"],
    "onrecord.programs.routing": ["router"],
    "onrecord.programs.tasks.task": ["task"],
    "onrecord.programs.tool": ["tool"],
    "onrecord.prompts.prompt": ["prompt"],
    "onrecord.prompts.untrusted": ["untrusted"],
    "onrecord.records.ledger": ["budget"],
    "onrecord.records.limits": ["Limits"],
    "onrecord.records.query": ["Query"],
    "onrecord.records.scope": ["context", "recording"],
    "onrecord.records.replay": ["replay"],
    "onrecord.records.store": ["Store"],
    "onrecord.retrieval.collection": ["Collection"],
    "onrecord.retrieval.document": ["Document"],
    "onrecord.settings": ["Settings"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'onrecord' has no attribute '{name}'")
    # As `from … import` does it: a module inside of a folder is a name of it as well.
    value: object = getattr(__import__(_HOME[name], fromlist=[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
