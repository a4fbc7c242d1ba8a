"""The plan of a sandbox: what is in it for which spec, in which order, and what walks over it leave of the machine."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from sandbox.bundle.images_step import ImagesStep
from sandbox.bundle.recipe import recipes, versions
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import UPSTREAM, OwnImages
from sandbox.components.addons.steps import AddonStep
from sandbox.components.certificates.cert_manager import IssuerStep
from sandbox.components.certificates.steps import AuthorityStep, SecretsStep, TlsSecret
from sandbox.components.cluster.existing.steps import TenancyStep
from sandbox.components.cluster.existing.tenant import user_at_host
from sandbox.components.cluster.kind.provider import KindProvider
from sandbox.components.cluster.pod_proxy import PodProxyStep
from sandbox.components.cluster.steps import ClusterStep
from sandbox.components.edge import routes
from sandbox.components.edge.route import AddedRoute, Route
from sandbox.components.edge.step import EdgeStep, ForwardedEdgeStep, ForwardedPortsStep
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.components.ingress.page import PageStep
from sandbox.components.ingress.steps import IngressStep
from sandbox.components.ingress.traefik import Traefik
from sandbox.components.registry.container_step import RegistryStep
from sandbox.components.registry.external_step import ExternalRegistryStep, TeamRegistryStep
from sandbox.components.registry.mirrors_step import MIRROR, MirrorsStep
from sandbox.components.registry.node_config_step import TlsRegistryStep, WiringStep
from sandbox.components.workloads.chart_archives import ChartPullStep
from sandbox.components.workloads.step import ApplyStep
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.engine import ContainerSpec
from sandbox.errors import SandboxError, UsageError
from sandbox.images.push_step import PushStep
from sandbox.names import DEFAULT_TLS, DOMAIN_TLS, EDGE, EDGE_LEAF, SYSTEM_NAMESPACE, Home, Names
from sandbox.plan import build as plan_build
from sandbox.plan import lifecycle
from sandbox.report import Reporter
from sandbox.step import Step, needed
from tests.support.fakes import FakeEngine
from tests.support.programs import make_program
from tests.support.registry_simulator import Simulator

S = TypeVar("S")
OWN = OwnImages("upstream", UPSTREAM)
WITHOUT_CLUSTER = {"spec", "images", "network", "certificates", "registry", "edge"}
ALWAYS = WITHOUT_CLUSTER.union(
    ("cluster", "context", "dns", "pod-proxy", "trust", "load-balancers", "wiring"),
    ("addons", "secrets", "apply", "ingress"),
)


@pytest.fixture(autouse=True)
def kind(programs: Path) -> Path:
    """A kind on the PATH that plans need to know of, and that nothing here runs."""
    return make_program(programs / "kind", "exit 1")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    manifest = tmp_path / "images.yaml"
    manifest.write_text("images: [docker.io/library/busybox:1, {from: daemon, image: 'app:dev'}]\n")
    return manifest


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    manifest = tmp_path / "objects.yaml"
    manifest.write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n")
    return manifest


def build(spec: Spec, place: Home, own: OwnImages = OWN, engine: FakeEngine | None = None) -> dict[str, Step]:
    steps = plan_build.build(resolved(spec), place, engine or FakeEngine(), own, environ={})
    named = {step.name: step for step in steps}
    assert len(named) == len(steps)
    return named


def resolved(spec: Spec) -> ResolvedSpec:
    """The spec with the usual port of the registry."""
    https = tuple(port for port in spec.edge.ports if port != "auto")
    return ResolvedSpec.of(spec, registry=5001 if spec.registry.port == "auto" else spec.registry.port, https=https)


def one(kind: type[S], steps: dict[str, Step]) -> S:
    (found,) = (step for step in steps.values() if isinstance(step, kind))
    return found


@pytest.mark.security(17)
@pytest.mark.parametrize("proxy", ["auto", {"https": "http://me:secret@proxy.example.com:3128"}])
def test_pods_of_a_fetched_spec_get_no_account_of_the_users_proxy(place: Home, proxy: Any) -> None:
    """A spec from elsewhere and a company proxy with a password → pods get only an account that the spec names."""
    spec = resolved(Spec.model_validate({"network": {"proxy": proxy}}))
    for is_fetched in (True, False):
        plan = plan_build.build(spec, place, FakeEngine(), OWN, environ={}, is_fetched=is_fetched)
        step = one(PodProxyStep, {each.name: each for each in plan})
        assert step.with_account is (not is_fetched or proxy != "auto")


@pytest.mark.parametrize(("controller", "more"), [("traefik", {"https", "page"}), ("none", set())])
def test_plan_has_a_page_and_its_check_where_there_is_an_ingress(
    place: Home, images: Path, controller: str, more: set[str]
) -> None:
    spec = Spec.model_validate({"ingress": {"controller": controller}})
    assert build(spec, place).keys() == ALWAYS | more
    assert build(spec.model_copy(update={"push": images}), place).keys() == ALWAYS | {"push"} | more


@pytest.mark.parametrize("controller", ["traefik", "none"])
def test_plan_without_files_has_each_step_after_its_needs(place: Home, objects: Path, controller: Any) -> None:
    """`start` checks the steps in their order: before the cluster was seen, its workloads would be an error"""
    spec = Spec.model_validate({"ingress": {"controller": controller}}).model_copy(update={"apply": (objects,)})
    plan = plan_build.without_files(tuple(build(spec, place).values()), place.sandbox("sandbox"))
    names = [step.name for step in plan]
    assert "workloads" in names and "apply" not in names and len(names) == len(set(names))
    for index, step in enumerate(plan):
        assert set(needed(step, names)) <= set(names[:index]), step.name


def test_final_https_check_waits_for_user_manifests(place: Home, images: Path, objects: Path) -> None:
    steps = build(Spec().model_copy(update={"push": images, "apply": (objects,)}), place)
    assert {"push", "wiring", "addons", "secrets"} <= set(needed(steps["apply"], steps))
    assert "push" in steps["addons"].requires
    assert {"apply", "edge"} <= set(steps["https"].requires)


def test_credentials_are_delivered_before_user_manifests(place: Home, objects: Path) -> None:
    spec = Spec.model_validate({"credentials": [{"kind": "gcr"}]})
    steps = build(spec.model_copy(update={"apply": (objects,)}), place)
    assert needed(steps["credentials"], steps) == ("cluster", "accounts")
    assert "credentials" in needed(steps["apply"], steps)


def test_names_ports_and_certificates_derive_from_the_spec(place: Home, images: Path, objects: Path) -> None:
    spec = Spec.model_validate(
        {
            "name": "shop",
            "domain": "shop.example.com",
            "registry": {"port": 5055},
            "edge": {"listen": "127.0.0.2", "ports": (9443, 10443)},
            "network": {"nameservers": ("9.9.9.9",)},
            "cluster": {"nodes": {"control_plane": 3}},
            "certs": {"secrets": ({"secret": "api", "namespace": "web", "hosts": ("api.shop.example.com",)},)},
        }
    ).model_copy(update={"push": images, "apply": (objects,)})
    steps = build(spec, place)
    assert {step.names for step in steps.values() if hasattr(step, "names")} == {place.sandbox("shop")}
    assert one(RegistryStep, steps).port == 5055
    assert one(PushStep, steps).url == "http://127.0.0.1:5055"
    assert one(EdgeStep, steps).route.listen == (("127.0.0.2", 9443), ("127.0.0.2", 10443))
    assert one(PageStep, steps).page.port == 9443
    provider = one(ClusterStep, steps).provider
    assert isinstance(provider, KindProvider)
    assert (provider.dns.upstream.servers, provider.kind.balancer) == (("9.9.9.9",), UPSTREAM["balancer"])
    assert [str(entry.target) for entry in one(PushStep, steps).images.entries] == ["busybox:1", "app:dev"]
    assert [each["metadata"]["name"] for each in one(ApplyStep, steps).manifests] == ["a"]
    secrets, leaves = one(SecretsStep, steps).secrets, one(AuthorityStep, steps).leaves
    assert {(each.namespace, each.secret) for each in secrets} == {
        (SYSTEM_NAMESPACE, DEFAULT_TLS),
        (SYSTEM_NAMESPACE, DOMAIN_TLS),
        ("web", "api"),
    }
    assert {each.leaf: each.hosts for each in secrets} == leaves
    assert {"shop.example.com", "*.shop.example.com"} <= set(leaves["default"])
    assert secrets[2] == TlsSecret(namespace="web", secret="api", leaf="web.api", hosts=("api.shop.example.com",))


def test_hosts_that_end_at_the_edge_share_a_certificate(place: Home) -> None:
    domain = Spec().domain
    hosts = [f"a.{domain}", {"host": f"b.{domain}", "terminate": True}, {"host": f"c.{domain}", "to": "localhost:3000"}]
    spec = Spec.model_validate_json(json.dumps({"edge": {"hosts": hosts}}))
    routes.ADDED_HOSTS.save(place.edge, AddedRoute(f"d.{domain}", spec.name, "localhost:1"))
    routes.ADDED_HOSTS.save(place.edge, AddedRoute("e.other.test", "other", "localhost:1"))
    steps = build(spec, place)
    assert one(AuthorityStep, steps).leaves[EDGE_LEAF] == (f"b.{domain}", f"c.{domain}", f"d.{domain}")
    assert [(host.terminate, host.to) for host in one(EdgeStep, steps).route.hosts] == [
        (False, None),
        (True, None),
        (True, "localhost:3000"),
    ]
    assert "certificates" in one(EdgeStep, steps).requires


def test_edge_may_reach_the_cluster_by_its_api_server(place: Home) -> None:
    steps = build(Spec.model_validate({"name": "far", "edge": {"run": "process", "ports": (9443,)}}), place)
    step = one(ForwardedEdgeStep, steps)
    assert (step.name, step.route.listen) == ("edge", (("127.0.0.1", 9443),))
    (ingress,) = step.route.forwards
    assert (ingress.name, ingress.kubeconfig) == ("ingress", str(place.sandbox("far").kubeconfig))


def test_ports_that_an_earlier_spec_had_are_taken_away(place: Home) -> None:
    assert "ports" not in build(Spec(name="a"), place)
    routes.save(place.edge, Route("a", "a.test", "node", (), 1.0, node_ports=(("shop/db:5432", 30000),)))
    assert "ports" in build(Spec(name="a"), place)


@pytest.mark.parametrize("issuer", ["sandbox", "cert-manager"])
@pytest.mark.parametrize("own", [False, True])
def test_secrets_have_one_source_and_ingress_needs_default(place: Home, tmp_path: Path, issuer: str, own: bool) -> None:
    default = {"cert": tmp_path / "own.crt", "key": tmp_path / "own.key"} if own else None
    extra = ({"secret": "api", "hosts": ("api.sandbox.sandbox.localhost",)},)
    spec = Spec.model_validate({"certs": {"issuer": issuer, "default": default, "secrets": extra}})
    steps = build(spec, place)
    issued = "issuer" if issuer == "cert-manager" else "secrets"
    assert ("cert-manager" in steps, "provided" in steps) == (issuer == "cert-manager", own)
    step = steps[issued]
    assert isinstance(step, IssuerStep | SecretsStep)
    assert [each.secret for each in step.secrets] == ([] if own else [DEFAULT_TLS, DOMAIN_TLS]) + ["api"]
    ours = {each.leaf for each in step.secrets} if issuer == "sandbox" else set()
    assert set(one(AuthorityStep, steps).leaves) == ours
    assert steps["ingress"].requires == ("provided" if own else issued,)
    assert one(HttpsStep, steps).root == (tmp_path / "own.crt" if own else None)


def test_external_registry_replaces_ours_for_all_its_users(place: Home, images: Path) -> None:
    spec = Spec.model_validate({"registry": {"external": "localhost:5999"}}).model_copy(update={"push": images})
    steps = build(spec, place)
    assert one(ExternalRegistryStep, steps).where == "localhost:5999"
    assert one(PushStep, steps).url == one(WiringStep, steps).registry.external == "localhost:5999"
    assert not any(isinstance(step, RegistryStep) for step in steps.values())


def test_mirrors_are_wired_to_nodes_and_removed_with_the_spec(place: Home) -> None:
    mirrors = ("docker.io", "quay.io")
    steps = build(Spec.model_validate({"registry": {"mirrors": mirrors}}), place)
    assert one(MirrorsStep, steps).upstreams == one(WiringStep, steps).registry.mirrors == mirrors
    engine, names = FakeEngine("busybox:1"), place.sandbox("sandbox")
    names.mirrors.mkdir(parents=True)
    engine.create_network("net", {})
    name, labels = names.mirror("quay.io"), {**names.labels, MIRROR: "quay.io"}
    engine.run(ContainerSpec(name=name, image="busybox:1", command=("x",), network="net", labels=labels))
    assert one(MirrorsStep, build(Spec(), place, engine=engine)).upstreams == ()
    engine.remove_container(name)
    assert "mirrors" not in build(Spec(), place, engine=engine), "only their data is left"
    purging = plan_build.build(resolved(Spec()), place, engine, OWN, environ={}, purge=True)
    assert "mirrors" in {step.name for step in purging}


def test_registries_behind_the_ingress_are_wired_to_nodes(place: Home) -> None:
    spec = Spec.model_validate({"registry": {"tls": ("hub.sandbox.sandbox.localhost:8443",)}})
    assert "tls-registry" not in build(Spec(), place)
    assert one(TlsRegistryStep, build(spec, place)).hosts == ("hub.sandbox.sandbox.localhost:8443",)


def test_the_gateway_api_is_read_from_where_the_images_come_from(place: Home) -> None:
    def files(own: OwnImages) -> Path | None:
        controller = one(IngressStep, build(spec, place, own)).controller
        assert isinstance(controller, Traefik)
        return controller.gateway_files

    spec = Spec.model_validate({"ingress": {"gateway_api": True}})
    assert files(OWN) == place.manifests
    with pytest.raises(SandboxError, match="lacks the Gateway API"):
        files(bundle())
    store, recipe = Store(place.bundle), recipes()["gateway-api"]
    store.files(recipe).mkdir(parents=True)
    assert files(bundle()) == store.files(recipe)


def test_addons_of_the_spec_are_wanted_and_unknown_is_refused_early(place: Home) -> None:
    step = one(AddonStep, build(Spec.model_validate_json(json.dumps({"addons": ["metrics-server"]})), place))
    assert [use.source for use in step.manager.uses] == ["metrics-server"]
    with pytest.raises(UsageError, match="no addon 'metric-server'"):
        build(Spec.model_validate_json(json.dumps({"addons": ["metric-server"]})), place)


def test_addons_of_a_minikube_profile_are_changed_by_one_command_at_a_time(place: Home, programs: Path) -> None:
    make_program(programs / "minikube", "")
    minikube = {"cluster": {"provider": "minikube"}}
    steps = build(Spec.model_validate(minikube), place)
    assert "minikube-disused" in needed(steps["ingress"], steps), "an ingress of minikube's has to go first"
    own = {"ingress": {"controller": "none"}, "addons": ({"addon": "ingress"},)}
    steps = build(Spec.model_validate(minikube | own), place)
    assert "minikube-disused" in steps["minikube-addons"].requires


@pytest.mark.parametrize(("source", "pulled"), [("auto", True), ("bundle", False)])
def test_image_the_bundle_lacks_is_pulled_where_that_is_allowed(place: Home, source: str, pulled: bool) -> None:
    images = {"source": source, "mirror": {"registry.k8s.io": "mirror.example/k8s"}}
    step = one(AddonStep, build(Spec.model_validate({"images": images}), place, bundle()))
    image = versions().addons["metrics-server"].replace("registry.k8s.io/", "mirror.example/k8s/")
    assert step.manager.pulled.get("metrics-server") == (image if pulled else None)


def bundle() -> OwnImages:
    return OwnImages("bundle", {name: recipes()[name].reference for name in UPSTREAM})


def test_nodes_of_another_release_get_the_bundle_s_images(place: Home) -> None:
    own, node = bundle(), place.sandbox(Spec().name).node
    engine = FakeEngine(*own.references.values())
    assert "node-images" not in build(Spec(), place, own, engine)
    engine.images["old:latest"] = "sha256:old"
    engine.create_network("kind", {})
    engine.run(ContainerSpec(name=node, image="old:latest", command=(), labels={}, network="kind"))
    steps = build(Spec(), place, own, engine)
    assert "node-images" in needed(steps["ingress"], steps)
    assert "node-images" not in build(Spec(), place, OWN, engine), "nodes pull images that have a registry"
    engine.remove_container(node)
    engine.run(ContainerSpec(name=node, image=own.references["node"], command=(), labels={}, network="kind"))
    assert "node-images" not in build(Spec(), place, own, engine)


def test_two_sandboxes_have_no_name_in_common(place: Home) -> None:
    derived = [name for name, value in vars(Names).items() if isinstance(value, property)]
    assert len(derived) > 5
    for name in derived:
        assert getattr(place.sandbox("a"), name) != getattr(place.sandbox("b"), name), name


@pytest.mark.fault(42)
@pytest.mark.parametrize("broken", ["images.yaml", "images.lock.yaml", "objects.yaml"])
def test_invalid_manifest_is_reported_before_anything_is_created(
    place: Home, images: Path, objects: Path, broken: str
) -> None:
    """A mistake in one of your manifests → named before anything is made."""
    (images.parent / broken).write_text("kind: [\n")
    engine = FakeEngine()
    with pytest.raises(UsageError, match=broken):
        build(Spec().model_copy(update={"push": images, "apply": (objects,)}), place, engine=engine)
    assert not place.state.exists()
    assert engine.networks == {}


def part(engine: FakeEngine, place: Home, name: str, registry: Simulator, *, purge: bool = False) -> list[Step]:
    """What of a sandbox's plan needs no cluster."""
    spec = Spec.model_validate({"name": name, "registry": {"port": urlsplit(registry.url).port}})
    steps = plan_build.build(resolved(spec), place, engine, OWN, environ={}, purge=purge)
    return [step for step in steps if step.name in WITHOUT_CLUSTER]


