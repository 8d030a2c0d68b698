"""A run of a pipeline, as a person and a program see it: steps, states, and why it failed."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.read import CompiledPipeline

RunState = Literal["running", "succeeded", "failed"]
StepState = Literal["pending", "running", "succeeded", "failed", "skipped"]

STATES: dict[str, StepState] = {
    "RUNNING": "running",
    "CANCELING": "running",
    "PAUSED": "running",
    "SUCCEEDED": "succeeded",
    "CACHED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "failed",
    "SKIPPED": "skipped",
}
"""KFP's states of a task; any other is pending.
https://www.kubeflow.org/docs/components/pipelines/reference/api/kubeflow-pipeline-api-spec/"""

STRONGEST: tuple[StepState, ...] = ("failed", "running", "succeeded", "skipped", "pending")
"""The state of a step that ran several times, in a loop, is the first of these that one of its tasks has."""


@dataclass
class Step:
    """One step of a run: its state, and how long it took in seconds."""

    name: str
    state: StepState = "pending"
    seconds: float = 0.0


@dataclass
class Run:
    """One execution of a pipeline on the platform's pipeline server.

    ``name`` is its name in the dashboard, ``error`` why it failed in the words of the step that did, ``next_action``
    what to do then, ``seconds`` how long it has taken, ``root`` where its artifacts are, if not in the bucket
    ``pipeline``, and ``compiled`` what runs.
    """

    id: str
    name: str
    pipeline: str
    arguments: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    state: RunState = "running"
    error: str = ""
    next_action: str = ""
    seconds: float = 0.0
    root: str = ""
    compiled: CompiledPipeline | None = field(default=None, repr=False, compare=False)

    @property
    def began(self) -> bool:
        """Whether any step has begun; a run that is refused ends before."""
        return any(step.state not in ("pending", "skipped") for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        """What a program would read of it."""
        known = {key: value for key, value in vars(self).items() if key != "compiled"}
        return known | {"steps": [vars(step) for step in self.steps]}


class RunFailed(JukeboxError):
    """A run whose step has failed; ``run`` says which."""

    def __init__(self, run: Run) -> None:
        failed = next((step.name for step in run.steps if step.state == "failed"), "")
        where = f"Step {failed!r} of {run.pipeline!r} failed" if failed else f"Pipeline {run.pipeline!r} failed"
        what = run.error if run.error.startswith("Step ") else f"{where}: {run.error}"
        log = f"./jukebox log {run.id}"
        super().__init__(what, f"{run.next_action} (The log: {log})" if run.next_action else f"Read the log: {log}")
        self.run = run


def run_from(news: Any, compiled: CompiledPipeline) -> Run:
    """A run with its states, from what the server says of it: a ``V2beta1Run`` of KFP's client."""
    runtime = news.runtime_config
    run = Run(
        news.run_id,
        news.display_name,
        compiled.name,
        dict((runtime and runtime.parameters) or {}),
        [Step(name) for name in compiled.steps()],
        root=(runtime and runtime.pipeline_root) or "",
        compiled=compiled,
    )
    take_over(run, news)
    return run


def state_of(news: Any) -> RunState:
    """The state of a run, from what the server says of it."""
    ended: dict[str, RunState] = {
        "SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELED": "failed", "SKIPPED": "failed",
    }  # fmt: skip
    return ended.get(news.state, "running")


def take_over(run: Run, news: Any) -> bool:
    """Take what the server says of a run into our record of it; whether a state has changed."""
    before = (run.state, [step.state for step in run.steps])
    for step in run.steps:
        # Drivers and executors are tasks for KFP, too, under other names.
        tasks = [task for task in tasks_of(news) if task.display_name == step.name]
        states = {STATES.get(task.state, "pending") for task in tasks}
        step.state = next((state for state in STRONGEST if state in states), step.state)
        step.seconds = max((duration(task.start_time, task.end_time) for task in tasks), default=0.0)
    run.state = state_of(news)
    run.seconds = duration(news.created_at, news.finished_at)
    if run.state != "running":
        for step in run.steps:
            step.state = "skipped" if step.state == "pending" else "failed" if step.state == "running" else step.state
    return before != (run.state, [step.state for step in run.steps])


def tasks_of(news: Any) -> list[Any]:
    """The rows that the server has for a run: steps, drivers, executors."""
    return (news.run_details and news.run_details.task_details) or []


def duration(start: datetime | None, end: datetime | None) -> float:
    """Seconds from start to end; 0 where one is not known. KFP says 1970 for "not yet"."""
    return max(0.0, round((end - start).total_seconds(), 3)) if start and end else 0.0
