"""The base of the models of a sandbox.yaml, which refuses what it does not know and cannot be changed once read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A mapping of known keys, whose values are of their own type and not converted to it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
