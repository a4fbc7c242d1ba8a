"""Three people with a namespace each on a cluster that is not theirs, and no trace of them when they have gone."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.names import LABEL
from sandbox.system.wait import wait_until
from tests.real import machine, team
from tests.real.machine import CommandLine, Listing, tool
from tests.real.team import Person, Team, person
from tests.support import bundled

pytestmark = [pytest.mark.real, pytest.mark.nightly]

PEOPLE = ("ann", "bob", "eve")
OWNED = (
    *(("v1", kind) for kind in ("ConfigMap", "Secret", "Service")),
    ("apps/v1", "Deployment"),
    ("networking.k8s.io/v1", "Ingress"),
)
TEMPLATES = """\
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}
stringData: {password: {{ randAlphaNum 12 }}}
---
apiVersion: v1
kind: Pod
metadata: {name: {{ .Release.Name }}-test, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: test, image: "none:1"}]}
"""


@dataclass(frozen=True)
class Scene:
    team: Team
    people: Mapping[str, Person]
    before: Listing


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("team")
    taken = machine.free_ports(9443, 9444, 9445, 5011, 5012, 5013, 18080, 18081, 18082)
    with team.made(folder) as made:
        # Two have the documented Role in a namespace that was made for them; the third may make one.
        kubeconfigs = {name: made.member(f"{name}-dev") for name in PEOPLE[:2]}
        kubeconfigs[PEOPLE[2]] = Path(shutil.copy(made.kubeconfig, folder / PEOPLE[2]))
        people = {
            name: person(name, folder / f"at-{name}", kubeconfigs[name], made.context, taken[at::3])
            for at, name in enumerate(PEOPLE)
        }
        before = made.listing()
        try:
            for name, one in people.items():
                refused = one.command("up", status=2)
                assert "--yes" in refused.err, name
            assert made.listing() == before
            team.at_once({name: partial(one.command, "up", "--yes") for name, one in people.items()})
            yield Scene(made, people, before)
        finally:
            for one in people.values():
                one.leave()


@pytest.mark.parametrize("name", PEOPLE)
def test_everyone_has_own_pages_by_own_certificates(scene: Scene, name: str) -> None:
    one = scene.people[name]
    assert "hello" in one.curl("hello").lower()
    assert "world" in one.curl("world").lower()
    one.curl("secure")


def test_pods_run_images_pulled_from_the_in_cluster_registry(scene: Scene) -> None:
    for name in PEOPLE:
        pods = scene.team.cluster.list("v1", "Pod", f"{name}-dev")
        images = {container["image"] for pod in pods for container in pod["spec"]["containers"]}
        theirs = {image.partition(":")[0] for image in images if f"/{scene.people[name].repository}/" in image}
        assert theirs == {"127.0.0.1"}, images


def test_a_second_up_changes_nothing(scene: Scene) -> None:
    one = scene.people["ann"]
    assert {state for state, _ in one.command.steps().values()} == {"ready"}
    said = one.command("up").err
    assert "failed" not in said
    done = [line for line in said.splitlines() if line.startswith("✓")]
    assert done and all("unchanged" in line for line in done), said


def test_only_labelled_objects_in_the_namespaces_were_created(scene: Scene) -> None:
    new = scene.team.listing() - scene.before
    # The API server itself notes the address of every Service for the whole cluster (KEP-1880).
    assert {kind for kind, place, _ in new if not place} == {"IPAddress", "Namespace"}
    assert {place for _, place, _ in new if place} == {f"{name}-dev" for name in PEOPLE}
    assert {name for kind, _, name in new if kind == "Namespace"} == {"eve-dev"}
    for version, kind in OWNED:
        made = [one["metadata"] for one in scene.team.cluster.list(version, kind, "ann-dev")]
        labels = {
            one["name"]: (one.get("labels") or {}).get(LABEL) for one in made if (kind, "ann-dev", one["name"]) in new
        }
        assert labels and set(labels.values()) == {"ann"}, (kind, labels)


def test_the_tunnel_outlives_the_registry_s_pod(scene: Scene) -> None:
    one, cluster = scene.people["ann"], scene.team.cluster
    held = one.command("images", "list").out
    assert f"{one.repository}/hello" in held
    (pod,) = (
        each for each in cluster.list("v1", "Pod", "ann-dev") if each["metadata"]["name"].startswith("sandbox-reg")
    )
    cluster.delete("v1", "Pod", pod["metadata"]["name"], "ann-dev", whole=True)
    one.command("push-images", "--verify", timeout=120)
    assert one.command("images", "list").out == held


def test_port_of_a_service_outlives_its_pod(scene: Scene) -> None:
    one, cluster = scene.people["bob"], scene.team.cluster
    place = f"127.0.0.1:{one.ports[2]}"
    assert "hello" in tool("curl", "--silent", "--fail", f"http://{place}/").lower()
    services = json.loads(one.command("status", "-o", "json").out)["services"]
    assert [(each["service"], each["places"]) for each in services] == [("demo/hello", [f"tcp://{place}"])]
    listed = json.loads(one.command("edge", "port", "list", "-o", "json").out)
    assert [(each["to"], each["port"], each["ready"]) for each in listed if each["sandbox"] == one.name] == [
        ("demo/hello:http", int(place.rpartition(":")[2]), 1)
    ]
    (pod,) = cluster.list("v1", "Pod", "bob-dev", selector="app=hello")
    cluster.delete("v1", "Pod", pod["metadata"]["name"], "bob-dev", whole=True)

    def unanswered() -> str | None:
        page = tool("curl", "--silent", "--max-time", "20", f"http://{place}/", status=None)
        return None if "hello" in page.lower() else page or "no answer"

    wait_until(unanswered, what=place, timeout=60)


def test_objects_of_another_user_with_the_same_name_stay(scene: Scene) -> None:
    one, cluster = scene.people["bob"], scene.team.cluster
    theirs: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "theirs", "namespace": "bob-dev"},
    }
    cluster.apply({**theirs, "data": {"whose": "theirs"}})
    mine = one.folder / "k8s" / "clash.yaml"
    mine.write_text(yaml.safe_dump({**theirs, "metadata": {"name": "theirs"}, "data": {"whose": "mine"}}))
    try:
        assert "not-ours" in one.command("up", status=1).err
        assert (cluster.get("v1", "ConfigMap", "theirs", "bob-dev") or {})["data"] == {"whose": "theirs"}
    finally:
        mine.unlink()
        cluster.delete("v1", "ConfigMap", "theirs", "bob-dev")
    one.command("up")


@pytest.mark.security(17)
def test_yes_takes_over_no_sandbox_of_another_person(scene: Scene) -> None:
    """`up --yes` with the name and namespace of a colleague's sandbox → refused with their name, nothing changed"""
    one = scene.people["ann"]

    def listing() -> set[tuple[str, str, str]]:
        """What bob's and eve's pods do meanwhile does not matter."""
        return {entry for entry in scene.team.listing() if entry[1] in ("", "ann-dev")}

    before = listing()
    other = CommandLine({**one.command.env, "SANDBOX_OWNER": "ci@other"}, one.folder)
    assert "in ann-dev of" in (said := other("up", "--yes", status=2).err) and "was made by" in said
    assert listing() == before
    assert "hello" in one.curl("hello").lower()
    assert {state for state, _ in one.command.steps().values()} == {"ready"}


