"""The gate's tolerances come from the revision's default_parameters.json, through the compiled pipeline."""

import json

import pytest

from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.pipelines.revisions import git_credentials
from jukebox_helpers.pipelines.runs import RunFailed
from jukebox_helpers.pipelines.training import train_revision
from jukebox_helpers.steps.git import git


def test_a_revision_sets_the_tolerances_of_its_gate(sandbox, tmp_path):
    """Pushed to a branch that triggers nothing, with small data: what it asks for is impossible, and is refused."""
    clone = str(tmp_path / "jukebox")
    with git_credentials(sandbox):
        git("clone", "--quiet", sandbox.repository_url(), clone)
        steps = tmp_path / "jukebox" / "3-prod_datascience"
        text = (steps / "fetch_data.py").read_text()
        text = text.replace("make_songs(songs.path)", "make_songs(songs.path, songs=800)")
        text = text.replace("(rankings.path, songs.path)", "(rankings.path, songs.path, rows=20_000)")
        (steps / "fetch_data.py").write_text(text)
        parameters = json.loads((steps / "default_parameters.json").read_text())
        parameters |= {"model_name": "gate", "tolerances": {"prior_margin": 5}}
        (steps / "default_parameters.json").write_text(json.dumps(parameters))
        git("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qam", "A gate for nobody", folder=clone)
        git("push", "--quiet", "origin", "HEAD:refs/heads/gate", folder=clone)
    words = r"(?s)'register-model'.*refuses.*log-loss \d.*better than the prior's.*at least 5 better is asked for"
    with pytest.raises(RunFailed, match=words):
        train_revision(sandbox, git("rev-parse", "HEAD", folder=clone))
    assert not model_registry(sandbox).versions("gate")
