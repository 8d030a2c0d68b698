"""The attendee's place of work: clones, tables, servers and registry of this platform, in one object."""

import os
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from jukebox_helpers import sandbox
from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.pipelines.laptop import run_pipeline
from jukebox_helpers.pipelines.lineage import compare_digests
from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.pipelines.revisions import git_credentials
from jukebox_helpers.pipelines.runs import Run
from jukebox_helpers.pipelines.training import follow_training, rebuild
from jukebox_helpers.settings import (
    DATA_PIPELINE_YAML,
    GITOPS_REPOSITORY,
    KIT,
    REPOSITORY,
    Settings,
    find_settings,
)
from jukebox_helpers.show.graphs import live_graph
from jukebox_helpers.steps import sample_data
from jukebox_helpers.steps.constants import CONNECTION_KEYS, MODEL, SONGS_ADDRESS, SONGS_OBJECT, VERSION_FILE
from jukebox_helpers.steps.data_cache import cache_key
from jukebox_helpers.steps.dvc import read_version_file
from jukebox_helpers.steps.files import file_digest, write_whole
from jukebox_helpers.steps.git import git
from jukebox_helpers.steps.git_password import credential_helper, git_server
from jukebox_helpers.steps.s3 import explained, list_buckets, s3_client
from jukebox_helpers.steps.tables import transform_songs, validate_songs
from jukebox_helpers.waiting import wait_until

SONGS = 2_000
"""The size of the workshop's table: small, so that no cell takes longer than a minute."""


