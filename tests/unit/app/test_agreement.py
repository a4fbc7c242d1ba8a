"""What a program without a user may not do."""

from __future__ import annotations

import pytest

from sandbox.app.agreement import Agreement, Tenancy
from sandbox.errors import UsageError


def test_namespace_of_a_cluster_is_taken_by_users_only() -> None:
    with pytest.raises(UsageError, match="no user has agreed yet to a sandbox in mine of team") as caught:
        Agreement().tenancy(Tenancy("demo", "team", "https://team.example", "mine", None))
    assert (caught.value.id, caught.value.details) == ("consent", "nothing of this sandbox is there yet")
