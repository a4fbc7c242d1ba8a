"""Real TLS handshakes on loopback, the judge of every certificate in these tests."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.components.certificates import pem
from sandbox.components.certificates.authority import make_issuing, make_root
from sandbox.components.certificates.facts import KeyPair

DOMAIN = "demo.sandbox.localhost"
NOW = datetime.now(UTC)


_NO_OTHER = dict.fromkeys(
    ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
    False,
)


@dataclass(frozen=True)
class Pki:
    root: KeyPair
    issuing: KeyPair


def make_pki(*domains: str, now: datetime = NOW) -> Pki:
    root = make_root(domains or (DOMAIN,), now=now)
    return Pki(root, make_issuing(root, domains or (DOMAIN,), now=now))


def presenting(leaf: KeyPair, folder: Path) -> ssl.SSLContext:
    """What a server needs to present `leaf`; OpenSSL reads it from a file, which is left in the folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    present(leaf, folder, context)
    return context


def present(leaf: KeyPair, folder: Path, context: ssl.SSLContext) -> None:
    served = folder / "served.pem"
    served.write_bytes(leaf.key_pem + leaf.cert_pem)
    context.load_cert_chain(served)


def handshake(leaf: KeyPair, name: str, root_pem: bytes, folder: Path, *, strict: bool = True) -> list[str]:
    """Connect to a server that presents `leaf`, as a client that trusts only `root_pem` and asks for `name`.

    Returns the DNS names and addresses the server proved to hold; raises ssl.SSLError when the client refuses.
    """
    server = presenting(leaf, folder)
    client = ssl.create_default_context(cadata=root_pem.decode())
    if strict:
        client.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve_once, args=(listener, server))
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname()[:2], timeout=10) as raw,
                client.wrap_socket(raw, server_hostname=name) as secured,
            ):
                der = secured.getpeercert(binary_form=True)
        finally:
            thread.join()
    assert der is not None
    return list(pem.hosts_of(x509.load_der_x509_certificate(der)))


class TlsServer:
    """Answers every request on a port of `address`, a free one for 0, as the holder of the leaf it presents.

    The response is HTTP with `answer` as its content, or `response` where a test gives all bytes. `asked` has the
    requests.
    """

    def __init__(
        self, leaf: KeyPair, folder: Path, *, answer: bytes = b"hello\n", address: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.answer = answer
        self.status = "200 OK"
        self.response: bytes | None = None
        self.asked: list[bytes] = []
        self._folder = folder
        self._context = presenting(leaf, folder)
        self._listener = socket.create_server((address, port))
        self._thread = threading.Thread(target=self._serve)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def present(self, leaf: KeyPair) -> None:
        """Show `leaf` from the next connection on."""
        present(leaf, self._folder, self._context)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # the end of the block
                return
            connection.settimeout(10)
            head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.answer)}\r\nConnection: close\r\n\r\n".encode()
            # A client that refuses the certificate tells so itself.
            with connection, suppress(OSError), self._context.wrap_socket(connection, server_side=True) as secured:
                self.asked.append(secured.recv(4096))
                secured.sendall(head + self.answer if self.response is None else self.response)


def _serve_once(listener: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = listener.accept()
    connection.settimeout(10)
    try:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)
    except OSError:
        # The client refused the certificate, which is its to report.
        connection.close()


def certificate(
    subject: x509.Name,
    key: EllipticCurvePrivateKey,
    *extensions: tuple[x509.ExtensionType, bool],
    issuer: KeyPair | None = None,
) -> x509.Certificate:
    """A certificate for a day, of its own key or of an issuer's; each extension is critical or not."""
    signer = pem.load_certificates(issuer.cert_pem)[0] if issuer else None
    builder = x509.CertificateBuilder(signer.subject if signer else subject, subject, key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(hours=1)).not_valid_after(NOW + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    if signer:
        identifier = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        builder = builder.add_extension(authority, critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(pem.load_key(issuer.key_pem) if issuer else key, SHA256())


def rogue_leaf(issuing: KeyPair, *names: x509.GeneralName) -> KeyPair:
    """What a stolen issuing key would sign: a flawless leaf for `names`, permitted or not."""
    key = generate_private_key(SECP256R1())
    leaf = certificate(
        x509.Name([]),
        key,
        (x509.SubjectAlternativeName(names), True),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.KeyUsage(digital_signature=True, key_cert_sign=False, crl_sign=False, **_NO_OTHER), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        issuer=issuing,
    )
    return KeyPair(pem.dump_key(key), pem.dump_certificate(leaf) + issuing.cert_pem)


def unconstrained_issuing(root: KeyPair) -> KeyPair:
    """What a stolen root key would sign: an issuing authority without name constraints of its own."""
    key = generate_private_key(SECP256R1())
    authority = certificate(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Rogue")]),
        key,
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (x509.KeyUsage(key_cert_sign=True, crl_sign=True, digital_signature=False, **_NO_OTHER), True),
        issuer=root,
    )
    return KeyPair(pem.dump_key(key), pem.dump_certificate(authority))
