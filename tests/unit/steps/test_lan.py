"""What the plan and the commands know of a sandbox that is open to the network."""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox.certs.keystore import Keystore
from sandbox.names import Names
from sandbox.spec import Settled
from sandbox.steps.lan import Access, access, urls, warning

HERE = "demo.192.168.1.5.nip.io"


def spec(**proxy: object) -> Settled:
    return Settled.model_validate({"name": "demo", "proxy": {"ports": (8443,), **proxy}})


def test_a_sandbox_is_closed_unless_the_spec_opens_it(names: Names) -> None:
    assert access(spec(), Keystore(names.keys)) == Access(open=False)


def test_its_names_are_those_that_the_authority_may_vouch_for(names: Names) -> None:
    keystore, wanted = Keystore(names.keys), spec(listen="192.168.1.5")
    assert access(wanted, keystore) == Access(True, (HERE,))
    keystore.authority(["demo.test"], now=datetime.now(UTC))
    found = access(wanted, keystore)
    assert found == Access(True, (), (HERE,))
    assert f"no certificate for {HERE}, sandbox certs renew --root makes" in warning(found, wanted)
    keystore.renew(["demo.test", HERE], {}, now=datetime.now(UTC), root=True)
    found = access(wanted, keystore)
    assert found == Access(True, (HERE,))
    assert warning(found, wanted) == "open to this machine's networks: 192.168.1.5, port 8443"
    assert urls(found, wanted, (f"app.{wanted.domain}", "x.test")) == (f"https://app.{HERE}:8443/",)


def test_a_process_ends_no_tls_and_so_has_no_other_names(names: Names) -> None:
    assert access(spec(listen="192.168.1.5", run="process"), Keystore(names.keys)) == Access(True)
