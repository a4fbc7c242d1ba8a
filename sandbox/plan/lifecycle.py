"""The walks over a plan, parallel where possible: bring it up, stop it, take it down, or check it."""

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from graphlib import TopologicalSorter
from queue import SimpleQueue

from sandbox.errors import Away, SandboxError
from sandbox.report import Reporter, StepEvent
from sandbox.sanitize import cause
from sandbox.step import (
    Growing,
    Overtaken,
    Progress,
    Rebuildable,
    Refreshing,
    Revocable,
    State,
    Status,
    Step,
    Stoppable,
    Work,
    needed,
)
from sandbox.system import interruption, process

WIDTH = 8
RETURN = 60.0  # seconds after its first failure that a step waits for an engine that went away
LEFT = (interruption.Interrupted, Overtaken)  # errors that end a step which did not fail
GRACE = 4.0  # seconds that running steps have to stop after an interrupt; an engine may never answer

Plan = Sequence[Step]
Found = Sequence[tuple[Step, Status]]
Visit = Callable[[Step, Callable[[], None]], None]

# Tests replace it to break a command in the middle of a step.
around: Callable[[str], AbstractContextManager[object]] = nullcontext


def up(
    plan: Plan,
    report: Reporter,
    *,
    keep: bool = False,
    recreate: Collection[str] = (),
    found: Found | None = None,
    spared: Collection[str] = (),
) -> bool:
    """Create every step that is absent, and repair those that drifted; returns whether anything was changed.

    Stale steps are recreated if `recreate` names them; otherwise SandboxError is raised before anything is changed.
    `found` is the result of a survey made just before, if any. When a step fails or the command is interrupted, what
    this run created is removed again, unless `keep`; what existed before is left as it is. When one of the steps
    `spared` fails, all steps that do not need it are finished, and stay. Raises the first error.
    """
    before = {step.name: status for step, status in (found or survey(plan, report))}
    for step in plan:
        _refuse(step, before[step.name], recreate)
    made: dict[str, State] = {}  # the state of each step before it was made
    touched: set[str] = set()  # steps that were made, or checked again because a step they need was

    def visit(step: Step, usable: Callable[[], None]) -> None:
        status = before[step.name]
        if not touched.isdisjoint(needed(step, before)):
            touched.add(step.name)
            status = step.check()
            _refuse(step, status, recreate)
        if status.state is State.READY:
            if isinstance(step, Refreshing):
                step.refresh()
            report.event("unchanged", step.title, status.detail)
            return
        report.event("began", step.title)
        started = time.monotonic()
        made[step.name] = status.state  # before it is made, so that a partial one is removed too
        touched.add(step.name)
        work = Progress(partial(report.event, "progress", step.title), usable)
        is_stale = status.state is State.STALE
        status = _made(step, work, step.rebuild if is_stale and isinstance(step, Rebuildable) else step.apply)
        report.event("finished", step.title, status.detail, time.monotonic() - started)

    try:
        failed = _walk(plan, visit, report, spared)
        for step in plan if failed is None else ():
            if step.name in touched and isinstance(step, Growing) and step.grows:
                # The cluster was usable before its last node joined.
                status = step.check()
                if status.state is not State.READY:
                    work = Progress(partial(report.event, "progress", step.title))
                    work.say(status.detail)
                    _made(step, work, step.apply)
    except BaseException:
        if not keep:
            begun = [step for step in plan if made.get(step.name) in (State.ABSENT, State.STALE)]
            acts = [(step, step.revoke if isinstance(step, Revocable) else step.undo) for step in begun]
            with contextlib.suppress(Exception):  # which was reported, and must not hide the first error
                _backward(acts, "removed", report)
        raise
    if failed is not None:
        raise failed
    return bool(made)


def _made(step: Step, work: Work, make: Callable[[Work], Status | None]) -> Status:
    away_since: float | None = None
    again = True  # it may have drifted by the time it is done: a node that joins meanwhile asks for more pods
    while True:
        try:
            with around(step.name):
                status = make(work) or step.check()
        except Away as error:
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > RETURN:
                raise
            work.say(f"{error.brief}; waiting for it to come back")
            interruption.pause(1.0)
            continue
        if status.state is State.READY:
            return status
        if status.state is not State.DRIFTED or not again:
            raise SandboxError(f"{step.title} is not ready", details=status.detail, id="not-ready")
        again, make, away_since = False, step.apply, None


def _refuse(step: Step, status: Status, recreate: Collection[str]) -> None:
    if status.state is not State.STALE or step.name in recreate:
        return
    way = f"sandbox up --recreate {step.name}" if isinstance(step, Rebuildable) else "sandbox down, then sandbox up"
    raise SandboxError(
        f"{step.title} cannot be updated in place",
        details=f"{status.detail}\nrecreating it deletes: {status.loses}",
        fix=f"{way}   (or put the spec back as it was)",
        id="must-rebuild",
    )


def down(plan: Plan, report: Reporter) -> bool:
    """Undo every step, in reverse order; one that fails does not keep the others.

    Returns whether anything worth mentioning was removed. Raises the first error.
    """
    return _backward([(step, step.undo) for step in plan], "removed", report)


