from pathlib import Path

import pytest
from botocore.stub import Stubber
from loopback import make_certificate, page_server

from jukebox_helpers.settings import KIT
from jukebox_helpers.workshop.buckets import CONFIG
from jukebox_sandbox import buckets
from jukebox_sandbox import s3 as sandbox_s3
from jukebox_sandbox.errors import SandboxError

HEAD = "chart_path: charts/minio\nbuckets:\n"


def test_the_shipped_file_lists_the_buckets_the_workshop_starts_with() -> None:
    assert buckets.read_config(KIT / "mlops-gitops" / CONFIG) == ["pipeline", "models"]


def test_an_empty_list_is_a_legal_file() -> None:
    assert buckets.parse_config("chart_path: charts/minio\nbuckets: []\n", "f") == []


@pytest.mark.parametrize(
    "name", ["abc", "a" * 63, "data-cache", "data.v2", "0data9", "1.2.3", "256.1.1.1x", '"123"', "xn-data"]
)
def test_legal_names_are_read(name: str) -> None:
    assert buckets.parse_config(f"{HEAD}  - name: {name}\n", "f") == [name.strip('"')]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("ab", "3 to 63 characters"),
        ("a" * 64, "3 to 63 characters"),
        ("Data", "lowercase letters"),
        ("data_cache", "lowercase letters"),
        ("dåta", "lowercase letters"),
        ("data٣", "lowercase letters"),
        ("-data", "begins and ends"),
        ("data.", "begins and ends"),
        ("da..ta", "two dots"),
        ("192.168.5.4", "IP address"),
        ("999.168.5.04", "IP address"),
        ("xn--data", "begin with 'xn--'"),
        ("sthree-data", "begin with 'sthree-'"),
        ("data-s3alias", "end with '-s3alias'"),
        ("data--ol-s3", "end with '--ol-s3'"),
        ("data--x-s3", "end with '--x-s3'"),
        ("data.mrap", "end with '.mrap'"),
    ],
)
def test_an_illegal_name_is_refused_with_its_line_and_the_rule(name: str, rule: str) -> None:
    with pytest.raises(SandboxError) as caught:
        buckets.parse_config(f"{HEAD}  - name: models\n  - name: {name}\n", "config.yaml")
    assert caught.value.what.startswith(f"config.yaml:4: illegal bucket name {name!r}: ")
    assert rule in caught.value.what


@pytest.mark.parametrize(
    ("text", "line", "rule"),
    [
        ("", 1, "must be a mapping"),
        ("- name: data\n", 1, "must be a mapping"),
        ("buckets: []\n", 1, "has no 'chart_path'"),
        ("chart_path: charts/minio\n", 1, "has no 'buckets'"),
        ("chart_path: charts/mino\nbuckets: []\n", 1, "chart_path must be charts/minio"),
        (f"{HEAD}", 2, "must be a list"),
        (f"{HEAD}  data\n", 3, "must be a list"),
        (f"{HEAD}  - data\n", 3, "must be a mapping"),
        (f"{HEAD}  - {{}}\n", 3, "has no 'name'"),
        (f"{HEAD}  - name: data\n    size: 3\n", 4, "unknown key 'size'"),
        (f"{HEAD}  - name: data\n    name: data\n", 4, "is here twice"),
        (f"{HEAD}  - name: data\n  - name: logs\n  - name: data\n", 5, "twice, first in line 3"),
        (f"{HEAD}  - name: 123\n", 3, "must be text"),
        (f"{HEAD}  - name:\n", 3, "must be text"),
        (f"{HEAD}  - name: [a]\n", 3, "must be text"),
        (f"{HEAD}buckets: []\n", 3, "is here twice"),
        (f"{HEAD}color: red\n", 3, "unknown key 'color'"),
        (f"{HEAD}\t- name: data\n", 3, "not YAML"),
        (f"{HEAD}  - name: 'data\n", 4, "not YAML"),
        (f"{HEAD}  - name: data\n---\n", 4, "not YAML"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line_and_the_rule(
    tmp_path: Path, text: str, line: int, rule: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(SandboxError) as caught:
        buckets.read_config(file)
    assert f"{file}:{line}: " in caught.value.what
    assert rule in caught.value.what


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="There is no file"):
        buckets.read_config(tmp_path / "nothing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SandboxError, match="UTF-8"):
        buckets.read_config(tmp_path / "binary.yaml")


def test_an_unreachable_server_is_named() -> None:
    connection = {
        "AWS_S3_ENDPOINT": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    with pytest.raises(SandboxError, match=r"http://127.0.0.1:9 cannot be reached"):
        buckets.apply(["data"], sandbox_s3.client(connection))


@pytest.mark.parametrize("status", [200, 302, 403, 503])
def test_a_page_is_no_s3_server(status: int) -> None:
    with page_server(status) as address:
        connection = {"AWS_S3_ENDPOINT": address, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        with pytest.raises(SandboxError, match=rf"{address} answers with a page.*\nNext: Check AWS_S3_ENDPOINT"):
            buckets.apply(["data"], sandbox_s3.client(connection))


def test_a_certificate_needs_its_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with page_server(certificate=make_certificate(tmp_path)) as address:
        connection = {"AWS_S3_ENDPOINT": address, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        with pytest.raises(SandboxError, match=r"certificate of .* is not trusted.*\nNext: .*AWS_CA_BUNDLE"):
            buckets.apply(["data"], sandbox_s3.client(connection))
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        with pytest.raises(SandboxError, match="answers with a page"):
            buckets.apply(["data"], sandbox_s3.client(connection))


def test_an_upload_that_the_server_refuses_says_what_the_server_said(tmp_path: Path) -> None:
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    client = sandbox_s3.client({"AWS_S3_ENDPOINT": "http://127.0.0.1:1", **dict.fromkeys(keys, "key")})
    file = tmp_path / "file"
    file.touch()
    with Stubber(client) as server, pytest.raises(SandboxError) as caught, sandbox_s3.explained(client):
        server.add_client_error("put_object", "InternalError", "the volume is full")
        client.upload_file(str(file), "pipeline", "key")
    assert caught.value.what == (
        "The S3 server http://127.0.0.1:1 answers: "
        "An error occurred (InternalError) when calling the PutObject operation: the volume is full"
    )
    assert "disk is full" in caught.value.next_action
