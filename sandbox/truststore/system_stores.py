"""The system's trust store: a folder of certificates."""

from dataclasses import dataclass
from pathlib import Path

from sandbox.system.files import content
from sandbox.truststore.trusted_root import Change, Kind, Root, in_pem


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """A distribution's folder for additional CA certificates, and the program that rebuilds the CA bundle.

    Files in the folder `place` end in `suffix`. Programs read `bundle`. `update` runs after a certificate was added or
    removed, with the options `fresh` too after one was removed.
    """

    place: Path
    suffix: str
    bundle: Path
    update: tuple[str, ...]
    fresh: tuple[str, ...] = ()
    kind: Kind = Kind.SYSTEM

    def trusted(self) -> tuple[Root, ...]:
        bundled = in_pem(_read(self.bundle))
        return tuple(root for root in self._files().values() if root in bundled)

    def entries(self) -> tuple[Root, ...]:
        """Return the roots in files that `add` named, and those only in the bundle after an interrupted removal."""
        files = self._files()
        named = [root for path, root in files.items() if path == self._path(root)]
        left = [root for root in in_pem(_read(self.bundle)) if root not in files.values()]
        return tuple(dict.fromkeys((*named, *left)))

    def add(self, root: Root, file: Path) -> Change:
        copy = ("install", "-m", "0644", str(file), str(self._path(root)))
        return self._change(root, copy, self.update, adds=True)

    def remove(self, root: Root) -> Change:
        return self._change(root, ("rm", "-f", str(self._path(root))), (*self.update, *self.fresh), adds=False)

    def _change(self, root: Root, *commands: tuple[str, ...], adds: bool) -> Change:
        return Change(kind=self.kind, place=self.place, adds=adds, root=root, commands=commands, as_root=True)

    def _path(self, root: Root) -> Path:
        return self.place / f"{root.label}{self.suffix}"

    def _files(self) -> dict[Path, Root]:
        paths = sorted(self.place.glob(f"*{self.suffix}"))
        return {path: root for path in paths for root in in_pem(_read(path))}


FEDORA = Anchors(
    place=Path("/etc/pki/ca-trust/source/anchors"),
    suffix=".pem",
    bundle=Path("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
    update=("update-ca-trust", "extract"),
)
# Alpine has the same. Without --fresh Debian's program leaves dead links in /etc/ssl/certs.
DEBIAN = Anchors(
    place=Path("/usr/local/share/ca-certificates"),
    suffix=".crt",
    bundle=Path("/etc/ssl/certs/ca-certificates.crt"),
    update=("update-ca-certificates",),
    fresh=("--fresh",),
)
ARCH = Anchors(
    place=Path("/etc/ca-certificates/trust-source/anchors"),
    suffix=".crt",
    bundle=Path("/etc/ca-certificates/extracted/tls-ca-bundle.pem"),
    update=("trust", "extract-compat"),
)
SUSE = Anchors(
    place=Path("/usr/share/pki/trust/anchors"),
    suffix=".pem",
    bundle=Path("/var/lib/ca-certificates/ca-bundle.pem"),
    update=("update-ca-certificates",),
)
LAYOUTS = (FEDORA, DEBIAN, ARCH, SUSE)


def find_anchors(slash: Path) -> Anchors | None:
    return next((layout for layout in LAYOUTS if (slash / layout.place.relative_to("/")).is_dir()), None)


def _read(path: Path) -> bytes:
    return content(path) or b""
