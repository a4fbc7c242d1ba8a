"""minikube's own addons by the spec and by commands, on a real minikube: configured unasked, and looked at."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.app import context
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.components.cluster.minikube.registry_creds import CLOUDS, secret
from sandbox.kube.api import Cluster
from sandbox.system.wait import wait_until
from tests.real import machine, minikube
from tests.real.changing import Changing
from tests.real.machine import tool
from tests.real.minikube import own

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-minikube"
CANARY = "canary-secret-9f31"
ACCOUNT = "123456789012"
# What stands in for the addon's own program, which is in no package registry: it only stays.
STANDING = 'FROM sandbox.dev/busybox:latest\nCMD ["busybox", "sleep", "86400"]\n'


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Changing]:
    engine, folder = machine.engine(), tmp_path_factory.mktemp("minikube")
    variables = minikube.variables(engine, folder / "home")
    port, registry = machine.free_ports(9473, 5073)
    (folder / "creds").mkdir()
    (folder / "creds" / "Dockerfile").write_text(STANDING)
    store, ours = Store(context.home().bundle), ("metrics-server", "local-path-provisioner", "busybox")
    images = [{"from": "archive", "path": str(store.image(recipes()[one])), "as": f"{one}:1"} for one in ours]
    images.append({"from": "build", "context": "creds", "as": "registry-creds:1"})
    (folder / "images.yaml").write_text(yaml.safe_dump({"images": images}))
    made = Changing.on_minikube(NAME, folder, registry=registry, port=port, env=variables)
    try:
        made.run("bundle", "build", "metrics-server")
        made.up()
        yield made
    finally:
        made.run("down", NAME, "--purge", status=None)


@pytest.fixture
def metrics(sandbox: Changing) -> dict[str, Any]:
    return own("metrics-server", sandbox.spec["registry"]["port"], MetricsServer="metrics-server:1")


@pytest.fixture
def creds(sandbox: Changing) -> dict[str, Any]:
    return own("registry-creds", sandbox.spec["registry"]["port"], RegistryCreds="registry-creds:1")


@pytest.fixture
def disks(sandbox: Changing) -> dict[str, Any]:
    images = {"LocalPathProvisioner": "local-path-provisioner:1", "Helper": "busybox:1"}
    return own("storage-provisioner-rancher", sandbox.spec["registry"]["port"], **images)


def test_all_of_minikube_s_are_listed_as_minikube_has_them(sandbox: Changing) -> None:
    listed = sandbox.addons()
    program = Path(sandbox.env["PATH"].partition(":")[0]) / "minikube"
    said = tool(program, "addons", "list", "-o", "json", "--profile", sandbox.names.cluster, env=sandbox.env)
    theirs = {name: about["Status"] == "enabled" for name, about in json.loads(said).items()}
    assert {name: state != "off" for name, (state, _) in listed.items()} == theirs
    assert {by for _, by in listed.values()} == {None}


def test_addon_that_cannot_be_enabled_leaves_no_trace(sandbox: Changing) -> None:
    assert "error[addon-image]" in sandbox.run("addons", "enable", "metrics-server", status=1).err
    assert sandbox.addons()["metrics-server"] == ("off", None)
    assert "'metrics-server' is not enabled" in sandbox.run("addons", "disable", "metrics-server", status=2).err
    assert sandbox.up() == set()


@pytest.mark.parametrize("command", ["up", "start"])
def test_node_that_the_engine_restarted_is_repaired(sandbox: Changing, command: str) -> None:
    """minikube leaves the kubelet's unit disabled, so that only the node's container comes back."""
    tool("docker", "restart", sandbox.names.cluster)
    sandbox.run("status", status=1)
    sandbox.run(command)
    sandbox.run("status")
    assert sandbox.up() == set()


def test_addons_of_the_spec_are_enabled_answer_and_are_removed(sandbox: Changing, metrics: dict[str, Any]) -> None:
    assert "Addons of minikube" in sandbox.up(addons=[metrics])
    assert sandbox.addons()["metrics-server"] == ("ready", "spec")
    assert sandbox.names.cluster in sandbox.kubectl("top", "nodes")
    assert sandbox.up(addons=[metrics]) == set()
    assert "sandbox.yaml has" in sandbox.run("addons", "disable", "metrics-server", status=2).err
    assert sandbox.up() == {"Unused minikube addons", f"Spec of {NAME}"}
    assert sandbox.addons()["metrics-server"] == ("off", None)
    assert "metrics-server" not in sandbox.kubectl("get", "deployments", "-A", "-o", "name")


def test_additional_minikube_provisioner_gives_disks(sandbox: Changing, disks: dict[str, Any]) -> None:
    sandbox.up(addons=[disks])
    assert sandbox.addons()["storage-provisioner-rancher"] == ("ready", "spec")
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
        "storageClassName": "local-path",
    }
    image = f"localhost:{sandbox.spec['registry']['port']}/busybox:1"
    container = {"name": "w", "image": image, "command": ["sh", "-c", "echo kept > /data/x && cat /data/x"]}
    pod = {
        "restartPolicy": "Never",
        "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}],
        "containers": [{**container, "volumeMounts": [{"name": "d", "mountPath": "/data"}]}],
    }
    for kind, content in (("PersistentVolumeClaim", claim), ("Pod", pod)):
        metadata = {"name": "data", "namespace": "default"}
        Cluster(sandbox.names.kubeconfig).apply(
            {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": content}
        )
    sandbox.kubectl("wait", "pod/data", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=90s")
    assert sandbox.kubectl("logs", "data").strip() == "kept"
    sandbox.kubectl("delete", "pod/data", "pvc/data")


def held(sandbox: Changing) -> dict[str, dict[str, str]]:
    """What the Secrets of registry-creds hold, by cloud."""
    found = json.loads(sandbox.kubectl("-n", "kube-system", "get", "secrets", "-o", "json"))["items"]
    data = {one["metadata"]["name"]: one.get("data") or {} for one in found}
    return {
        cloud: {key: base64.b64decode(value).decode() for key, value in data[secret(cloud)].items()} for cloud in CLOUDS
    }


def accounts(folder: Path, password: str) -> list[dict[str, Any]]:
    """An account of each cloud, whose every secret has the canary in it."""
    auth = base64.b64encode(f"dave:{password}".encode()).decode()
    (folder / "docker.json").write_text(json.dumps({"auths": {"quay.io": {"auth": auth}}}))
    keys = {"Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": f"{CANARY}-aws"}
    (folder / "aws.json").write_text(json.dumps(keys))
    (folder / "google.json").write_text(json.dumps({"type": "service_account", "private_key": f"{CANARY}-google"}))
    principal = {"appId": "app", "password": f"{CANARY}-azure", "tenant": "t"}
    (folder / "azure.json").write_text(json.dumps(principal))
    return [
        {"kind": "docker", "file": "docker.json"},
        {"kind": "ecr", "file": "aws.json", "region": "eu-central-1", "accounts": [ACCOUNT]},
        {"kind": "gcr", "file": "google.json", "registries": ["eu.gcr.io"]},
        {"kind": "acr", "file": "azure.json", "registry": "demo.azurecr.io"},
    ]


class Arguments(threading.Thread):
    """Reads what every process was called with, as fast as it can, until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue


