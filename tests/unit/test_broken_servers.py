"""S3 servers and sources that do not answer, or break off: each ends in a sentence with the next action."""

import boto3
import botocore.config
import pytest
from loopback import bad_server

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.pipelines import lineage
from jukebox_helpers.steps import data_cache, data_versions, rankings, s3, transfer

MD5 = "d41d8cd98f00b204e9800998ecf8427e"
HALF = b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: "x"\r\nConnection: close\r\n\r\n' + b"x" * 500
ONE = {"mode": "standard", "total_max_attempts": 1}
ANSWERS = {"closes": b"", "hangs": None, "breaks off": HALF, "is no server": b"\x00\x01\x02\r\n\r\n"}


@pytest.fixture(params=ANSWERS)
def endpoint(request, monkeypatch):
    """The address of a bad S3 server, which the connection in the environment names; few attempts, short timeouts."""
    real = botocore.config.Config

    def impatient(**options):
        return real(**{**options, "read_timeout": 0.3, "connect_timeout": 0.3, "retries": ONE})

    monkeypatch.setattr(botocore.config, "Config", impatient)
    # boto3 keeps what its first client was told for all later ones.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with bad_server(ANSWERS[request.param]) as address:
        for name, value in connection(address).items():
            monkeypatch.setenv(name, value)
        yield address


def connection(address):
    return {
        "AWS_S3_ENDPOINT": address,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_S3_BUCKET": "data",
    }


def said(error, endpoint):
    """Whether a message names the server and the next action, in the sentences of the kit."""
    message = str(error)
    return endpoint in message and "Next: " in message and "NoneType" not in message and "Max Retries" not in message


@pytest.mark.parametrize(
    "ask",
    [
        lambda file: transfer.fetch("s3://data/songs.parquet", file),
        lambda file: data_cache.cached_md5(MD5),
        lambda file: rankings.fetch_rankings("s3://data/song_rankings.parquet", file, file),
    ],
    ids=["fetch", "md5 in the cache", "fetch the rankings"],
)
def test_a_step_says_which_server_did_not_answer(endpoint, tmp_path, ask):
    with pytest.raises(ConnectionError) as caught:
        ask(str(tmp_path / "file"))
    assert said(caught.value, endpoint)


@pytest.mark.parametrize(
    "ask",
    [
        lambda file: transfer.load_object(file, "songs.parquet", "data"),
        lambda file: data_cache.facts_of("data", "songs.parquet"),
        lambda file: data_versions.check_write_access("http://127.0.0.1:9/git", ["data"]),
    ],
    ids=["load", "facts of an object", "access"],
)
@pytest.mark.parametrize("endpoint", [name for name in ANSWERS if name != "breaks off"], indirect=True)
def test_a_step_that_reads_no_body_says_it_too(endpoint, tmp_path, ask):
    (tmp_path / "file").write_bytes(b"songs")
    with pytest.raises(ConnectionError) as caught:
        ask(str(tmp_path / "file"))
    assert said(caught.value, endpoint)


def test_the_library_says_which_server_did_not_answer(endpoint, tmp_path):
    client = s3.s3_client(connection(endpoint))
    with pytest.raises(JukeboxError) as caught:
        lineage.object_digest(client, "s3://models/model.onnx", "sha256")
    assert said(caught.value, endpoint)
    with pytest.raises(JukeboxError) as caught, as_jukebox_error(), s3.explained(client):
        client.download_file("data", "songs.parquet", str(tmp_path / "file"))
    assert said(caught.value, endpoint)


@pytest.mark.parametrize("endpoint", ANSWERS, indirect=True)
def test_a_source_on_the_web_that_breaks_off_is_named(endpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(transfer.FETCH_BOUNDS, "quiet", 0.3)
    with pytest.raises(ConnectionError) as caught:
        transfer.fetch(f"{endpoint}/songs.parquet", str(tmp_path / "file"))
    assert said(caught.value, endpoint)


@pytest.mark.parametrize("length", [501, 1000])
def test_a_download_that_ends_early_is_said_with_how_much_came(tmp_path, length):
    with (
        bad_server(HALF.replace(b"1000", str(length).encode())) as address,
        pytest.raises(ConnectionError, match=rf"songs broke off after 500 of {length:,} bytes\. Next: run"),
    ):
        transfer.fetch(f"{address}/songs", str(tmp_path / "file"))


def test_a_download_that_is_whole_is_accepted_with_and_without_its_length(tmp_path):
    for answer in (HALF.replace(b"1000", b"500"), HALF.replace(b"Content-Length: 1000\r\n", b"")):
        with bad_server(answer) as address:
            assert transfer.fetch(f"{address}/songs", str(tmp_path / "file")) == 500
