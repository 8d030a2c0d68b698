"""Back to notebook 0, on a sandbox of its own: what goes, what stays, and that the workshop begins again after it."""

import os
import sys

import pytest
from click.testing import CliRunner
from kfp import compiler, dsl
from quick_model import register_quick_model
from stand_in import stand_in_configuration

from jukebox_helpers import sandbox as laptop
from jukebox_helpers.cli import cli
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.actions import DATA_PIPELINE_NAME, import_file, schedule_data_pipeline
from jukebox_helpers.pipelines.server import connect
from jukebox_helpers.pipelines.statuses import post_status, read_status
from jukebox_helpers.settings import DATA_PIPELINE_YAML, GITOPS_REPOSITORY
from jukebox_helpers.steps.constants import MODEL, VERSION_FILE
from jukebox_helpers.waiting import wait_until
from jukebox_helpers.workshop import resetting
from jukebox_helpers.workshop.catching_up import catch_up
from jukebox_helpers.workshop.place import Workplace

TRAINED = "trained.txt"
"""What the stand-in of a training writes the revision into."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A sandbox of this file's own."""
    folder, before = tmp_path_factory.mktemp("reset"), dict(os.environ)
    os.environ["JUKEBOX_STATE"] = str(folder / "state")
    command = [sys.executable, "-c", f"open({str(folder / TRAINED)!r}, 'a').write('{{revision}}\\n')"]
    settings = laptop.up(folder / "state", lifeline=True, configuration=stand_in_configuration(folder, command))
    try:
        yield Workplace(settings)
    finally:
        laptop.down(folder / "state")
        os.environ.clear()
        os.environ.update(before)


def invoke(*arguments, answer=""):
    """Run the command."""
    return CliRunner().invoke(cli, ["reset", *arguments], input=answer)


def trained(place):
    """The revisions that the stand-in was started for."""
    file = place.settings.state.parent / TRAINED
    return file.read_text().split() if file.is_file() else []


def over(place, revision):
    """Wait until nothing more happens to a push."""
    late = AssertionError(f"the push of {revision} is not over")
    wait_until(lambda: (status := read_status(place.settings, revision)) and status.over, 60, lambda: late)


def on_server(place):
    """All that a reset is about, as the platform itself tells it."""
    server = connect(place.settings)
    client = server.client
    return {
        "refs": place.git("ls-remote", "--refs", "--heads", "--tags", "origin").count("\n") + 1,
        "buckets": {bucket: len(place.objects(bucket)) for bucket in place.buckets()},
        "models": place.registry.models(),
        "schedules": len(server.all(client.list_recurring_runs, "recurring_runs")),
        "runs": len(server.all(client.list_runs, "runs")),
        "pipelines": len(server.all(client.list_pipelines, "pipelines")),
        "experiments": [one.display_name for one in server.all(client.list_experiments, "experiments")],
    }


@dsl.component(base_image="python:3.12")
def wait_long():
    """A step that is still at work when the reset comes."""
    import time

    time.sleep(600)


@dsl.pipeline(name="my-pipeline")
def my_pipeline():
    """One step."""
    wait_long()


def work(place):
    """What an attendee does: buckets, practice, commits, a model, a schedule, and a run that is under way."""
    catch_up(3, lambda line: None)
    register_quick_model(place)
    (place.clone / VERSION_FILE).write_text("outs:\n")
    place.git("add", "--all")
    place.git("commit", "--quiet", "--message", "A data version")
    place.git("push", "--quiet", "origin", "main", "HEAD:refs/heads/idea", "HEAD:refs/tags/first")
    over(place, place.head())
    import_file(place.settings, place.clone / DATA_PIPELINE_YAML)
    schedule_data_pipeline(place.settings, place.songs_url, None)
    package = place.settings.state.parent / "my-pipeline.yaml"
    compiler.Compiler().compile(my_pipeline, str(package))
    server = connect(place.settings)
    mine = server.import_pipeline(package, "v1")
    with server.asking():
        experiment = server.client.create_experiment("mine").experiment_id
        run = server.client.run_pipeline(
            experiment, "my-run", pipeline_id=mine.pipeline_id, version_id=mine.version_id
        ).run_id
    wait_until(
        lambda: server.client.get_run(run).state == "RUNNING", 60, lambda: AssertionError("the run did not start")
    )


