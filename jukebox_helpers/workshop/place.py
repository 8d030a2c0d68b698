"""The attendee's place of work: clones, tables, servers and registry of this platform, in one object."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jukebox_helpers import sandbox
from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.pipelines.actions import import_file, run_file, schedule_data_pipeline
from jukebox_helpers.pipelines.following import run_pipeline
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.pipelines.reproduction import reproduce
from jukebox_helpers.pipelines.runs import Run, RunFailed
from jukebox_helpers.pipelines.training import follow_training, train_revision
from jukebox_helpers.settings import DATA_PIPELINE_YAML
from jukebox_helpers.show.graphs import live_graph
from jukebox_helpers.steps.constants import CONNECTION_KEYS, DATA_HASH, MODEL, SONGS_ADDRESS, SONGS_OBJECT
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.git_password import credential_helper, git_server
from jukebox_helpers.steps.tables import transform_songs, validate_songs
from jukebox_helpers.workshop.songs import songs_argument, upload
from jukebox_helpers.workshop.storage import Storage


class Workplace(Storage):
    """Where an attendee works: the folders, the buckets, and here the pipelines and models of the platform."""

    @property
    def dashboard(self) -> str:
        """Where the dashboard is: on a laptop a link that logs your browser in once."""
        if not self.settings.is_sandbox:
            return "in OpenShift AI, where you opened this workbench"
        return sandbox.status(self.settings.state)["dashboard"]

    @property
    def registry(self) -> Any:
        """The model registry."""
        return model_registry(self.settings)

    @as_jukebox_error()
    def versions(self) -> list[dict[str, Any]]:
        """The registered versions of the model, oldest first."""
        return self.registry.versions(MODEL)

    def versioned_models(self) -> list[dict[str, Any]]:
        """The registered versions that were trained on a data version, oldest first.

        A push before the first data version registers a model, too; nobody can say which bytes it has seen.
        """
        return [record for record in self.versions() if record["metadata"].get(DATA_HASH)]

    def first_versioned_model(self) -> dict[str, Any]:
        """The oldest registered version that was trained on a data version; JukeboxError if there is none."""
        return self._versioned_model(0)

    def newest_versioned_model(self) -> dict[str, Any]:
        """The newest registered version that was trained on a data version; JukeboxError if there is none."""
        return self._versioned_model(-1)

    def _versioned_model(self, position: int) -> dict[str, Any]:
        if models := self.versioned_models():
            return models[position]
        raise JukeboxError(
            f"The registry has no version of {MODEL} yet that was trained on a data version.",
            "Run place.train_on(place.songs_url), as in notebook 5.",
        )

    @property
    def data_pipeline(self) -> Path:
        """The clone's compiled data pipeline, the file to import."""
        return self.clone / DATA_PIPELINE_YAML

    @as_jukebox_error()
    def run_data_pipeline(
        self, songs: str | Path | None = None, show: Callable[[Run], None] | None = None, cached: bool = False
    ) -> str:
        """Run the data pipeline from the clone's compiled YAML, and return the head of ``main`` after it.

        ``songs`` is where they come from, as `songs_argument` takes it. ``show`` shows the run while it runs: a live
        graph where not given. ``cached`` runs it with the server's cache on, to see why it is off: then nothing is
        imported. A step that has failed is RunFailed.
        """
        source = self.data_pipeline
        arguments = {"dataset_url": songs_argument(self.settings, songs), "repo_url": self.settings.repository_url()}
        show = show or live_graph(source)
        if cached:
            pipeline = read_pipeline(source.read_text()).cached()
            run_pipeline(pipeline, arguments, self.settings, show, f"{pipeline.name}-cached-run")
        else:
            run_file(self.settings, source, arguments, show)
        return self.head()

    @as_jukebox_error()
    def import_data_pipeline(self) -> str:
        """Import the clone's compiled data pipeline, as *Import pipeline* does; what there is then, in a sentence."""
        imported = import_file(self.settings, self.data_pipeline)
        return f"{'Imported' if imported.new else 'Already there'}: {imported.pipeline} {imported.version}."

    @as_jukebox_error()
    def schedule_data_pipeline(self) -> str:
        """Let the imported data pipeline run every day for the songs at their address; what there is then."""
        schedule = schedule_data_pipeline(self.settings, self.songs_url, None)
        return f"{'Scheduled' if schedule.new else 'Already there'}: {schedule.name}, every day."

    @as_jukebox_error()
    def train(self, revision: str, show: Callable[[Run], None] | None = None) -> str:
        """Train a revision that is on the git server, again if it was trained; how it ended, in one sentence.

        ``show`` shows the run while it runs: a live graph where not given.
        """
        try:
            run = train_revision(self.settings, revision, show or live_graph())
        except RunFailed as error:
            run = error.run
        return in_words(revision, run)

    def follow(self, revision: str, show: Callable[[Run], None] | None = None) -> str:
        """Follow the training that the push of a revision has started, and return how it ended, in one sentence.

        ``show`` shows the run while it runs: a live graph where not given.
        """
        return in_words(revision, follow_training(self.settings, revision, show or live_graph()))

    @as_jukebox_error()
    def train_on(self, songs: str | Path | None = None, show: Callable[[Run], None] | None = None) -> str:
        """New songs in, a new model version out: the data pipeline, then the training that its commit starts.

        The arguments are those of `run_data_pipeline`. Returns how the training ended, in one sentence.
        """
        revision = self.run_data_pipeline(songs, show)
        if any(record["version"] == revision[:10] for record in self.versions()):
            return f"No news: {revision[:10]} is trained already, and the same bytes start nothing."
        return self.follow(revision, show)

    @as_jukebox_error()
    def reproduce(self, version: str) -> list[dict[str, Any]]:
        """Train a model version again from what its record names, and compare; what `compare_digests` returns."""
        return reproduce(self.settings, MODEL, version, live_graph())

    def enter(self) -> None:
        """Give this process, and the commands it starts, what a workbench gives: the connection and the tools."""
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        os.environ["DVC_NO_ANALYTICS"] = "1"
        # What a notebook shows of a command is a page: nothing can turn or be wiped there.
        os.environ["TERM"] = "dumb"
        try:
            os.getcwd()
        except FileNotFoundError:  # the clone was deleted under this kernel, and is back
            os.chdir(self.clone)
        if self.settings.is_sandbox:
            os.environ["JUKEBOX_STATE"] = str(self.settings.state)
        if self.settings.s3_endpoint and self.settings.has_secret("aws-connection-data"):
            values = self.settings.secret("aws-connection-data")
            os.environ.update({key: values[key] for key in CONNECTION_KEYS if key in values})
        if "password" in os.environ and (server := self.settings.git_server or git_server()):
            key = f"credential.{server}.helper"
            os.environ.update(GIT_CONFIG_COUNT="2", GIT_CONFIG_KEY_0=key, GIT_CONFIG_KEY_1=key)
            # The empty one first: no other helper is asked, and none learns this password.
            os.environ.update(GIT_CONFIG_VALUE_0="", GIT_CONFIG_VALUE_1=credential_helper())
        # DVC finds the S3 server here, so no address is in git.
        os.environ["AWS_ENDPOINT_URL"] = os.environ.get("AWS_S3_ENDPOINT", self.settings.s3_endpoint)


