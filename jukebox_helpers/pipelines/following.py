"""Runs on a pipeline server: started, found, followed to their end, and why one failed."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.connection import NotThere
from jukebox_helpers.pipelines.read import CompiledPipeline, check_arguments, documents, read_pipeline
from jukebox_helpers.pipelines.runs import Run, RunFailed, run_from, state_of, take_over, tasks_of
from jukebox_helpers.pipelines.server import Imported, PipelineServer, connect
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps.messages import parts, printable, read_failure
from jukebox_helpers.waiting import wait_until

OnChange = Callable[[Run], None]

PAUSE = 0.25
"""Seconds between two questions about a run."""


def nobody(run: Run) -> None:
    """Tell nobody of a change."""


def start_run(
    server: PipelineServer, pipeline: CompiledPipeline | Imported, arguments: dict[str, Any], name: str = ""
) -> Run:
    """Start a run of an imported version, or of a pipeline that is sent along and not imported.

    ``name`` is the run's in the dashboard, that of an ad-hoc run where not given. An argument that is missing or
    unknown is a JukeboxError.
    """
    compiled = pipeline.compiled if isinstance(pipeline, Imported) else pipeline
    check_arguments(compiled, arguments)
    with tempfile.TemporaryDirectory(prefix="jukebox-run-") as folder:
        if isinstance(pipeline, Imported):
            source = {"pipeline_id": pipeline.pipeline_id, "version_id": pipeline.version_id}
        else:
            file = Path(folder, "pipeline.yaml")
            file.write_text(compiled.text())
            source = {"pipeline_package_path": str(file)}
        with server.asking():
            # Without an experiment, it goes to the project's default one.
            started = server.client.run_pipeline(
                experiment_id=None, job_name=name or adhoc_name(compiled.name), params=arguments, **source
            )
    return run_from(started, compiled)


def run_pipeline(
    source: Path | CompiledPipeline,
    arguments: dict[str, Any],
    settings: Settings,
    on_change: OnChange = nobody,
    name: str = "",
) -> Run:
    """Run a pipeline that is sent along, a file or one changed after reading, and follow it to its end.

    Nothing is imported. What cannot start is a JukeboxError, a step that has failed RunFailed. ``name`` is as in
    `start_run`.
    """
    server = connect(settings)
    compiled = source if isinstance(source, CompiledPipeline) else read_pipeline(source.read_text())
    return follow(server, start_run(server, compiled, arguments, name), on_change)


def adhoc_name(pipeline: str) -> str:
    """The name of a run that is started by hand."""
    return f"{pipeline}-adhoc-run"


def follow(server: PipelineServer, run: Run, on_change: OnChange = nobody, timeout: float = 7200.0) -> Run:
    """Follow a run until it ends, and bring it up to date; ``on_change`` is called whenever a step changes its state.

    A server that stops answering, or a run that does not end within ``timeout`` seconds, is a JukeboxError; a run that
    has failed or was cancelled is RunFailed.
    """

    def ended() -> Any:
        try:
            news = ask(server, run.id)
        except JukeboxError as error:
            raise JukeboxError(
                f"The run {run.name!r} ({run.id}) goes on, but cannot be followed any more: {error.what}",
                f"Follow it in the dashboard, project {server.namespace}.",
            ) from None
        if take_over(run, news):
            on_change(run)
        return news if run.state != "running" else None

    def late() -> JukeboxError:
        return JukeboxError(
            f"The run {run.name!r} ({run.id}) did not end within {timeout:.0f} s.",
            f"Look at it in the dashboard, project {server.namespace}; it goes on.",
        )

    on_change(run)
    news = wait_until(ended, timeout, late, every=PAUSE)
    if run.state == "failed":
        explain(server, run, news)
        raise RunFailed(run)
    return run


def runs_named(server: PipelineServer, name: str, number: int) -> list[Run]:
    """So many of the runs of a name, the newest first, in their present states, with the reason if one has failed."""
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    found = list_runs(server, number, filter=json.dumps({"predicates": [predicate]}))
    return [read_run(server, one.run_id) for one in found]


def find_run(server: PipelineServer, name: str) -> Run | None:
    """The newest run of a name, as `runs_named` gives it; None if there is none."""
    return next(iter(runs_named(server, name, 1)), None)


def list_runs(server: PipelineServer, number: int, **options: Any) -> list[Any]:
    """What the server says of so many of the project's runs, the newest first."""
    with server.asking():
        return (
            server.client.list_runs(
                page_size=number, sort_by="created_at desc", namespace=server.namespace, **options
            ).runs
            or []
        )


def read_run(server: PipelineServer, run_id: str) -> Run:
    """A run in its present state, with the reason if it has failed."""
    news = ask(server, run_id)
    run = run_from(news, compiled_of(server, news))
    if run.state == "failed":
        explain(server, run, news)
    return run


