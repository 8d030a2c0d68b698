"""A grid of hyperparameters, scored by a run of the compiled training pipeline."""

import dataclasses

import pytest

from jukebox_helpers import settings as settings_module
from jukebox_helpers.pipelines import compile, read, runs
from jukebox_helpers.pipelines.following import run_pipeline
from jukebox_helpers.pipelines.training import candidates
from jukebox_helpers.settings import KIT


@pytest.fixture(scope="module")
def training_until_grid(tmp_path_factory):
    """The training pipeline from its sample data to the grid, compiled."""
    import subprocess

    root = tmp_path_factory.mktemp("checkout")
    for name in ("jukebox_helpers", "3-prod_datascience", "requirements.txt"):
        subprocess.run(["cp", "-r", str(KIT / name), str(root / name)], check=True)
    fetch = root / "3-prod_datascience" / "fetch_data.py"
    text = fetch.read_text()
    smaller = text.replace("make_songs(songs.path)", "make_songs(songs.path, songs=800)").replace(
        "make_rankings(rankings.path, songs.path)", "make_rankings(rankings.path, songs.path, rows=20_000)"
    )
    assert smaller != text
    fetch.write_text(smaller)
    compile.compile_file(root / settings_module.TRAINING_PIPELINE)
    pipeline = read.read_pipeline((root / settings_module.TRAINING_PIPELINE_YAML).read_text())
    executors = dict(pipeline.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"])
    for label in executors:  # what comes after the grid needs a sandbox, and is cut off here
        executors[label] = {}
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}
    return dataclasses.replace(pipeline.until("for-loop-1"), platform=platform)


ARGUMENTS = {
    "hyperparameters": {"epochs": 2},
    "model_name": "x",
    "version": "0123456789",
    "cluster_domain": "http://127.0.0.1:1",
    "model_storage_pvc": "",
    "prod_flag": False,
}


def test_a_grid_runs_a_step_for_each_candidate(training_until_grid, sandbox):
    grid = [{"epochs": 1}, {"epochs": 3}]
    run = run_pipeline(training_until_grid, {**ARGUMENTS, "grid": grid}, sandbox)
    better, worse = candidates(sandbox, run)
    assert (better["epochs"], worse["epochs"]) == (3, 1)
    assert better["log_loss"] < worse["log_loss"]
    # The loop itself is no step: its candidates are.
    assert {step.name: step.state for step in run.steps}["score-candidate"] == "succeeded"
    assert "for-loop-1" not in {step.name for step in run.steps}


def test_an_empty_grid_scores_nothing(training_until_grid, sandbox):
    run = run_pipeline(training_until_grid, ARGUMENTS, sandbox)
    assert run.state == "succeeded"
    assert "score-candidate" not in {step.name for step in run.steps if step.state == "succeeded"}
    assert candidates(sandbox, run) == []


def test_an_unknown_hyperparameter_in_the_grid_fails_by_name(training_until_grid, sandbox):
    with pytest.raises(runs.RunFailed, match="'depth'"):
        run_pipeline(training_until_grid, {**ARGUMENTS, "grid": [{"depth": 3}]}, sandbox)