def in_words(revision: str, run: Run) -> str:
    """How the training of a revision ended, in one sentence, with what to do next if it failed."""
    return f"The training of {revision[:10]} {run.state}. {run.error} {run.next_action}".strip()


@as_jukebox_error()
def load_songs(place: Workplace) -> str:
    """Validate, transform and load the songs at their address to ``s3://data/song_properties.parquet``.

    As the inner loop's steps do, without a run. Returns the md5 of the bytes that are there now; songs that have not
    arrived, or are not valid, are a JukeboxError.
    """
    with tempfile.TemporaryDirectory(prefix="jukebox-load-") as folder:
        source, target = f"{folder}/arrived.parquet", Path(folder, SONGS_OBJECT)
        place.download(songs_argument(place.settings), source)
        validate_songs(source)
        transform_songs(source, str(target))
        upload(place.settings, target, SONGS_OBJECT)
        return file_digest(str(target), "md5")


@as_jukebox_error()
def loaded_md5(place: Workplace) -> str:
    """The md5 of the songs that lie in the bucket ``data`` now; empty where there are none."""
    if "data" not in place.buckets() or SONGS_OBJECT not in place.objects("data"):
        return ""
    file = place.tables / "loaded.parquet"
    place.tables.mkdir(parents=True, exist_ok=True)
    place.download(SONGS_ADDRESS, str(file))
    return file_digest(str(file), "md5")
