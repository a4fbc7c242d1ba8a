"""A file, options and what is recorded become one spec, validated once; what does not fit is said of who gave it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.config import resolve
from sandbox.config.schema import Cluster, ResolvedRegistry, ResolvedSpec, Spec
from sandbox.config.schema.cluster_schema import Registry
from sandbox.config.schema.edge_schema import Certs
from sandbox.errors import BadFile, UsageError


def overrides(*https: resolve.PortChoice, registry: resolve.PortChoice | None = None) -> list[resolve.Override]:
    return list(resolve.ports(https, registry))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "demo" / "sandbox.yaml"


def written(file: Path, text: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "given", "brief"),
    [
        ("registry: {port: 9000}", overrides(9000), "FILE:1: registry.port: 9000 is one of the edge's ports; choose"),
        ("edge: {ports: [9000]}", overrides(registry=9000), "--registry-port: 9000 is one of the edge's ports"),
        ("edge:", overrides(9000, registry=9000), "--registry-port: 9000 is one of the edge's ports"),
        ("", overrides(443, 443), "--https-port: 443 is given twice"),
        ("registry: {port: 443}", [], "FILE:1: registry.port: 443 is one of the edge's ports"),
    ],
)
def test_port_clash_is_reported_at_the_registry(
    file: Path, text: str, given: list[resolve.Override], brief: str
) -> None:
    written(file, text)
    with pytest.raises(UsageError) as caught:
        resolve.load(file, given)
    assert caught.value.brief.startswith(brief.replace("FILE", str(file)))
    assert isinstance(caught.value, BadFile) == brief.startswith("FILE")


@pytest.mark.parametrize("folder", ["loop", "x" * 300])
def test_spec_in_a_folder_that_cannot_be_read_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(BadFile, match="cannot be read"):
        resolve.load(tmp_path / folder / "sandbox.yaml")


def test_fault_of_the_file_is_said_with_that_of_an_option(file: Path) -> None:
    written(file, "domain: x\n")
    with pytest.raises(BadFile) as caught:
        resolve.load(file, overrides(443, 443))
    assert "--https-port: 443 is given twice" in caught.value.brief
    assert f"{file}:1: domain: must have two labels" in caught.value.details


def test_key_that_is_no_mapping_stays_the_fault_of_the_file(file: Path) -> None:
    written(file, "edge: 5\n")
    with pytest.raises(BadFile, match=r":1: edge: must be a mapping of keys, not 5"):
        resolve.load(file, overrides(9443))


def test_options_go_before_the_file_and_are_no_part_of_it(file: Path) -> None:
    written(file, "registry: {port: 5005, mirrors: [quay.io]}\nedge: {listen: 127.0.0.2, ports: [443]}\n")
    spec = resolve.load(file, overrides(9443, "auto", registry="auto"))
    assert (spec.edge.ports, spec.edge.listen) == ((9443, "auto"), "127.0.0.2")
    assert (spec.registry.port, spec.registry.mirrors) == ("auto", ("quay.io",))
    assert resolve.load(file, overrides("auto")).edge.ports == ("auto", "auto")
    assert resolve.load(file).edge.ports == (443,)


def test_each_value_knows_who_gave_it(file: Path) -> None:
    written(file, "cluster: {nodes: 2}\n\nregistry:\n  port: 5005\n")
    spec = resolve.load(file, overrides(9443))
    assert spec.origin("name") == "its folder"
    assert spec.origin("registry", "port") == f"{file}:4"
    assert spec.origin("edge", "ports") == "--https-port"
    assert spec.origin("edge", "listen") == spec.origin("registry", "mirrors") == "default"
    assert ResolvedSpec.of(spec, registry=5005, https=(9443,)).origin("registry", "port") == f"{file}:4"


MOVED = """\
name: shop
domain: {domain}
certs: {{secrets: [{{secret: tls, hosts: [pay.{domain}]}}]}}
registry: {{tls: ['hub.{domain}:8443']}}
edge: {{hosts: [a.{domain}, other.test], tls: [{{host: db.{domain}, to: 'shop/db:5432'}}]}}
"""


@pytest.mark.parametrize(
    ("base", "domain"),
    [("shop.sandbox.localhost", "fix.sandbox.localhost"), ("dev.example.com", "fix.dev.example.com")],
)
def test_domain_and_hosts_of_the_file_follow_another_name(file: Path, base: str, domain: str) -> None:
    written(file, MOVED.format(domain=base))
    plain, spec = resolve.load(file), resolve.load(file, [resolve.Override(("name",), "fix", "NAME")])
    assert (plain.domain, plain.base_domain, plain.certs.secrets[0].hosts) == (base, base, (f"pay.{base}",))
    assert (spec.name, spec.domain, spec.base_domain) == ("fix", domain, base)
    assert (spec.certs.secrets[0].hosts, spec.registry.tls) == ((f"pay.{domain}",), (f"hub.{domain}:8443",))
    assert [one.host for one in spec.edge.hosts] == [f"a.{domain}", "other.test"]
    assert spec.edge.tls[0].host == f"db.{domain}"
    saved = ResolvedSpec.of(spec, registry=5001, https=(443, 8443))
    assert ResolvedSpec.read(saved.model_dump_json().encode()) == saved


def test_base_domain_is_that_of_the_manifests(file: Path) -> None:
    spec = resolve.load(written(file, "base_domain: shop.example.com\nedge: {hosts: [a.shop.example.com]}\n"))
    assert (spec.domain, spec.edge.hosts[0].host) == ("demo.sandbox.localhost", "a.demo.sandbox.localhost")


def test_known_spec_takes_options_and_keeps_the_rest() -> None:
    made = ResolvedSpec(name="demo", registry=ResolvedRegistry(port=5005), certs=Certs(issuer="cert-manager"))
    known = ResolvedSpec.read(made.model_dump_json().encode())
    assert resolve.changed(known, [], called="it") is known
    spec = resolve.changed(known, overrides("auto"), called="it")
    assert (spec.edge.ports, spec.registry.port, spec.certs.issuer) == (("auto", "auto"), 5005, "cert-manager")
    assert spec.origin("registry", "port") == "the last up"
    with pytest.raises(UsageError, match=r"^it: registry.port: 5005 is one of the edge's ports"):
        resolve.changed(known, overrides(5005), called="it")


def test_cluster_of_last_up_is_used_unless_the_spec_has_one() -> None:
    cluster = Cluster(provider="existing", context="kind-mine")
    known = ResolvedSpec(name="demo", cluster=cluster, registry=ResolvedRegistry(external="localhost:5007"))
    spec = resolve.with_existing_cluster(Spec(name="demo"), known)
    assert (spec.cluster.context, spec.registry.external) == ("kind-mine", "localhost:5007")
    assert {spec.origin("cluster", "context"), spec.origin("registry", "external")} == {"the last up"}
    own = Spec(name="demo", registry=Registry(external="reg.office:5000"))
    assert resolve.with_existing_cluster(own, known).registry.external == "reg.office:5000"
    kind = Spec.model_validate({"name": "demo", "cluster": {"provider": "kind"}})
    assert resolve.with_existing_cluster(kind, known) is kind
    assert resolve.with_existing_cluster(resolve.with_own_cluster(Spec(name="demo")), known).cluster == Cluster()


def test_spec_is_the_same_from_every_folder(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else `up -f ../sandbox.yaml` would have something to change."""
    written(file, "name: demo\npush: images.yaml\napply: [k8s/]\n")
    below = file.parent / "k8s"
    below.mkdir()
    monkeypatch.chdir(below)
    assert resolve.load(Path("../sandbox.yaml")) == resolve.load(file)


def test_spec_from_a_pipe_of_the_shell_may_name_files() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"name: demo\npush: images.yaml\n")
    os.close(writer)
    push = resolve.load(Path(f"/dev/fd/{reader}")).push
    assert push and push.name == "images.yaml"
    os.close(reader)
