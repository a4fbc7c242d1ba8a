"""A chart that consists of others in the project is one with them, as they are now, without `helm dependency build`."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.components.workloads.chart_dependencies import parts, unpacked, whole
from sandbox.errors import BadFile


def chart(place: Path, *needed: str) -> Path:
    (place / "templates").mkdir(parents=True)
    entries = "".join(f"- {{name: {name}, version: 1.0.0, repository: file://../{name}}}\n" for name in needed)
    dependencies = f"dependencies:\n{entries}" if entries else ""
    (place / "Chart.yaml").write_text(f"apiVersion: v2\nname: {place.name}\nversion: 1.0.0\n{dependencies}")
    (place / "templates" / "a.yaml").write_text(f"# of {place.name}\n")
    return place


def test_charts_of_a_chart_are_at_their_places(tmp_path: Path) -> None:
    shop, web, common = (chart(tmp_path / name, *needed) for name, needed in NAMED.items())
    assert list(parts(shop)) == [(Path(), shop), (Path("charts/web"), web), (INNER, common)]
    (web / "templates" / "a.yaml").write_text("# changed\n")
    with whole(shop) as folder:
        assert (folder.name, (folder / "templates/a.yaml").read_text()) == ("shop", "# of shop\n")
        assert (folder / "charts/web/templates/a.yaml").read_text() == "# changed\n"
        assert (folder / INNER / "templates/a.yaml").read_text() == "# of common\n"
    assert not folder.exists()
    assert not (shop / "charts").exists()
    with whole(common) as folder:
        assert folder == common


NAMED = {"shop": ("web",), "web": ("common",), "common": ()}
INNER = Path("charts/web/charts/common")


@pytest.mark.parametrize("there", ["charts/web-1.0.0.tgz", "charts/web/Chart.yaml"])
def test_chart_that_has_what_it_needs_is_taken_as_it_is(tmp_path: Path, there: str) -> None:
    shop = chart(tmp_path / "shop", "web")
    chart(tmp_path / "web")
    (shop / there).parent.mkdir(parents=True)
    (shop / there).touch()
    assert unpacked(shop) == {}


@pytest.mark.parametrize("name", ["gone", "../web", "web/../web"])
def test_missing_chart_is_left_to_helm(tmp_path: Path, name: str) -> None:
    assert unpacked(chart(tmp_path / "shop", name)) == {}


def test_chart_that_cannot_be_copied_is_named(tmp_path: Path) -> None:
    shop = chart(tmp_path / "shop", "web")
    (chart(tmp_path / "web") / "gone").symlink_to("nowhere")
    with pytest.raises(BadFile, match="shop cannot be copied"), whole(shop):
        pass
