"""What the server of a cluster says of a run, in the words of our own record of runs."""

from datetime import datetime
from typing import Any

from jukebox_helpers.pipelines.runs import Run, StepState

STATES: dict[str, StepState] = {
    "RUNNING": "running",
    "CANCELING": "running",
    "PAUSED": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "failed",
    "SKIPPED": "skipped",
}
"""KFP's states of a task; any other is pending.
https://www.kubeflow.org/docs/components/pipelines/reference/api/kubeflow-pipeline-api-spec/"""


def take_over(run: Run, news: Any) -> bool:
    """Take what the server says of a run into our record of it.

    Args:
        run: The record.
        news: The server's answer.

    Returns:
        Whether a state has changed.
    """
    before = (run.state, [step.state for step in run.steps])
    tasks = (news.run_details and news.run_details.task_details) or []
    known = {step.name: step for step in run.steps}
    errors = []
    for task in tasks:
        if task.error and task.error.message:
            errors.append(task.error.message)
        # Drivers and executors are tasks for KFP, too.
        if step := known.get(task.display_name):
            step.state = STATES.get(task.state, "pending")
            step.seconds = duration(task.start_time, task.end_time)
    ended = {"SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELED": "failed", "SKIPPED": "failed"}
    run.state = ended.get(news.state, "running")  # type: ignore[assignment]
    if run.state == "failed":
        said = [news.error.message] if news.error and news.error.message else errors
        run.error = "It was cancelled." if news.state == "CANCELED" else "\n".join(said) or f"It ended as {news.state}."
        for step in run.steps:
            step.state = "skipped" if step.state == "pending" else "failed" if step.state == "running" else step.state
    return before != (run.state, [step.state for step in run.steps])


def duration(start: datetime | None, end: datetime | None) -> float:
    """Seconds from start to end; 0 where one is not known. KFP says 1970 for "not yet"."""
    return max(0.0, round((end - start).total_seconds(), 3)) if start and end else 0.0
