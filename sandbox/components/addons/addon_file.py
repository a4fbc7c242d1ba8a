"""The format of an addon's own file, addon.yaml, as frozen models."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from sandbox.config.schema import RemoteChart
from sandbox.config.schema.values import Label
from sandbox.oci import digest as digests

OTHER = "yours"  # the topic of an addon that names none


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Condition(_Model):
    """A condition that the status of an object has to have, such as Available of an APIService."""

    apiVersion: str
    kind: str
    name: str
    namespace: str | None = None
    condition: str


Digest = Annotated[str, AfterValidator(digests.checked)]


class AddonChart(_Model):
    """A Helm chart of a registry or a repository, with values for a laptop.

    What has no digest here is locked to what the first `enable` finds.
    """

    chart: str = Field(
        description="As below `apply`: `oci://REGISTRY/PATH/NAME`, or the name in the repository `repo`."
    )
    repo: str | None = Field(default=None, description="The URL of the chart's repository.")
    version: str = Field(description="The chart's version.")
    digest: Digest | None = Field(default=None, description="That of the chart's archive.")
    namespace: str | None = Field(default=None, description="Where it is installed; by default the addon's name.")
    values: dict[str, JsonValue] = Field(default={}, description="The chart's values, with placeholders.")
    images: dict[str, Digest] = Field(default={}, description="Digests of images, by their names in the chart.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            source = {"chart": self.chart, "repo": self.repo, "version": self.version}
            RemoteChart.model_validate({**source, "namespace": self.namespace or "default"})
        except ValidationError as error:
            lines = (f"{'.'.join(map(str, line['loc']))} {line['msg']}".strip() for line in error.errors())
            raise ValueError("; ".join(lines).replace("Value error, ", "")) from None
        return self


class Page(_Model):
    service: str
    port: int


class Login(_Model):
    user: str
    secret: str
    key: str


class Description(_Model):
    """The content of an addon.yaml; in any case, every workload in the manifests has to become ready."""

    title: str = Field(description="What it is, in a few words.")
    topic: str = Field(default=OTHER, description="What it is listed under.")
    chart: AddonChart | None = Field(default=None, description="A chart that it installs besides its manifests.")
    page: Page | None = Field(default=None, description="What is served at https://ADDON.DOMAIN.")
    login: Login | None = Field(default=None, description="How to sign in there.")
    hint: str | None = Field(default=None, description="How to reach or use it, in one line, with placeholders.")
    needs: tuple[Label, ...] = Field(default=(), description="The sandbox's own addons that have to be there first.")
    images: dict[str, str] = Field(default={}, description="Placeholder -> component of the bundle whose image it is.")
    values: dict[str, str] = Field(default={}, description="Placeholder -> its value where the spec says no other.")
    ready: tuple[Condition, ...] = Field(default=(), description="Conditions that make it ready.")
    untested: bool = Field(default=False, description="It never ran with its real images.")
    instead: str | None = Field(default=None, description="The setting that brings it, when it is no addon.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.page and not self.chart:
            raise ValueError("`page` is for an addon with a `chart`; write an Ingress among the manifests")
        return self