def newest_runs(server: PipelineServer, number: int) -> list[dict[str, Any]]:
    """The newest runs of all pipelines: ``id``, ``name``, ``pipeline``, ``state``, ``when`` it began, and ``why``.

    ``why`` is the first line of the reason for which a run has failed, else empty. ``when`` is a time of day in UTC.
    """
    pipelines = {one.pipeline_id: one.display_name for one in server.all(server.client.list_pipelines, "pipelines")}
    rows = []
    for news in list_runs(server, number):
        state, why, version = state_of(news), "", news.pipeline_version_reference
        if news.pipeline_spec:
            pipeline = documents(news.pipeline_spec).name
        else:
            pipeline = pipelines.get(version.pipeline_id, "") if version else ""
        if state == "failed":
            with contextlib.suppress(NotThere):  # its pipeline may have been deleted
                why = read_run(server, news.run_id).error.split("\n")[0]
        row = {"id": news.run_id, "name": news.display_name, "pipeline": pipeline, "state": state}
        rows.append(row | {"when": news.created_at, "why": why})
    return rows


def compiled_of(server: PipelineServer, news: Any) -> CompiledPipeline:
    """What a run runs: it comes with the run, or is that of the imported version that the run names."""
    if news.pipeline_spec:
        return documents(news.pipeline_spec)
    version = news.pipeline_version_reference
    with server.asking():
        found = server.client.get_pipeline_version(version.pipeline_id, version.pipeline_version_id)
    return documents(found.pipeline_spec)


def ask(server: PipelineServer, run_id: str) -> Any:
    """What the server says of a run."""
    with server.asking():
        return server.client.get_run(run_id)


def explain(server: PipelineServer, run: Run, news: Any) -> None:
    """Find out why a run failed, its ``error`` and ``next_action``: from the last failure line in a failed step's log.

    A server says of tasks when they ran and how they ended, never why.
    """
    if news.state == "CANCELED":
        run.error, run.next_action = "It was cancelled.", "Start it again when you want it."
        return
    for _, pod in pods_of(run, news, "FAILED"):
        with contextlib.suppress(JukeboxError):
            if found := read_failure(step_log(server, run.id, pod)):
                run.error, run.next_action = found
                if run.error.startswith("ModuleNotFoundError: No module named"):
                    run.next_action = "Declare the package in the step, as the others are, then push or run it again."
                return
    errors = [news.error, *(status.error for status in news.state_history or [])]
    said = [error.message for error in errors if error and error.message]
    what, next_action = parts(printable(said[-1] if said else "the server does not say why."))
    run.error = what
    run.next_action = next_action or f"Read the step's log in the dashboard, project {server.namespace}, {run.name}."


def step_log(server: PipelineServer, run_id: str, pod: str) -> str:
    """What a step printed, by its pod's name; NotThere for a log that the server does not have."""
    client, headers = server.client.runs.api_client, dict[str, str]()
    with server.asking():
        # The generated client has no method for it.
        client.update_params_for_auth(headers, [], ["Bearer"])
        address = f"{client.configuration.host}/apis/v1alpha1/runs/{quote(run_id)}/nodes/{quote(pod)}/log"
        answer = client.rest_client.request("GET", address, headers=headers)
    text = answer.data.decode(errors="replace")
    # For a log that it does not have, a server answers 200, and says so in JSON.
    if "json" in (answer.getheader("Content-Type") or "") and "error_message" in text:
        raise NotThere(f"The pipeline server has no log of {pod}.", "Read it in the dashboard.")
    return text


def logs(server: PipelineServer, run_id: str) -> dict[str, str]:
    """What each step of a run printed, by step; logs that the server does not have are left out.

    A run that it does not have is a JukeboxError.
    """
    try:
        news = ask(server, run_id)
    except NotThere:
        raise JukeboxError(
            f"The pipeline server has no run {run_id!r}.",
            "Give the run's id: ./jukebox runs lists the newest.",
        ) from None
    found: dict[str, str] = {}
    for name, pod in pods_of(run_from(news, compiled_of(server, news)), news):
        with contextlib.suppress(NotThere):
            found[name] = found.get(name, "") + step_log(server, run_id, pod)
    return found


def pods_of(run: Run, news: Any, state: str = "") -> Iterator[tuple[str, str]]:
    """The pods of a run's steps, or only of steps in one state of KFP's: the step, and the name of a pod.

    A step's row names its pods as children; the rows of pods have no name.
    """
    steps = {step.name for step in run.steps}
    for task in tasks_of(news):
        if task.display_name in steps and state in ("", task.state):
            for child in task.child_tasks or ():
                if child.pod_name:
                    yield task.display_name, child.pod_name
