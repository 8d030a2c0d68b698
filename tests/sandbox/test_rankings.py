"""Rankings in the cache: a revision's very bytes, under their hash."""

import hashlib

import pytest

from jukebox_helpers.steps import s3 as s3_module
from jukebox_helpers.steps import sample_data, sample_rankings
from jukebox_helpers.steps.rankings import fetch_rankings
from jukebox_sandbox import buckets


@pytest.fixture
def s3(sandbox, monkeypatch):
    """The buckets of the data, and around them what a step has: the connection of the bucket ``data``."""
    client = s3_module.s3_client(sandbox.secret("aws-connection-models"))
    buckets.apply(["data", "data-cache"], client)
    for key, value in (sandbox.secret("aws-connection-models") | {"AWS_S3_BUCKET": "data"}).items():
        monkeypatch.setenv(key, value)
    return client


@pytest.fixture
def songs(tmp_path):
    path = tmp_path / "songs.parquet"
    sample_data.make_songs(str(path), songs=200)
    return path


def kept(s3, digest):
    return s3.get_object(Bucket="data-cache", Key=f"rankings/{digest}.parquet")["Body"].read()


def test_sample_rankings_are_made_for_the_songs_and_kept(s3, songs, tmp_path):
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    facts = fetch_rankings("sample", str(songs), one)
    assert facts["rankings source"] == "made up (sample)"
    sample_rankings.make_rankings(two, str(songs))
    with open(one, "rb") as a, open(two, "rb") as b:
        assert (content := a.read()) == b.read() == kept(s3, facts["rankings sha256"])
    assert facts["rankings sha256"] == hashlib.sha256(content).hexdigest()


def test_rankings_of_an_address_are_kept_by_their_hash(s3, songs, tmp_path):
    rankings, fetched, again = (str(tmp_path / name) for name in ("rankings", "fetched", "again"))
    sample_rankings.make_rankings(rankings, str(songs), rows=2_000)
    s3.upload_file(rankings, "data", "mine.parquet")
    facts = fetch_rankings("s3://data/mine.parquet", str(songs), fetched)
    assert facts["rankings source"] == "s3://data/mine.parquet"
    digest = facts["rankings sha256"]
    s3.put_object(Bucket="data", Key="mine.parquet", Body=b"newer")
    by_hash = f"rankings/{digest}.parquet"
    assert fetch_rankings(by_hash, str(songs), again)["rankings sha256"] == digest
    with open(rankings, "rb") as one, open(again, "rb") as other:
        assert one.read() == other.read()
    s3.put_object(Bucket="data-cache", Key=by_hash, Body=b"edited by hand")
    with pytest.raises(ValueError, match="other bytes than its name says"):
        fetch_rankings(by_hash, str(songs), again)
    with pytest.raises(FileNotFoundError, match="s3://data/gone.parquet"):
        fetch_rankings("s3://data/gone.parquet", str(songs), again)


def test_a_signature_in_an_address_is_not_recorded(s3, songs, tmp_path):
    s3.put_object(Bucket="data", Key="signed.parquet", Body=b"rankings")
    facts = fetch_rankings("s3://data/signed.parquet?X-Amz-Signature=hidden#part", str(songs), str(tmp_path / "r"))
    assert facts["rankings source"] == "s3://data/signed.parquet"


def test_an_address_that_cannot_be_read_names_the_file_to_correct(s3, songs, tmp_path):
    with pytest.raises(ConnectionError, match="check the key rankings in 3-prod_datascience/default_parameters.json"):
        fetch_rankings("https://127.0.0.1:1/r?sig=hidden", str(songs), str(tmp_path / "r"))
