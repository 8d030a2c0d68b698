from pathlib import Path

from kfp import dsl, kubernetes
from running import SECRET_VALUE

from jukebox_sandbox.pipeline_server.runner.environment import PASSED_ON


@dsl.component(base_image="python:3.12")
def environment(text: str, found: dsl.Output[dsl.Dataset]) -> int:
    import json
    import os

    found.metadata["text"] = text
    found.metadata["epochs"] = 3
    with open(found.path, "w") as file:
        json.dump(dict(os.environ), file)
    print("said", text)
    return len(text)


@dsl.component(base_image="python:3.12")
def after(number: int, found: dsl.Input[dsl.Dataset]) -> str:
    import json

    with open(found.path) as file:
        return f"{number} {json.load(file)['GREETING']} {found.metadata['text']} {found.uri}"


@dsl.pipeline(name="linear")
def linear(text: str = "hello"):
    first = environment(text=text)
    kubernetes.use_secret_as_env(first, secret_name="a-secret", secret_key_to_env={"key": "VARIABLE"})
    kubernetes.use_field_path_as_env(first, env_name="namespace", field_path="metadata.namespace")
    kubernetes.use_field_path_as_env(first, env_name="run", field_path="metadata.labels['pipeline/runid']")
    first.set_env_variable("OWN", "1")
    first.set_caching_options(False)
    after(number=first.outputs["Output"], found=first.outputs["found"]).set_caching_options(False)


def test_steps_get_what_the_platform_spec_gives_them_and_nothing_else(runs, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the server")
    run = runs.run(linear)
    assert run.state == "SUCCEEDED", run.error
    assert [one["state"] for one in run.state_history] == ["PENDING", "RUNNING", "SUCCEEDED"]
    first, second = runs.executors(run)["environment"], runs.executors(run)["after"]
    given = runs.json_of(first, "found")
    assert given["VARIABLE"] == SECRET_VALUE and given["namespace"] == "user1-toolings" and given["OWN"] == "1"
    assert given["run"] == run.id
    of_a_container = {*PASSED_ON, "HOME", "TMPDIR", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONUTF8", "MPLCONFIGDIR"}
    known = of_a_container | {"_KFP_RUNTIME", "JUKEBOX_STEP", "LC_CTYPE", "KF_PIPELINES_SA_TOKEN_PATH", "GREETING"}
    assert set(given) - known == {"VARIABLE", "namespace", "run", "OWN"}
    assert not Path(given["HOME"]).exists() and not Path(given["KF_PIPELINES_SA_TOKEN_PATH"]).exists()
    artifact = runs.artifact(first, "found")
    assert artifact.type == "system.Dataset" and artifact.uri.startswith(f"s3://pipeline/linear/{run.id}/environment/")
    assert second.outputs["parameters"]["Output"] == f"5 from http://127.0.0.1:1 hello {artifact.uri}"
    assert "said hello\n" in runs.log(first) and SECRET_VALUE not in runs.log(first)


def test_the_rows_are_those_that_argo_makes(runs):
    run = runs.run(linear)
    assert runs.rows(run) == {
        f":linear-{run.id[:5]}": "SUCCEEDED",
        "root:root-driver": "SUCCEEDED",
        "root:root": "SUCCEEDED",
        "root/environment:environment-driver": "SUCCEEDED",
        "root/environment:environment": "SUCCEEDED",
        "root/environment:executor": "SUCCEEDED",
        "root/after:after-driver": "SUCCEEDED",
        "root/after:after": "SUCCEEDED",
        "root/after:executor": "SUCCEEDED",
    }
    by_id = {task.id: task for task in runs.tasks(run)}
    parents = {
        task.name: by_id[task.parent_id].name for task in by_id.values() if task.parent_id and task.name != "executor"
    }
    assert parents["environment"] == "root" and parents["root"] == f"linear-{run.id[:5]}"
