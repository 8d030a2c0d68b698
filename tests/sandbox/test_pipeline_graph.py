# ruff: noqa: UP045 - what a step or pipeline takes is `Optional[...]`: kfp reads no `| None`
import itertools
from typing import NamedTuple, Optional

import pytest
from kfp import dsl

LIST = [1, 2, 3]


@dsl.component(base_image="python:3.12")
def number(value: int) -> int:
    return value


@dsl.component(base_image="python:3.12")
def text(value: str) -> str:
    return f"<{value}>"


@dsl.component(base_image="python:3.12")
def show(value: list) -> str:
    import json

    return json.dumps(value)


@dsl.component(base_image="python:3.12")
def fail(value: str = "") -> str:
    raise ValueError("it is meant to fail")


@dsl.component(base_image="python:3.12")
def write(value: int, made: dsl.Output[dsl.Dataset]):
    made.metadata["value"] = value
    with open(made.path, "w") as file:
        file.write(str(value))


@dsl.component(base_image="python:3.12")
def read(made: dsl.Input[dsl.Dataset]) -> str:
    with open(made.path) as file:
        return file.read()


@dsl.component(base_image="python:3.12")
def read_all(made: dsl.Input[list[dsl.Dataset]]) -> str:
    found = []
    for one in made:
        with open(one.path) as file:
            found.append(file.read())
    return ",".join(found)


@dsl.component(base_image="python:3.12")
def finish(status: dsl.PipelineTaskFinalStatus, word: str = "default") -> str:
    return f"{status.state} {status.pipeline_task_name} {word}"


@dsl.component(base_image="python:3.12")
def several() -> NamedTuple("Outputs", [("items", list[dict]), ("name", str)]):
    return ([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], "joined")


@dsl.pipeline(name="branches")
def branches(value: int = 2):
    first = number(value=value)
    with dsl.If(first.output == 1):
        one = text(value="one")
    with dsl.Elif(first.output == 2):
        two = text(value="two")
    with dsl.Else():
        other = text(value="other")
    text(value=dsl.OneOf(one.output, two.output, other.output)).set_display_name("the one")


@pytest.mark.parametrize(("value", "taken"), [(1, "one"), (2, "two"), (3, "other")])
def test_one_branch_of_a_condition_runs_and_its_output_is_used(runs, value, taken):
    run = runs.run(branches, {"value": value})
    assert run.state == "SUCCEEDED", run.error
    outputs = runs.outputs(run)
    assert outputs.pop("text-4") == {"Output": f"<<{taken}>>"}
    assert [given for scope, given in outputs.items() if "condition" in scope] == [{"Output": f"<{taken}>"}]
    states = [
        state
        for row, state in runs.rows(run).items()
        if row.rpartition(":")[2] in ("condition-2", "condition-3", "condition-4")
    ]
    assert sorted(states) == ["SKIPPED", "SKIPPED", "SUCCEEDED"]


@dsl.pipeline(name="loops")
def loops(given: list[int] = LIST):
    made = several()
    with dsl.ParallelFor(items=LIST, parallelism=1) as item:
        inner = write(value=item)
        read(made=inner.outputs["made"])
    read_all(made=dsl.Collected(inner.outputs["made"]))
    with dsl.ParallelFor(items=given) as item:
        doubled = number(value=item)
        with dsl.ParallelFor(items=["a", "b"]) as letter:
            nested = text(value=letter)
    show(value=dsl.Collected(doubled.output))
    show(value=dsl.Collected(nested.output))
    with dsl.ParallelFor(items=made.outputs["items"]) as item:
        text(value=item.b)


def test_loops_over_constants_parameters_and_outputs_and_what_is_collected(runs):
    run = runs.run(loops, {"given": [5, 6]})
    assert run.state == "SUCCEEDED", run.error
    outputs = runs.outputs(run)
    assert outputs["read-all"] == {"Output": "1,2,3"}
    assert outputs["show"] == {"Output": "[5, 6]"}
    assert outputs["show-2"] == {"Output": '["<a>", "<b>", "<a>", "<b>"]'}
    assert sorted(given["Output"] for scope, given in outputs.items() if "text-2" in scope) == [
        "<x>", "<y>"]  # fmt: skip
    rows = runs.rows(run)
    assert rows["root/for-loop-2:iteration-iterations"] == "SUCCEEDED"
    assert rows["root/for-loop-2[2]:iteration-iterations(2:2)"] == "SUCCEEDED"
    assert rows["root/for-loop-2[0]:iteration-item"] == "SUCCEEDED"
    assert rows["root/for-loop-2:iteration-driver"] == "SUCCEEDED"


