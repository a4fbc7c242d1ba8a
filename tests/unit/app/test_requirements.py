"""What is refused before anything is made: missing tools, ports of others, a Kubernetes that is not available."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from sandbox.app import requirements
from sandbox.app.agreement import Agreement
from sandbox.app.edge import ports
from sandbox.app.edge.ports import reserve, resolve
from sandbox.app.requirements import require
from sandbox.app.session import Session
from sandbox.bundle import released_tools
from sandbox.bundle.system_images import UPSTREAM, OwnImages
from sandbox.cli.prompts import Asking
from sandbox.components.certificates import cert_manager
from sandbox.components.edge import routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.route import Port, RegistryRoute, Route
from sandbox.components.registry import container_step
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.config.schema.edge_schema import TcpPort
from sandbox.engine import Bind, ContainerSpec
from sandbox.errors import MissingTool, SandboxError
from sandbox.names import EDGE, LABEL, Home
from sandbox.system import host_network, inotify
from tests.support import fake_helm
from tests.support.fakes import NETWORK, FakeEngine
from tests.support.ports import free_port
from tests.support.programs import make_program
from tests.support.project_folder import write

IMAGE = "example.com/busybox:1"
BUNDLE = OwnImages("bundle", {})
LOCAL = "127.0.0.1"
NOWHERE = Path("/nowhere")
EVERYWHERE = "0.0.0.0"  # noqa: S104


@pytest.fixture
def engine(place: Home) -> FakeEngine:
    engine = FakeEngine(IMAGE)
    engine.create_network(NETWORK, place.sandbox("demo").labels)
    return engine


@pytest.fixture(autouse=True)
def folder(programs: Path) -> Path:
    """A PATH with a docker and a kind that will do, and nothing else."""
    make_program(programs / "docker", "exit 0")
    make_program(programs / "kind", "echo kind v0.33.0 go1.26.1 linux/amd64")
    return programs


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of this machine that this very process listens on."""
    with closing(socket.create_server((LOCAL, 0))) as server:
        yield server.getsockname()[1]


def spec(*, registry: int | None = None, https: int | None = None, **more: Any) -> Spec:
    """A spec whose ports are free unless they are given."""
    listen = more.pop("listen", LOCAL)
    proxy = {"listen": listen, "ports": (https or free_port(),)}
    return Spec.model_validate({"name": "demo", "registry": {"port": registry or free_port()}, "edge": proxy, **more})


def check(spec: Spec, place: Home, engine: FakeEngine, own: OwnImages = BUNDLE) -> ResolvedSpec:
    """All that `up` asks before it makes anything; the spec with its ports."""
    with reserve(spec, place, engine) as resolved:
        require(resolved, place, own)
    return resolved


def refused(spec: Spec, place: Home, engine: FakeEngine, words: str | None = None) -> SandboxError:
    with pytest.raises(SandboxError, match=words) as caught:
        check(spec, place, engine)
    return caught.value


def run(engine: FakeEngine, place: Home, name: str, port: int, address: str = LOCAL) -> None:
    """A container of the sandbox that publishes a port."""
    publish, labels = {5000: (Bind(address, port),)}, place.labels
    engine.run(ContainerSpec(name=name, image=IMAGE, command=("x",), labels=labels, network=NETWORK, publish=publish))


@pytest.mark.parametrize(
    ("settings", "words", "fix"),
    [
        ({"cluster": {"kubernetes": "v1.35.8"}}, r"Kubernetes v1\.35\.8 is not in the bundle", "kubernetes: v1.36"),
        ({"cluster": {"ip_family": "ipv6"}}, "IPv6 alone", "ip_family: dual"),
        ({"cluster": {"mounts": ({"host": NOWHERE, "node": "/data"},)}}, "/nowhere does not exist", "create it"),
        ({"certs": {"default": {"cert": NOWHERE, "key": NOWHERE}}}, r"`certs\.default`: .*cannot be read", ""),
    ],
)
def test_settings_that_cannot_be_are_refused_with_a_fix(
    place: Home, engine: FakeEngine, settings: dict[str, Any], words: str, fix: str
) -> None:
    assert fix in refused(spec(**settings), place, engine, words).fix


