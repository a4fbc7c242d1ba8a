"""Finds hosts that still serve an older certificate of the sandbox, and restarts the workloads that serve it.

A changed Secret reaches the files of a pod, but an application that does not read them again goes on serving what it
read at its start: a certificate of an old root, which no client of the new root accepts, or one that will expire.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

from sandbox.components.certificates.facts import Facts, describe, fingerprint
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.subject_names import parse_address
from sandbox.components.certificates.tls_secrets import TlsSecret
from sandbox.components.ingress.https_probe import Answer
from sandbox.errors import SandboxError
from sandbox.kube import readiness
from sandbox.kube.api import Cluster, ClusterError, Manifest, Say, title
from sandbox.kube.deletion import is_leaving
from sandbox.kube.manifests import pod_selector
from sandbox.kube.pod_images import containers_in
from sandbox.kube.readiness import wait_ready
from sandbox.names import EDGE_LEAF
from sandbox.system.wait import WaitTimeout, wait_until

# The certificate that a workload's pods were last restarted for; its own field manager keeps it when the workload is
# applied.
ANNOTATION = "sandbox.dev/certificate"
MANAGER = "sandbox-certificates"
KINDS = ("Deployment", "StatefulSet", "DaemonSet")
FORBIDDEN = 403
# An application that reads its files again does so within seconds after the kubelet has written them.
PATIENCE = 15.0
TIMEOUT = 180.0
WIDTH = 8
MAX_PODS = 10

Ask = Callable[[str, Path | None], Answer]


@dataclass(frozen=True)
class Current:
    """A Secret of the sandbox with its present certificate."""

    secret: TlsSecret
    facts: Facts


@dataclass(frozen=True, kw_only=True)
class Outdated:
    """A host that serves an older certificate, and the `workloads` that may serve it, each with their Secret."""

    host: str
    served: Facts
    wanted: Current | None
    workloads: tuple[Manifest, ...]

    def __str__(self) -> str:
        place = f", not {self.wanted.facts} of {_place(self.wanted.secret)}" if self.wanted else ""
        return f"{self.host} still serves the certificate {self.served}{place}"


@dataclass(frozen=True, kw_only=True)
class ServedCertificates:
    """Compares the hosts of one sandbox with the certificates in `secrets` and of its edge.

    `ask` requests a host through the edge, trusting the root in a file, or any. Each host is requested for every one of
    the `ways` of the edge, and for every pod that may answer.
    """

    cluster: Cluster
    keystore: Keystore
    secrets: tuple[TlsSecret, ...]
    ingresses: Sequence[Mapping[str, Any]]
    ask: Ask
    ways: int

    def outdated(self, hosts: Sequence[str], *, replaced: bool = False) -> list[Outdated]:
        """Return those of `hosts`, and of the certificates' hosts, that serve an older certificate of the sandbox.

        With `replaced` pods were replaced just now, and who routes to them may still know as many of those before.
        """
        with ThreadPoolExecutor(WIDTH) as pool:
            current = [one for one in pool.map(self._current, self.secrets) if one]
            edge = self._of_edge()
            named = {host for one in current if _is_of_application(one.secret) for host in one.secret.hosts}
            named |= set(edge.hosts if edge else ())
            asked = sorted(set(hosts) | {one for one in named if "*" not in one and parse_address(one) is None})
            known = {one.facts.sha256 for one in current} | ({edge.sha256} if edge else set())
            spaces = {one.secret.namespace for one in current if _is_of_application(one.secret)}
            listed = {space: pool.map(partial(self._of_kind, space), KINDS) for space in spaces}
            workloads = {space: list(chain.from_iterable(found)) for space, found in listed.items()}
            judge = partial(self._judge, current=current, known=known, of_namespace=workloads, times=1 + replaced)
            shares = (asked[nth::WIDTH] for nth in range(min(WIDTH, len(asked))))
            parts = pool.map(lambda part: [judge(host) for host in part], shares)
            return sorted((one for part in parts for one in part if one), key=attrgetter("host"))

    def renew(self, hosts: Sequence[str], say: Say) -> None:
        """Return once all of them serve their present certificates.

        Workloads that do not serve them in time by themselves are restarted, and only those. Raises SandboxError for a
        host of which nothing in the cluster can be restarted.
        """
        found = self.outdated(hosts)
        if not found:
            return
        for one in found:
            for workload in one.workloads:
                if selector := pod_selector(workload):
                    # Have kubelets write the Secret's new content into its pods now, not within a minute.
                    space = workload["metadata"]["namespace"]
                    readiness.refresh_pods(self.cluster, space, _mark(one), selector=selector)
        try:
            wait_until(lambda: _told(self.outdated(hosts)), what="the certificates", timeout=PATIENCE)
        except WaitTimeout:
            found = self.outdated(hosts)
            for one in found:
                self._restart(one, say)
            left = [one for one in found if not one.workloads]
            if left:
                raise SandboxError(
                    str(left[0]),
                    details="no Deployment, StatefulSet or DaemonSet has a Secret of the sandbox's for it",
                    fix=f"restart what serves {left[0].host}, then sandbox up",
                    id="old-certificate",
                ) from None
            wait_until(lambda: _told(self.outdated(hosts, replaced=True)), what="the certificates", timeout=TIMEOUT)

    def _judge(
        self,
        host: str,
        *,
        current: Sequence[Current],
        known: set[str],
        of_namespace: Mapping[str, Sequence[Manifest]],
        times: int,
    ) -> Outdated | None:
        wanted = next((one for one in current if _is_of_application(one.secret) and one.facts.covers(host)), None)
        workloads = tuple(self._workloads(host, wanted, of_namespace)) if wanted else ()
        for _ in range(self.ways * times * min(MAX_PODS, max(1, sum(map(_replicas, workloads))))):
            served = self.ask(host, None).certificate
            if not served or fingerprint(served) in known:
                continue
            facts = describe(served.encode(), now=datetime.now(UTC))
            if not facts.is_of_sandbox:
                continue
            if workloads or self.ask(host, self.keystore.root.cert).certificate == "":
                return Outdated(host=host, served=facts, wanted=wanted, workloads=workloads)
        return None

    def _current(self, one: TlsSecret) -> Current | None:
        found = self.cluster.get("v1", "Secret", one.secret, one.namespace)
        pem_text = base64.b64decode(((found or {}).get("data") or {}).get("tls.crt", ""))
        return Current(one, describe(pem_text, now=datetime.now(UTC))) if pem_text else None

    def _of_edge(self) -> Facts | None:
        files = self.keystore.leaf_files(EDGE_LEAF)
        return describe(files.read().cert_pem, now=datetime.now(UTC)) if files.has_cert else None

    def _workloads(
        self, host: str, wanted: Current, of_namespace: Mapping[str, Sequence[Manifest]]
    ) -> Iterator[Manifest]:
        """Yield the workloads whose pods have the Secret; only the Service's where an Ingress names one."""
        namespace, name = wanted.secret.namespace, wanted.secret.secret
        users = [one for one in of_namespace[namespace] if not is_leaving(one) and name in set(_secrets_of(one))]
        selectors = list(self._selectors(host, namespace)) if len(users) > 1 else []
        behind = [one for one in users if any(selector.items() <= _labels(one).items() for selector in selectors)]
        return iter(behind or users)

    def _of_kind(self, namespace: str, kind: str) -> Sequence[Manifest]:
        """Return the workloads of a kind; in a shared cluster the user may have no right to them, and so has none."""
        try:
            return self.cluster.list("apps/v1", kind, namespace)
        except ClusterError as error:
            if error.status != FORBIDDEN:
                raise
            return ()

    def _selectors(self, host: str, namespace: str) -> Iterator[Mapping[str, str]]:
        for ingress in self.ingresses:
            rules = (ingress.get("spec") or {}).get("rules") or ()
            paths = [path for rule in rules if rule.get("host") == host for path in _paths(rule)]
            services = {str(((path.get("backend") or {}).get("service") or {}).get("name", "")) for path in paths}
            for service in services - {""} if ingress["metadata"].get("namespace") == namespace else ():
                found = self.cluster.get("v1", "Service", service, namespace) or {}
                selector = (found.get("spec") or {}).get("selector")
                if selector:
                    yield selector

    def _restart(self, one: Outdated, say: Say) -> None:
        for workload in one.workloads:
            say(f"restarting {title(workload)}: {one}")
            self.cluster.annotate_pods(workload, {ANNOTATION: _mark(one)}, manager=MANAGER)
        wait_ready(self.cluster, one.workloads, timeout=TIMEOUT)


