"""A sandbox.yaml means what it says, has a default for everything, and is refused at the line that makes no sense."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sandbox.config import loader, resolve
from sandbox.config import schema as spec
from sandbox.config.schema import Chart, RemoteChart, ResolvedRegistry, ResolvedSpec, Spec
from sandbox.errors import UsageError


def parse(text: str) -> Spec:
    return loader.validated(loader.read(text, origin="sandbox.yaml"), Spec, origin="sandbox.yaml", text=text)


def refusal(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(text)
    return caught.value


def test_a_port_may_be_left_open() -> None:
    assert parse("registry: {port: auto}").registry.port == "auto"
    assert parse("edge: {ports: [auto, 8443]}").edge.ports == ("auto", 8443)
    assert parse("edge: {ports: auto}") == parse("edge: {ports: [auto, auto]}")


@pytest.mark.parametrize(
    ("external", "address", "image_prefix", "push_url"),
    [
        (None, "localhost:5005", "localhost:5005", "http://127.0.0.1:5005"),
        ("reg.office:5000", "reg.office:5000", "reg.office:5000", "reg.office:5000"),
        ("http://10.0.0.7:5000", "http://10.0.0.7:5000", "10.0.0.7:5000", "http://10.0.0.7:5000"),
    ],
)
def test_registry_addresses_follow_from_the_spec(
    external: str | None, address: str, image_prefix: str, push_url: str
) -> None:
    registry = ResolvedRegistry(port=5005, external=external, mirrors=("docker.io", "http://reg.office"))
    assert (registry.address, registry.image_prefix, registry.push_url) == (address, image_prefix, push_url)
    assert registry.local_names == ("localhost:5005", "127.0.0.1:5005")
    assert registry.upstreams == ("docker.io", "reg.office")


@pytest.mark.parametrize(
    "text",
    [
        "registry: {port: 5001, external: 'localhost:5000'}\nedge: {ports: [443, 5001]}",
        "ingress: {controller: none}\nnetwork: {hosts: {db.sandbox.sandbox.localhost: 10.0.0.1}}",
    ],
)
def test_port_or_host_of_a_part_that_is_off_is_free(text: str) -> None:
    parse(text)


def test_host_of_the_edge_may_be_its_name_alone() -> None:
    read = parse("edge: {hosts: [shop.test, {host: app.sandbox.sandbox.localhost, to: 'localhost:3000'}]}").edge.hosts
    assert [each.to for each in read] == [None, "localhost:3000"] and read[0].host == "shop.test"


def test_paths_are_relative_to_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "sandbox.yaml").write_text(
        "{push: images.yaml, addons: [../a, b], registry: {storage: images}, cluster: {mounts: [{host: s, node: /s}]},"
        "apply: [k8s/, /srv/m.yaml, {chart: c, values: [v]}, {chart: 'oci://x/y', version: 1.0.0}], network: {ca: ~/c}}"
    )
    monkeypatch.chdir(tmp_path)
    spec = resolve.load(Path("demo/sandbox.yaml"))
    assert (spec.push, spec.registry.storage) == (folder / "images.yaml", folder / "images")
    assert (spec.cluster.mounts[0].host, spec.network.ca) == (folder / "s", Path.home() / "c")
    assert [addon.addon for addon in spec.addons] == [str(tmp_path / "a"), "b"]
    *files, chart, remote = spec.apply
    assert files == [folder / "k8s", Path("/srv/m.yaml")]
    assert chart == Chart(chart=folder / "c", values=(folder / "v",))
    assert isinstance(remote, RemoteChart) and remote.lock == folder / "charts.lock.yaml"


def test_a_name_alone_makes_a_spec() -> None:
    assert Spec.default("demo") == parse("name: demo")
    assert Spec.default("demo").domain == "demo.sandbox.localhost"
    with pytest.raises(UsageError, match="the name 'Demo' must be at most 40 lower-case letters") as caught:
        Spec.default("Demo")
    assert "sandbox list" in caught.value.fix


def test_nodes_are_counted_or_listed_by_role() -> None:
    for text, control_plane, workers in (("3", 1, 2), ("{workers: 2}", 1, 2), ("{control_plane: 3}", 3, 0)):
        nodes = parse(f"cluster: {{nodes: {text}}}").cluster.nodes
        assert (nodes.control_plane, nodes.workers, nodes.total) == (control_plane, workers, control_plane + workers)


def test_addresses_and_versions_have_one_form() -> None:
    assert parse("cluster: {kubernetes: 1.36.3}").cluster.kubernetes == "v1.36.3"
    assert parse("edge: {listen: '0:0::1'}").edge.listen == "::1"


ALL_KEYS = "allowed keys: apiVersion, name, domain, base_domain, rewrite_settings, cluster, images, registry, push, "
MINIKUBE = "cluster: {provider: minikube}"
EXISTING = "cluster: {provider: existing, context: t}"


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("text", "brief", "fix"),
    [
        ("\nregisty: {port: 1}", "2: unknown key 'registy'", "did you mean 'registry'?"),
        ("addons: [Metrics Server]", "1: addons[0]: must be the name of an addon, or a folder with one", ""),
        ("addons: [a, ./b/a]", "1: addons[1]: there is another addon 'a' before it", ""),
        ("snapshots: []", "1: unknown key 'snapshots'", ALL_KEYS),
        ("apiVersion: sandbox.dev/v2", "1: apiVersion: must be 'sandbox.dev/v1', not 'sandbox.dev/v2'", ""),
        ("edge: {hosts: [{host: a, terminate: true}]}", "1: edge.hosts[0].host: 'a' cannot be terminated at", ""),
        ("edge: {hosts: [{host: a.test, to: '3000'}]}", "1: edge.hosts[0].to: must be HOST:PORT, such as", ""),
        ("edge: {hosts: [a.test, a.test]}", "1: edge.hosts[1].host: 'a.test' is given twice", ""),
        ("edge: {run: process, hosts: [a.test]}", "1: edge.hosts: needs the nodes' addresses: leave out 'run", ""),
        ("cluster:\n  provider: minicube", "2: cluster.provider: must be 'kind', 'mini", ""),
        ("cluster:\n  nodes: 0", "2: cluster.nodes: must be from 1 to 250, not 0", ""),
        ("cluster: {nodes: '2'}", "1: cluster.nodes: must be a whole number, or how many of each: {", ""),
        ("cluster: {feature_gates: {foo: true}}", "1: cluster.feature_gates.foo: must be the name of a feature", ""),
        ("cluster: {mounts: [{host: a, node: data}]}", "1: cluster.mounts[0].node: must be an absolute path", ""),
        ("cluster: {kubernetes: 1.36}", "1: cluster.kubernetes: must be a Kubernetes version such as v1.36", ""),
        ("pause_after: 30", "1: pause_after: must be minutes or hours, such as 30m or 2h", ""),
        ("ingress:\n  controller: none\n  classes: [alb]", "3: ingress.classes: is for the sandbox's own", ""),
        ("ingress: {controller: nginx}", "1: ingress.controller: must be 'traefik' or 'none', not 'nginx'", ""),
        ("name: Demo", "1: name: must be at most 40 lower-case letters, digits and hyphens,", ""),
        ('name: "demo\\n"', "1: name: must be at most 40", ""),
        ("name: a\ndomain: localhost", "2: domain: must have two labels or more, such as 'demo.localhost': ", ""),
        ("domain: Demo.localhost", "1: domain: must be lower-case letters, digits and hyphens, in labels", ""),
        ("edge: {hosts: [" + "a." * 126 + "aa]}", "1: edge.hosts[0]: must be at most 253 characters", ""),
        ("domain: 10.0.0.1", "1: domain: must not end in a number: browsers take that for an IP address", ""),
        ("registry: {port: 0}", "1: registry.port: must be at least 1, or be 'auto', not 0", ""),
        ("registry: {port: atuo}", "1: registry.port: must be a whole number, or be 'auto', not 'atuo'", ""),
        ("edge: {ports: atuo}", "1: edge.ports: must be a list, not 'atuo'", ""),
        ("edge: {listen: localhost}", "1: edge.listen: must be an IP address, without a port", ""),
        ("edge: {ports: []}", "1: edge.ports: must have at least one entry", ""),
        ("edge:\n  ports:\n  - 443\n  - 443", "4: edge.ports[1]: 443 is given twice", ""),
        ("network: {nameservers: []}", "1: network.nameservers: must be 'auto', or have at least one entry", ""),
        ("network: {nameservers: ['2620:fe::9']}", "1: network.nameservers[0]: must be an IPv4 address, since", ""),
        ("network: {nameservers: [127.0.0.53]}", "1: network.nameservers[0]: must be an address that pods can", ""),
        ("network:\n  hosts: {a.sandbox.sandbox.localhost: 10.0.0.1}", "2: network.hosts.a.sandbox.sandbox.local", ""),
        ("network: {proxy: {https: 'http://u:p@[::1'}}", "1: network.proxy.https: must be a URL such as", ""),
        ("network: {proxy: {http: 'http://localhost:1'}}", "1: network.proxy.http: must be a host that containers", ""),
        ("push: ''", "1: push: must be a path, not empty", ""),
        ("apply: k8s/", "1: apply: must be a list, not 'k8s/'", ""),
        ("apply: [{chart: web, version: 1.0.0}]", "1: apply[0]: needs either `repo:` or a chart that begins", ""),
        ("apply: [{chart: 'oci://x/web'}]", "1: missing key 'version' in apply[0]", "add 'version:'"),
        ("apply: [{chart: 'oci://x/web', version: '>=1'}]", "1: apply[0].version: must be one version", ""),
        ("apply: [{chart: web, repo: 'http://x.test', version: 1.0.0}]", "1: apply[0].repo: must begin with", ""),
        ("apply: [{chart: web, repo: 'https://me:x@x.test', version: 1.0.0}]", "1: apply[0].repo: must have no", ""),
        ("apply: ['https://x/y']", "1: apply[0]: must be a file or folder on this machine, not a URL", ""),
        ("apply: [{chart: api, release: API}]", "1: apply[0].release: must be at most 63 lower-case letters", ""),
        ("apply: [{chart: api, value: []}]", "1: unknown key 'value' in apply[0]", "did you mean 'values'?"),
        ("apply: [{chart: a}, {chart: a, namespace: b}, {chart: c/a}]", "1: apply[2]: the release 'a' is given", ""),
        ("certs:\n  secrets:\n  - secret: a", "3: missing key 'hosts' in certs.secrets[0]", "add 'hosts:'"),
        ("certs: {secrets: [{secret: a, hosts: ['*.a']}]}", "1: certs.secrets[0].hosts[0]: must be one exact", ""),
        ("domain: a.b\ncerts: {secrets: [{secret: a, hosts: [xa.b]}]}", "2: certs.secrets[0].hosts[0]: 'xa.b' is", ""),
        ("certs: {secrets: [&a {secret: a, hosts: [a.sandbox.sandbox.localhost]}, *a]}", "1: certs.secrets[1].sec", ""),
        ("registry:\n  tls: [hub.example.com]", "2: registry.tls[0]: 'hub.example.com' is not inside the domain", ""),
        ("registry: {tls: ['hub.a:0']}", "1: registry.tls[0]: must have a port from 1 to 65535, not '0'", ""),
        ("credentials: [{kind: docker, registries: [quay.io/team]}]", "1: credentials[0].registries[0]: must be", ""),
        ("registry: {external: 'ftp://reg.office'}", "1: registry.external: must be HOST or HOST:PORT as in", ""),
        ("images: {mirror: 'https://mirror.example'}", "1: images.mirror: must be HOST, HOST:PORT or one with", ""),
        ("registry: {external: 'localhost:1', storage: a}", "1: registry.storage: is for the sandbox's own", ""),
        ("edge: {ports: [443]}\nregistry:\n  port: 443", "3: registry.port: 443 is one of the edge's ports", ""),
        ("edge: {tcp: [{port: 5432, to: db}]}", "1: edge.tcp[0].to: must be NAMESPACE/SERVICE or NAMESPACE/S", ""),
        ("edge: {tcp: [{port: 5432, to: 'a/b:70000'}]}", "1: edge.tcp[0].to: must have a port from 1 to", ""),
        ("edge: {tcp: [{port: auto, to: a/b}]}", "1: edge.tcp[0].to: must be NAMESPACE/SERVICE:PORT, because", ""),
        ("edge: {tcp: [{port: 443, to: a/b}]}", "1: edge.tcp[0].port: 443 is one of the edge's HTTPS ports", ""),
        ("edge: {tcp: [{port: 7, to: a/b}, {port: 7, to: a/b}]}", "1: edge.tcp[1].port: 7 is given twice; choose", ""),
        ("registry: {port: 7}\nedge: {tcp: [{port: 7, to: a/b}]}", "2: edge.tcp[0].port: 7 is the registry's", ""),
        ("edge: {tls: [{host: '*.x.test', to: 'a/b:1'}]}", "1: edge.tls[0].host: must be one exact host name", ""),
        ("edge: {tls: [{host: db.test, to: a/b}]}", "1: edge.tls[0].to: must be NAMESPACE/SERVICE:PORT, with", ""),
        ("domain: x.test\nedge: {tls: [{host: x.test, to: 'a/b:1'}]}", "2: edge.tls[0].host: 'x.test' is the", ""),
        ("edge: {tls: [{host: a.b, to: 'a/b:1'}, {host: a.b, to: 'a/b:1'}]}", "1: edge.tls[1].host: 'a.b' is give", ""),
        ("edge: {hosts: [a.b], tls: [{host: a.b, to: 'a/b:1'}]}", "1: edge.tls[0].host: 'a.b' is one of `hosts`", ""),
        ("edge: {run: process, tcp: [{port: 1, to: a/b, proxy_protocol: true}]}", "1: edge.tcp[0].proxy_protocol", ""),
        (f"{EXISTING}\nedge: {{tcp: [{{port: 1, to: a/b, proxy_protocol: true}}]}}", "2: edge.tcp[0].proxy_prot", ""),
        (
            f"{EXISTING}\nedge: {{tls: [{{host: a.b, to: 'a/b:1'}}]}}",
            "2: edge.tls: is not supported with 'provider: ",
            "",
        ),
        ("cluster: {provider: existing}", "1: cluster.context: an existing cluster needs its context", ""),
        ("cluster: {context: team}", "1: cluster.context: is not supported with 'provider: kind': leave it out", ""),
        ("cluster: {provider: minikube, nodes: 2}", "1: cluster.nodes: is not supported with 'provider: minikube'", ""),
        (f"{MINIKUBE}\nnetwork: {{ca: a}}", "2: network.ca: is not supported with 'provider: minikube': copy it", ""),
        (f"{EXISTING}\nedge: {{run: container}}", "2: edge.run: no container can reach an existing cluster", ""),
        (f"{EXISTING}\naddons: [metrics-server]", "2: addons: is not supported with 'provider: ", ""),
        (f"{EXISTING}\nregistry: {{mirrors: [docker.io]}}", "2: registry.mirrors: is not supported", ""),
    ],
)
def test_refusals_name_the_line_and_the_key(text: str, brief: str, fix: str) -> None:
    """Wrong keys and values in sandbox.yaml → file, line and key, with a suggestion."""
    error = refusal(f"{text}\n")
    assert error.brief.startswith(f"sandbox.yaml:{brief}")
    assert error.fix.startswith(fix) and bool(error.fix) == bool(fix)


def test_bad_name_is_one_error_although_domain_follows_from_it() -> None:
    assert refusal("name: A\n").details == "  1 | name: A"


def described(schema: dict[str, Any], definitions: dict[str, Any]) -> bool:
    target = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return bool(schema.get("description") or target.get("description"))


def test_the_schema_describes_every_key() -> None:
    schema = spec.schema()
    json.dumps(schema)
    definitions = schema["$defs"]
    for part in (schema, *definitions.values()):
        assert part["additionalProperties"] is False
        for key, value in part["properties"].items():
            assert described(value, definitions), key
    assert "required" not in schema
    assert definitions["Network"]["properties"]["nameservers"]["anyOf"][1]["maxItems"] == 3
    assert re.match(schema["properties"]["name"]["pattern"], "demo")
    assert not re.match(schema["properties"]["domain"]["pattern"], "localhost")


def test_certificates_cover_domain_and_hosts_ending_at_edge() -> None:
    hosts = "[{host: shop.test, terminate: true}, {host: x.demo.test, to: 'a:1'}, {host: dev.test, to: 'a:1'}, x.test]"
    spec = parse(f"{{domain: demo.test, edge: {{hosts: {hosts}}}}}")
    assert spec.vouched == ("demo.test", "shop.test", "dev.test")


def test_a_cluster_that_exists_has_a_context_and_one_namespace() -> None:
    tenant = parse(f"name: demo\n{EXISTING}\nedge: {{tcp: [{{port: 5432, to: shop/db}}]}}\n")
    assert (tenant.namespace, tenant.runs_process, tenant.edge.tcp[0].port) == ("sandbox-demo", True, 5432)
    assert parse("cluster: {provider: existing, context: team, namespace: mine}\n").namespace == "mine"
    assert (Spec().namespace, Spec().runs_process) == (None, False)


@pytest.mark.security(17)
@pytest.mark.parametrize(
    "key",
    ["a=/proc/self/environ,b", "a=http://127.0.0.1/x,b", "a,b", "{a", "a\\", "", ".a", "a[x]", "a\nb", "a=b"],
)
@pytest.mark.parametrize("where", ["apply: [{chart: x, set: {%s: y}}]", "addons: [{addon: grafana, values: {%s: y}}]"])
def test_path_of_a_value_that_helm_would_split_is_refused(where: str, key: str) -> None:
    """`set: {"leak=/proc/self/environ,b": x}`, which would have helm read a file → refused, with what is meant."""
    assert "must be the path of a value" in str(refusal(where % json.dumps(key) + "\n"))


@pytest.mark.parametrize("key", ["image.tag", "a-b_c", "hosts[0].name", r"annotations.example\.com/x", "_a", "0"])
def test_chart_value_path_is_accepted_as_helm_writes_it(key: str) -> None:
    Spec.model_validate({"apply": [{"chart": "x", "set": {key: "y"}}]})


def test_tcp_port_leads_to_the_same_port_unless_it_names_one() -> None:
    ports = parse("edge: {tcp: [{port: 5432, to: shop/db}, {port: auto, to: 'shop/cache:redis'}]}\n").edge.tcp
    assert [(one.target, one.usual) for one in ports] == [("shop/db:5432", 5432), ("shop/cache:redis", 15432)]
    assert [one.port for one in ResolvedSpec.of(parse("name: x\n"), registry=1, https=(2,)).edge.tcp] == []
