"""The addons that come with the sandbox are whole; faults of the user's own are named; placeholders are filled."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.bundle.recipe import recipes
from sandbox.components.addons import catalogue
from sandbox.components.addons.catalogue import Addon, WantedAddon, choose, fill, read_addon, used
from sandbox.errors import UsageError
from sandbox.kube import manifests

KNOWN = {
    *("sandbox", "domain", "registry", "https_port", "host", "url", "password"),
    *("node", "node_address", "node_hosts", "kubelet_ca", "load_balancer_addresses"),
}
TOPICS = {"cluster", "observability", "delivery", "secrets", "data", "messaging", "development"}


@pytest.mark.parametrize("addon", catalogue.included(), ids=lambda addon: addon.name)
def test_included_addon_is_complete(addon: Addon) -> None:
    about = addon.about
    if about.instead:
        assert not addon.files
        return
    assert about.untested == bool(about.chart), "no chart's real images ever ran"
    objects = manifests.load(addon.files)
    values = about.chart.values if about.chart else {}
    filled = used((objects, values, about.hint))
    assert filled <= KNOWN | about.values.keys() | about.images.keys()
    assert about.values.keys() | about.images.keys() <= filled
    assert about.topic in TOPICS
    assert all(recipes()[name].image for name in about.images.values())
    assert all(catalogue.find_addon(need).about.instead is None for need in about.needs)


@pytest.mark.parametrize(
    ("typed", "fix"),
    [
        ("cert-manager", "certs: {issuer: cert-manager}"),
        ("qqq", "it is one of: "),
        ("metrics", "did you mean metrics-server"),
        ("grafna", "did you mean grafana"),
    ],
)
def test_unknown_addon_is_refused_with_similar_names(typed: str, fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        catalogue.find_addon(typed)
    assert fix in caught.value.fix and "gateway-api" not in caught.value.fix


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("My_Addon", "", "cannot be an addon"),
        ("mine", None, "no such file"),
        ("mine", "titel: x", "unknown key 'titel'"),
        ("mine", "", "has no manifests"),
        ("mine", "chart: {chart: web, version: 1.2.3}", "needs either `repo:` or a chart that begins with oci://"),
        ("mine", "chart: {chart: 'oci://a.b/web', version: latest}", "must be one version, such as 6.9.0"),
        ("mine", "chart: {chart: 'oci://a.b/web', version: 1.2.3, digest: x}", "'x' is not a digest"),
        ("mine", "chart: {chart: 'oci://a.b/web', version: 1.2.3, namespace: Foo}", "namespace must be at most 63"),
        ("mine", "needs: [../other]", r"needs\[0\]: must be at most 63"),
        ("mine", "page: {service: web, port: 80}", "write an Ingress among the manifests"),
    ],
)
def test_folder_that_is_no_addon_is_refused(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    if text is not None:
        (folder / "addon.yaml").write_text(f"title: x\n{text}\n")
    with pytest.raises(UsageError, match=message):
        read_addon(folder)


@pytest.fixture
def included(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of `base` and `top`, which needs it."""
    for name, more in {"base": "values: {size: small}", "top": "needs: [base]"}.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "addon.yaml").write_text(f"title: {name}\n{more}\n")
        (folder / "objects.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n")
    monkeypatch.setattr(catalogue, "INCLUDED", tmp_path)
    return tmp_path


def chosen(spec: list[WantedAddon], commanded: list[str]) -> list[tuple[str, str]]:
    return [(addon.name, addon.by) for addon in choose(spec, commanded)]


@pytest.mark.usefixtures("included")
def test_required_addons_come_first_and_name_who_needs_them() -> None:
    top, big = WantedAddon("top"), WantedAddon("base", {"size": "big"})
    assert chosen([top], []) == [("base", "top"), ("top", "spec")]
    assert chosen([], ["top"]) == [("base", "top"), ("top", "command")]
    assert chosen([top, big], []) == [("base", "spec"), ("top", "spec")]
    assert choose([top, big], [])[0].values == {"size": "big"}
    assert chosen([top], ["base"]) == [("base", "command"), ("top", "spec")]


def test_spec_addon_wins_over_one_of_the_same_name(included: Path) -> None:
    (addon,) = choose([WantedAddon(str(included / "base"), {"size": "big"})], ["base"])
    assert (addon.source, addon.by, addon.values) == (str(included / "base"), "spec", {"size": "big"})


@pytest.mark.usefixtures("included")
def test_values_have_defaults_and_no_others_can_be_given() -> None:
    assert choose([WantedAddon("base")], [])[0].values == {"size": "small"}
    with pytest.raises(UsageError, match="no value 'sise'") as caught:
        choose([WantedAddon("base", {"sise": "big"})], [])
    assert "size" in caught.value.fix


def test_values_stay_text_and_shell_variables_stay() -> None:
    assert fill({"a": "${x}"}, {"x": "b: {c: ${x}}\n- d"}) == {"a": "b: {c: ${x}}\n- d"}
    script = "echo $x $$ ${HOME} ${x:-1} ${#x}"
    assert fill(script, {"x": "1", "home": "2"}) == script
