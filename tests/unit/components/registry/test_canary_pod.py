"""What the state of the canary's pod tells of its image."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.components.registry import canary_pod


def live(**state: Any) -> dict[str, Any]:
    return {"status": {"containerStatuses": [{"name": "canary", "state": state}]}}


@pytest.mark.parametrize(
    "state",
    [
        {"terminated": {"reason": "StartError"}},
        {"waiting": {"reason": "RunContainerError"}},
        {"waiting": {"reason": "CreateContainerError"}},
    ],
)
def test_whatever_became_of_it_its_image_had_come(state: dict[str, Any]) -> None:
    assert canary_pod.pulled(live(**state))
    assert canary_pod.refusal(live(**state)) is None


def test_a_refused_pull_is_told_in_the_words_of_the_node() -> None:
    found = live(waiting={"reason": "ErrImagePull", "message": "connection refused"})
    assert not canary_pod.pulled(found)
    assert canary_pod.refusal(found) == "connection refused"


def test_before_that_it_is_waited_for() -> None:
    creating = live(waiting={"reason": "ContainerCreating"})
    assert not canary_pod.pulled(creating)
    assert canary_pod.refusal(creating) is None
    assert canary_pod.pending(creating) == "ContainerCreating"
    quota = {"status": {"conditions": [{"type": "PodScheduled", "message": "0/3 nodes are available"}]}}
    assert canary_pod.pending(quota) == "0/3 nodes are available"
