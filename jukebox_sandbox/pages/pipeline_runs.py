"""PipelineRuns of OpenShift's console: what each push to git started, and what became of it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, render_template, request
from sqlalchemy import func, select
from sqlalchemy.orm import Session, defer

from jukebox_sandbox.commit_statuses import FINAL, CommitStatus
from jukebox_sandbox.events import OVER, events
from jukebox_sandbox.pages.commits import Commit, changed_version_files, find_commits
from jukebox_sandbox.pages.site import PAGE_SIZE, digest, log_tail, paging, site, without_machine_paths
from jukebox_sandbox.pipeline_server.api.service import open_session
from jukebox_sandbox.pipeline_server.errors import not_found
from jukebox_sandbox.pipeline_server.tables import Run, Task

blueprint = Blueprint("pipeline_runs", __name__)

STATES = {
    "queued": "PENDING",
    "running": "RUNNING",
    "done": "SUCCEEDED",
    "failed": "FAILED",
    "ignored": "IGNORED",
    "refused": "REFUSED",
}
"""The states of an event in the words of a PipelineRun."""


@dataclass(frozen=True)
class PipelineRun:
    """What a push started.

    Attributes:
        event: The event.
        state: Its state, in the words of a PipelineRun.
        commit: The commit, if the repository has it.
    """

    event: dict[str, Any]
    state: str
    commit: Commit | None

    @property
    def name(self) -> str:
        """``ct-pipeline-<the first ten characters of the commit>``."""
        repository = site().configuration.repositories.get(self.event["repository"])
        first = repository.pipeline_run or repository.name if repository else self.event["repository"] or "push"
        return f"{first}-{self.event['version']}" if self.event["version"] else first

    @property
    def received(self) -> datetime:
        """When the push came."""
        return _time(self.event["received"])

    @property
    def finished(self) -> datetime | None:
        """When nothing more happened to it."""
        return _time(self.event["at"]) if self.event["state"] in OVER else None

    @property
    def reason(self) -> str:
        """Why, or what came of it: as the commit's status says it, which is more than the end of a log does."""
        repository = site().configuration.repositories.get(self.event["repository"])
        if self.state == "FAILED" and repository:
            status = site().statuses.latest(repository.name, self.event["revision"]).get(repository.status)
            if status and status.state in FINAL and status.description:
                return without_machine_paths(status.description)
        return without_machine_paths(self.event["detail"])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)


def pipeline_runs(known: list[dict[str, Any]]) -> list[PipelineRun]:
    """Events as PipelineRuns."""
    commits: dict[str, Commit] = {}
    for repository in site().configuration.repositories:
        commits |= find_commits(repository, [one["revision"] for one in known if one["repository"] == repository])
    return [PipelineRun(one, STATES.get(one["state"], "PENDING"), commits.get(one["revision"])) for one in known]


@blueprint.get("/pipeline-runs")
def show_all() -> str:
    """The list, newest first."""
    known = events(site().sandbox.state)[::-1]
    page, pages = paging(len(known))
    rows = pipeline_runs(known[(page - 1) * PAGE_SIZE : page * PAGE_SIZE])
    with open_session() as session:
        steps = {one.event["id"]: steps_of(session, runs_of(session, one.event["version"])) for one in rows}
    return render_template("pipeline_runs.html", rows=rows, steps=steps, page=page, pages=pages, total=len(known))


@blueprint.get("/pipeline-runs/<event_id>")
def show(event_id: str) -> str | Response:
    """A PipelineRun: its commit, the versions that this changed, the run that it started, its statuses, its log."""
    found = [one for one in events(site().sandbox.state) if one["id"] == event_id]
    if not found:
        raise not_found("PipelineRun", event_id)
    (one,) = pipeline_runs(found)
    event = one.event
    with open_session() as session:
        runs = runs_of(session, event["version"])
    page: dict[str, Any] = {
        "one": one,
        "runs": runs,
        "statuses": _statuses(event),
        "changes": changed_version_files(event["repository"], event["revision"]) if one.commit else [],
        "log": without_machine_paths(_log(event)),
        "is_over": event["state"] in OVER,
    }
    seen = digest([event["state"], [(run.id, run.state) for run in runs], len(page["log"]), len(page["statuses"])])
    if request.headers.get("HX-Target") != "live":
        return render_template("pipeline_run.html", seen=seen, **page)
    if seen == request.args.get("seen"):
        return Response(status=204)
    return render_template("pipeline_run_live.html", seen=seen, **page)


def runs_of(session: Session, version: str) -> list[Run]:
    """The runs of pipelines that are named for a commit."""
    if not version:
        return []
    named = select(Run).options(defer(Run.spec)).where(Run.display_name.endswith(f"-{version}", autoescape=True))
    return list(session.scalars(named.order_by(Run.number)))


def steps_of(session: Session, runs: list[Run]) -> str:
    """How many steps of the newest of some runs are in which state: ``6 succeeded, 1 failed``; empty without a run."""
    if not runs:
        return ""
    counted = select(Task.state, func.count()).where(Task.run_id == runs[-1].id, Task.kind == "executor")
    found = session.execute(counted.group_by(Task.state).order_by(func.count().desc())).all()
    return ", ".join(f"{count} {state.lower()}" for state, count in found)


def _statuses(event: dict[str, Any]) -> list[CommitStatus]:
    return site().statuses.of(event["repository"], event["revision"]) if event["revision"] else []


def _log(event: dict[str, Any]) -> str:
    file = Path(event.get("log", ""))
    is_ours = file.parent == site().sandbox.state / "events"
    return log_tail(file) if is_ours else ""
