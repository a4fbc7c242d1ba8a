"""The trust stores of a machine, found by where they are known to be and by what was noted when they were changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sandbox.truststore import anchors, java, nss, trust_machine
from sandbox.truststore.bundlefile import BundleFile
from sandbox.truststore.change import Kind, Store
from sandbox.truststore.macos_keychain import Keychain
from sandbox.truststore.trust_machine import Machine
from sandbox.truststore.trust_record import Record
from sandbox.truststore.trusted_root import parse


def find(at: Machine) -> tuple[Store, ...]:
    """Every store on the machine, in the order in which they are changed: the one that asks for a password last."""
    found: list[Store] = []
    if not at.sudo_user:
        found += nss.databases(at.home)
        found.append(BundleFile(bundle(at.folder)))
    if cacerts := at.java_home and java.find(at.java_home):
        found.append(cacerts)
    if system := Keychain() if at.is_macos else anchors.find(at.slash):
        found.append(system)
    return tuple(found)


def remembered(record: Record, known: Sequence[Store]) -> tuple[Store, ...]:
    """The stores that were changed once and that `find` does not come upon any more, such as a second JDK's."""
    places = dict.fromkeys(place for entry in record.entries() for place in entry.places)
    have = {store.place for store in known}
    gone = [(kind, place) for kind, place in places if place not in have]
    return tuple(
        nss.Database(place) if kind == Kind.NSS.value else java.at(place, keytool="keytool")
        for kind, place in gone
        if kind in (Kind.NSS.value, Kind.JAVA.value) and place.exists()
    )


def bundle(folder: Path) -> Path:
    """The file of `--store python`."""
    return folder / "bundle.pem"


def installed(root_pem: bytes, folder: Path) -> tuple[str, ...]:
    """The stores that hold the root, as `KIND PLACE`; looks only. `folder` is that of the record.

    Raises SandboxError when `root_pem` is not a certificate.
    """
    root = parse(root_pem)
    stores = find(trust_machine.here(folder))
    return tuple(f"{store.kind.value} {store.place}" for store in stores if root in store.trusted())
