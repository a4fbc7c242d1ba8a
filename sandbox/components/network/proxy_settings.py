"""The proxy through which this machine's programs reach the outside, as far as containers can use it too."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from sandbox.config.schema.values import PROXY_SCHEMES, is_loopback, proxy_host

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
ANY_SCHEMES = (*PROXY_SCHEMES, "socks5h", "socks4", "socks4a")
BOTH_CASES = (*NAMES, *map(str.lower, NAMES))


@dataclass(frozen=True)
class Proxies:
    """The proxies' URLs, empty for none, which may contain a password; `direct` is what is reached without them."""

    http: str = field(default="", repr=False)
    https: str = field(default="", repr=False)
    direct: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.http or self.https)

    def __str__(self) -> str:
        parts = [urlsplit(url) for url in dict.fromkeys((self.http, self.https)) if url]
        return ", ".join(f"{part.scheme}://{part.netloc.rpartition('@')[2]}" for part in parts) or "none"

    def without_accounts(self) -> Self:
        return replace(self, http=_without_account(self.http), https=_without_account(self.https))


def of_environment(environment: Mapping[str, str]) -> Proxies:
    """Return the environment's proxies (a lower-case variable counts first), without those on a loopback.

    Without a scheme, which most programs allow, they are spoken to by HTTP.
    """
    http, https, spared = (environment.get(name.lower()) or environment.get(name, "") for name in NAMES)
    direct = tuple(word.strip() for word in spared.split(",") if word.strip())
    return Proxies(_usable(http), _usable(https), direct)


def faults(environment: Mapping[str, str], kinds: Iterable[str] = ("http", "https")) -> Iterator[str]:
    """Yield a line for each variable that should name a proxy that containers can use, and does not."""
    for kind in kinds:
        name = f"{kind}_proxy" if environment.get(f"{kind}_proxy") else f"{kind}_proxy".upper()
        schemes = ANY_SCHEMES if kind == "all" else PROXY_SCHEMES  # only programs of this machine read ALL_PROXY
        if (url := environment.get(name)) and not proxy_host(_with_scheme(url), schemes):
            yield f"{name} names no proxy: write http://HOST:PORT"


def shown(url: str) -> str:
    """Return the host of a proxy's URL, whatever its kind, as it can be shown."""
    try:
        return urlsplit(url if "://" in url else f"//{url}").hostname or "an unreadable address"
    except ValueError:
        return "an unreadable address"


def _without_account(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _with_scheme(url: str) -> str:
    return url if "://" in url or not url else f"http://{url}"


def _usable(setting: str) -> str:
    url = _with_scheme(setting)
    host = proxy_host(url)
    return url if host and not is_loopback(host) else ""