def test_chart_is_applied_and_what_leaves_the_files_is_removed(scene: Scene) -> None:
    bundled.helm()
    one, cluster = scene.people["ann"], scene.team.cluster
    spec = one.folder / "sandbox.yaml"
    before, templates = spec.read_text(), one.folder / "chart" / "templates"
    templates.mkdir(parents=True)
    (templates.parent / "Chart.yaml").write_text("{apiVersion: v2, name: chart, version: 0.1.0}\n")
    (templates / "all.yaml").write_text(TEMPLATES)
    spec.write_text(
        yaml.safe_dump(yaml.safe_load(before) | {"apply": ["k8s/", {"chart": "chart", "release": "extra"}]})
    )
    assert "chart extra" in one.command("up").err
    made = cluster.get("v1", "Secret", "extra", "ann-dev")
    assert made is not None and made["metadata"]["labels"][LABEL] == "ann"
    assert {state for state, _ in one.command.steps().values()} == {"ready"}, "what it makes up is kept"
    spec.write_text(before)
    one.command("up")
    assert cluster.get("v1", "Secret", "extra", "ann-dev") is None


def test_saved_file_reaches_the_page_by_dev(scene: Scene) -> None:
    one = scene.people["eve"]
    with one.command.start("dev", "--no-logs", "--progress", "json", out=subprocess.DEVNULL) as child:
        lines = iter(child.stderr or ())
        assert any('"watching"' in line for line in lines)
        (one.folder / "hello" / "index.html").write_text("a saved file\n")
        assert any('"ready"' in line for line in lines)
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 130
    wait_until(lambda: None if "a saved file" in one.curl("hello") else "the page before", what="the page", timeout=20)


def test_down_restores_the_cluster(scene: Scene) -> None:
    team.at_once({name: partial(one.command, "down", "--purge") for name, one in scene.people.items()})

    def left() -> str | None:
        changed = scene.team.listing() ^ scene.before
        return str(sorted(changed)) if changed else None

    wait_until(left, what="the cluster as it was", timeout=60)
