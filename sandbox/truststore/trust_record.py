"""Which root was trusted for which sandbox and where, kept so that it can be taken back when all else has gone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.system.files import make_private_dir, write_atomic
from sandbox.truststore.trusted_root import Root, parse


@dataclass(frozen=True)
class Entry:
    """A root, the sandbox it is of (empty when unknown), and the files and folders of the stores it was put into."""

    root: Root
    sandbox: str
    places: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True)
class Record:
    """A folder with two files a root: its certificate, which the tools are given, and a note in JSON."""

    folder: Path

    def certificate(self, root: Root) -> Path:
        """Where the certificate of `root` is or would be."""
        return self.folder / f"{root.label}.crt"

    def entries(self) -> tuple[Entry, ...]:
        """Everything noted; what cannot be read is passed over, the stores themselves know as much."""
        found = (_load(note, note.with_suffix(".crt")) for note in sorted(self.folder.glob("sandbox-root-*.json")))
        return tuple(entry for entry in found if entry)

    def write(self, entry: Entry) -> None:
        """Note `entry` beside what is noted of its root already. Raises SandboxError."""
        known = next((one for one in self.entries() if one.root == entry.root), entry)
        places = dict.fromkeys((*known.places, *entry.places))
        note = {
            "sandbox": entry.sandbox or known.sandbox,
            "sha256": entry.root.sha256,
            "stores": [{"kind": kind, "place": str(place)} for kind, place in places],
        }
        make_private_dir(self.folder)
        write_atomic(self.certificate(entry.root), entry.root.pem, mode=0o644)
        write_atomic(self._note(entry.root), f"{json.dumps(note, indent=2)}\n".encode(), mode=0o600)

    def forget(self, roots: Iterable[Root]) -> None:
        """Remove what is noted of `roots`. Raises SandboxError."""
        for root in roots:
            for path in (self._note(root), self.certificate(root)):
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    fix = "check the owner and the permissions of its folder, then run this again"
                    raise SandboxError(f"{path} cannot be removed", details=str(error), fix=fix, id="file") from error

    def _note(self, root: Root) -> Path:
        return self.folder / f"{root.label}.json"


def _load(note: Path, certificate: Path) -> Entry | None:
    try:
        said = json.loads(note.read_bytes())
        places = tuple((str(one["kind"]), Path(one["place"])) for one in said["stores"])
        return Entry(parse(certificate.read_bytes()), str(said["sandbox"]), places)
    except (OSError, ValueError, KeyError, TypeError, SandboxError):
        return None
