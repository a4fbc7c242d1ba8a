"""`sandbox bundle build` and `ensure`: the sandbox's own images and tools, made on this machine."""

from __future__ import annotations

import click

from sandbox.cli import command_context
from sandbox.cli.console import reporter


def build(ctx: click.Context, components: tuple[str, ...], *, jobs: int, progress: str) -> int:
    """Build what is not built yet, or only COMPONENTS; an interrupted build goes on where it was."""
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals("stopping", "what is built stays; go on: sandbox bundle build")
    _build(progress, jobs, components)
    return 0


def ensure(ctx: click.Context, *, progress: str) -> int:
    """Make sure that `up` has its images and kind: uses what is there, else what can be pulled, else builds."""
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals()
    from sandbox.bundle.store import Store
    from sandbox.bundle.system_images import NEEDED, UPSTREAM, choose
    from sandbox.engine import Engine, EngineError
    from sandbox.system import process

    engine = Engine.connect()
    store = Store(command_context.home().bundle)
    own = choose("auto", lambda name: engine.image_id(name) is not None, store)
    if own.source == "upstream" and engine.image_id(UPSTREAM["busybox"]) is None:
        try:
            engine.pull(UPSTREAM["busybox"])
        except EngineError as error:
            click.echo(f"no image registry can be reached ({error.details}); building the images instead", err=True)
            # Addons are built by who wants them: `up` needs none.
            _build(progress, 2, NEEDED)
    if process.which("kind") is None:
        _build(progress, 2, ("kind",))
    return 0


def _build(progress: str, jobs: int, components: tuple[str, ...]) -> None:
    from sandbox.bundle.builder.component_build import build as build_bundle
    from sandbox.bundle.store import Store
    from sandbox.system import files

    home = command_context.home()
    files.make_private_dir(home.bundle)
    with files.exclusive(home.bundle, seconds=7200):
        build_bundle(Store(home.bundle), reporter(progress), jobs=jobs, only=components)
