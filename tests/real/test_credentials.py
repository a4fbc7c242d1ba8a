"""A registry with a password plays Docker's, Google's, AWS's and Azure's: pods pull with what credentials bring them.

The clouds' token services are doubles on this machine that check every signature; whatever they give is a user of
that registry, which is Debian's, with TLS by an authority of its own.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from sandbox.app import context
from sandbox.components.credentials.login_delivery import FILE
from sandbox.engine import Engine
from sandbox.kube.api import Cluster
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.behind import gateway
from tests.real.machine import CommandLine, tool
from tests.real.registry import stand
from tests.support.token_services import ACR_TOKEN, CANARY, ECR_PASSWORD, GOOGLE_TOKEN, REGION, ROLE, Services, serving

pytestmark = [pytest.mark.real, pytest.mark.nightly, pytest.mark.timeout(900)]

NAME = "test-cred"
PASSWORD = f"{CANARY}-docker-password"
ECR = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"
LOGINS = {"dave": PASSWORD, "oauth2accesstoken": GOOGLE_TOKEN, "AWS": ECR_PASSWORD}
SECRETS = (*LOGINS.values(), ACR_TOKEN)
# bcrypt of PASSWORD and of the doubles' tokens
USERS = """dave:$2b$05$abcdefghijklmnopqrstuuLOA2XNrwj9YZWZYEW8/7Etjumc5SgcC
oauth2accesstoken:$2b$05$abcdefghijklmnopqrstuuH.8t/WNvRZRKA7dNwVW/7Sc2WJalP3S
AWS:$2b$05$abcdefghijklmnopqrstuuO38GWJNEXv1xQHqF3zRoDRW9JhsFAiC
00000000-0000-0000-0000-000000000000:$2b$05$abcdefghijklmnopqrstuu3XKe682oaB3v2qLz/l8QPKYAlwEe6Ye
"""
LOCKED = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{folder}/storage"}}}}
auth: {{htpasswd: {{realm: tests, path: "{folder}/users"}}}}
http: {{addr: "{address}", tls: {{certificate: "{folder}/cert.pem", key: "{folder}/key.pem"}}}}
"""
IMAGE = "demo/app:1"
LIMITED = ("--namespace", "later-gcr", "--namespace", "later-robot")


@dataclass
class Running:
    command: CommandLine
    names: Names
    engine: Engine
    services: Services
    folder: Path
    said: list[str] = field(default_factory=list)

    def sandbox(self, *words: str | Path, status: int = 0) -> str:
        ran = self.command(*words, status=status)
        self.said += [ran.out, ran.err]
        return ran.out

    def kubectl(self, *words: str, stdin: str = "") -> str:
        return machine.kubectl(self.names.kubeconfig, *words, stdin=stdin)

    def on_node(self, *argv: str) -> str:
        return self.engine.execute(self.names.node, argv)[1].strip()

    def start(self, namespace: str, host: str, *, account: str = "default") -> None:
        """A namespace and a pod of it in one go, as people apply them."""
        pod = {
            "restartPolicy": "Never",
            "serviceAccountName": account,
            "containers": [
                {
                    "name": "app",
                    "image": f"{host}/{IMAGE}",
                    "imagePullPolicy": "Always",
                    "command": ["/bin/busybox", "true"],
                }
            ],
        }
        objects: list[dict[str, Any]] = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": "app", "namespace": namespace},
                "spec": {"template": {"spec": pod}},
            },
        ]
        if account != "default":
            metadata = {"name": account, "namespace": namespace}
            objects.insert(1, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
        self.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(objects))

    def pulled(self, namespace: str) -> str | None:
        """None when the pod has run."""
        pods = Cluster(self.names.kubeconfig).list("v1", "Pod", namespace)
        return None if any(one["status"].get("phase") == "Succeeded" for one in pods) else _why(pods)

    def refused(self, namespace: str) -> str | None:
        """None when the registry has refused the pod's image."""
        why = _why(Cluster(self.names.kubeconfig).list("v1", "Pod", namespace))
        return None if "no basic auth credentials" in why or "401" in why else why