FRESH = {"refs": 1, "buckets": {"models": 0, "pipeline": 0}, "models": [], "schedules": 0, "runs": 0, "pipelines": 0}


def test_a_user_is_back_at_notebook_0_and_can_begin_again(place):
    before = on_server(place)
    assert before == {**FRESH, "experiments": before["experiments"]}
    tree = place.git("rev-parse", "origin/main^{tree}")
    work(place)
    pushed, full = place.head(), on_server(place)
    assert (full["refs"], full["runs"], full["models"]) == (3, 1, [MODEL]) and "mine" in full["experiments"]
    note = place.clone / "diary.txt"
    note.write_text("day one\n")

    refused = invoke("user1", answer="n\n")
    assert refused.exit_code == 1
    for said in (
        "the repository jukebox, back to its first commit: refs/heads/main, refs/heads/idea, refs/tags/first",
        "the repository mlops-gitops, back to its first commit: refs/heads/main",
        f"schedules (1): {DATA_PIPELINE_NAME}-daily",
        "runs (1): my-run",
        "pipelines (2): ",
        "experiments (1): mine",
        f"registered models, into the archive (1): {MODEL}",
        "the bucket data-cache and its objects",
        "the objects of the bucket models (1)",
        f"which is moved to {place.practice}-1",
    ):
        assert said in refused.stdout, refused.stdout
    assert place.head() == pushed and on_server(place)["models"] == [MODEL]

    done = invoke("user1", "--yes")
    assert done.exit_code == 0 and "user1 is at notebook 0." in done.stdout, done.output
    assert on_server(place) == before
    head = place.head()
    for repository, folder in (("jukebox", place.clone), (GITOPS_REPOSITORY, place.gitops)):
        assert place.fetch(repository) == place.git("rev-parse", "HEAD", folder=folder)
        assert place.git("rev-list", "origin/main", folder=folder).count("\n") == 0
    assert place.git("rev-parse", "origin/main^{tree}") == tree and head != pushed
    # Nothing of the attendee's own folders is lost.
    assert place.git("show", f"my-work-0:{VERSION_FILE}") == "outs:" and not (place.clone / VERSION_FILE).exists()
    assert note.read_text() == "day one\n"
    assert not place.practice.exists() and place.practice.with_name("data-practice-1").is_dir()

    again = invoke("user1")
    assert again.exit_code == 0 and "nothing was to be removed" in again.stdout
    assert place.head() == head

    catch_up(3, lambda line: None)
    assert on_server(place)["buckets"]["data"] and len(place.practised_versions()) == 1
    # The same version as before the reset, and another one: the model is back, the archived version stays away.
    register_quick_model(place, "fedcba9876")
    assert [record["version"] for record in place.versions()] == ["fedcba9876"] and place.registry.models() == [MODEL]
    # A restart of the sandbox, and a push, would show a training that waits.
    note.write_text("day two\n")
    place.git("add", "--all")
    place.git("commit", "--quiet", "--message", "Day two")
    place.git("push", "--quiet", "origin", "main")
    over(place, place.head())
    assert trained(place) == [pushed, place.head()]


def test_another_users_platform_is_not_touched(place):
    done = invoke("user2", "--yes")
    assert isinstance(done.exception, JukeboxError)
    assert "of user1, not of user2" in done.exception.what
    assert "oc exec -n user2-toolings user2-hitmusic-wb-0 -c user2-hitmusic-wb --" in done.exception.next_action


def test_a_training_that_is_about_to_start_is_waited_for(place):
    post_status(place.settings, place.head(), "pending", "queued")
    with pytest.raises(JukeboxError, match="is about to start, and would begin after the reset"):
        resetting.look(place, "user1")
    post_status(place.settings, place.head(), "error", "it never came")
    assert resetting.look(place, "user1").models == [MODEL]


def test_a_repository_that_does_not_begin_with_the_workshop_has_no_start(place):
    place.git("switch", "--quiet", "--orphan", "other")
    place.git("commit", "--quiet", "--allow-empty", "--message", "Somebody's own")
    place.git("push", "--quiet", "--force", "origin", "other:main")
    over(place, place.head())
    with pytest.raises(JukeboxError, match="The first commit of jukebox is \"Somebody's own\", not 'The workshop as"):
        resetting.look(place, "user1")
