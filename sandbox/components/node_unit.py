"""A systemd unit that runs a script of the sandbox on one node or all for ever, with the node's own kubectl.

It has an account of its own that may do what the script does and nothing else, and of the node only what it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import yaml

from sandbox.components import content_hash
from sandbox.config import json_text, yaml_text
from sandbox.errors import SandboxError, succeeded
from sandbox.kube.api import Cluster, Manifest, title
from sandbox.kube.manifests import namespace
from sandbox.names import SYSTEM_NAMESPACE
from sandbox.provider import Nodes
from sandbox.system import files

RBAC = "rbac.authorization.k8s.io/v1"
ADMIN = PurePosixPath("/etc/kubernetes/admin.conf")
UNITS = PurePosixPath("/etc/systemd/system")
LAUNCHER = PurePosixPath("/etc/sandbox/when-served.sh")
WATCHER = PurePosixPath("/etc/sandbox/watch.sh")
SHARED = (LAUNCHER, WATCHER)
LIFE = 10 * 365 * 24 * 3600
"""Seconds that its token holds; it ends with the service account."""

START = f"""systemctl is-enabled --quiet "$1" && systemctl daemon-reload
touch {UNITS} && systemctl enable --quiet --no-reload "$1" || exit
systemctl restart "$1" 2>/dev/null || {{ systemctl daemon-reload && systemctl restart "$1"; }}"""
"""A unit that systemd has not read yet needs no reload, which takes a tenth of a second of processor time.

It looks for one in a folder whose time has changed, which that of files that the engine wrote does not; the files of
another unit, written at the same moment, may set that time back, and then a reload finds this one.
"""

LABELS = {"app.kubernetes.io/managed-by": "sandbox", "app.kubernetes.io/component": "node-unit"}

Rules = Sequence[Mapping[str, Any]]

# systemd.exec(5). The script writes nothing but kubectl's cache, and needs no other capability, even as root.
_HARDENED = """NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
UMask=0077"""
ROLES = (
    ("ClusterRoleBinding", None),
    ("RoleBinding", SYSTEM_NAMESPACE),
    ("ClusterRole", None),
    ("Role", SYSTEM_NAMESPACE),
)


@dataclass(frozen=True, kw_only=True)
class NodeUnit:
    """The unit `name`, its script and what that reads, and what it may do: anywhere, and in the system's namespace.

    It runs on the first control plane, or `everywhere`. `capabilities` and `families` (of sockets) are what the script
    needs of the node's network besides connections.
    """

    name: str
    description: str
    script: str
    data: Mapping[PurePosixPath, bytes]
    anywhere: Rules
    inside: Rules = ()
    everywhere: bool = False
    interpreter: str = "/bin/sh"
    capabilities: tuple[str, ...] = ()
    families: tuple[str, ...] = ()

    def nodes(self, nodes: Nodes) -> tuple[str, ...]:
        """Return the nodes where it runs."""
        return nodes.running() if self.everywhere else (nodes.control_plane,)

    @property
    def service(self) -> str:
        """Return the unit as systemd knows it."""
        return f"{self.name}.service"

    @property
    def program(self) -> PurePosixPath:
        """Return the script on the node."""
        return PurePosixPath("/etc/sandbox", f"{self.name.removeprefix('sandbox-')}.sh")

    @property
    def kubeconfig(self) -> PurePosixPath:
        """Return the file with the account's token, for root only."""
        return self.program.with_suffix(".kubeconfig")

    def files(self) -> dict[PurePosixPath, bytes]:
        """Return its files, but for the kubeconfig."""
        shared = {path: files.packaged(__package__, f"scripts/{path.name}") for path in SHARED}
        texts = {**shared, self.program: self.script, UNITS / self.service: self._text()}
        return {**self.data, **{path: text.encode() for path, text in texts.items()}}

    def objects(self) -> list[dict[str, Any]]:
        """Return the account and its rights."""
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
        """Return the unit's text. A script that ends is started again a second later.

        A kubectl that watches for ever has little garbage and no hurry: it gets by with less memory.
        """
        return f"""[Unit]
Description={self.description}
After=kubelet.service
StartLimitIntervalSec=0

[Service]
Environment=KUBECONFIG={self.kubeconfig} HOME=/tmp GOGC=20 GOMAXPROCS=1
ExecStart=/bin/bash {LAUNCHER} {self.interpreter} {self.program}
Restart=always
RestartSec=1
CapabilityBoundingSet={" ".join(self.capabilities)}
RestrictAddressFamilies={" ".join(("AF_INET", "AF_INET6", "AF_UNIX", *self.families))}
{_HARDENED}

[Install]
WantedBy=multi-user.target
"""