@pytest.mark.fault(10)
def test_two_sandboxes_come_and_go_on_one_machine(place: Home, registry: Simulator) -> None:
    """Two sandboxes on one engine → both work; one that goes, or fails to come up, leaves the other."""
    engine = FakeEngine()
    engine.upstream = set(UPSTREAM.values())
    with Simulator() as second:
        assert lifecycle.up(part(engine, place, "a", registry), Reporter())
        engine.busy.add(urlsplit(second.url).port or 0)
        with pytest.raises(SandboxError, match="sandbox-edge failed"):
            lifecycle.up(part(engine, place, "b", second), Reporter())
        assert engine.boxes.keys() == {EDGE, "sandbox-a-registry"}
        assert engine.networks.keys() == {EDGE, "sandbox.a"}
        engine.busy.clear()
        assert lifecycle.up(part(engine, place, "b", second), Reporter())
        assert not lifecycle.up(part(engine, place, "a", registry), Reporter())
        assert engine.boxes.keys() == {EDGE, "sandbox-a-registry", "sandbox-b-registry"}
        lifecycle.down(part(engine, place, "a", registry), Reporter())
        assert engine.boxes.keys() == {EDGE, "sandbox-b-registry"}
        assert [route.name for route in routes.load(place.edge)] == ["b"]
        assert not lifecycle.up(part(engine, place, "b", second), Reporter())
        lifecycle.down(part(engine, place, "b", second, purge=True), Reporter())
    assert (engine.boxes, engine.networks) == ({}, {})
    assert engine.volumes.keys() == {"sandbox-a-registry"}
    assert [path.name for path in (place.state / "certificates").iterdir()] == ["a"]
    assert {UPSTREAM["node"], UPSTREAM["registry"]} <= engine.images.keys()


