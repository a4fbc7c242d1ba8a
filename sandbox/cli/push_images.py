"""`sandbox push-images`: pushes the images of a manifest, and on request deletes tags that it does not name."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.cli import push_report
from sandbox.cli.options import begin, output_option, progress_option, sandbox_of, spec_options
from sandbox.cli.output import has_terminal, show_json
from sandbox.errors import SandboxError, UsageError
from sandbox.quantities import count, megabytes

if TYPE_CHECKING:
    from sandbox.app.core import Sandbox
    from sandbox.app.registry_upkeep import Pruning
    from sandbox.cli.prompts import Say
    from sandbox.cli.push_display import PushDisplay
    from sandbox.images.image_push import ImagePush, Repair
    from sandbox.images.progress import Result


@click.command("push-images")
@click.argument("manifest", required=False, type=click.Path(path_type=Path))
@spec_options
@click.option("--registry", help="host:port of the registry, or its URL.  [default: the spec's]")
@click.option("--locked", is_flag=True, help="Push exactly the locked images, or nothing.")
@click.option("--update", is_flag=True, help="Resolve the tags of other registries again, and renew the lock.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent; change, build and save nothing.")
@click.option(
    "--verify",
    "check",
    is_flag=True,
    help="Read everything back and check it; repair the sandbox's registry.",
)
@click.option("--prune", is_flag=True, help="Delete the tags that MANIFEST does not name, after asking.")
@click.option("--yes", is_flag=True, help="Delete, or push to a sandbox of another file, without asking.")
@click.option(
    "--compression",
    "packing",
    type=click.Choice(["raw", "gzip", "zstd"]),
    help="Compression of the engine's raw layers.  [default: the lock's, else raw on this machine, gzip elsewhere]",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first image that fails.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of MANIFEST and do nothing else.")
@output_option(push_report.Push | push_report.PushForecast)
@progress_option
def push_images(
    manifest: Path | None,
    file: Path | None,
    name: str | None,
    *,
    registry: str | None,
    locked: bool,
    update: bool,
    dry_run: bool,
    check: bool,
    prune: bool,
    yes: bool,
    packing: str | None,
    fail_fast: bool,
    schema: bool,
    output: str,
    progress: str,
) -> int:
    """Push the images of MANIFEST (default: the spec's `push`) to the registry; send only what is missing.

    The digests are written to images.lock.yaml next to images.yaml; commit it. Images of other registries stay at their
    locked digest, even if the tag has moved, until --update. Images of the Docker Engine, archives, layouts and builds
    are pushed as they are now, and the lock file is updated. With --locked, in CI, any difference is an error.

    \b
    sandbox push-images
    sandbox push-images images.yaml --registry localhost:5001
    sandbox push-images --locked --verify -o json
    """
    if schema:
        from sandbox.images import images_yaml

        click.echo(json.dumps(images_yaml.schema(), indent=2))
        return 0
    if locked and update:
        raise UsageError("--locked and --update contradict each other", fix="give one of them")
    begin("stopping", "finished uploads are kept; run `sandbox push-images` again to continue")
    from sandbox.cli.push_display import push_display

    sandbox = sandbox_of(file, name, yes=yes, progress=progress)
    spec = sandbox.spec
    chosen = manifest or spec.push
    if chosen is None:
        raise UsageError("no manifest of images", fix="name one, or write `push: images.yaml` in sandbox.yaml")
    whose = "" if registry or spec.registry.external else sandbox.name
    if whose and not dry_run:
        sandbox.agree_on_origin("push")
    work = sandbox.image_push(chosen, registry=registry, locked=locked, update=update, packing=packing)
    say = sandbox.session.say
    for line in work.foreign():
        say(line)
    pruning = _pruning(work, whose, in_cluster=not spec.cluster.supports.containers) if prune else None
    if dry_run:
        return _forecast(work, pruning, output)
    if pruning is not None:
        _require_consent(pruning, yes=yes)
    with sandbox.session.pushing(whose, "push") if whose else nullcontext():
        with push_display(progress) as display:
            repair = _repair(sandbox, whose) if check else None
            report = _push(work, display, output, repair, say, locked=locked, fail_fast=fail_fast, check=check)
        if pruning is not None:
            report.pruned = _prune(pruning, say, yes=yes)
    if whose and spec.apply and any(image.action != "skipped" for image in report.images):
        say("running pods keep their digests until: sandbox up")
    if output == "json":
        show_json(report)
    return 0


def _push(
    work: ImagePush,
    display: PushDisplay,
    output: str,
    repair: Repair | None,
    say: Say,
    *,
    locked: bool,
    fail_fast: bool,
    check: bool,
) -> push_report.Push:
    """Push, update the lock, verify; the results are printed whatever happens."""
    from sandbox.images.push import PushFailed

    started = time.monotonic()
    failure: PushFailed | None = None
    try:
        results = work.push(display, fail_fast=fail_fast)
    except PushFailed as error:
        failure, results = error, error.results
    seconds, sent = time.monotonic() - started, display.bytes
    report = push_report.pushed(results, failure, sent, seconds)
    part = "verify"
    try:
        if check and results:
            report.verified_bytes = _verify(work, results, display, repair, say)
        part = "lock"
        if not locked and (changes := work.follow(results)):
            display.close()
            say(f"{work.file.path}: {', '.join(changes)}")
    except SandboxError as error:
        setattr(report, part, push_report.why(error))
        _show(results, report, output, display)
        error.reported = True
        raise
    if output == "text":
        display.close()
        push_report.show_results(results)
    if failure is not None:
        _show((), report, output, display)
        failure.reported = True
        raise failure
    return report


def _show(results: Sequence[Result], report: push_report.Push, output: str, display: PushDisplay) -> None:
    display.close()
    if output == "json":
        show_json(report)
    else:
        push_report.show_results(results)


def _verify(work: ImagePush, results: Sequence[Result], display: PushDisplay, repair: Repair | None, say: Say) -> int:
    size = work.verify(results, display, repair, display.verifying(len(results)))
    display.close()
    say(f"verified: {count(len(results), 'image')}, {megabytes(size)} read back")
    return size


def _repair(sandbox: Sandbox, whose: str) -> Repair | None:
    """Return a function that puts damaged blobs aside; None for a registry that is not the sandbox's own container."""
    from sandbox.app import registry_upkeep

    if not whose or not sandbox.spec.cluster.supports.containers:
        return None

    def repair(digests: Collection[str]) -> None:
        registry_upkeep.put_aside(sandbox, digests)
        sandbox.session.say(f"damaged in the registry, set aside and pushed again: {', '.join(sorted(digests))}")

    return repair


def _forecast(work: ImagePush, pruning: Pruning | None, output: str) -> int:
    forecasts = work.forecast()
    unlisted = pruning.names if pruning else ()
    if output == "json":
        show_json(push_report.forecast(forecasts, unlisted))
    else:
        push_report.show_forecasts(forecasts)
        for name in unlisted:
            click.echo(f"deleted   {name}")
    return 1 if any(one.error for one in forecasts) else 0


def _pruning(work: ImagePush, whose: str, *, in_cluster: bool) -> Pruning:
    from sandbox.app.registry_upkeep import Pruning, require_no_sandbox

    if not whose:
        require_no_sandbox(work.registry)
    return Pruning(
        registry=work.registry, keychain=work.keychain, targets=work.targets, whose=whose, in_cluster=in_cluster
    )


def _require_consent(pruning: Pruning, *, yes: bool) -> None:
    """Raise UsageError, before anything is pushed, when the question cannot be answered."""
    if not yes and not has_terminal() and pruning.names:
        brief = "--prune asks before it deletes, and stdin is not a terminal"
        raise UsageError(brief, details="\n".join(pruning.names), fix="add --yes", id="consent")


def _prune(pruning: Pruning, say: Say, *, yes: bool) -> list[str]:
    """List the tags, ask, and delete them; returns the deleted names.

    What the push has just added is in the manifest.
    """
    names = pruning.names
    if not names:
        say("nothing to prune: the manifest names every tag of the registry")
        return []
    show = say if yes else partial(click.echo, err=True)  # without them there is nothing to agree to
    show(f"the manifest does not name, in {pruning.where}:")
    for name in names:
        show(f"  {name}")
    if not yes and not click.confirm(f"delete {count(len(names), 'tag')} from {pruning.where}?", err=True):
        say("nothing was deleted")
        return []
    pruning.delete()
    say(f"deleted {count(len(names), 'tag')}; free the space with:")
    say(f"  {pruning.collection()}")
    return names
