"""Brings accounts to a cluster: kept in one namespace, copied to others, attached to service accounts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sandbox.components.credentials import kept_secret
from sandbox.components.credentials.kept_secret import COPY, KEPT, KEY, LABEL, OURS, Entries, Held, Origin
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.deletion import is_leaving
from sandbox.kube.manifests import namespace
from sandbox.names import SYSTEM_NAMESPACE, Names

ADMISSION_API = "admissionregistration.k8s.io/v1"
POLICY = "sandbox-credentials"
POLICY_KINDS = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
LIST = "entries.json"

Place = tuple[str, str]
"""A namespace and the name of a Secret in it."""


def admission_policy(entries: Sequence[Credentials]) -> tuple[dict[str, Any], ...]:
    """Return the policy and its binding (KEP-3962, stable since Kubernetes 1.36).

    A pod's Secrets are fixed when it is made, and a Deployment applied together with its namespace is faster than
    a program that watches service accounts.
    """
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["serviceaccounts"]}
    mutations = [{"patchType": "JSONPatch", "jsonPatch": {"expression": _expression(one)}} for one in entries]
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "failurePolicy": "Ignore",
        "reinvocationPolicy": "Never",
        "mutations": mutations,
    }
    metadata = {"name": POLICY}
    return (
        {"apiVersion": ADMISSION_API, "kind": POLICY_KINDS[0], "metadata": metadata, "spec": spec},
        {"apiVersion": ADMISSION_API, "kind": POLICY_KINDS[1], "metadata": metadata, "spec": {"policyName": POLICY}},
    )


def _expression(entry: Credentials) -> str:
    """Return the patch (RFC 6902) in CEL: `-` is the end of a list, which must exist."""
    name = json.dumps(entry.secret)
    listed = "has(object.imagePullSecrets)"
    append = f'JSONPatch{{op: "add", path: "/imagePullSecrets/-", value: {{"name": {name}}}}}'
    begin = f'JSONPatch{{op: "add", path: "/imagePullSecrets", value: [{{"name": {name}}}]}}'
    known = f"{listed} && object.imagePullSecrets.exists(one, one.name == {name})"
    return f"{_meant(entry)} && !({known}) ? ({listed} ? [{append}] : [{begin}]) : []"


def _meant(entry: Credentials) -> str:
    where = "request.namespace"
    if entry.namespaces == "all":
        return f"!({where} in {json.dumps(OURS)})"
    return f"{where} in {json.dumps([one for one in entry.namespaces if one != SYSTEM_NAMESPACE])}"


@dataclass(frozen=True)
class PullSecrets:
    """The Secrets of one cluster and the list of their entries; every method raises ClusterError.

    Only a Secret that has an entry counts. Dates, a digest and the accounts themselves come from the Secret; which
    accounts are requested and for whom is what the entry says.
    """

    cluster: Cluster
    entries: Entries

    @classmethod
    def of(cls, names: Names) -> PullSecrets:
        """Return those of a sandbox in its own cluster. Raises ClusterError when there is none."""
        return cls(Cluster(names.kubeconfig), Entries(names.credentials / LIST))

    def held(self) -> dict[str, Held]:
        """Return the facts of the kept Secrets that have an entry, by the Secret's name."""
        return {held.entry.secret: held for _, held in self._held(self._kept())}

    def ignored(self) -> tuple[str, ...]:
        """Return the Secrets that look like kept ones and have no entry: of an earlier release, or planted."""
        entries = self.entries.read()
        return tuple(sorted(name for one in self._kept() if (name := one["metadata"]["name"]) not in entries))

    def keep(self, entry: Credentials, login: Login, origin: Origin) -> None:
        """Keep an entry and its accounts, in place of older ones; for commands only, which wait for each other."""
        self.entries.keep(entry, origin)
        self.place(entry, login)

    def place(self, entry: Credentials, login: Login) -> None:
        """Keep the accounts of an entry that is on the list."""
        self.cluster.apply(namespace(SYSTEM_NAMESPACE))
        self.cluster.apply(kept_secret.kept(entry, login))

    def forget(self, names: Iterable[str]) -> None:
        """Remove these entries; `spread` then removes their copies."""
        gone = set(names)
        self.entries.forget(gone)
        for name in gone:
            self.cluster.delete("v1", "Secret", name, SYSTEM_NAMESPACE)
        for account in self.cluster.list("v1", "ServiceAccount") if gone else ():
            # The policy attaches them to service accounts before there is a copy.
            named = _named(account)
            if gone & set(named):
                with _but_for_gone_namespaces():
                    self._name(account, [name for name in named if name not in gone])

    def spread(self) -> None:
        """Copy what is kept to the namespaces it is meant for, and remove it from others."""
        world = self._look()
        for place in world.missing:
            with _but_for_gone_namespaces():
                self.cluster.apply(world.wanted[place])
        for account, names in world.misnamed:
            with _but_for_gone_namespaces():
                self._name(account, names)
        for space, name in world.stale:
            with _but_for_gone_namespaces():
                self.cluster.delete("v1", "Secret", name, space)
        self._admit(tuple(held.entry for held in self.held().values()))

    def pending(self) -> str | None:
        """Return the first place that lacks what it should have, or has what it should not.

        None when everything is in place.
        """
        world = self._look()
        for place in world.missing:
            return f"{place[0]} has not the present Secret {place[1]}"
        for place in world.stale:
            return f"{place[0]} still has the Secret {place[1]}"
        for account, names in world.misnamed:
            metadata, known = account["metadata"], _named(account)
            lacking = ", ".join(name for name in names if name not in known)
            gone = ", ".join(name for name in known if name not in names)
            said = f"does not name {lacking}" if lacking else f"names {gone}, which is gone"
            return f"the service account {metadata['namespace']}/{metadata['name']} {said}"
        return None

    def _kept(self) -> list[dict[str, Any]]:
        return self.cluster.list("v1", "Secret", SYSTEM_NAMESPACE, selector=f"{LABEL}={KEPT}")

    def _held(self, kept: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Held]]:
        entries = self.entries.read()
        for one in kept:
            entry = entries.get(one["metadata"]["name"])
            held = kept_secret.held(one, entry) if entry else None
            if held is not None:
                yield one, held

    def _look(self) -> _World:
        kept = list(self._held(self._kept()))
        spaces = [one["metadata"]["name"] for one in self.cluster.list("v1", "Namespace") if not is_leaving(one)]
        wanted = {
            (space, held.entry.secret): kept_secret.copy(one, space)
            for space in spaces
            for one, held in kept
            if kept_secret.means(held.entry, space)
        }
        copies = {_place(one): one for one in self.cluster.list("v1", "Secret", selector=f"{LABEL}={COPY}")}
        accounts = self.cluster.list("v1", "ServiceAccount") if wanted or copies else []
        return _World(wanted, copies, accounts, self._gone(accounts))

    def _gone(self, accounts: Iterable[Mapping[str, Any]]) -> frozenset[Place]:
        """Return what earlier releases left: the Secrets of entries that accounts name, where none is meant to be.

        A user's own of the same name counts.
        """
        entries = self.entries.read()
        named = {(one["metadata"]["namespace"], name) for one in accounts for name in _named(one) if name in entries}
        left = [(space, name) for space, name in named if not kept_secret.means(entries[name].given, space)]
        return frozenset(place for place in left if not self.cluster.get("v1", "Secret", place[1], place[0]))

    def _name(self, account: Mapping[str, Any], names: list[str]) -> None:
        """Write the whole list: Kubernetes has it as one value."""
        metadata = {key: account["metadata"][key] for key in ("name", "namespace")}
        listed = [{"name": name} for name in names]
        self.cluster.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "imagePullSecrets": listed}
        )

    def _admit(self, entries: tuple[Credentials, ...]) -> None:
        """Have later service accounts get them from the start; a cluster without such policies does without."""
        if not entries:
            for kind in POLICY_KINDS:
                self.cluster.delete(ADMISSION_API, kind, POLICY)
            return
        try:
            self.cluster.apply_all(admission_policy(entries))
        except ClusterError as error:
            if error.status != 404:
                raise


