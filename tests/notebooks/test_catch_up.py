"""Catching up: what is missing is brought, and nothing of the attendee's is lost."""

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
from quick_model import register_quick_model
from stand_in import stand_in_configuration

from jukebox_helpers import sandbox as laptop
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import TRAINING_PIPELINE
from jukebox_helpers.steps.constants import VERSION_FILE
from jukebox_helpers.steps.git import git
from jukebox_helpers.workshop import edits
from jukebox_helpers.workshop.buckets import CONFIG
from jukebox_helpers.workshop.catching_up import bring_clones, bring_model, catch_up, commit_on_main
from jukebox_helpers.workshop.place import Workplace

PIPELINE = str(TRAINING_PIPELINE)


@pytest.fixture
def place(tmp_path):
    before = dict(os.environ)
    os.environ["JUKEBOX_STATE"] = str(tmp_path / "state")
    settings = laptop.up(tmp_path / "state", lifeline=True, configuration=stand_in_configuration(tmp_path))
    try:
        yield Workplace(settings)
    finally:
        laptop.down(tmp_path / "state")
        os.environ.clear()
        os.environ.update(before)


def bring(number):
    """Catch up, and give what was said."""
    lines = []
    catch_up(number, lines.append)
    return "\n".join(lines)


def test_each_stage_brings_what_is_missing_and_a_second_call_changes_nothing(place):
    assert "nothing was missing" in bring(1)
    assert place.buckets() == ["models", "pipeline"]
    for clone in (place.clone, place.gitops):  # what JupyterLab keeps beside a file is no edit
        (clone / ".ipynb_checkpoints").mkdir()
        (clone / ".ipynb_checkpoints" / "config-checkpoint.yaml").write_text("a copy")
        assert place.git("status", "--porcelain", folder=clone) == ""
    assert "nothing was missing" in bring(1)
    assert (place.gitops / ".git/info/exclude").read_text().count(".ipynb_checkpoints/") == 1
    assert "added the buckets data and data-cache" in bring(2)
    assert place.buckets() == ["data", "data-cache", "models", "pipeline"]
    assert "data-cache" in (place.gitops / CONFIG).read_text()  # the clone follows
    assert place.practised_versions() == []
    assert "with DVC in the practice repository" in bring(3)
    (version,) = place.practised_versions()
    assert place.cached_version(version)
    assert "nothing was missing" in bring(4)
    assert edits.is_starter(place.on_main(PIPELINE))
    assert "pushed the training" in bring(5)
    assert edits.fetches_with_dvc((place.clone / PIPELINE).read_text())
    heads = place.head(), place.head("mlops-gitops")
    assert bring(5) == "Ready for notebook 5: nothing was missing."
    assert (place.head(), place.head("mlops-gitops")) == heads
    # Where a model with a data version is registered, nothing is trained.
    register_quick_model(place, data_version=version)
    assert "nothing was missing" in bring(6)
    register_quick_model(place, "1111111111", data_version="b" * 32)
    assert "nothing was missing" in bring(9)
    assert place.on_main(VERSION_FILE) == ""


def test_edits_in_the_way_are_kept_on_a_branch_that_is_named(place):
    file = place.clone / PIPELINE
    mine = file.read_text().replace("fetch_task = fetch_data()", "fetch_task = my_own_idea()")
    file.write_text(mine)
    config = place.gitops / CONFIG
    config.write_text(config.read_text() + "  - name: my-bucket\n")
    (place.clone / "diary.txt").write_text("day one\n")
    said = bring(5)
    assert "your own edits are kept on the branch my-work-5" in said
    assert place.git("show", f"my-work-5:{PIPELINE}") == mine.rstrip("\n")
    assert place.git("show", "my-work-5:diary.txt") == "day one"
    assert "my-bucket" in place.git("show", f"my-work-5:{CONFIG}", folder=place.gitops)
    assert edits.fetches_with_dvc(file.read_text())
    # What is not in the way stays where it is.
    assert (place.clone / "diary.txt").read_text() == "day one\n"


def test_edits_that_are_not_in_the_way_are_left_alone(place):
    (place.clone / "README.md").write_text("mine\n")
    assert "my-work" not in bring(5)
    assert (place.clone / "README.md").read_text() == "mine\n"
    assert edits.fetches_with_dvc((place.clone / PIPELINE).read_text())


