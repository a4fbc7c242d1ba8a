"""Every provider says what its clusters can do, and a spec is judged by that alone."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from sandbox.config import capabilities
from sandbox.config.capabilities import CAPABILITIES, ProviderName
from sandbox.config.schema import Cluster, Ingress, Spec
from sandbox.errors import UsageError


@pytest.mark.parametrize("provider", get_args(ProviderName))
def test_refused_keys_are_keys_of_the_spec(provider: ProviderName) -> None:
    for path in CAPABILITIES[provider].refused:
        value: Any = Spec()
        for key in path:
            assert key in type(value).model_fields
            value = getattr(value, str(key))


def test_ingress_addon_is_for_the_spec_to_ask_for() -> None:
    minikube = Spec(cluster=Cluster(provider="minikube"))
    with pytest.raises(UsageError, match="takes the node's ports"):
        capabilities.require_commandable(minikube, "ingress")
    capabilities.require_commandable(minikube, "dashboard")
    capabilities.require_commandable(Spec(), "ingress")
    without = minikube.model_copy(update={"ingress": Ingress(controller="none")})
    capabilities.require_commandable(without, "kong")
