"""What a server presents in a TLS handshake, and what can be read from it without trusting anybody."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from sandbox.components.certificates import pem, subject_names
from sandbox.components.certificates.describe import Facts, describe

TIMEOUT = 5.0


@dataclass(frozen=True)
class Served:
    """The chain as it was presented (PEM, the server's own first), and what was agreed on."""

    chain: tuple[str, ...]
    version: str
    cipher: str
    protocol: str

    def facts(self, *, now: datetime) -> tuple[Facts, ...]:
        """What each certificate of the chain says."""
        return tuple(describe(one.encode(), now=now) for one in self.chain)


@dataclass(frozen=True)
class Reading:
    """A chain held against a root: whether it leads there, where it breaks, and whom it may not vouch for."""

    rooted: bool
    broken: str = ""
    outside: str = ""


def handshake(host: str, address: str, port: int) -> Served:
    """Connect to `address`:`port`, ask for `host` and take whatever certificate comes. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    # Addresses are no server names (RFC 6066, section 3).
    name = None if subject_names.parse_address(host) else host
    with (
        socket.create_connection((address, port), timeout=TIMEOUT) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        cipher = connection.cipher()
        return Served(
            _chain(connection),
            connection.version() or "",
            cipher[0] if cipher else "",
            connection.selected_alpn_protocol() or "http/1.1",
        )


def covers(hosts: tuple[str, ...], host: str) -> bool:
    """Whether a certificate for `hosts` is one for `host`; a wildcard is one label (RFC 6125, section 6.4.3)."""
    return host in hosts or f"*.{host.partition('.')[2]}" in hosts


def read(served: Served, root_pem: str, *, now: datetime) -> Reading:
    """Follow the chain from the server's own certificate to the root in `root_pem`."""
    chain = [pem.load_certificates(one.encode())[0] for one in served.chain]
    root = pem.load_certificates(root_pem.encode())[0]
    whole = chain[-1] == root
    path = chain if whole else [*chain, root]
    for signed, signer in pairwise(path):
        if not pem.is_signed_by(signed, signer):
            if signer == root and not whole:
                return Reading(False)
            return Reading(
                False, broken=f"{_title(signed.subject)} is not signed by the next, {_title(signer.subject)}"
            )
    hosts = pem.hosts_of(chain[0])
    for authority in path[1:]:
        permitted = pem.permitted_domains(authority)
        outside = [host for host in hosts if permitted and not subject_names.is_inside(host, permitted)]
        if outside:
            may_not = f"{_title(authority.subject)} may only vouch for {', '.join(permitted)}"
            return Reading(True, outside=f"{may_not}, not for {', '.join(outside)}")
    return Reading(True)


def _title(subject: Any) -> str:
    return str(subject.rfc4514_string()) or "the server's certificate"


def _chain(connection: ssl.SSLSocket) -> tuple[str, ...]:
    # Public from Python 3.13 on, as DER; before, only the object below the socket has it.
    if hasattr(connection, "get_unverified_chain"):
        return tuple(ssl.DER_cert_to_PEM_cert(der) for der in connection.get_unverified_chain())
    found = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return tuple(one.public_bytes() for one in found or ())
