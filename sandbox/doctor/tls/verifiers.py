"""Checks that each TLS client on this machine accepts a server: with the sandbox's root, and by its own trust store."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sandbox.doctor.check import Check, Finding, error, ok, skipped, warn
from sandbox.doctor.tls.tls_context import RequestTrace
from sandbox.system import host_network, process
from sandbox.system.process import ToolFailed

TIMEOUT = 10.0
# libcurl-errors(3): the exit codes of curl for TLS errors.
CURL_REFUSES = {35, 51, 53, 54, 58, 59, 60, 64, 66, 77, 80, 82, 83, 90, 91}


@dataclass(frozen=True)
class Target:
    """A server: the address and port of the connection, and the host to ask for."""

    address: str
    port: int
    host: str


# Returns why a client refuses a server, or None. It trusts only the file `root`, or its own trust store for None.
Ask = Callable[[Target, Path | None], str | None]


class CannotAsk(Exception):
    """The client is not installed or does not work; the text gives the reason."""


def inspect(ask: Ask, trace: RequestTrace) -> Finding:
    """Ask one client with the sandbox's root, then with its own trust store."""
    target = Target(trace.address, trace.port, trace.host)
    try:
        if not trace.is_ours:
            refusal = ask(target, None)
            return warn(f"refuses: {refusal}", "trust the certificate's issuer") if refusal else ok("accepts")
        refusal = ask(target, trace.names.root_certificate)
        if refusal:
            return error(f"refuses even with the sandbox's root: {refusal}")
        refusal = ask(target, None)
    except CannotAsk as reason:
        return skipped(str(reason))
    if refusal:
        return warn(
            f"accepts with the sandbox's root; does not trust it by itself: {refusal}", "sandbox certs trust{which}"
        )
    return ok("accepts, and trusts the sandbox's root already")


def openssl(target: Target, root: Path | None) -> str | None:
    """Ask OpenSSL, with strict checks (RFC 5280)."""
    where = host_network.authority(target.address, target.port)
    trust: list[str | Path] = ["-CAfile", root, "-no-CApath", "-no-CAstore"] if root else []
    said = _run(
        "openssl", "s_client", "-connect", where, "-servername", target.host,
        "-verify_hostname", target.host, "-x509_strict", *trust,
    )  # fmt: skip
    found = re.search(r"Verify return code: (\d+) \((.*)\)", said)
    if found is None:
        raise CannotAsk(f"its output cannot be read: {process.last_lines(said, 1)}")
    return None if found[1] == "0" else found[2]


def python(target: Target, root: Path | None) -> str | None:
    """Ask this Python, with the strict checks that are the default since Python 3.13."""
    context = ssl.create_default_context(cafile=str(root) if root else None)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        with (
            socket.create_connection((target.address, target.port), timeout=TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=target.host),
        ):
            return None
    except ssl.SSLCertVerificationError as refused:
        return refused.verify_message
    except ssl.SSLError as refused:
        return str(refused)


def curl(target: Target, root: Path | None) -> str | None:
    """Ask curl, without the user's configuration and without a proxy."""
    where = f"[{target.address}]" if ":" in target.address else target.address
    host = f"{target.host}:{target.port}"
    trust: list[str | Path] = ["--cacert", root] if root else []
    try:
        _run(
            "curl", "--disable", "--silent", "--show-error", "--head", "--output", "/dev/null", "--noproxy", "*",
            "--no-alpn", "--max-time", str(int(TIMEOUT)), "--resolve", f"{host}:{where}", *trust, f"https://{host}/",
        )  # fmt: skip
    except ToolFailed as failed:
        words = re.search(r"^curl: .*", failed.details, re.MULTILINE)
        return (words[0] if words else failed.brief) if failed.status in CURL_REFUSES else None
    return None


def _run(name: str, *arguments: str | Path) -> str:
    found = process.which(name)
    if found is None:
        raise CannotAsk("not installed")
    return process.run([found, *arguments], timeout=TIMEOUT, stdin="")


CLIENTS: dict[str, Ask] = {"openssl": openssl, "python": python, "curl": curl}

CHECKS = tuple(
    Check(
        f"tls.verifier.{name}",
        f"{name} accepts the certificate, with the sandbox's root and by itself",
        "sandbox certs renew{which}",
        partial(inspect, ask),
    )
    for name, ask in CLIENTS.items()
)
