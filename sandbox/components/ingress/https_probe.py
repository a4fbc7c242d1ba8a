"""Asks hosts through the edge as a client would, to know that they are served before anybody is told so."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from sandbox.fast_dataclass import dataclass

TIMEOUT = 5.0
UNSERVED = {502, 503}


@dataclass(frozen=True)
class Answer:
    """What came back: HTTP status and the beginning of the page, or why there was none.

    `certificate` is the server's own (PEM), also when what it said then was no HTTP; empty when none was accepted.
    """

    status: int | None
    page: str = ""
    trouble: str = ""
    certificate: str = ""


def ask(host: str, *, address: str, port: int, root: Path | None, path: str = "/") -> Answer:
    """Request `https://host/`, or its `path`, at `address`:`port`, trusting only the certificate in the file `root`.

    Without `root` any certificate will do: then it is only asked whether a server serves the host, whose certificate
    may be its own. An alert counts as an answer of status 0, since anyone who sends one (for want of a client
    certificate, say) is there.
    """
    certificate = ""
    try:
        with (
            socket.create_connection((address, port), timeout=TIMEOUT) as plain,
            _context(root).wrap_socket(plain, server_hostname=host) as connection,
        ):
            certificate = ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = connection.makefile("rb").read(4096).decode(errors="replace")
    except ssl.SSLError as error:
        alert = root is None and "ALERT" in (error.reason or "")
        return Answer(0 if alert else None, trouble="" if alert else str(error), certificate=certificate)
    except OSError as error:
        return Answer(None, trouble=str(error), certificate=certificate)
    words = answer.partition("\r\n")[0].split()
    if len(words) < 2 or not words[1].isdigit():
        return Answer(None, trouble=f"answered {answer[:60]!r}", certificate=certificate)
    return Answer(int(words[1]), page=answer, certificate=certificate)


def _context(root: Path | None) -> ssl.SSLContext:
    if root is not None:
        trusting = ssl.create_default_context(cafile=str(root))
        # The file may hold a chain of which clients have the end: then what it holds is as good as a root.
        trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        trusting.set_alpn_protocols(["http/1.1"])
        return trusting
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