def _why(pods: list[dict[str, Any]]) -> str:
    waiting = [one["state"].get("waiting", {}) for pod in pods for one in pod["status"].get("containerStatuses") or ()]
    return "; ".join(f"{one.get('reason')}: {one.get('message')}" for one in waiting) or "no pod"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Who vouches for Azure's directory, whose address is not loopback: the environment's settings count."""
    return tmp_path_factory.mktemp("authority") / "authority.pem"


@pytest.fixture(scope="module")
def services(authority: Path) -> Iterator[Services]:
    machine.engine()
    with serving(authority, gateway(), gateway()) as services:
        yield services


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, services: Services, authority: Path) -> Iterator[Running]:
    engine = machine.engine()
    folder = tmp_path_factory.mktemp("credentials")
    port, registry, locked = machine.free_ports(9543, 5143, 5243)
    (folder / "config.json").write_text(json.dumps({"auths": {"quay.io": _auth("dave", PASSWORD)}}))
    spec = {
        "name": NAME,
        "registry": {"port": registry},
        "edge": {"ports": [port]},
        "ingress": {"controller": "none"},
        "credentials": [{"kind": "docker", "file": "config.json"}],
    }
    (folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))
    env = {"KUBECONFIG": str(folder / "kubeconfig"), "AWS_ENDPOINT_URL": services.url}
    env |= {"REQUESTS_CA_BUNDLE": str(authority), "NO_PROXY": gateway()}
    sandbox = Running(CommandLine(env, folder), context.home().sandbox(NAME), engine, services, folder)
    try:
        sandbox.sandbox("up")
        with _registry(folder, f"{gateway()}:{locked}"):
            for host in ("quay.io", "gcr.io", ECR, services.host):
                _lead(sandbox, host, f"{gateway()}:{locked}")
            yield sandbox
    finally:
        sandbox.sandbox("down", "--purge")


def _auth(username: str, password: str) -> Mapping[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


class _registry:
    """Debian's registry at `address` with one image, for its users alone."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address

    def __enter__(self) -> None:
        with stand.registry("docker-registry", self.folder) as open_to_all:
            tool("docker", "tag", _busybox(), f"{open_to_all}/{IMAGE}")
            try:
                tool("docker", "push", f"{open_to_all}/{IMAGE}")
            finally:
                tool("docker", "rmi", f"{open_to_all}/{IMAGE}")
        host = self.address.partition(":")[0]
        names = ("-subj", "/CN=tests", "-addext", f"subjectAltName=IP:{host}")
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.folder / "key.pem")
        tool("openssl", "req", "-x509", *key, "-out", self.folder / "cert.pem", "-days", "2", *names)
        (self.folder / "users").write_text(USERS)
        settings = self.folder / "locked.yml"
        settings.write_text(LOCKED.format(folder=self.folder, address=self.address))
        self.process = subprocess.Popen([stand.server("docker-registry"), "serve", settings])

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)


def _busybox() -> str:
    found = tool("docker", "images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=*/busybox").split()
    return found[0]


def _lead(sandbox: Running, host: str, address: str) -> None:
    """Let the node find `host` at `address`, and trust who is there."""
    folder, url = PurePosixPath("/etc/containerd/certs.d", host), f"https://{address}"
    node, engine = sandbox.names.node, sandbox.engine
    engine.write_files(node, {folder / "ca.pem": (sandbox.folder / "cert.pem").read_bytes()})
    text = f'server = "{url}"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n  ca = "{folder}/ca.pem"\n'
    engine.write_files(node, {folder / "hosts.toml": text.encode()})


def _write(sandbox: Running, name: str, content: Any) -> Path:
    file = sandbox.folder / name
    file.write_text(json.dumps(content))
    return file


def test_accounts_of_the_spec_are_delivered_by_up(running: Running) -> None:
    running.start("later-docker", "quay.io")
    wait_until(lambda: running.pulled("later-docker"), what="the pull", timeout=300)
    running.sandbox("status")


def test_without_credentials_a_pull_fails_and_with_them_it_works(running: Running) -> None:
    running.start("before-gcr", "gcr.io")
    wait_until(lambda: running.refused("before-gcr"), what="the refusal", timeout=120)
    services = running.services
    key = _write(running, "gcr.json", services.google.key_file(services.url))
    aws = _write(running, "aws.json", {"AccessKeyId": "AKIDHOME", "SecretAccessKey": services.aws.keys["AKIDHOME"][0]})
    principal = _write(running, "acr.json", services.azure.principal(services.authority))
    running.sandbox("credentials", "add", "gcr", "--from", key, *LIMITED)
    running.sandbox("credentials", "add", "ecr", "--from", aws, "--region", REGION, "--role", ROLE)
    running.sandbox("credentials", "add", "acr", "--from", principal, "--registry", services.host)
    hosts = {"later-gcr": "gcr.io", "later-ecr": ECR, "later-acr": services.host}
    for namespace, host in hosts.items():
        running.start(namespace, host)
    running.start("later-robot", "gcr.io", account="robot")
    for namespace in (*hosts, "later-robot"):
        wait_until(partial(running.pulled, namespace), what=namespace, timeout=300)
    assert services.aws.asked == ["sts AKIDHOME", "ecr ASIAROLE"]
    running.sandbox("status")


def test_login_of_named_namespaces_is_limited_to_them(running: Running) -> None:
    running.start("elsewhere", "gcr.io")
    wait_until(lambda: running.refused("elsewhere"), what="the refusal", timeout=120)
    assert "gcr.io" not in running.on_node("cat", str(FILE))
    secrets = running.kubectl("get", "secrets", "--all-namespaces", "--selector=sandbox.dev/credentials")
    assert [line.split()[0] for line in secrets.splitlines()[1:]] == ["later-gcr", "later-robot"]


