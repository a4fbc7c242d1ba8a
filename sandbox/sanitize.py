"""Makes texts of programs, servers and files safe to show: they neither control the terminal nor leak an account."""

import re

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
    return bottom.strerror or str(bottom) or str(error) if isinstance(bottom, OSError) else str(error)


def deepest(error: BaseException) -> BaseException:
    """Return the error that the others were made from: HTTP libraries keep it in three places."""
    seen: set[int] = set()
    while True:
        seen.add(id(error))
        before = None if error.__suppress_context__ else error.__context__
        candidates = (*error.args, getattr(error, "reason", None), error.__cause__, before)
        inner = (each for each in candidates if isinstance(each, BaseException) and id(each) not in seen)
        if (deeper := next(inner, None)) is None:
            return error
        error = deeper
