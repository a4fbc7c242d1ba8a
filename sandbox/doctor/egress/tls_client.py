"""A TLS handshake whose bytes somebody else carries: what a client says first, and what the answer comes to."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any

_ALERT = b"\x15"  # the type of a record (RFC 8446, section 5.1)
# Where a ServerHello has its random value, and the value that makes it a request (RFC 8446, section 4.1.3).
_RANDOM = slice(11, 43)
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


class Refused(Exception):
    """The answer is no TLS, or the certificate in it is not accepted; the text says why."""


class Hello:
    """A client that trusts what this machine trusts and asks for `host`."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        self._client = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        with suppress(ssl.SSLWantReadError):
            self._client.do_handshake()
        self.first_words = self._outgoing.read()
        """The ClientHello (RFC 8446, section 4.1.2)."""

    def judge(self, answer: bytes) -> str:
        """What was agreed on and with whom, in words, after the server's first flight.

        In TLS 1.3 the certificate is in it, proved by its key; in TLS 1.2 it is checked, and its key not yet.
        Raises Refused.
        """
        client = self._client
        self._incoming.write(answer)
        self._incoming.write_eof()
        try:
            client.do_handshake()
        except ssl.SSLCertVerificationError as error:
            raise Refused(error.verify_message) from error
        except ssl.SSLEOFError as error:
            if self._outgoing.read()[:1] in (b"", _ALERT):  # else the client would go on
                raise Refused("the server hangs up in the middle of the handshake") from error
            if answer[_RANDOM] == _RETRY:
                return "TLSv1.3, the server wants another key first, and the certificate was not seen"
            return "TLSv1.2, the certificate is accepted"
        except ssl.SSLError as error:
            raise Refused(error.reason or str(error)) from error
        certificate: Any = client.getpeercert()  # typeshed has one type for all of its fields
        issuer = {name: value for part in certificate["issuer"] for name, value in part}
        by = issuer.get("organizationName") or issuer.get("commonName") or "an unnamed authority"
        return f"{client.version()}, the certificate for {self.host} is by {by}"
