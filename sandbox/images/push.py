"""`push`: sends a list of images to a registry, as one plan in which every blob is sent once."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.images.image_lookup import Elsewhere, FoundImage, Outcome, Remembering, built, of_engine, outcome
from sandbox.images.images_yaml import Entry, FromDaemon
from sandbox.images.lockfile import Drift, Promise, broken_promises
from sandbox.images.progress import Action, Ending, Observer, Result
from sandbox.images.sources.compressed import CompressedImages
from sandbox.images.sources.docker_engine import DaemonImages
from sandbox.images.sources.engine_files import Unreadable
from sandbox.images.sources.image_source import Daemon, EngineAccess
from sandbox.images.transfer import BlobInventory, Destination, Fact, Plan, Transfer, carry, plan_transfers, publish
from sandbox.oci.client import Clients
from sandbox.oci.compression import Compression
from sandbox.oci.credential import Keychain
from sandbox.oci.digest import DigestMismatch
from sandbox.oci.image import Image, host_platform
from sandbox.oci.reference import Target
from sandbox.system import interruption

LIMIT = 6  # requests at once
SMALL_BODY = 1 << 20  # bytes
_DAMAGED = (Unreadable, DigestMismatch)

log = logging.getLogger(__name__)


class PushFailed(SandboxError):
    """Some images were not pushed: `failures` says which and why; `results` are those that were.

    `untried` are those that were given up because others failed.
    """

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
        brief = f"{len(failures) + len(untried)} of {count} images not pushed"
        fix = "do what is said of each image, then push again" if len(fixes) > 1 else fixes.pop()
        super().__init__(brief, details="\n".join(lines), fix=fix)
        self.results = results
        self.failures = failures
        self.untried = tuple(untried)


def push(
    entries: Sequence[Entry],
    registry: str,
    daemon: Daemon | None = None,
    observer: Observer | None = None,
    *,
    limit: int = LIMIT,
    platform: str | None = None,
    thorough: bool = False,
    fail_fast: bool = False,
    compression: Compression = Compression.RAW,
    promised: Mapping[Target, Promise] | None = None,
    keychain: Keychain | None = None,
    access: EngineAccess | None = None,
) -> tuple[Result, ...]:
    """Push every image of `entries` to the registry at the URL `registry`; the results come in the same order.

    `daemon` is needed only for images of the Docker Engine, which are read and built as `access` says. At most `limit`
    large blobs and `limit` small requests are sent at once, over all images. `platform` (`os/architecture`) is what
    tags of other registries are reduced to, by default this machine's. `thorough` tests every blob in every repository,
    even where an unchanged tag vouches for it. `compression` is for raw layers of the engine. `keychain` has accounts
    at registries. One image's failure does not stop the others, unless `fail_fast`. Raises PushFailed at the end,
    RegistryError when there is no registry, and Drift, before anything is pushed, when an image is not what was
    `promised`.
    """
    ending, access = Ending(observer or Observer()), access or EngineAccess()
    with contextlib.ExitStack() as stack:
        clients = Clients(stack, keychain)
        client = clients.at(registry)
        client.ping()
        folders = stack.enter_context(contextlib.ExitStack())
        pool = stack.enter_context(workers(limit, ending))
        heavy = stack.enter_context(workers(limit, ending))
        destination = Destination(client, BlobInventory(client, thorough=thorough), ending, pool)
        engine = Remembering(daemon) if daemon else None
        source = of_engine(compression, engine, destination, folders, access) if engine else None
        run = _Run(
            destination=destination,
            heavy=heavy,
            ending=ending,
            elsewhere=Elsewhere(pool, clients, platform or host_platform()),
            engine=engine,
            source=source,
            fail_fast=fail_fast,
            promised=promised or {},
            buildx=access.buildx,
        )
        return run(entries)


@contextlib.contextmanager
def workers(limit: int, ending: Ending) -> Iterator[ThreadPoolExecutor]:
    """Yield threads for requests; an error ends their work at once, rather than waiting for a large upload."""
    pool = ThreadPoolExecutor(limit, thread_name_prefix="push")
    try:
        yield pool
    except BaseException:
        ending.end()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


@dataclass(kw_only=True)
class _Run:
    """One call of `push`; `heavy` has the threads for large blobs, so that small ones do not queue behind them.

    Images come from `elsewhere` and, if there is an `engine`, from that by `source`.
    """

    destination: Destination
    heavy: Executor
    ending: Ending
    elsewhere: Elsewhere
    engine: Remembering | None
    source: DaemonImages | CompressedImages | None
    fail_fast: bool
    promised: Mapping[Target, Promise]
    buildx: Path | None
    read: frozenset[Target] = frozenset()  # images of the engine's folders; those that are damaged are saved
    begun: float = field(default_factory=time.monotonic)

    def __call__(self, entries: Sequence[Entry]) -> tuple[Result, ...]:
        futures = self.elsewhere.begin(entries)
        local, failed = built(entries, self.engine, self.ending, self.buildx)
        if self.promised:
            self._require({target: future.result() for target, future in futures.items()}, local)
        done: dict[Target, Result | SandboxError] = dict(failed)
        if not (failed and self.fail_fast):
            self.read = frozenset(entry.target for entry in local)
            found = self._from_engine(local)
            done |= self._pushed(found | {target: future.result() for target, future in futures.items()})
            if damaged := [entry for entry in local if isinstance(done.get(entry.target), _DAMAGED)]:
                log.info("saved after all: %s", ", ".join(str(entry.target) for entry in damaged))
                self.read = frozenset()
                done |= self._pushed(self._from_engine(damaged))
        results = tuple(result for entry in entries if isinstance(result := done.get(entry.target), Result))
        failures = {e.target: error for e in entries if isinstance(error := done.get(e.target), SandboxError)}
        if failures:
            raise PushFailed(results, failures, [e.target for e in entries if e.target not in done])
        return results

    def _from_engine(self, local: Sequence[FromDaemon]) -> dict[Target, Outcome]:
        if not (self.engine and self.source and local):
            return {}
        if not self.read:
            self.source.stop_reading()
        images, client = self.source.resolve(local), self.destination.client
        return {e.target: outcome(e, images[e.target], self.engine.id(e.image), client) for e in local}

    def _pushed(self, found: Mapping[Target, Outcome]) -> dict[Target, Result | SandboxError]:
        failures = {target: self._lost(target, one) for target, one in found.items() if isinstance(one, SandboxError)}
        if failures and self.fail_fast:
            return dict(failures)
        return {**failures, **self._move({t: one for t, one in found.items() if isinstance(one, FoundImage)})}

    def _require(self, elsewhere: Mapping[Target, Outcome], local: Sequence[FromDaemon]) -> None:
        """Raise Drift unless everything that is known before sending is as promised."""
        now = {
            t: Promise(one.source, one.image.root.digest) for t, one in elsewhere.items() if isinstance(one, FoundImage)
        }
        if self.engine:
            list(self.destination.pool.map(self.engine.inspect_image, [entry.image for entry in local]))
            now |= {entry.target: Promise(self.engine.id(entry.image), "") for entry in local}
        if lines := broken_promises(self.promised, now):
            raise Drift(lines)

    def _move(self, found: Mapping[Target, FoundImage]) -> dict[Target, Result | SandboxError]:
        """Transfer all blobs, and publish each image as soon as its own are in place."""
        images = {target: one.image for target, one in found.items()}
        pool = self.destination.pool
        list(pool.map(self._vouch, images.items()))
        plan = plan_transfers(images)
        self.ending.planned(len(images), len(plan.transfers), plan.size)
        pending = {target: set(plan.needs(target)) for target in images}
        done: dict[Target, Result | SandboxError] = {}
        publishing = {t: pool.submit(self._publish, t, found[t], plan) for t in images if not pending[t]}
        carrying = {
            (self.heavy if transfer.blob.size > SMALL_BODY else pool).submit(self._carry, transfer): transfer
            for transfer in plan.transfers
        }
        for future in as_completed(carrying):
            transfer = carrying[future]
            try:
                lost = future.result()
            except interruption.Interrupted:
                interruption.check()  # the whole command, rather than this run
                continue
            for target in transfer.targets:
                pending[target].discard(transfer.blob.digest)
                if target.repository in lost and target not in done:
                    done[target] = self._lost(target, lost[target.repository])
                elif not pending[target] and target not in done:
                    publishing[target] = pool.submit(self._publish, target, found[target], plan)
        for target, publication in publishing.items():
            with contextlib.suppress(interruption.Interrupted):
                done[target] = publication.result()
        interruption.check()
        return done

    def _carry(self, transfer: Transfer) -> dict[str, SandboxError]:
        self.ending.check()
        lost = carry(transfer, self.destination)
        if not self.destination.inventory.uploaded(transfer.blob.digest):
            self.ending.spared(transfer.blob.size)
        return lost

    def _lost(self, target: Target, error: SandboxError) -> SandboxError:
        """Record that an image has failed, and with `fail_fast` all others too; one that may be saved has not yet."""
        if not (target in self.read and isinstance(error, _DAMAGED)):
            self.ending.failed(str(target), error)
            if self.fail_fast:
                self.ending.end()
        return error

    def _vouch(self, item: tuple[Target, Image]) -> None:
        """Let the tag vouch for the blobs, if it already names this very image."""
        (target, image), name = item, item[0].tag or item[1].root.digest
        with contextlib.suppress(SandboxError):  # reported when the image is published
            if self.destination.inventory.named(target.repository, name) == image.root.digest:
                self.destination.inventory.vouch(target.repository, name, image.root, image.blobs)

    def _publish(self, target: Target, found: FoundImage, plan: Plan) -> Result | SandboxError:
        self.ending.check()
        image = found.image
        try:
            if lines := broken_promises(self.promised, {target: Promise(found.source, image.root.digest)}):
                raise Drift(lines)
            written = publish(target, image, self.destination)
        except SandboxError as error:
            return self._lost(target, error)
        charged, inventory = plan.charges(target), self.destination.inventory
        size = sum(inventory.uploaded(blob.digest) for blob in charged)
        unique = sum(blob.size for blob in charged if inventory.uploaded(blob.digest))
        unchanged = not written and all(
            inventory.fact(target.repository, blob.digest) is Fact.FOUND for blob in image.blobs
        )
        action = Action.UPLOADED if size else Action.SKIPPED if unchanged else Action.MOUNTED
        seconds = time.monotonic() - self.begun
        result = Result(
            str(target), image.root.digest, action, size, seconds, image.notes, unique, found.source, found.platforms
        )
        self.ending.finished(result)
        return result
