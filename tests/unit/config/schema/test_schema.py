"""A sandbox.yaml means what it says, has a default for everything, and is refused at the line that makes no sense."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from sandbox.config import loader, resolve
from sandbox.config import schema as spec
from sandbox.config.schema import ResolvedRegistry, ResolvedSpec, Spec
from sandbox.errors import UsageError

ROOT = Path(__file__).parents[4]


def parse(text: str) -> Spec:
    return loader.parse(text, Spec, origin="sandbox.yaml")


def refusal(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(text)
    return caught.value


def test_every_key_is_optional() -> None:
    assert parse("") == Spec()


def test_a_port_may_be_left_open() -> None:
    assert parse("registry: {port: auto}").registry.port == "auto"
    assert parse("edge: {ports: [auto, 8443]}").edge.ports == ("auto", 8443)
    assert parse("edge: {ports: auto}") == parse("edge: {ports: [auto, auto]}")


def test_resolved_spec_differs_in_its_ports_only() -> None:
    left_open = parse("{name: a, registry: {port: auto}, edge: {ports: auto}, ingress: {controller: none}}")
    resolved = ResolvedSpec.of(left_open, registry=5005, https=(443, 8444))
    expected = left_open.model_dump()
    expected["registry"]["port"], expected["edge"]["ports"] = 5005, (443, 8444)
    assert resolved.model_dump() == expected


def test_port_of_a_disabled_registry_clashes_with_nothing() -> None:
    parse("registry: {port: 5001, external: 'localhost:5000'}\nedge: {ports: [443, 5001]}")


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


def test_hosts_of_the_domain_are_the_users_without_an_ingress() -> None:
    hosts = "network: {hosts: {db.sandbox.sandbox.localhost: 10.0.0.1}}\n"
    assert "db.sandbox.sandbox.localhost" in parse(f"ingress: {{controller: none}}\n{hosts}").network.hosts


def test_host_of_the_edge_may_be_its_name_alone() -> None:
    read = parse("edge: {hosts: [shop.test, {host: app.sandbox.sandbox.localhost, to: 'localhost:3000'}]}").edge.hosts
    assert [(one.host, one.terminate, one.to) for one in read] == [
        ("shop.test", False, None),
        ("app.sandbox.sandbox.localhost", False, "localhost:3000"),
    ]


def test_paths_are_relative_to_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "sandbox.yaml").write_text("{push: images.yaml, apply: [k8s/, /srv/more.yaml]}")
    monkeypatch.chdir(tmp_path)
    loaded = resolve.load(Path("demo/sandbox.yaml"))
    assert loaded.push == folder / "images.yaml"
    assert loaded.apply == (folder / "k8s", Path("/srv/more.yaml"))
    (folder / "sandbox.yaml").write_text("registry: {storage: images}\n")
    assert resolve.load(Path("demo/sandbox.yaml")).registry.storage == folder / "images"
    (folder / "sandbox.yaml").write_text("cluster: {mounts: [{host: src, node: /src}]}\n")
    (mount,) = resolve.load(Path("demo/sandbox.yaml")).cluster.mounts
    assert (mount.host, mount.node, mount.read_only) == (folder / "src", "/src", False)


def test_a_name_alone_makes_a_spec() -> None:
    assert Spec.default("demo") == parse("name: demo")
    assert Spec.default("demo").domain == "demo.sandbox.localhost"
    with pytest.raises(UsageError, match="the name 'Demo' must be at most 40 lower-case letters") as caught:
        Spec.default("Demo")
    assert caught.value.fix.startswith("write demo")


def test_a_spec_cannot_be_changed_and_can_be_a_key() -> None:
    assert {Spec(): 1}[parse("")] == 1
    with pytest.raises(ValidationError, match="frozen"):
        Spec().name = "other"


def test_nodes_are_counted_or_listed_by_role() -> None:
    for text, control_plane, workers in (
        ("1", 1, 0),
        ("3", 1, 2),
        ("{workers: 2}", 1, 2),
        ("{control_plane: 3}", 3, 0),
    ):
        nodes = parse(f"cluster: {{nodes: {text}}}").cluster.nodes
        assert (nodes.control_plane, nodes.workers, nodes.total) == (control_plane, workers, control_plane + workers)


def test_addresses_and_versions_have_one_form() -> None:
    assert parse("cluster: {kubernetes: 1.36.3}").cluster.kubernetes == "v1.36.3"
    assert parse("edge: {listen: '0:0::1'}").edge.listen == "::1"


NAME = "name: must be at most 40 lower-case letters, digits and hyphens, with no hyphen first or last"
DOMAIN = "domain: must be lower-case letters, digits and hyphens, in labels separated by dots, at most 189"
ONE_LABEL = (
    "domain: must have two labels or more, such as 'demo.localhost': OpenSSL, curl, Node and Chrome refuse a wildcard "
    "certificate directly below a single label"
)
ADDRESS = "must be an IP address, without a port"
ALL_KEYS = "allowed keys: apiVersion, name, domain, base_domain, rewrite_settings, cluster, images, registry, push, "


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    "case",
    [
        ("\nregisty: {port: 1}\n", "2: unknown key 'registy'", "did you mean 'registry'?"),
        (
            "addons: [Metrics Server]\n",
            "1: addons[0]: must be the name of an addon, or a folder with one such as ./my-addon",
        ),
        ("addons: [a, ./b/a]\n", "1: addons[1]: there is another addon 'a' before it"),
        ("snapshots: []\n", "1: unknown key 'snapshots'", ALL_KEYS),
        (
            "apiVersion: sandbox.dev/v2\n",
            "1: apiVersion: must be 'sandbox.dev/v1', not 'sandbox.dev/v2'",
            "did you mean",
        ),
        ("services: {web: {image: x}}\n", "1: this is a Compose file", "rename it to compose.yaml"),
        (
            "edge: {hosts: [{host: shop, terminate: true}]}\n",
            "1: edge.hosts[0].host: 'shop' cannot be terminated at the edge: it has a single label",
        ),
        (
            "edge: {hosts: [{host: a.sandbox.sandbox.localhost, to: '3000'}]}\n",
            "1: edge.hosts[0].to: must be HOST:PORT, such as localhost:3000",
        ),
        ("edge: {hosts: [a.test, a.test]}\n", "1: edge.hosts[1].host: 'a.test' is given twice"),
        (
            "edge: {run: process, hosts: [a.test]}\n",
            "1: edge.hosts: needs the edge container: leave out 'run: process'",
        ),
        (
            "cluster:\n  provider: minicube\n",
            "2: cluster.provider: must be 'kind', 'minikube' or 'existing', not 'minicube'",
            "did you mean 'minikube'?",
        ),
        ("cluster:\n  nodes: 0\n", "2: cluster.nodes: must be from 1 to 250, not 0"),
        (
            "cluster: {nodes: true}\n",
            "1: cluster.nodes: must be a whole number, or how many of each: {control_plane: 1, workers: 2}",
        ),
        ("cluster: {nodes: {worker: 2}}\n", "1: unknown key 'worker' in cluster.nodes", "did you mean 'workers'?"),
        ("cluster: {nodes: {workers: -1}}\n", "1: cluster.nodes.workers: must be at least 0, not -1"),
        (
            "cluster: {feature_gates: {foo: true}}\n",
            "1: cluster.feature_gates.foo: must be the name of a feature gate, such as ContainerCheckpoint, not 'foo'",
        ),
        (
            "cluster:\n  mounts:\n  - {host: ./data, node: data}\n",
            "3: cluster.mounts[0].node: must be an absolute path in the nodes, such as /data",
        ),
        (
            "cluster: {mounts: [{host: ./data, node: /etc/kubernetes/pki}]}\n",
            "1: cluster.mounts[0].node: must be elsewhere: /etc/kubernetes/pki is the node's own",
        ),
        (
            "cluster: {kind: {kubeadmConfigPatch: []}}\n",
            "1: unknown key 'kubeadmConfigPatch' in cluster.kind",
            "did you mean 'kubeadmConfigPatches'?",
        ),
        (
            "cluster: {kind: {kubeadmConfigPatches: ['a: b']}}\n",
            "1: cluster.kind.kubeadmConfigPatches[0]: must be the text of a YAML mapping with a kind, such as "
            "KubeletConfiguration",
        ),
        (
            "cluster: {kind: {kubeadmConfigPatches: ['kind: Pod']}}\n",
            "1: cluster.kind.kubeadmConfigPatches[0]: is for the kind 'Pod'; kind patches ClusterConfiguration, "
            "InitConfiguration, JoinConfiguration, KubeletConfiguration, KubeProxyConfiguration",
        ),
        (
            "cluster: {kubernetes: 1.36}\n",
            "1: cluster.kubernetes: must be a Kubernetes version such as v1.36 or v1.36.3",
        ),
        ("pause_after: 30\n", "1: pause_after: must be minutes or hours, such as 30m or 2h"),
        (
            "ingress:\n  controller: none\n  classes: [alb]\n",
            "3: ingress.classes: is for the sandbox's own controller, and the spec has none",
        ),
        (
            "ingress: {controller: nginx}\n",
            "1: ingress.controller: ingress-nginx is retired; leave the key out: Traefik serves its class and its "
            "annotations",
        ),
        (
            f"name: {'a' * 33}\ncluster: {{nodes: {{control_plane: 3}}}}\n",
            "2: cluster.nodes.control_plane: the balancer before several control planes needs a host name of at most "
            "63 characters, and so a `name` of at most 32, not 33",
        ),
        ("name: Demo\n", f"1: {NAME}", "did you mean 'demo'?"),
        ("name: ''\n", f"1: {NAME}"),
        ("name: a.b\n", f"1: {NAME}", "did you mean 'a-b'?"),
        ("name: " + "a" * 41 + "\n", f"1: {NAME}", "did you mean 'aaaa"),
        ('name: "demo\\n"\n', f"1: {NAME}", "did you mean 'demo'?"),
        ("name: 5\n", "1: name: must be text, not 5", "put it in quotes: '5'"),
        ("name: a\ndomain: localhost\n", f"2: {ONE_LABEL}"),
        ("domain: Demo.localhost\n", f"1: {DOMAIN}"),
        ("domain: '*.demo.localhost'\n", f"1: {DOMAIN}"),
        ("domain: " + "a." * 100 + "localhost\n", f"1: {DOMAIN}"),
        ("domain: 10.0.0.1\n", "1: domain: must not end in a number: browsers take that for an IP address"),
        ("registry: {port: 0}\n", "1: registry.port: must be at least 1, not 0"),
        ("registry: {port: atuo}\n", "1: registry.port: must be a port from 1 to 65535, or 'auto', not 'atuo'"),
        ("edge: {ports: atuo}\n", "1: edge.ports: must be a list of ports, or 'auto', not 'atuo'"),
        ("edge: {ports: 443}\n", "1: edge.ports: must be a list, not 443", "write a list: [443]"),
        ("edge: {tcp: 5432}\n", "1: edge.tcp: must be a list, not 5432"),
        ("registry:\n  port: 65536\n", "2: registry.port: must be at most 65535, not 65536"),
        (
            "registry:\n  port: '5001'\n",
            "2: registry.port: must be a whole number, not '5001'",
            "write it without quotes: 5001",
        ),
        ("registry: 5001\n", "1: registry: must be a mapping of keys, not 5001"),
        ("edge: {listen: localhost}\n", f"1: edge.listen: {ADDRESS}"),
        ("edge: {listen: fe80::1%eth0}\n", f"1: edge.listen: {ADDRESS}"),
        ("edge: {ports: []}\n", "1: edge.ports: must have at least one entry"),
        ("edge: {ports: [1, 2, 3, 4, 5]}\n", "1: edge.ports: must have at most 4 entries"),
        ("edge:\n  ports:\n  - 443\n  - 443\n", "4: edge.ports[1]: 443 is given twice"),
        (
            "network: {nameservers: aut}\n",
            "1: network.nameservers: must be 'auto', or be a list, not 'aut'",
            "did you mean",
        ),
        ("network: {nameservers: []}\n", "1: network.nameservers: must be 'auto', or have at least one entry"),
        (
            "network: {nameservers: ['2620:fe::9']}\n",
            "1: network.nameservers[0]: must be an IPv4 address, since pods have no other: 2620:fe::9 is not one",
        ),
        (
            "network:\n  hosts: {sandbox.sandbox.localhost: 10.0.0.1}\n",
            "2: network.hosts.sandbox.sandbox.localhost: 'sandbox.sandbox.localhost' is inside the domain "
            "'sandbox.sandbox.localhost', which the ingress serves",
        ),
        (
            "network: {proxy: {https: 'http://user:secret@[::1'}}\n",
            "1: network.proxy.https: must be a URL such as http://proxy.example.com:3128",
        ),
        (
            "network: {proxy: {http: 'http://localhost:3128'}}\n",
            "1: network.proxy.http: must be a host that containers can reach: localhost would be themselves",
        ),
        (
            "network:\n  nameservers: [127.0.0.53]\n",
            "2: network.nameservers[0]: must be an address that pods can reach: 127.0.0.53 is not one",
        ),
        ("push: ''\n", "1: push: must be a path, not empty"),
        ("push: 3\n", "1: push: must be text, not 3", "put it in quotes"),
        ("apply: k8s/\n", "1: apply: must be a list, not 'k8s/'", "write a list: [k8s/]"),
        ("credentials: docker\n", "1: credentials: must be a list, not 'docker'"),
        (
            "apply:\n- a\n- ~/b\n",
            "3: apply[1]: must be absolute or relative to this file's folder: '~' is not expanded",
        ),
        (
            "apply:\n- {chart: web, version: 1.0.0}\n",
            "2: apply[0]: needs either `repo:` or a chart that begins with oci://",
        ),
        ("apply:\n- {chart: 'oci://x/web'}\n", "2: missing key 'version' in apply[0]", "add 'version:'"),
        (
            "apply:\n- {chart: 'oci://x/web', version: '>=1'}\n",
            "2: apply[0].version: must be one version, such as 6.9.0, not '>=1'",
        ),
        (
            "apply:\n- {chart: web, repo: 'http://charts.example.com', version: 1.0.0}\n",
            "2: apply[0].repo: must begin with https://; http:// is for this machine's own addresses",
        ),
        (
            "apply:\n- {chart: web, repo: 'https://me:canary@x.example', version: 1.0.0}\n",
            "2: apply[0].repo: must have no account in it: helm registry login and helm repo add keep those",
        ),
        ("apply:\n- https://x/y\n", "2: apply[0]: must be a file or folder on this machine, not a URL"),
        ("certs:\n  secrets:\n  - secret: a\n", "3: missing key 'hosts' in certs.secrets[0]", "add 'hosts:'"),
        (
            "certs:\n  secrets:\n  - secret: a_b\n    hosts: [a.sandbox.sandbox.localhost]\n",
            "3: certs.secrets[0].secret: must be lower-case letters, digits and hyphens, in parts separated by dots",
        ),
        (
            "certs:\n  secrets:\n  - secret: a\n    hosts: ['*.sandbox.sandbox.localhost']\n",
            "4: certs.secrets[0].hosts[0]: must be one exact host name, without *; hosts "
            "right below the domain need no entry",
        ),
        (
            "name: demo\ncerts:\n  secrets:\n  - secret: a\n    hosts: [demo.sandbox.localhost,\n      "
            "ademo.sandbox.localhost]\n",
            "6: certs.secrets[0].hosts[1]: 'ademo.sandbox.localhost' is not inside the domain 'demo.sandbox.localhost'",
        ),
        (
            "name: demo\nregistry:\n  tls: [hub.demo.sandbox.localhost:8443, hub.example.com]\n",
            "3: registry.tls[1]: 'hub.example.com' is not inside the domain 'demo.sandbox.localhost'",
        ),
        (
            "registry:\n  tls: ['hub.sandbox.sandbox.localhost:0']\n",
            "2: registry.tls[0]: must have a port from 1 to 65535, not '0'",
        ),
        *(
            (
                f"credentials: [{{kind: docker, registries: ['{host}']}}]\n",
                "1: credentials[0].registries[0]: must be a host name such as registry.demo.sandbox.localhost, or one "
                "with :PORT, in lower case and without scheme, path or *",
            )
            for host in ("https://quay.io", "quay.io/team", "*.gcr.io", "Quay.io", "")
        ),
        (
            "apply:\n- {chart: api, release: API}\n",
            "2: apply[0].release: must be at most 63 lower-case letters, digits and hyphens, "
            "with no hyphen first or last",
        ),
        ("apply:\n- {chart: api, value: [a.yaml]}\n", "2: unknown key 'value' in apply[0]", "did you mean 'values'?"),
        (
            "apply:\n- {chart: api/chart}\n- {chart: web/chart, namespace: web}\n- {chart: ci, release: chart}\n",
            "4: apply[2]: the release 'chart' is given twice in the namespace 'default'; write another `release:`",
        ),
        (
            "domain: a.b\ncerts:\n  secrets:\n  - {secret: s, hosts: [a.b]}\n  - hosts: [x.a.b]\n    secret: s\n",
            "6: certs.secrets[1].secret: 's' is given twice in the namespace 'default'",
        ),
        (
            "registry:\n  external: ftp://reg.office\n",
            "2: registry.external: must be HOST or HOST:PORT as in image names, with http:// before it where there is "
            "no TLS",
        ),
        (
            "images: {mirror: https://mirror.example}\n",
            "1: images.mirror: must be HOST, HOST:PORT or one with /PATH, without a scheme: the engine pulls from it",
        ),
        (
            "images: {mirror: mirror.example/Hub}\n",
            "1: images.mirror: must have a path as image names have: lower-case letters, digits, '.', '_', '-' and '/'",
        ),
        (
            "images: {mirror: {quay.io: 'https://mirror.example'}}\n",
            "1: images.mirror.quay.io: must be HOST, HOST:PORT or one with /PATH, without a scheme: the engine pulls "
            "from it",
        ),
        ("registry: {mirrors: ['a.b:0']}\n", "1: registry.mirrors[0]: must have a port from 1 to 65535, not '0'"),
        (
            "registry:\n  external: localhost:5000\n  storage: images\n",
            "3: registry.storage: is for the sandbox's own registry, and this one is external",
        ),
        (
            "edge: {ports: [443]}\nregistry:\n  port: 443\n",
            "3: registry.port: 443 is one of the edge's ports; choose another",
        ),
        (
            "registry: {port: 5001}\nedge:\n  tcp:\n  - {port: 5001, to: a/b}\n",
            "4: edge.tcp[0].port: 5001 is the registry's port; choose another",
        ),
    ],
)
def test_refusals_name_the_line_and_the_key(case: tuple[str, ...]) -> None:
    """Wrong keys and values in sandbox.yaml → file, line and key, with a suggestion."""
    text, brief, *fix = case
    error = refusal(text)
    assert error.brief == f"sandbox.yaml:{brief}"
    assert bool(error.fix) == bool(fix) and all(map(error.fix.startswith, fix))


def test_bad_name_is_one_error_although_domain_follows_from_it() -> None:
    assert refusal("name: A\n").details == "  1 | name: A"


def test_all_errors_are_reported_together() -> None:
    error = refusal(
        "registry: {port: 443}\ncerts:\n  secrets:\n  - secret: a\n    hosts:\n    - x.test\n    - y.test\n"
    )
    assert [line for line in error.details.splitlines() if line.startswith("sandbox.yaml:")] == [
        "sandbox.yaml:1: registry.port: 443 is one of the edge's ports; choose another",
        "sandbox.yaml:6: certs.secrets[0].hosts[0]: 'x.test' is not inside the domain 'sandbox.sandbox.localhost'",
        "sandbox.yaml:7: certs.secrets[0].hosts[1]: 'y.test' is not inside the domain 'sandbox.sandbox.localhost'",
    ]


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


def test_every_key_survives_writing_and_reading() -> None:
    examples = yaml.safe_load_all((ROOT / "scripts" / "spec-examples.yaml").read_text())
    for example in (each for each in examples if "name" in each):
        read = parse(yaml.safe_dump(example))
        assert parse(yaml.safe_dump(read.model_dump(mode="json", exclude_defaults=True))) == read
        assert Spec.model_validate_json(read.model_dump_json()) == read


def test_certificates_cover_domain_and_hosts_ending_at_edge() -> None:
    hosts = "[{host: shop.test, terminate: true}, {host: x.demo.test, to: 'a:1'}, {host: dev.test, to: 'a:1'}, x.test]"
    spec = parse(f"{{domain: demo.test, edge: {{hosts: {hosts}}}}}")
    assert spec.vouched == ("demo.test", "shop.test", "dev.test")


def test_a_cluster_that_exists_has_a_context_and_one_namespace() -> None:
    found = parse("name: demo\ncluster: {provider: existing, context: team}\n")
    assert (found.namespace, found.runs_process, found.cluster.supports.whole_cluster) == ("sandbox-demo", True, False)
    assert parse("cluster: {provider: existing, context: team, namespace: mine}\n").namespace == "mine"
    assert (Spec().namespace, Spec().runs_process) == (None, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cluster: {provider: existing}", "needs its context"),
        ("cluster: {context: team}", "write 'provider: existing'"),
        ("cluster: {provider: existing, context: t}\nedge: {run: container}", "no container can reach"),
        ("cluster: {provider: existing, context: t}\naddons: [metrics-server]", "cluster-wide"),
        ("cluster: {provider: existing, context: t}\nnetwork: {nameservers: [1.1.1.1]}", "keeps its nameservers"),
        ("cluster: {provider: existing, context: t}\nregistry: {mirrors: [docker.io]}", "by its administrators"),
    ],
)
def test_unsupported_settings_of_existing_clusters_are_refused(text: str, said: str) -> None:
    assert said in str(refusal(text))


@pytest.mark.parametrize(
    ("tcp", "wrong"),
    [
        ("[{port: 5432, to: db}]", "must be NAMESPACE/SERVICE or NAMESPACE/SERVICE:PORT"),
        ("[{port: 5432, to: 'shop/db:70000'}]", "must have a port from 1 to 65535"),
        ("[{port: auto, to: shop/db}]", "because `port` is auto"),
        ("[{port: 443, to: 'shop/db:1'}]", "443 is one of the edge's HTTPS ports"),
        ("[{port: 7000, to: 'shop/db:1'}, {port: 7000, to: 'shop/x:1'}]", "7000 is given twice"),
        ("[{port: 7000, to: 'shop/db:1', udp: true}]", "unknown key"),
    ],
)
def test_tcp_port_that_cannot_be_is_refused(tcp: str, wrong: str) -> None:
    found = refusal(f"edge: {{tcp: {tcp}}}\n")
    assert wrong in found.details + str(found)


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


@pytest.mark.parametrize("key", ["domain: %s", "edge: {hosts: [%s]}"])
def test_name_with_other_letters_is_shown_in_ascii(key: str) -> None:
    assert ", such as xn--bcher-kva.example" in str(refusal(key % "bücher.example" + "\n"))


def test_tcp_port_leads_to_the_same_port_unless_it_names_one() -> None:
    ports = parse("edge: {tcp: [{port: 5432, to: shop/db}, {port: auto, to: 'shop/cache:redis'}]}\n").edge.tcp
    assert [(one.target, one.usual) for one in ports] == [("shop/db:5432", 5432), ("shop/cache:redis", 15432)]
    assert [one.port for one in ResolvedSpec.of(parse("name: x\n"), registry=1, https=(2,)).edge.tcp] == []


@pytest.mark.parametrize(
    ("edge", "wrong"),
    [
        ("tls: [{host: '*.x.test', to: 'shop/db:1'}]", "must be one exact host name"),
        ("tls: [{host: db.x.test, to: shop/db}]", "with the Service's port"),
        ("tls: [{host: x.sandbox.localhost, to: 'shop/db:1'}]", "is the sandbox's domain"),
        ("tls: [{host: db.x.test, to: 'a/b:1'}, {host: db.x.test, to: 'a/c:1'}]", "is given twice"),
        ("hosts: [db.x.test], tls: [{host: db.x.test, to: 'a/b:1'}]", "is one of `hosts`"),
        ("run: process, tls: [{host: db.x.test, to: 'a/b:1'}]", "leave out 'run: process'"),
    ],
)
def test_host_of_tls_that_cannot_be_is_refused(edge: str, wrong: str) -> None:
    found = refusal(f"name: x\nedge: {{{edge}}}\n")
    assert wrong in found.details + str(found)


@pytest.mark.parametrize("text", ["edge: {run: process, %s}", "cluster: {provider: existing, context: t}\nedge: {%s}"])
def test_a_process_serves_tcp_ports_and_no_more(text: str) -> None:
    assert parse(text % "tcp: [{port: 5432, to: shop/db}]").edge.tcp[0].port == 5432
    for wrong in (
        "tcp: [{port: 5432, to: shop/db, proxy_protocol: true}]",
        "tls: [{host: db.test, to: 'shop/db:5432'}]",
    ):
        assert "edge container" in str(refusal(text % wrong)) + refusal(text % wrong).details
