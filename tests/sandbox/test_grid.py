"""A grid of hyperparameters, scored by a run of its compiled pipeline."""

import contextlib
import re
import shutil

import pytest

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import compile, read, runs, training
from jukebox_helpers.pipelines.following import run_pipeline
from jukebox_helpers.pipelines.training import candidates
from jukebox_helpers.settings import GRID_PIPELINE, GRID_PIPELINE_YAML, KIT

ARGUMENTS = {"version": "0123456789", "cluster_domain": "http://127.0.0.1:1"}


@pytest.fixture(scope="module")
def grid_pipeline(tmp_path_factory):
    """The grid's pipeline, compiled, over a small sample instead of a version of the data."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("jukebox_helpers", "3-prod_datascience"):
        shutil.copytree(KIT / name, root / name)
    shutil.copy(KIT / "requirements.txt", root)
    fetch = root / "3-prod_datascience" / "fetch_data.py"
    text = fetch.read_text()
    smaller = text.replace("make_songs(songs.path)", "make_songs(songs.path, songs=800)").replace(
        "make_rankings(rankings.path, songs.path)", "make_rankings(rankings.path, songs.path, rows=20_000)"
    )
    assert smaller != text
    fetch.write_text(smaller)
    file = root / GRID_PIPELINE
    text = file.read_text().replace("import fetch_data_from_dvc", "import fetch_data")
    begin, end = text.index("    fetch_task ="), text.index("    prepare_task =")
    file.write_text(f"{text[:begin]}    fetch_task = fetch_data().after(check_task)\n{text[end:]}")
    compile.compile_file(file)
    return read.read_pipeline((root / GRID_PIPELINE_YAML).read_text())


def test_a_grid_runs_a_step_for_each_candidate(grid_pipeline, sandbox):
    run = run_pipeline(grid_pipeline, {**ARGUMENTS, "grid": [{"epochs": 1}, {"epochs": 3}]}, sandbox)
    better, worse = candidates(sandbox, run)
    assert (better["epochs"], worse["epochs"]) == (3, 1)
    assert better["log_loss"] < worse["log_loss"]
    # The loop itself is no step: its candidates are.
    assert {step.name: step.state for step in run.steps}["score-candidate"] == "succeeded"
    assert not [step.name for step in run.steps if step.name.startswith("for-loop")]


@pytest.mark.parametrize(("grid", "said"), [([{"epochs": 1}, {"depth": 3}], "'depth'"), ([], "The grid is empty")])
def test_a_grid_that_is_wrong_fails_before_anything_is_fetched(grid_pipeline, sandbox, grid, said):
    with pytest.raises(runs.RunFailed, match=said) as failed:
        run_pipeline(grid_pipeline, {**ARGUMENTS, "grid": grid}, sandbox)
    states = {step.name: step.state for step in failed.value.run.steps}
    assert states["check-grid"] == "failed" and states.get("fetch-data") != "succeeded"


def test_a_revision_without_the_pipeline_is_named(sandbox, tmp_path, monkeypatch):
    """As one of an older kit is, or of a clone whose owner has removed the file."""
    monkeypatch.setattr(training, "checkout", lambda *_: contextlib.nullcontext(tmp_path))
    with pytest.raises(JukeboxError, match=f"abc has no {re.escape(str(GRID_PIPELINE))}"):
        training.score_grid(sandbox, "abc", [{"epochs": 1}])
