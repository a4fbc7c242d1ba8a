"""`sandbox logs`, `exec` and `restart`: what people do all day with the workloads of a project."""

import os
import re
import sys
import threading
import zlib

import click

from sandbox.app.dev.dev_report import Container, Crash, DevReport, PodWatch
from sandbox.app.running import project_workloads
from sandbox.app.running.project_workloads import PodLogs
from sandbox.bundle import released_tools
from sandbox.bundle.store import Store
from sandbox.cli.options import begin, change_options, file_option, name_option, spec_options

COLORS = ("cyan", "magenta", "yellow", "blue", "green", "bright_cyan", "bright_magenta", "bright_yellow")


class PodLines(DevReport):
    """Prints what pods write on stdout: it is the result of `sandbox logs`."""

    def log(self, container: Container, line: str) -> None:
        click.echo(log_line(container, line))

    def crashed(self, crash: Crash) -> None:
        click.echo(crash_text(crash))


def crash_text(crash: Crash) -> str:
    where = crash.container
    reason = f" ({crash.reason})" if crash.reason not in ("", "Error") else ""
    ended = f"{where.pod} {where.name} ended with status {crash.code}{reason}; its last lines:"
    fix = (f"take this roll-out back: {crash.fix}",) if crash.fix else ()
    return "\n  ".join((f"{click.style('✗', fg='red')} {ended}", *crash.lines.splitlines(), *fix))


def log_line(container: Container, line: str) -> str:
    """Return a line with its pod, which has the same color each time."""
    color = COLORS[zlib.crc32(container.pod.encode()) % len(COLORS)]
    name = container.pod if container.pod.startswith(container.name) else f"{container.pod} {container.name}"
    return f"{click.style(f'{name} |', fg=color)} {line}"


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d+)([smh])", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a time: write 30s, 5m or 2h")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


@click.command("logs")
@click.argument("workload", required=False)
@name_option()
@file_option("--file")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines, and with new pods, until Ctrl-C.")
@click.option("--tail", type=click.IntRange(0), default=100, show_default=True, help="Lines of each container.")
@click.option("--since", type=_seconds, metavar="TIME", help="Lines of this time only, such as 30s, 5m or 2h.")
@click.option("--previous", is_flag=True, help="Of the run before the last restart.")
def logs(workload: str | None, *, follow: bool, tail: int, since: int | None, previous: bool) -> None:
    """Show the logs of the project's pods, or of one workload.

    WORKLOAD is a name such as web, deployment/web or shop/web. A container that was restarted after an error begins
    with the last lines of the run that failed.

    \b
    sandbox logs
    sandbox logs web -f
    sandbox logs shop/web --since 5m
    sandbox logs db --previous
    """
    names, cluster, namespace = begin().running()
    meant = project_workloads.find(cluster, workload, namespace) if workload else None
    pod_logs, lines = PodLogs(cluster, meant, namespace), PodLines()
    count = pod_logs.show(lines.log, lines=tail, since=since, previous=previous)
    if follow:
        PodWatch(lambda: cluster, pod_logs.pods, lines, names.cluster, logs=True).begin()
        threading.Event().wait()  # until Ctrl-C
    if not count:
        click.echo("no lines", err=True)


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("workload")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@spec_options
@click.option("-c", "--container", metavar="NAME", help="The container.  [default: the first of the pod]")
def execute(workload: str, command: tuple[str, ...], *, container: str | None) -> None:
    """Run COMMAND (default: a shell) in the newest pod of WORKLOAD.

    It has this terminal, and the exit code is that of the command.

    \b
    sandbox exec web
    sandbox exec db -- psql -U postgres
    sandbox exec shop/web -c sidecar -- cat /etc/hosts
    """
    names, cluster, namespace = begin().running()
    pod = project_workloads.running_pod(cluster, project_workloads.find(cluster, workload, namespace))
    program = released_tools.kubectl(Store(names.home.bundle))
    terminal = ["--stdin", "--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else ["--stdin"]
    chosen = ["--container", container] if container else []
    # The shell that most images have; bash where there is one.
    shell = ("sh", "-c", "command -v bash >/dev/null && exec bash || exec sh")
    place = ["--namespace", pod["metadata"]["namespace"], pod["metadata"]["name"]]
    argv = ["kubectl", "--kubeconfig", str(names.kubeconfig), "exec", *terminal, *chosen, *place, "--"]
    os.execv(program, [*argv, *(command or shell)])  # noqa: S606


@click.command("restart")
@click.argument("workload")
@spec_options
@change_options()
def restart(workload: str) -> None:
    """Replace the pods of WORKLOAD; wait until the new ones are ready.

    \b
    sandbox restart web
    sandbox restart shop/statefulset/db
    """
    call = begin("stopping", "the roll-out goes on in the cluster")
    sandbox = call.sandbox()
    with sandbox.alone("restart"):
        _, cluster, namespace = call.running()
        meant = project_workloads.find(cluster, workload, namespace)
        with sandbox.session.task(f"Restart of {meant.title}") as task:
            project_workloads.restart(cluster, meant, task.say)
            task.done = "ready"
