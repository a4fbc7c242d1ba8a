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
from sandbox.system import interruption
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
SETTLE = 1.0  # seconds until Traefik no longer sends requests to a pod that is gone
WIDTH = 8


@dataclass(frozen=True)
class Current:
    """A Secret of an application with its present certificate, and the workloads whose pods have it."""

    secret: TlsSecret
    facts: Facts
    workloads: tuple[Manifest, ...]

    @property
    def mark(self) -> str:
        return self.facts.sha256.replace(":", "").lower()[:16]


@dataclass(frozen=True)
class Outdated:
    """A host that serves an older certificate of the sandbox than the one in `wanted`, if any is for it."""

    host: str
    served: Facts
    wanted: Current | None

    def __str__(self) -> str:
        wanted = self.wanted
        place = f", not {wanted.facts} of {wanted.secret.namespace}/{wanted.secret.secret}" if wanted else ""
        return f"{self.host} still serves the certificate {self.served}{place}"

    @property
    def workloads(self) -> tuple[Manifest, ...]:
        return self.wanted.workloads if self.wanted else ()


@dataclass(frozen=True, kw_only=True)
class ServedCertificates:
    """Compares the hosts of one sandbox with the certificates in `secrets` and of its edge.

    `ask` requests a host through the edge, trusting the root in a file, or any. Each host is requested for every one of
    the `ways` of the edge.
    """

    cluster: Cluster
    keystore: Keystore
    secrets: tuple[TlsSecret, ...]
    ask: Callable[[str, Path | None], Answer]
    ways: int

    def outdated(self, hosts: Sequence[str]) -> list[Outdated]:
        """Return those of `hosts`, and of the certificates' hosts, that serve an older certificate of the sandbox."""
        present = {secret: facts for secret in self.secrets if (facts := self._facts(secret))}
        current = [self._current(secret, facts) for secret, facts in present.items() if _is_of_application(secret)]
        edge = self._of_edge()
        known = {facts.sha256 for facts in present.values()} | ({edge.sha256} if edge else set())
        named = {*hosts, *(host for entry in current for host in entry.secret.hosts), *(edge.hosts if edge else ())}
        asked = sorted(host for host in named if "*" not in host and parse_address(host) is None)
        with ThreadPoolExecutor(WIDTH) as pool:
            judged = pool.map(lambda host: self._judge(host, current, known), asked)
            return [outdated for outdated in judged if outdated]

    def renew(self, hosts: Sequence[str], say: Say) -> None:
        """Return once all of them serve their present certificates.

        Workloads that do not serve them in time by themselves are restarted. Raises SandboxError for a host of which
        nothing in the cluster can be restarted.
        """
        outdated = self.outdated(hosts)
        for host in outdated:
            for workload in host.workloads:
                if host.wanted and (selector := pod_selector(workload)):
                    # Have kubelets write the Secret's new content into its pods now, not within a minute.
                    space = workload["metadata"]["namespace"]
                    readiness.refresh_pods(self.cluster, space, host.wanted.mark, selector=selector)
        if not outdated:
            return
        try:
            self._await(hosts, PATIENCE)
        except WaitTimeout:
            outdated = self.outdated(hosts)
            for host in outdated:
                self._restart(host, say)
            left = [host for host in outdated if not host.workloads]
            if left:
                raise SandboxError(
                    str(left[0]),
                    details="no Deployment, StatefulSet or DaemonSet has a Secret of the sandbox's for it",
                    fix=f"restart what serves {left[0].host}, then sandbox up",
                    id="old-certificate",
                ) from None
            self._await(hosts, TIMEOUT)

    def _await(self, hosts: Sequence[str], timeout: float) -> None:
        wait_until(lambda: "\n".join(map(str, self.outdated(hosts))) or None, what="the certificates", timeout=timeout)

    def _judge(self, host: str, current: Sequence[Current], known: set[str]) -> Outdated | None:
        wanted = next((entry for entry in current if entry.facts.covers(host)), None)
        for _ in range(self.ways):
            served = self.ask(host, None).certificate
            if not served or fingerprint(served) in known:
                continue
            facts = describe(served.encode(), now=datetime.now(UTC))
            # What clients accept, and no workload here serves, is not the sandbox's business.
            if facts.is_of_sandbox and (
                (wanted and wanted.workloads) or self.ask(host, self.keystore.root.cert).certificate == ""
            ):
                return Outdated(host, facts, wanted)
        return None

    def _facts(self, secret: TlsSecret) -> Facts | None:
        live = self.cluster.get("v1", "Secret", secret.secret, secret.namespace)
        pem_text = base64.b64decode(((live or {}).get("data") or {}).get("tls.crt", ""))
        return describe(pem_text, now=datetime.now(UTC)) if pem_text else None

    def _current(self, secret: TlsSecret, facts: Facts) -> Current:
        workloads = (workload for kind in KINDS for workload in self._of_kind(secret.namespace, kind))
        users = (each for each in workloads if not is_leaving(each) and secret.secret in set(_secrets_of(each)))
        return Current(secret, facts, tuple(users))

    def _of_edge(self) -> Facts | None:
        files = self.keystore.leaf_files(EDGE_LEAF)
        return describe(files.read().cert_pem, now=datetime.now(UTC)) if files.has_cert else None

    def _of_kind(self, namespace: str, kind: str) -> Sequence[Manifest]:
        """Return the workloads of a kind; in a shared cluster the user may have no right to them, and so has none."""
        try:
            return self.cluster.list("apps/v1", kind, namespace)
        except ClusterError as error:
            if error.status != FORBIDDEN:
                raise
            return ()

    def _restart(self, host: Outdated, say: Say) -> None:
        for workload in host.workloads:
            say(f"restarting {title(workload)}: {host}")
            mark = host.wanted.mark if host.wanted else ""
            self.cluster.annotate_pods(workload, {ANNOTATION: mark}, manager=MANAGER)
        wait_ready(self.cluster, host.workloads, timeout=TIMEOUT)
        wait_until(lambda: self._ending(host.workloads), what="the old pods", timeout=TIMEOUT)
        interruption.pause(SETTLE)

    def _ending(self, workloads: Sequence[Manifest]) -> str | None:
        """Return a pod that is being deleted, to which the ingress may still send requests; None without one."""
        for workload in workloads:
            pods = self.cluster.list(
                "v1", "Pod", workload["metadata"]["namespace"], selector=pod_selector(workload) or ""
            )
            for pod in filter(is_leaving, pods):
                return f"{pod['metadata']['name']} is ending"
        return None


def _is_of_application(secret: TlsSecret) -> bool:
    """Return whether an application may have the Secret; the controller has the others and watches them."""
    return secret.leaf not in ("default", "domain")


def _secrets_of(workload: Manifest) -> Iterator[str]:
    spec: Mapping[str, Any] = workload["spec"]["template"]["spec"]
    for volume in spec.get("volumes") or ():
        yield (volume.get("secret") or {}).get("secretName", "")
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield (source.get("secret") or {}).get("name", "")
    for container in containers_in(spec):
        for variables in container.get("envFrom") or ():
            yield (variables.get("secretRef") or {}).get("name", "")
        for variable in container.get("env") or ():
            yield ((variable.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name", "")
