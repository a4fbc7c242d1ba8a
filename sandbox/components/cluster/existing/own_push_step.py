"""The step that pushes the sandbox's own images, which no node of an existing cluster has."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.errors import SandboxError
from sandbox.images.images_yaml import FromArchive
from sandbox.oci.client import Client
from sandbox.oci.credential import Keychain
from sandbox.oci.oci_errors import RegistryError
from sandbox.step import NothingToUndo, State, Status, Work


@dataclass(frozen=True)
class OwnPushStep(NothingToUndo):
    """Images of the bundle, pushed to the registry at `url`; their tags are as specific as their content."""

    entries: tuple[FromArchive, ...]
    url: str
    keychain: Keychain | None
    requires: tuple[str, ...]
    name: str = "own-images"
    title: str = "The sandbox's images in the registry"

    def check(self) -> Status:
        try:
            with Client(self.url, keychain=self.keychain) as client:
                missing = [
                    str(entry.target)
                    for entry in self.entries
                    if client.manifest_digest(entry.target.repository, str(entry.target.tag)) is None
                ]
        except RegistryError as error:
            return Status(State.ABSENT, error.brief)
        return (
            Status(State.ABSENT, f"missing: {', '.join(missing)}")
            if missing
            else Status(State.READY, "in the registry")
        )

    def apply(self, work: Work) -> None:
        from sandbox.images.push import push  # and the sources of images, which a check does without

        missing = [str(entry.path) for entry in self.entries if not entry.path.exists()]
        if missing:  # the engine may still have the images, and other checkouts have only their own versions
            raise SandboxError(
                "the bundle is not complete",
                details=f"missing: {', '.join(missing)}",
                fix="sandbox bundle build",
                id="no-bundle",
            )
        push(self.entries, self.url, keychain=self.keychain)
