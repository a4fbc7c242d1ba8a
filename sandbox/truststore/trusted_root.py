"""A sandbox's root certificate as trust stores know it, a change of one store, and the record of trusted roots."""

import json
import re
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from sandbox.errors import SandboxError
from sandbox.system.files import make_private_dir, read_json, read_regular, refused, write_atomic

_ORGANIZATION = "Sandbox"
_COMMON_NAME = re.compile(r"Sandbox root \d{4}-\d\d-\d\d [0-9a-f]{8}")
# A version 3 certificate of 256 to 65535 bytes (RFC 5280, section 4.1), at any offset of a file.
_BEGIN = re.compile(rb"(?=\x30\x82(..)\x30\x82..\xa0\x03\x02\x01\x02)", re.DOTALL)
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Root:
    der: bytes

    @property
    def pem(self) -> bytes:
        return ssl.DER_cert_to_PEM_cert(self.der).encode()

    @property
    def sha256(self) -> str:
        return sha256(self.der).hexdigest()

    @property
    def label(self) -> str:
        """Return its file name, nickname or alias in every store, which the fingerprint makes unique."""
        return f"sandbox-root-{self.sha256[:8]}"

    @property
    def is_ours(self) -> bool:
        return bool(self.common_name)

    @cached_property
    def common_name(self) -> str:
        # Bundles hold many certificates, and some of them are not valid: read only what may be a sandbox's.
        if _ORGANIZATION.encode() not in self.der:
            return ""
        try:
            certificate = x509.load_der_x509_certificate(self.der)
            subject, issuer = certificate.subject, certificate.issuer
        except ValueError:
            return ""
        names = [str(attribute.value) for attribute in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        organizations = [attribute.value for attribute in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        is_root = subject == issuer and organizations == [_ORGANIZATION] and len(names) == 1
        return names[0] if is_root and _COMMON_NAME.fullmatch(names[0]) else ""


def parse(pem: bytes) -> Root:
    try:
        return Root(ssl.PEM_cert_to_DER_cert(blocks(pem)[0].decode()))
    except (IndexError, ValueError) as error:  # base64 raises ValueErrors
        fix = "sandbox certs show tells what is wrong with it"
        raise SandboxError("this is not a certificate", fix=fix, id="certificate") from error


def blocks(pem: bytes) -> list[bytes]:
    """Return the certificates in `pem`, each with its marks, and nothing else in it."""
    return _PEM.findall(pem)


def in_pem(text: bytes) -> tuple[Root, ...]:
    """Return the sandboxes' roots among the certificates of a PEM bundle, each once."""
    roots: list[Root] = []
    for block in blocks(text):
        with suppress(ValueError):
            roots.append(Root(ssl.PEM_cert_to_DER_cert(block.decode())))
    return tuple(dict.fromkeys(root for root in roots if root.is_ours))


def in_binary(data: bytes) -> tuple[Root, ...]:
    """Return the sandboxes' roots in DER form at any offset of `data`, each once."""
    if _ORGANIZATION.encode() not in data:
        return ()
    starts = ((match.start(), int.from_bytes(match[1]) + 4) for match in _BEGIN.finditer(data))
    roots = (Root(data[start : start + length]) for start, length in starts)
    return tuple(dict.fromkeys(root for root in roots if root.is_ours))


class Kind(Enum):
    SYSTEM = "system"
    NSS = "nss"
    JAVA = "java"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of the store `kind` at `place`: run `commands` in order, `as_root` if it belongs to the machine.

    It is a value, so that it can be shown in full before anything is done.
    """

    kind: Kind
    place: Path
    adds: bool
    root: Root
    commands: tuple[tuple[str, ...], ...]
    as_root: bool

    @property
    def title(self) -> str:
        to, verb = ("to", "add") if self.adds else ("from", "remove")
        return f"{verb} {self.root.label} {to} {self.kind.value}: {self.place}"


@dataclass(frozen=True)
class Entry:
    """A root, its sandbox (empty if unknown), and the files and folders of the stores it was added to."""

    root: Root
    sandbox: str
    places: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True)
class Record:
    """A folder with two files for each root: its certificate, which tools read, and a note in JSON.

    With it a root can be removed from every store when its sandbox no longer exists.
    """

    folder: Path

    def certificate(self, root: Root) -> Path:
        return self.folder / f"{root.label}.crt"

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries that can be read; for the others, the stores themselves hold the facts."""
        entries = []
        for note in sorted(self.folder.glob("sandbox-root-*.json")):
            with suppress(OSError, ValueError, KeyError, TypeError, SandboxError):
                data = read_json(note)
                places = tuple((str(store["kind"]), Path(store["place"])) for store in data["stores"])
                root = parse(read_regular(note.with_suffix(".crt")))
                entries.append(Entry(root, str(data["sandbox"]), places))
        return tuple(entries)

    def write(self, entry: Entry) -> None:
        """Add `entry` to what is recorded of its root. Raises SandboxError."""
        recorded = next((other for other in self.entries() if other.root == entry.root), entry)
        places = dict.fromkeys((*recorded.places, *entry.places))
        note = {
            "sandbox": entry.sandbox or recorded.sandbox,
            "sha256": entry.root.sha256,
            "stores": [{"kind": kind, "place": str(place)} for kind, place in places],
        }
        make_private_dir(self.folder)
        write_atomic(self.certificate(entry.root), entry.root.pem, mode=0o644)
        content = f"{json.dumps(note, indent=2)}\n".encode()
        write_atomic(self.certificate(entry.root).with_suffix(".json"), content, mode=0o600)

    def forget(self, roots: Iterable[Root]) -> None:
        """Delete the files of `roots`. Raises SandboxError."""
        for root in roots:
            for path in (self.certificate(root).with_suffix(".json"), self.certificate(root)):
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise refused(f"{path} cannot be removed", error) from error
