"""What a spec asks for beyond its project's folder is named, each thing in a line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from sandbox.app.object_rights import AGGREGATED
from sandbox.app.spec_demands import beyond
from sandbox.config.resolve import load
from sandbox.errors import BadFile
from tests.support import fake_helm

POD = """\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  template:
    spec:
      hostPID: true
      hostNetwork: true
      volumes: [{name: x, hostPath: {path: /etc}}]
      containers:
      - {name: a, image: x, securityContext: {privileged: true, capabilities: {add: [SYS_ADMIN]}}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "k8s").mkdir(parents=True)
    return folder


def asked(root: Path, text: str) -> str:
    (root / "sandbox.yaml").write_text(f"name: demo\n{text}")
    return "\n".join(beyond(load(root / "sandbox.yaml"), root))


@pytest.mark.security(17)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cluster: {mounts: [{host: /, node: /host}]}", "/ in every node at /host, to read and write"),
        ("cluster: {mounts: [{host: ../x, node: /x, read_only: true}]}", "/x in every node at /x, to read"),
        ("cluster: {provider: existing, context: prod}", "existing one of your context prod, namespace sandbox-demo"),
        ("cluster: {provider: minikube, profile: mine}", "your minikube profile mine"),
        ("cluster: {kind: {containerdConfigPatches: [x]}}", "cluster.kind"),
        ("credentials: [{kind: docker}]", "docker accounts that this machine has, for pods of all namespaces"),
        (
            "credentials: [{kind: ecr, file: /home/v/keys, namespaces: [a]}]",
            "ecr accounts of /home/v/keys, for pods of a",
        ),
        ("credentials: [{kind: gcr, registries: [evil.example]}]", "accounts that this machine has at evil.example,"),
        ("credentials: [{kind: acr, registry: evil.azurecr.io}]", "accounts that this machine has at evil.azurecr.io,"),
        (
            "credentials: [{kind: docker, file: /home/v/x}]",
            "of /home/v/x and of the credential helpers that it names, for pods",
        ),
        ("registry: {mirrors: [docker.io]}", "images of docker.io come through a mirror"),
        ("registry: {external: evil.example}", "pushed to evil.example"),
        ("registry: {storage: /var/x}", "/var/x for the registry's data"),
        ("proxy: {listen: 0.0.0.0}", "listens on 0.0.0.0"),
        (
            "proxy: {hosts: [{host: a.example.com, to: '169.254.169.254:80'}]}",
            "a.example.com routes to 169.254.169.254:80",
        ),
        ("edge: {tcp: [{port: 5432, to: shop/db}]}", "port 5432 of this machine is routed to shop/db:5432"),
        ("network: {hosts: {a.example.com: 10.0.0.1}}", "resolve a.example.com to 10.0.0.1"),
        ("network: {nameservers: [10.0.0.1]}", "nameservers 10.0.0.1"),
        ("network: {search: [evil.example]}", "pods try the domains evil.example for short names"),
        (
            "cluster: {provider: existing, context: prod}\ningress: {controller: none, address: '10.0.0.1:443'}",
            "the edge's ports route to 10.0.0.1:443",
        ),
        (
            "images: {mirror: evil.example/hub}",
            "those of docker.io that the sandbox and its addons need come from evil",
        ),
        ("network: {ca: company.pem}", "nodes and mirrors trust the CA in company.pem"),
        ("network: {proxy: {https: 'http://me:canary@evil.example:1'}}", "the proxy http://evil.example:1"),
        ("domain: bank.example.com", "for *.bank.example.com"),
        ("certs: {default: {cert: /a.crt, key: /a.key}}", "/a.crt and the key /a.key"),
        ("apply: [/etc/x.yaml]", "reads /etc/x.yaml"),
        (
            "apply: [{chart: 'oci://evil.example/web', version: 1.0.0}]",
            "oci://evil.example/web 1.0.0, pulled with your login",
        ),
        ("apply: [{chart: 'oci://evil.example/web', version: 1.0.0}]", "what web may do is not known before"),
        ("addons: [redis]", "https://groundhog2k.github.io/helm-charts/redis 2.4.4, pulled with your login"),
        ("apply: [{chart: web, repo: 'https://e.example', version: 1.0.0, lock: /var/x}]", "writes /var/x"),
    ],
)
def test_each_demand_of_a_spec_is_named(root: Path, tmp_path: Path, text: str, said: str) -> None:
    """A fetched spec that asks for mounts, accounts, addresses and the like → each is named before anything is made."""
    if "/etc/x.yaml" in text:
        (tmp_path / "x.yaml").touch()
        text, said = text.replace("/etc", str(tmp_path)), said.replace("/etc", str(tmp_path))
    found = asked(root, text)
    assert said in found and "canary" not in found


