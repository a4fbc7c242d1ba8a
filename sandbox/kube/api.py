"""The only door to the Kubernetes API: server-side apply, reads and waits on plain mappings, one kind of error."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from sandbox.config import json_text
from sandbox.errors import Away, SandboxError
from sandbox.kube import api_transport, deletion
from sandbox.kube.manifests import Manifest as Manifest
from sandbox.kube.manifests import title as title

log = logging.getLogger(__name__)

MANAGER = "sandbox"
# An API server with anonymous access answers a request without credentials by 403, and names this user.
ANONYMOUS = "system:anonymous"
UNAUTHORIZED, FORBIDDEN = 401, 403
NO_LOGIN = "log in as for kubectl, until `kubectl auth whoami` works with the same context"
# The statuses by which the API server refuses an object that is being deleted, or belongs to a namespace that is:
# forbidden, not allowed, conflict, and an unprocessable change of an object that could be created again.
REFUSED = {403, 405, 409, 422}
# The statuses by which it says that it cannot answer at the moment, or that something behind it cannot; and its words
# for an etcd that has no leader (etcd, api/v3rpc/rpctypes).
PASSING, LEADERLESS = {429, 502, 503, 504}, "etcdserver: "

Say = Callable[[str], None]


class ClusterError(SandboxError):
    """The cluster refused or did not answer; `details` is the API server's own message."""

    id = "cluster"

    def __init__(self, brief: str, *, details: str = "", fix: str = "", status: int = 0) -> None:
        super().__init__(brief, details=details, fix=fix)
        self.status = status


class NotFound(ClusterError):
    """The object does not exist, or the cluster lacks its kind: status 404."""


class ServerAway(ClusterError, Away):
    """The API server does not answer, or cannot at the moment: a node may be slow or have gone."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A kind in the cluster: its name in paths, whether it is namespaced, and the verbs that the API has for it."""

    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]


def segment(name: str) -> str:
    """Return a name as one segment of a path.

    Raises ClusterError for a name that no object can have (API conventions).
    """
    if name in ("", ".", "..") or "/" in name or "%" in name:
        raise ClusterError(f"{name!r} cannot be the name of an object")
    return quote(name, safe="!$&'()*+,;=:@~")


def trouble_of(kubeconfig: Path) -> str | None:
    """Return why the cluster of a kubeconfig cannot be used or does not answer; None if it is ready."""
    try:
        return Cluster(kubeconfig).trouble()
    except ClusterError as error:
        return str(error)