def test_lan_clients_have_names_covered_by_the_edge_certificate(place: Home) -> None:
    alias = "demo.192.168.1.5.nip.io"
    hosts = ({"host": "shop.test", "terminate": True}, {"host": "dev.demo.sandbox.localhost", "to": "localhost:1"})
    spec = Spec.model_validate({"name": "demo", "edge": {"listen": "192.168.1.5", "hosts": hosts}})
    steps = build(spec, place)
    authority, edge = one(AuthorityStep, steps), one(EdgeStep, steps)
    assert authority.domains == ("demo.sandbox.localhost", "shop.test", alias)
    assert authority.leaves[EDGE_LEAF] == (f"*.{alias}", alias, "dev.demo.sandbox.localhost", "shop.test")
    assert (edge.route.aliases, edge.route.listen[0]) == ((alias,), ("192.168.1.5", 443))
    assert one(PageStep, steps).page.elsewhere == ("dev.demo.sandbox.localhost",)
    authority.keystore.authority([*spec.vouched], now=datetime.now(UTC))
    later = build(spec, place)
    assert one(AuthorityStep, later).unvouched == (alias,)
    assert one(AuthorityStep, later).domains == spec.vouched
    assert one(EdgeStep, later).route.aliases == ()


def test_manifest_image_missing_from_bundle_is_reported_early(place: Home, tmp_path: Path) -> None:
    images = tmp_path / "images.yaml"
    images.write_text("images:\n- {from: daemon, image: sandbox.dev/valkey, as: db:1}\n")
    spec = Spec().model_copy(update={"push": images})
    with pytest.raises(SandboxError, match=r"asks for sandbox\.dev/valkey") as caught:
        build(spec, place)
    assert caught.value.fix == "sandbox bundle build valkey"
    store, recipe = Store(place.bundle), recipes()["valkey"]
    with store.filling(recipe) as folder:
        (folder / "image.tar").touch()
    assert one(ImagesStep, build(spec, place)).further == (recipe,)