def test_iterations_run_side_by_side_unless_the_loop_says_no(runs):
    """With `parallelism=1` one iteration ends before the next begins."""
    run = runs.run(loops)
    spans = sorted(
        (task.started_at, task.finished_at)
        for task in runs.tasks(run)
        if task.kind == "iteration" and task.scope.startswith("root/for-loop-2[")
    )
    assert len(spans) == 3 and all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))


@dsl.pipeline(name="empty")
def empty(given: list = LIST):
    with dsl.ParallelFor(items=given) as item:
        text(value=item)


def test_a_loop_over_nothing_succeeds(runs):
    run = runs.run(empty, {"given": []})
    assert run.state == "SUCCEEDED", run.error
    assert runs.rows(run)["root/for-loop-1:iteration-iterations"] == "SKIPPED"


@dsl.pipeline(name="exits")
def exits(broken: bool = True):
    with dsl.ExitHandler(finish(word="given")):
        first = number(value=1)
        with dsl.If(broken == True):  # noqa: E712
            fail()
        text(value="behind").after(first)


@pytest.mark.parametrize(("broken", "state", "said"), [(True, "FAILED", "FAILED"), (False, "SUCCEEDED", "COMPLETE")])
def test_the_exit_task_runs_and_knows_how_it_ended(runs, broken, state, said):
    run = runs.run(exits, {"broken": broken})
    assert run.state == state
    assert runs.outputs(run)["finish"] == {"Output": f"{said} exit-handler-1 given"}
    assert ("exit code 1" in run.error) == broken


@dsl.pipeline(name="failing")
def failing():
    broken = fail()
    text(value=broken.output)


def test_what_waits_for_a_failed_step_never_begins(runs):
    run = runs.run(failing)
    assert (
        run.state == "FAILED"
        and run.error == "Step 'fail' failed: its process ended with exit code 1; its log says why."
    )
    rows = runs.rows(run)
    assert rows["root/fail:executor"] == rows["root/fail:fail"] == rows["root:root"] == "FAILED"
    assert rows["root/text:text-driver"] == rows["root/text:text"] == "RUNTIME_STATE_UNSPECIFIED"
    assert "root/text:executor" not in rows
    assert runs.log(runs.executors(run)["fail"]).rstrip().endswith("ValueError: it is meant to fail")


@dsl.component(base_image="python:3.12")
def third_time(folder: str) -> int:
    import os

    made = len(os.listdir(folder))
    open(os.path.join(folder, str(made)), "w").close()
    if made < 2:
        raise SystemExit(3)
    return int(os.environ["KFP_RETRY_INDEX"])


@dsl.pipeline(name="again")
def again(folder: str):
    third_time(folder=folder).set_retry(num_retries=2, backoff_duration="0s").set_caching_options(False)


def test_a_step_is_retried_as_its_policy_says(runs, tmp_path):
    run = runs.run(again, {"folder": str(tmp_path)})
    assert run.state == "SUCCEEDED", run.error
    assert runs.outputs(run)["third-time"] == {"Output": 2}
    rows = runs.rows(run)
    states = [rows[f"root/third-time({number}):executor({number})"] for number in range(3)]
    assert states == ["FAILED", "FAILED", "SUCCEEDED"] and rows["root/third-time:executor"] == "SUCCEEDED"


class Made(NamedTuple):
    made: dsl.Dataset
    word: str


@dsl.pipeline(name="inner")
def inner(value: int, word: str = "default", nothing: Optional[str] = None) -> Made:
    made = write(value=value)
    return Made(made.outputs["made"], text(value=word).output)


@dsl.pipeline(name="outer")
def outer():
    nested = inner(value=7)
    read(made=nested.outputs["made"])
    text(value=nested.outputs["word"])


def test_a_pipeline_in_a_pipeline_has_defaults_and_outputs(runs):
    run = runs.run(outer)
    assert run.state == "SUCCEEDED", run.error
    outputs = runs.outputs(run)
    assert outputs["read"] == {"Output": "7"} and outputs["text"] == {"Output": "<<default>>"}
    (dag,) = (task for task in runs.tasks(run) if task.scope == "root/inner" and task.kind == "dag")
    assert dag.outputs["parameters"] == {"word": "<default>"} and len(dag.outputs["artifacts"]["made"]) == 1


@dsl.component(base_image="python:3.12")
def places(name: str, run: str, task: str, sentence: str, word: str = "own", maybe: Optional[str] = None) -> str:
    return "|".join([name, run, task, sentence, word, str(maybe)])


@dsl.pipeline(name="names")
def names(word: Optional[str] = None):
    made = text(value="in")
    places(
        name=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
        run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        task=dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
        sentence=f"made of {made.output}",
        maybe=word,
    )


