"""A server's answer, or why there is none: the same for all ways in which registries are reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

Body = bytes | Iterable[bytes] | Mapping[str, str] | None


class Broken(Exception):
    """There is no answer, or it broke off.

    `passing` tells whether another try may succeed, `untrusted` that the host could not prove its identity, or does not
    use TLS at all. `proxy` is the one that was asked for it, without its account. The text may contain URLs with their
    signatures.
    """

    def __init__(self, said: str, *, passing: bool = False, untrusted: bool = False, proxy: str = "") -> None:
        super().__init__(said)
        self.proxy = proxy
        self.passing = passing
        self.untrusted = untrusted


@dataclass
class Response:
    """An answer to a request for `url`; the names of headers are in lower case.

    `read` yields the body in pieces of about the given size, once, and raises Broken. `content` is the body, once it
    was read completely.
    """

    status_code: int
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    read: Callable[[int], Iterator[bytes]] = lambda _: iter(())
    close: Callable[[], None] = lambda: None
    content: bytes = b""

    @property
    def ok(self) -> bool:
        """Tell whether the status is not an error."""
        return self.status_code < 400

    @property
    def is_redirect(self) -> bool:
        """Tell whether it names another place to ask."""
        return self.status_code in (301, 302, 303, 307, 308) and "location" in self.headers

    def header(self, name: str) -> str:
        """Return the value of a header, several in one; empty when it was not sent."""
        return self.headers.get(name.lower(), "")