EXISTING: dict[str, Any] = {"cluster": {"provider": "existing", "context": "team"}}


def existing(place: Home, **more: Any) -> dict[str, Step]:
    """The plan for a cluster that exists: no container, network or node of the sandbox in it."""
    return build(Spec.model_validate(EXISTING | more), place)


def test_everything_of_an_existing_cluster_is_in_one_namespace_behind_the_api_server(
    place: Home, images: Path, objects: Path
) -> None:
    steps = existing(place, push=images, apply=(objects,))
    assert list(steps) == [
        *("spec", "certificates", "cluster", "context", "images", "registry", "edge", "wiring", "push"),
        *("secrets", "ingress", "apply", "page", "https"),
    ]
    registry = one(ForwardedEdgeStep, steps).registry
    assert registry and registry.port == 5001 and registry.forward
    assert (registry.forward.namespace, registry.forward.target) == ("sandbox-sandbox", "deployment/sandbox-registry")
    assert one(PushStep, steps).requires == ("registry", "edge", "images")


def test_ports_of_services_are_tunnels_into_the_namespace_of_an_existing_cluster(place: Home) -> None:
    tcp = ({"port": 5432, "to": "shop/db"}, {"port": "auto", "to": "shop/cache:redis"})
    given, registry = {"tcp": tcp, "listen": "127.0.0.2"}, {"external": "registry.team.example"}
    steps = existing(place, edge=given, registry=registry)
    assert list(steps)[-1] == "ports"
    edge = one(ForwardedEdgeStep, steps).route
    assert (edge.address, [port.port for port in edge.ports]) == ("127.0.0.2", [5432, 15432])
    services = [(to.name, to.namespace, to.target, to.port) for to in edge.forwards if to.name != "ingress"]
    assert services == [
        (edge.ports[0].to, "sandbox-sandbox", "service/db", "5432"),
        (edge.ports[1].to, "sandbox-sandbox", "service/cache", "redis"),
    ]
    assert "wiring" not in steps and one(ForwardedEdgeStep, steps).registry is None, "the registry is the team's"
    assert one(TeamRegistryStep, steps).where == "registry.team.example"
    assert [str(port) for port in one(ForwardedPortsStep, steps).ports] == ["5432", "15432"]


