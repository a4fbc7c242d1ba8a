"""The version of a document's format: of one that is not known here nothing else can be judged."""

from __future__ import annotations

import difflib
import re
from typing import Literal

from sandbox.config.yaml_nodes import Fault, Refused, quoted
from sandbox.config.yaml_source import Source

KEY = "apiVersion"
Format = Literal["sandbox.dev/v1"]
CURRENT: Format = "sandbox.dev/v1"
_OURS = re.compile(r"sandbox\.dev/v([0-9]+)((?:alpha|beta)[0-9]+)?")


def require(source: Source) -> None:
    """Raise Refused for a document that says it is in another format than CURRENT; one that says nothing is in that."""
    given = source.data.get(KEY)
    if not isinstance(given, str) or given == CURRENT:
        return  # what is no text is for the model to refuse
    line, shown = source.places[(KEY,)].line, quoted(given)
    if ours := _OURS.fullmatch(given):
        if int(ours[1]) > 1:
            said = f"{KEY}: {shown} is newer than what this sandbox reads, '{CURRENT}'"
            fix = f"pip install --upgrade kube-sandbox (pipx, uv tool: upgrade kube-sandbox), or write it as {CURRENT}"
        else:
            said = f"{KEY}: {shown} is older than what this sandbox reads, '{CURRENT}'"
            fix = f"write `{KEY}: {CURRENT}`; `sandbox config validate` names what else has to change"
    elif difflib.get_close_matches(given.lower(), [CURRENT], 1):
        said, fix = f"{KEY}: must be '{CURRENT}', not {shown}", f"did you mean '{CURRENT}'?"
    else:
        said = f"{KEY}: {shown} is another program's: this is no file of sandbox"
        fix = f"name another file; one of sandbox has `{KEY}: {CURRENT}`"
    raise Refused(Fault(line, said, fix))
