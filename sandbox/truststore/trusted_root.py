"""A sandbox's root certificate as trust stores know it: its bytes, its fingerprints and the label it goes by."""

from __future__ import annotations

import binascii
import re
import ssl
from dataclasses import dataclass
from hashlib import sha1, sha256

from sandbox.errors import SandboxError

# The attributes O=Sandbox and CN=Sandbox root DATE KEY as DER (X.520: 2.5.4.10 and 2.5.4.3, UTF8String).
_NAME = re.compile(
    rb"\x06\x03\x55\x04\x0a\x0c\x07Sandbox.{4}\x06\x03\x55\x04\x03\x0c.(Sandbox root \d{4}-\d\d-\d\d [0-9a-f]{8})",
    re.DOTALL,
)
# A version 3 certificate of 256 to 65535 bytes (RFC 5280, section 4.1), wherever it stands in a file.
_BEGIN = re.compile(rb"(?=\x30\x82(..)\x30\x82..\xa0\x03\x02\x01\x02)", re.DOTALL)
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Root:
    """One root certificate in DER form."""

    der: bytes

    @property
    def pem(self) -> bytes:
        """The certificate in PEM, ending in a newline."""
        return ssl.DER_cert_to_PEM_cert(self.der).encode()

    @property
    def sha256(self) -> str:
        """The fingerprint, in lower-case hexadecimal."""
        return sha256(self.der).hexdigest()

    @property
    def sha1(self) -> str:
        """The fingerprint by which Apple's and Microsoft's tools know a certificate, in upper-case hexadecimal."""
        return sha1(self.der, usedforsecurity=False).hexdigest().upper()

    @property
    def label(self) -> str:
        """Its file name, nickname or alias in every store: its fingerprint tells whose entry that is."""
        return f"sandbox-root-{self.sha256[:8]}"

    @property
    def is_ours(self) -> bool:
        """Whether it was issued by a sandbox to itself."""
        return len(_NAME.findall(self.der)) == 2

    @property
    def common_name(self) -> str:
        """The subject's common name; empty for a certificate that is not ours."""
        found = _NAME.search(self.der)
        return found[1].decode() if found else ""


def parse(pem: bytes) -> Root:
    """The first certificate in `pem`. Raises SandboxError when there is none."""
    found = _PEM.search(pem)
    try:
        return Root(binascii.a2b_base64(found[1])) if found else _refuse()
    except binascii.Error:
        return _refuse()


def in_pem(text: bytes) -> tuple[Root, ...]:
    """The sandboxes' roots among the certificates of a PEM bundle, each once."""
    return tuple(dict.fromkeys(root for block in _PEM.findall(text) if (root := _decode(block)) and root.is_ours))


def in_binary(data: bytes) -> tuple[Root, ...]:
    """The sandboxes' roots that stand in DER form anywhere in `data`, each once."""
    if b"\x0c\x07Sandbox" not in data:
        return ()
    starts = ((found.start(), int.from_bytes(found[1]) + 4) for found in _BEGIN.finditer(data))
    roots = (Root(data[start : start + length]) for start, length in starts)
    return tuple(dict.fromkeys(root for root in roots if root.is_ours))


def _decode(block: bytes) -> Root | None:
    try:
        return Root(binascii.a2b_base64(block))
    except binascii.Error:
        return None


def _refuse() -> Root:
    raise SandboxError(
        "this is not a certificate", fix="sandbox certs show tells how the root stands", id="certificate"
    )