def test_ports_alone_are_tunnels_where_nothing_else_is_forwarded(place: Home) -> None:
    ingress, registry = {"controller": "none"}, {"external": "registry.team.example"}
    assert "edge" not in existing(place, registry=registry, ingress=ingress)
    steps = existing(place, registry=registry, ingress=ingress, edge={"tcp": ({"port": 5432, "to": "shop/db"},)})
    assert [port.port for port in one(ForwardedEdgeStep, steps).route.ports] == [5432]


@pytest.mark.parametrize(("environ", "owner"), [({"SANDBOX_OWNER": "ci@shop"}, "ci@shop"), ({}, user_at_host())])
def test_owner_in_ci_is_named_by_a_variable(place: Home, environ: dict[str, str], owner: str) -> None:
    plan = plan_build.build(resolved(Spec.model_validate(EXISTING)), place, FakeEngine(), OWN, environ=environ)
    assert [step.owner for step in plan if isinstance(step, TenancyStep)] == [owner]


def test_users_certificate_is_the_default_one_in_an_existing_cluster(place: Home, tmp_path: Path) -> None:
    own = {"cert": tmp_path / "own.crt", "key": tmp_path / "own.key"}
    steps = existing(place, certs={"default": own})
    https, secrets = one(HttpsStep, steps), steps["secrets"]
    assert (https.secret, https.root) == ("sandbox-default-tls", own["cert"])
    assert (secrets.title, one(HttpsStep, existing(place)).secret) == ("1 TLS Secret", "sandbox-domain-tls")


def test_charts_in_an_existing_cluster_are_pulled_and_applied_without_releases(
    place: Home, programs: Path, tmp_path: Path
) -> None:
    make_program(programs / "helm", "")
    chart = {"chart": "web", "repo": "https://charts.example.com", "version": "1.0.0", "lock": tmp_path / "lock.yaml"}
    steps = existing(place, apply=(chart,))
    apply = one(ApplyStep, steps)
    assert (apply.title, apply.requires[-1]) == ("chart web", one(ChartPullStep, steps).name)
    assert "charts" not in steps