def test_unpushed_commits_are_kept(place):
    (place.clone / "README.md").write_text("mine\n")
    place.git("commit", "--quiet", "--all", "--message", "My own")
    mine = place.git("rev-parse", "HEAD")
    assert "my-work-5" in bring(5)
    assert place.git("merge-base", "--is-ancestor", mine, "my-work-5") == ""
    assert place.git("rev-parse", "HEAD") == place.head()
    # The next time another branch is taken.
    (place.clone / PIPELINE).write_text("broken")
    (place.clone / "README.md").write_text("mine again\n")
    place.git("commit", "--quiet", "--all", "--message", "My own again")
    place.git("push", "--quiet", "origin", "main")
    assert "pushed the training" in bring(5)
    assert edits.fetches_with_dvc(place.on_main(PIPELINE))
    assert place.git("show", f"HEAD~1:{PIPELINE}") == "broken"  # in the history


def test_an_edit_on_another_branch_is_kept_and_the_clone_comes_to_main(place):
    place.git("switch", "--quiet", "--create", "hello")
    assert "jukebox is on main now, and was on hello" in bring(1)
    place.git("switch", "--quiet", "hello")
    (place.clone / "README.md").write_text("a commit of hello\n")
    place.git("commit", "--quiet", "--all", "--message", "On hello")
    (place.clone / "README.md").write_text("and an edit\n")
    assert "was on hello; your own edits are kept on the branch my-work-1" in bring(1)
    assert place.git("branch", "--show-current") == "main"
    assert place.git("show", "my-work-1:README.md") == "and an edit"
    assert place.git("show", "hello:README.md") == "a commit of hello"


def test_what_is_kept_before_a_model_is_trained_is_said(place, monkeypatch):
    bring(5)
    (place.clone / PIPELINE).write_text("half done")
    commit_on_main(place, "jukebox", "Somebody else's", lambda folder: (folder / PIPELINE).write_text("theirs"))
    monkeypatch.setattr(Workplace, "train_on", lambda self, songs: "trained")
    said = bring_model(place)
    assert "your own edits are kept on the branch my-work-6" in said and said.endswith("trained")
    assert place.git("show", f"my-work-6:{PIPELINE}") == "half done"


def test_there_is_no_notebook_ten(place):
    with pytest.raises(JukeboxError, match="no notebook 10"):
        catch_up(10)


def test_clones_of_a_workbench_pull_with_own_commits_and_edits(tmp_path):
    """There, the attendee has cloned with plain git."""
    place = SimpleNamespace(
        settings=SimpleNamespace(is_sandbox=False), clone=tmp_path / "jukebox", gitops=tmp_path / "mlops-gitops"
    )
    server, other = tmp_path / "server.git", tmp_path / "other"
    git("init", "--quiet", "--bare", "--initial-branch=main", str(server))
    for folder in (other, place.clone, place.gitops):
        git("clone", "--quiet", str(server), str(folder))
        for key in ("name", "email"):
            git("config", f"user.{key}", "user7@example.com", folder=str(folder))
    (other / "README.md").write_text("The workshop")
    git("add", "--all", folder=str(other))
    git("commit", "--quiet", "-m", "The workshop", folder=str(other))
    git("push", "--quiet", "origin", "main", folder=str(other))
    git("pull", "--quiet", "origin", "main", folder=str(place.clone))
    git("commit", "--quiet", "--allow-empty", "-m", "Mine", folder=str(place.clone))
    git("commit", "--quiet", "--allow-empty", "-m", "The pipeline's", folder=str(other))
    git("push", "--quiet", "origin", "main", folder=str(other))
    (place.clone / "README.md").write_text("An edit")
    with pytest.raises(RuntimeError, match="reconcile divergent branches"):
        git("pull", "--quiet", "origin", "main", folder=str(place.clone))
    assert bring_clones(place) == ""
    git("pull", "--quiet", "origin", "main", folder=str(place.clone))
    log = git("log", "--format=%s", folder=str(place.clone)).splitlines()
    assert log == ["Mine", "The pipeline's", "The workshop"]
    assert (place.clone / "README.md").read_text() == "An edit"


def test_waiting_for_buckets_ends_and_says_what_is_missing(sandbox, tmp_path):
    place = Workplace(sandbox)
    with pytest.raises(JukeboxError, match="After 0 s the S3 server still has no bucket of-nobody.") as late:
        place.wait_for_buckets("models", "of-nobody", timeout=0)
    assert "./jukebox status" in late.value.next_action
    assert "models" in place.wait_for_buckets("models", timeout=0)
    place.settings = replace(sandbox, state=tmp_path)  # the bucket is there, its connection is not
    with pytest.raises(JukeboxError, match="still has no Secret aws-connection-models."):
        place.wait_for_buckets("models", timeout=0)
