"""What each TLS client of this machine makes of a server: with the sandbox's root, and with what it trusts already."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

from sandbox.doctor.check import Check, Finding, error, ok, skipped, warn
from sandbox.doctor.tls.tls_context import RequestTrace
from sandbox.system import process
from sandbox.system.process import ToolFailed

TIMEOUT = 10.0
COMPILING = 40.0  # Go builds its TLS library once
# libcurl-errors(3): what curl ends with when it is TLS that it does not like.
CURL_REFUSES = {35, 51, 53, 54, 58, 59, 60, 64, 66, 77, 80, 82, 83, 90, 91}


@dataclass(frozen=True)
class Target:
    """A server: the address and port to connect to, and the host to ask for."""

    address: str
    port: int
    host: str


# What a client says against a server when it trusts only the file `root`, or what it always trusts; None: accepted.
Ask = Callable[[Target, Path | None], str | None]


class CannotAsk(Exception):
    """The client is not here, or not fit to be asked; the text says why."""


def look(ask: Ask, trust: str, trace: RequestTrace) -> Finding:
    """Ask one client twice; `trust` is what makes it trust the root."""
    target = Target(trace.address, trace.port, trace.host)
    try:
        if not trace.is_ours:
            refusal = ask(target, None)
            return warn(f"refuses: {refusal}", "trust the certificate's issuer") if refusal else ok("accepts")
        refusal = ask(target, trace.names.root_certificate)
        if refusal:
            return error(f"refuses, the sandbox's root given: {refusal}")
        refusal = ask(target, None)
    except CannotAsk as reason:
        return skipped(str(reason))
    if refusal:
        return warn(f"accepts with the sandbox's root; does not trust it by itself: {refusal}", trust)
    return ok("accepts, and trusts the sandbox's root already")


def openssl(target: Target, root: Path | None) -> str | None:
    """OpenSSL, as strict as RFC 5280 lets it be."""
    where = f"[{target.address}]" if ":" in target.address else target.address
    trust: list[str | Path] = ["-CAfile", root, "-no-CApath", "-no-CAstore"] if root else []
    said = _run(
        "openssl", "s_client", "-connect", f"{where}:{target.port}", "-servername", target.host,
        "-verify_hostname", target.host, "-x509_strict", *trust,
    )  # fmt: skip
    found = re.search(r"Verify return code: (\d+) \((.*)\)", said)
    if found is None:
        raise CannotAsk(f"its answer cannot be read: {process.last_lines(said, 1)}")
    return None if found[1] == "0" else found[2]


def python(target: Target, root: Path | None) -> str | None:
    """The Python that runs this, strict as Python 3.13 and newer are by default."""
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
    """curl, without the user's configuration and any proxy."""
    where = f"[{target.address}]" if ":" in target.address else target.address
    host = f"{target.host}:{target.port}"
    trust: list[str | Path] = ["--cacert", root] if root else []
    try:
        _run(
            "curl", "--disable", "--silent", "--show-error", "--head", "--output", "/dev/null", "--noproxy", "*",
            "--max-time", str(int(TIMEOUT)), "--resolve", f"{host}:{where}", *trust, f"https://{host}/",
        )  # fmt: skip
    except ToolFailed as failed:
        words = re.search(r"^curl: .*", failed.details, re.MULTILINE)
        return (words[0] if words else failed.brief) if failed.status in CURL_REFUSES else None
    return None


def program(words: tuple[str, ...], file: str, target: Target, root: Path | None) -> str | None:
    """A small program of ours in another language, run by `words`; it ends with 1 when it refuses, and says why."""
    if process.which(words[0]) is None:
        raise CannotAsk("not installed")
    trust = [root] if root else []
    with resources.as_file(resources.files(__package__) / "clients" / file) as path:
        try:
            _run(*words, path, target.address, str(target.port), target.host, *trust, timeout=COMPILING)
        except ToolFailed as failed:
            said = [line for line in failed.details.splitlines()[1:] if line and not line.startswith("exit status")]
            if failed.status != 1 or not said or "jdk.compiler" in failed.details:
                raise CannotAsk(f"cannot be asked: {said[-1] if said else failed.brief}") from failed
            return said[-1]
    return None


def _run(name: str, *arguments: str | Path, timeout: float = TIMEOUT) -> str:
    found = process.which(name)
    if found is None:
        raise CannotAsk("not installed")
    return process.run([found, *arguments], timeout=timeout, stdin="")


CLIENTS: dict[str, Ask] = {
    "openssl": openssl,
    "python": python,
    "curl": curl,
    "node": partial(program, ("node",), "probe.cjs"),
    "java": partial(program, ("java",), "Probe.java"),
    "go": partial(program, ("go", "run"), "probe.go"),
}

# Clients with roots of their own.
TRUST = {"node": "sandbox certs trust{which} --store python, then export what it prints"}

CHECKS = tuple(
    Check(
        f"tls.verifier.{name}",
        f"{name} accepts the certificate, with the sandbox's root and by itself",
        "sandbox certs renew{which}",
        partial(look, ask, TRUST.get(name, "sandbox certs trust{which}")),
    )
    for name, ask in CLIENTS.items()
)