class Cluster:
    """A cluster, reached by a kubeconfig; every call raises ClusterError when the cluster fails."""

    def __init__(self, kubeconfig: Path) -> None:
        try:
            self.transport = api_transport.of(kubeconfig)
        except OSError as error:
            raise ClusterError("the cluster has no usable kubeconfig", details=str(error)) from error

    def trouble(self) -> str | None:
        try:
            self._call("GET", "/readyz", text=True)
        except ClusterError as error:
            return str(error)
        return None

    def owns(self, live: Manifest) -> bool:
        """Return whether an object is the sandbox's: in a cluster of its own each that it has applied is."""
        return True

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """Return one object, None when it does not exist or the cluster lacks its kind."""
        with suppress(NotFound):
            return dict(self._call("GET", self._path(api_version, kind, namespace, name)))
        return None

    def live(self, manifest: Manifest) -> dict[str, Any] | None:
        metadata = manifest["metadata"]
        return self.get(manifest["apiVersion"], manifest["kind"], metadata["name"], metadata.get("namespace"))

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, *, selector: str = ""
    ) -> list[dict[str, Any]]:
        query = "?" + urlencode({"labelSelector": selector}) if selector else ""
        answer = self._call("GET", self._path(api_version, kind, namespace) + query)
        return [{"apiVersion": api_version, "kind": kind, **item} for item in answer.get("items") or ()]

    def apply(self, manifest: Manifest, *, say: Say = log.info) -> None:
        """Create or change an object as in `manifest` (server-side apply, KEP-555).

        If the object or its namespace is being deleted, it is applied after that has ended; `say` is told. Raises
        BeingDeleted when that does not end.
        """
        try:
            live = self._patch(manifest)
            leaving = live if deletion.is_leaving(live) else None
        except ClusterError as error:
            leaving = deletion.in_the_way(self, manifest) if error.status in REFUSED else None
            if leaving is None:
                raise
        if leaving is not None:
            say(f"waiting for the end of {title(leaving)}")
            deletion.await_end(self, [leaving])
            self._patch(manifest)

    def change(self, live: Manifest, change: Mapping[str, Any], *, manager: str = MANAGER) -> None:
        """Change fields of an existing object, lists as a whole, whatever applied it.

        A merge patch (RFC 7396) never creates a deleted object, and replaces entries of lists that others made; an
        apply does neither.
        """
        metadata = live["metadata"]
        path = self._path(live["apiVersion"], live["kind"], metadata.get("namespace"), metadata["name"])
        query, kind = urlencode({"fieldManager": manager}), "application/merge-patch+json"
        self._call("PATCH", f"{path}?{query}", body=dict(change), kind=kind)

    def rehearse(self, manifest: Manifest) -> dict[str, Any]:
        return dict(self._patch(manifest, dryRun="All"))

    def _patch(self, manifest: Manifest, **more: str) -> Any:
        metadata = manifest["metadata"]
        path = self._path(manifest["apiVersion"], manifest["kind"], metadata.get("namespace"), metadata["name"])
        query = urlencode({"fieldManager": MANAGER, "force": "true", **more})
        try:
            # JSON is YAML; as text, since the client only serializes the content types it knows.
            return self._call(
                "PATCH", f"{path}?{query}", body=json.dumps(manifest), kind="application/apply-patch+yaml"
            )
        except ClusterError as error:
            brief = f"applying {title(manifest)} failed"
            raise type(error)(brief, details=error.details, fix=error.fix, status=error.status) from error

    def apply_all(self, manifests: Iterable[Manifest]) -> None:
        for manifest in manifests:
            self.apply(manifest)

    def delete(
        self, api_version: str, kind: str, name: str, namespace: str | None = None, *, whole: bool = False
    ) -> None:
        """Delete an object; it need not exist. When `whole`, it stays until everything that it owns is deleted."""
        # A Job would leave its pods by default.
        query = urlencode({"propagationPolicy": "Foreground" if whole else "Background"})
        with suppress(NotFound):
            self._call("DELETE", f"{self._path(api_version, kind, namespace, name)}?{query}")

    def log(
        self,
        pod: str,
        namespace: str,
        *,
        lines: int = 10,
        container: str | None = None,
        previous: bool = False,
        seconds: int | None = None,
    ) -> str:
        """Return the last lines of a container's log, perhaps of its run before the last restart; empty without any."""
        options = {"tailLines": lines, "container": container, "sinceSeconds": seconds, "previous": previous or None}
        try:
            return str(self._call("GET", _log(pod, namespace, options), text=True))
        except ClusterError:
            return ""

    def follow_log(self, pod: str, namespace: str, container: str, *, seconds: int | None = None) -> Iterator[str]:
        """Yield the lines that a container writes until it ends; earlier ones too, or those of the last `seconds`."""
        try:
            path = _log(pod, namespace, {"follow": True, "container": container, "sinceSeconds": seconds})
            for line in self.transport.lines(path):
                yield line.decode(errors="replace")
        except api_transport.Unanswered as error:
            raise ClusterError(f"the log of {namespace}/{pod} ends", details=str(error)) from error

    def token(self, account: str, namespace: str, *, seconds: int) -> str:
        """Return a token of a service account, which is not stored in the cluster (TokenRequest)."""
        path = f"{self._path('v1', 'ServiceAccount', namespace, account)}/token"
        of = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        answer = self._call("POST", path, body={**of, "spec": {"expirationSeconds": seconds}})
        return str(answer["status"]["token"])

    def groups(self) -> tuple[str, ...]:
        """Return every API version that the cluster prefers, `v1` first."""
        groups = self._call("GET", "/apis").get("groups") or ()
        return ("v1", *(group["preferredVersion"]["groupVersion"] for group in groups))

    def resources(self, api_version: str) -> tuple[Resource, ...]:
        """Return the kinds of one API version; none if it does not exist."""
        return tuple(self._discover(_base(api_version)).values())

    def may(self, verb: str, group: str, resource: str, namespace: str | None, name: str = "") -> bool:
        """Return whether `verb` on a resource (`pods`, `pods/portforward`) is allowed, in a namespace or none."""
        plain, _, part = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": plain, "subresource": part, "name": name}
        if namespace:
            attributes["namespace"] = namespace
        version, kind = "authorization.k8s.io/v1", "SelfSubjectAccessReview"
        review = {"apiVersion": version, "kind": kind, "spec": {"resourceAttributes": attributes}}
        answer = self._call("POST", f"/apis/{version}/selfsubjectaccessreviews", body=review)
        return bool(answer["status"].get("allowed"))

    def _path(self, api_version: str, kind: str, namespace: str | None, name: str | None = None) -> str:
        base = _base(api_version)
        resource = self._resource(base, kind)
        inside = f"/namespaces/{segment(namespace)}" if resource.namespaced and namespace else ""
        return f"{base}{inside}/{resource.plural}" + ("" if name is None else f"/{segment(name)}")

    def _resource(self, base: str, kind: str) -> Resource:
        kinds = self.transport.kinds
        # A CustomResourceDefinition may just have been applied.
        if kind not in kinds.get(base, {}):
            kinds[base] = self._discover(base)
        if kind not in kinds[base]:
            version = base.removeprefix("/apis/").removeprefix("/api/")
            raise NotFound(f"the cluster knows no {kind} in {version}", status=404)
        resource: Resource = kinds[base][kind]
        return resource

    def _discover(self, base: str) -> dict[str, Resource]:
        try:
            listed = self._call("GET", base).get("resources") or ()
        except NotFound:  # not even the group exists
            return {}
        return {
            resource["kind"]: Resource(
                kind=resource["kind"],
                plural=resource["name"],
                namespaced=resource["namespaced"],
                verbs=frozenset(resource.get("verbs") or ()),
            )
            for resource in listed
            if "/" not in resource["name"]
        }

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        kind: str = "application/json",
        text: bool = False,
    ) -> Any:
        accepted = "*/*" if text else "application/json"
        try:
            if method == "GET":
                status, data = self.transport.read(path, accepted)
            else:
                status, data = self.transport.request(method, path, {"Accept": accepted, "Content-Type": kind}, body)
        except api_transport.Unanswered as error:
            raise ServerAway("the cluster's API server does not answer", details=str(error)) from error
        log.debug("%s %s -> %s", method, path, status)
        answer = data.decode(errors="replace")
        if text and status < 400:
            return answer
        try:
            content = json_text.document(answer)
        except ValueError:
            content = None
        if status >= 400:
            message = str(content["message"]) if isinstance(content, dict) and "message" in content else answer[:500]
            passes = status in PASSING or message.startswith(LEADERLESS)
            failure, fix = ServerAway if passes else NotFound if status == 404 else ClusterError, ""
            if status == UNAUTHORIZED or (status == FORBIDDEN and ANONYMOUS in message):
                message, fix = "\n".join(filter(None, (message, self.transport.login_error))), NO_LOGIN
            raise failure(f"{method} {path} failed", details=message, fix=fix, status=status)
        if not isinstance(content, dict):
            raise ClusterError(
                "what answers is not an API server",
                details=f"{method} {path}: {answer[:200]!r}",
                fix="correct the `server` in the kubeconfig, or end the program that has its port",
            )
        return content


def _base(api_version: str) -> str:
    group, slash, version = api_version.rpartition("/")
    return f"/apis/{segment(group)}/{segment(version)}" if slash else f"/api/{segment(version)}"


def _log(pod: str, namespace: str, options: Mapping[str, Any]) -> str:
    query = urlencode({key: str(value).lower() for key, value in options.items() if value is not None})
    return f"/api/v1/namespaces/{segment(namespace)}/pods/{segment(pod)}/log?{query}"
