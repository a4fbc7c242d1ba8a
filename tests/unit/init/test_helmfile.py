"""The releases of a helmfile are taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.project_folder import look, write

CHART = {"charts/web/Chart.yaml": "name: x", "charts/web/templates/a.yaml": "{{ x }}"}


HELMFILE = """\
repositories:
- {name: bitnami, url: https://charts.bitnami.com/bitnami/}
- {name: ghcr, url: ghcr.io/acme/charts, oci: true}
releases:
- name: web
  namespace: shop
  chart: ./charts/web
  values: [values/web.yaml, {image: {tag: "1"}, hosts: [a, {b: 2}, [3, null]], "x.y": true}, absent.yaml, ../web.yaml]
  set: [{name: debug, value: true}]
  secrets: [secrets.yaml]
  needs: [cache]
---
environments: {default: {values: [env.yaml]}}
releases:
- {name: cache, chart: bitnami/redis, version: 19.0.1}
- {name: info, chart: ghcr/info, version: 6.9.0, namespace: Info_1}
- {name: loose, chart: bitnami/nginx, version: ~15.0}
- {name: odd, chart: 'bitnami/[x]', version: 1.0.0}
- {name: off, chart: bitnami/kafka, version: 1.0.0, installed: false}
"""


RELEASE = {"chart": "charts/web", "release": "a"}


def test_releases_of_a_helmfile_are_taken(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    write(folder, **CHART, **{"helmfile.yaml": HELMFILE, "values/web.yaml": "a: 1\n", "../web.yaml": "a: 1\n"})
    found = look(folder)
    assert found.manifests == (
        {
            "chart": "charts/web",
            "release": "web",
            "namespace": "shop",
            "values": ["values/web.yaml"],
            "set": {"image.tag": "1", "hosts[0]": "a", "hosts[1].b": 2, "hosts[2][0]": 3, "x\\.y": True, "debug": True},
        },
        {"chart": "redis", "repo": "https://charts.bitnami.com/bitnami", "version": "19.0.1", "release": "cache"},
        {"chart": "oci://ghcr.io/acme/charts/info", "version": "6.9.0", "release": "info"},
    )
    assert [note for note in found.notes if "release" in note] == [
        "of the release web these are left out: secrets",
        "of the release web the values absent.yaml are left out",
        "of the release web the values ../web.yaml are left out",
        "of the release info the namespace Info_1 is left out: Kubernetes has none of that name",
        "the release loose is left out: its chart bitnami/nginx has no folder or one version",
        "the release odd is left out: its chart bitnami/[x] has no folder or one version",
    ]


def test_helmfile_with_templates_is_named(tmp_path: Path) -> None:
    write(tmp_path, **{"helmfile.yaml": "releases:\n- name: {{ .Environment.Name }}\n"})
    assert look(tmp_path).notes[0].startswith("helmfile.yaml is left out")


@pytest.mark.parametrize(
    ("said", "more"), [("v.yaml", {"values": ["v.yaml"]}), ("{b: 1}", {"set": {"b": 1}}), ("7", {})]
)
def test_values_of_a_helmfile_need_not_be_a_list(tmp_path: Path, said: str, more: dict[str, Any]) -> None:
    text = f"releases: [{{name: a, chart: ./charts/web, values: {said}}}]\n"
    write(tmp_path, **CHART, **{"helmfile.yaml": text, "v.yaml": "a: 1\n"})
    assert look(tmp_path).manifests == ({**RELEASE, **more},)
