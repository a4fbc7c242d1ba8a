"""A registry's answer to one request: its headers, its body, and where it leads, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sandbox.oci.address import Address, adopted, joined
from sandbox.oci.connections import Broken, Response
from sandbox.oci.digest import CHUNK
from sandbox.oci.oci_errors import RegistryError


@dataclass(frozen=True)
class Answer:
    """An answer whose status is one that was wanted; `root` is the registry it came from.

    `done` gives back what the request occupied; only streamed answers need it, and `close` calls it.
    """

    response: Response
    action: str
    root: Address
    done: Callable[[], None] = lambda: None

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def content(self) -> bytes:
        return self.response.content

    def header(self, name: str) -> str:
        """Return the value of a header, empty when it was not sent."""
        return self.response.headers.get(name, "")

    def resolve(self, url: str) -> str:
        """`url`, which may be relative to what was asked for, as a full URL on the same registry.

        Raises RegistryError when it leads to another host: uploads and lists stay where they began.
        """
        full = adopted(joined(self.response.url, url), self.root)
        if full is None:
            raise RegistryError(
                f"the registry at {self.root} sends us to another host",
                details=f"{self.action} answered {url.partition('?')[0]}",
                fix="have it send its own address, or relative ones (distribution: http.relativeurls: true)",
            )
        return full

    @property
    def following(self) -> str:
        """Return the URL of the next page of a list (`Link: <…>; rel="next"`, RFC 8288), empty at the end."""
        url = self.response.links.get("next", {}).get("url", "")
        return self.resolve(url) if url else ""

    def chunks(self) -> Iterator[bytes]:
        """Yield the body of a streamed answer, piece by piece. Raises RegistryError when it breaks off."""
        try:
            yield from self.response.iter_content(CHUNK)
        except Broken as error:
            raise RegistryError(f"the answer to {self.action} broke off", details=str(error), transient=True) from error

    def close(self) -> None:
        """Give the connection back, or close it when bytes are left unread."""
        self.response.close()
        self.done()
