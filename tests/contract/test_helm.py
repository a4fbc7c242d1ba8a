"""The real helm with the chart of a stranger: rendering runs nothing and reads nothing of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.components.workloads.helm import Helm
from sandbox.config.schema import Chart
from sandbox.errors import BadFile
from tests.support import bundled

pytestmark = pytest.mark.real

HOSTILE = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: guest}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: []
---
apiVersion: v1
kind: ConfigMap
metadata: {name: taken}
data:
  above: {{ .Files.Get "../../secret" | quote }}
  absolute: {{ .Files.Get "/etc/hostname" | quote }}
  name: {{ getHostByName "localhost" | quote }}
  cluster: {{ lookup "v1" "Secret" "" "" | toJson | quote }}
---
apiVersion: v1
kind: Pod
metadata: {name: taker, annotations: {helm.sh/hook: pre-install}}
spec:
  hostPID: true
  volumes: [{name: all, hostPath: {path: /}}]
  containers: [{name: taker, image: taker, securityContext: {privileged: true}}]
"""


@pytest.fixture
def helm() -> Helm:
    return bundled.helm()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("the user's own", encoding="utf-8")
    root = tmp_path / "project"
    (root / "chart" / "templates").mkdir(parents=True)
    (root / "chart" / "Chart.yaml").write_text("apiVersion: v2\nname: guest\nversion: 1.0.0\n", encoding="utf-8")
    (root / "chart" / "templates" / "all.yaml").write_text(HOSTILE, encoding="utf-8")
    (root / "sandbox.yaml").write_text("name: demo\napply: [{chart: chart}]\n", encoding="utf-8")
    return root


@pytest.mark.security(17)
def test_hostile_chart_reads_neither_files_names_nor_cluster(helm: Helm, project: Path) -> None:
    """A chart asks for files above it, a host's address and Secrets → it is given nothing of them."""
    found = {one["kind"]: one for one in helm.render(Chart(chart=project / "chart"))}
    assert found["ConfigMap"]["data"] == {"above": "", "absolute": "", "name": "", "cluster": "{}"}


@pytest.mark.security(17)
def test_name_of_a_charts_folder_is_no_option_of_real_helm(
    helm: Helm, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chart in a folder called `--output-dir=..` → helm refuses the name, and writes nothing."""
    folder = (project / "chart").rename(project / "--output-dir=..")
    monkeypatch.chdir(folder)
    with pytest.raises(BadFile, match="does not render") as caught:
        helm.render(Chart(chart=folder))
    assert "invalid release name" in caught.value.details
    assert not (project / "guest").exists()


@pytest.mark.security(17)
def test_path_of_values_with_commas_is_one_file(helm: Helm, project: Path) -> None:
    """Values whose path ends in the path of a file of the user → read from the project, and that one is not."""
    template = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {said: "{{ .Values.said }}"}\n'
    (project / "chart" / "templates" / "all.yaml").write_text(template, encoding="utf-8")
    users = project.parent / "users.yaml"
    own = Path(f"{project}/a,{users}")
    own.parent.mkdir(parents=True)
    for path, said in {users: "the user's own", own: "the project's", project / "a": ""}.items():
        path.write_text(f"said: {said!r}\n", encoding="utf-8")
    (found,) = helm.render(Chart(chart=project / "chart", values=(own,)))
    assert found["data"]["said"] == "the project's"


def test_template_that_does_not_end_in_objects_is_an_error(helm: Helm, project: Path) -> None:
    (project / "chart" / "templates" / "all.yaml").write_text('{{ fail "not for you" }}\n', encoding="utf-8")
    with pytest.raises(BadFile, match="does not render") as caught:
        helm.render(Chart(chart=project / "chart"))
    assert "not for you" in caught.value.details