@pytest.mark.security(17)
def test_rights_of_objects_are_named(root: Path) -> None:
    """Privileged pods, folders of the node, rights in the whole cluster → named with their objects."""
    binding = {"apiVersion": "rbac/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "b"}}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}}
    odd = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odd"}, "spec": {"containers": 5}}
    objects = [
        {**binding, "roleRef": {"name": "cluster-admin"}},
        {**volume, "spec": {"hostPath": {"path": "/var"}}},
        odd,
    ]
    (root / "k8s" / "a.yaml").write_text(POD + "---\n" + yaml.safe_dump_all(objects))
    found = asked(root, "apply: [k8s]")
    assert "DaemonSet agent: hostNetwork, hostPID, the node's /etc, privileged, capabilities SYS_ADMIN" in found
    assert "ClusterRoleBinding b: cluster-admin in the whole cluster" in found
    assert "PersistentVolume v: the node's /var" in found
    assert "Pod odd: of unknown form" in found


@pytest.mark.security(17)
@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        ("PersistentVolume", {"spec": {"local": {"path": "/etc"}}}, "the node's /etc"),
        ("StorageClass", {"parameters": {"pathPattern": "../../etc"}}, "the node's ../../etc"),
        ("RoleBinding", {"roleRef": {"name": "admin"}}, "admin in the namespace default"),
        ("ClusterRole", {"metadata": {"name": "x", "labels": {f"{AGGREGATED}view": "true"}}}, "the cluster's own view"),
        ("ClusterRole", {"metadata": {"name": "system:discovery"}}, "changes the cluster's own system:discovery"),
        ("Secret", {"metadata": {"name": "x", "namespace": "kube-system"}}, "in the system's namespace kube-system"),
        ("MutatingWebhookConfiguration", {"webhooks": []}, "decides about objects of the whole cluster"),
    ],
)
def test_rights_by_another_way_are_named(root: Path, kind: str, more: dict[str, object], said: str) -> None:
    """Folders of nodes as local volumes, roles, accounts of the system's, webhooks → each is named with its object."""
    one = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, **more}
    (root / "k8s" / "a.yaml").write_text(yaml.safe_dump(one))
    assert said in asked(root, "apply: [k8s]")


@pytest.mark.security(17)
def test_addon_is_named_as_its_values_make_it(root: Path) -> None:
    """An addon of the project with a placeholder in a kind, and one that it needs → what is made of them is named."""
    (root / "mine").mkdir()
    (root / "mine" / "addon.yaml").write_text("title: mine\nvalues: {what: Map}\nneeds: [redis]\n")
    (root / "mine" / "x.yaml").write_text(
        "apiVersion: v1\nkind: ClusterRole${what}\nmetadata: {name: x}\nroleRef: {name: cluster-admin}\n"
    )
    said = asked(root, "addons: [{addon: ./mine, values: {what: Binding}}]")
    assert "ClusterRoleBinding x: cluster-admin in the whole cluster" in said
    assert "helm-charts/redis 2.4.4, pulled with your login" in said


