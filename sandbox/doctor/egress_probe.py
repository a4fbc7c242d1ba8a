"""The pod that tries the way out of the cluster, its output, and the TLS answer in that output."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.pod_faults import faults
from sandbox.system.wait import wait_until

NAMESPACE = "default"
LABEL = "sandbox.dev/doctor"
TIMEOUT = 90.0  # seconds, also for the pod itself
LINES = 1000

_ALERT = b"\x15"  # the type of a record (RFC 8446, section 5.1)
# The place of a ServerHello's random value, and the value of a HelloRetryRequest (RFC 8446, section 4.1.3).
_RANDOM = slice(11, 43)
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def run(cluster: Cluster, image: str, command: Sequence[str]) -> str:
    for old in cluster.list("v1", "Pod", NAMESPACE, selector=LABEL):
        if old["status"].get("phase") in ("Succeeded", "Failed"):  # left by a killed doctor
            cluster.delete("v1", "Pod", old["metadata"]["name"], NAMESPACE)
    name = f"sandbox-doctor-{secrets.token_hex(3)}"
    container = {
        "name": "doctor",
        "image": image,
        "command": list(command),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {LABEL: "true"}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": int(TIMEOUT),
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [container],
        },
    }

    def state() -> str | None:
        live = cluster.get("v1", "Pod", name, NAMESPACE)
        if live is None:
            raise ClusterError(f"the pod {name} is gone", details="it was deleted by another process")
        phase = live.get("status", {}).get("phase", "not scheduled")
        if phase in ("Succeeded", "Failed"):
            return None
        return "; ".join([phase, *map(str, faults(live))])

    try:
        cluster.apply(pod)
        wait_until(state, what=f"the pod {NAMESPACE}/{name}", timeout=TIMEOUT)
        return cluster.log(name, NAMESPACE, lines=LINES)
    finally:
        with suppress(ClusterError):
            cluster.delete("v1", "Pod", name, NAMESPACE)


@dataclass(frozen=True)
class Part:
    output: str

    @property
    def last_line(self) -> str:
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return re.sub(r"^[*;\s]+", "", lines[-1]) if lines else "no answer"

    @property
    def addresses(self) -> tuple[str, ...]:
        _, _, answer = self.output.partition("Name:")
        return tuple(dict.fromkeys(re.findall(r"^Address(?: \d+)?:\s*(\d+\.\d+\.\d+\.\d+)", answer, re.MULTILINE)))


def read(log: str) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    title, lines = "", list[str]()
    for line in log.splitlines():
        if not line.startswith("=== "):
            lines.append(line)
        elif line.startswith("=== status "):
            parts[title] = Part("\n".join(lines))
        else:
            title, lines = line.removeprefix("=== "), []
    return parts


def received(part: Part) -> tuple[str, bytes]:
    lines = part.output.splitlines()
    trouble = next((line.removeprefix("nc: ") for line in lines if line.startswith("nc: ")), "")
    try:
        return trouble, base64.b64decode("".join(line for line in lines if not line.startswith("nc: ")))
    except binascii.Error:
        return trouble, b""


class Refused(Exception):
    """The answer is not TLS, or its certificate is not accepted; the text gives the reason."""


class Hello:
    """A TLS client that asks for `host`; another program carries its bytes.

    It trusts this machine's store and the certificates in `company` (PEM), whose name it reports when it meets them.
    """

    def __init__(self, host: str, company: bytes = b"") -> None:
        self.host = host
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context, own = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if company:
            for store in (context, own):
                store.load_verify_locations(cadata=company.decode())
        self._companies: list[Any] = [authority["subject"] for authority in own.get_ca_certs()]
        self._client = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        with suppress(ssl.SSLWantReadError):
            self._client.do_handshake()
        self.client_hello = self._outgoing.read()
        """RFC 8446, section 4.1.2."""

    def judge(self, answer: bytes) -> str:
        """Return the protocol and the issuer, from the server's first flight. Raises Refused.

        In TLS 1.3 it contains the certificate and proves its key; in TLS 1.2 the certificate is verified, its key not.
        """
        client = self._client
        self._incoming.write(answer)
        self._incoming.write_eof()
        try:
            client.do_handshake()
        except ssl.SSLCertVerificationError as error:
            raise Refused(error.verify_message) from error
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:  # which of them depends on OpenSSL
            if self._outgoing.read()[:1] in (b"", _ALERT):  # otherwise the client would continue
                raise Refused("the server closes the connection during the handshake") from error
            if answer[_RANDOM] == _RETRY:
                return "TLSv1.3, the server requests another key share; the certificate was not checked"
            return "TLSv1.2, the certificate is accepted"
        except ssl.SSLError as error:
            raise Refused(error.reason or str(error)) from error
        certificate: Any = client.getpeercert()  # typeshed has one type for all of its fields
        issuer = {name: value for part in certificate["issuer"] for name, value in part}
        by = issuer.get("organizationName") or issuer.get("commonName") or "an unnamed CA"
        opened = ", the company's CA: TLS is opened on the way" if certificate["issuer"] in self._companies else ""
        return f"{client.version()}, the certificate for {self.host} is by {by}{opened}"
