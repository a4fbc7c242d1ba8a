"""Finds where a sandbox's certificates are deployed: Secrets of its cluster, trust stores of this machine."""

from __future__ import annotations

import base64
import binascii
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.keystore import ROOT, Entry
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.truststore import stores

# A cluster that is stopped refuses at once; one that hangs is not worth waiting for longer.
TIMEOUT = 3.0


@dataclass(frozen=True)
class Places:
    """`by_fingerprint` maps a SHA-256 fingerprint to Secrets (namespace/name), None when the cluster did not answer."""

    by_fingerprint: Mapping[str, tuple[str, ...]] | None
    trusting: tuple[str, ...]

    @property
    def reachable(self) -> bool:
        return self.by_fingerprint is not None

    def secrets(self, entry: Entry) -> tuple[str, ...] | None:
        """Return the Secrets whose certificate is exactly this one; None when that is not known."""
        if self.by_fingerprint is None or entry.facts is None:
            return None
        return self.by_fingerprint.get(entry.facts.sha256, ())

    def stores(self, entry: Entry) -> tuple[str, ...] | None:
        return self.trusting if entry.role == ROOT else None


def find_places(names: Names, entries: Sequence[Entry]) -> Places:
    """Ask the sandbox's cluster, for three seconds at most, and this machine's trust stores."""
    pool = ThreadPoolExecutor(1)
    asked = pool.submit(_secrets, names.kubeconfig)
    try:
        secrets = asked.result(TIMEOUT)
    except (SandboxError, TimeoutError):
        secrets = None
    finally:
        pool.shutdown(wait=False)
    return Places(secrets, _stores(entries, names.home.trust))


def _secrets(kubeconfig: Path) -> Mapping[str, tuple[str, ...]]:
    now = datetime.now(UTC)
    secrets: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    for secret in Cluster(kubeconfig).list("v1", "Secret"):
        try:
            chain = base64.b64decode((secret.get("data") or {}).get("tls.crt", ""))
            fingerprint = describe(chain, now=now).sha256
        except (SandboxError, binascii.Error):
            continue  # no certificate that can be read
        secrets[fingerprint] += (f"{secret['metadata']['namespace']}/{secret['metadata']['name']}",)
    return secrets


def _stores(entries: Sequence[Entry], record: Path) -> tuple[str, ...]:
    roots = [entry.file.read_bytes() for entry in entries if entry.role == ROOT and entry.facts is not None]
    return tuple(store for root_pem in roots for store in stores.installed(root_pem, record))
