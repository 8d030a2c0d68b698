"""The whole loop on a real sandbox: a push of data retrains, checks and registers; the model knows its data."""

import hashlib
import json
import subprocess
import sys
from urllib.parse import urlsplit

import onnx
import pytest
from failing_proxy import FailingProxy
from rich.console import Console
from server_runs import artifact_metadata
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from stand_in import stand_in_configuration

from jukebox_helpers import sandbox as laptop
from jukebox_helpers.pipelines import lineage
from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.pipelines.statuses import read_status, read_statuses
from jukebox_helpers.pipelines.training import training_of
from jukebox_helpers.settings import GITOPS_REPOSITORY, KIT, REPOSITORY, TRAINING_PIPELINE, read_sandbox_settings
from jukebox_helpers.steps import s3, sample_data, sample_rankings
from jukebox_helpers.steps.constants import MODEL
from jukebox_helpers.steps.git import git
from jukebox_helpers.workshop import edits
from jukebox_helpers.workshop.demo import Demo
from jukebox_sandbox.pipeline_server import tables

SONGS = 4_000


class Story:
    """What happened, told once for all the tests of this file."""

    def __init__(self, state):
        self.proxy = FailingProxy("http://127.0.0.1:9")
        configuration = stand_in_configuration(state.parent, command=None, git_server=self.proxy.url)
        own = laptop.up(state, lifeline=True, configuration=configuration)
        # All that helpers and steps ask of the platform goes through a proxy.
        self.proxy.target = urlsplit(own.cluster_domain)
        description = state / "platform.json"
        description.write_text(description.read_text().replace(own.cluster_domain, self.proxy.url))
        self.settings = read_sandbox_settings(state)
        for name in (REPOSITORY, GITOPS_REPOSITORY):
            git("remote", "set-url", "origin", self.settings.repository_url(name), folder=str(own.clone(name)))
        self.show = Demo(self.settings, Console(quiet=True))
        self.clone = self.settings.clone()
        self.show.apply_buckets()
        # The working tree holds an edit that was never committed: it must not be what is trained.
        edits.train_on_versioned_data(self.clone / TRAINING_PIPELINE)
        self.unversioned_revision = self.show.push("jukebox", "Train on versioned data")
        self.unversioned = self.show.follow(self.unversioned_revision)
        parameters = self.clone / "3-prod_datascience" / "default_parameters.json"
        parameters.write_text(parameters.read_text().replace('"epochs": 20', '"epochs": 77'))

        songs = state.parent / "song_properties.parquet"
        sample_data.make_songs(str(songs), songs=SONGS)
        self.first = self.show.run_data_pipeline(songs)
        self.first_run = self.show.follow(self.first)
        git("checkout", "--quiet", "--", ".", folder=str(self.clone))

        fresh = state.parent / "fresh.parquet"
        sample_data.make_fresh_songs(str(songs), str(fresh))
        self.second = self.show.run_data_pipeline(fresh)
        self.second_run = self.show.follow(self.second)
        self.show.place.git("pull", "--quiet", "--rebase")

    @property
    def registry(self):
        return model_registry(self.settings)

    def jukebox(self, *arguments):
        """Run the command line in this sandbox."""
        import os

        environment = {**os.environ, "PYTHONPATH": str(KIT), "JUKEBOX_STATE": str(self.settings.state)}
        command = [sys.executable, "-m", "jukebox_helpers", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    state = tmp_path_factory.mktemp("loop") / "state"
    try:
        story = Story(state)
        yield story
    finally:
        laptop.down(state, delete=True)
    story.proxy.close()


def test_without_a_version_file_the_training_says_what_makes_it(story):
    assert story.unversioned.state == "failed"
    assert "has no song_properties.parquet.dvc" in story.unversioned.error
    assert "run the data pipeline" in story.unversioned.next_action
    assert [step.state for step in story.unversioned.steps][:2] == ["failed", "skipped"]


def test_the_push_of_data_registers_a_model_that_knows_its_data(story, tmp_path):
    assert story.first_run.state == "succeeded", story.first_run.error
    record = story.registry.find(MODEL, story.first[:10])
    version = git("show", f"{story.first}:song_properties.parquet.dvc", folder=str(story.clone))
    metadata = record["metadata"]
    assert metadata["git revision"] == story.first
    assert f"md5: {metadata['DVC training data hash']}" in version
    remotes = {"data-source": "s3://data", "s3-version": "s3://data-cache"}
    assert json.loads(metadata["DVC remotes"]) == remotes
    assert metadata["songs rows"] == SONGS and metadata["rankings rows"] == 79 * SONGS
    # Nobody loaded rankings: they were made up for these very songs, and the record says so.
    sample_rankings.make_rankings(
        str(tmp_path / "rankings"), str(story.settings.state.parent / "song_properties.parquet")
    )
    assert metadata["rankings sha256"] == hashlib.sha256((tmp_path / "rankings").read_bytes()).hexdigest()
    assert metadata["rankings source"] == "made up (sample)"
    assert metadata["metric.log_loss"] < metadata["metric.prior_log_loss"]
    assert {"scikit-learn", "skl2onnx", "onnx"} <= set(json.loads(metadata["packages"]))
    assert metadata["run"] == story.first_run.id and metadata["python"] and metadata["kit version"]


def test_facts_between_the_steps_are_scalars_or_texts(story):
    """ML Metadata gives nothing else back as it was, so in a cluster a dict would come out as another one."""
    known = artifact_metadata(story.settings, story.first_run)
    del known["confusion"]  # a matrix has rows; it is for the dashboard only
    assert len(known) > 7
    for name, metadata in known.items():
        assert all(isinstance(value, str | int | float) for value in metadata.values()), (name, metadata)


def test_the_registered_file_is_the_one_in_the_bucket_and_says_where_it_comes_from(story, tmp_path):
    record = story.registry.find(MODEL, story.first[:10])
    client = s3.s3_client(story.settings.secret("aws-connection-models"))
    client.download_file("models", record["uri"].removeprefix("s3://models/"), str(tmp_path / "model.onnx"))
    content = (tmp_path / "model.onnx").read_bytes()
    assert hashlib.sha256(content).hexdigest() == record["metadata"]["model sha256"]
    properties = {p.key: p.value for p in onnx.load(str(tmp_path / "model.onnx")).metadata_props}
    assert properties["git revision"] == story.first
    assert properties["DVC training data hash"] == record["metadata"]["DVC training data hash"]
    assert properties["kit version"] == record["metadata"]["kit version"]


def test_training_uses_the_revisions_own_files_and_not_the_working_tree(story):
    for record in story.registry.versions(MODEL):
        assert json.loads(record["metadata"]["parameters"])["epochs"] == 20


def test_fresh_data_becomes_a_second_version_measured_against_the_first(story):
    first, second = story.registry.versions(MODEL)
    assert [first["version"], second["version"]] == [story.first[:10], story.second[:10]]
    assert first["metadata"]["DVC training data hash"] != second["metadata"]["DVC training data hash"]
    assert "metric.previous_log_loss" in second["metadata"] and "metric.previous_log_loss" not in first["metadata"]
    assert second["metadata"]["songs rows"] > first["metadata"]["songs rows"]


def test_what_ran_is_what_is_in_git(story):
    """The data pipeline that ran here is byte for byte the file that is imported in a cluster."""
    committed = git("show", "HEAD:5-data-versioning/song-properties-etl.yaml", folder=str(story.clone)) + "\n"
    with Session(tables.open_database(story.settings.state)) as session:
        versions = session.scalars(
            select(tables.PipelineVersion.spec)
            .join_from(tables.PipelineVersion, tables.Pipeline)
            .where(tables.Pipeline.name == "data-pipeline-with-dvc")
        ).all()
        ran = session.scalars(
            select(tables.Run.spec).where(tables.Run.display_name == "data-pipeline-with-dvc-adhoc-run")
        ).all()
    assert {text.rstrip("\n") for text in versions} == {committed.rstrip("\n")}
    assert len(ran) == 2 and {text.rstrip("\n") for text in ran} == {committed.rstrip("\n")}


def test_trace_prints_a_tree_and_json(story):
    text = story.jukebox("trace", MODEL).stdout
    assert story.second in text and "song_properties.parquet" in text
    known = json.loads(story.jukebox("trace", MODEL, story.first[:10], "--json").stdout)
    assert known["code"]["revision"] == story.first
    assert known == json.loads(json.dumps(lineage.trace(story.registry, MODEL, story.first[:10])))
    unknown = story.jukebox("trace", "no-such-model")
    assert unknown.returncode == 1 and MODEL in unknown.stderr


def test_reproduce_gives_the_same_model_bit_for_bit(story):
    result = story.jukebox("reproduce", MODEL, story.first[:10], "--json")
    assert result.returncode == 0, result.stderr
    digests = json.loads(result.stdout)["digests"]
    assert {digest["what"] for digest in digests} == {"model sha256", "rankings sha256", "DVC training data hash"}
    assert all(digest["same"] for digest in digests)
    assert len(story.registry.versions(MODEL)) == 2  # nothing was registered


def test_reproduce_says_so_when_the_model_is_another(story):
    record = story.registry.find(MODEL, story.first[:10])
    other = {**record["metadata"], "model sha256": "0" * 64}
    story.registry.register("altered", story.first[:10], record["uri"], other)
    result = story.jukebox("reproduce", "altered", story.first[:10])
    assert result.returncode == 1
    assert "not " + "0" * 64 in result.stdout


def test_no_news_trains_nothing(story):
    before = trainings(story)
    fresh = story.settings.state.parent / "fresh.parquet"
    assert story.show.run_data_pipeline(fresh) == story.second
    assert trainings(story) == before


def trainings(story):
    """How many training runs there are."""
    with Session(tables.open_database(story.settings.state)) as session:
        named = tables.Run.display_name.like("training-pipeline-%")
        return session.scalar(select(func.count()).select_from(tables.Run).where(named))


def test_a_push_of_data_has_a_commit_status(story):
    assert read_status(story.settings, story.first).state == "success"
    refused = story.unversioned_revision
    assert read_status(story.settings, refused).state == "failure"
    assert "has no song_properties.parquet.dvc" in read_status(story.settings, refused).description
    shown = story.jukebox("status").stdout
    assert f"jukebox {story.first[:10]} success: Run training-pipeline-{story.first[:10]} has succeeded." in shown


def test_helpers_and_steps_ask_for_public_protocols_only(story):
    """What the pages need beyond them is below /sandbox; in a cluster, nobody answers there."""
    own = "POST /events"  # the hook of the sandbox's git server, signed
    asked = {request.split(" ")[1] for request in story.proxy.requests if request != own}
    user = story.settings.user
    known = ("/apis/v2beta1/", "/apis/v1alpha1/", "/api/model_registry/v1alpha3/", "/api/v1/repos/", f"/{user}/")
    assert all(any(path.startswith(root) for path in asked) for root in known)
    assert [path for path in asked if not path.startswith(known)] == []


def test_a_push_to_another_branch_trains_nothing(story):
    clone = str(story.clone)
    git("checkout", "--quiet", "-b", "an-idea", folder=clone)
    (story.clone / "idea.txt").write_text("not yet")
    git("add", "idea.txt", folder=clone)
    git("commit", "--quiet", "--message", "An idea", folder=clone)
    story.show.place.git("push", "--quiet", "origin", "an-idea")
    revision = git("rev-parse", "HEAD", folder=clone)
    git("checkout", "--quiet", "main", folder=clone)
    assert read_statuses(story.settings, revision) == []
    assert training_of(story.settings, revision) is None


def test_no_secret_is_anywhere_but_in_the_secrets(story):
    """In no file of the sandbox: no log, no run, no git object, no registry, no configuration of a clone."""
    state = story.settings.state
    hidden = [
        story.settings.secret("git-auth")["password"].encode(),
        story.settings.secret("aws-connection-data")["AWS_SECRET_ACCESS_KEY"].encode(),
    ]
    places = [file for file in state.rglob("*") if file.is_file() and story.settings.secrets not in file.parents]
    assert len(places) > 100
    for file in places:
        # The S3 server keeps its own list of who may come in.
        if file.is_relative_to(state / "s3"):
            continue
        content = file.read_bytes()
        assert not any(value in content for value in hidden), file
    history = git("log", "-p", "--all", folder=str(story.clone))
    assert not any(value.decode() in history for value in hidden)
