"""A headless Chromium with a home of its own, in which only one root is trusted besides the public ones."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.real.machine import leave_out, need, tool

# As root it refuses its sandbox; --virtual-time-budget lets a page finish before it is looked at.
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom")
# ERR_NETWORK_CHANGED (net/base/net_error_list.h): every network interface of the machine that comes or goes, as
# containers' do, ends what is being connected. A window loads such a page again by itself, headless Chromium does not.
NETWORK_CHANGED = re.compile(r'"net_error":-21\b')
LOADS = 10


@dataclass(frozen=True)
class Browser:
    """Chromium in the folder `home`, new and without a connection at every call."""

    program: str
    home: Path

    def body(self, url: str) -> str:
        """The page at `url` once its scripts have run, from its body on."""
        for _ in range(LOADS):
            profile = Path(tempfile.mkdtemp(dir=self.home))
            files = (f"--user-data-dir={profile}", f"--log-net-log={profile}/net.json")
            said = tool(self.program, *OPTIONS, *files, url, env={"HOME": str(self.home)})
            if not NETWORK_CHANGED.search((profile / "net.json").read_text()):
                break
        return said.rpartition("<body>")[2]


def chromium() -> str:
    """The program; without one the test is left out."""
    return shutil.which("chromium") or shutil.which("google-chrome") or leave_out("needs chromium")


def browser(home: Path, root: Path) -> Browser:
    """A browser that trusts the file `root`."""
    program = chromium()
    need("certutil")
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    tool("certutil", "-d", f"sql:{database}", "-N", "--empty-password")
    tool("certutil", "-d", f"sql:{database}", "-A", "-t", "C,,", "-n", "root", "-i", root)
    return Browser(program, home)
