"""Buckets that keep versions of their objects: our version file says what DVC's own says."""

import os

import pytest
import yaml

from jukebox_helpers.steps import data_cache, data_versions, git
from jukebox_helpers.steps.constants import VERSION_FILE
from jukebox_helpers.steps.dvc import dvc
from jukebox_helpers.steps.s3 import s3_client

SONGS = {"Bucket": "data", "Key": "song_properties.parquet"}
SOURCE = "remote://data-source/song_properties.parquet"
TO_REMOTE = ("--quiet", "--to-remote", "--remote", "s3-version")


@pytest.fixture
def s3(fresh_sandbox, monkeypatch):
    """The buckets of the data; the connection is in the environment, as a step has it."""
    for key, value in fresh_sandbox.secret("aws-connection-models").items():
        monkeypatch.setenv(key, value)
    for key in ("HOME", "USER", "DVC_NO_ANALYTICS", "DVC_SITE_CACHE_DIR"):
        monkeypatch.setenv(key, os.environ.get(key, ""))  # what a step changes goes again
    client = s3_client(os.environ)
    for bucket in ("data", "data-cache"):
        client.create_bucket(Bucket=bucket)
    return client


def repository(path):
    """An empty git repository."""
    path.mkdir()
    git.git("init", "--quiet", "--initial-branch=main", folder=str(path))
    return path


def test_the_version_file_says_what_dvc_says(s3, tmp_path):
    git.container_environment()
    ours, by_hand = repository(tmp_path / "ours"), repository(tmp_path / "by-hand")
    dvc("init", "--quiet", folder=by_hand)
    dvc("remote", "add", "--default", "s3-version", "s3://data-cache", folder=by_hand)
    dvc("remote", "add", "data-source", "s3://data", folder=by_hand)

    def both(content):
        """The version file of new songs, as we write it; it is as DVC writes it."""
        version = s3.put_object(**SONGS, Body=content).get("VersionId")
        (tmp_path / "songs").write_bytes(content)
        data_versions.version_songs(str(ours), data_cache.load_to_cache(str(tmp_path / "songs")))
        dvc("import-url", *TO_REMOTE, "--force", SOURCE, folder=by_hand)
        found = (ours / VERSION_FILE).read_text()
        assert found == (by_hand / VERSION_FILE).read_text()
        return version, yaml.safe_load(found)

    for bucket, status in (("data", "Enabled"), ("data-cache", "Enabled"), ("data", "Suspended")):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        for number in range(2):
            version, known = both(f"{bucket} {status} {number}".encode())
            assert known["deps"][0].get("version_id") == s3.head_object(**SONGS).get("VersionId")
            assert (version and version == known["deps"][0]["version_id"]) or status == "Suspended"
    dvc("update", *TO_REMOTE, VERSION_FILE, folder=ours)
    dvc("pull", "--quiet", folder=ours)
    assert (ours / SONGS["Key"]).read_bytes() == b"data Suspended 1"
