"""Java's store: the `cacerts` file of the JDK that the user's programs run with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sandbox.system.system_roots import JAVA_PASSWORD
from sandbox.truststore.change import Change, Command, Kind
from sandbox.truststore.trusted_root import Root, in_binary

# Documented default of every JDK; the file is public, its password protects nothing.
_DEBIAN = Path("/etc/ssl/certs/java/cacerts")
_DEBIAN_HOOK = Path("/etc/ca-certificates/update.d/jks-keystore")
_DEBIAN_SWITCH = Path("/etc/default/cacerts")
# Written anew from the system's store at every change of that, by the programs of Fedora, Arch and SUSE.
_EXTRACTED = ("/etc/pki/ca-trust/extracted/", "/etc/ca-certificates/extracted/", "/var/lib/ca-certificates/")


@dataclass(frozen=True)
class Cacerts:
    """The file `place` and the keytool to drive.

    `follows_system` is true of a file that the system's store is copied into, `alias_prefix` and `alias_suffix` are
    what that copying puts around the name of a certificate.
    """

    place: Path
    keytool: str
    follows_system: bool = False
    alias_prefix: str = ""
    alias_suffix: str = ""
    as_root: bool = False
    kind: Kind = Kind.JAVA

    def trusted(self) -> tuple[Root, ...]:
        """Those in the file, by whatever alias; certificates are not encrypted in the file that a JDK comes with."""
        return in_binary(self._data())

    def entries(self) -> tuple[Root, ...]:
        """Those in the file by our alias."""
        data = self._data()
        spelled = ("utf-8", "utf-16-be")  # JKS; PKCS #12
        return tuple(root for root in in_binary(data) if any(self._alias(root).encode(c) in data for c in spelled))

    def add(self, root: Root, file: Path) -> Change:
        """Import it."""
        return self._change(root, "-importcert", "-noprompt", "-trustcacerts", "-file", str(file), adds=True)

    def remove(self, root: Root, file: Path) -> Change:
        """Delete it."""
        return self._change(root, "-delete", adds=False)

    def _change(self, root: Root, action: str, *options: str, adds: bool) -> Change:
        where = ("-keystore", str(self.place), "-storepass", JAVA_PASSWORD, "-alias", self._alias(root))
        command = Command((self.keytool, action, *options, *where), as_root=self.as_root)
        return Change(self.kind, self.place, adds, root, (command,))

    def _alias(self, root: Root) -> str:
        return f"{self.alias_prefix}{root.label}{self.alias_suffix}"

    def _data(self) -> bytes:
        try:
            return self.place.read_bytes()
        except OSError:
            return b""


def find(java_home: Path) -> Cacerts | None:
    """The store of the JDK or JRE installed in `java_home`, or None when there is none."""
    files = (java_home / "lib/security/cacerts", java_home / "jre/lib/security/cacerts")  # the second until Java 8
    file = next((file for file in files if file.is_file()), None)
    return None if file is None else at(file.resolve(), keytool=str(java_home / "bin/keytool"))


def at(place: Path, *, keytool: str) -> Cacerts:
    """The store in the file `place`, with what this machine does to it."""
    as_root = not os.access(place, os.W_OK)
    if str(place).startswith(_EXTRACTED):
        return Cacerts(place, keytool, follows_system=True, as_root=as_root)
    if place == _DEBIAN and _DEBIAN_HOOK.exists() and _is_switched_on():
        # ca-certificates-java copies what comes, under such an alias, and leaves what has gone.
        return Cacerts(place, keytool, True, "debian:", ".pem", as_root)
    return Cacerts(place, keytool, as_root=as_root)


def _is_switched_on() -> bool:
    try:
        return "cacerts_updates=no" not in _DEBIAN_SWITCH.read_text(encoding="utf-8")
    except OSError:  # not for everybody to read: the package's own default
        return True
