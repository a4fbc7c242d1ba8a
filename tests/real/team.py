"""A team's cluster for tests: plain kind on a network of its own, known by nothing but kubeconfigs."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.config import schema
from sandbox.kube.api import Cluster
from tests.real import byhand, machine
from tests.real.machine import CommandLine, Listing, tool

NAME = "sandbox-test-team"
ROLE = Path(__file__).parents[2] / "docs" / "existing.md"

# The provisioner has an image that was put into the node; sandboxes pull the same bytes with a password, and from then
# on the kubelet would want that password from the provisioner as well (KEP-2535).
KUBELET = schema.KindOptions(
    kubeadmConfigPatches=("kind: KubeletConfiguration\nimagePullCredentialsVerificationPolicy: NeverVerify\n",)
)

DEMO = Path(__file__).parents[2] / "fixtures" / "demos" / "web"


@dataclass(frozen=True)
class Team:
    folder: Path

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "admin"

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.kubeconfig)

    def listing(self) -> Listing:
        return machine.listing(self.cluster)

    def member(self, name: str) -> Path:
        """A kubeconfig for an account that has a namespace of its own and the documented rights in it."""
        account = {"kind": "ServiceAccount", "name": "member", "namespace": name}
        metadata = {"name": "member", "namespace": name}
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "sandbox-user"},
            "subjects": [account],
        }
        role = documented_role()
        self.cluster.apply_all(
            [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
                {**role, "metadata": {**role["metadata"], "namespace": name}},
                binding,
            ]
        )
        asked = ("create", "token", "member", "-n", name, "--duration=2h")
        token = machine.kubectl(self.kubeconfig, *asked).strip()
        content = yaml.safe_load(self.kubeconfig.read_text())
        content["users"] = [{"name": content["users"][0]["name"], "user": {"token": token}}]
        path = self.folder / name
        path.write_text(yaml.safe_dump(content))
        return path

    @property
    def context(self) -> str:
        return f"kind-{NAME}"


def documented_role() -> dict[str, Any]:
    blocks = ROLE.read_text().split("```yaml\n")[1:]
    found: list[dict[str, Any]] = [yaml.safe_load(block.partition("```")[0]) for block in blocks]
    return next(one for one in found if one.get("kind") == "Role")


@contextmanager
def made(folder: Path) -> Iterator[Team]:
    """The cluster, gone afterwards."""
    team = Team(folder)
    with byhand.cluster(NAME, folder, team.kubeconfig, KUBELET) as found:
        if found.archive:
            found.kind.load(NAME, found.archive)
        yield team


def at_once(work: Mapping[str, Any]) -> None:
    """Call several functions at once; raises the first error."""
    errors: list[BaseException] = []

    def call(one: Any) -> None:
        try:
            one()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(one,)) for one in work.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@dataclass(frozen=True)
class Person:
    """A user with a machine, as far as one machine can be several: folders, kubeconfig and ports are their own."""

    name: str
    folder: Path
    kubeconfig: Path
    ports: tuple[int, ...]

    @property
    def command(self) -> CommandLine:
        env = {"KUBECONFIG": str(self.kubeconfig), "XDG_STATE_HOME": str(self.folder / "state")}
        return CommandLine(env, self.folder)

    @property
    def repository(self) -> str:
        """What the names of this person's images begin with, for the engine may have the demo's."""
        return f"sandbox-test-{self.name}"

    def leave(self) -> None:
        self.command("down", "--purge", status=None)
        tool("docker", "rmi", f"{self.repository}/hello:1", f"{self.repository}/world:1", status=None)

    @property
    def root(self) -> Path:
        return self.folder / "state" / "sandbox" / "certificates" / self.name / "root.crt"

    def curl(self, host: str) -> str:
        """What a page is, asked for with this person's root as the only one that is trusted."""
        name = f"{host}.{self.name}.sandbox.localhost"
        port = self.ports[0]
        where = ("--resolve", f"{name}:{port}:127.0.0.1", f"https://{name}:{port}/")
        return tool("curl", "--silent", "--show-error", "--fail", "--cacert", self.root, *where)


def person(name: str, folder: Path, kubeconfig: Path, context: str, ports: tuple[int, ...]) -> Person:
    """The demo, with nothing changed in its files but what belongs to this person and this machine."""
    shutil.copytree(DEMO, folder)
    spec = yaml.safe_load((folder / "sandbox.yaml").read_text())
    spec |= {"name": name, "domain": f"{name}.sandbox.localhost"}
    spec["cluster"] = {"provider": "existing", "context": context, "namespace": f"{name}-dev"}
    spec["registry"] = {"port": ports[1]}
    spec["edge"] = {"ports": [ports[0]], "tcp": [{"port": ports[2], "to": "demo/hello:http"}]}
    spec["certs"] = {"secrets": [{"secret": "secure-tls", "namespace": "demo", "hosts": [f"secure.{spec['domain']}"]}]}
    (folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))
    one = Person(name, folder, kubeconfig, ports)
    images = folder / "images.yaml"
    images.write_text(images.read_text().replace("as: demo/", f"as: {one.repository}/"))
    for file in (folder / "k8s").iterdir():
        text = file.read_text().replace("demo.sandbox.localhost", spec["domain"])
        file.write_text(text.replace("localhost:5001/demo/", f"localhost:{ports[1]}/{one.repository}/"))
    return one
