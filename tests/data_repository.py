"""A sandbox with the buckets of the data, and repositories for data versions in it, read on the server's own disk."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

from waiting import DEADLINE

from jukebox_helpers.pipelines.revisions import git_credentials
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps import git, s3
from jukebox_helpers.steps.data_cache import cache_key
from jukebox_helpers.workshop import edits
from jukebox_helpers.workshop.buckets import CONFIG
from jukebox_sandbox.events import wait_for

BUCKETS = ("data", "data-cache")


def add_buckets(settings: Settings) -> None:
    """Commit and push the buckets of the data, as an attendee does it."""
    clone = settings.clone("mlops-gitops")
    if edits.add_buckets(clone / CONFIG, list(BUCKETS)):
        with git_credentials(settings):
            git.git("commit", "-qam", "Buckets", folder=str(clone))
            git.git("push", "-q", "origin", "main", folder=str(clone))
        wait_for(settings.state, git.git("rev-parse", "HEAD", folder=str(clone)), timeout=DEADLINE)


class Repository:
    """A repository on the sandbox's git server: one that is there, or a new one with one commit.

    Args:
        settings: The sandbox.
        name: The repository's name.

    Attributes:
        path: Its address without the server.
        first: The commit that it began with.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self.path = f"/{settings.user}/{name}.git"
        self.bare = settings.state / "git" / settings.user / f"{name}.git"
        self.s3 = s3.s3_client(settings.secret("aws-connection-data"))
        if not self.bare.is_dir():
            subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.bare)], check=True)
            identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
            first = self.git(*identity, "commit-tree", self.git("mktree"), "-m", "first")
            self.git("update-ref", "refs/heads/main", first)
        self.first = self.git("rev-parse", "main")

    def git(self, *arguments: str) -> str:
        """What git says in it."""
        command = ["git", "--git-dir", str(self.bare), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, input="").stdout.strip()

    @property
    def commits(self) -> list[str]:
        """What is on ``main``, the newest first."""
        return self.git("rev-list", "main").split()

    def version(self, revision: str = "main") -> str:
        """The data version of a revision; empty where it has none."""
        if not self.git("ls-tree", "--name-only", revision, "song_properties.parquet.dvc"):
            return ""
        lines = self.git("show", f"{revision}:song_properties.parquet.dvc").splitlines()
        found = [line.split("md5:")[1].strip() for line in lines if "md5:" in line and "hash" not in line]
        return found[-1]

    def check(self, revision: str = "main") -> str:
        """That the data of a revision is in ``data-cache``, byte for byte; its version."""
        if md5 := self.version(revision):
            body = self.s3.get_object(Bucket="data-cache", Key=cache_key(md5))["Body"].read()
            assert hashlib.md5(body).hexdigest() == md5
            assert "s3-version" in self.git("show", f"{revision}:.dvc/config")
        return md5

    def check_clean(self) -> None:
        """That nothing half done lies in it, and no upload that nobody ends in the buckets."""
        assert [file for file in self.bare.rglob("*") if file.suffix == ".lock"] == []
        assert self.git("fsck", "--no-dangling") == ""
        for bucket in BUCKETS:
            assert not self.s3.list_multipart_uploads(Bucket=bucket).get("Uploads")


def objects(client: Any, *buckets: str) -> dict[tuple[str, str], str]:
    """What lies in buckets: the ETag of each object, by bucket and key."""
    found = {}
    for bucket in buckets:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            found |= {(bucket, item["Key"]): item["ETag"] for item in page.get("Contents", [])}
    return found


def random_songs(folder: Path, number: int) -> tuple[Path, str]:
    """A file of bytes that were nowhere before, and their md5: to what only carries them, it is a table."""
    content = hashlib.sha512(f"{folder}{number}".encode()).digest() * 40
    path = folder / f"songs-{number}.parquet"
    path.write_bytes(content)
    return path, hashlib.md5(content).hexdigest()