def stop(plan: Plan, report: Reporter) -> bool:
    """Stop every step that can be stopped, in reverse order; one that fails does not keep the others.

    Returns whether any ran. Raises the first error.
    """
    return _backward([(step, step.stop) for step in plan if isinstance(step, Stoppable)], "stopped", report)


def survey(plan: Plan, report: Reporter | None = None) -> Found:
    """Check every step.

    A step is checked once the steps that it needs are ready. Without that it is absent if one of them is absent, and
    unseen otherwise. Steps that need a step whose field `delays_checks` is false are checked at the same time as it.
    Raises the first error.
    """
    statuses: dict[str, Status] = {}

    def blocked(step: Step) -> Status | None:
        missing = [need for need in needed(step, statuses) if statuses[need].state is not State.READY]
        if not missing:
            return None
        absent = any(statuses[need].state is State.ABSENT for need in missing)
        return Status(State.ABSENT if absent else State.UNSEEN, f"waits for {', '.join(missing)}")

    def visit(step: Step, usable: Callable[[], None]) -> None:
        status = blocked(step)
        if status is None and not getattr(step, "delays_checks", True):
            usable()
        statuses[step.name] = status or step.check()

    _walk(plan, visit, report or Reporter())
    for step in plan:
        statuses[step.name] = blocked(step) or statuses[step.name]
    return [(step, statuses[step.name]) for step in plan]


def _walk(plan: Plan, visit: Visit, report: Reporter, spared: Collection[str] = ()) -> SandboxError | None:
    """Visit every step after those it needs, in threads; after an error no further visit begins.

    After one of the steps `spared` has failed, all steps go on that do not need it; its error is returned. A visit may
    call the function it is given to let the steps that need this one begin early. Raises the first other error.
    """
    steps = {step.name: step for step in plan}
    order = TopologicalSorter({step.name: needed(step, steps) for step in plan})
    order.prepare()
    events: SimpleQueue[tuple[Step, bool, BaseException | None]] = SimpleQueue()  # step, whether it ended, its error
    stopping = threading.Event()
    threads: dict[threading.Thread, Step] = {}
    ready: list[str] = []
    usable: set[str] = set()
    running = 0
    first_error: BaseException | None = None
    spared_error: SandboxError | None = None

    def run(step: Step) -> None:
        error: BaseException | None = None
        try:
            if not stopping.is_set():
                visit(step, partial(events.put, (step, False, None)))
        except BaseException as caught:
            error = caught
            if isinstance(error, LEFT):
                report.event("interrupted", step.title)
        events.put((step, True, error))

    try:
        while True:
            ready += order.get_ready()
            while ready and running < WIDTH and first_error is None:
                step = steps[ready.pop(0)]
                thread = threading.Thread(target=run, args=(step,), name=step.name, daemon=True)
                threads[thread] = step  # first, for an interrupt may come at any moment
                thread.start()
                running += 1
            if not running:  # all steps have ended, or the others need one that has failed
                break
            step, has_ended, error = events.get()
            running -= has_ended
            if error is None:
                if step.name not in usable:
                    usable.add(step.name)
                    order.done(step.name)
                continue
            if not isinstance(error, LEFT):
                report.event("failed", step.title, brief(error))
            if step.name in spared and isinstance(error, SandboxError):
                spared_error = spared_error or error
            elif first_error is None:
                first_error = error
                _stop()  # what is still running would only be undone
    except BaseException as interrupt:
        first_error = interrupt
        stopping.set()
        _stop()
    is_interrupted = first_error is not None and not isinstance(first_error, Exception)
    try:
        _join(threads, GRACE if is_interrupted else None, report)
    except BaseException:  # interrupted here: running steps must end before anything is undone
        _join(threads, GRACE, report)
        raise
    if first_error is not None:
        raise first_error
    return spared_error


def _join(threads: Mapping[threading.Thread, Step], patience: float | None, report: Reporter) -> None:
    deadline = None if patience is None else time.monotonic() + patience
    for thread in threads:
        with contextlib.suppress(RuntimeError):  # interrupted before it was started
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
    late = [step for thread, step in threads.items() if thread.is_alive()]
    if late:
        interruption.spare()
    else:
        interruption.clear()
    for step in late:
        report.event("failed", step.title, "did not stop in time; the next `up` or `down` cleans up what it leaves")


def _stop() -> None:
    interruption.request()
    process.end_all()


def _backward(acts: Sequence[tuple[Step, Callable[[], bool]]], end: StepEvent, report: Reporter) -> bool:
    errors: list[Exception] = []
    any_done = False
    for step, act in reversed(acts):
        started = time.monotonic()
        try:
            with around(step.name):
                done = act()
        except Exception as error:
            report.event("failed", step.title, brief(error))
            errors.append(error)
        else:
            any_done |= done
            if done:
                report.event(end, step.title, seconds=time.monotonic() - started)
    if errors:
        raise errors[0]
    return any_done


def brief(error: BaseException) -> str:
    """Return in one line why a step failed; only a bug is shown as it is."""
    match error:
        case SandboxError():
            return error.brief
        case OSError():  # its own message first: during a rollback the error below it is the one that is rolled back
            return error.strerror or cause(error)
        case _:
            return repr(error)
