"""The edge's routes as files, and the configuration that follows them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.proxy import config, edge, routes
from sandbox.proxy.routes import Route


def route(name: str, since: float = 1.0, domain: str = "") -> Route:
    listen = (("127.0.0.1", 443), ("0.0.0.0", 8443))  # noqa: S104
    return Route(name, domain or f"{name}.sandbox.localhost", f"sandbox-{name}-control-plane", listen, since)


def test_routes_come_back_as_they_were_saved_oldest_first(tmp_path: Path) -> None:
    assert routes.load(tmp_path) == ()
    saved = [route("a", 3.0), route("b", 1.5), route("c", 2.0)]
    for one in saved:
        routes.save(tmp_path, one)
    assert routes.load(tmp_path) == (saved[1], saved[2], saved[0])
    assert routes.find(saved, "b") == saved[1]
    assert routes.find(saved, "none") is None


def test_a_route_is_replaced_by_a_newer_one_of_its_name(tmp_path: Path) -> None:
    routes.save(tmp_path, route("a"))
    routes.save(tmp_path, route("a", domain="other.test"))
    assert [one.domain for one in routes.load(tmp_path)] == ["other.test"]


def test_a_route_goes_once(tmp_path: Path) -> None:
    assert routes.remove(tmp_path, "a") is False
    routes.save(tmp_path, route("a"))
    assert routes.remove(tmp_path, "a") is True
    assert routes.remove(tmp_path, "a") is False
    assert routes.load(tmp_path) == ()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": "a"}', '"text"', '{"name": "a", "listen": 5}', "\x00"])
def test_a_corrupt_route_is_named_with_what_removes_it(tmp_path: Path, text: str) -> None:
    routes.save(tmp_path, route("b"))
    (tmp_path / "routes" / "a.json").write_text(text)
    with pytest.raises(SandboxError) as caught:
        routes.load(tmp_path)
    assert caught.value.fix == f"rm {tmp_path / 'routes' / 'a.json'}"


def test_the_edge_s_folder_follows_the_routes(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    assert not edge.is_current(folder, [])
    edge.write(folder, [route("a")])
    assert edge.is_current(folder, [route("a")])
    assert not edge.is_current(folder, [route("a"), route("b")])
    # The edge's container reads it as another user.
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert {stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()} == {0o644}
    (folder / "suffix.map").unlink()
    assert not edge.is_current(folder, [route("a")])


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_maps_lead_each_domain_and_what_is_below_it_to_its_backend() -> None:
    found = config.render([route("a", domain="demo.test"), route("b", domain="deep.demo.test")])
    assert lines(found["exact.map"]) == [["deep.demo.test", "b"], ["demo.test", "a"]]
    # The first that fits wins, so the most specific has to come first.
    assert lines(found["suffix.map"]) == [[".deep.demo.test", "b"], [".demo.test", "a"]]
    for name in "ab":
        assert ["backend", name] in lines(found["haproxy.cfg"])
        assert ["server", "node", f"sandbox-{name}-control-plane:443", "send-proxy-v2"] in lines(found["haproxy.cfg"])


def test_unknown_hosts_get_the_newest_sandbox_and_nothing_when_there_is_none() -> None:
    assert ["default_backend", "b"] in lines(config.render([route("a"), route("b")])["haproxy.cfg"])
    assert "default_backend" not in config.render([])["haproxy.cfg"]
