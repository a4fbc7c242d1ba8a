"""Java's trust store: the `cacerts` file of the JDK that the user's programs run with."""

import os
from dataclasses import dataclass
from pathlib import Path

from sandbox.system import files
from sandbox.truststore.trusted_root import Change, Kind, Root, in_binary

# Not a secret: the content of a truststore is public, and Java requires a password all the same.
JAVA_PASSWORD = "changeit"  # noqa: S105
_DEBIAN = Path("/etc/ssl/certs/java/cacerts")
_DEBIAN_HOOK = Path("/etc/ca-certificates/update.d/jks-keystore")
_DEBIAN_SWITCH = Path("/etc/default/cacerts")
# Fedora, Arch and SUSE write these files again whenever the system's store changes.
_EXTRACTED = ("/etc/pki/ca-trust/extracted/", "/etc/ca-certificates/extracted/", "/var/lib/ca-certificates/")


@dataclass(frozen=True, kw_only=True)
class Cacerts:
    """The file `place` and the keytool that edits it.

    `follows_system` is true of a file that the system's store is copied into; `alias` is what the copying makes of the
    name of a certificate.
    """

    place: Path
    keytool: str
    follows_system: bool = False
    alias: str = "{}"
    as_root: bool = False
    kind: Kind = Kind.JAVA

    def trusted(self) -> tuple[Root, ...]:
        # Under any alias; a JDK does not encrypt the certificates in its own file.
        return in_binary(files.content(self.place) or b"")

    def entries(self) -> tuple[Root, ...]:
        data = files.content(self.place) or b""
        aliases = {root: self.alias.format(root.label) for root in in_binary(data)}
        encodings = ("utf-8", "utf-16-be")  # JKS; PKCS #12
        return tuple(root for root, alias in aliases.items() if any(alias.encode(code) in data for code in encodings))

    def add(self, root: Root, file: Path) -> Change:
        return self._change(root, "-importcert", "-noprompt", "-trustcacerts", "-file", str(file), adds=True)

    def remove(self, root: Root) -> Change:
        return self._change(root, "-delete", adds=False)

    def _change(self, root: Root, action: str, *options: str, adds: bool) -> Change:
        alias = self.alias.format(root.label)
        where = ("-keystore", str(self.place), "-storepass", JAVA_PASSWORD, "-alias", alias)
        commands = ((self.keytool, action, *options, *where),)
        return Change(kind=self.kind, place=self.place, adds=adds, root=root, commands=commands, as_root=self.as_root)


def find(java_home: Path) -> Cacerts | None:
    places = (java_home / "lib/security/cacerts", java_home / "jre/lib/security/cacerts")  # the second until Java 8
    file = next(filter(files.is_file, places), None)
    return None if file is None else at(file.resolve(), keytool=str(java_home / "bin/keytool"))


def recorded(place: Path) -> Cacerts:
    """Return the store in a file that was changed before, with the keytool of its JDK, else the one on the PATH."""
    own = (home / "bin/keytool" for home in place.parents[2:4])  # of lib/security/cacerts, and of that below jre
    return at(place, keytool=str(next(filter(files.is_file, own), "keytool")))


def at(place: Path, *, keytool: str) -> Cacerts:
    """Return the store in the file `place`, with what this system does to that file."""
    switch = files.content(_DEBIAN_SWITCH) or b""
    is_debians = place == _DEBIAN and _DEBIAN_HOOK.exists() and b"cacerts_updates=no" not in switch
    return Cacerts(
        place=place,
        keytool=keytool,
        follows_system=is_debians or str(place).startswith(_EXTRACTED),
        # ca-certificates-java copies added certificates under such an alias, and does not remove them again.
        alias="debian:{}.pem" if is_debians else "{}",
        as_root=not os.access(place, os.W_OK),
    )
