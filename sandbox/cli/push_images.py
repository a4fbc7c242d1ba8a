"""`sandbox push-images`: pushes the images of a manifest, and on request deletes tags that it does not name."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import click

from sandbox.app.core import Sandbox
from sandbox.app.running import registry_upkeep
from sandbox.cli import prompts
from sandbox.cli.options import Call, begin, change_options, dry_run_option, output_option, spec_options
from sandbox.cli.output import reporter
from sandbox.errors import SandboxError, UsageError
from sandbox.images.image_push import ImagePush, Repair
from sandbox.images.progress import Observer, Result
from sandbox.images.push import PushFailed
from sandbox.oci.reference import Target
from sandbox.quantities import count, megabytes
from sandbox.report import Reporter
from sandbox.sanitize import fit

EVERY = 0.5  # seconds between two reports of sent bytes


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that was pushed, or was not: then with an `id`, as errors have it.

    In a dry run `untried` is an image that the engine would build or save first.
    """

    image: str
    action: str  # skipped, mounted, uploaded, failed or untried
    blobs: int = 0
    bytes: int = 0
    seconds: float = 0
    source: str = ""
    digest: str = ""
    notes: Sequence[str] = ()
    id: str = ""
    error: str = ""
    details: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Reason:
    id: str
    error: str
    details: str
    fix: str


@dataclass(kw_only=True)
class Push:
    """`sandbox push-images`; with `--dry-run` what it would send and prune.

    `bytes` are all that were sent, `unique_bytes` those of the different blobs among them, and `ratio` is their
    quotient: 1.0 when every blob was sent once, null when nothing had to be. `verify` and `lock` are null unless these
    steps failed.
    """

    images: Sequence[Image]
    bytes: int
    unique_bytes: int
    ratio: float | None
    seconds: float
    verified_bytes: int = 0
    verify: Reason | None = None
    lock: Reason | None = None
    pruned: Sequence[str] = ()