def kubeconfig(admin: bytes, token: str) -> bytes:
    """Return a kubeconfig for the API server of the node's own, by which the bearer of `token` is known."""
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


def holds(found: bytes | None, account: str | None, now: datetime) -> bool:
    """Tell whether a kubeconfig on a node has a token of the service account with that uid that does not end soon."""
    try:
        token = yaml_text.document(found or b"")["users"][0]["user"]["token"]
        claims = json_text.claims(token)
        uid, ends = claims["kubernetes.io"]["serviceaccount"]["uid"], float(claims["exp"])
    except (yaml.YAMLError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        return False
    return bool(uid == account and ends - now.timestamp() > 30 * 24 * 3600)


def problem(nodes: Nodes, cluster: Cluster, unit: NodeUnit) -> str | None:
    """Return what of a unit is not there, differs or does not run."""
    account = None
    for one in map(content_hash.marked, unit.objects()):  # first, for what nodes are asked takes longer
        found = cluster.live(one)
        if one["kind"] == "ServiceAccount":
            account = _uid(found)
        if found is None or content_hash.mark(found) != content_hash.mark(one):
            return f"{title(one)} {'is absent' if found is None else 'differs'}"
    for node in unit.nodes(nodes):
        there = nodes.read_files(node, (*unit.files(), unit.kubeconfig))
        for path, content in unit.files().items():
            if there[path] != content:
                return f"{path} on {node}"
        if not holds(there[unit.kubeconfig], account, datetime.now(UTC)):
            return f"{unit.kubeconfig} on {node} has no valid token"
        status, _ = nodes.execute(node, ["systemctl", "is-active", "--quiet", unit.service])
        if status:
            return f"{unit.service} does not run on {node}"
    return None


def is_absent(cluster: Cluster, unit: NodeUnit) -> bool:
    """Tell whether a unit was never placed: none of its objects is there."""
    return not any(map(cluster.live, unit.objects()))


def place(nodes: Nodes, cluster: Cluster, unit: NodeUnit) -> None:
    """Have the unit run as it is now. Raises SandboxError."""
    cluster.apply(namespace(SYSTEM_NAMESPACE))
    before = _uid(cluster.get("v1", "ServiceAccount", unit.name, SYSTEM_NAMESPACE))
    cluster.apply_all(map(content_hash.marked, unit.objects()))
    places, now = unit.nodes(nodes), datetime.now(UTC)
    without = [node for node in places if not (before and holds(nodes.read_file(node, unit.kubeconfig), before, now))]
    own: dict[PurePosixPath, bytes] = {}
    if without:
        admin = nodes.read_file(nodes.control_plane, ADMIN)
        if admin is None:
            raise SandboxError(f"{nodes.control_plane} has no {ADMIN}", fix="sandbox down, then sandbox up")
        token = cluster.token(unit.name, SYSTEM_NAMESPACE, seconds=LIFE)
        own = {unit.kubeconfig: kubeconfig(admin, token)}
    for node in places:
        nodes.write_files(node, {**unit.files(), **(own if node in without else {})}, private=own)
        ran = nodes.execute(node, ["sh", "-c", START, "start", unit.service])
        succeeded(ran, f"{unit.service} cannot be started on {node}")


def remove(nodes: Nodes, cluster: Cluster, unit: NodeUnit) -> None:
    """Have no such unit, and no account for it. Raises SandboxError."""
    for node in unit.nodes(nodes):
        if nodes.read_file(node, UNITS / unit.service) is None:
            continue
        _systemctl(nodes, node, "disable", "--now", unit.service)
        paths = [str(path) for path in (*unit.files(), unit.kubeconfig) if path not in SHARED]  # others have those, too
        succeeded(nodes.execute(node, ["rm", "-f", *paths]), f"{unit.service} cannot be removed from {node}")
        _systemctl(nodes, node, "daemon-reload")
    for kind, space in ROLES:
        cluster.delete(RBAC, kind, unit.name, space)
    cluster.delete("v1", "ServiceAccount", unit.name, SYSTEM_NAMESPACE)


def _uid(found: Manifest | None) -> str | None:
    return None if found is None else str(found["metadata"].get("uid", ""))


def _systemctl(nodes: Nodes, node: str, *words: str) -> None:
    succeeded(nodes.execute(node, ["systemctl", *words]), f"systemctl {' '.join(words)} failed on {node}")