@pytest.mark.fault(98)
def test_ipvs_is_refused_with_nodes_of_the_bundle(place: Home, engine: FakeEngine) -> None:
    """`kubeProxyMode: ipvs` with the bundle's nodes → an error that names nftables, before anything is made."""
    ipvs, *others = (
        spec(cluster={"kind": {"networking": {"kubeProxyMode": mode}}}) for mode in ("ipvs", "iptables", "nftables")
    )
    error = refused(ipvs, place, engine)
    assert error.id == "kube-proxy" and "kubeProxyMode: nftables" in error.fix
    check(ipvs, place, engine, OwnImages("upstream", UPSTREAM))
    for other in others:
        check(other, place, engine)


@pytest.mark.fault(12)
def test_listening_on_ipv6_without_it_is_said(place: Home, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel has no IPv6, and `listen: "::1"` → an error that says so, before anything is made."""
    real = socket.socket

    def without_ipv6(family: int = socket.AF_INET, *rest: Any, **more: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *rest, **more)

    on_ipv6 = spec(listen="::1")
    monkeypatch.setattr(socket, "socket", without_ipv6)
    error = refused(on_ipv6, place, engine, "it has no IPv6")
    assert "listen: 127.0.0.1" in error.fix
    assert not place.state.exists()


@pytest.mark.fault(68)
@pytest.mark.timeout(20)
def test_a_kubeconfig_that_is_no_file_is_refused_first(place: Home, engine: FakeEngine) -> None:
    """KUBECONFIG is a FIFO or a device → `up` says that no context can be kept there, before anything is made."""
    os.mkfifo(place.kubeconfig)
    error = refused(spec(), place, engine, "no context can be kept in")
    assert error.id == "not-a-file" and "unset KUBECONFIG" in error.fix


@pytest.mark.fault(62)
@pytest.mark.parametrize("program", ["docker", "kind"])
def test_missing_program_is_named(place: Home, engine: FakeEngine, folder: Path, program: str) -> None:
    """No kind → what brings one; exit code 4."""
    (folder / program).unlink()
    error = refused(spec(), place, engine, f"{program} is not installed")
    assert error.fix


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """The tools that are fetched; kind is not on the PATH any more."""
    (folder / "kind").unlink()
    names: list[str] = []
    monkeypatch.setattr(released_tools, "fetch", lambda release, store: names.append(release.name))
    return names


def provide(place: Home, agreement: Agreement, **spec: Any) -> None:
    requirements.provide_tools(Spec.model_validate(spec), place, Session(), agreement)


@pytest.mark.downloads
def test_program_without_the_users_consent_is_an_error_with_both_ways(
    place: Home, folder: Path, fetched: list[str]
) -> None:
    with pytest.raises(MissingTool) as caught:
        provide(place, Agreement())
    assert caught.value.brief == "kind is not installed"
    assert "v0.33.0" in caught.value.details
    assert "--yes" in caught.value.fix and "install it yourself" in caught.value.fix
    make_program(folder / "kind", "")
    provide(place, Agreement())
    assert not fetched


@pytest.mark.downloads
def test_only_what_the_spec_needs_is_fetched_or_may_be_built(
    place: Home, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    provide(place, Asking(yes=True), apply=[{"kustomize": str(place.state)}])
    assert fetched == ["kind", "kubectl"]
    error = SandboxError("kind v0.33.0 cannot be fetched", details="no network", fix="try again", id="release")
    monkeypatch.setattr(released_tools, "fetch", Mock(side_effect=error))
    with pytest.raises(SandboxError, match="cannot be fetched") as caught:
        provide(place, Asking(yes=True))
    assert caught.value.fix.endswith("sandbox bundle build kind")


@pytest.mark.parametrize(
    ("name", "more"),
    [
        (f"cert-manager-{cert_manager.VERSION}", {"certs": {"issuer": "cert-manager"}}),
        ("gateway.networking.k8s.io_backendtlspolicies", {"ingress": {"gateway_api": True}}),
    ],
)
def test_release_that_is_not_the_pinned_one_is_refused_first(place: Home, name: str, more: dict[str, Any]) -> None:
    place.manifests.mkdir(parents=True)
    (place.manifests / f"{name}.yaml").write_text("kind: Other\n")
    with pytest.raises(SandboxError, match="is not the file"):
        require(spec(**more), place, OwnImages("upstream", UPSTREAM))


@pytest.mark.fault(12)
@pytest.mark.parametrize("which", ["registry", "https", "tcp"])
def test_port_of_a_process_names_it_and_a_free_port(place: Home, engine: FakeEngine, taken: int, which: str) -> None:
    """A process listens on the port → its name and pid, and a free port, before anything is made."""
    wanted = tcp(taken) if which == "tcp" else spec(**{which: taken})
    error = refused(wanted, place, engine, f"port {taken} on {LOCAL} is taken")
    assert "python" in error.details and f"(pid {os.getpid()})" in error.details
    assert "nothing was changed" in error.details and f"kill {os.getpid()}" in error.fix
    offered = re.search(r"in sandbox.yaml: .*?(\d+)", error.fix)
    assert offered and host_network.is_free(LOCAL, int(offered[1]))
    section = {"registry": "registry: {port: %s}", "https": "edge: {ports: [%s]}", "tcp": "edge: {tcp: [{port: %s}]}"}
    assert section[which] % offered[1] in error.fix
    assert which == "tcp" or f"--{which}-port {offered[1]} " in error.fix


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("label", "value", "running", "holder", "fix"),
    [
        (LABEL, "other", True, "container holder of sandbox 'other'", "`sandbox down other`"),
        (LABEL, "other", False, "container holder of sandbox 'other'", "`sandbox down other`"),
        ("com.docker.compose.project", "shop", True, "container holder of project 'shop'", "`docker stop holder`"),
    ],
)
@pytest.mark.parametrize("which", ["registry", "https"])
def test_container_holding_a_port_is_named_with_what_frees_it(
    place: Home, engine: FakeEngine, which: str, label: str, value: str, running: bool, holder: str, fix: str
) -> None:
    """A container of a sandbox or a Compose project has the port → its name, its project and what stops it."""
    port = free_port()
    run(engine, place, "holder", port)
    box = engine.boxes["holder"]
    box.running, box.spec.labels[label] = running, value  # type: ignore[index]
    error = refused(spec(**{which: port}), place, engine)
    assert f"held by {holder}" in error.details and fix in error.fix


@pytest.mark.parametrize(("ingress", "free"), [({}, False), ({"controller": "none"}, True)])
def test_ingress_of_an_existing_cluster_takes_no_https_port(
    place: Home, engine: FakeEngine, taken: int, ingress: dict[str, str], *, free: bool
) -> None:
    wanted = spec(https=taken, cluster={"provider": "existing", "context": "team"}, ingress=ingress)
    with nullcontext() if free else pytest.raises(SandboxError, match="is taken"), reserve(wanted, place, engine):
        assert free


@pytest.mark.parametrize(
    ("which", "name", "other"), [("registry", "sandbox-demo-registry", "https"), ("https", EDGE, "registry")]
)
def test_own_port_stays_unless_another_took_it_meanwhile(
    place: Home, engine: FakeEngine, taken: int, which: str, name: str, other: str
) -> None:
    run(engine, place, name, taken)
    check(spec(**{which: taken}), place, engine)
    error = refused(spec(**{other: taken}), place, engine)
    assert f"held by container {name}" in error.details
    engine.boxes[name].running, engine.shares = False, True
    error = refused(spec(**{which: taken}), place, engine)
    assert f"(pid {os.getpid()})" in error.details


def test_registrys_port_at_the_edge_is_that_of_its_sandbox(place: Home, engine: FakeEngine, taken: int) -> None:
    engine.shares = True
    labels = dict(place.labels)
    engine.run(ContainerSpec(name=EDGE, image=IMAGE, command=("x",), labels=labels, network="host"))
    routes.REGISTRIES.save(place.edge, RegistryRoute("demo", taken, "10.0.0.2:5000"))
    EdgeContainer.of(engine, place).note_loaded()
    check(spec(registry=taken), place, engine)
    refused(spec(https=taken), place, engine, f"port {taken} on")
    routes.REGISTRIES.remove(place.edge, "demo")
    routes.REGISTRIES.save(place.edge, RegistryRoute("other", taken, "10.0.0.2:5000"))
    error = refused(spec(registry=taken), place, engine)
    assert "sandbox 'other'" in error.details


def test_sandbox_may_open_only_its_own_ports_to_the_network(place: Home, engine: FakeEngine, taken: int) -> None:
    run(engine, place, EDGE, taken)
    routes.save(place.edge, Route("demo", "demo.localhost", "node", ((LOCAL, taken),), 1.0))
    check(spec(https=taken, listen=EVERYWHERE), place, engine)
    routes.save(place.edge, Route("other", "other.localhost", "node", ((LOCAL, taken),), 1.0))
    error = refused(
        spec(https=taken, listen=EVERYWHERE), place, engine, f"port {taken} on {re.escape(EVERYWHERE)} is taken"
    )
    assert f"held by container {EDGE}" in error.details


def https(port: int | str, *more: int | str, registry: int | str | None = None) -> Spec:
    proxy = {"ports": (port, *more)}
    return Spec.model_validate({"name": "demo", "registry": {"port": registry or free_port()}, "edge": proxy})


@pytest.mark.parametrize(
    ("ports", "taken", "chosen"),
    [
        (("auto", "auto"), {443}, (8444, 8443)),
        ((8444, "auto"), {8443}, (8444, 8445)),
        (("auto", 443), set(), (8444, 443)),
    ],
)
def test_each_auto_is_chosen_for_itself(
    place: Home, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, ports: Any, taken: set[int], chosen: Any
) -> None:
    monkeypatch.setattr(host_network, "is_free", lambda address, port: port not in taken)
    resolved = resolve(https(*ports, registry="auto"), place, engine)
    assert (resolved.edge.ports, resolved.registry.port) == (chosen, 5001)
    assert resolve(resolved, place, engine) is resolved


@pytest.mark.fault(12)
def test_auto_keeps_the_ports_that_the_sandbox_has(place: Home, engine: FakeEngine) -> None:
    """`auto` on a sandbox that has its ports → it keeps them."""
    mine, registry = free_port(), free_port()
    engine.create_volume("sandbox-demo-registry", {container_step.PORT: str(registry)})
    assert resolve(https("auto", registry="auto"), place, engine).registry.port == registry
    routes.save(place.edge, Route("demo", "demo.localhost", "node", ((LOCAL, mine),), 1.0))
    run(engine, place, EDGE, mine)
    run(engine, place, "sandbox-demo-registry", registry)
    engine.boxes["sandbox-demo-registry"].running = False
    resolved = resolve(https("auto", registry="auto"), place, engine)
    assert (resolved.edge.ports, resolved.registry.port) == ((mine,), registry)


def test_only_edge_ports_are_shared_by_sandboxes_starting_together(place: Home, engine: FakeEngine) -> None:
    wanted = spec()
    other = wanted.model_copy(update={"name": "other"})
    with reserve(wanted, place, engine):
        with pytest.raises(SandboxError, match="is taken") as caught:
            check(other, place, engine)
        registry = wanted.registry.model_copy(update={"port": free_port()})
        check(other.model_copy(update={"registry": registry}), place, engine)
    assert caught.value.id == "port-in-use"
    assert "sandbox 'demo', which is starting" in caught.value.details
    check(other, place, engine)
    port = free_port()
    with reserve(tcp(port), place, engine), pytest.raises(SandboxError, match=f"port {port} on"):
        check(tcp(port, name="other"), place, engine)


@pytest.mark.fault(14, 61)
def test_privileged_port_of_rootless_engine_names_the_setting(
    place: Home, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Port 443 with a rootless engine → a port that can be had, and the sysctl that allows it."""
    monkeypatch.setattr(host_network, "is_free", lambda address, port: True)
    monkeypatch.setattr(host_network, "first_unprivileged", lambda: 1024)
    check(https(443), place, engine)
    engine.rootless = True
    error = refused(https(443), place, engine, "port 443 may only be used by root")
    for words in ("--https-port 8443", "ip_unprivileged_port_start=443"):
        assert words in error.fix
    assert resolve(https("auto"), place, engine).edge.ports == (8444,)
    monkeypatch.setattr(host_network, "first_unprivileged", lambda: 443)
    check(https(443), place, engine)


@pytest.mark.fault(10)
def test_sandboxes_starting_together_choose_different_ports(place: Home, engine: FakeEngine) -> None:
    """A command chooses ports while another starts → each gets a port of its own, and both have the edge's."""
    edge = {"ports": "auto", "tcp": ({"port": "auto", "to": "infra/dns:5399"},)}
    left_open = [Spec.model_validate({"name": name, "registry": {"port": "auto"}, "edge": edge}) for name in "ab"]
    with reserve(left_open[0], place, engine) as first, reserve(left_open[1], place, engine) as second:
        assert first.registry.port != second.registry.port
        assert first.edge.tcp[0].port != second.edge.tcp[0].port
        assert first.edge.ports == second.edge.ports


@pytest.mark.fault(11)
def test_a_claim_ends_with_the_process_that_made_it(tmp_path: Path) -> None:
    """A claim on a port left by a process that is gone → it blocks no process."""
    port = free_port()
    child = os.fork()
    if child == 0:
        with ports.hold(tmp_path, "a", [port]):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert list(tmp_path.glob(f"{port}.*"))
    assert ports.claimant(tmp_path, port, "b") is None


@pytest.mark.fault(82)
@pytest.mark.parametrize("more", [{"domain": "x.test"}, {"edge": {"hosts": ("shop.x.test",)}}])
def test_domain_or_host_of_another_sandbox_is_refused_first(
    place: Home, engine: FakeEngine, more: dict[str, Any]
) -> None:
    """`up` with another sandbox's domain, or a host in it → refused with that sandbox's name; nothing is made."""
    routes.save(place.edge, Route("other", "x.test", "node", (), 1.0))
    kept = {key: value for key, value in spec().model_dump().items() if key not in ("edge", "domain")}
    wanted = Spec.model_validate({**kept, **more})
    error = refused(wanted, place, engine, "belongs to the sandbox 'other'")
    assert error.id == "domain-taken"
    assert engine.boxes == {}


def tcp(port: int | str, name: str = "demo", to: str = "shop/db:5432", listen: str = LOCAL) -> Spec:
    found = spec(listen=listen)
    opened = TcpPort.model_validate({"port": port, "to": to})
    return found.model_copy(update={"name": name, "edge": found.edge.model_copy(update={"tcp": (opened,)})})


@pytest.mark.fault(12)
def test_tcp_port_of_another_sandbox_is_refused_first(place: Home, engine: FakeEngine) -> None:
    """Two sandboxes want one port for Services → the second is refused before anything is made."""
    port = free_port()
    theirs = Route("other", "other.test", "node", ((LOCAL, 443),), 1.0, ports=(Port(port, "shop/db:5432"),))
    routes.save(place.edge, theirs)
    error = refused(tcp(port), place, engine)
    assert "held by sandbox 'other'" in error.details
    assert "in sandbox.yaml: edge: {tcp: [{port: " in error.fix and "sandbox up --" not in error.fix
    refused(https(port), place, engine)
    check(tcp(port, listen="127.0.0.2"), place, engine)


def test_auto_tcp_port_is_the_services_or_the_one_there_is(
    place: Home, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_network, "is_free", lambda address, port: port != 5432)
    assert resolve(tcp("auto"), place, engine).edge.tcp[0].port == 5433
    assert resolve(tcp("auto", to="shop/cache:6379"), place, engine).edge.tcp[0].port == 6379
    mine = Route("demo", "demo.test", "node", ((LOCAL, 443),), 1.0, ports=(Port(5440, "shop/db:5432"),))
    routes.save(place.edge, mine)
    assert resolve(tcp("auto"), place, engine).edge.tcp[0].port == 5440


@pytest.mark.fault(60)
@pytest.mark.parametrize("url", ["tcp://build.example.com:2376", "ssh://me@build.example.com"])
def test_engine_on_another_machine_is_refused_at_once(url: str, place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_HOST with tcp:// or ssh:// to another machine → refused before anything is made, with its name."""
    monkeypatch.setenv("DOCKER_HOST", url)
    with pytest.raises(MissingTool, match=re.escape("on another machine, build.example.com")) as caught:
        require(Spec(), place, BUNDLE)
    assert (caught.value.id, "unset DOCKER_HOST" in caught.value.fix) == ("engine-remote", True)


@pytest.mark.fault(42)
def test_a_chart_that_does_not_render_is_reported_first(
    place: Home, engine: FakeEngine, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template with an unclosed action → helm's words with file and line, before anything is made."""
    fake_helm.install(folder, monkeypatch)
    files = {"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n", "templates/web.yaml": "a: b\nc: {{ broken\n"}
    chart = write(tmp_path / "web", files)
    error = refused(spec(apply=({"chart": chart},)), place, engine, "does not render")
    assert "web/templates/web.yaml:2" in error.details
    assert (engine.boxes, place.sandbox("demo").folder.exists()) == ({}, False)
    known = place.sandbox("demo").charts  # of a sandbox that has some, the step renders those that changed
    known.parent.mkdir(parents=True)
    known.touch()
    check(spec(apply=({"chart": chart},)), place, engine)


@pytest.mark.parametrize("is_root", [True, False])
def test_fifth_node_is_refused_where_inotify_instances_suffice_for_four(
    place: Home, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_root: bool
) -> None:
    limit = tmp_path / "max_user_instances"
    limit.write_text("128\n")
    (tmp_path / "max_user_watches").write_text("1000000\n")
    monkeypatch.setattr(inotify, "SYSCTL", tmp_path)
    monkeypatch.setattr(inotify, "used", lambda: 0)  # only root sees them
    monkeypatch.setattr(os, "geteuid", lambda: 0 if is_root else 1000)
    engine.shares, wanted, names = True, spec(), place.sandbox("demo")
    for number in range(4):
        requirements.require_inotify(wanted, engine, names, Agreement())
        labels = {"io.x-k8s.kind.cluster": f"c{number}", "io.x-k8s.kind.role": "control-plane"}
        engine.run(ContainerSpec(name=f"c{number}", image=IMAGE, command=("x",), labels=labels, network=NETWORK))
    with pytest.raises(SandboxError, match="too low for another node") as refused:
        requirements.require_inotify(wanted, engine, names, Agreement())
    assert refused.value.id == "machine-inotify" and "sudo sysctl fs.inotify" in refused.value.fix
    assert ("--yes" in refused.value.fix) == is_root
    if is_root:
        requirements.require_inotify(wanted, engine, names, Asking(yes=True))
        assert int(limit.read_text()) > 128
        requirements.require_inotify(wanted, engine, names, Agreement())
