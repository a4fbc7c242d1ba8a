"""Makes texts of programs, servers and files safe to show: they neither control the terminal nor leak an account."""

from __future__ import annotations

import re
from collections.abc import Iterator

_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # such as for colors (ECMA-48, 5.4)
_ACCOUNT = re.compile(r"//[^/\s]+@")  # up to the last @: a password may have one, though it should not


def fit(text: str) -> str:
    """Return the text without control sequences and characters (except newlines and tabs) or accounts in its URLs.

    Escape sequences in foreign texts have been used to rewrite terminals (CVE-2021-25743).
    """
    if not text.isprintable():
        text = "".join(c for c in _CONTROL.sub("", text) if c.isprintable() or c in "\n\t")
    return _ACCOUNT.sub("//", text)


def cause(error: BaseException) -> str:
    """Return the system's own message at the bottom of an error that libraries have wrapped.

    Without one, return the text of `error` itself.
    """
    bottom = deepest(error)
    if isinstance(bottom, OSError) and (said := bottom.strerror or str(bottom)):
        return said
    return str(error)


def deepest(error: BaseException) -> BaseException:
    return list(_wrapped(error, set()))[-1]


def _wrapped(error: BaseException, seen: set[int]) -> Iterator[BaseException]:
    """Yield the error and those that it was made from, outermost first: HTTP libraries keep them in three places."""
    seen.add(id(error))
    yield error
    before = None if error.__suppress_context__ else error.__context__
    inside = (*error.args, getattr(error, "reason", None), error.__cause__, before)
    for one in inside:
        if isinstance(one, BaseException) and id(one) not in seen:
            yield from _wrapped(one, seen)
            return