class PushDisplay(Observer):
    """Shows a push as one running step of `reporter`, and each image as a finished one; counts sent bytes."""

    def __init__(self, reporter: Reporter, say: Callable[[str], None], step: str) -> None:
        self.bytes = 0
        self._reporter, self._say, self._step = reporter, say, step
        self._total = 0
        self._began = self._shown = time.monotonic()
        self._counting = threading.Lock()

    def __enter__(self) -> Self:
        self._reporter.event("began", self._step)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was found: what is printed on stdout next must not be drawn over."""
        self._reporter.event("interrupted", self._step)

    def building(self, target: str) -> None:
        self._reporter.event("progress", self._step, f"building {target}")

    def noted(self, line: str) -> None:
        self._say(line)

    def planned(self, images: int, blobs: int, size: int) -> None:
        self._total = size
        words = f"{count(images, 'image')}, {count(blobs, 'blob')}, {megabytes(size)}"
        self._reporter.event("progress", self._step, words)

    def spared(self, size: int) -> None:
        with self._counting:
            self._total -= size

    def sent(self, size: int) -> None:
        with self._counting:
            self.bytes += size
            now = time.monotonic()
            if now - self._shown < EVERY:
                return
            self._shown = now
        whole = f" of {megabytes(max(self._total, self.bytes))}" if self._total else ""
        rate = megabytes(self.bytes / (now - self._began))
        self._reporter.event("progress", self._step, f"{megabytes(self.bytes)}{whole}, {rate}/s")

    def finished(self, result: Result) -> None:
        self._reporter.event(
            "finished", result.target, f"{result.action.value}, {megabytes(result.size)}", result.seconds
        )
        for line in result.notes:
            self._say(f"  {fit(line)}")

    def failed(self, target: str, error: SandboxError) -> None:
        self._reporter.event("failed", target, error.brief)


@click.command("push-images")
@click.argument("manifest", required=False, type=click.Path(path_type=Path))
@spec_options
@click.option("--registry", help="host:port of the registry, or its URL.  [default: the spec's]")
@click.option("--locked", is_flag=True, help="Push exactly the locked images, or nothing.")
@click.option("--update", is_flag=True, help="Resolve the tags of other registries again, and renew the lock.")
@dry_run_option
@click.option("--verify", is_flag=True, help="Read everything back and check it; repair the sandbox's registry.")
@click.option("--prune", is_flag=True, help="Delete the tags that MANIFEST does not name, after asking.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first image that fails.")
@output_option(Push)
@change_options("Delete, or push to a sandbox of another file, without asking.")
def push_images(
    manifest: Path | None,
    *,
    registry: str | None,
    locked: bool,
    update: bool,
    verify: bool,
    prune: bool,
    fail_fast: bool,
) -> int:
    """Push MANIFEST's images; send only missing layers.

    MANIFEST is by default the spec's `push`. The digests are written to images.lock.yaml next to it; commit that.
    Images of other registries stay at their locked digest, even if the tag has moved, until --update. Images of the
    Docker Engine, archives, layouts and builds are pushed as they are now, and the lock file is updated. With --locked,
    in CI, any difference is an error.

    \b
    sandbox push-images
    sandbox push-images images.yaml --registry localhost:5001
    sandbox push-images --locked --verify -o json
    """
    if locked and update:
        raise UsageError("--locked and --update contradict each other", fix="give one of them")
    call = begin("stopping", "finished uploads are kept; run `sandbox push-images` again to continue")
    sandbox = call.sandbox()
    spec = sandbox.spec
    chosen = manifest or spec.push
    if chosen is None:
        raise UsageError("no manifest of images", fix="name one, or write `push: images.yaml` in sandbox.yaml")
    whose = "" if registry or spec.registry.external else sandbox.name
    if whose and not call.dry_run:
        sandbox.agree_on_origin("push")
    work = sandbox.image_push(chosen, registry=registry, locked=locked, update=update)
    pruning = None
    if prune:
        if not whose:
            registry_upkeep.require_no_sandbox(work.registry)
        pruning = registry_upkeep.Pruning(
            registry=work.registry,
            keychain=work.keychain,
            targets=work.targets,
            whose=whose,
            in_cluster=not spec.cluster.supports.containers,
        )
    if call.dry_run:
        results, failure = _tried(work, Observer(), dry=True)
        plan = _report(work.targets, results, failure)
        plan.pruned = pruning.names if pruning else ()
        call.show(plan, _dry_lines(plan))
        return 1 if any(image.error for image in plan.images) else 0
    unlisted = pruning.names if pruning else []
    if pruning and unlisted and not call.yes:
        question = f"delete {count(len(unlisted), 'tag')} from {pruning.where}?"
        prompts.agree("these tags are not in the manifest", unlisted, question)
    elif pruning and not unlisted:
        call.say("nothing to prune: the manifest names every tag of the registry")
    with sandbox.session.pushing(whose, "push") if whose else nullcontext():
        report = _push(work, call, sandbox if whose else None, locked, fail_fast, verify)
        if pruning and unlisted:
            pruning.delete()
            report.pruned = unlisted
            call.say(f"deleted {count(len(unlisted), 'tag')}; free the space with:")
            call.say(f"  {pruning.collection()}")
    if whose and spec.apply and any(image.action != "skipped" for image in report.images):
        call.say("running pods keep their digests until: sandbox up")
    call.show(report, _lines(report))
    return 0


def _push(
    work: ImagePush,
    call: Call,
    sandbox: Sandbox | None,
    locked: bool,
    fail_fast: bool,
    verify: bool,
) -> Push:
    """Push, verify, update the lock; after an error the report is printed before the error is raised."""
    started = time.monotonic()
    display = PushDisplay(reporter(call.progress), call.say, "Push")
    with display:
        results, failure = _tried(work, display, fail_fast=fail_fast)
    report = _report(work.targets, results, failure, sent=display.bytes, seconds=time.monotonic() - started)
    part = "verify"
    try:
        if verify and results:
            with PushDisplay(reporter(call.progress), call.say, "Verify") as reading:
                report.verified_bytes = work.verify(results, display, _repair(sandbox), reading)
            call.say(f"verified: {count(len(results), 'image')}, {megabytes(report.verified_bytes)} read back")
        part = "lock"
        if not locked and (changes := work.follow(results)):
            call.say(f"{work.file.path}: {', '.join(changes)}")
        if failure:
            raise failure
    except SandboxError as error:
        if error is not failure:
            setattr(report, part, _reason(error))
        call.show(report, _lines(report))
        error.reported = True
        raise
    return report


def _tried(
    work: ImagePush, observer: Observer, *, fail_fast: bool = False, dry: bool = False
) -> tuple[Sequence[Result], PushFailed | None]:
    try:
        return work.push(observer, fail_fast=fail_fast, dry=dry), None
    except PushFailed as error:
        return error.results, error


def _repair(sandbox: Sandbox | None) -> Repair | None:
    if sandbox is None or not sandbox.spec.cluster.supports.containers:
        return None

    def repair(digests: Collection[str]) -> None:
        registry_upkeep.put_aside(sandbox, digests)
        sandbox.session.say(f"damaged in the registry, set aside and pushed again: {', '.join(sorted(digests))}")

    return repair


def _report(
    targets: Iterable[Target],
    results: Sequence[Result],
    failure: PushFailed | None,
    *,
    sent: int | None = None,
    seconds: float = 0,
) -> Push:
    """Return the report; `sent` counts the bytes of all tries, by default it is the sum of the results."""
    by_name = {result.target: result for result in results}
    errors = failure.failures if failure else {}
    unique = sum(result.unique for result in results)
    total = sum(result.size for result in results) if sent is None else sent
    return Push(
        images=[_image(target, by_name.get(str(target)), errors.get(target)) for target in targets],
        bytes=total,
        unique_bytes=unique,
        ratio=round(total / unique, 4) if unique else None,
        seconds=round(seconds, 3),
    )


def _reason(error: SandboxError) -> Reason:
    return Reason(error.id, error.brief, error.details, error.fix)


def _image(target: Target, result: Result | None, error: SandboxError | None) -> Image:
    if error:
        return Image(image=str(target), action="failed", **asdict(_reason(error)))
    if result is None:
        return Image(image=str(target), action="untried")
    return Image(
        image=result.target,
        action=result.action.value,
        blobs=result.blobs,
        bytes=result.size,
        seconds=round(result.seconds, 3),
        source=result.source,
        digest=result.digest,
        notes=result.notes,
    )


def _lines(push: Push) -> Iterator[str]:
    for image in push.images:
        if image.digest:
            yield image.image if "@" in image.image else f"{image.image}@{image.digest}"


def _dry_lines(push: Push) -> Iterator[str]:
    for image in push.images:
        cost = f"{count(image.blobs, 'blob')}, {megabytes(image.bytes)}" if image.blobs else image.error
        if image.action == "untried":
            cost = "known after the engine has built or saved it"
        yield f"{image.action:<9} {image.image:<40} {cost}".rstrip()
    for name in push.pruned:
        yield f"deleted   {name}"
