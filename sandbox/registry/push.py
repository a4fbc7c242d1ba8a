"""`push`: a list of images into a registry, as one plan in which every blob crosses once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from sandbox.errors import MissingTool, SandboxError
from sandbox.registry import plan as plans
from sandbox.registry.client import Client
from sandbox.registry.holdings import Fact, Holdings
from sandbox.registry.image import Image
from sandbox.registry.imagelist import Entry, FromArchive, FromBuild, FromDaemon, FromLayout, FromRegistry
from sandbox.registry.progress import Action, Observer, Result, Silent
from sandbox.registry.publish import publish
from sandbox.registry.sources import build as builds
from sandbox.registry.sources.archive import Archive
from sandbox.registry.sources.daemon import DaemonImages
from sandbox.registry.sources.layout import Layout
from sandbox.registry.sources.remote import Remote, api_host, host_platform
from sandbox.registry.sources.source import Daemon, Source
from sandbox.registry.target import Target
from sandbox.registry.transfer import carry

LIMIT = 6


class PushFailed(SandboxError):
    """Some images are not in the registry: `failures` says which and why; `results` are those that are."""

    id = "push-failed"

    def __init__(self, results: tuple[Result, ...], failures: Mapping[Target, SandboxError]) -> None:
        first = next(iter(failures.values()))
        lines = [f"{target}: {error}" for target, error in failures.items()]
        count = len(results) + len(failures)
        super().__init__(f"{len(failures)} of {count} images not pushed", details="\n".join(lines), fix=first.fix)
        self.results = results
        self.failures = failures


def push(
    entries: Sequence[Entry],
    registry: str,
    daemon: Daemon | None = None,
    observer: Observer | None = None,
    *,
    limit: int = LIMIT,
    platform: str | None = None,
    thorough: bool = False,
) -> tuple[Result, ...]:
    """Have every image of `entries` in the registry at the URL `registry`; the results come in the same order.

    `daemon` is needed only for images of the Docker Engine. At most `limit` requests are under way at once, over all
    images. `platform` (`os/architecture`) is what tags of other registries are reduced to, by default this machine's.
    `thorough` asks for every blob in every repository, even where an unchanged tag vouches for it.
    One image's failure does not stop the others. Raises PushFailed at the end, RegistryError when there is no registry.
    """
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(Client(registry))
        client.ping()
        remotes = stack.enter_context(contextlib.ExitStack())
        pool = stack.enter_context(ThreadPoolExecutor(limit, thread_name_prefix="push"))
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        run = _Run(client, pool, observer or Silent(), remotes, Holdings(client, thorough=thorough))
        return run(entries, daemon, platform or host_platform())


class _Run:
    """One call of `push`."""

    def __init__(
        self,
        client: Client,
        pool: ThreadPoolExecutor,
        observer: Observer,
        stack: contextlib.ExitStack,
        holdings: Holdings,
    ) -> None:
        self._client = client
        self._pool = pool
        self._observer = observer
        self._stack = stack
        self._holdings = holdings
        self._begun = time.monotonic()

    def __call__(self, entries: Sequence[Entry], daemon: Daemon | None, platform: str) -> tuple[Result, ...]:
        found = self._resolve(entries, daemon, platform)
        images = {entry.target: image for entry in entries if isinstance(image := found[entry.target], Image)}
        failures = {target: error for target, error in found.items() if isinstance(error, SandboxError)}
        for target, error in failures.items():
            self._observer.failed(str(target), error)
        done = self._move(images)
        failures |= {target: error for target, error in done.items() if isinstance(error, SandboxError)}
        results = tuple(result for entry in entries if isinstance(result := done.get(entry.target), Result))
        if failures:
            raise PushFailed(results, {e.target: failures[e.target] for e in entries if e.target in failures})
        return results

    def _resolve(
        self, entries: Sequence[Entry], daemon: Daemon | None, platform: str
    ) -> dict[Target, Image | SandboxError]:
        """Read the documents of all images; those of the engine get their layers into the registry on the way."""
        futures: dict[Target, Future[Image]] = {}
        found: dict[Target, Image | SandboxError] = {}
        local: list[FromDaemon] = []
        remotes: dict[str, Client] = {}
        for entry in entries:
            if not isinstance(entry, FromDaemon | FromBuild):
                futures[entry.target] = self._pool.submit(self._source(entry, platform, remotes).image)
            elif daemon is None:
                found[entry.target] = MissingTool("no Docker Engine", details=f"{entry.target} comes from it")
        for entry in entries:
            if daemon is not None and isinstance(entry, FromDaemon | FromBuild):
                try:
                    local.append(builds.build(entry, daemon) if isinstance(entry, FromBuild) else entry)
                except SandboxError as error:
                    found[entry.target] = error
        if daemon is not None and local:
            engine = DaemonImages(daemon, self._client, self._holdings, self._observer, self._pool)
            found |= engine.resolve(local)
        for target, future in futures.items():
            try:
                found[target] = future.result()
            except SandboxError as error:
                found[target] = error
        return found

    def _source(
        self, entry: FromRegistry | FromArchive | FromLayout, platform: str, remotes: dict[str, Client]
    ) -> Source:
        match entry:
            case FromArchive():
                return Archive(entry.path, entry.image)
            case FromLayout():
                return Layout(entry.path, entry.image)
            case FromRegistry():
                host = api_host(entry.image)
                if host not in remotes:
                    remotes[host] = self._stack.enter_context(Client(host))
                return Remote(remotes[host], entry.image, platform)

    def _move(self, images: Mapping[Target, Image]) -> dict[Target, Result | SandboxError]:
        """Carry all blobs, and publish each image as soon as its own are in place."""
        list(self._pool.map(self._vouch, images.items()))
        plan = plans.make(images)
        self._observer.planned(len(images), len(plan.transfers), plan.size)
        pending = {target: set(plan.needs(target)) for target in images}
        done: dict[Target, Result | SandboxError] = {}
        publishing: dict[Target, Future[Result | SandboxError]] = {}
        carrying = {
            self._pool.submit(carry, transfer, self._client, self._holdings, self._observer): transfer
            for transfer in plan.transfers
        }
        for future in as_completed(carrying):
            transfer, lost = carrying[future], future.result()
            for target in transfer.targets:
                pending[target].discard(transfer.blob.digest)
                if target.repository in lost and target not in done:
                    done[target] = lost[target.repository]
                    self._observer.failed(str(target), lost[target.repository])
                elif not pending[target] and target not in done:
                    publishing[target] = self._pool.submit(self._publish, target, images[target], plan)
        return done | {target: publication.result() for target, publication in publishing.items()}

    def _vouch(self, item: tuple[Target, Image]) -> None:
        """Let the tag vouch for the blobs, where it names this very image already."""
        (target, image), name = item, item[0].tag or item[1].root.digest
        with contextlib.suppress(SandboxError):  # told when the image is published
            if self._holdings.named(target.repository, name) == image.root.digest:
                self._holdings.vouch(target.repository, name, image.root, image.blobs)

    def _publish(self, target: Target, image: Image, plan: plans.Plan) -> Result | SandboxError:
        try:
            written = publish(target, image, self._client, self._holdings)
        except SandboxError as error:
            self._observer.failed(str(target), error)
            return error
        size = sum(self._holdings.uploaded(digest) for digest in plan.charges(target))
        unchanged = not written and all(
            self._holdings.fact(target.repository, blob.digest) is Fact.FOUND for blob in image.blobs
        )
        action = Action.UPLOADED if size else Action.SKIPPED if unchanged else Action.MOUNTED
        result = Result(str(target), image.root.digest, action, size, time.monotonic() - self._begun, image.notes)
        self._observer.finished(result)
        return result
