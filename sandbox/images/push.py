"""`push`: sends a list of images to a registry, as one plan in which every blob is sent once."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.images.image_lookup import Lookup, Outcome
from sandbox.images.images_yaml import Entry
from sandbox.images.lockfile import Promise, require
from sandbox.images.progress import Action, Ending, Observer, Result
from sandbox.images.sources.image_source import EngineAccess
from sandbox.images.transfer import BlobInventory, Carried, Destination, Transfer, carry, plan_transfers, publish
from sandbox.oci.client import Clients
from sandbox.oci.credential import Keychain
from sandbox.oci.image import Image, host_platform
from sandbox.oci.manifest import Compression
from sandbox.oci.reference import Target
from sandbox.system import interruption

LIMIT = 8  # requests at once


class PushFailed(SandboxError):
    """Some images were not pushed. `untried` were given up because others failed."""

    id = "push-failed"

    def __init__(
        self, results: tuple[Result, ...], failures: Mapping[Target, SandboxError], untried: Sequence[Target] = ()
    ) -> None:
        fixes = {error.fix for error in failures.values()}
        lines = []
        for target, error in failures.items():
            lines.append(f"{target}: {error}")
            if len(fixes) > 1 and error.fix:
                lines.append(f"fix: {error.fix}")
        lines += [f"{target}: not tried any more" for target in untried]
        count = len(results) + len(failures) + len(untried)
        super().__init__(
            f"{len(failures) + len(untried)} of {count} images not pushed",
            details="\n".join(lines),
            fix="do what is said of each image, then push again" if len(fixes) > 1 else fixes.pop(),
        )
        self.results = results
        self.failures = failures
        self.untried = tuple(untried)


def push(
    entries: Sequence[Entry],
    registry: str,
    daemon: Engine | None = None,
    observer: Observer | None = None,
    *,
    thorough: bool = False,
    fail_fast: bool = False,
    dry: bool = False,
    compression: Compression = Compression.RAW,
    promised: Mapping[Target, Promise] | None = None,
    keychain: Keychain | None = None,
    access: EngineAccess | None = None,
) -> tuple[Result, ...]:
    """Push every image of `entries` to the registry at the URL `registry`; the results come in the same order.

    `thorough` tests every blob in every repository, even where an unchanged tag vouches for it. `compression` is for
    raw layers of the engine. One image's failure does not stop the others, unless `fail_fast`. A `dry` run changes
    nothing, and has no result for images that the engine would build or save first. Raises PushFailed, RegistryError,
    and Drift before anything is sent.
    """
    ending, promised = Ending(observer or Observer()), promised or {}
    with contextlib.ExitStack() as stack:
        clients = Clients(stack, keychain)
        client = clients.at(registry)
        client.ping()
        files = stack.enter_context(contextlib.ExitStack())
        pool = stack.enter_context(workers(ending))
        destination = Destination(client, BlobInventory(client, thorough=thorough), ending.sent, pool, dry)
        lookup = Lookup(clients, destination, daemon, access or EngineAccess(), compression, files, host_platform())
        return _Run(lookup, ending, promised, fail_fast).push(entries)


@contextlib.contextmanager
def workers(ending: Ending) -> Iterator[ThreadPoolExecutor]:
    """Yield threads for requests; an error ends their work at once, rather than waiting for a large upload."""
    pool = ThreadPoolExecutor(LIMIT, thread_name_prefix="push")
    try:
        yield pool
    except BaseException:
        ending.end()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


@dataclass
class _Run:
    lookup: Lookup
    ending: Ending
    promised: Mapping[Target, Promise]
    fail_fast: bool
    started: float = field(default_factory=time.monotonic)

    def push(self, entries: Sequence[Entry]) -> tuple[Result, ...]:
        local, failed = self.lookup.built(entries, self.ending.observer.building)
        results: dict[Target, Result | SandboxError] = dict(failed)
        if not (failed and self.fail_fast):
            if self.promised:
                require(self.promised, self.lookup.sources(local))
            images: dict[Target, Outcome] = {**failed, **self.lookup.images(entries, local)}
            actual = {}
            for target, image in images.items():
                if isinstance(image, Image):
                    actual[target] = Promise(image.source or image.root.digest, image.root.digest)
            require(self.promised, actual)
            results = self._push(images)
        pushed = tuple(result for entry in entries if isinstance(result := results.get(entry.target), Result))
        failures = {e.target: error for e in entries if isinstance(error := results.get(e.target), SandboxError)}
        if failures:
            raise PushFailed(pushed, failures, [e.target for e in entries if e.target not in results])
        return pushed

    def _push(self, outcomes: Mapping[Target, Outcome]) -> dict[Target, Result | SandboxError]:
        images: dict[Target, Image] = {}
        results: dict[Target, Result | SandboxError] = {}
        for target, outcome in outcomes.items():
            if isinstance(outcome, Image):
                images[target] = outcome
            else:
                results[target] = self._failed(target, outcome)
        if results and self.fail_fast:
            return results
        pool = self.lookup.destination.pool
        images = dict(zip(images, pool.map(self._vouched, images.items()), strict=True))
        transfers = plan_transfers(images)
        self.ending.observer.planned(len(images), len(transfers), sum(transfer.blob.size for transfer in transfers))
        carried = {
            transfer.blob.digest: result
            for transfer, result in zip(transfers, pool.map(self._carry, transfers), strict=True)
        }
        published = pool.map(lambda item: self._publish(item[0], item[1], carried), images.items())
        return results | {target: result for target, result in zip(images, published, strict=True) if result}

    def _vouched(self, item: tuple[Target, Image]) -> Image:
        target, image = item
        if not image.published:
            with contextlib.suppress(SandboxError):  # reported when the image is published
                name = target.tag or image.root.digest
                same = self.lookup.destination.client.manifest_digest(target.repository, name) == image.root.digest
                image = replace(image, published=same)
        if image.published:
            self.lookup.destination.inventory.vouch(target.repository, image.blobs)
        return image

    def _carry(self, transfer: Transfer) -> Carried:
        try:
            self.ending.check()
            carried = carry(transfer, self.lookup.destination)
        except interruption.Interrupted:
            interruption.check()  # the whole command, rather than this run, which another transfer's failure has ended
            return Carried(transfer.first, 0, (), {})
        if self.fail_fast and carried.failures:
            self.ending.end()
        if not carried.sent:
            self.ending.observer.spared(transfer.blob.size)
        return carried

    def _failed(self, target: Target, error: SandboxError) -> SandboxError:
        self.ending.observer.failed(str(target), error)
        return error

    def _publish(self, target: Target, image: Image, carried: Mapping[str, Carried]) -> Result | SandboxError | None:
        sizes, repository = {blob.digest: blob.size for blob in image.blobs}, target.repository
        failures = (carried[digest].failures for digest in sizes)
        if error := next((failed[repository] for failed in failures if repository in failed), None):
            return self._failed(target, error)
        try:
            self.ending.check()
            if not (image.published or self.lookup.destination.dry):
                publish(target, image, self.lookup.destination)
        except interruption.Interrupted:
            interruption.check()
            return None
        except SandboxError as error:
            if self.fail_fast:
                self.ending.end()
            return self._failed(target, error)
        own = [digest for digest in sizes if carried[digest].sent and carried[digest].first == target]
        size = sum(carried[digest].sent for digest in own)
        is_unchanged = image.published and not any(repository in carried[digest].brought for digest in sizes)
        result = Result(
            target=str(target),
            digest=image.root.digest,
            action=Action.UPLOADED if size else Action.SKIPPED if is_unchanged else Action.MOUNTED,
            blobs=len(own),
            size=size,
            seconds=time.monotonic() - self.started,
            notes=image.notes,
            unique=sum(sizes[digest] for digest in own),
            source=image.source or image.root.digest,
            platforms=image.platforms,
        )
        self.ending.observer.finished(result)
        return result
