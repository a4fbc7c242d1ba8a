"""A file of the system's roots and the sandboxes', for programs that bring roots of their own, like Python's requests.

What those programs bring is never edited: certifi's file is replaced at its next update. They obey variables instead.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.system.files import write_atomic
from sandbox.system.system_roots import SYSTEM_BUNDLES
from sandbox.truststore.change import Change, Kind
from sandbox.truststore.trusted_root import Root, in_pem


@dataclass(frozen=True)
class BundleFile:
    """The file `place`, made from the first of `sources` that exists."""

    place: Path
    sources: tuple[Path, ...] = tuple(map(Path, SYSTEM_BUNDLES))
    kind: Kind = Kind.PYTHON

    def trusted(self) -> tuple[Root, ...]:
        """Those in the file, unless the system's roots have changed since it was made."""
        found = self.entries()
        is_current = not found or self._source() is None or self._text(found) == self.place.read_bytes()
        return found if is_current else ()

    def entries(self) -> tuple[Root, ...]:
        """Those in the file."""
        return in_pem(self.place.read_bytes()) if self.place.is_file() else ()

    def add(self, root: Root, file: Path) -> Change:
        """Write the file with `root` in it."""
        return Change(self.kind, self.place, True, root, file=self)

    def remove(self, root: Root, file: Path) -> Change:
        """Write the file without `root`, or remove it when it held no other."""
        return Change(self.kind, self.place, False, root, file=self)

    def rewrite(self, root: Root, *, adds: bool) -> None:
        """Do what `add` or `remove` planned. Raises SandboxError."""
        kept = [one for one in self.entries() if one != root]
        wanted = (*kept, root) if adds else tuple(kept)
        if wanted:
            write_atomic(self.place, self._text(wanted), mode=0o644)
        else:
            self.place.unlink(missing_ok=True)

    def _source(self) -> Path | None:
        return next((source for source in self.sources if source.is_file()), None)

    def _text(self, roots: tuple[Root, ...]) -> bytes:
        source = self._source()
        if source is None:
            looked = "\n".join(map(str, self.sources))
            fix = "install the package ca-certificates, or leave out --store python"
            raise SandboxError("this system has no file of roots to build on", details=looked, fix=fix, id="trust")
        system = source.read_bytes()
        for root in in_pem(system):  # their going is not to wait for this file's next making
            system = system.replace(root.pem, b"")
        return b"".join([system.rstrip(), b"\n", *(root.pem for root in roots)])


def exports(bundle: Path, root: Path) -> tuple[str, ...]:
    """The lines for a shell that make programs read `bundle`; Node.js adds `root` to what it brings."""
    variables = {"SSL_CERT_FILE": bundle, "REQUESTS_CA_BUNDLE": bundle, "NODE_EXTRA_CA_CERTS": root}
    return tuple(f"export {name}={shlex.quote(str(value))}" for name, value in variables.items())
