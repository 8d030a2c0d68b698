"""Pipelines on a running sandbox, through the clients of Kubeflow Pipelines."""

from types import SimpleNamespace

import pytest
import requests
from kfp import Client, compiler, dsl
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
