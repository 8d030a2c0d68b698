"""The songs' address: what a day brings, and how a file of this machine gets one."""

import hashlib
import io
import time
from dataclasses import replace

import pyarrow.parquet
import pytest
from rich.console import Console

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.show import progress
from jukebox_helpers.steps import sample_data
from jukebox_helpers.steps.constants import INCOMING_OBJECT, KINDS_OF_SONGS
from jukebox_helpers.workshop import storage
from jukebox_helpers.workshop.demo import Demo
from jukebox_helpers.workshop.place import Workplace
from jukebox_helpers.workshop.songs import songs_argument


@pytest.fixture
def place(fresh_sandbox, monkeypatch):
    """A place with few songs."""
    monkeypatch.setattr(storage, "WORKSHOP_SONGS", 300)
    return Workplace(fresh_sandbox)


def there(place):
    """The bytes at the songs' address."""
    return place.s3.get_object(Bucket="data", Key=INCOMING_OBJECT)["Body"].read()


def rows(content):
    return pyarrow.parquet.read_table(io.BytesIO(content)).sort_by("spotify_id").to_pylist()


def ids(content):
    return [row["spotify_id"] for row in rows(content)]


# One story, because each sandbox takes its time: it begins without buckets.
def test_each_day_puts_its_songs_at_one_address(place, tmp_path):
    with pytest.raises(
        JukeboxError, match="no Secret 'aws-connection-data'.*\nNext: Add the bucket 'data' to .*push it"
    ):
        place.publish("first")
    Demo(place.settings, Console(quiet=True)).apply_buckets()
    with pytest.raises(
        JukeboxError, match="No songs have arrived at s3://data/incoming/.*\nNext: .*jukebox publish first"
    ):
        songs_argument(place.settings)
    assert songs_argument(place.settings, now=False) == place.songs_url == f"s3://data/{INCOMING_OBJECT}"

    facts = {kind: (place.publish(kind), there(place)) for kind in KINDS_OF_SONGS}
    assert {fact["address"] for fact, _ in facts.values()} == {place.songs_url} == {songs_argument(place.settings)}
    assert [fact["rows"] for fact, _ in facts.values()] == [300, 620, 620, 620, 620, 620]
    assert facts["fresh"][0]["new"] == 320 and facts["same"][0]["changed"] == 0
    assert facts["corrected"][0]["changed"] == facts["broken"][0]["changed"] == 25
    contents = {kind: content for kind, (_, content) in facts.items()}
    assert len(set(contents.values())) == len(KINDS_OF_SONGS)
    assert set(ids(contents["first"])) < set(ids(contents["fresh"])) == set(ids(contents["drift"]))
    # What was broken stays out of the days after it, and the first week comes back when it is asked for.
    assert (place.publish("corrected"), there(place)) == facts["corrected"]
    assert place.publish("same")["rows"] == 620 and rows(there(place)) == rows(contents["corrected"])
    assert (place.publish("first"), there(place)) == facts["first"]
    assert place.publish("corrected")["rows"] == 300

    own = tmp_path / "own.parquet"
    sample_data.make_songs(str(own), songs=200, seed=1)
    assert place.publish("first", own)["rows"] == 200 and there(place) == own.read_bytes()
    assert place.publish("fresh")["rows"] == 520 and set(ids(own.read_bytes())) < set(ids(there(place)))
    before = there(place)
    (tmp_path / "text.parquet").write_text("no table")
    for kind, songs, words in (
        ("late", None, "no kind 'late'.*first, fresh"),
        ("fresh", own, "those to begin with"),
        ("first", tmp_path / "nowhere", "There is no file"),
        ("first", tmp_path / "text.parquet", "Parquet"),
    ):
        with pytest.raises(JukeboxError, match=f"(?s){words}"):
            place.publish(kind, songs)
    assert there(place) == before and place.publish("first")["rows"] == 200

    # A file is uploaded under its hash, an address is taken as it is.
    address = f"s3://data/incoming/{hashlib.sha256(own.read_bytes()).hexdigest()}.parquet"
    assert {songs_argument(place.settings, source) for source in (own, str(own), own.as_uri())} == {address}
    assert place.s3.get_object(Bucket="data", Key=address.partition("data/")[2])["Body"].read() == own.read_bytes()
    for known in ("https://songs.example/x", "s3://elsewhere/x"):
        assert songs_argument(place.settings, known) == known

    # In a workbench the connection is in the environment, and the tables are its own.
    environment = place.settings.secret("aws-connection-data")
    workbench = Workplace(replace(place.settings, platform="rhoai", environment=environment, state=tmp_path))
    assert workbench.publish("first") == facts["first"][0] and there(place) == contents["first"]
    with pytest.raises(JukeboxError, match="has no S3 connection.*\nNext: "):
        Workplace(replace(workbench.settings, s3_endpoint="")).publish("first")


@pytest.mark.parametrize("terminal", [True, False])
def test_an_upload_that_takes_long_says_so(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with progress.upload_progress("songs.parquet", 3_000, console, patience=0) as sent:
        for _ in range(100):
            if "uploading songs.parquet" in console.file.getvalue():
                break
            sent(10)
            time.sleep(0.05)
    assert "uploading songs.parquet" in console.file.getvalue()
    with progress.upload_progress("quick.parquet", 3_000, console, patience=60) as sent:
        sent(3_000)
    assert "quick.parquet" not in console.file.getvalue()