def test_placeholders_and_defaults_are_filled_in(runs):
    run = runs.run(names)
    assert run.state == "SUCCEEDED", run.error
    assert runs.outputs(run)["places"] == {"Output": f"a run|{run.id}|places|made of <in>|own|None"}


@dsl.component(base_image="python:3.12")
def untyped() -> list:
    return [{"a": 1}]


@dsl.component(base_image="python:3.12")
def of_struct(value: dict) -> str:
    return str(value)


@dsl.pipeline(name="types")
def types():
    with dsl.ParallelFor(items=untyped().output) as item:
        of_struct(value=item)


def test_a_text_given_for_a_struct_is_refused_when_the_inputs_are_resolved(runs):
    """The items of an untyped list are STRING; https://github.com/kubeflow/pipelines, driver/resolve.go."""
    run = runs.run(types)
    assert run.state == "FAILED" and "type mismatch: expect STRUCT, got string" in run.error
    rows = runs.rows(run)
    assert rows["root/untyped:executor"] == "SUCCEEDED"
    assert rows["root/for-loop-1[0]/of-struct:of-struct-driver"] == "FAILED"


@dsl.component(base_image="python:3.12")
def facts(made: dsl.Output[dsl.Artifact], none: bool = False):
    made.metadata.update(whole=3, part=0.5, yes=True, text="t", listed=[1, 2], nested={"a": 1})
    if none:
        made.metadata["nothing"] = None


@dsl.component(base_image="python:3.12")
def see(made: dsl.Input[dsl.Artifact]) -> dict:
    return made.metadata


@dsl.pipeline(name="metadata")
def metadata(none: bool = False):
    see(made=facts(none=none).outputs["made"])


def test_facts_arrive_as_ml_metadata_returns_them(runs):
    run = runs.run(metadata)
    assert run.state == "SUCCEEDED", run.error
    seen = runs.outputs(run)["see"]["Output"]
    assert seen.pop("display_name") == "made" and "secretName" in seen.pop("store_session_info")
    assert seen == {
        "whole": 3, "part": 0.5, "yes": 1, "text": "t",
        "listed": {"list": [1, 2]}, "nested": {"struct": {"a": 1}},
    }  # fmt: skip
    assert seen["yes"] is not True


def test_a_fact_that_is_null_fails_the_step(runs):
    run = runs.run(metadata, {"none": True})
    assert run.state == "FAILED" and "'nothing' of artifact 'made' is null" in run.error


@dsl.pipeline(name="cached")
def cached(value: int = 1):
    read(made=write(value=value).outputs["made"])


def test_the_cache_answers_for_the_same_inputs_and_nothing_else(runs):
    first = runs.run(cached, {"value": 11})
    second = runs.run(cached, {"value": 11})
    third = runs.run(cached, {"value": 12})
    assert first.state == second.state == third.state == "SUCCEEDED"
    one, two = runs.executors(first), runs.executors(second)
    assert (two["write"].state, two["write"].cached_from) == ("SKIPPED", first.id)
    assert two["read"].cached_from == first.id and two["read"].outputs == one["read"].outputs
    assert two["write"].outputs == one["write"].outputs
    assert runs.rows(second)["root/write:write"] == "SUCCEEDED"
    assert [task.cached_from for task in runs.executors(third).values()] == ["", ""]


def test_a_step_that_turns_the_cache_off_runs_each_time(runs, tmp_path):
    for _ in range(2):
        run = runs.run(again, {"folder": str(tmp_path)})
    assert runs.executors(run)["third-time"].state == "SUCCEEDED" and len(list(tmp_path.iterdir())) == 4


@dsl.component(base_image="python:3.12")
def report(value: str = "default") -> str:
    return f"<{value}>"


@dsl.pipeline(name="ignores")
def ignores():
    report(value=fail().output).ignore_upstream_failure()


def test_a_task_that_ignores_the_failure_before_it_gets_nothing_from_there(runs):
    run = runs.run(ignores)
    assert run.state == "FAILED" and runs.outputs(run)["report"] == {"Output": "<>"}


@dsl.component(base_image="python:3.12")
def late() -> str:
    import time

    time.sleep(1)
    return "late"


@dsl.pipeline(name="beside-a-failure")
def beside_a_failure():
    fail()
    text(value=late().output)


def test_after_a_failure_what_runs_ends_and_nothing_else_of_the_dag_begins(runs):
    run = runs.run(beside_a_failure)
    assert run.state == "FAILED"
    rows = runs.rows(run)
    assert rows["root/late:executor"] == "SUCCEEDED" and "root/text:text-driver" not in rows
