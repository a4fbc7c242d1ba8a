"""A TLS handshake in memory: OpenSSL's own word on a key and certificate, before any server has them."""

from __future__ import annotations

import ssl
from pathlib import Path


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
