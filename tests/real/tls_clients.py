"""TLS clients as people have them, each asked the same: does it accept this server, trusting that root?"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from sandbox.components.certificates.export_formats import as_java
from sandbox.truststore.java import JAVA_PASSWORD
from tests.real.machine import need

NODE = """
const [name, port] = process.argv.slice(1)
const tls = require('tls')
const options = require('net').isIP(name) ? {host: name, port} : {host: '127.0.0.1', port, servername: name}
tls.connect(options, function () { this.end() }).on('error', error => { console.error(error.message); process.exit(1) })
"""


@dataclass(frozen=True)
class Question:
    """A server on `port` of `address`, the name it is asked for, the root (PEM) that is trusted, a folder to use."""

    name: str
    port: int
    root_pem: bytes
    folder: Path

    @property
    def root(self) -> Path:
        path = self.folder / "root.pem"
        path.write_bytes(self.root_pem)
        return path

    @property
    def address(self) -> str:
        """Where the server is: at the name, when that is an address."""
        return self.name if self.is_address else "127.0.0.1"

    @property
    def is_address(self) -> bool:
        """Whether the name is an IP address, for which no server name is sent (RFC 6066, section 3)."""
        try:
            ip_address(self.name)
        except ValueError:
            return False
        return True


@dataclass(frozen=True)
class Client:
    """A client: how people call it, what tells its version, and what it says against a server, None for nothing."""

    name: str
    version: tuple[str, ...]
    refusal: Callable[[Question], str | None]

    def require(self) -> None:
        """Leave the test out unless the program is here."""
        need(self.version[0])


def _run(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str | None:
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=60,
        env={**os.environ, **(env or {})},
    )
    return None if done.returncode == 0 else done.stdout.strip() or f"status {done.returncode}"


def _openssl(asked: Question) -> str | None:
    kind = ["-noservername", "-verify_ip"] if asked.is_address else ["-servername", asked.name, "-verify_hostname"]
    trust = ["-CAfile", str(asked.root), "-no-CApath", "-no-CAstore", "-x509_strict", "-verify_return_error"]
    return _run(
        ["openssl", "s_client", "-brief", "-connect", f"{asked.address}:{asked.port}", *kind, asked.name, *trust]
    )


def _python(asked: Question) -> str | None:
    context = ssl.create_default_context(cadata=asked.root_pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        with (
            socket.create_connection((asked.address, asked.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=asked.name),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return error.verify_message


def _curl(asked: Question) -> str | None:
    where = f"{asked.name}:{asked.port}"
    # Some builds trust the system's folder next to the file that they are given.
    trust = ["--cacert", str(asked.root), "--capath", str(asked.folder)]
    return _run(
        [
            "curl",
            "-sS",
            "--noproxy",
            "*",
            "-o",
            os.devnull,
            *trust,
            "--resolve",
            f"{where}:{asked.address}",
            f"https://{where}/",
        ]
    )


def _node(asked: Question) -> str | None:
    return _run(["node", "-e", NODE, asked.name, str(asked.port)], {"NODE_EXTRA_CA_CERTS": str(asked.root)})


def _java(asked: Question) -> str | None:
    store = asked.folder / "trust.p12"
    store.write_bytes(as_java(asked.root_pem, b""))
    return java(asked, store)


def java(asked: Question, store: Path) -> str | None:
    """What a Java runtime with the truststore `store` says, by the HTTPS client of its keytool."""
    hosts = asked.folder / "hosts"
    hosts.write_text(f"{asked.address} {asked.name}\n")
    settings = {
        "jdk.net.hosts.file": hosts,
        "javax.net.ssl.trustStore": store,
        "javax.net.ssl.trustStorePassword": JAVA_PASSWORD,
    }
    flags = [f"-J-D{key}={value}" for key, value in settings.items()]
    return _run(["keytool", *flags, "-printcrl", "-file", f"https://{asked.name}:{asked.port}/"])


CLIENTS = (
    Client("OpenSSL -x509_strict", ("openssl", "version"), _openssl),
    Client(
        "Python ssl, strict",
        (sys.executable, "-c", "import ssl, sys; print(sys.version.split()[0], ssl.OPENSSL_VERSION)"),
        _python,
    ),
    Client("curl", ("curl", "--version"), _curl),
    Client("Node.js", ("node", "--version"), _node),
    Client("Java", ("java", "--version"), _java),
)