@dataclass(frozen=True)
class _World:
    """The Secrets and accounts that should exist, and those that do; `gone` are Secrets that are only named."""

    wanted: Mapping[Place, Mapping[str, Any]]
    copies: Mapping[Place, Mapping[str, Any]]
    accounts: list[dict[str, Any]]
    gone: frozenset[Place]

    @property
    def stale(self) -> list[Place]:
        return [place for place in self.copies if place not in self.wanted]

    @property
    def missing(self) -> list[Place]:
        return [place for place, one in self.wanted.items() if _data(self.copies.get(place)) != _data(one)]

    @property
    def misnamed(self) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """Yield the accounts that name too few Secrets, or stale or gone ones, each with all that it should name."""
        stale = self.gone | frozenset(self.stale)
        for account in self.accounts:
            space, known = account["metadata"]["namespace"], _named(account)
            kept = [name for name in known if (space, name) not in stale]
            names = [*kept, *(name for there, name in self.wanted if there == space and name not in known)]
            if names != known:
                yield account, names


def _data(one: Mapping[str, Any] | None) -> str | None:
    return (one.get("data") or {}).get(KEY) if one else None


def _place(one: Mapping[str, Any]) -> Place:
    return one["metadata"]["namespace"], one["metadata"]["name"]


def _named(account: Mapping[str, Any]) -> list[str]:
    return [one["name"] for one in account.get("imagePullSecrets") or ()]


@contextmanager
def _but_for_gone_namespaces() -> Iterator[None]:
    """Ignore errors of namespaces that end meanwhile: nothing can be created there (403), or they are gone (404)."""
    try:
        yield
    except ClusterError as error:
        if error.status not in (403, 404):
            raise
