"""Linux's system stores: a folder for the administrator's certificates and a program that builds everything from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sandbox.truststore.change import Change, Command, Kind
from sandbox.truststore.trusted_root import Root, in_pem


@dataclass(frozen=True)
class Anchors:
    """The folder, what its files end in, the file that programs read, and the program after a coming or a going."""

    folder: Path
    suffix: str
    bundle: Path
    update: tuple[str, ...]
    refresh: tuple[str, ...]
    kind: Kind = Kind.SYSTEM

    @property
    def place(self) -> Path:
        """The folder."""
        return self.folder

    def trusted(self) -> tuple[Root, ...]:
        """Those in the folder that the program has built into the bundle."""
        bundled = in_pem(_read(self.bundle))
        return tuple(root for root in self._files().values() if root in bundled)

    def entries(self) -> tuple[Root, ...]:
        """Those in files of ours, and those that a removal which was cut short has left in the bundle alone."""
        files = self._files()
        named = [root for path, root in files.items() if path == self._path(root)]
        return tuple(
            dict.fromkeys([*named, *(root for root in in_pem(_read(self.bundle)) if root not in files.values())])
        )

    def add(self, root: Root, file: Path) -> Change:
        """Copy `file` into the folder and build."""
        copy = ("install", "-m", "0644", str(file), str(self._path(root)))
        return self._change(root, copy, self.update, adds=True)

    def remove(self, root: Root, file: Path) -> Change:
        """Remove the copy and build."""
        return self._change(root, ("rm", "-f", str(self._path(root))), self.refresh, adds=False)

    def _change(self, root: Root, *commands: tuple[str, ...], adds: bool) -> Change:
        return Change(self.kind, self.folder, adds, root, tuple(Command(argv, as_root=True) for argv in commands))

    def _path(self, root: Root) -> Path:
        return self.folder / f"{root.label}{self.suffix}"

    def _files(self) -> dict[Path, Root]:
        paths = sorted(self.folder.glob(f"*{self.suffix}"))
        return {path: root for path in paths for root in in_pem(_read(path))}


_EXTRACT = ("update-ca-trust", "extract")
_SLASH = Path("/")
FEDORA = Anchors(
    folder=_SLASH / "etc/pki/ca-trust/source/anchors",
    suffix=".pem",
    bundle=_SLASH / "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    update=_EXTRACT,
    refresh=_EXTRACT,
)
# Alpine's too. Without --fresh Debian's program leaves the links to a file that is gone in /etc/ssl/certs.
DEBIAN = Anchors(
    folder=_SLASH / "usr/local/share/ca-certificates",
    suffix=".crt",
    bundle=_SLASH / "etc/ssl/certs/ca-certificates.crt",
    update=("update-ca-certificates",),
    refresh=("update-ca-certificates", "--fresh"),
)
ARCH = Anchors(
    folder=_SLASH / "etc/ca-certificates/trust-source/anchors",
    suffix=".crt",
    bundle=_SLASH / "etc/ca-certificates/extracted/tls-ca-bundle.pem",
    update=("trust", "extract-compat"),
    refresh=("trust", "extract-compat"),
)
SUSE = Anchors(
    folder=_SLASH / "usr/share/pki/trust/anchors",
    suffix=".pem",
    bundle=_SLASH / "var/lib/ca-certificates/ca-bundle.pem",
    update=("update-ca-certificates",),
    refresh=("update-ca-certificates",),
)
LAYOUTS = (FEDORA, DEBIAN, ARCH, SUSE)


def find(slash: Path) -> Anchors | None:
    """The layout of the system whose root folder is `slash`, or None for one that has none of these."""
    return next((one for one in LAYOUTS if (slash / one.folder.relative_to("/")).is_dir()), None)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
