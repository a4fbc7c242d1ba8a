"""macOS's system store: the System keychain, and the administrator's trust settings for what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sandbox.system import process
from sandbox.truststore.change import Change, Command, Kind
from sandbox.truststore.trusted_root import Root, in_pem

SYSTEM = Path("/Library/Keychains/System.keychain")
TIMEOUT = 20.0


@dataclass(frozen=True)
class Keychain:
    """A keychain, driven by security(1)."""

    place: Path = SYSTEM
    kind: Kind = Kind.SYSTEM

    def trusted(self) -> tuple[Root, ...]:
        """Those that the administrator's trust settings name."""
        settings = _ask("dump-trust-settings", "-d")
        return tuple(root for root in self.entries() if root.common_name in settings)

    def entries(self) -> tuple[Root, ...]:
        """Those in the keychain, trusted or not."""
        return in_pem(_ask("find-certificate", "-a", "-p", "-c", "Sandbox root", str(self.place)).encode())

    def add(self, root: Root, file: Path) -> Change:
        """Add it as a trusted root for every user; macOS may ask for consent in a window of its own."""
        add = ("security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", str(self.place), str(file))
        return Change(self.kind, self.place, True, root, (Command(add, as_root=True),))

    def remove(self, root: Root, file: Path) -> Change:
        """Remove the trust settings, then the certificate, which by itself would stay."""
        distrust = ("security", "remove-trusted-cert", "-d", str(file))
        delete = ("security", "delete-certificate", "-Z", root.sha1, str(self.place))
        commands = (Command(distrust, as_root=True), Command(delete, as_root=True))
        # Without settings there is nothing to remove, which security(1) calls a failure.
        return Change(self.kind, self.place, False, root, commands if root in self.trusted() else commands[1:])


def _ask(*arguments: str) -> str:
    try:
        return process.run(["security", *arguments], timeout=TIMEOUT)
    except process.ToolFailed:  # its way of saying that there are none
        return ""
