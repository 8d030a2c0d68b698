"""A run: its live graph with one step beside it, its details, parameters and spec, and what can be done with it."""

import json
import re
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from jukebox_sandbox.events import events
from jukebox_sandbox.pages import artifacts
from jukebox_sandbox.pages.commits import Commit, find_commits
from jukebox_sandbox.pages.graph import Step, draw, steps_of
from jukebox_sandbox.pages.pipeline_runs import PipelineRun, pipeline_runs
from jukebox_sandbox.pages.pipelines import describe
from jukebox_sandbox.pages.site import digest, log_tail, site, without_machine_paths
from jukebox_sandbox.pipeline_server.api import runs as api
from jukebox_sandbox.pipeline_server.api.service import open_session, service
from jukebox_sandbox.pipeline_server.runner.specification import read_specification
from jukebox_sandbox.pipeline_server.tables import Experiment, PipelineVersion, RecurringRun, Run, Task

blueprint = Blueprint("run", __name__)

ORDER = ("FAILED", "RUNNING", "CANCELED", "PENDING", "SUCCEEDED", "CACHED", "SKIPPED")
"""Of several attempts or iterations, the state that the graph shows."""


@dataclass(frozen=True)
class Execution:
    """One execution of a step: an attempt, or an iteration of a loop.

    Attributes:
        task: Its row.
        state: Its state; ``CACHED`` where another run's outputs were taken.
        which: ``iteration 2``; empty where a step runs once.
    """

    task: Task
    state: str
    which: str


@dataclass(frozen=True)
class Reason:
    """Why a step failed.

    Attributes:
        step: The step.
        what: What happened.
        next_action: What to do next.
    """

    step: str
    what: str
    next_action: str


@blueprint.get("/runs/<run_id>")
def show(run_id: str) -> str | AnyResponse:
    """A run. While it is under way, the browser asks again each second, and gets an answer when something changed."""
    tab, chosen = request.args.get("tab", "graph"), request.args.get("step", "")
    with open_session() as session:
        run = api.find_run(session, run_id)
        specification = read_specification(run.spec)
        steps = steps_of(specification)
        executions = executions_of(session, run)
        unstarted = "PENDING" if run.state in api.UNFINISHED else "OMITTED"
        states = {one.scope: unstarted for one in steps}
        states |= {scope: _state(found) for scope, found in executions.items()}
        step = next((one for one in steps if one.scope == chosen), None)
        page: dict[str, Any] = {
            "run": run,
            "tab": tab,
            "steps": [(one, states[one.scope], executions.get(one.scope, [])) for one in steps],
            "is_over": run.state not in api.UNFINISHED and run.state != "CANCELING",
            "reasons": reasons(run, steps, executions),
            "commits": commits(session, run) if run.state == "SUCCEEDED" else [],
            "of_run": _known(session, run),
            "said": _said(run, states, len(steps)),
        }
        page["drawn"] = draw(
            steps, lambda one: url_for("run.show", run_id=run_id, step=one.scope, _anchor="step"), states, chosen
        )
        if step:
            page["step"], page["declared"] = step, describe(specification, step)
            page["part"] = request.args.get("part") or ("logs" if states[chosen] == "FAILED" else "io")
            page["shown"] = [_details(session, run, one) for one in executions.get(chosen, [])]
            written = [one for shown in page["shown"] for _, one in shown["output_artifacts"]]
            page["has_pictures"] = any(one.matrix or one.is_picture for one in written)
    seen = _digest(page)
    if request.headers.get("HX-Target") != "live":
        return render_template("run.html", seen=seen, **page)
    if seen == request.args.get("seen"):
        return Response(status=204)
    return render_template("run_live.html", seen=seen, **page)


@blueprint.post("/runs/<run_id>/<action>")
def act(run_id: str, action: str) -> AnyResponse:
    """Retry, stop, archive, restore or delete a run."""
    actions = {
        "retry": api.retry,
        "stop": api.terminate,
        "archive": api.archive,
        "restore": api.unarchive,
        "delete": api.delete,
    }
    if action not in actions:
        raise api.not_found("Action", action)
    actions[action](run_id)
    gone = action in ("archive", "delete")
    return redirect(url_for("runs.show_all") if gone else url_for("run.show", run_id=run_id))


def executions_of(session: Session, run: Run) -> dict[str, list[Execution]]:
    """The executions of a run's steps, by the steps' scopes.

    Args:
        session: An open session.
        run: The run.

    Returns:
        Each step that has begun, with its executions in the order in which they began.
    """
    query = select(Task).where(Task.run_id == run.id, Task.kind.in_(("executor", "driver"))).order_by(Task.number)
    found: dict[str, list[Execution]] = {}
    for task in session.scalars(query):
        scope = re.sub(r"\[\d+\]|\(\d+\)", "", task.scope)
        if task.kind == "driver" and task.state != "FAILED":
            continue
        numbers = [f"iteration {int(one) + 1}" for one in re.findall(r"\[(\d+)\]", task.scope)]
        numbers += [f"attempt {int(one) + 1}" for one in re.findall(r"\((\d+)\)", task.scope)]
        state = "CACHED" if task.cached_from else task.state if task.state in ORDER else "SKIPPED"
        found.setdefault(scope, []).append(Execution(task, state, ", ".join(numbers)))
    return found


