"""The command `kfp`, as an attendee types it in the lab: it finds the server in the environment."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import client_tour
import pytest
from kfp import compiler
from pipeline_servers import TOKEN, pipeline_server
from small_pipeline import a_pipeline


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pipeline_server(tmp_path_factory.mktemp("state")) as one:
        yield one


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    file = tmp_path_factory.mktemp("compiled") / "a-pipeline.yaml"
    compiler.Compiler().compile(a_pipeline, str(file))
    return str(file)


@pytest.fixture
def kfp(server, tmp_path):
    environment = os.environ | {"KFP_ENDPOINT": server.url, "KFP_EXISTING_TOKEN": TOKEN, "HOME": str(tmp_path)}

    def run(*arguments, code=0):
        program = [str(Path(sys.executable).parent / "kfp"), "--output", "json", *arguments]
        done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stderr
        # Where to look at it comes first, on a line of its own.
        return done.stdout + done.stderr if code else json.loads(re.sub(r"\A(\w+ details: .*\n)+", "", done.stdout))

    return run


def test_the_command_imports_runs_lists_and_gets(server, kfp, package):
    pipeline = kfp("pipeline", "create", "--pipeline-name", "typed", package)
    assert pipeline["name"] == "typed"
    second = ("--pipeline-name", "typed", "--pipeline-version", "second")
    version = kfp("pipeline", "create-version", *second, package)["pipeline_version_id"]
    made = ("run", "create", "--experiment-name", "Default", "--run-name", "adhoc")
    made += ("--pipeline-id", pipeline["pipeline_id"], "--version", version)
    refused = kfp(*made, "txt=typed", code=1)
    assert "parameter text is not optional" in refused and server.runner.heard == []
    run = kfp(*made, "text=typed")
    assert server.runner.heard == [("submit", run["run_id"])]
    found = kfp("run", "get", run["run_id"])
    assert (found["state"], found["runtime_config"]["parameters"]) == ("PENDING", {"text": "typed"})
    assert [one["display_name"] for one in kfp("run", "list")] == ["adhoc"]


TOURED = {
    "multi_user": False,
    "by name": True,
    "versions": [2, "second", True],
    "spec": ["pipeline_spec", "platform_spec"],
    "experiment": True,
    "run": ["PENDING", {"text": "x", "numbers": {"epochs": 1}}, None, 0],
    "inline": ["pipeline_spec", "platform_spec"],
    "runs": True,
    "stored": "ARCHIVED",
    "refused": [[400, 3], [409, None], [404, 5]],
    "deleted": [None, [404, 5]],
}


@pytest.fixture(scope="module")
def older_python(tmp_path_factory):
    """An environment of its own with an older client."""
    folder = tmp_path_factory.mktemp("kfp-2.14.6")
    packages = ["kfp==2.14.6", "kfp-server-api==2.14.6", "kfp-pipeline-spec==2.14.6"]
    python = str(folder / "bin" / "python")
    for words in (["venv", "--python", sys.executable, str(folder)], ["pip", "install", "--python", python, *packages]):
        subprocess.run([sys.executable, "-m", "uv", *words, "--quiet"], check=True, timeout=300)
    return python


@pytest.mark.parametrize("which", ["this", "older"])
def test_clients_of_several_versions_see_the_same(server, package, request, which):
    python = sys.executable if which == "this" else request.getfixturevalue("older_python")
    program = [python, str(Path(client_tour.__file__)), server.url, package]
    environment = {"PATH": os.environ["PATH"], "KFP_EXISTING_TOKEN": TOKEN, "HOME": str(Path(package).parent)}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == TOURED