def _told(found: Sequence[Outdated]) -> str | None:
    return "\n".join(map(str, found)) or None


def _mark(one: Outdated) -> str:
    return one.wanted.facts.sha256.replace(":", "").lower()[:16] if one.wanted else ""


def _place(secret: TlsSecret) -> str:
    return f"{secret.namespace}/{secret.secret}"


def _is_of_application(secret: TlsSecret) -> bool:
    """Tell whether an application may have the Secret; the controller has the others and watches them."""
    return secret.leaf not in ("default", "domain")


def _replicas(workload: Manifest) -> int:
    """Return how many pods may answer; one that is told to end is asked until it has ended (KEP-3973)."""
    status = workload.get("status") or {}
    ready = int(status.get("readyReplicas") or status.get("numberReady") or 0)
    return ready + int(status.get("terminatingReplicas") or 0)


def _labels(workload: Manifest) -> Mapping[str, str]:
    return workload["spec"]["template"]["metadata"].get("labels") or {}


def _paths(rule: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (rule.get("http") or {}).get("paths") or ()


def _secrets_of(workload: Manifest) -> Iterator[str]:
    """Yield the names of the Secrets that a workload's pods have as files or variables."""
    spec = workload["spec"]["template"]["spec"]
    for volume in spec.get("volumes") or ():
        yield (volume.get("secret") or {}).get("secretName", "")
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield (source.get("secret") or {}).get("name", "")
    for container in containers_in(spec):
        for variables in container.get("envFrom") or ():
            yield (variables.get("secretRef") or {}).get("name", "")
        for variable in container.get("env") or ():
            yield ((variable.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name", "")
