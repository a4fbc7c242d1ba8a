"""Words of programs, servers and files made fit to be shown: they neither act on the terminal nor tell an account."""

from __future__ import annotations

import re

_ACCOUNT = re.compile(r"//[^/@\s]+@")


def fit(text: str) -> str:
    """The text without control characters (but newlines and tabs) and without the accounts in its URLs.

    Escape sequences in what others said have been used to rewrite terminals (CVE-2021-25743).
    """
    return _ACCOUNT.sub("//", "".join(c for c in text if c.isprintable() or c in "\n\t"))
