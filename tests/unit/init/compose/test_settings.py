"""Settings of compose services that Kubernetes has too: they are written, and all others are named."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.init.compose import settings
from sandbox.init.detected import App
from sandbox.init.kubernetes_objects import manifest
from tests.support.project_folder import load


def app_of(folder: Path, service: str, others: str = "") -> App:
    (folder / "compose.yaml").write_text(f"services:\n  web: {{image: 'web:1', expose: [80], {service}}}\n{others}")
    return load(folder / "compose.yaml")[0][0]


def objects(app: App) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(manifest(app, image="web:1", host=None)))


@pytest.mark.parametrize(
    ("service", "place", "wanted"),
    [
        ("scale: 3", "replicas", 3),
        ("deploy: {replicas: 0}", "replicas", 0),
        ("stop_grace_period: 1m30s", "terminationGracePeriodSeconds", 90),
        ("stop_grace_period: 500ms", "terminationGracePeriodSeconds", 1),
        ("hostname: the-web", "hostname", "the-web"),
        (
            "extra_hosts: ['a.test:10.0.0.1', 'b.test=10.0.0.1', 'c.test=[::1]']",
            "hostAliases",
            [{"ip": "10.0.0.1", "hostnames": ["a.test", "b.test"]}, {"ip": "::1", "hostnames": ["c.test"]}],
        ),
        ("extra_hosts: {a.test: 10.0.0.1}", "hostAliases", [{"ip": "10.0.0.1", "hostnames": ["a.test"]}]),
        ("privileged: true", "securityContext", {"privileged": True}),
        ("user: 'root:1000'", "securityContext", {"runAsUser": 0, "runAsGroup": 1000}),
        ("pull_policy: always", "imagePullPolicy", "Always"),
        ("read_only: true", "securityContext", {"readOnlyRootFilesystem": True}),
        ("security_opt: ['no-new-privileges:true']", "securityContext", {"allowPrivilegeEscalation": False}),
        (
            "cap_drop: [ALL], cap_add: [CAP_NET_ADMIN, sys_time], user: '5'",
            "securityContext",
            {"capabilities": {"add": ["NET_ADMIN", "SYS_TIME"], "drop": ["ALL"]}, "runAsUser": 5},
        ),
        (
            "deploy: {resources: {limits: {cpus: '0.5', memory: 64M}, reservations: {memory: 16m}}}",
            "resources",
            {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "0", "memory": "16Mi"}},
        ),
        (
            "mem_limit: 1.5g",
            "resources",
            {"limits": {"memory": "1536Mi", "cpu": "2"}, "requests": {"memory": "0", "cpu": "50m"}},
        ),
        (
            "cpus: 2",
            "resources",
            {"limits": {"cpu": "2000m", "memory": "2Gi"}, "requests": {"cpu": "0", "memory": "64Mi"}},
        ),
    ],
)
def test_setting_is_written_as_kubernetes_has_it(tmp_path: Path, service: str, place: str, wanted: Any) -> None:
    app = app_of(tmp_path, service)
    spec = objects(app)[0]["spec"]
    pod = spec["template"]["spec"]
    assert (spec | pod | pod["containers"][0])[place] == wanted
    assert app.left_out == ()


def test_places_in_memory_are_volumes(tmp_path: Path) -> None:
    volumes = "volumes: [{type: tmpfs, target: /scratch, tmpfs: {size: 1048576}}, 'memory:/data']"
    app = app_of(tmp_path, f"tmpfs: ['/run', '/cache/:size=2m,mode=1777'], shm_size: 256m, {volumes}")
    pod = next(one for one in objects(app) if one["kind"] == "Deployment")["spec"]["template"]["spec"]
    made = {one["name"]: one.get("emptyDir") for one in pod["volumes"]}
    places = {one["mountPath"]: made[one["name"]] for one in pod["containers"][0]["volumeMounts"]}
    assert places == {
        "/data": None,
        "/run": {"medium": "Memory"},
        "/cache": {"medium": "Memory", "sizeLimit": "2Mi"},
        "/scratch": {"medium": "Memory", "sizeLimit": "1Mi"},
        "/dev/shm": {"medium": "Memory", "sizeLimit": "256Mi"},  # noqa: S108
    }


def test_alias_is_a_service_of_that_name(tmp_path: Path) -> None:
    networks = "networks: {default: {aliases: [cache, db, cache, x.y]}}"
    app = app_of(tmp_path, networks, "  db: {image: 'db:1'}\n")
    services = [one for one in objects(app) if one["kind"] == "Service"]
    assert [one["metadata"]["name"] for one in services] == ["web", "cache"]
    assert services[0]["spec"] == services[1]["spec"]
    assert app.left_out == ("networks.aliases.db", "networks.aliases.x.y")


@pytest.mark.parametrize(
    ("service", "left_out"),
    [
        ("scale: '${N}'", ["scale"]),
        ("deploy: {mode: global, replicas: many}", ["deploy.mode", "deploy.replicas"]),
        ("deploy: {resources: {reservations: {cpus: '4', devices: []}}}", ["cpus", "devices"]),
        ("deploy: {resources: {limits: {pids: 5}}}", ["pids"]),
        ("cpus: lots, mem_limit: 5x, mem_reservation: '-1'", ["cpus", "mem_limit", "mem_reservation"]),
        ("stop_grace_period: soon, hostname: A_b", ["hostname", "stop_grace_period"]),
        ("extra_hosts: ['x:host-gateway', 'a_b:10.0.0.1', alone]", ["a_b", "alone", "x"]),
        ("security_opt: ['seccomp:unconfined'], cap_add: ['1 2']", ["cap_add.1 2", "security_opt.seccomp:unconfined"]),
        ("volumes: [{type: image, source: a, target: /a}, /b]", ["volumes./a"]),
        ("tmpfs: ['${A}/x', run]", ["tmpfs.${A}/x", "tmpfs.run"]),
        ("networks: {a: {ipv4_address: 10.0.0.5, aliases: [b], priority: 1}, c: null}", ["a.ipv4_address"]),
        ("x-note: {a: 1}, attach: false, deploy: {x-a: 1}, build: {context: ., x-bake: {}}", ["attach"]),
    ],
)
def test_setting_without_a_counterpart_is_named(tmp_path: Path, service: str, left_out: list[str]) -> None:
    found = app_of(tmp_path, service).left_out
    assert len(found) == len(left_out)
    assert all(one.endswith(end) for one, end in zip(found, left_out, strict=True))


def test_privileges_are_not_denied_to_a_privileged_container(tmp_path: Path) -> None:
    app = app_of(tmp_path, "privileged: true, security_opt: [no-new-privileges]")
    assert app.container["securityContext"] == {"privileged": True}
    assert app.left_out == ("security_opt.no-new-privileges",)


@pytest.mark.parametrize("said", ["", "1.2.3m", "m", "-1s", "1d", None, [], "9" * 400 + "s"])
def test_duration_that_is_none_is_refused(said: Any) -> None:
    assert settings.seconds(said) is None


def test_long_duration_is_read_at_once() -> None:
    begun = time.process_time()
    assert settings.seconds("9" * 100_000) is None
    assert time.process_time() - begun < 5.0


@pytest.mark.parametrize(
    ("service", "command", "args"),
    [
        ("entrypoint: [run, -x], command: fast", ["run", "-x"], ["fast"]),
        ("entrypoint: [], command: [a, b]", ["a", "b"], None),
        ("entrypoint: '', command: a b", ["a", "b"], None),
        ("entrypoint: null, command: a", None, ["a"]),
    ],
)
def test_entrypoint_that_is_empty_is_not_the_images(
    tmp_path: Path, service: str, command: list[str] | None, args: list[str] | None
) -> None:
    made = next(one for one in objects(app_of(tmp_path, service)) if one["kind"] == "Deployment")
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert (container.get("command"), container.get("args")) == (command, args)


def test_dollar_signs_are_those_of_the_compose_file(tmp_path: Path) -> None:
    """Kubernetes reads `$$` as `$` and `$(NAME)` as the variable, which to compose and to shells are something else."""
    given = "environment: {A: 'a$$$$b', B: '$$(A)'}, command: [sh, -c, 'echo $$$$ $$(date) $$(A) $$A']"
    made = next(one for one in objects(app_of(tmp_path, given)) if one["kind"] == "Deployment")
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert [one["value"] for one in container["env"]] == ["a$$$b", "$$(A)"]
    assert container["args"] == ["sh", "-c", "echo $$$ $(date) $$(A) $A"]
