"""The facts about this machine and its user that decide which trust stores there are and how they are changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.system import process

_SLASH = Path("/")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_NSS_TOOLS = {
    "debian": "sudo apt install libnss3-tools",
    "fedora": "sudo dnf install nss-tools",
    "rhel": "sudo dnf install nss-tools",
    "arch": "sudo pacman -S nss",
    "suse": "sudo zypper install mozilla-nss-tools",
    "alpine": "sudo apk add nss-tools",
    "darwin": "brew install nss",
}


@dataclass(frozen=True)
class Machine:
    """What counts here: the user's home, the sandbox's own folder for roots, who is at work, and what is installed.

    `kin` is the system's names, its own first, its ancestors' after (os-release(5): ID, ID_LIKE; `darwin` for macOS).
    `sudo_user` is who called `sudo sandbox`, empty when nobody did. `java_home` is where the user's Java is, if any.
    """

    home: Path
    folder: Path
    kin: tuple[str, ...]
    is_root: bool = False
    sudo_user: str = ""
    java_home: Path | None = None
    browsers: tuple[str, ...] = ()
    wsl: bool = False
    slash: Path = field(default=_SLASH)

    @property
    def is_macos(self) -> bool:
        """Whether it is a Mac."""
        return self.kin[:1] == ("darwin",)

    @property
    def nss_tools(self) -> str:
        """The command that installs NSS's certutil."""
        known = (_NSS_TOOLS[name] for name in self.kin if name in _NSS_TOOLS)
        return next(known, "install certutil, of Network Security Services (NSS)")


def here(folder: Path) -> Machine:
    """This machine, where the sandbox keeps its record of trusted roots in `folder`."""
    sudo_user = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    return Machine(
        home=Path.home(),
        folder=folder,
        kin=("darwin",) if sys.platform == "darwin" else _kin(_read("/etc/os-release")),
        is_root=os.geteuid() == 0,
        sudo_user="" if sudo_user == "root" else sudo_user,
        java_home=_java_home(),
        browsers=tuple(name for name in _BROWSERS if process.which(name)),
        wsl="microsoft" in _read("/proc/sys/kernel/osrelease").lower(),
    )


def _kin(os_release: str) -> tuple[str, ...]:
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    return tuple(name for key in ("ID", "ID_LIKE") for name in fields.get(key, "").strip("\"'").split())


def _java_home() -> Path | None:
    if found := os.environ.get("JAVA_HOME"):
        return Path(found)
    # A Mac's /usr/bin/java is a stub, which knows where the real one is.
    if sys.platform == "darwin":
        try:
            return Path(process.run(["/usr/libexec/java_home"], timeout=10).strip())
        except process.ToolFailed:
            return None
    program = process.which("java")
    return program.resolve().parent.parent if program else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace", encoding="utf-8")
    except OSError:
        return ""


def missing_browsers(machine: Machine, places: Sequence[Path]) -> tuple[str, ...]:
    """The Chromium browsers that are installed and have no database of this user's yet, among `places`."""
    return () if any(place.name == "nssdb" for place in places) else machine.browsers[:1]
