"""A snapshot's restore as commands and the API call it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.app.running import snapshots
from sandbox.config.schema import Spec
from sandbox.errors import UsageError


def test_minikube_cluster_cannot_be_saved_and_is_told_to_stop() -> None:
    spec = Spec.model_validate({"name": "demo", "cluster": {"provider": "minikube"}})
    sandbox: Any = SimpleNamespace(spec=spec)
    with pytest.raises(UsageError, match="snapshot save works with clusters of kind, not of minikube") as caught:
        snapshots.save(sandbox, None, str)
    assert caught.value.fix == "sandbox stop, which keeps the data"
