"""The S3 client, and what is said when a server refuses, is missing something, or is not an S3 server."""

import inspect
import string
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3.exceptions
import botocore.exceptions
import botocore.parsers
import pytest
import s3transfer.exceptions
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError
from loopback import make_certificate, page_server

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.steps import data_cache, data_versions, transfer
from jukebox_helpers.steps.messages import parts
from jukebox_helpers.steps.s3 import explained, list_buckets, s3_client, s3_problem

ENDPOINT = "http://127.0.0.1:9"
MD5 = "0bcc" * 8


def connection(endpoint: str) -> dict[str, str]:
    """The values of a connection to this server."""
    keys = {"AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_S3_BUCKET": "data"}
    return {"AWS_S3_ENDPOINT": endpoint, **keys}


def answer(code: str) -> ClientError:
    """What boto3 raises when a server answers with an error."""
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")


def exceptions() -> list[type[Exception]]:
    """Every exception that botocore and boto3 have, and their transfers'; warnings are none."""
    modules = (botocore.exceptions, botocore.parsers, boto3.exceptions, s3transfer.exceptions)
    known = {kind for module in modules for _, kind in inspect.getmembers(module, inspect.isclass)}
    ours = [kind for kind in known if kind.__module__.startswith(("boto", "s3transfer"))]
    kinds = [kind for kind in ours if issubclass(kind, Exception) and not issubclass(kind, Warning)]
    return sorted(kinds, key=lambda kind: kind.__name__)


def made(kind: type[Exception]) -> Exception:
    """An exception, with a text for whatever it wants to know."""
    if issubclass(kind, ClientError):
        return kind({"Error": {"Code": "SlowDown", "Message": "no"}}, "GetObject")
    if not inspect.isfunction(kind.__init__):
        return kind("a text")
    wanted = inspect.signature(kind).parameters.values()
    named = {one.name for one in wanted if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD}
    if any(one.kind is one.VAR_KEYWORD for one in wanted) and hasattr(kind, "fmt"):
        named |= {name for _, name, _, _ in string.Formatter().parse(kind.fmt) if name}
    return kind(**dict.fromkeys(named, "a text")) if named else kind()


@pytest.mark.parametrize("kind", exceptions(), ids=lambda kind: kind.__name__)
def test_every_exception_ends_in_a_sentence_with_the_server_and_the_next_action(kind: type[Exception]) -> None:
    client = s3_client(connection(ENDPOINT))
    with pytest.raises((OSError, ValueError)) as caught, explained(client, "s3://data/songs"):
        raise made(kind)
    what, next_action = parts(str(caught.value))
    assert ENDPOINT in what and len(next_action) > 10 and "None " not in what
    assert caught.value.__suppress_context__


def test_the_walk_meets_the_exceptions_whose_response_is_none() -> None:
    without = {kind.__name__ for kind in exceptions() if getattr(made(kind), "response", "no such") is None}
    assert without >= {"ReadTimeoutError", "ConnectionClosedError", "ResponseStreamingError"}
    assert len(exceptions()) > 100


@pytest.mark.parametrize("code", ["AccessDenied", "403"])
def test_what_a_policy_forbids_is_no_matter_of_keys(code: str) -> None:
    """The answer to a HEAD is 403 alone, and does not say which it is."""
    error = s3_problem(answer(code), ENDPOINT, "s3://data/songs")
    assert isinstance(error, PermissionError)
    assert (
        f"does not let this user do GetObject for s3://data/songs ({code}). Next: allow it in the user's policy"
        in str(error)
    )


@pytest.mark.parametrize("code", ["XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "XMinioStorageFull"])
def test_a_quota_is_no_matter_of_the_address(code: str) -> None:
    error = s3_problem(answer(code), ENDPOINT, "s3://data/songs")
    assert isinstance(error, ConnectionError)
    assert f"for s3://data/songs failed: An error occurred ({code})" in str(error)
    assert "Next: delete what is not needed" in str(error) and "raise the quota" in str(error)


def test_an_upload_is_explained_by_what_stopped_it() -> None:
    client = s3_client(connection(ENDPOINT))
    with pytest.raises(PermissionError, match="do GetObject for s3://data/songs"), explained(client, "s3://data/songs"):
        try:
            raise answer("AccessDenied")
        except ClientError as error:
            raise S3UploadFailedError("Failed to upload") from error


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"])
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
    assert f"{ENDPOINT} for s3://data/songs failed: An error occurred (SlowDown)" in str(error)


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
            lambda: data_cache.facts_of("data", "songs.parquet"),
        ):
            with pytest.raises(ConnectionError, match=rf"{address} answers with a page.* Next: check AWS_S3_ENDPOINT"):
                ask()
    assert not (tmp_path / "songs").exists()


def test_a_step_too_names_the_variable_of_the_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with page_server(certificate=make_certificate(tmp_path)) as address:
        for name, value in connection(address).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConnectionError, match=r"certificate of .* is not trusted.* Next: .*AWS_CA_BUNDLE"):
            data_cache.facts_of("data", "songs.parquet")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        with pytest.raises(ConnectionError, match="answers with a page"):
            data_cache.facts_of("data", "songs.parquet")


def test_the_library_turns_them_into_its_own_error() -> None:
    client = s3_client(connection(ENDPOINT))
    with (
        pytest.raises(JukeboxError, match=rf"{ENDPOINT} for s3://data failed: .*\nNext: Check") as caught,
        as_jukebox_error(),
        explained(client, "s3://data"),
    ):
        client.head_bucket(Bucket="data")
    assert "very-secret" not in str(caught.value)