@pytest.mark.security(6)
def test_registry_creds_gets_all_accounts_unseen_by_other_users(sandbox: Changing, creds: dict[str, Any]) -> None:
    """Accounts of four clouds go to minikube's addon → they are in its Secrets and its pod, in no argument."""
    watch = Arguments()
    watch.start()
    wanted = accounts(sandbox.folder, f"{CANARY}-docker")
    sandbox.up(addons=[creds], credentials=wanted)
    watch.enough.set()
    watch.join()
    told = held(sandbox)
    assert told["dpr"] == {
        "DOCKER_PRIVATE_REGISTRY_SERVER": "quay.io",
        "DOCKER_PRIVATE_REGISTRY_USER": "dave",
        "DOCKER_PRIVATE_REGISTRY_PASSWORD": f"{CANARY}-docker",
    }
    assert told["ecr"]["AWS_SECRET_ACCESS_KEY"] == f"{CANARY}-aws" and told["ecr"]["aws-account"] == ACCOUNT
    assert json.loads(told["gcr"]["application_default_credentials.json"])["private_key"] == f"{CANARY}-google"
    assert (told["acr"]["ACR_URL"], told["acr"]["ACR_PASSWORD"]) == ("demo.azurecr.io", f"{CANARY}-azure")
    assert sandbox.addons()["registry-creds"] == ("ready", "spec")
    pod = sandbox.kubectl("-n", "kube-system", "get", "pods", "-l", "name=registry-creds", "-o", "name").split()[0]
    inside = sandbox.kubectl("-n", "kube-system", "exec", pod, "--", "busybox", "env")
    assert all(f"{CANARY}-{one}" in inside for one in ("docker", "aws", "azure"))
    assert any(b"registry-creds" in argv for argv in watch.seen), "the thread has seen minikube being called"
    assert [argv for argv in watch.seen if CANARY.encode() in argv] == []
    assert sandbox.up(addons=[creds], credentials=wanted) == set()


def test_changed_password_is_delivered_and_other_accounts_stay(sandbox: Changing, creds: dict[str, Any]) -> None:
    before = held(sandbox)
    wanted = accounts(sandbox.folder, f"{CANARY}-newer")[:1]
    assert "Addons of minikube" in sandbox.up(addons=[creds], credentials=wanted)
    after = held(sandbox)
    assert after["dpr"] == {**before["dpr"], "DOCKER_PRIVATE_REGISTRY_PASSWORD": f"{CANARY}-newer"}
    assert {cloud: after[cloud] for cloud in CLOUDS if cloud != "dpr"} == {
        cloud: before[cloud] for cloud in CLOUDS if cloud != "dpr"
    }


def test_addons_survive_a_stop_and_no_secret_is_written(sandbox: Changing, creds: dict[str, Any]) -> None:
    sandbox.run("stop")
    assert "error[not-up]" in sandbox.run("addons", "enable", "metrics-server", status=1).err
    sandbox.run("start")

    def other() -> str | None:
        found = sandbox.addons()["registry-creds"]
        return None if found == ("ready", "spec") else str(found)

    wait_until(other, what="the addon", timeout=60)
    logs = {"sandbox.log": context.home().log.read_text(errors="replace"), "said": "\n".join(sandbox.said)}
    written = [path for path in (sandbox.folder / "home" / ".minikube").glob("**/*") if _is_text(path)]
    assert any(path.parent.name == "logs" for path in written)
    logs |= {str(path): path.read_text(errors="replace") for path in written}
    assert [place for place, text in logs.items() if CANARY in text] == []


def _is_text(path: Path) -> bool:
    """Whether it is a file that minikube wrote for this profile, not one of the programs and images of its cache."""
    return path.is_file() and not path.is_symlink() and "cache" not in path.parts and path.stat().st_size < 10_000_000
