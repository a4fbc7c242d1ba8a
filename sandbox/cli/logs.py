"""`sandbox logs`: what the project's pods write."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import click

from sandbox.cli import completion
from sandbox.cli.options import begin, find_spec, name_option

UNITS = {"s": 1, "m": 60, "h": 3600}


class _Duration(click.ParamType[int]):
    """Seconds, written as 30s, 5m or 2h."""

    name = "duration"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d+)([smh])", str(value))
        if match is None:
            self.fail(f"{value!r} is not a time: write 30s, 5m or 2h", param, ctx)
        return int(match[1]) * UNITS[match[2]]


@click.command("logs")
@click.argument("workload", required=False, shell_complete=completion.workloads)
@name_option()
@click.option(
    "--file", type=click.Path(path_type=Path), help="The spec.  [default: sandbox.yaml here or in a folder above]"
)
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines, and with new pods, until Ctrl-C.")
@click.option("--tail", type=click.IntRange(0), default=100, show_default=True, help="Lines of each container.")
@click.option("--since", type=_Duration(), metavar="TIME", help="Lines of this time only, such as 30s, 5m or 2h.")
@click.option("--previous", is_flag=True, help="Of the run before the last restart.")
def logs(
    workload: str | None,
    name: str | None,
    file: Path | None,
    *,
    follow: bool,
    tail: int,
    since: int | None,
    previous: bool,
) -> None:
    """Show the logs of the project's pods, or of one workload, each line with its pod.

    WORKLOAD is a name such as web, deployment/web or shop/web. A container that was restarted after an error begins
    with the last lines of the run that failed.

    \b
    sandbox logs
    sandbox logs web -f
    sandbox logs shop/web --since 5m
    sandbox logs db --previous
    """
    begin()
    from sandbox.app import context, project_workloads
    from sandbox.app.dev.pod_watch import PodWatch
    from sandbox.app.pod_logs import PodLogs
    from sandbox.app.session import wake_paused
    from sandbox.cli.dev_output import LogLines
    from sandbox.kube.api import Cluster
    from sandbox.plan import providers

    names = context.home().sandbox(find_spec(file, name).name)
    wake_paused(names)
    cluster, namespace = Cluster(names.kubeconfig), providers.namespace(names)
    meant = project_workloads.find(cluster, workload, namespace) if workload else None
    shown, report = PodLogs(cluster, meant, namespace), LogLines()
    count = shown.show(report.log, lines=tail, since=since, previous=previous)
    if not follow:
        if not count:
            click.echo("no lines", err=True)
        return
    watch = PodWatch(lambda: cluster, shown.pods, report, names.cluster, logs=True)
    watch.begin()
    threading.Event().wait()  # until Ctrl-C
