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
from pathlib import Path
from typing import Any

from sandbox.components.certificates.facts import Facts, describe, fingerprint
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.subject_names import parse_address
from sandbox.components.certificates.tls_secrets import TlsSecret
from sandbox.components.ingress.https_probe import Answer
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster, ClusterError, Manifest, Say, title
from sandbox.kube.deletion import is_leaving
from sandbox.kube.pod_images import containers_in
from sandbox.kube.readiness import wait_ready
from sandbox.names import EDGE_LEAF
from sandbox.system.wait import wait_until

# The certificate that a workload's pods were last restarted for; its own field manager keeps it when the workload is
# applied.
ANNOTATION = "sandbox.dev/certificate"
MANAGER = "sandbox-certificates"
TIMEOUT = 180.0
WIDTH = 8


@dataclass(frozen=True)
class Outdated:
    """A host that serves an older certificate of the sandbox than `wanted` in its Secret, which `workloads` have."""

    host: str
    served: Facts
    secret: TlsSecret
    wanted: Facts
    workloads: tuple[Manifest, ...]

    def __str__(self) -> str:
        place = f"{self.secret.namespace}/{self.secret.secret}"
        return f"{self.host} still serves the certificate {self.served}, not {self.wanted} of {place}"


@dataclass(frozen=True, kw_only=True)
class ServedCertificates:
    """Compares the certificates that hosts serve with those of the TLS Secrets `secrets` that applications have.

    `ask` requests a host through the edge, trusting the root in a file, or any. Each host is requested for every one of
    the `ways` of the edge.
    """

    cluster: Cluster
    keystore: Keystore
    secrets: tuple[TlsSecret, ...]
    ask: Callable[[str, Path | None], Answer]
    ways: int

    def outdated(self, hosts: Sequence[str]) -> list[Outdated]:
        present = {secret: facts for secret in self.secrets if (facts := self._facts(secret))}
        current = {facts.sha256 for facts in present.values()}
        edge = self.keystore.leaf_files(EDGE_LEAF)
        if edge.has_cert:
            current.add(describe(edge.read().cert_pem, now=datetime.now(UTC)).sha256)
        # The ingress controller has the other Secrets, and watches them.
        applications = {secret: facts for secret, facts in present.items() if secret.leaf not in ("default", "domain")}
        named = {*hosts, *(host for secret in applications for host in secret.hosts)}
        questions = [
            (host, secret, facts)
            for host in sorted(named)
            if "*" not in host and parse_address(host) is None
            for secret, facts in applications.items()
            if facts.covers(host)
        ]
        with ThreadPoolExecutor(WIDTH) as pool:
            judged = pool.map(partial(self._judge, current), *zip(*questions, strict=True)) if questions else ()
            return [outdated for outdated in judged if outdated]

    def renew(self, hosts: Sequence[str], say: Say) -> None:
        """Restart the workloads that serve an older certificate, and return once none is served.

        Raises SandboxError for a host that no workload with the Secret serves.
        """
        outdated = self.outdated(hosts)
        for host in outdated:
            if not host.workloads:
                raise SandboxError(
                    str(host),
                    details="no Deployment, StatefulSet or DaemonSet has this Secret",
                    fix=f"restart what serves {host.host}, then sandbox up",
                    id="old-certificate",
                )
            for workload in host.workloads:
                say(f"restarting {title(workload)}: {host}")
                mark = host.wanted.sha256.replace(":", "").lower()[:16]
                self.cluster.annotate_pods(workload, {ANNOTATION: mark}, manager=MANAGER)
        if outdated:
            wait_ready(self.cluster, [workload for host in outdated for workload in host.workloads], timeout=TIMEOUT)
            wait_until(
                lambda: "\n".join(map(str, self.outdated(hosts))) or None,
                what="the certificates",
                timeout=TIMEOUT,
                pause=0.5,
            )

    def _judge(self, current: set[str], host: str, secret: TlsSecret, wanted: Facts) -> Outdated | None:
        for _ in range(self.ways):
            served = self.ask(host, None).certificate
            if not served or fingerprint(served) in current:
                continue
            facts = describe(served.encode(), now=datetime.now(UTC))
            workloads = self._workloads(secret)
            # A certificate that clients accept, and that no workload here serves, is the user's own affair.
            if facts.is_of_sandbox and (workloads or not self.ask(host, self.keystore.root.cert).certificate):
                return Outdated(host, facts, secret, wanted, workloads)
        return None

    def _facts(self, secret: TlsSecret) -> Facts | None:
        live = self.cluster.get("v1", "Secret", secret.secret, secret.namespace)
        pem_text = base64.b64decode(((live or {}).get("data") or {}).get("tls.crt", ""))
        return describe(pem_text, now=datetime.now(UTC)) if pem_text else None

    def _workloads(self, secret: TlsSecret) -> tuple[Manifest, ...]:
        workloads: list[Manifest] = []
        for kind in ("Deployment", "StatefulSet", "DaemonSet"):
            try:
                workloads += self.cluster.list("apps/v1", kind, secret.namespace)
            except ClusterError as error:
                if error.status != 403:  # in a shared cluster the user may have no right to them
                    raise
        return tuple(each for each in workloads if not is_leaving(each) and secret.secret in set(_secrets_of(each)))


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
