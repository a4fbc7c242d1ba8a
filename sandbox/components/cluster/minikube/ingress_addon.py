"""minikube's ingress addon as the sandbox's: configured for its certificate and edge before it is enabled."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.components.cluster.minikube.command import Minikube
from sandbox.components.cluster.minikube.provider import INGRESS_SETTINGS
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster
from sandbox.kube.manifests import namespace
from sandbox.names import DEFAULT_TLS, SYSTEM_NAMESPACE, Names
from sandbox.step import NothingToUndo, State, Status, Work

ADDON = "ingress"
CERTIFICATE = f"{SYSTEM_NAMESPACE}/{DEFAULT_TLS}"
# The edge's proxy header tells who its clients are. minikube applies its own manifest again at each start, which leaves
# alone what it does not name.
DATA = {"use-proxy-protocol": "true"}


@dataclass(frozen=True)
class MinikubeIngressStep(NothingToUndo):
    """Gives the addon the sandbox's default certificate without a prompt, and the settings that the edge needs.

    A certificate that the user has set for a profile is not replaced.
    """

    minikube: Minikube
    names: Names
    requires: tuple[str, ...]
    name: str = "minikube-ingress"
    title: str = "Certificate of minikube's ingress"

    def check(self) -> Status:
        there = self._certificate()
        if there != CERTIFICATE:
            return Status(State.DRIFTED if there else State.ABSENT, there)
        found = Cluster(self.names.kubeconfig).get(*INGRESS_SETTINGS)
        if found is None or not DATA.items() <= (found.get("data") or {}).items():
            return Status(State.DRIFTED, "the PROXY protocol is off")
        return Status(State.READY, CERTIFICATE)

    def apply(self, work: Work) -> None:
        there = self._certificate()
        if there and there != CERTIFICATE:
            raise UsageError(
                f"the ingress addon of '{self.minikube.profile}' has another certificate: {there}",
                details=f"the sandbox would give it {CERTIFICATE}, and minikube asks before it replaces one",
                fix=f"minikube addons configure {ADDON} --profile {self.minikube.profile}, or take '{ADDON}' out of "
                "`addons` and `ingress: {controller: none}` with it: Traefik then answers",
            )
        cluster = Cluster(self.names.kubeconfig)
        # The first of both creates the namespace; minikube's manifest then has nothing to add to it.
        api_version, kind, name, space = INGRESS_SETTINGS
        cluster.apply(namespace(space))
        metadata = {"name": name, "namespace": space}
        cluster.apply({"apiVersion": api_version, "kind": kind, "metadata": metadata, "data": DATA})
        if not there:
            self.minikube.give_ingress(CERTIFICATE)
            if self.minikube.addons().get(ADDON):
                work.say(f"enabling {ADDON} again")
                self.minikube.enable(ADDON)

    def _certificate(self) -> str:
        found = self.minikube.inspect()
        return found.ingress_certificate if found else ""
