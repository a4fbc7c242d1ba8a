"""A systemd unit that runs a script of ours on a control-plane node for ever, with the node's own kubectl.

It has an account of its own that may do what the script does and nothing else, and of the node only what it reads.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import yaml

from sandbox.names import SYSTEM_NAMESPACE

RBAC = "rbac.authorization.k8s.io/v1"
ADMIN = PurePosixPath("/etc/kubernetes/admin.conf")
UNITS = PurePosixPath("/etc/systemd/system")
LIFE = 10 * 365 * 24 * 3600
"""Seconds that its token holds; it ends with the service account."""

LABELS = {"app.kubernetes.io/managed-by": "sandbox", "app.kubernetes.io/component": "node-unit"}

Rules = Sequence[Mapping[str, Any]]

# systemd.exec(5). The script writes nothing but kubectl's cache, and needs no capability, even as root.
_HARDENED = """NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
UMask=0077"""


@dataclass(frozen=True, kw_only=True)
class NodeUnit:
    """The unit `name`, its script and what that reads, and what it may do: anywhere, and in the system's namespace."""

    name: str
    description: str
    script: str
    data: Mapping[PurePosixPath, bytes]
    anywhere: Rules
    inside: Rules = ()

    @property
    def service(self) -> str:
        """The unit as systemd knows it."""
        return f"{self.name}.service"

    @property
    def program(self) -> PurePosixPath:
        """The script on the node."""
        return PurePosixPath("/etc/sandbox", f"{self.name.removeprefix('sandbox-')}.sh")

    @property
    def kubeconfig(self) -> PurePosixPath:
        """The file with the account's token, for root only."""
        return self.program.with_suffix(".kubeconfig")

    def files(self) -> dict[PurePosixPath, bytes]:
        """Its files, but for the kubeconfig."""
        return {**self.data, self.program: self.script.encode(), UNITS / self.service: self._text().encode()}

    def objects(self) -> list[dict[str, Any]]:
        """The account and its rights."""
        metadata = {"name": self.name, "labels": LABELS}
        within = {**metadata, "namespace": SYSTEM_NAMESPACE}
        subjects = [{"kind": "ServiceAccount", "name": self.name, "namespace": SYSTEM_NAMESPACE}]
        made: list[dict[str, Any]] = [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": within, "automountServiceAccountToken": False}
        ]
        for kind, where, rules in (("ClusterRole", metadata, self.anywhere), ("Role", within, self.inside)):
            if rules:
                reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": self.name}
                made.append({"apiVersion": RBAC, "kind": kind, "metadata": where, "rules": list(rules)})
                binding = {"apiVersion": RBAC, "kind": f"{kind}Binding", "metadata": where}
                made.append({**binding, "roleRef": reference, "subjects": subjects})
        return made

    def _text(self) -> str:
        """The unit's text. A script that ends is started again a second later.

        minikube keeps kubectl in a folder that has its version for a name.
        """
        return f"""[Unit]
Description={self.description}
After=kubelet.service
StartLimitIntervalSec=0

[Service]
Environment=KUBECONFIG={self.kubeconfig} HOME=/tmp
ExecStart=/bin/sh -c "PATH=$$PATH:$$(echo /var/lib/minikube/binaries/v* | tr ' ' :) exec /bin/sh $$0" {self.program}
Restart=always
RestartSec=1
{_HARDENED}

[Install]
WantedBy=multi-user.target
"""


def kubeconfig(admin: bytes, token: str) -> bytes:
    """A kubeconfig for the API server of the node's own, by which the bearer of `token` is known."""
    clusters = yaml.safe_load(admin)["clusters"]
    context = {"cluster": clusters[0]["name"], "user": "unit"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": clusters,
        "users": [{"name": "unit", "user": {"token": token}}],
        "contexts": [{"name": "unit", "context": context}],
        "current-context": "unit",
    }
    return yaml.safe_dump(content, sort_keys=False).encode()


def holds(found: bytes | None, account: str, now: datetime) -> bool:
    """Whether a kubeconfig on a node has a token of the service account with that uid that does not end soon."""
    try:
        token = yaml.safe_load(found or b"")["users"][0]["user"]["token"]
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        uid, ends = claims["kubernetes.io"]["serviceaccount"]["uid"], float(claims["exp"])
    except (yaml.YAMLError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        return False
    return bool(uid == account and ends - now.timestamp() > 30 * 24 * 3600)
