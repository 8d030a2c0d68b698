"""Revisions on the server: the gate's tolerances are a revision's own, and one of an older kit still trains."""

import json

import pytest

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.pipelines.revisions import NoRevision, git_credentials
from jukebox_helpers.pipelines.runs import RunFailed
from jukebox_helpers.pipelines.training import PUBLIC_PROTOCOLS, compiled_revision, in_sentences, train_revision
from jukebox_helpers.settings import TRAINING_PIPELINE_YAML
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


def test_a_revision_of_an_older_kit_is_trained_with_this_kits_library_and_rebuilt_with_its_own(sandbox, tmp_path):
    """Its own library knows only a registry that is gone."""
    clone = tmp_path / "jukebox"
    with git_credentials(sandbox):
        git("clone", "--quiet", sandbox.repository_url(), str(clone))
        (clone / PUBLIC_PROTOCOLS).unlink()
        (clone / "jukebox_helpers" / "__init__.py").write_text("raise ImportError('the older library')\n")
        git("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qam", "An older kit", folder=str(clone))
        git("push", "--quiet", "origin", "HEAD:refs/heads/older", folder=str(clone))
    revision = git("rev-parse", "HEAD", folder=str(clone))
    with compiled_revision(sandbox, revision) as (folder, whole):
        assert whole == revision and (folder / TRAINING_PIPELINE_YAML).is_file()
    with pytest.raises(JukeboxError, match="the older library"), compiled_revision(sandbox, revision, registers=False):
        pass


def test_a_revision_that_is_not_on_the_server_gets_no_commit_status(sandbox, capsys):
    with pytest.raises(NoRevision, match=r"'no-such' cannot be checked out .*invalid reference") as failed:
        train_revision(sandbox, "no-such")
    assert failed.value.next_action == "Push that revision, or name another."
    assert capsys.readouterr().err == ""


def test_an_error_is_whole_sentences_in_a_commit_status():
    assert in_sentences(JukeboxError("No module named 'x'", "Declare it.")) == "No module named 'x'. Next: Declare it."
    assert in_sentences(JukeboxError("It broke.", "Repair it.")) == "It broke. Next: Repair it."
