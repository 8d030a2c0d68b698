"""A run in our words: what the server says of its tasks, step by step, and never more than it says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import kfp_server_api
import pytest
from rich.console import Console

from jukebox_helpers.pipelines.read import CompiledPipeline, documents
from jukebox_helpers.pipelines.runs import Run, RunFailed, Step, run_from, take_over
from jukebox_helpers.show.progress import candidates_table, run_table

BEGIN = datetime(2026, 11, 25, 12, tzinfo=UTC)
SPEC = {
    "pipelineInfo": {"name": "p"},
    "root": {"dag": {"tasks": {name: {"componentRef": {"name": f"comp-{name}"}} for name in ("fetch", "loop")}}},
    "components": {
        "comp-fetch": {"executorLabel": "exec-fetch"},
        "comp-loop": {"dag": {"tasks": {"score": {"componentRef": {"name": "comp-score"}}}}},
        "comp-score": {"executorLabel": "exec-score"},
    },
}


def task(name: str, state: str, seconds: float = 0.0, **more: Any) -> kfp_server_api.V2beta1PipelineTaskDetail:
    end = BEGIN + timedelta(seconds=seconds) if seconds else datetime.fromtimestamp(0, UTC)
    return kfp_server_api.V2beta1PipelineTaskDetail(
        display_name=name, state=state, start_time=BEGIN, end_time=end, **more
    )


def answer(state: str, *tasks: Any, root: str = "") -> kfp_server_api.V2beta1Run:
    return kfp_server_api.V2beta1Run(
        run_id="1",
        display_name="p-adhoc-run",
        state=state,
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters={"a": 1}, pipeline_root=root),
        run_details=kfp_server_api.V2beta1RunDetails(task_details=list(tasks)),
        created_at=BEGIN,
        finished_at=BEGIN + timedelta(seconds=9),
    )


def read(news: Any) -> Any:
    return run_from(news, CompiledPipeline(SPEC, {}))


def states(run: Any) -> dict[str, str]:
    return {step.name: step.state for step in run.steps}


def test_a_run_is_read_with_its_name_arguments_and_steps():
    run = read(answer("RUNNING", root="s3://elsewhere/runs"))
    assert (run.id, run.name, run.pipeline, run.arguments) == ("1", "p-adhoc-run", "p", {"a": 1})
    assert states(run) == {"fetch": "pending", "score": "pending"} and run.state == "running"
    assert run.root == "s3://elsewhere/runs" and run.compiled.spec == SPEC
    assert "compiled" not in run.as_json()


@pytest.mark.parametrize("spec", [SPEC, {"pipeline_spec": SPEC, "platform_spec": {}}])
def test_a_server_answers_with_one_document_or_both(spec):
    assert documents(spec) == CompiledPipeline(SPEC, {})


def test_steps_are_taken_over_and_drivers_are_not_steps():
    run = read(answer("RUNNING"))
    rows = [task("fetch-driver", "SUCCEEDED", 1), task("fetch", "SUCCEEDED", 2.5), task("executor", "SUCCEEDED", 2)]
    assert take_over(run, answer("RUNNING", *rows))
    assert states(run) == {"fetch": "succeeded", "score": "pending"} and run.steps[0].seconds == 2.5
    assert not take_over(run, answer("RUNNING", *rows))  # nothing is new


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        (["SUCCEEDED", "RUNNING"], "running"),
        (["SUCCEEDED", "SUCCEEDED"], "succeeded"),
        (["SUCCEEDED", "FAILED", "RUNNING"], "failed"),
        (["SKIPPED"], "skipped"),
        (["CACHED"], "succeeded"),
        (["RUNTIME_STATE_UNSPECIFIED"], "pending"),
    ],
)
def test_a_step_in_a_loop_has_the_strongest_state_of_its_tasks(rows, state):
    run = read(answer("RUNNING", *(task("score", row) for row in rows)))
    assert states(run)["score"] == state


def test_when_a_run_is_over_what_never_ran_was_skipped():
    run = read(answer("SUCCEEDED", task("fetch", "SUCCEEDED")))
    assert states(run) == {"fetch": "succeeded", "score": "skipped"} and run.state == "succeeded"


def test_when_a_run_has_failed_nothing_of_it_is_pending_or_running():
    run = read(answer("FAILED", task("fetch", "RUNNING")))
    assert states(run) == {"fetch": "failed", "score": "skipped"} and run.seconds == 9.0
    run.error, run.next_action = "Line one.\nLine two.", "Fix the data."
    error = RunFailed(run)
    assert error.what == "Step 'fetch' of 'p' failed: Line one.\nLine two."
    assert error.next_action == "Fix the data. (The log: ./jukebox log 1)"
    run.next_action = ""
    assert RunFailed(run).next_action == "Read the log: ./jukebox log 1"


def test_titles_of_tables_stand_on_one_line(capsys):
    run = Run("1", "a-run", "data-pipeline-with-dvc", {}, [Step("load", "succeeded", 1.0)], "succeeded", seconds=12.0)
    for table in (run_table(run), candidates_table([{"epochs": 10}])):
        Console(width=100).print(table)
        assert capsys.readouterr().out.splitlines()[0].strip() == table.title
