"""Remembers in the cluster which addons of minikube's were off before the sandbox came, and who asked for them."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.kube.records import Records

RECORD = "minikube-addons"


def read(records: Records) -> Mapping[str, str]:
    """The addons, each with `spec` or `command`."""
    return records.read(RECORD) or {}


def write(records: Records, record: Mapping[str, str]) -> None:
    """Remember these and no others."""
    records.write(RECORD, record)


def forget(records: Records, addon: str) -> None:
    """Remember all but this one."""
    write(records, {name: by for name, by in read(records).items() if name != addon})
