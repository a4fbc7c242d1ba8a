"""Downloads a file of known digest, and keeps it so that a machine without network can have it too."""

import hashlib
import shlex
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.system import files

LARGEST = 128 << 20
TIMEOUT = 60.0


def download(url: str, path: Path, *, sha256: str) -> bytes:
    """Return the content of `url`, whose digest is `sha256`, from the file `path` or else downloaded to it.

    The environment's proxies are used. Raises SandboxError when it is not available or has another digest.
    """
    if path.exists():
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise _other(f"{path} is not the file from {url}", data, sha256, f"rm {shlex.quote(str(path))}")
        return data
    import http.client  # most commands find the file, and these take long to import
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310  # a constant
            data = bytes(response.read(LARGEST))  # if it is longer, its digest differs anyway
    except (OSError, http.client.HTTPException, ValueError) as error:  # the last of a proxy that cannot be read
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise SandboxError(
            f"{path.name} cannot be downloaded",
            details=f"{url}: {error}",
            fix=f"download it on a machine that can, and put it at {path}",
            id="download",
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        fix = f"see what answers there instead of the internet; the right file may be put at {path}"
        raise _other(f"what {url} sent is not the file that it should be", data, sha256, fix)
    files.write_private(path, data)
    return data


def _other(brief: str, data: bytes, sha256: str, fix: str) -> SandboxError:
    actual = hashlib.sha256(data).hexdigest()
    return SandboxError(
        brief, details=f"{len(data)} bytes, sha256 {actual} instead of {sha256}", fix=fix, id="download"
    )
