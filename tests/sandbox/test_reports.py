"""What a step wrote is read as bytes from S3, wherever the version of Kubeflow Pipelines has put it."""

import hashlib

import pytest

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.reports import artifacts, digest
from jukebox_helpers.pipelines.runs import Run
from jukebox_helpers.steps.s3 import s3_client


@pytest.fixture(scope="module")
def client(sandbox):
    client = s3_client(sandbox.secret("aws-connection-pipeline"))
    for key, body in {
        "p/1/fetch/songs": b"2.2",  # KFP 2.2
        "p/2/fetch/0f8e/songs": b"later",
        "p/2/fetch/0f8e/rankings": b"other",
        "p/2/fetch-more/0f8e/songs": b"another step",
        "p/2/score/a/report": b"first",
        "p/2/score/b/report": b"second",
        "my/runs/p/3/fetch/0f8e/songs": b"under a root",
    }.items():
        client.put_object(Bucket="pipeline", Key=key, Body=body)
    return client


@pytest.mark.parametrize(
    ("run", "step", "name", "found"),
    [
        ("1", "fetch", "songs", [b"2.2"]),
        ("2", "fetch", "songs", [b"later"]),
        ("2", "score", "report", [b"first", b"second"]),
        ("2", "score", "songs", []),
        ("9", "fetch", "songs", []),
    ],
)
def test_each_task_s_artifact_is_found(sandbox, client, run, step, name, found):
    assert artifacts(sandbox, Run(run, "r", "p"), step, name) == found


def test_a_run_with_a_root_of_its_own(sandbox, client):
    run = Run("3", "r", "p", root="s3://pipeline/my/runs")
    assert artifacts(sandbox, run, "fetch", "songs") == [b"under a root"]


def test_a_digest_is_that_of_the_bytes(sandbox, client):
    assert digest(sandbox, Run("2", "r", "p"), "fetch", "songs", "md5") == hashlib.md5(b"later").hexdigest()
    with pytest.raises(JukeboxError, match=r"'r' has left no artifact 'songs' of its step 'gone'"):
        digest(sandbox, Run("2", "r", "p"), "gone", "songs", "md5")
