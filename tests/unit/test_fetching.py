"""A source of data is somebody else's: what it may take is bounded, and every fault of it is said in one sentence."""

import shutil
import time

import pytest
from loopback import bad_server

from jukebox_helpers.pipelines.read import check_addresses
from jukebox_helpers.steps import transfer
from jukebox_helpers.steps.messages import without_secrets

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


def refusal(address, folder):
    """The sentence with which an address is refused; what is behind its "?" is a secret."""
    with pytest.raises((ConnectionError, ValueError)) as caught:
        transfer.fetch(f"{address}?signature=hidden", str(folder / "songs"), "the parameter dataset_url")
    said = str(caught.value)
    assert "hidden" not in said and said.isprintable() and len(said) < 500, said
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "Next: " in said and said.endswith(".")
    return said


def for_ever(*parts, pause=0.0):
    """The parts, then the last one again and again."""
    yield from parts
    while True:
        time.sleep(pause)
        yield parts[-1]


@pytest.fixture
def small(monkeypatch):
    """Bounds that a test reaches at once."""
    bounds = {"bytes": 200_000, "spare": 1_000, "seconds": 1, "quiet": 0.2, "rate": 10_000}
    for name, value in bounds.items():
        monkeypatch.setitem(transfer.FETCH_BOUNDS, name, value)


def test_a_body_that_never_ends_is_left(small, tmp_path):
    with bad_server(for_ever(OK + b"\r\n", b"x" * 50_000)) as address:
        assert "bytes or more; 200,000 are allowed, or fit on the disk" in refusal(f"{address}/songs", tmp_path)
    assert (tmp_path / "songs").stat().st_size <= 200_000


def test_what_is_too_large_for_the_bound_or_the_disk_is_refused_before_it_is_written(small, tmp_path, monkeypatch):
    with bad_server([OK + b"Content-Length: 200001\r\n\r\n", b"x"]) as address:
        assert "it has 200,001 bytes or more" in refusal(f"{address}/songs", tmp_path)
        assert (tmp_path / "songs").stat().st_size == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10_000, 0, 6_000))
    with bad_server([OK + b"Content-Length: 5001\r\n\r\n", b"x"]) as address:
        assert "it has 5,001 bytes or more; 5,000 are allowed" in refusal(f"{address}/songs", tmp_path)


def test_a_body_that_comes_byte_by_byte_is_left(small, tmp_path):
    with bad_server(for_ever(OK + b"\r\n", b"x", pause=0.01)) as address:
        assert "it is too slow: " in refusal(f"{address}/songs", tmp_path)


def test_headers_that_never_end_are_left(small, tmp_path):
    with bad_server(for_ever(OK, b"X: x\r", pause=0.05)) as address:
        assert "it takes longer than 1 s" in refusal(f"{address}/songs", tmp_path)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (OK + b"Content-Length: many\r\n\r\n", ""),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", "the answer breaks off, or is not HTTP: 'IncompleteRead"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nno length\r\n", "IncompleteRead"),
        (b"HTTP/1.1 \x1b]0;title\x07\r\n\r\n", r"the answer breaks off, or is not HTTP: 'HTTP/1.1 \x1b]0;title"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 70_000 + b"\r\n\r\n", "header line"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP Error 403; a signed address expires"),
        (b"HTTP/1.1 500 \x1b[2Jhidden\r\n\r\n", "HTTP Error 500."),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/x?signature=hidden\r\n\r\n",
            "redirects to an address that",
        ),
        (b"HTTP/1.1 302 Found\r\nLocation: http://localhost:80@192.0.2.1/\r\n\r\n", "redirects to an address that"),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd?hidden\r\n\r\n", "HTTP Error 302."),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[nonsense?hidden\r\n\r\n", "not a valid address"),
        (b"HTTP/1.1 302 Found\r\nLocation: /songs?hidden\r\n\r\n", "HTTP Error 302."),
        (b"HTTP/1.1 302 Found\r\n\r\n", "HTTP Error 302."),
    ],
)
def test_nonsense_of_a_server_is_said_in_one_sentence(tmp_path, answer, said):
    with bad_server(answer) as address:
        if said:
            assert said in refusal(f"{address}/songs", tmp_path)
            assert f"The source {address}/songs cannot be read" in refusal(f"{address}/songs", tmp_path)
        else:
            assert transfer.fetch(f"{address}/songs", str(tmp_path / "songs")) == 0


@pytest.mark.parametrize(
    "address",
    [
        "https://[::1",
        "https://",
        "https:///songs",
        "https://exa mple.invalid/songs",
        "https://localhost/songs\nNext: run this",
        "http://localhost:99999/songs",
        "http://localhost:port/songs",
        f"https://{'a' * 70}.invalid/songs",
        "https://localhost/\x1b[2J",
        "localhost/songs",
        "",
        "s3://",
        "s3://bucket",
        "http://localhost.example.com/songs",
    ],
)
def test_an_address_that_is_none_is_said_in_one_sentence(tmp_path, address):
    assert "source" in refusal(address, tmp_path).lower() or "names no object" in refusal(address, tmp_path)


ADDRESSES = {
    "https://host/songs?X-Amz-Signature=hunter2": "https://host/songs",
    "https://host/songs#hunter2": "https://host/songs",
    "https://user:hunter2@host/songs": "https://host/songs",
    "https://hunter2@host:8443/songs": "https://host:8443/songs",
    "user:hunter2@host/songs": "host/songs",
    "user:hun/te@r2@host/songs": "host/songs",
    "https://user:hun/ter2@host/songs": "https://host/songs",
    "https://user:hun?ter2#@host/songs": "https://host/songs",
    "https://user:hun\nter2@host/songs": "https://host/songs",
}
"""Addresses with a secret, and what may be shown of them."""


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_shown_without_its_secrets(address):
    assert without_secrets(address) == ADDRESSES[address]


@pytest.mark.parametrize(
    "address",
    [
        "", "sample", "s3://bucket/a@b.parquet", "https://host:443/a@b", "https://[::1]:80/x", "/tmp/a@b.parquet",
        "rankings/0a.parquet", "http://127.0.0.1:9/2024-01-01T10:00@x",
    ],
)  # fmt: skip
def test_an_address_without_secrets_is_shown_as_it_is(address):
    assert without_secrets(address) == address
    check_addresses({"dataset_url": address})


@pytest.mark.parametrize("address", [one for one in ADDRESSES if "@" in one])
def test_an_address_with_a_password_is_refused_with_and_without_a_scheme(tmp_path, address):
    for refuse in (lambda: check_addresses({"dataset_url": address}), lambda: transfer.fetch(address, str(tmp_path))):
        with pytest.raises(Exception, match="user name or a password") as caught:
            refuse()
        assert not any(part in str(caught.value) for part in ("hun", "ter2", "r2@"))
