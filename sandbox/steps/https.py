"""The proof that it all works: the sandbox's domain and every host of its Ingresses answered through the edge."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sandbox.cluster.api import Cluster
from sandbox.host.engine import Bind
from sandbox.host.waiting import wait_until
from sandbox.ingress import page
from sandbox.names import Names
from sandbox.proxy import probe
from sandbox.steps.step import State, Status, Work

TIMEOUT = 60.0
WIDTH = 8
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # where to ask whoever listens everywhere


@dataclass(frozen=True)
class HttpsStep:
    """Makes nothing; ready when clients are answered, the domain itself with a certificate of ours on every port."""

    names: Names
    domain: str
    binds: tuple[Bind, ...]
    needs: tuple[str, ...]
    name: str = "https"

    @property
    def title(self) -> str:
        return f"HTTPS for *.{self.domain}"

    def check(self) -> Status:
        hosts = self._hosts()
        trouble = self._trouble(hosts)
        return Status(State.DRIFTED, trouble) if trouble else Status(State.READY, f"{len(hosts)} hosts answer")

    def apply(self, work: Work) -> None:
        hosts = self._hosts()
        wait_until(lambda: self._trouble(hosts), what=self.title, timeout=TIMEOUT, pause=0.1)

    def undo(self) -> bool:
        return False

    def _hosts(self) -> tuple[str, ...]:
        hosts = page.hosts_of(Cluster(self.names.kubeconfig).list("networking.k8s.io/v1", "Ingress"))
        return tuple(host for host in hosts if host == self.domain or host.endswith("." + self.domain))

    def _trouble(self, hosts: tuple[str, ...]) -> str | None:
        """What one of them answers amiss, or None; all are asked at once, for there may be many."""
        with ThreadPoolExecutor(WIDTH) as pool:
            asked = [pool.submit(self._ask_domain, bind) for bind in self.binds]
            asked += [pool.submit(self._ask, host) for host in hosts]
            return next((trouble for trouble in (one.result() for one in asked) if trouble), None)

    def _ask_domain(self, bind: Bind) -> str | None:
        address = ANYWHERE.get(bind.address, bind.address)
        answer = probe.ask(self.domain, address=address, port=bind.port, root=self.names.root_certificate)
        return f"{address}:{bind.port}: {answer.trouble}" if answer.status is None else None

    def _ask(self, host: str) -> str | None:
        bind = self.binds[0]
        answer = probe.ask(host, address=ANYWHERE.get(bind.address, bind.address), port=bind.port, root=None)
        if answer.status is None or answer.status in probe.UNSERVED or page.is_default(answer.page):
            return f"{host}: {answer.trouble or answer.status}"
        return None
