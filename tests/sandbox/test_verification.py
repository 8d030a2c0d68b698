"""The bytes and the commit that lineage names, read again."""

import hashlib
import subprocess
from pathlib import Path

import pytest
from recorded import register
from registry_server import RegistryServer

from jukebox_helpers.pipelines.lineage import verify
from jukebox_helpers.steps import s3


@pytest.fixture
def registry():
    server = RegistryServer()
    yield server.open()
    server.close()


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True)


def has_revision(repository, revision):
    return git(repository, "cat-file", "-e", revision + "^{commit}").returncode == 0


@pytest.fixture(scope="module")
def store(sandbox):
    """Songs, rankings and a model in S3, and the metadata that names them."""
    client = s3.s3_client(sandbox.secret("aws-connection-models"))
    md5, sha256 = hashlib.md5(b"songs").hexdigest(), hashlib.sha256(b"rankings").hexdigest()
    client.put_object(Bucket="models", Key=f"lineage-test/files/md5/{md5[:2]}/{md5[2:]}", Body=b"songs")
    client.put_object(Bucket="models", Key=f"lineage-test/rankings/{sha256}.parquet", Body=b"rankings")
    return client, {
        "DVC training data hash": md5,
        "DVC remotes": '{"s3-version": "s3://models/lineage-test"}',
        "rankings sha256": sha256,
        "model sha256": hashlib.sha256(b"onnx").hexdigest(),
    }


def test_verification_reads_every_byte_that_lineage_names(registry, store, tmp_path: Path):
    client, metadata = store
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "first")
    revision = git(tmp_path, "rev-parse", "HEAD").stdout.strip()
    lineage = register(registry, **metadata, **{"git repository": str(tmp_path), "git revision": revision})
    lineage["file"]["uri"] = "s3://models/lineage-test/model.onnx"

    assert {check["what"]: check["found"] for check in verify(lineage, client, has_revision)} == {
        "training data": metadata["DVC training data hash"],
        "rankings": metadata["rankings sha256"],
        "model file": "no object: NoSuchKey",
        "code": revision,
    }
    client.put_object(Bucket="models", Key="lineage-test/model.onnx", Body=b"onnx")
    assert [check["same"] for check in verify(lineage, client, has_revision)] == [True] * 4
    client.put_object(Bucket="models", Key="lineage-test/model.onnx", Body=b"0nnx")
    lineage["code"]["revision"] = "f" * 40
    assert {check["what"]: check["same"] for check in verify(lineage, client, has_revision)} == {
        "training data": True,
        "rankings": True,
        "model file": False,
        "code": False,
    }


def test_verification_says_what_was_never_recorded(registry, store):
    client, metadata = store
    lineage = register(registry, without=["DVC", "git"], **{"rankings sha256": metadata["rankings sha256"]})
    lineage["rankings"]["object"] = "s3://no-such-bucket/rankings"
    found = {check["what"]: (check["found"], check["same"]) for check in verify(lineage, client, has_revision)}
    assert found["training data"] == ("not recorded", False)
    assert found["code"] == ("not recorded", False)
    assert found["rankings"] == ("no object: NoSuchBucket", False)
