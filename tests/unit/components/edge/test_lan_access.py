"""What the plan and the commands know of a sandbox that is open to the network."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import lan_access
from sandbox.components.edge.lan_access import Access, access, warning
from sandbox.config.schema import ResolvedSpec
from sandbox.names import Names

HERE = "demo.192.168.1.5.nip.io"


def spec(**proxy: object) -> ResolvedSpec:
    return ResolvedSpec.model_validate({"name": "demo", "edge": {"ports": (8443,), **proxy}})


def test_lan_names_are_those_the_ca_may_sign(names: Names) -> None:
    keystore, wanted = Keystore(names.keys), spec(listen="192.168.1.5")
    assert access(wanted, keystore) == Access((HERE,))
    keystore.authority(["demo.test"], now=datetime.now(UTC))
    found = access(wanted, keystore)
    assert found == Access((), (HERE,))
    assert f"no certificate for {HERE}, sandbox certs renew --root makes" in warning(found, wanted)
    keystore.renew(["demo.test", HERE], {}, now=datetime.now(UTC), root=True)
    found = access(wanted, keystore)
    assert found == Access((HERE,))
    assert warning(found, wanted) == "open to this machine's networks: 192.168.1.5, port 8443"
    assert warning(found, spec()) == ""


EVERY = (HERE, "demo.10.0.0.7.nip.io")


@pytest.mark.parametrize(
    ("listen", "domains"),
    [("127.0.0.1", ()), ("::1", ()), ("192.168.1.5", (HERE,)), ("2001:db8::5", ()), ("0.0.0.0", EVERY), ("::", EVERY)],  # noqa: S104
)
def test_listener_outside_loopback_has_a_domain_for_each_address(
    listen: str, domains: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.system.host_network.lan_addresses", lambda: ("192.168.1.5", "10.0.0.7"))
    assert lan_access.domains("demo", listen) == domains
