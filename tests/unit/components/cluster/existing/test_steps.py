"""The place in another user's cluster: made once, known again, left as it was found; its objects and system images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.cluster.existing.steps import OwnPushStep, TenancyStep
from sandbox.components.cluster.existing.tenant import NotOurs, Tenant, counted, placed
from sandbox.errors import SandboxError, UsageError
from sandbox.images.images_yaml import FromArchive
from sandbox.kube.api import ClusterError
from sandbox.names import LABEL, Home
from sandbox.oci.reference import parse_target as parse
from sandbox.step import State, Status
from tests.support.api_server import ApiServer, kubeconfig, serving
from tests.support.fakes import NoWork, applied
from tests.support.images import TestImage, digest_of, layer, new_save
from tests.support.registry_simulator import Fault, Simulator

SPACE = "/api/v1/namespaces/mine"
IMAGE = TestImage((layer(1),), label="traefik")


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with serving() as server:
        yield server


@pytest.fixture
def step(place: Home, server: ApiServer) -> TenancyStep:
    kubeconfig(place.kubeconfig, server.server_port, context="team")
    return TenancyStep(
        names=place.sandbox("demo"), paths=(place.kubeconfig,), context="team", namespace="mine", owner="ann@laptop"
    )


def put(server: ApiServer, path: str, kind: str = "ConfigMap", sandbox: str = "", **more: Any) -> None:
    """Put an object into the cluster, with the label of a sandbox if one is named."""
    labels = {LABEL: sandbox} if sandbox else {}
    server.objects[path] = {"kind": kind, "metadata": {"name": path.rpartition("/")[2], "labels": labels, **more}}


def test_check_reports_unknown_context(step: TenancyStep) -> None:
    assert replace(step, context="tema").check() == Status(State.ABSENT, "there is no context 'tema'")


def test_cluster_that_is_not_reached_leaves_no_files(step: TenancyStep, server: ApiServer) -> None:
    with pytest.raises(UsageError):
        replace(step, context="tema").maker()
    server.shutdown()
    server.server_close()
    with pytest.raises(ClusterError):
        step.maker()
    assert not step.names.folder.exists()


def test_created_namespace_is_removed_again(step: TenancyStep, server: ApiServer) -> None:
    assert step.check().state is State.ABSENT
    assert step.maker() is None
    assert {method for method, *_ in server.asked} == {"GET"}
    assert applied(step).state is State.READY
    assert step.maker() == step.owner
    assert server.objects[SPACE]["metadata"]["labels"] == {LABEL: "demo"}
    assert step.names.kubeconfig.stat().st_mode & 0o077 == 0
    assert step.undo()
    assert server.objects == {}
    assert not step.names.folder.exists()


def test_earlier_namespace_stays_with_the_objects_of_others(step: TenancyStep, server: ApiServer) -> None:
    put(server, SPACE, "Namespace")
    put(server, f"{SPACE}/configmaps/theirs")
    before = dict(server.objects)
    step.apply(NoWork())
    put(server, f"{SPACE}/configmaps/ours", sandbox="demo")
    assert step.undo()
    assert server.objects == before


def test_namespace_of_another_sandbox_is_refused(step: TenancyStep, server: ApiServer, place: Home) -> None:
    step.apply(NoWork())
    other = replace(step, names=place.sandbox("other"))
    with pytest.raises(SandboxError, match="has the sandbox 'demo' in it"):
        other.apply(NoWork())
    assert step.check().state is State.READY


def test_namespace_of_another_person_asks_and_is_not_removed(step: TenancyStep, server: ApiServer) -> None:
    step.apply(NoWork())
    before = dict(server.objects)
    theirs = replace(step, owner="bob@desk")
    assert theirs.check().state is State.DRIFTED
    assert theirs.maker() == "ann@laptop"
    with pytest.raises(SandboxError, match=r"made by ann@laptop, not by bob@desk"):
        theirs.undo()
    assert server.objects == before
    theirs.apply(NoWork())  # agreed to
    assert theirs.check().state is State.READY
    assert theirs.undo()


def test_missing_right_to_create_namespaces_is_explained(step: TenancyStep, server: ApiServer) -> None:
    server.refusal = (403, b'{"message": "namespaces is forbidden"}')
    with pytest.raises(SandboxError, match="you may not make one") as caught:
        step.apply(NoWork())
    assert "a namespace that you may use" in caught.value.fix


def test_another_login_in_the_kubeconfig_is_taken_over(step: TenancyStep, server: ApiServer, place: Home) -> None:
    step.apply(NoWork())
    place.kubeconfig.write_text(place.kubeconfig.read_text().replace("secret", "newer"))
    assert step.check() == Status(State.DRIFTED, "your kubeconfig has another login for team, or another server")
    assert applied(step).state is State.READY
    assert "newer" in step.names.kubeconfig.read_text()
    place.kubeconfig.write_text("contexts: []")
    assert step.undo() and server.objects == {}, "also without the context"


@pytest.fixture
def push_step(registry: Simulator, tmp_path: Path) -> OwnPushStep:
    archive = tmp_path / "traefik.tar"
    archive.write_bytes(new_save({"traefik:1": IMAGE}))
    entries = (FromArchive(parse("sandbox/traefik:1"), archive), FromArchive(parse("sandbox/page:2"), archive))
    return OwnPushStep(entries, registry.url, None, ("registry",))


def test_system_images_are_pushed_once_and_read_back(push_step: OwnPushStep, registry: Simulator) -> None:
    assert push_step.check() == Status(State.ABSENT, "missing: sandbox/traefik:1, sandbox/page:2")
    assert applied(push_step).state is State.READY
    config = registry.manifest("sandbox/traefik", "1")["config"]["digest"]
    assert config == digest_of(IMAGE.config) and registry.content[config] == IMAGE.config
    registry.forget()
    push_step.apply(NoWork())
    assert registry.received == 0
    assert not push_step.undo()
    assert push_step.check().state is State.READY


def test_a_bundle_without_its_files_is_named(push_step: OwnPushStep) -> None:
    push_step.entries[0].path.unlink()
    with pytest.raises(SandboxError, match="the bundle is not complete") as caught:
        push_step.apply(NoWork())
    assert (caught.value.fix, caught.value.id) == ("sandbox bundle build", "no-bundle")


def test_refusing_registry_is_absent_to_check_error_to_apply(push_step: OwnPushStep, registry: Simulator) -> None:
    registry.faults.append(Fault("GET", "/v2/", 403, times=2))
    registry.faults.append(Fault("HEAD", "/v2/", 403, times=2))
    assert push_step.check().state is State.ABSENT
    with pytest.raises(SandboxError):
        push_step.apply(NoWork())


MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "elsewhere"}}
PATH = f"{SPACE}/configmaps/a"


@pytest.fixture
def tenant(server: ApiServer, tmp_path: Path) -> Tenant:
    return Tenant(kubeconfig(tmp_path / "kubeconfig", server.server_port), "mine", "demo")


@pytest.mark.parametrize(("sandbox", "whose"), [("", "another user"), ("other", "the sandbox 'other'")])
def test_objects_of_another_user_are_refused(server: ApiServer, tenant: Tenant, sandbox: str, whose: str) -> None:
    put(server, PATH, sandbox=sandbox, namespace="mine")
    theirs = dict(server.objects[PATH])
    with pytest.raises(NotOurs, match=whose):
        tenant.apply(MAP)
    assert server.objects[PATH] == theirs


def test_tenant_lists_only_objects_labelled_with_its_sandbox_in_its_namespace(
    server: ApiServer, tenant: Tenant
) -> None:
    put(server, f"{SPACE}/configmaps/ours", sandbox="demo")
    put(server, f"{SPACE}/configmaps/theirs", sandbox="other")
    put(server, "/api/v1/namespaces/other/configmaps/outside", sandbox="demo")
    put(server, "/apis/apps/v1/namespaces/mine/deployments/ours", "Deployment", "demo")
    put(server, f"{SPACE}/pods/made", "Pod", "demo", ownerReferences=[{"kind": "ReplicaSet"}])
    put(server, "/apis/discovery.k8s.io/v1/namespaces/mine/endpointslices/derived", "EndpointSlice", "demo")
    found = tenant.ours()
    assert {(one["kind"], one["metadata"]["name"]) for one in found} == {("ConfigMap", "ours"), ("Deployment", "ours")}
    assert counted(found) == "1 ConfigMap, 1 Deployment"


def adapted(*manifests: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    settings: dict[str, Any] = {
        "namespaced": {("rbac.authorization.k8s.io/v1", "ClusterRole"): False},
        "images": {"localhost:5001": "127.0.0.1:31000"},
        "pull_secret": "pull",
        "ingress_class": "sandbox",
    }
    return placed(manifests, **{**settings, **more})


def thing(kind: str, name: str = "a", namespace: str | None = None, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}


def pod_of(*images: str, **more: Any) -> dict[str, Any]:
    return {"containers": [{"name": f"c{index}", "image": image} for index, image in enumerate(images)], **more}


def test_images_of_the_registry_have_another_name_and_its_secret() -> None:
    wanted = {**pod_of("127.0.0.1:31000/team/app:1", "busybox:1"), "imagePullSecrets": [{"name": "pull"}]}
    spec = pod_of("localhost:5001/team/app:1", "busybox:1")
    (pod,) = adapted(thing("Pod", spec=spec))
    assert pod["spec"] == wanted
    (deployment,) = adapted(thing("Deployment", spec={"template": {"spec": spec}}))
    assert deployment["spec"]["template"]["spec"] == wanted
    (job,) = adapted(thing("CronJob", spec={"jobTemplate": {"spec": {"template": {"spec": spec}}}}))
    assert job["spec"]["jobTemplate"]["spec"]["template"]["spec"] == wanted


@pytest.mark.parametrize("secrets", [None, [{"name": "pull"}]])
def test_pods_of_other_registries_get_no_secret_and_none_twice(secrets: list[dict[str, str]] | None) -> None:
    foreign = thing("Pod", spec=pod_of("localhost:50010/app:1"))
    assert adapted(foreign) == [foreign]
    (ours,) = adapted(thing("Pod", spec=pod_of("localhost:5001/a", imagePullSecrets=secrets)))
    assert ours["spec"]["imagePullSecrets"] == [{"name": "pull"}]
    (without,) = adapted(thing("Pod", spec=pod_of("localhost:5001/a")), pull_secret=None)
    assert "imagePullSecrets" not in without["spec"]


def test_ingresses_have_the_class_that_is_served() -> None:
    metadata = {"name": "a", "annotations": {"kubernetes.io/ingress.class": "nginx", "other": "kept"}}
    with_class = {**thing("Ingress", spec={"ingressClassName": "nginx"}), "metadata": metadata}
    ingress, *others = adapted(with_class, thing("Ingress", "b"), thing("Ingress", "c", spec=None))
    assert ingress["metadata"]["annotations"] == {"other": "kept"}
    assert [each["spec"] for each in (ingress, *others)] == [{"ingressClassName": "sandbox"}] * 3


def test_objects_of_the_whole_cluster_are_refused() -> None:
    with pytest.raises(UsageError, match="whole cluster") as caught:
        adapted({**thing("ClusterRole", "reader"), "apiVersion": "rbac.authorization.k8s.io/v1"})
    assert caught.value.details == "ClusterRole reader"


def test_objects_of_one_name_in_two_namespaces_are_refused() -> None:
    assert adapted(thing("Namespace"), thing("ConfigMap", namespace="a")) == [thing("ConfigMap")]
    with pytest.raises(UsageError, match="would be one object"):
        adapted(thing("ConfigMap", namespace="a"), thing("ConfigMap", namespace="b"))
