"""What containerd and the API server are told of a proxy."""

from __future__ import annotations

import json

from sandbox.components.cluster import pod_proxy

VARIABLES = {"HTTPS_PROXY": 'http://u:p%41"\\@p:3128', "NO_PROXY": "a,b"}


def test_the_unit_has_the_variables_and_no_others() -> None:
    assert pod_proxy.drop_in(VARIABLES).splitlines() == [
        "[Service]",
        'Environment="HTTPS_PROXY=http://u:p%%41\\"\\\\@p:3128"',
        'Environment="NO_PROXY=a,b"',
        "UnsetEnvironment=HTTP_PROXY http_proxy https_proxy no_proxy",
    ]
    assert pod_proxy.drop_in({}).splitlines() == [
        "[Service]",
        "UnsetEnvironment=HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy",
    ]


def test_what_runs_is_read_back() -> None:
    output = "".join(f"{name}={value}\n" for name, value in VARIABLES.items()) + "MY_PROXY=x\n"
    assert pod_proxy.read_shown(output) == VARIABLES
    assert pod_proxy.read_shown("") == {}


def test_the_policy_is_for_pods_of_namespaces_that_ask() -> None:
    made, binding = pod_proxy.policy(VARIABLES)
    constraints = made["spec"]["matchConstraints"]
    assert constraints["namespaceSelector"] == {"matchLabels": {"sandbox.dev/proxy": "true"}}
    (variable,) = made["spec"]["variables"]
    both = {**VARIABLES, "https_proxy": VARIABLES["HTTPS_PROXY"], "no_proxy": VARIABLES["NO_PROXY"]}
    assert json.loads(variable["expression"]) == both
    assert binding["spec"]["policyName"] == made["metadata"]["name"]


def test_the_cluster_and_the_domain_are_inside() -> None:
    found = pod_proxy.inside("demo.localhost", ["node"], "172.18.0.0/16")
    assert {".svc", "10.96.0.0/16", "172.18.0.0/16", "demo.localhost", ".demo.localhost", "node"} <= set(found)
