"""Hosts of a project's own domain become the sandbox's in Ingresses and routes, and in settings only when asked to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.components.workloads.moved_hosts import HostNames

BASE, DOMAIN = "shop.sandbox.localhost", "shop-fix.sandbox.localhost"
HOST = f"web.{BASE}"
HOSTS = HostNames(BASE, DOMAIN)


def manifest(kind: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "web"}, **content}


LOGIN = "nginx.ingress.kubernetes.io/auth-url"
INGRESS = manifest(
    "Ingress",
    metadata={"name": "web", "annotations": {LOGIN: f"https://login.{BASE}/check"}},
    spec={
        "rules": [{"host": f"web.{BASE}"}, {"host": "web.example.com"}, {}],
        "tls": [{"hosts": [f"*.{BASE}", BASE], "secretName": BASE}],
    },
)


def test_hosts_of_an_ingress_are_below_the_sandboxs_domain() -> None:
    written = HOSTS.written(INGRESS)
    assert [rule.get("host") for rule in written["spec"]["rules"]] == [f"web.{DOMAIN}", "web.example.com", None]
    assert written["spec"]["tls"][0] == {"hosts": [f"*.{DOMAIN}", DOMAIN], "secretName": BASE}
    assert written["metadata"]["annotations"] == {LOGIN: f"https://login.{DOMAIN}/check"}
    assert INGRESS["spec"]["rules"][0]["host"] == f"web.{BASE}", "the project's own object stays"
    assert list(HOSTS.notes([INGRESS])) == [
        f"Ingress web: login.{BASE} becomes login.{DOMAIN}",
        f"Ingress web: web.{BASE} becomes web.{DOMAIN}",
        f"Ingress web: *.{BASE} becomes *.{DOMAIN}",
        f"Ingress web: {BASE} becomes {DOMAIN}",
    ]


@pytest.mark.parametrize(
    ("kind", "spec", "changes"),
    [
        ("HTTPRoute", {"rules": [{"filters": [{"requestRedirect": {"hostname": HOST}}]}]}, True),
        ("Certificate", {"dnsNames": [HOST]}, True),
        ("IngressRoute", {"routes": [{"match": f"Host(`{HOST}`) && PathPrefix(`/a`)"}]}, True),
        ("Widget", {"hostnames": [HOST]}, False),
        ("HTTPRoute", "nonsense", False),
    ],
)
def test_hosts_of_gateway_routes_and_certificates_move_to_the_domain(kind: str, spec: Any, changes: bool) -> None:
    moved = json.loads(json.dumps(spec).replace(BASE, DOMAIN))
    assert HOSTS.written(manifest(kind, spec=spec))["spec"] == (moved if changes else spec)


VARIABLES = [{"name": "URL", "value": f"https://web.{BASE}:8443/a,http://{BASE}/"}, {"name": "PORT", "value": 1}]
CONTAINERS = [{"name": "app", "args": [f"--cookies=.{BASE}"], "env": VARIABLES}, {"name": "more", "env": "nonsense"}]
POD = manifest("Pod", spec={"containers": CONTAINERS})
SETTINGS = manifest("ConfigMap", data={"a.conf": f"host=web.{BASE}; other=my{BASE} {BASE}.example.com", "b": 1})


def test_settings_stay_and_are_named_unless_the_spec_says_so() -> None:
    assert HOSTS.written(POD) == POD and HOSTS.written(SETTINGS) == SETTINGS
    stays = "stays; `rewrite_settings: true` in sandbox.yaml changes it"
    assert list(HOSTS.notes([POD, SETTINGS])) == [
        f"Pod web: {BASE} {stays}",
        f"Pod web: web.{BASE} {stays}",
        f"ConfigMap web: web.{BASE} {stays}",
    ]
    hosts = HostNames(BASE, DOMAIN, settings=True)
    container = hosts.written(POD)["spec"]["containers"][0]
    assert container["env"][0]["value"] == f"https://web.{DOMAIN}:8443/a,http://{DOMAIN}/"
    assert container["args"] == [f"--cookies=.{DOMAIN}"]
    text = f"host=web.{DOMAIN}; other=my{BASE} {BASE}.example.com"
    assert hosts.written(SETTINGS)["data"] == {"a.conf": text, "b": 1}
    assert f"ConfigMap web: web.{BASE} becomes web.{DOMAIN}" in list(hosts.notes([SETTINGS]))


def test_names_and_labels_stay_and_keys_of_a_config_map_change() -> None:
    hosts = HostNames(BASE, DOMAIN, settings=True)
    reference = {"apiVersion": f"{BASE}/v1", "group": BASE, "sectionName": BASE, "name": BASE}
    labels = {"labels": {"app": BASE}, "name": BASE}
    named = manifest("Widget", metadata=labels, spec={"selector": {"matchLabels": {"app": BASE}}, "ref": reference})
    assert hosts.written(named) == named and list(hosts.notes([named])) == []
    config = manifest("ConfigMap", data={"name": f"web.{BASE}", "labels": BASE})
    assert hosts.written(config)["data"] == {"name": f"web.{DOMAIN}", "labels": DOMAIN}
