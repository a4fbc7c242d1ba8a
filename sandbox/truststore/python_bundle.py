"""One file with the system's roots and the sandboxes', for programs that ignore the system's, like Python's requests.

Environment variables name it; the file of certifi is not edited, since an update would replace it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.system.files import write_atomic
from sandbox.truststore.change import Change, Kind
from sandbox.truststore.trusted_root import Root, in_pem

# Where systems keep the certificates they trust: Go, crypto/x509/root_linux.go and root_darwin.go.
SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora
    "/etc/pki/tls/certs/ca-bundle.crt",  # its older releases
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS
)


@dataclass(frozen=True)
class BundleFile:
    """The file `place`, made from the first of `sources` that exists."""

    place: Path
    sources: tuple[Path, ...] = tuple(map(Path, SYSTEM_BUNDLES))
    kind: Kind = Kind.PYTHON

    def trusted(self) -> tuple[Root, ...]:
        """Return the roots in the file, or none if the system's roots have changed since it was made."""
        roots = self.entries()
        is_current = not roots or self._source() is None or self._text(roots) == self.place.read_bytes()
        return roots if is_current else ()

    def entries(self) -> tuple[Root, ...]:
        return in_pem(self.place.read_bytes()) if self.place.is_file() else ()

    def add(self, root: Root, file: Path) -> Change:
        return self._change(root, adds=True)

    def remove(self, root: Root, file: Path) -> Change:
        return self._change(root, adds=False)

    def _change(self, root: Root, *, adds: bool) -> Change:
        rewrite = partial(self._rewrite, root, adds=adds)
        return Change(kind=self.kind, place=self.place, adds=adds, root=root, rewrite=rewrite)

    def _rewrite(self, root: Root, *, adds: bool) -> None:
        kept = [entry for entry in self.entries() if entry != root]
        roots = (*kept, root) if adds else tuple(kept)
        if roots:
            write_atomic(self.place, self._text(roots), mode=0o644)
        else:
            self.place.unlink(missing_ok=True)

    def _source(self) -> Path | None:
        return next((source for source in self.sources if source.is_file()), None)

    def _text(self, roots: tuple[Root, ...]) -> bytes:
        source = self._source()
        if source is None:
            looked = "\n".join(map(str, self.sources))
            fix = "install the package ca-certificates, or leave out --store python"
            raise SandboxError("this system has no bundle of root certificates", details=looked, fix=fix, id="trust")
        system = source.read_bytes()
        for root in in_pem(system):  # a root removed from the system must not survive in this copy
            system = system.replace(root.pem, b"")
        return b"".join([system.rstrip(), b"\n", *(root.pem for root in roots)])


def exports(bundle: Path, root: Path) -> tuple[str, ...]:
    """Return the shell lines that make programs read `bundle`; Node.js adds `root` to the roots it ships."""
    variables = {"SSL_CERT_FILE": bundle, "REQUESTS_CA_BUNDLE": bundle, "NODE_EXTRA_CA_CERTS": root}
    return tuple(f"export {name}={shlex.quote(str(value))}" for name, value in variables.items())
