"""The system's trust store: a folder of certificates on Linux, the System keychain on macOS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sandbox.system import process
from sandbox.system.files import content
from sandbox.truststore.change import Change, Command, Kind
from sandbox.truststore.trusted_root import Root, in_pem

KEYCHAIN = Path("/Library/Keychains/System.keychain")
TIMEOUT = 20.0  # seconds for one question to security(1)


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """A Linux store: the administrator's folder of certificates and the program that builds the bundle from it.

    Files in the folder `place` end in `suffix`. Programs read `bundle`. `update` runs after a certificate was added,
    `refresh` after one was removed.
    """

    place: Path
    suffix: str
    bundle: Path
    update: tuple[str, ...]
    refresh: tuple[str, ...]
    kind: Kind = Kind.SYSTEM

    def trusted(self) -> tuple[Root, ...]:
        """Return the roots in the folder that the bundle contains too."""
        bundled = in_pem(_read(self.bundle))
        return tuple(root for root in self._files().values() if root in bundled)

    def entries(self) -> tuple[Root, ...]:
        """Return the roots in files that `add` named, and those only in the bundle after an interrupted removal."""
        files = self._files()
        named = [root for path, root in files.items() if path == self._path(root)]
        left = [root for root in in_pem(_read(self.bundle)) if root not in files.values()]
        return tuple(dict.fromkeys((*named, *left)))

    def add(self, root: Root, file: Path) -> Change:
        """Plan to copy `file` into the folder and build the bundle."""
        copy = ("install", "-m", "0644", str(file), str(self._path(root)))
        return self._change(root, copy, self.update, adds=True)

    def remove(self, root: Root, file: Path) -> Change:
        """Plan to remove the copy and build the bundle."""
        return self._change(root, ("rm", "-f", str(self._path(root))), self.refresh, adds=False)

    def _change(self, root: Root, *commands: tuple[str, ...], adds: bool) -> Change:
        steps = tuple(Command(argv, as_root=True) for argv in commands)
        return Change(kind=self.kind, place=self.place, adds=adds, root=root, commands=steps)

    def _path(self, root: Root) -> Path:
        return self.place / f"{root.label}{self.suffix}"

    def _files(self) -> dict[Path, Root]:
        paths = sorted(self.place.glob(f"*{self.suffix}"))
        return {path: root for path in paths for root in in_pem(_read(path))}


_EXTRACT = ("update-ca-trust", "extract")
FEDORA = Anchors(
    place=Path("/etc/pki/ca-trust/source/anchors"),
    suffix=".pem",
    bundle=Path("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
    update=_EXTRACT,
    refresh=_EXTRACT,
)
# Alpine has the same. Without --fresh Debian's program leaves dead links in /etc/ssl/certs.
DEBIAN = Anchors(
    place=Path("/usr/local/share/ca-certificates"),
    suffix=".crt",
    bundle=Path("/etc/ssl/certs/ca-certificates.crt"),
    update=("update-ca-certificates",),
    refresh=("update-ca-certificates", "--fresh"),
)
ARCH = Anchors(
    place=Path("/etc/ca-certificates/trust-source/anchors"),
    suffix=".crt",
    bundle=Path("/etc/ca-certificates/extracted/tls-ca-bundle.pem"),
    update=("trust", "extract-compat"),
    refresh=("trust", "extract-compat"),
)
SUSE = Anchors(
    place=Path("/usr/share/pki/trust/anchors"),
    suffix=".pem",
    bundle=Path("/var/lib/ca-certificates/ca-bundle.pem"),
    update=("update-ca-certificates",),
    refresh=("update-ca-certificates",),
)
LAYOUTS = (FEDORA, DEBIAN, ARCH, SUSE)


def find_anchors(slash: Path) -> Anchors | None:
    """Return the layout of the system whose root folder is `slash`, or None if it has none of these."""
    return next((one for one in LAYOUTS if (slash / one.place.relative_to("/")).is_dir()), None)


@dataclass(frozen=True)
class Keychain:
    """A macOS keychain with the administrator's trust settings, managed by security(1)."""

    place: Path = KEYCHAIN
    kind: Kind = Kind.SYSTEM

    def trusted(self) -> tuple[Root, ...]:
        """Return the roots that the administrator's trust settings name."""
        settings = _ask("dump-trust-settings", "-d")
        return tuple(root for root in self.entries() if root.common_name in settings)

    def entries(self) -> tuple[Root, ...]:
        """Return the roots in the keychain, trusted or not."""
        return in_pem(_ask("find-certificate", "-a", "-p", "-c", "Sandbox root", str(self.place)).encode())

    def add(self, root: Root, file: Path) -> Change:
        """Plan to add it as a trusted root for every user; macOS may ask for consent in its own window."""
        add = ("security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", str(self.place), str(file))
        return self._change(root, Command(add, as_root=True), adds=True)

    def remove(self, root: Root, file: Path) -> Change:
        """Plan to remove the trust settings and then the certificate, which would stay otherwise."""
        distrust = ("security", "remove-trusted-cert", "-d", str(file))
        delete = ("security", "delete-certificate", "-Z", root.sha1, str(self.place))
        commands = (Command(distrust, as_root=True), Command(delete, as_root=True))
        # security(1) fails when there are no settings to remove.
        return self._change(root, *(commands if root in self.trusted() else commands[1:]), adds=False)

    def _change(self, root: Root, *commands: Command, adds: bool) -> Change:
        return Change(kind=self.kind, place=self.place, adds=adds, root=root, commands=commands)


def _ask(*arguments: str) -> str:
    try:
        return process.run(["security", *arguments], timeout=TIMEOUT)
    except process.ToolFailed:  # it fails when it finds nothing
        return ""


def _read(path: Path) -> bytes:
    return content(path) or b""
