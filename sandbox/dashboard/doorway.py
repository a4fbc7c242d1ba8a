"""Opens the page in the browser without its token in an argument, which every user of the machine could read there."""

from __future__ import annotations

import os
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

# Leads on by itself (WHATWG HTML, "Refresh state"); neither page tells the other's server where it came from.
PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>sandbox dashboard</title>
<a href="{url}">sandbox dashboard</a>
"""


@contextmanager
def opened(url: str, folder: Path) -> Iterator[None]:
    """Let the browser open `url` by way of a page in `folder` that only this user can read, removed after the block.

    The folder is one that browsers may read which are confined to files of the home folder that are not hidden, as
    snaps are. Raises OSError when nothing can be written there.
    """
    descriptor, name = tempfile.mkstemp(prefix="sandbox-dashboard-", suffix=".html", dir=folder)  # with mode 0600
    page = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(PAGE.format(url=escape(url)))
        webbrowser.open(page.as_uri())
        yield
    finally:
        page.unlink(missing_ok=True)