def test_a_file_of_authorities_that_is_missing_or_empty_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.pem").write_text("")
    with page_server(certificate=make_certificate(tmp_path)) as address:
        for name in ("nowhere.pem", "empty.pem"):
            monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / name))
            client = s3_client(connection(address))
            match = "(No such file|NO_CERTIFICATE).* Next: name the file with the cluster's CA in AWS_CA_BUNDLE"
            with pytest.raises(ConnectionError, match=match), explained(client):
                list_buckets(client)


def test_https_to_a_port_of_http_is_no_matter_of_a_certificate() -> None:
    with page_server() as address:
        client = s3_client(connection(address.replace("http:", "https:")))
        match = r"server https://localhost:\d+ failed: .*WRONG_VERSION.* Next: begin AWS_S3_ENDPOINT with http:"
        with pytest.raises(ConnectionError, match=match), explained(client):
            list_buckets(client)


def test_http_to_a_port_of_https_names_the_endpoint(tmp_path: Path) -> None:
    with page_server(certificate=make_certificate(tmp_path)) as address:
        client = s3_client(connection(address.replace("https:", "http:")))
        with (
            pytest.raises(ConnectionError, match=r"server http://localhost:\d+ failed: .* Next: check AWS_S3_ENDPOINT"),
            explained(client),
        ):
            list_buckets(client)


@pytest.mark.parametrize("endpoint", ["minio", "minio:9000", "//minio:9000", "ftp://minio", "/minio"])
def test_an_endpoint_without_a_scheme_is_named(endpoint: str) -> None:
    match = rf"server {endpoint} failed: Invalid .* Next: begin AWS_S3_ENDPOINT with http://, or with https://"
    with pytest.raises(ConnectionError, match=match):
        client = s3_client(connection(endpoint))
        with explained(client):
            list_buckets(client)


@pytest.mark.parametrize("endpoint", ["http://host:port", "http://[::1", "http:///x"])
def test_another_endpoint_that_is_no_address_ends_in_a_sentence(endpoint: str) -> None:
    with pytest.raises(ConnectionError) as caught:
        client = s3_client(connection(endpoint))
        with explained(client):
            list_buckets(client)
    assert f"The request to the S3 server {endpoint} failed: " in str(caught.value) and "Next: check AWS_" in str(
        caught.value
    )


def test_a_region_or_a_profile_that_does_not_exist_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    with pytest.raises(
        ConnectionError, match="region_name 'a b'.* Next: check AWS_S3_ENDPOINT and the other variables"
    ):
        s3_client({**connection(ENDPOINT), "AWS_DEFAULT_REGION": "a b"})
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    with pytest.raises(ConnectionError, match="profile .nowhere. could not be found. Next: check AWS"):
        s3_client(connection(ENDPOINT))


def test_an_incomplete_connection_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="has no AWS_SECRET_ACCESS_KEY, or one with .* Next: "):
        s3_client({"AWS_S3_ENDPOINT": ENDPOINT, "AWS_ACCESS_KEY_ID": "a"})
    with pytest.raises(ValueError, match="has no AWS_S3_BUCKET, or one with .* Next: "):
        transfer.own_bucket()


@pytest.mark.parametrize("name", ["AWS_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
@pytest.mark.parametrize("form", ["{}\n", " {}", "{} {}"])
def test_a_line_break_or_a_blank_in_a_value_is_named_and_the_value_is_not_shown(name: str, form: str) -> None:
    known = connection(ENDPOINT)
    with pytest.raises(ValueError, match=f"has no {name}, or one with a blank or a line break") as caught:
        s3_client(known | {name: form.format(*[known[name]] * 2)})
    assert known[name] not in str(caught.value)


class DeniedOn(BaseHTTPRequestHandler):
    """An S3 server that has the songs, and refuses to write to one bucket."""

    def do_GET(self) -> None:
        self.answer(200, b"songs")

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        code = "AccessDenied" if "data-cache" in self.path else ""
        self.answer(
            403 if code else 200, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode() * bool(code)
        )

    def do_DELETE(self) -> None:
        self.answer(204, b"")

    def answer(self, status: int, body: bytes) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        self.send_header("ETag", '"x"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    def log_message(self, *arguments: object) -> None:
        """Keep the tests' output clean."""


def test_a_write_that_is_denied_in_the_cache_is_not_blamed_on_the_songs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), DeniedOn)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    for name, value in connection(f"http://127.0.0.1:{server.server_port}").items():
        monkeypatch.setenv(name, value)
    (tmp_path / "songs").write_bytes(b"other songs")
    with pytest.raises(PermissionError, match="do PutObject for s3://data-cache/files/md5/.* Next: allow it"):
        data_cache.load_to_cache(str(tmp_path / "songs"))
    with pytest.raises(PermissionError, match=r"do PutObject for s3://data-cache \(AccessDenied\)"):
        data_versions.check_write_access("http://127.0.0.1:9/user1/jukebox.git", ["data", "data-cache"])
    server.shutdown()
    server.server_close()


def test_a_client_of_the_platform_waits_long_enough_and_not_for_ever() -> None:
    config = s3_client(connection(ENDPOINT)).meta.config
    assert (config.connect_timeout, config.read_timeout) == (10, 60)
    assert config.retries == {"mode": "standard", "total_max_attempts": 3} and config.s3["addressing_style"] == "path"
