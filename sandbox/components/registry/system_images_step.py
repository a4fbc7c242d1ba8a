"""The sandbox's own images in the registry that nodes of an existing cluster pull from, where no other has them."""

from __future__ import annotations

from dataclasses import dataclass

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

    @property
    def title(self) -> str:
        return "The sandbox's images in the registry"

    def check(self) -> Status:
        try:
            with Client(self.url, keychain=self.keychain) as client:
                missing = [str(one.target) for one in self.entries if not _holds(client, one)]
        except RegistryError as error:
            return Status(State.ABSENT, error.brief)
        return (
            Status(State.ABSENT, f"missing: {', '.join(missing)}")
            if missing
            else Status(State.READY, "in the registry")
        )

    def apply(self, work: Work) -> None:
        from sandbox.images.push import push  # and the sources of images, which a look does without

        push(self.entries, self.url, keychain=self.keychain)


def _holds(client: Client, entry: FromArchive) -> bool:
    return client.manifest_digest(entry.target.repository, str(entry.target.tag)) is not None
