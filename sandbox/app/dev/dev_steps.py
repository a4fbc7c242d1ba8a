"""The steps of a plan as `dev` takes them: with the shell of `restart` rules, and not waiting for what has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sandbox.components.workloads import restart
from sandbox.components.workloads.charts_step import ChartsStep
from sandbox.components.workloads.step import ApplyStep
from sandbox.images.images_yaml import FromBuild
from sandbox.images.push_step import PushStep
from sandbox.step import Step


def prepared(steps: Sequence[Step], overtaken: Callable[[], bool]) -> tuple[Step, ...]:
    """Return a plan whose steps for manifests and charts put the shell before the programs to restart.

    Once another change has `overtaken` what is applied, its pods are not waited for.
    """
    push = next((each for each in steps if isinstance(each, PushStep)), None)

    def taken(step: Step) -> Step:
        match step:
            case ApplyStep():

                def change(objects: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
                    found = programs(push, step.registry)  # as the engine has the images by then
                    return [restart.supervised(each, found) for each in objects] if found else objects

                return replace(step, change=change, overtaken=overtaken)
            case ChartsStep() if step.charts:
                return replace(step, programs=programs(push, step.images.prefix))
            case _:
                return step

    return tuple(map(taken, steps))


def programs(push: PushStep | None, prefix: str) -> dict[str, restart.Program]:
    """Return the programs to restart by a signal, by their images' names in the registry `prefix` without a digest."""
    by_image: dict[str, restart.Program] = {}
    for entry in push.images.entries if push else ():
        if push and isinstance(entry, FromBuild) and any(rule.restart for rule in entry.sync):
            target = entry.target
            config = (push.engine.inspect_image(entry.engine_name) or {}).get("Config") or {}
            program = restart.Program(tuple(config.get("Entrypoint") or ()), tuple(config.get("Cmd") or ()))
            by_image[f"{prefix}/{target.repository}:{target.tag}"] = program
    return by_image