class Workplace:
    """Where an attendee works.

    Args:
        settings: The platform; found where not given.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or find_settings()
        self.clone = self.settings.clone(REPOSITORY)
        self.tables = self.settings.state / "tables"
        beside = self.clone.parent if self.settings.platform == "sandbox" else KIT.parent
        self.gitops = beside / GITOPS_REPOSITORY
        self.practice = beside / "data-practice"

    def __repr__(self) -> str:
        return (
            f"Platform {self.settings.platform}, user {self.settings.user}\n"
            f"your clone     {self.clone}\nbuckets        {self.gitops}\npractice       {self.practice}"
        )

    @property
    def is_sandbox(self) -> bool:
        """Whether this is a laptop."""
        return self.settings.platform == "sandbox"

    # Tables: made when first asked for, the same bytes every time.

    def table(self, name: str, make: Callable[[str], Any]) -> Path:
        """A table of this workshop, made whole or not at all."""
        file = self.tables / name
        if not file.is_file():
            write_whole(str(file), make)
        return file

    @property
    @as_jukebox_error()
    def songs(self) -> Path:
        """The songs to begin with."""
        return self.table("songs.parquet", lambda path: sample_data.make_songs(path, songs=SONGS))

    @property
    @as_jukebox_error()
    def fresh_songs(self) -> Path:
        """The songs of a week later: new ones, and some corrected."""
        return self.table("fresh_songs.parquet", lambda path: sample_data.make_fresh_songs(str(self.songs), path))

    # S3

    @cached_property
    @as_jukebox_error()
    def s3(self) -> Any:
        """An S3 client."""
        first = next((n for n in ("data", "models") if (self.settings.secrets / f"aws-connection-{n}").is_dir()), "")
        return s3_client(self.settings.secret(f"aws-connection-{first or 'models'}"))

    @as_jukebox_error()
    def buckets(self) -> list[str]:
        """The buckets of the S3 server."""
        with explained(self.s3):
            return list_buckets(self.s3)

    @as_jukebox_error()
    def objects(self, bucket: str) -> dict[str, int]:
        """The objects of a bucket, with their sizes in bytes."""
        with explained(self.s3, f"s3://{bucket}"):
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}

    def cached_version(self, md5: str) -> str:
        """The address of a data version's object in the bucket ``data-cache``; empty if it is not there."""
        key = cache_key(md5)
        present = "data-cache" in self.buckets() and key in self.objects("data-cache")
        return f"s3://data-cache/{key}" if present else ""

    def restore(self, md5: str) -> Path:
        """Bring a data version from the bucket ``data-cache``, and make sure that it has the bytes it names."""
        address = self.cached_version(md5)
        if not address:
            raise JukeboxError(
                f"Data version {md5} is not in the bucket data-cache: it was never pushed there, or was removed.",
                "Take one of place.practised_versions(), or push this one: dvc push, in the folder that has it.",
            )
        target = self.table(f"{md5}.parquet", lambda path: self.download(address, path))
        if file_digest(str(target), "md5") != md5:
            raise JukeboxError(f"The object of data version {md5} has other bytes.", "Run the data pipeline again.")
        return target

    @as_jukebox_error()
    def download(self, address: str, path: str) -> None:
        """Bring an object, e.g. ``s3://data/song_properties.parquet``."""
        bucket, _, key = address.removeprefix("s3://").partition("/")
        with explained(self.s3, address):
            self.s3.download_file(bucket, key, path)

    def wait_for_buckets(self, *names: str, timeout: float = 120.0) -> list[str]:
        """Wait until buckets are there, on a laptop with their connections.

        Args:
            names: The buckets.
            timeout: Seconds to wait at most.

        Returns:
            All buckets of the server.

        Raises:
            JukeboxError: If one is still missing then.
        """

        def late() -> JukeboxError:
            return JukeboxError(
                f"After {timeout:.0f} s the S3 server still has no {', '.join(self._missing(names))}.",
                "Look at ./jukebox status (on the laptop) or at Argo CD (in the cluster): what became of the push?",
            )

        wait_until(lambda: not self._missing(names), timeout, late)
        return self.buckets()

    def _missing(self, names: tuple[str, ...]) -> list[str]:
        """The buckets that are not there and, on a laptop, the connections that are not: each follows its bucket."""
        present = self.buckets()
        buckets = [f"bucket {name}" for name in names if name not in present]
        secrets = [f"aws-connection-{name}" for name in names if self.is_sandbox and name in present]
        return buckets + [f"Secret {secret}" for secret in secrets if not (self.settings.secrets / secret).is_dir()]

    # git

    def git(self, *arguments: str, folder: str | Path | None = None) -> str:
        """Run git in the attendee's clone, or in another folder, with the platform's credentials.

        Args:
            arguments: The git command, e.g. ``"log", "--oneline"``.
            folder: The folder to run in.

        Returns:
            What git prints, without the last line break.

        Raises:
            JukeboxError: If the folder is gone, or git fails, with its own words.
        """
        where = Path(folder or self.clone)
        # In a folder of ours without .git, git would find the repository around it.
        if not where.is_dir() or (where in (self.clone, self.gitops) and not (where / ".git").exists()):
            raise JukeboxError(
                f"{where} is not a git repository any more: the folder was moved, deleted or emptied.",
                f"{'Move the rest of it away, then r' if where.exists() else 'R'}un the notebook's first cell again, "
                "or ./jukebox catch-up 0 in a terminal: what was pushed is cloned anew.",
            )
        with git_credentials(self.settings):
            try:
                return git(*arguments, folder=str(where))
            except RuntimeError as error:
                raise JukeboxError(
                    str(error), "Correct what git names. ./jukebox status says whether the git server runs."
                ) from None

    def head(self, repository: str = REPOSITORY) -> str:
        """The revision at the head of ``main`` on the git server."""
        return self.git("ls-remote", self.settings.repository_url(repository), "refs/heads/main").split("\t")[0]

    def fetch(self, repository: str = REPOSITORY) -> str:
        """Learn what is new on the git server, change nothing in the clone, and return the head of ``main``."""
        folder = self.clone if repository == REPOSITORY else self.gitops
        self.git("fetch", "--quiet", "origin", folder=folder)
        return self.git("rev-parse", "origin/main", folder=folder)

    def on_main(self, path: str, repository: str = REPOSITORY) -> str:
        """The text of a file at the head of ``main`` on the server; empty if there is none."""
        self.fetch(repository)
        folder = self.clone if repository == REPOSITORY else self.gitops
        listed = self.git("ls-tree", "--name-only", "origin/main", "--", path, folder=folder)
        return self.git("show", f"origin/main:{path}", folder=folder) + "\n" if listed else ""

    def edited(self, path: str, folder: Path) -> str:
        """Where an edit of a file stands: ``""``, ``"not committed"`` or ``"not pushed"``."""
        if self.git("status", "--porcelain", "--", path, folder=folder):
            return "not committed"
        return "not pushed" if self.git("log", "--oneline", "origin/main..HEAD", "--", path, folder=folder) else ""

    # Pipelines and models

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
        return [record for record in self.versions() if record["metadata"].get("DVC training data hash")]

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
            "Run place.train_on(place.songs), as in notebook 5.",
        )

    @as_jukebox_error()
    def run_data_pipeline(self, songs: str | Path, show: Callable[[Run], None] | None = None) -> str:
        """Run the data pipeline from the clone's compiled YAML.

        Args:
            songs: The table of songs.
            show: Shows the run while it runs; a live graph where not given.

        Returns:
            The head of ``main`` after it.

        Raises:
            RunFailed: If a step has failed.
        """
        source = self.clone / DATA_PIPELINE_YAML
        arguments = {"dataset_url": existing_file(songs).as_uri(), "repo_url": self.settings.repository_url()}
        run_pipeline(source, arguments, self.settings, on_change=show or live_graph(source))
        return self.head()

    def push_event(self, *revisions: str, repository: str = REPOSITORY) -> dict[str, Any]:
        """What became of a push, as the sandbox's trigger recorded it.

        Args:
            revisions: The commits that the push may have ended with. A push of several commits has one event, for
                the last of them.
            repository: The repository that was pushed to.

        Returns:
            The newest event of such a push; one to ``main`` where there is one, because the same commit may be
            pushed to other branches, too. Empty where there was none, and in a workbench.
        """
        if not self.is_sandbox:
            return {}
        pushes = [
            event for event in sandbox.pushes(self.settings)
            if event["repository"] == repository and event["revision"] in revisions
        ]  # fmt: skip
        return ([event for event in pushes if event["ref"] == sandbox.MAIN] or pushes or [{}])[-1]

    def follow(self, revision: str, show: Callable[[Run], None] | None = None) -> str:
        """Follow the training that a push has started, until it ends.

        Args:
            revision: The commit that was pushed.
            show: Shows the run while it runs; a live graph where not given.

        Returns:
            How it ended, in one sentence.
        """
        if not self.is_sandbox:
            return f"The training of {revision[:10]} runs in the cluster: see Pipelines in OpenShift and Experiments."

        run = follow_training(
            self.settings, revision, lambda: self.push_event(revision), on_change=show or live_graph()
        )
        return f"The training of {revision[:10]} {run.state}. {run.error}".strip()

    @as_jukebox_error()
    def train_on(self, songs: str | Path, show: Callable[[Run], None] | None = None) -> str:
        """New songs in, a new model version out: the data pipeline, then the training that its commit starts.

        Args:
            songs: The table of songs.
            show: Shows the runs while they run; live graphs where not given.

        Returns:
            How the training ended, in one sentence.
        """
        revision = self.run_data_pipeline(songs, show)
        if any(record["version"] == revision[:10] for record in self.versions()):
            return f"No news: {revision[:10]} is trained already, and the same bytes start nothing."
        return self.follow(revision, show)

    @as_jukebox_error()
    def reproduce(self, version: str) -> list[dict[str, Any]]:
        """Train a model version again from what its record names, and compare.

        Args:
            version: The model version.

        Returns:
            For each digest: ``what``, ``expected``, ``found`` and ``same``.
        """
        record = self.registry.find(MODEL, version)
        if record is None:
            raise JukeboxError(f"There is no version {version!r} of {MODEL}.", "place.versions() lists them.")
        rebuilt = rebuild(self.settings, record, live_graph())
        return compare_digests({name: record["metadata"].get(name) for name in rebuilt}, rebuilt)

    @as_jukebox_error()
    def practise_version(self, revision: str = "") -> str:
        """The data version (md5) that the practice repository names: as it stands there, or in a revision of it."""
        file = self.practice / VERSION_FILE
        if revision:
            text = self.git("show", f"{revision}:{VERSION_FILE}", folder=self.practice)
            return text.split("outs:")[1].split("md5: ")[1].split()[0]
        return read_version_file(str(file))["md5"] if file.is_file() else ""

    def practised_versions(self) -> list[str]:
        """The data versions that the practice repository has committed, newest first, one for each commit."""
        if not (self.practice / ".git").exists() or not self.git("branch", "--list", "main", folder=self.practice):
            return []
        log = self.git("log", "--format=%H", "--", VERSION_FILE, folder=self.practice)
        return [self.practise_version(revision) for revision in log.split()]

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
        if self.is_sandbox:
            folder = self.settings.secrets / "aws-connection-data"
            os.environ["JUKEBOX_STATE"] = str(self.settings.state)
            if folder.is_dir():
                values = self.settings.secret("aws-connection-data")
                os.environ.update({key: values[key] for key in CONNECTION_KEYS})
        elif "password" in os.environ and (server := self.settings.git_server or git_server()):
            key = f"credential.{server}.helper"
            os.environ.update(GIT_CONFIG_COUNT="2", GIT_CONFIG_KEY_0=key, GIT_CONFIG_KEY_1=key)
            # The empty one first: no other helper is asked, and none learns this password.
            os.environ.update(GIT_CONFIG_VALUE_0="", GIT_CONFIG_VALUE_1=credential_helper())
        # DVC finds the S3 server here, so no address stands in git.
        os.environ["AWS_ENDPOINT_URL"] = os.environ.get("AWS_S3_ENDPOINT", self.settings.s3_endpoint)


def existing_file(file: str | Path) -> Path:
    """The whole path of a file, or a `JukeboxError` that says where it was looked for."""
    path = Path(os.path.abspath(Path(file).expanduser()))
    if not path.is_file():
        raise JukeboxError(f"There is no file {path}.", "Give the path of a Parquet file, e.g. place.songs.")
    return path


@as_jukebox_error()
def load_songs(place: Workplace, songs: str | Path) -> str:
    """Validate, transform and load songs to ``s3://data/song_properties.parquet``, as the inner loop's steps do.

    Args:
        place: Where the attendee works.
        songs: The table of songs.

    Returns:
        The md5 of the bytes that lie there now.

    Raises:
        JukeboxError: If the songs are not there, or not valid.
    """
    target = place.tables / "transformed.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    file = str(existing_file(songs))
    validate_songs(file)
    transform_songs(file, str(target))
    with explained(place.s3, "s3://data"):
        place.s3.upload_file(str(target), "data", SONGS_OBJECT)
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