def test_refresh_replaces_the_login(running: Running) -> None:
    def expiry() -> str:
        rows = json.loads(running.sandbox("credentials", "list", "-o", "json"))["credentials"]
        return next(str(row["expires"]) for row in rows if row["secret"] == "gcr-secret")

    before = expiry()
    running.sandbox("credentials", "refresh", "--secret", "gcr-secret")
    assert expiry() > before
    running.sandbox("up")
    running.sandbox("status")


def test_removed_accounts_are_gone(running: Running) -> None:
    running.sandbox("credentials", "remove", "gcr-secret")
    running.start("later-gcr-2", "gcr.io")
    wait_until(lambda: running.refused("later-gcr-2"), what="the refusal", timeout=120)
    assert "gcr-secret" not in running.kubectl("get", "secrets,serviceaccounts", "--all-namespaces", "--output=yaml")
    running.sandbox("credentials", "remove", "awsecr-cred")
    assert ECR not in running.on_node("cat", str(FILE))
    running.start("after-ecr", ECR)
    wait_until(lambda: running.refused("after-ecr"), what="the refusal", timeout=120)


@pytest.mark.security(20)
def test_planted_cluster_objects_have_no_effect(running: Running) -> None:
    """Secrets and records are planted with our labels → nothing is requested, deleted or made of them on the host."""
    stolen = _write(running, "stolen.json", {"auths": {"ghcr.io": _auth("victim", f"{CANARY}-stolen")}})
    victim = ["v1", "ConfigMap", "attackers", "victim"]
    places = {"objects": json.dumps([victim]), "sha256": "", "source": str(running.folder), "by": "command"}
    planted = {"name": "planted", "namespace": "attackers", "labels": {"sandbox.dev/credentials": "true"}}
    planted |= {"annotations": {"sandbox.dev/entry": json.dumps({"kind": "docker", "file": str(stolen)})}}
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "attackers"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "victim", "namespace": "attackers"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": planted},
        *(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {**one, "namespace": SYSTEM_NAMESPACE},
                "data": places,
            }
            for one in (
                {"name": "applied"},
                {"name": "applied-ingress"},
                {"name": "addon-evil", "labels": {"sandbox.dev/addon": "evil"}},
            )
        ),
    ]
    running.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(objects))
    running.sandbox("up")
    assert "planted" not in running.sandbox("credentials", "list", "-o", "json")
    assert running.kubectl("get", "configmap", "victim", "--namespace=attackers", "--output=name").strip()
    everything = running.kubectl("get", "secrets", "--all-namespaces", "--output=yaml") + running.on_node(
        "cat", str(FILE)
    )
    assert base64.b64encode(f"victim:{CANARY}-stolen".encode()).decode() not in everything
    running.sandbox("up", "--plan")


@pytest.mark.security(1, 6)
def test_no_key_is_in_the_cluster_and_no_secret_in_what_is_said(running: Running) -> None:
    """Accounts of four registries are used → no key in the cluster, no secret in logs, journals and arguments."""
    found = json.loads(running.kubectl("get", "secrets", "--all-namespaces", "--output=json"))["items"]
    texts = [base64.b64decode(value).decode() for one in found for value in (one.get("data") or {}).values()]
    texts.append(running.on_node("cat", str(FILE)))
    assert PASSWORD in texts[-1]
    services = running.services
    keys = (services.aws.keys["AKIDHOME"][0], services.azure.secret, services.azure.access, "PRIVATE KEY")
    for text in texts:
        if "auths" in text:
            assert not any(key in text for key in keys)
    journal = running.on_node("journalctl", "--no-pager", "--unit=kubelet")
    log = (context.home().state / "sandbox.log").read_text(errors="replace")
    keeper = (running.names.credentials / "keeper.log").read_text()
    processes = tool("ps", "-eo", "args")
    said = "\n".join(running.said)
    secrets = {*SECRETS, *keys, services.aws.keys["ASIAROLE"][1]}
    encoded = {base64.b64encode(f"{user}:{secret}".encode()).decode() for user, secret in LOGINS.items()}
    for place, text in {"journal": journal, "log": log, "keeper": keeper, "ps": processes, "said": said}.items():
        assert [secret for secret in secrets | encoded if secret in text] == [], place


def test_down_ends_what_renews_them(running: Running) -> None:
    record = json.loads((running.names.credentials / "keeper.json").read_text())
    running.sandbox("down")
    assert not running.names.credentials.exists()
    stat = Path("/proc", str(record["pid"]), "stat")
    # Where no one takes leave of an orphan it stays as a zombie.
    wait_until(lambda: stat.read_text() if _lives(stat) else None, what="its end", timeout=10)


def _lives(stat: Path) -> bool:
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
