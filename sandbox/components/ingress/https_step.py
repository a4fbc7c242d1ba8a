"""The final check: the sandbox's domain and every host of its Ingresses answer through the edge."""

import base64
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sandbox.components.certificates.facts import Facts, describe
from sandbox.components.certificates.keystore import LEAF, Keystore, inventory
from sandbox.components.certificates.subject_names import parse_address
from sandbox.components.ingress import deep_hosts, https_probe, unserved
from sandbox.components.ingress.page import is_default
from sandbox.components.ingress.served_hosts import hosts_of, paths_of
from sandbox.engine import Bind
from sandbox.kube.api import Cluster, Say
from sandbox.names import SYSTEM_NAMESPACE, Names, is_below
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system.wait import WaitTimeout, wait_until

# Traefik watches its Secrets and takes a second; cert-manager may take its time to issue. After a stop
# the cluster's answers may be outdated, and its pods not started yet.
TIMEOUT = 180.0
WIDTH = 8
# The edge sends requests to the nodes in turn, and each node runs Traefik. Four requests in a row therefore reach every
# node of a cluster with up to four nodes.
TURNS = 4


@dataclass(frozen=True, kw_only=True)
class HttpsStep(NothingToUndo):
    """Adds deep hosts to the domain's certificate if `deep`; ready when clients are answered, on every port with that.

    That is the certificate in `secret`, a TLS Secret of the system namespace; it must be signed by those in the file
    `root`, by default the sandbox's own. With `namespace` nothing outside it is read, and the Secret is there.
    """

    names: Names
    domain: str
    binds: tuple[Bind, ...]
    secret: str
    requires: tuple[str, ...]
    name: str = "https"
    root: Path | None = None
    namespace: str | None = None
    deep: bool = False

    @property
    def title(self) -> str:
        return f"HTTPS for *.{self.domain}"

    def check(self) -> Status:
        ingresses = self._ingresses()
        hosts = self._hosts(ingresses)
        if lacking := self._lacking(ingresses):
            return Status(State.DRIFTED, f"the certificate is not for {', '.join(lacking)}")
        wanted = self._wanted()
        trouble = self._stale(wanted)
        if not trouble and self.namespace is None and ingresses:
            # Also while the controller still serves the hosts of an Ingress whose class nothing serves now.
            fault = unserved.class_fault(self._cluster, ingresses, self.domain)
            trouble = fault.brief if fault else None
        trouble = trouble or self._unanswered(hosts, ingresses)
        if trouble:
            return Status(State.DRIFTED, trouble)
        number = "1 host answers" if len(hosts) == 1 else f"{len(hosts)} hosts answer"
        return Status(State.READY, "; ".join((f"{number}, the domain with {wanted}", *self._outdated(hosts))))

    def apply(self, work: Work) -> None:
        ingresses = self._ingresses()
        if self.namespace is None and (fault := unserved.class_fault(self._cluster, ingresses, self.domain)):
            raise fault
        if self._lacking(ingresses):
            deep_hosts.add(self._cluster, ingresses, Keystore(self.names.keys), self.domain)
        self.renew(work.say)
        ingresses = self._ingresses()
        hosts = self._hosts(ingresses)
        waiting = partial(self._unanswered, hosts * TURNS, ingresses)
        try:
            wait_until(waiting, what=self.title, timeout=TIMEOUT, pause=0.1, say=work.say)
        except WaitTimeout as late:
            if causes := tuple(unserved.service_faults(self._cluster, ingresses, hosts)):
                late.details = "\n".join((late.details, *causes))
                late.fix = "correct the Ingress, or what it names, then run: sandbox up"
            raise

    def renew(self, say: Say) -> None:
        """Return once the domain serves its present certificate; name the hosts that do not serve theirs."""
        what = f"the certificate of {self.domain}"
        wait_until(lambda: self._stale(self._wanted()), what=what, timeout=TIMEOUT, pause=0.2)
        for line in self._outdated(self._hosts(self._ingresses())):
            say(line)

    def wait_answered(self, host: str, *, timeout: float) -> None:
        """Return once the host of an Ingress gets another page than unknown hosts do. Raises WaitTimeout."""
        ingresses = [ingress for ingress in self._ingresses() if host in hosts_of([ingress])]
        wait_until(lambda: self._unanswered((host,) * TURNS, ingresses), what=host, timeout=timeout, pause=0.1)

    @property
    def _cluster(self) -> Cluster:
        return Cluster(self.names.kubeconfig)

    @property
    def _home(self) -> str:
        return self.namespace or SYSTEM_NAMESPACE

    def _hosts(self, ingresses: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        return tuple(host for host in hosts_of(ingresses) if is_below(host, self.domain))

    def _ingresses(self) -> list[dict[str, Any]]:
        return self._cluster.list("networking.k8s.io/v1", "Ingress", self.namespace)

    def _lacking(self, ingresses: Sequence[Mapping[str, Any]]) -> list[str]:
        if not self.deep:
            return []
        return deep_hosts.lacking(self._cluster, ingresses, Keystore(self.names.keys), self.domain)

    def _wanted(self) -> Facts | None:
        secret = self._cluster.get("v1", "Secret", self.secret, self._home)
        return describe(base64.b64decode(secret["data"]["tls.crt"]), now=datetime.now(UTC)) if secret else None

    def _stale(self, wanted: Facts | None) -> str | None:
        return self._first([partial(self._ask_domain, bind, wanted) for bind in self.binds])

    def _first(self, questions: Iterable[Callable[[], str | None]]) -> str | None:
        with ThreadPoolExecutor(WIDTH) as pool:
            return next(filter(None, [*pool.map(lambda question: question(), questions)]), None)

    def _ask_domain(self, bind: Bind, wanted: Facts | None) -> str | None:
        if wanted is None:
            return f"the Secret {self._home}/{self.secret} is gone"
        address, root = bind.asked_at, self.root or self.names.root_certificate
        answer = https_probe.ask(self.domain, address=address, port=bind.port, root=root)
        place, pem = f"{address}:{bind.port}", answer.certificate
        if answer.status is None:  # the certificate that is served matters most when it is not trusted
            pem = https_probe.ask(self.domain, address=address, port=bind.port, root=None).certificate
        served = describe(pem.encode(), now=datetime.now(UTC)) if pem else None
        if served and served.sha256 != wanted.sha256 and served.sha256 not in {own.sha256 for own in self._own()}:
            return f"{place} serves the certificate {served}, not {wanted} of {self._home}/{self.secret}"
        return f"{place}: {answer.trouble}" if answer.status is None else None

    def _own(self, but: Container[str] = ("default", "domain")) -> list[Facts]:
        # Without those of the ingress, these are the certificates of applications and of the edge.
        entries = inventory(Keystore(self.names.keys), now=datetime.now(UTC))
        return [entry.facts for entry in entries if entry.role == LEAF and entry.facts and entry.name not in but]

    def _outdated(self, hosts: Sequence[str]) -> list[str]:
        # A renewed Secret reaches the files of a pod within a minute; many applications read them only at their start.
        own, bind, lines = self._own(), self.binds[0], []
        current = {facts.sha256 for facts in self._own(but=())} if own else set()
        candidates = sorted({*hosts, *(host for facts in own for host in facts.hosts)})
        names = [host for host in candidates if "*" not in host and not parse_address(host)]
        covered = [host for host in names if any(facts.covers(host) for facts in own)]
        ask = partial(https_probe.ask, address=bind.asked_at, port=bind.port, root=None)
        with ThreadPoolExecutor(WIDTH) as pool:
            answers = list(pool.map(ask, covered))
        for host, answer in zip(covered, answers, strict=True):
            pem = answer.certificate
            served = describe(pem.encode(), now=datetime.now(UTC)) if pem else None
            if served and served.is_of_sandbox and served.sha256 not in current:
                lines.append(f"{host} still serves an earlier certificate, {served}: restart its application")
        return lines

    def _unanswered(self, hosts: tuple[str, ...], ingresses: Sequence[Mapping[str, Any]]) -> str | None:
        paths = paths_of(ingresses)
        return self._first([partial(self._ask, host, paths.get(host, "/")) for host in hosts])

    def _ask(self, host: str, path: str) -> str | None:
        bind = self.binds[0]
        answer = https_probe.ask(host, address=bind.asked_at, port=bind.port, root=None, path=path or "/")
        # Without a path, the page for unknown hosts is fine too.
        unknown = bool(path) and (is_default(answer.page) or self._is_loading(answer))
        if answer.status is None or answer.status in https_probe.UNSERVED or unknown:
            return f"{host}{path.rstrip('/')}: {answer.trouble or answer.status}"
        return None

    def _is_loading(self, answer: https_probe.Answer) -> bool:
        # Until Traefik has read its routes, it answers so for every host. An application may answer the same; then
        # unknown hosts get the sandbox's page.
        if not https_probe.is_bare_404(answer):
            return False
        bind, unknown = self.binds[0], f"no.such.{self.domain}"  # which no wildcard covers
        ask = partial(https_probe.ask, unknown, address=bind.asked_at, port=bind.port, root=None)
        return any(https_probe.is_bare_404(ask()) for _ in range(TURNS))
