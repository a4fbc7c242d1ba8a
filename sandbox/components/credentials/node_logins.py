"""Logins of pods in all namespaces: the kubelet's own file on every node.

kind documents it: https://kind.sigs.k8s.io/docs/user/private-registries/
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sandbox.components.credentials.pod_logins import PodLogin
from sandbox.components.credentials.registry_login import Login
from sandbox.engine import Engine
from sandbox.errors import SandboxError, succeeded

FILE = PurePosixPath("/var/lib/kubelet/config.json")
# A key of the file that the kubelet ignores: for each login the time of its issue and its hosts.
LOGINS = "sandbox.dev/logins"


@dataclass(frozen=True)
class NodeLogins:
    """The logins in the kubelet's file on `nodes`; the first one has all that the others have."""

    engine: Engine
    nodes: tuple[str, ...]

    def pending(self, logins: Collection[PodLogin]) -> str | None:
        """Return the first node whose file does not have exactly these logins."""
        issued = {login.secret: login.issued.isoformat() for login in logins}
        for node in self.nodes:
            content = self._read(node)[LOGINS]
            if {name: login["issued"] for name, login in content.items()} != issued:
                return f"{FILE} on {node} does not have the present logins"
        return None

    def write(self, logins: Collection[PodLogin], fresh: Mapping[str, Login], *, at_once: bool) -> None:
        """Have exactly `logins`, of which `fresh` are new.

        The kubelet reads the file again after five minutes; with `at_once` it is restarted.
        """
        content = self._content(logins, fresh)
        for node in self.nodes:
            if self._read(node) == content:
                continue
            if content["auths"]:
                data = json.dumps(content, indent=2).encode()
                self.engine.write_files(node, {FILE: data}, private=[FILE])
            else:
                succeeded(self.engine.execute(node, ["rm", "-f", str(FILE)]), f"{FILE} on {node} cannot be removed")
            if at_once:
                # A node that has not joined yet has no kubelet to restart.
                restarted = self.engine.execute(node, ["systemctl", "try-restart", "kubelet"])
                succeeded(restarted, f"the kubelet of {node} cannot be restarted")

    def _content(self, logins: Collection[PodLogin], fresh: Mapping[str, Login]) -> dict[str, Any]:
        before = self._read(self.nodes[0])
        names = {login.secret for login in logins}
        kept = {name: login for name, login in before[LOGINS].items() if name in names and name not in fresh}
        content: dict[str, Any] = {
            "auths": {host: before["auths"][host] for login in kept.values() for host in login["hosts"]},
            LOGINS: kept,
        }
        for name, login in fresh.items():
            content["auths"] |= login.auths
            content[LOGINS][name] = {"issued": login.issued.isoformat(), "hosts": list(login.auths)}
        return content

    def _read(self, node: str) -> dict[str, Any]:
        """Return a node's file. Raises SandboxError for one that a sandbox did not write."""
        data = self.engine.read_files(node, [FILE])[FILE]
        if data is None:
            return {"auths": {}, LOGINS: {}}
        try:
            content = json.loads(data)
        except ValueError:
            content = None
        if not isinstance(content, dict) or LOGINS not in content:
            raise SandboxError(
                f"{FILE} on {node} is not from a sandbox",
                details="credentials of all namespaces are written to this file",
                fix="remove it from the node, or name `namespaces:` for each of `credentials:`",
            )
        return content
