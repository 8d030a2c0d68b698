"""Pipelines on a running sandbox, through the clients of Kubeflow Pipelines."""

from types import SimpleNamespace

import psutil
import pytest
import requests
from kfp import Client, compiler, dsl
from kfp_server_api import ApiException
from waiting import eventually


@dsl.component(base_image="python:3.12")
def greet(name: str) -> str:
    """Say hello."""
    print(f"Hello {name}!")
    if name == "nobody":
        raise ValueError("there is nobody")
    return f"Hello {name}!"


@dsl.pipeline(name="greeting")
def greeting(name: str = "Kubeflow"):
    """One step."""
    greet(name=name)


@pytest.fixture(scope="module")
def server(sandbox):
    token = sandbox.secret("pipeline-server")["token"]
    return SimpleNamespace(url=sandbox.cluster_domain, token=token)


@pytest.fixture(scope="module")
def client(server):
    return Client(host=server.url, existing_token=server.token)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    file = tmp_path_factory.mktemp("compiled") / "greeting.yaml"
    compiler.Compiler().compile(greeting, str(file))
    return str(file)


def ended(client, run_id):
    over = ("SUCCEEDED", "FAILED", "CANCELED")
    return eventually(lambda: run if (run := client.get_run(run_id)).state in over else None)


def test_a_run_goes_to_its_end_and_its_steps_log_is_read(client, server, package):
    pipeline = client.upload_pipeline(package, pipeline_name="greeting")
    (version,) = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
    experiment = client.get_experiment(experiment_name="Default").experiment_id
    wanted = {"pipeline_id": pipeline.pipeline_id, "version_id": version.pipeline_version_id}
    run = ended(client, client.run_pipeline(experiment, "greet", **wanted).run_id)
    assert run.state == "SUCCEEDED", run.state_history
    assert [one.state for one in run.state_history][-1] == "SUCCEEDED"
    tasks = run.run_details.task_details
    assert {"greet", "greet-driver", "executor"} <= {task.display_name for task in tasks}
    assert all(task.inputs is task.outputs is task.error is None for task in tasks)
    pods = [child.pod_name for task in tasks for child in task.child_tasks or []]
    logs = []
    for pod in pods:
        address = f"{server.url}/apis/v1alpha1/runs/{run.run_id}/nodes/{pod}/log"
        answer = requests.get(address, headers={"Authorization": f"Bearer {server.token}"}, timeout=30)
        logs += [answer.text] if answer.ok else []
    assert any("Hello Kubeflow!" in log for log in logs)


def test_a_run_that_fails_says_so(client, package):
    run = client.create_run_from_pipeline_package(package, {"name": "nobody"}, run_name="fails")
    assert ended(client, run.run_id).state == "FAILED"


def test_the_token_is_asked_for_at_the_one_address(server):
    answer = requests.get(f"{server.url}/apis/v2beta1/runs", timeout=30)
    assert (answer.status_code, answer.text) == (401, "Unauthorized\n")


@dsl.component(base_image="python:3.12")
def talk(file: str):
    """Say more than a log can hold."""
    import os

    with open(file, "w") as note:
        note.write(str(os.getpid()))
    while True:
        print("la" * 100)


@dsl.pipeline(name="talking")
def talking(file: str):
    """One step."""
    talk(file=file)


def test_a_run_is_deleted_while_its_log_is_written(client, sandbox, tmp_path):
    compiler.Compiler().compile(talking, str(tmp_path / "talking.yaml"))
    file = tmp_path / "pid"
    run = client.create_run_from_pipeline_package(str(tmp_path / "talking.yaml"), {"file": str(file)}).run_id
    logs = sandbox.state / "pipeline-server" / "logs" / run
    eventually(lambda: file.is_file() and file.read_text() and any(log.stat().st_size for log in logs.iterdir()))
    client.delete_run(run)
    assert not psutil.pid_exists(int(file.read_text())) and not logs.exists()
    with pytest.raises(ApiException, match=f"Run {run} not found"):
        client.get_run(run)


@dsl.component(base_image="python:3.12")
def write(word: str, data: dsl.Output[dsl.Dataset]):
    """Write a file."""
    with open(data.path, "w") as file:
        file.write(word)


@dsl.component(base_image="python:3.12")
def read_behind(gate: str, data: dsl.Input[dsl.Dataset]) -> str:
    """Read the file, where the gate is open."""
    with open(gate), open(data.path) as file:
        return file.read()


@dsl.pipeline(name="cached-then-read")
def cached_then_read(gate: str):
    """Two steps."""
    read_behind(gate=gate, data=write(word=gate).output).set_caching_options(False)


def test_what_a_deleted_run_wrote_is_still_there_for_the_runs_that_took_it_from_the_cache(client, tmp_path):
    compiler.Compiler().compile(cached_then_read, str(tmp_path / "pipeline.yaml"))
    gate = tmp_path / "gate"

    def begun():
        run = client.create_run_from_pipeline_package(str(tmp_path / "pipeline.yaml"), {"gate": str(gate)})
        return ended(client, run.run_id)

    gate.touch()
    first = begun()
    gate.unlink()
    second = begun()
    assert (first.state, second.state) == ("SUCCEEDED", "FAILED")
    client.delete_run(first.run_id)
    gate.touch()
    client._run_api.run_service_retry_run(second.run_id)
    assert client.wait_for_run_completion(second.run_id, 60, sleep_duration=1).state == "SUCCEEDED"
    third = begun()
    assert third.state == "SUCCEEDED"
    executors = [task.state for task in third.run_details.task_details if task.display_name == "executor"]
    assert executors == ["SKIPPED", "SUCCEEDED"]
