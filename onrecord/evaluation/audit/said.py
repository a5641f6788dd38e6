"""What every form of an audit says in the same words: its heading, its facts, what it is not."""

from __future__ import annotations

from onrecord.evaluation.audit.findings import Audit
from onrecord.evaluation.audit.wording import amount, day
from onrecord.records.views.wording import shortened

SOURCE = (
    "Mökander, J., Schuett, J., Kirk, H. R., Floridi, L.: Auditing large language models: a "
    "three-layered approach. AI and Ethics 4, 1085–1115 (2024)"
)
ADDRESS = "https://doi.org/10.1007/s43681-023-00289-2"
LEGEND = (
    ("on record", "it was seen, in the place named beside it."),
    ("stated", "somebody wrote it down; nobody checked it."),
    ("gap", "it is not known, was not done, or was seen to be missing."),
)
LIMITS = (
    "This is evidence for an audit, gathered by the project on itself. It judges nothing: a risk "
    "with evidence is not a small risk, and a question without a gap is not a good answer. What a "
    "scorer or a dataset is about is taken from its name. Versions are compared as recorded: of a "
    "flow they change with its own code, not with all that this code calls."
)


def heading(audit: Audit) -> str:
    """What was audited."""
    return f"Audit of {shortened(audit.project, 60)}"


def facts(audit: Audit) -> str:
    """When, of which uses, and how many findings there are: one line."""
    since = f" of uses since {day(audit.since_ns)}" if audit.since_ns is not None else ""
    return (
        f"{day(audit.at_ns)}{since}: {amount(audit.count('gap'), 'gap')}, "
        f"{amount(audit.count('seen'), 'answer')} on record, {audit.count('stated'):,} stated"
    )