def _state(executions: list[Execution]) -> str:
    """The state that stands for all executions of a step; of attempts, the last one's."""
    if all("attempt" in one.which for one in executions):
        return executions[-1].state
    return min((one.state for one in executions), key=ORDER.index)


def reasons(run: Run, steps: list[Step], executions: dict[str, list[Execution]]) -> list[Reason]:
    """Why a run failed: of each step that failed, what its log says last, and of none, what the run says."""
    found = []
    for step in steps:
        failed = [one for one in executions.get(step.scope, []) if one.state == "FAILED"]
        if failed and _state(executions[step.scope]) == "FAILED":
            found.append(_reason(step.name, failed[-1].task))
    if not found and run.state == "FAILED":
        found.append(Reason("", run.error or "The run failed.", ""))
    return found


def _reason(step: str, task: Task) -> Reason:
    """The failure line of a step's log: JSON behind a mark, the last thing that the code around the step prints."""
    mark = site().configuration.failure_mark
    for line in reversed(_log(task).splitlines() if mark else []):
        _, found, text = line.partition(mark)
        if found:
            try:
                known = json.loads(text)
                return Reason(
                    step, without_machine_paths(str(known["what"])), without_machine_paths(str(known["next"]))
                )
            except (ValueError, KeyError, TypeError):
                break
    return Reason(step, task.error or "It failed.", "Open the step, and read its log.")


def _log(task: Task) -> str:
    return log_tail(service().logs / task.run_id / f"{task.pod_name}.log")


def _details(session: Session, run: Run, execution: Execution) -> dict[str, Any]:
    task = execution.task
    original = session.scalar(select(Run).filter_by(id=task.cached_from)) if task.cached_from else None
    return {
        "execution": execution,
        "inputs": list(task.inputs.get("parameters", {}).items()),
        "input_artifacts": artifacts.show(session, task.inputs.get("artifacts", {})),
        "outputs": list(task.outputs.get("parameters", {}).items()),
        "output_artifacts": artifacts.show(session, task.outputs.get("artifacts", {})),
        "log": without_machine_paths(_log(task)),
        "original": original,
    }


def commits(session: Session, run: Run) -> list[tuple[Commit, PipelineRun | None]]:
    """The commits that a run made, outputs of its steps that name one, and what the push of each started."""
    values: list[str] = []
    for outputs in session.scalars(select(Task.outputs).where(Task.run_id == run.id, Task.kind == "executor")):
        values += map(str, outputs.get("parameters", {}).values())
    found = [one for name in site().configuration.repositories for one in find_commits(name, values).values()]
    started = {one.event["revision"]: one for one in pipeline_runs(_events_of(found))}
    return [(one, started.get(one.revision)) for one in found]


def _events_of(found: list[Commit]) -> list[dict[str, Any]]:
    revisions = {one.revision for one in found}
    return [event for event in events(site().sandbox.state) if event["revision"] in revisions] if found else []


def _known(session: Session, run: Run) -> dict[str, Any]:
    experiment = session.get(Experiment, run.experiment_id)
    version = session.scalar(select(PipelineVersion).filter_by(id=run.pipeline_version_id))
    schedule = session.get(RecurringRun, run.recurring_run_id) if run.recurring_run_id else None
    return {"experiment": experiment, "version": version, "schedule": schedule}


def _said(run: Run, states: dict[str, str], steps: int) -> str:
    """The state of a run in a sentence, for those who do not see the graph."""
    over = sum(state in ("SUCCEEDED", "CACHED", "SKIPPED") for state in states.values())
    failed = [scope.rpartition("/")[2] for scope, state in states.items() if state == "FAILED"]
    running = [scope.rpartition("/")[2] for scope, state in states.items() if state == "RUNNING"]
    parts = [f"{run.display_name}: {run.state.lower()}, {over} of {steps} steps done"]
    parts += [f"failed: {', '.join(failed)}"] if failed else []
    parts += [f"running: {', '.join(running)}"] if running and not failed else []
    return "; ".join(parts) + "."


def _digest(page: dict[str, Any]) -> str:
    """What changes when the live part of the page does."""
    steps = [(step.scope, state, [one.task.state for one in many]) for step, state, many in page["steps"]]
    logs = [len(one["log"]) for one in page.get("shown", [])]
    return digest([page["run"].state, steps, logs, [one.state for _, one in page["commits"] if one]])
