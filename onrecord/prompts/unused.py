"""Arguments that a prompt's text does not show: the model never hears of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from onrecord.errors import PromptError
from onrecord.prompts.template import Template


def check_shown(template: Template, arguments: Sequence[str]) -> str:
    """A sentence that names the arguments which the template does not use; empty where it uses all.

    Raises PromptError where it uses nothing at all, or writes one as `{name}`: then it is the
    template itself that would be sent.
    """
    used = set(template.variables)
    missing = [name for name in arguments if name not in used]
    for section in template.sections:
        for name in missing:
            if found := re.search(_SINGLE.format(re.escape(name)), section.text):
                line = section.line + section.text.count("\n", 0, found.start())
                raise PromptError(
                    f"{found[0]} is sent as it stands there, without the argument's value",
                    where=f"{template.where}:{line}",
                    cure=f"Write {{{{ {name} }}}}.",
                )
    if missing and not used:
        raise PromptError(
            f"the text shows no argument of the prompt: {', '.join(missing)}",
            where=template.where,
            cure=f"Write {{{{ {missing[0]} }}}} where its value belongs.",
        )
    unknown = used - {*arguments, *template.parts.defaults}
    if not missing or unknown:  # that is told when it is rendered
        return ""
    return (
        f"the text does not show {', '.join(map(repr, missing))} ({template.where}): the model"
        " never hears of it"
    )


# Not `{{ name }}`, which a comment or a raw block may hold, `${name}` or a format of its own.
_SINGLE = r"(?<![{{$]){{\s*{}\s*}}(?!}})"
