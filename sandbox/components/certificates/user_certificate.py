"""A certificate of the user's own, tested before anything is made: in a browser all its faults look alike."""

import shlex
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from sandbox.components.certificates import pem
from sandbox.components.certificates.facts import KeyPair
from sandbox.errors import SandboxError, UsageError
from sandbox.system import files


@dataclass(frozen=True)
class Provided:
    """The files: `cert` holds the server's certificate and then its issuers, `key` its private key, both PEM."""

    cert: Path
    key: Path

    def leaf(self) -> KeyPair:
        """Return the server's key (PKCS#8) and chain, without the root. Raises UsageError."""
        chain, key = self._chain(), self._key()
        served = chain[:-1] if len(chain) > 1 and pem.is_signed_by(chain[-1], chain[-1]) else chain
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return KeyPair(key_pem, b"".join(map(pem.dump_certificate, served)))

    def root_pem(self) -> bytes:
        """Return the self-signed certificate at the chain's end; empty where clients must have it already."""
        last = self._chain()[-1]
        return pem.dump_certificate(last) if pem.is_signed_by(last, last) else b""

    def require(self, domain: str) -> None:
        """Raise UsageError unless clients accept this certificate now, for `domain` and the hosts below it."""
        chain, key = self._chain(), self._key()
        if chain[0].public_key() != key.public_key():
            name = chain[0].subject.rfc4514_string() or ", ".join(pem.hosts_of(chain[0])) or "no name"
            evidence = f"{self.cert} begins with the certificate of {name!r}, whose key is another"
            fix = "name the two files that came together; the server's own certificate comes first"
            raise _refused(self.key, "is not the key of the certificate", evidence, fix)
        for host in (domain, f"any.{domain}"):
            try:
                reason = refusal(self.cert, self.key, host, self.root_pem())
            except ssl.SSLError as error:
                reason = error.reason or str(error)
            if reason:
                hosts, ends = ", ".join(pem.hosts_of(chain[0])) or "no host at all", chain[0].not_valid_after_utc
                raise _refused(
                    self.cert,
                    f"is not accepted by clients on this machine for {host}",
                    f"{reason}; it is for {hosts}, until {ends:%Y-%m-%d %H:%M} UTC, and its chain of "
                    f"{len(chain)} ends at {chain[-1].issuer.rfc4514_string()!r}",
                    f"get one for {domain} and *.{domain} that is valid now; append the certificates of its issuers in "
                    "order, and a private authority's root last",
                )

    def _chain(self) -> list[x509.Certificate]:
        data = _read(self.cert)
        try:
            return pem.load_certificates(data)
        except SandboxError as error:
            fix = f"get it again; if it is DER: openssl x509 -inform der -in {shlex.quote(str(self.cert))} -out NEW.pem"
            raise _refused(self.cert, "holds no valid PEM certificate", error.details, fix) from error

    def _key(self) -> PrivateKeyTypes:
        data = _read(self.key)
        try:
            return load_pem_private_key(data, password=None)
        except TypeError as error:
            fix = f"openssl pkey -in {shlex.quote(str(self.key))} -out NEW.key, and name NEW.key"
            raise _refused(self.key, "has a passphrase", "servers start without anybody to ask", fix) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            fix = "name the PEM file of the certificate's private key"
            raise _refused(self.key, "holds no readable private key", type(error).__name__, fix) from error


def _read(path: Path) -> bytes:
    try:
        return files.read_regular(path)
    except (OSError, files.NotAFile) as error:
        raise _refused(path, "cannot be read", str(error), "name a file that is there and that you may read") from error


def refusal(cert: Path, key: Path, host: str, root_pem: bytes = b"") -> str | None:
    """Return why a client that trusts this machine's CAs and `root_pem` refuses a server of `host` with these files.

    None where it accepts them. Raises ssl.SSLError for files that no server can use.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    client = ssl.create_default_context()
    if root_pem:
        client.load_verify_locations(cadata=root_pem.decode())
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    waiting = [client.wrap_bio(down, up, server_hostname=host), server.wrap_bio(up, down, server_side=True)]
    while waiting:
        for end in tuple(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue  # as far as the other end allows
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
    return None


def _refused(path: Path, what: str, evidence: str, fix: str) -> UsageError:
    return UsageError(f"`certs.default`: {path} {what}", details=evidence, fix=fix, id="certificate")
