"""The gate's tolerances come from the revision's default_parameters.json, through the compiled pipeline."""

import json

import pytest

from jukebox_helpers import registry
from jukebox_helpers.continuous_training import git_credentials, train_revision
from jukebox_helpers.git_repository import git
from jukebox_helpers.local_runner import RunFailed


@pytest.fixture(scope="module")
def push(sandbox, tmp_path_factory):
    """Pushes a revision with these tolerances to a branch that triggers nothing; its data are small."""
    clone = tmp_path_factory.mktemp("gate") / "jukebox"
    with git_credentials(sandbox):
        git("clone", "--quiet", sandbox.repository_url(), str(clone))
    steps = clone / "3-prod_datascience"
    fetch = steps / "fetch_data.py"
    text = fetch.read_text().replace("make_songs(songs.path)", "make_songs(songs.path, songs=800)")
    fetch.write_text(text.replace("rankings.path, songs.path)", "rankings.path, songs.path, rows=20_000)"))

    def push_tolerances(tolerances):
        file = steps / "default_parameters.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "model_name": "gate", "tolerances": tolerances}))
        with git_credentials(sandbox):
            git("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qam", "Tolerances", folder=str(clone))
            git("push", "--quiet", "--force", "origin", "HEAD:refs/heads/gate", folder=str(clone))
        return git("rev-parse", "HEAD", folder=str(clone))

    return push_tolerances


IMPOSSIBLE = r"'register-model'.*refuses.*log-loss \d.*better than the prior's.*at least 5 better is asked for"
UNKNOWN = r"'evaluate-model'.*'margin': 1\.0 is no tolerance.*previous_log_loss.*default_parameters\.json"


@pytest.mark.parametrize(("tolerances", "words"), [({"prior_margin": 5}, IMPOSSIBLE), ({"margin": 1}, UNKNOWN)])
def test_a_revision_sets_the_tolerances_of_its_gate(sandbox, push, tolerances, words):
    with pytest.raises(RunFailed, match=f"(?s){words}"):
        train_revision(sandbox, push(tolerances))
    assert not registry.mlflow_registry(sandbox.tracking_uri).versions("gate")
