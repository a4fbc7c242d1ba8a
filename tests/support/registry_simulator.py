"""An OCI registry in memory, strict about the Distribution API and able to misbehave on request; for tests only."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support import http_server
from tests.support.images import OCI_INDEX, OCI_MANIFEST, TestImage, digest_of
from tests.support.token_server import TokenServer

_NAME = r"[a-z0-9]+(?:[._/-][a-z0-9]+)*"
_ROUTES = {
    "manifest": re.compile(rf"/v2/({_NAME})/manifests/([^/]+)"),
    "blob": re.compile(rf"/v2/({_NAME})/blobs/(sha256:[0-9a-f]{{64}}|sha512:[0-9a-f]{{128}})"),
    "uploads": re.compile(rf"/v2/({_NAME})/blobs/uploads/"),
    "upload": re.compile(rf"/v2/({_NAME})/blobs/uploads/([0-9a-f]{{32}})"),
    "tags": re.compile(rf"/v2/({_NAME})/tags/list"),
}
FORM = "application/x-www-form-urlencoded"
RESET = "reset"
RESET_ANSWER = "reset, half of the answer sent"


@dataclass
class Fault:
    """Answer the next `times` requests that fit with a status, or RESET the connection in the middle of their body.

    RESET_ANSWER does what was asked and breaks off in the middle of the answer. `headers` and `body` go with a status.
    """

    method: str
    path: str
    answer: int | str
    times: int = 1
    retry_after: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    status: int
    size: int
    authorization: str = ""


@dataclass
class Simulator:
    """A registry on a free port of `host`, in a thread, while used as a context manager.

    `refuse_mounts` answers every mount with 202 and an upload; `relative_locations` sends Locations without a host and
    with a query; `token` demands `Authorization: Bearer <token>`, which its own `/token` gives to anybody.
    `deletes` says what may be deleted: `all`, only manifests by their `digests`, or nothing.

    `location_base` is put before the path of Locations, with `{port}` in it replaced. `tokens` demands tokens of that
    server, which is under `/auth`, with the grants a request needs; `basic` demands Basic authentication with
    `user:password`. `digest_header` replaces every Docker-Content-Digest. `slowness` is waited for between the pieces
    of an answer, in seconds. `redirect_blobs` is the base of another server to which a GET of a blob is sent. `gate`
    holds every PUT of a blob with more than `gated` bytes until it is set.
    """

    faults: list[Fault] = field(default_factory=list)
    host: str = "127.0.0.1"
    refuse_mounts: bool = False
    relative_locations: bool = False
    digest_headers: bool = True
    deletes: str = "all"
    token: str = ""
    page: int = 100
    location_base: str = ""
    tokens: TokenServer | None = None
    basic: str = ""
    digest_header: str = ""
    slowness: float = 0.0
    redirect_blobs: str = ""
    gate: threading.Event | None = None
    gated: int = 0
    requests: list[Request] = field(default_factory=list)
    content: dict[str, bytes] = field(default_factory=dict)
    links: set[tuple[str, str]] = field(default_factory=set)
    manifests: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    uploads: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> Self:
        self._server = _Server((self.host, 0), type("Handler", (_Handler,), {"registry": self}))
        self._serving = http_server.serving(self._server)
        self._serving.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.__exit__(None, None, None)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self._server.server_address[1]}"

    @property
    def received(self) -> int:
        """The bytes of blob bodies taken in so far, complete or not."""
        return sum(request.size for request in self.requests if "/blobs/uploads/" in request.path)

    @property
    def tags(self) -> set[str]:
        return {f"{repository}:{tag}" for repository, tag in self.manifests if ":" not in tag}

    def count(self, method: str, path: str = "") -> int:
        return sum(1 for one in self.requests if one.method == method and re.search(path, one.path))

    def forget(self) -> None:
        self.requests.clear()

    def publish(self, image: TestImage, repository: str, tag: str) -> str:
        """Have the tag stand for the image; return the image's digest."""
        self.content |= image.files
        self.links |= {(repository, digest) for digest in image.files}
        digest = digest_of(image.manifest)
        for name in (tag, digest):
            self.manifests[repository, name] = (OCI_MANIFEST, digest)
        return digest

    def publish_index(self, top: bytes, images: Sequence[TestImage], repository: str, tag: str) -> None:
        """Have the tag stand for an index of the images."""
        for image in images:
            self.publish(image, repository, digest_of(image.manifest))
        self.content[digest_of(top)] = top
        for name in (tag, digest_of(top)):
            self.manifests[repository, name] = (OCI_INDEX, digest_of(top))

    def manifest(self, repository: str, reference: str) -> Any:
        return json.loads(self.content[self.manifests[repository, reference][1]])


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may leave in the middle of an answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(http_server.Handler):
    registry: Simulator
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _handle(self) -> None:
        registry, parts = self.registry, urlsplit(self.path)
        with registry.lock:
            fault = next(
                (f for f in registry.faults if f.times and f.method == self.command and re.search(f.path, self.path)),
                None,
            )
            if fault:
                fault.times -= 1
        self._torn = fault is not None and fault.answer == RESET_ANSWER
        if fault and fault.answer == RESET:
            self.rfile.read(min(int(self.headers.get("Content-Length", 0)) // 2, 1 << 16))
            self._reset()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._size = len(body)
        if len(body) > registry.gated and self.command == "PUT" and registry.gate and "/blobs/" in parts.path:
            registry.gate.wait(10)
        if fault and isinstance(fault.answer, int):
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            self._answer(fault.answer, fault.body, {**headers, **fault.headers})
        elif registry.tokens and parts.path == "/auth":
            form = body.decode() if self.headers.get("Content-Type") == FORM else ""
            status, answer = registry.tokens.answer(
                self.command, parts.query or form, self.headers.get("Authorization", "")
            )
            self._answer(status, answer)
        elif registry.tokens and (
            challenge := registry.tokens.challenge(
                self.command, self.path, self.headers.get("Authorization", ""), f"{registry.url}/auth"
            )
        ):
            self._answer(401, headers={"WWW-Authenticate": challenge})
        elif registry.basic and self.headers.get("Authorization") != basic(registry.basic):
            self._answer(401, headers={"WWW-Authenticate": 'Basic realm="simulator, closed"'})
        elif parts.path == "/token":
            self._answer(200, json.dumps({"token": registry.token}).encode())
        elif registry.token and self.headers.get("Authorization") != f"Bearer {registry.token}":
            challenge = f'Bearer realm="{registry.url}/token",service="simulator",scope="repository:x:pull"'
            self._answer(401, headers={"WWW-Authenticate": challenge})
        else:
            with registry.lock:
                self._route(parts.path, {key: values[0] for key, values in parse_qs(parts.query).items()}, body)

    def _reset(self) -> None:
        """End the connection as a crash or a cut cable would."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _route(self, path: str, query: dict[str, str], body: bytes) -> None:
        if path == "/v2/":
            self._answer(200)
        elif path == "/v2/_catalog":
            self._list("repositories", sorted({name for name, _ in self.registry.links}), query)
        for name, pattern in _ROUTES.items():
            if found := pattern.fullmatch(path):
                getattr(self, f"_{name}")(*found.groups(), query, body)
                return
        if path not in ("/v2/", "/v2/_catalog"):
            self._answer(404)

    def _tags(self, repository: str, query: dict[str, str], _: bytes) -> None:
        tags = sorted(tag for name, tag in self.registry.manifests if name == repository and ":" not in tag)
        if tags:
            self._list("tags", tags, query)
        else:
            self._refuse(404, "NAME_UNKNOWN")

    def _list(self, key: str, names: list[str], query: dict[str, str]) -> None:
        rest = [name for name in names if name > query.get("last", "")]
        shown = rest[: self.registry.page]
        more = len(rest) > len(shown)
        link = {"Link": f'<{urlsplit(self.path).path}?last={shown[-1]}>; rel="next"'} if more else {}
        self._answer(200, json.dumps({key: shown}).encode(), headers=link)

    def _blob(self, repository: str, digest: str, _: dict[str, str], __: bytes) -> None:
        if (repository, digest) not in self.registry.links:
            self._refuse(404, "BLOB_UNKNOWN")
        elif self.command == "GET" and self.registry.redirect_blobs:
            self._answer(307, headers={"Location": f"{self.registry.redirect_blobs}{self.path}"})
        else:
            self._answer(200, self.registry.content[digest], {"Docker-Content-Digest": digest})

    def _uploads(self, repository: str, query: dict[str, str], _: bytes) -> None:
        mount, source = query.get("mount", ""), query.get("from", "")
        if mount and (source, mount) in self.registry.links and not self.registry.refuse_mounts:
            self.registry.links.add((repository, mount))
            self._answer(201, headers={"Docker-Content-Digest": mount})
            return
        name = uuid.uuid4().hex
        self.registry.uploads.add(name)
        self._answer(202, headers={"Location": self._location(repository, name)})

    def _upload(self, repository: str, name: str, query: dict[str, str], body: bytes) -> None:
        if name not in self.registry.uploads or (self.registry.relative_locations and query.get("state") != "a b"):
            self._refuse(404, "BLOB_UPLOAD_UNKNOWN")
        elif self.command == "DELETE":
            self.registry.uploads.remove(name)
            self._answer(204)
        elif self.command == "GET":
            self._answer(204, headers={"Location": self._location(repository, name)})
        elif self.command == "PUT":
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            if query.get("digest") != digest:
                self._refuse(400, "DIGEST_INVALID")
                return
            self.registry.uploads.remove(name)
            self.registry.content[digest] = body
            self.registry.links.add((repository, digest))
            self._answer(201, headers={"Docker-Content-Digest": digest})
        else:
            self._answer(405)

    def _manifest(self, repository: str, reference: str, _: dict[str, str], body: bytes) -> None:
        if self.command == "PUT":
            self._put_manifest(repository, reference, body)
        elif (repository, reference) not in self.registry.manifests:
            self._refuse(404, "MANIFEST_UNKNOWN")
        elif self.command == "DELETE":
            self._delete_manifest(repository, reference)
        else:
            media_type, digest = self.registry.manifests[repository, reference]
            named = {"Docker-Content-Digest": digest} if self.registry.digest_headers else {}
            self._answer(200, self.registry.content[digest], {"Content-Type": media_type, **named})

    def _delete_manifest(self, repository: str, reference: str) -> None:
        if not self.registry.deletes or (":" not in reference and self.registry.deletes == "digests"):
            self._refuse(400 if self.registry.deletes else 405, "UNSUPPORTED")
            return
        manifests = self.registry.manifests
        gone = [
            (name, tag) for name, tag in manifests if name == repository and reference in (tag, manifests[name, tag][1])
        ]
        for key in gone:
            del manifests[key]
        self._answer(202)

    def _put_manifest(self, repository: str, reference: str, body: bytes) -> None:
        content, digest = json.loads(body), f"sha256:{hashlib.sha256(body).hexdigest()}"
        media_type = self.headers["Content-Type"]
        children = [child["digest"] for child in content.get("manifests", ())]
        layers = [one for one in content.get("layers", ()) if not _elsewhere(one)]
        blobs = [content["config"], *layers] if "layers" in content else []
        if content.get("mediaType", media_type) != media_type or (":" in reference and reference != digest):
            self._refuse(400, "MANIFEST_INVALID")
        elif not all((repository, child) in self.registry.manifests for child in children) or not all(
            self._holds(repository, blob) for blob in blobs
        ):
            self._refuse(400, "MANIFEST_BLOB_UNKNOWN")
        else:
            self.registry.content[digest] = body
            for name in (reference, digest):
                self.registry.manifests[repository, name] = (media_type, digest)
            self._answer(201, headers={"Docker-Content-Digest": digest})

    def _holds(self, repository: str, blob: dict[str, Any]) -> bool:
        """Whether a blob is in the repository with the size a manifest says."""
        digest = blob["digest"]
        return (repository, digest) in self.registry.links and len(self.registry.content[digest]) == blob["size"]

    def _location(self, repository: str, name: str) -> str:
        path = f"/v2/{repository}/blobs/uploads/{name}"
        if self.registry.location_base:
            return self.registry.location_base.format(port=urlsplit(self.registry.url).port) + path
        return f"{path}?state=a%20b" if self.registry.relative_locations else f"http://{self.headers['Host']}{path}"

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode())

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.registry.requests.append(
            Request(self.command, self.path, status, self._size, self.headers.get("Authorization", ""))
        )
        headers = dict(headers or {})
        if "Docker-Content-Digest" in headers and self.registry.digest_header:
            headers["Docker-Content-Digest"] = self.registry.digest_header
        elif not self.registry.digest_headers:
            headers.pop("Docker-Content-Digest", None)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self._torn:
            self.wfile.write(body[: len(body) // 2])
            self._reset()
            return
        if self.command != "HEAD":
            for start in range(0, len(body), 1 << 16) if self.registry.slowness else ():
                self.wfile.write(body[start : start + (1 << 16)])
                self.wfile.flush()
                time.sleep(self.registry.slowness)
            if not self.registry.slowness:
                self.wfile.write(body)
        self.wfile.flush()


def _elsewhere(layer: dict[str, Any]) -> bool:
    """Whether a registry takes a layer's word for it that it can be had from its URLs."""
    return bool(layer.get("urls")) and ("nondistributable" in layer["mediaType"] or ".foreign." in layer["mediaType"])


def basic(account: str) -> str:
    """The Authorization header of `user:password`."""
    return f"Basic {base64.b64encode(account.encode()).decode()}"
