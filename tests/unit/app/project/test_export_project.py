"""A sandbox as a folder: what is carried, what is left out, and that its images have the same digests elsewhere."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from sandbox.app import context
from sandbox.app.project.export_project import Exported, export
from sandbox.components.workloads.chart_archives import lock
from sandbox.config.resolve import load
from sandbox.config.schema import Chart, RemoteChart, ResolvedSpec, Spec
from sandbox.config.schema.apply_schema import Item
from sandbox.config.schema.apply_schema import paths as applied
from sandbox.engine import Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.images.lockfile import LockFile
from sandbox.images.progress import Observer
from sandbox.images.push import push
from sandbox.kube import manifests
from sandbox.oci.client import Client
from tests.support.fakes import FakeEngine
from tests.support.images import TestImage, index, layer, write_layout
from tests.support.project_folder import write
from tests.support.registry_simulator import Simulator

ONE = TestImage((layer(1), layer(2)), "one")
TWO = TestImage((layer(1), layer(3)), "two", compressed=True)
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "connect", staticmethod(FakeEngine))


@pytest.fixture
def spec(tmp_path: Path, registry: Simulator) -> ResolvedSpec:
    """A sandbox whose two images were pushed, with manifests, an addon of its own, and secrets."""
    folder = tmp_path / "project"
    write_layout(folder / "oci", index(ONE.descriptor(), TWO.descriptor()), ONE.files | TWO.files)
    images = [
        {"from": "layout", "path": "oci", "image": image.descriptor()["digest"], "as": name}
        for image, name in ((ONE, "team/one:1"), (TWO, "team/two:1"))
    ]
    places = ("k8s/a.yaml", "more.yaml", "mine/addon.yaml", "mine/x.yaml")
    write(folder, {"images.yaml": yaml.safe_dump({"images": images}), **{place: f"# {place}\n" for place in places}})
    port = urlsplit(registry.url).port
    content: dict[str, Any] = {
        "name": "demo",
        "push": "images.yaml",
        "apply": ["more.yaml", "k8s/"],
        "addons": ["metrics-server", {"addon": "./mine", "values": {"a": "b"}}],
        "registry": {"port": port},
        "network": {"proxy": {"https": "http://me:secret@proxy.example.com:3128"}},
        "credentials": [{"kind": "docker", "file": "config.json"}],
    }
    (folder / "sandbox.yaml").write_text(yaml.safe_dump(content))
    found = load(folder / "sandbox.yaml")
    push(LockFile.of(folder / "images.yaml").entries, registry.url, None, Observer())
    return ResolvedSpec.of(found, registry=port or 0, https=(443, 8443))


def applying(spec: ResolvedSpec, *items: Item) -> ResolvedSpec:
    return spec.model_copy(update={"apply": items, "push": None})


def test_a_kustomization_is_exported_as_what_it_renders_to(spec: ResolvedSpec, tmp_path: Path) -> None:
    overlay = tmp_path / "project" / "dev"
    write(tmp_path / "base", {"kustomization.yaml": "secretGenerator: [{name: key, literals: [token=canary]}]\n"})
    write(overlay, {"kustomization.yaml": "namespace: shop\nresources: [../../base]\n"})
    told = export(applying(spec, overlay), tmp_path / "out", print)
    (file,) = applied(load(tmp_path / "out" / "sandbox.yaml").apply)
    assert file == tmp_path / "out" / "k8s" / "1-dev.yaml"
    (secret,) = manifests.load([file])
    assert (secret["kind"], secret["metadata"]["namespace"]) == ("Secret", "shop")
    assert told.carried == [f"{overlay}: a Secret"]
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.security(14)
def test_private_file_stays_private_in_the_export(spec: ResolvedSpec, tmp_path: Path) -> None:
    """Manifests, values and files of charts and addons that only their user may read → the same in the export."""
    folder = write(tmp_path / "web", {"Chart.yaml": "name: web\n", "secret.yaml": SECRET})
    values = tmp_path / "values.yaml"
    values.write_text("password: canary\n")
    private = [folder / "secret.yaml", values, *tmp_path.glob("project/k8s/*"), *tmp_path.glob("project/mine/x.yaml")]
    for path in private:
        path.chmod(0o600)
    export(applying(spec, *spec.apply, Chart(chart=folder, values=(values,))), tmp_path / "out", print)
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.stat().st_mode & 0o077 == 0]
    assert sorted(path.name for path in found) == ["a.yaml", "secret.yaml", "values-1.yaml", "x.yaml"]


def test_chart_from_elsewhere_is_exported_as_its_archive(
    spec: ResolvedSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    chart = RemoteChart(chart="oci://registry.example/web", version="1.2.3", lock=tmp_path / "charts.lock.yaml")
    asked = applying(spec, chart)
    with pytest.raises(UsageError, match="the chart web is not pulled yet"):
        export(asked, tmp_path / "none", print)
    digest = hashlib.sha256(b"archive").hexdigest()
    write(context.home().charts, {f"{digest}.tgz": "archive"})
    lock([chart], {chart: f"sha256:{digest}"})
    export(asked, tmp_path / "out", print)
    place = tmp_path / "out" / "k8s" / "1-web" / f"{digest}.tgz"
    assert load(tmp_path / "out" / "sandbox.yaml").apply == (Chart(chart=place, release="web"),)
    assert place.read_bytes() == b"archive"


@pytest.mark.security(6)
def test_chart_is_exported_without_hidden_files_and_its_secrets_are_named(spec: ResolvedSpec, tmp_path: Path) -> None:
    """A chart with .env, a Secret and a link → .env and the link stay here, the Secret and the values are named."""
    files = {"Chart.yaml": "name: web\n", ".helmignore": "*.bak\n", ".env": "PASSWORD=hunter2\n"}
    folder = write(tmp_path / "elsewhere" / "web", {**files, "templates/secret.yaml": SECRET})
    secret, values = folder / "templates" / "secret.yaml", tmp_path / "dev.yaml"
    (folder / "templates" / "link.yaml").symlink_to(tmp_path / "project" / "more.yaml")
    values.write_text("a: b\n")
    given: dict[str, str | int | float | bool] = {"auth.password": "hunter3", "c": 1}
    told = export(applying(spec, Chart(chart=folder, values=(values,), set=given)), tmp_path / "out", print)
    place = tmp_path / "out" / "k8s" / "1-web"
    again = Chart(chart=place / "web", release="web", values=(place / "values-1.yaml",), set=given)
    assert load(tmp_path / "out" / "sandbox.yaml").apply == (again,)
    assert (place / "values-1.yaml").read_text() == "a: b\n"
    names = {path.name for path in (place / "web").rglob("*") if path.is_file()}
    assert names == {"Chart.yaml", ".helmignore", "secret.yaml"}
    assert f"{folder / '.env'}: a hidden file" in told.left_out
    assert any("link.yaml" in line for line in told.left_out)
    in_spec = "sandbox.yaml: auth.password of the chart web (set)"
    assert told.carried == [f"{secret}: a Secret", f"{values}: values of the chart web", in_spec]


def test_the_folder_is_a_project_that_says_the_same(spec: ResolvedSpec, tmp_path: Path) -> None:
    told = export(spec, tmp_path / "out", print)
    again = load(tmp_path / "out" / "sandbox.yaml")
    assert (again.name, again.domain, again.registry.port) == ("demo", "demo.sandbox.localhost", spec.registry.port)
    assert [path.read_text() for path in applied(again.apply) if path.is_file()] == ["# more.yaml\n"]
    assert (applied(again.apply)[1] / "a.yaml").read_text() == "# k8s/a.yaml\n"
    assert [one.name for one in again.addons] == ["metrics-server", "mine"]
    assert Path(again.addons[1].addon, "x.yaml").exists() and again.addons[1].values == {"a": "b"}
    assert [line.partition(":")[0] for line in told.left_out] == ["credentials", "network.proxy"]
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"secret" not in written
    versions = yaml.safe_load((tmp_path / "out" / "versions.yaml").read_text())
    assert {"sandbox", "kubernetes", "engine", "images"} == versions.keys()


def test_exported_images_pushed_elsewhere_have_same_digests(
    spec: ResolvedSpec, registry: Simulator, tmp_path: Path
) -> None:
    export(spec, tmp_path / "out", print)
    file = LockFile.of(tmp_path / "out" / "images.yaml")
    lock = file.read()
    assert lock is not None
    with Simulator() as other:
        push(file.entries, other.url, None, Observer(), promised=file.promises(lock))
        for name in ("team/one", "team/two"):
            with Client(registry.url) as here, Client(other.url) as there:
                assert here.manifest_digest(name, "1") == there.manifest_digest(name, "1") is not None
    blobs = [path for path in (tmp_path / "out" / "images").rglob("*") if path.is_file() and len(path.name) == 64]
    assert len(blobs) == len(ONE.files | TWO.files)


def test_export_without_an_image_or_into_a_full_folder_is_refused(
    spec: ResolvedSpec, registry: Simulator, tmp_path: Path
) -> None:
    registry.manifests.clear()
    with pytest.raises(SandboxError, match="has no team/one:1"):
        export(spec, tmp_path / "out", print)
    with pytest.raises(UsageError, match="not empty"):
        export(spec, tmp_path / "out", print)


def test_a_sandbox_with_nothing_special_is_a_short_file(tmp_path: Path) -> None:
    assert export(ResolvedSpec.of(Spec(), registry=5001, https=(443, 8443)), tmp_path / "out", print) == Exported()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["sandbox.yaml", "versions.yaml"]
    assert load(tmp_path / "out" / "sandbox.yaml") == Spec()


@pytest.mark.security(6)
def test_only_what_is_applied_goes_along(spec: ResolvedSpec, tmp_path: Path) -> None:
    """Keys, .env and links to elsewhere in the folders of `apply` and addons → not in the export; Secrets are named."""
    project, vault = tmp_path / "project", tmp_path / "vault"
    write(vault, {"other.yaml": "password: canary\n"})
    for folder in ("k8s", "mine"):
        write(project / folder, dict.fromkeys((".env", "tls.key", "sub/id_rsa"), "canary"))
        (project / folder / "link.yaml").symlink_to(vault / "other.yaml")
        (project / folder / "folder").symlink_to(vault)
        (project / folder / "pipe.json").symlink_to("/dev/zero")
    (project / "k8s" / "inner.yaml").symlink_to("a.yaml")
    write(project, {"k8s/sub/secret.yml": SECRET})
    told = export(spec, tmp_path / "out", print)
    names = sorted(str(path.relative_to(tmp_path / "out" / "k8s")) for path in (tmp_path / "out" / "k8s").rglob("*.*"))
    assert names == ["1-more.yaml", "2-k8s/a.yaml", "2-k8s/inner.yaml", "2-k8s/sub/secret.yml"]
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any(b"canary" in path.read_bytes() for path in files)
    assert sorted(path.name for path in (tmp_path / "out" / "addons" / "mine").iterdir()) == ["addon.yaml", "x.yaml"]
    assert told.carried == [f"{project / 'k8s/sub/secret.yml'}: a Secret"]
    assert any(str(project / "k8s" / "link.yaml") in line and str(vault) in line for line in told.left_out)
