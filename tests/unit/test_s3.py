"""The S3 client, and what is said when a server refuses, is missing something, or is not an S3 server."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from loopback import make_certificate, page_server

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.steps import data_cache, transfer
from jukebox_helpers.steps.s3 import explained, list_buckets, s3_client, s3_problem

ENDPOINT = "http://127.0.0.1:9"
MD5 = "0bcc" * 8


def connection(endpoint: str) -> dict[str, str]:
    """The values of a connection to this server."""
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_S3_BUCKET": "data"}
    return {"AWS_S3_ENDPOINT": endpoint, **keys}


def answer(code: str) -> ClientError:
    """What boto3 raises when a server answers with an error."""
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")


def test_what_a_policy_forbids_is_no_matter_of_keys() -> None:
    error = s3_problem(answer("AccessDenied"), ENDPOINT, "s3://data/songs")
    assert isinstance(error, PermissionError)
    assert (
        "does not let this user do GetObject for s3://data/songs (AccessDenied). Next: allow it in the user's policy"
        in str(error)
    )


@pytest.mark.parametrize("code", ["403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"])
def test_refused_credentials_name_the_server_the_object_and_the_keys(code: str) -> None:
    error = s3_problem(answer(code), ENDPOINT, "s3://data/songs")
    assert isinstance(error, PermissionError)
    assert f"{ENDPOINT} refuses these credentials for s3://data/songs ({code}). Next: check AWS_ACCESS_KEY_ID" in str(
        error
    )


@pytest.mark.parametrize(
    ("code", "address", "said"),
    [
        ("404", "s3://data/songs", "no object s3://data/songs on"),
        ("NoSuchKey", "s3://data/songs", "no object s3://data/songs on"),
        ("404", "s3://data", "no bucket s3://data on"),
        ("NoSuchBucket", "s3://data/songs", "no bucket s3://data on"),
    ],
)
def test_what_is_missing_is_named(code: str, address: str, said: str) -> None:
    error = s3_problem(answer(code), ENDPOINT, address)
    assert isinstance(error, FileNotFoundError) and said in str(error) and " Next: " in str(error)
    assert ("config.yaml" in str(error)) == ("bucket" in said)


def test_another_answer_is_shown_with_the_address() -> None:
    error = s3_problem(answer("SlowDown"), ENDPOINT, "s3://data/songs")
    assert isinstance(error, ConnectionError)
    assert f"{ENDPOINT} answers for s3://data/songs: An error occurred (SlowDown)" in str(error)


@pytest.mark.parametrize("status", [200, 302, 403, 503])
def test_a_page_is_never_read_as_buckets_songs_or_sizes(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with page_server(status) as address:
        for name, value in connection(address).items():
            monkeypatch.setenv(name, value)
        client = s3_client(connection(address))
        for ask in (
            lambda: list_buckets(client),
            lambda: transfer.fetch("s3://data/songs.parquet", str(tmp_path / "songs")),
            lambda: data_cache.cached_size(MD5),
        ):
            with pytest.raises(ConnectionError, match=rf"{address} answers with a page.* Next: check AWS_S3_ENDPOINT"):
                ask()
    assert not (tmp_path / "songs").exists()


def test_a_step_too_names_the_variable_of_the_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with page_server(certificate=make_certificate(tmp_path)) as address:
        for name, value in connection(address).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConnectionError, match=r"certificate of .* is not trusted.* Next: .*AWS_CA_BUNDLE"):
            data_cache.cached_size(MD5)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        with pytest.raises(ConnectionError, match="answers with a page"):
            data_cache.cached_size(MD5)


def test_the_library_turns_them_into_its_own_error() -> None:
    client = s3_client(connection(ENDPOINT))
    with (
        pytest.raises(JukeboxError, match=rf"{ENDPOINT} cannot be reached.* for s3://data.*\nNext: Check") as caught,
        as_jukebox_error(),
        explained(client, "s3://data"),
    ):
        client.head_bucket(Bucket="data")
    assert "very-secret" not in str(caught.value)


def test_an_incomplete_connection_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="has no AWS_SECRET_ACCESS_KEY. Next: "):
        s3_client({"AWS_S3_ENDPOINT": ENDPOINT, "AWS_ACCESS_KEY_ID": "a"})
    with pytest.raises(ValueError, match="not an address.*Next: begin it with http"):
        s3_client(connection("minio"))
    with pytest.raises(ValueError, match="has no AWS_S3_BUCKET. Next: "):
        transfer.own_bucket()


def test_a_client_of_the_platform_waits_long_enough_and_not_for_ever() -> None:
    config = s3_client(connection(ENDPOINT)).meta.config
    assert (config.connect_timeout, config.read_timeout) == (10, 60)
    assert config.retries == {"mode": "standard", "total_max_attempts": 3} and config.s3["addressing_style"] == "path"
