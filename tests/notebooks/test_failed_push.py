"""A push whose training cannot start: the checks and `place.follow` say so at once, and how to go on."""

import os

import pytest

from jukebox_helpers import sandbox as laptop
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.statuses import post_status
from jukebox_helpers.settings import GITOPS_REPOSITORY, TRAINING_PIPELINE
from jukebox_helpers.workshop import edits
from jukebox_helpers.workshop.catching_up import catch_up
from jukebox_helpers.workshop.exercises import exercise


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workplace with buckets; a push of code starts the real training command."""
    state = tmp_path_factory.mktemp("push") / "state"
    before = dict(os.environ)
    os.environ["JUKEBOX_STATE"] = str(state)
    laptop.up(state, lifeline=True)
    try:
        yield catch_up(2, lambda line: None)
    finally:
        laptop.down(state)
        os.environ.clear()
        os.environ.update(before)


def test_a_push_that_cannot_start_a_run_is_not_waited_for(place):
    file = place.clone / TRAINING_PIPELINE
    edits.train_on_versioned_data(file)
    file.write_text(file.read_text().replace("'AWS_S3_BUCKET': 'AWS", "'AWS_S3_BUKET': 'AWS"))
    place.git("commit", "--quiet", "--all", "--message", "A misspelt key")
    # The event names the last of two commits; the exercise is in the first.
    (place.clone / "diary.txt").write_text("day one\n")
    place.git("add", "diary.txt")
    place.git("commit", "--quiet", "--message", "Diary")
    place.git("push", "--quiet", "origin", "main")
    # The same commit on another branch is ignored, and says nothing about the training.
    place.git("push", "--quiet", "origin", "main:an-idea")
    with pytest.raises(JukeboxError, match="needs the key 'AWS_S3_BUKET'") as refused:
        place.follow(place.head(), show=lambda run: None)
    assert "exit code" not in refused.value.what
    assert refused.value.next_action.endswith("Then commit and push to main again.")
    result = exercise("push").check()
    assert result.outcome == "failed" and "needs the key 'AWS_S3_BUKET'" in result.lines[0]
    assert "commit and push to main again" in result.lines[1]


def test_what_was_never_pushed_is_not_waited_for(place):
    with pytest.raises(JukeboxError, match="main of the git server does not end with ffffffffff") as refused:
        place.follow("f" * 40, show=lambda run: None)
    assert "git push" in refused.value.next_action


def test_a_failed_push_of_buckets_is_not_waited_for(place):
    place.s3.delete_bucket(Bucket="data-cache")
    assert "a few seconds after the push" in repr(exercise("buckets").check())
    failure = "The disk is full. Next: Make room."
    post_status(place.settings, place.head(GITOPS_REPOSITORY), "failure", failure, repository=GITOPS_REPOSITORY)
    said = repr(exercise("buckets").check())
    assert "failed: The disk is full." in said and "Make room. Then commit and push" in said


def test_a_training_is_not_followed_in_a_sandbox_that_has_stopped(place):
    revision = place.head()
    laptop.down(place.settings.state)
    with pytest.raises(JukeboxError, match="The git server .* does not answer"):
        place.follow(revision, show=lambda run: None)
