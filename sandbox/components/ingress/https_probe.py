"""Requests hosts through the edge as a client would, so that only hosts that answer are reported as ready."""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 5.0
UNSERVED = {502, 503}
SHOWN = 4096  # bytes of an answer that are kept


@dataclass(frozen=True)
class Answer:
    """An answer: the HTTP status and the beginning of the page, or why there was none.

    `certificate` is the server's own (PEM), also where its answer was not HTTP; empty when none was accepted.
    """

    status: int | None
    page: str = ""
    trouble: str = ""
    certificate: str = ""


def ask(host: str, *, address: str, port: int, root: Path | None, path: str = "/") -> Answer:
    """Request `https://host/`, or its `path`, at `address`:`port`, trusting only the certificate in the file `root`.

    Without `root` any certificate is accepted: this only tests whether a server, perhaps with its own certificate,
    serves the host. A TLS alert counts as an answer of status 0, since a server must have sent it (for want of a client
    certificate, say).
    """
    certificate = ""
    try:
        host.encode("idna")  # as the TLS handshake does, which leaves a socket open where it fails
        with (
            socket.create_connection((address, port), timeout=TIMEOUT) as plain,
            _context(root).wrap_socket(plain, server_hostname=host) as connection,
        ):
            certificate = ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")
            # Else the request waits until the server has acknowledged the end of the handshake, 40 ms with Traefik.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = connection.makefile("rb").read(SHOWN).decode(errors="replace")
    except ssl.SSLError as error:
        alert = root is None and "ALERT" in (error.reason or "")
        return Answer(0 if alert else None, trouble="" if alert else str(error), certificate=certificate)
    except (OSError, UnicodeError) as error:  # the second for a label that is longer than DNS allows
        return Answer(None, trouble=str(error), certificate=certificate)
    words = answer.partition("\r\n")[0].split()
    if len(words) < 2 or not words[1].isdecimal():
        return Answer(None, trouble=f"answered {answer[:60]!r}", certificate=certificate)
    return Answer(int(words[1]), page=answer, certificate=certificate)


def is_bare_404(answer: Answer) -> bool:
    """Return whether the answer is that of Go's http.NotFound, which is Traefik's without a route."""
    return answer.status == 404 and answer.page.endswith("\r\n\r\n404 page not found\n")


def _context(root: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if root:
        context.load_verify_locations(root)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # The file may hold a chain of which clients have the end: then every certificate in it counts as a root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["http/1.1"])
    return context
