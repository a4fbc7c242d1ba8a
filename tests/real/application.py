"""A small sandbox for tests: one application of busybox with a volume, answered through HTTPS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.app import context
from sandbox.names import Names
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.machine import CommandLine
from tests.real.served import Sandbox

_OBJECTS = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: default}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: default}
spec:
  strategy: {type: Recreate}
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: app
        image: localhost:REGISTRY/app:1
        command: [busybox, sh, -c, "[ -e /data/index.html ] || echo first > /data/index.html; exec busybox httpd -f -p 8080 -h /data"]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
---
apiVersion: v1
kind: Service
metadata: {name: app, namespace: default}
spec: {selector: {app: app}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: app, namespace: default}
spec:
  ingressClassName: nginx
  rules:
  - host: app.DOMAIN
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: app, port: {name: http}}}}]}
"""  # noqa: E501


@dataclass(frozen=True)
class Application:
    """The sandbox `name`, whose files are in `folder`."""

    name: str
    folder: Path
    registry: int
    ports: tuple[int, int]

    @classmethod
    def free(cls, name: str, folder: Path) -> Application:
        first, second, registry = machine.free_ports(443, 8443, 5001)
        return cls(name, folder, registry, (first, second))

    @property
    def command(self) -> CommandLine:
        return CommandLine({"KUBECONFIG": str(self.folder / "kubeconfig")}, self.folder)

    @property
    def elsewhere(self) -> CommandLine:
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        return CommandLine({"KUBECONFIG": str(self.folder / "kubeconfig")}, empty)

    @property
    def names(self) -> Names:
        return context.home().sandbox(self.name)

    def write(self, *, domain: str | None = None, **more: Any) -> None:
        """Write its spec, with `more` keys."""
        spec: dict[str, Any] = {
            "name": self.name,
            "registry": {"port": self.registry},
            "edge": {"ports": list(self.ports)},
            "push": "images.yaml",
            "apply": ["k8s/"],
            **({"domain": domain} if domain else {}),
            **more,
        }
        (self.folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))
        images = [{"from": "daemon", "image": "sandbox.dev/busybox", "as": "app:1"}]
        (self.folder / "images.yaml").write_text(yaml.safe_dump({"images": images}))
        (self.folder / "k8s").mkdir(exist_ok=True)
        text = _OBJECTS.replace("REGISTRY", str(spec["registry"]["port"]))
        text = text.replace("DOMAIN", domain or f"{self.name}.sandbox.localhost")
        (self.folder / "k8s" / "app.yaml").write_text(text)

    def page(self, *, domain: str | None = None, port: int | None = None) -> str:
        host = f"app.{domain or f'{self.name}.sandbox.localhost'}"
        answer = Sandbox(self.names, port or self.ports[0]).curl(host, "--max-time", "5")
        head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
        assert " 200" in head.splitlines()[0], answer
        return body.strip()

    def store(self, text: str) -> None:
        """Have the application answer `text` from now on, by what is in its volume."""
        self.kubectl("exec", "deploy/app", "--", "busybox", "sh", "-c", f"echo {text} > /data/index.html; busybox sync")
        wait_until(lambda: None if self.page() == text else "the old page", what="the page", timeout=10)

    def kubectl(self, *argv: str, status: int | None = 0) -> str:
        return machine.kubectl(self.names.kubeconfig, *argv, status=status)