@pytest.mark.security(17)
def test_images_and_links_from_elsewhere_are_named(root: Path, tmp_path: Path) -> None:
    """Images of the engine, Dockerfiles, archives elsewhere, links out of the project, own addons → named."""
    (tmp_path / "secret.yaml").write_text("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n")
    (root / "k8s" / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (root / "mine").mkdir()
    (root / "mine" / "addon.yaml").write_text("title: mine\n")
    (root / "mine" / "x.yaml").write_text(POD)
    images = """\
images:
- ghcr.io/team/app:1
- {from: daemon, image: private:1}
- {from: build, context: app, as: app:1, cache_from: ['type=s3,endpoint_url=https://evil.example']}
- {from: archive, path: ../x.tar, as: x:1}
"""
    (root / "images.yaml").write_text(images)
    found = asked(root, "push: images.yaml\napply: [k8s]\naddons: [./mine]")
    assert "private:1 of your Docker Engine" in found
    assert "the Dockerfile of app, whose commands run here" in found
    assert "app gets the cache type=s3,endpoint_url=https://evil.example" in found
    assert f"reads {tmp_path / 'x.tar'}" in found
    assert "`docker login`, if there is one: ghcr.io" in found
    assert f"k8s/link.yaml links to {tmp_path / 'secret.yaml'}" in found
    assert "DaemonSet agent:" in found


@pytest.mark.security(17)
def test_dockerfile_from_elsewhere_is_named(root: Path, tmp_path: Path) -> None:
    """A Dockerfile outside the project, by its path or a link: an image that `# syntax=` names gets it → named."""
    (tmp_path / "id").touch()
    for name in ("app", "linked"):
        (root / name).mkdir()
    (root / "linked" / "Dockerfile").symlink_to(tmp_path / "id")
    for entry in ("context: app, dockerfile: ../../id, args: {BUILDKIT_SYNTAX: evil.example/x}", "context: linked"):
        (root / "images.yaml").write_text(f"images: [{{from: build, as: app, {entry}}}]")
        assert f"reads {tmp_path / 'id'}" in asked(root, "push: images.yaml"), entry


@pytest.mark.security(17)
def test_list_of_images_elsewhere_is_not_read(root: Path, tmp_path: Path) -> None:
    """`push` is a link to the user's key → named, and no line of it is shown by an error."""
    (tmp_path / "id").write_text("SECRET: of the user")
    (root / "images.yaml").symlink_to(tmp_path / "id")
    found = asked(root, "push: images.yaml")
    assert f"reads {tmp_path / 'id'}" in found and "not known before you agree" in found


@pytest.mark.security(17)
@pytest.mark.parametrize("link", ["charts", "templates/all", "values.yaml"])
def test_chart_that_reads_elsewhere_is_not_rendered(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    """A link in a chart to the home folder, which helm would keep in memory → named; nothing is rendered for that."""
    fake_helm.install(tmp_path, monkeypatch)
    (root / "chart" / "templates").mkdir(parents=True)
    (root / "chart" / "Chart.yaml").write_text("name: chart\n")
    (root / "chart" / link).symlink_to(tmp_path)
    said = asked(root, "apply: [{chart: chart}]")
    assert f"chart/{link} links to {tmp_path}" in said and "what chart may do is not known before you agree" in said
    assert not (tmp_path / "asked").exists()


@pytest.mark.security(17)
def test_chart_that_needs_one_from_elsewhere_is_not_rendered(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chart of a fetched project that is made of a folder of the machine's → named; nothing of it is read."""
    fake_helm.install(tmp_path, monkeypatch)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "Chart.yaml").write_text("name: mine\n")
    (root / "chart").mkdir()
    place = tmp_path / "mine"
    needed = f"dependencies: [{{name: mine, version: 1.0.0, repository: 'file://{place}'}}]"
    (root / "chart" / "Chart.yaml").write_text(f"name: chart\n{needed}\n")
    said = asked(root, "apply: [{chart: chart}]")
    assert f"reads {place}" in said and "what chart may do is not known before you agree" in said
    assert not (tmp_path / "asked").exists()


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    "text",
    [
        "push: /dev/stdin",
        "apply: [{chart: 'oci://r.example/web', version: 1.0.0, lock: /dev/stdin}]",
        "apply: [{chart: pipe}]",
        "apply: [{chart: web, values: [pipe]}]",
    ],
)
def test_pipes_and_terminals_are_refused_before_the_question(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A fetched spec that names the terminal or a pipe as a file to read → refused, and nothing is waited for."""
    fake_helm.install(tmp_path, monkeypatch)
    os.mkfifo(root / "pipe")
    (root / "web").mkdir()
    (root / "web" / "Chart.yaml").write_text("name: web\n")
    with pytest.raises(BadFile, match="regular file"):
        asked(root, text)


def test_project_that_stays_at_home_asks_for_nothing(root: Path) -> None:
    (root / "k8s" / "a.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    assert asked(root, "apply: [k8s]\ncluster: {mounts: [{host: k8s, node: /x}]}\nregistry: {storage: data}") == ""


def test_untrusted_text_stays_one_line(root: Path) -> None:
    (root / "k8s" / "a.yaml").write_text(POD.replace("name: agent", 'name: "a\\e[2Jb\\nnothing"'))
    found = asked(root, "apply: [k8s]")
    assert len(found.splitlines()) == 1 and "\x1b" not in found


@pytest.mark.security(17)
def test_files_and_urls_of_a_kustomization_are_named(root: Path, tmp_path: Path) -> None:
    """Bases outside the project, and URLs → named before anything is rendered or fetched."""
    outside = tmp_path / "base"
    outside.mkdir()
    (outside / "kustomization.yaml").write_text("resources: []\n")
    for folder, resource in (("near", "../../base"), ("far", "https://example.com/base.yaml")):
        (root / folder).mkdir()
        (root / folder / "kustomization.yaml").write_text(f"resources: ['{resource}']\n")
    found = asked(root, "apply: [{kustomize: far, remote: true}]")
    assert "fetches      https://example.com/base.yaml and applies what it gets" in found
    (root / "near" / "kustomization.yaml").write_text("resources: [../../base, a.yaml]\n")
    (root / "near" / "a.yaml").write_text(POD)
    found = asked(root, "apply: [near]")
    assert f"reads {outside}" in found
    assert "DaemonSet agent: hostNetwork" in found


@pytest.mark.security(17)
def test_rights_in_a_chart_are_named(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetched spec with a chart → rendered, which runs nothing, and its rights are asked for."""
    fake_helm.install(tmp_path, monkeypatch)
    (root / "chart" / "templates").mkdir(parents=True)
    (root / "chart" / "Chart.yaml").write_text("name: chart\n")
    (root / "chart" / "templates" / "agent.yaml").write_text(POD)
    said = asked(root, "apply: [{chart: chart, set: {a: 1}, namespace: kube-system}]")
    assert "DaemonSet agent: in the system's namespace kube-system, " in said and "privileged" in said
    assert "what chart may do can be more in a cluster" in said  # where templates can look things up
