"""A sandbox as its clients see it: through the edge, at its node, with what they trust."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.facts import KeyPair
from sandbox.components.certificates.keystore import Keystore
from sandbox.kube.api import Cluster
from sandbox.names import INGRESS_PORT as PORT
from sandbox.names import Names
from sandbox.system.wait import wait_until
from tests.real.machine import tool

SECONDS = 60.0


@dataclass(frozen=True)
class Sandbox:
    """A sandbox that is up; `port` is its edge's."""

    names: Names
    port: int

    @property
    def domain(self) -> str:
        return f"{self.names.name}.sandbox.localhost"

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.names.kubeconfig)

    @property
    def node(self) -> str:
        """The node's address, to ask the ingress without the edge, which sends it its own domain's clients only."""
        (node,) = self.cluster.list("v1", "Node")
        return str(next(one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"))

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.names.root_certificate))

    def curl(self, host: str, *more: str, path: str = "/", status: int | None = 0) -> str:
        """What curl prints for a host, headers before the content, trusting the sandbox's root only; it ends so."""
        where = ["--resolve", f"{host}:{self.port}:127.0.0.1", f"https://{host}:{self.port}{path}"]
        options = ("--silent", "--show-error", "--include", "--cacert", self.names.root_certificate)
        return tool("curl", *options, *more, *where, status=status)

    def status(self, host: str, *more: str) -> str:
        return self.curl(host, *more).split()[1]

    def serves(self, host: str, status: str = "200", *more: str) -> None:
        """Return once the ingress knows the host, whose application answers (to curl's options) with `status`."""

        def other() -> str | None:
            found = self.curl(host, *more, status=None)
            return None if found.split()[1:2] == [status] else found

        wait_until(other, what=host, timeout=SECONDS)

    def presented(self, host: str | None, *, node: bool = False) -> bytes:
        """The certificate that a client gets who asks for `host`, or for none, whether it is good for it or not."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        place = (self.node, PORT) if node else ("127.0.0.1", self.port)
        with (
            socket.create_connection(place, timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            return connection.getpeercert(binary_form=True) or b""

    def leaf(self, *hosts: str) -> KeyPair:
        now = datetime.now(UTC)
        return make_leaf(Keystore(self.names.keys).issuing.read(), hosts, now=now)
