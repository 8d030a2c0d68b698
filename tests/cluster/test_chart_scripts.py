"""The scripts inside the charts, run as their manifests say: a Kubernetes API that says no, real S3, real git."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from fake_secrets import TOKEN, FakeSecrets
from loopback import make_certificate

from jukebox_helpers.settings import KIT
from jukebox_helpers.steps import s3
from jukebox_helpers.steps.constants import CONNECTION_KEYS

CREDENTIALS, BUCKETS = (KIT / "charts" / "minio" / "files" / name for name in ("credentials.py", "buckets.py"))
CLONE, TRAIN = (KIT / "charts" / "ct-pipeline" / "files" / name for name in ("clone.sh", "train.sh"))

ROLE = {
    ("create", "user1-toolings/*"),
    ("get", "minio-root"),
    ("patch", "aws-connection-data"),
    ("patch", "aws-connection-models"),
}
"""What the Role of charts/minio allows for these two buckets."""


@pytest.fixture
def account(tmp_path):
    """The files of a service account."""
    certificate = make_certificate(tmp_path)
    (tmp_path / "ca.crt").write_bytes((tmp_path / "ca.pem").read_bytes())
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "namespace").write_text("user1-toolings")
    return tmp_path, certificate


@pytest.fixture
def fake(account):
    fake = FakeSecrets(account[1], ROLE)
    yield fake
    fake.shutdown()
    fake.server_close()


def run(script, **environment):
    """Run a script as the Job does; -S: with nothing but Python's own library."""
    command = [sys.executable, "-S", script]
    return subprocess.run(command, env={"PATH": os.defpath, **environment}, capture_output=True, text=True)


@pytest.fixture
def make(account, fake):
    def make(**changed):
        settings = {
            "SERVICE_ACCOUNT": str(account[0]),
            "KUBERNETES_API": f"https://localhost:{fake.server_port}",
            "GENERATE": '{"minio-root": {"user": 8, "password": 20}}',
            "BUCKETS": '["data", "models"]',
            "ENDPOINT": "http://minio:9000",
        }
        return run(CREDENTIALS, **{**settings, **changed})

    return make


def test_credentials_are_made_once_and_each_bucket_gets_its_connection(fake, make):
    first = make()
    assert first.returncode == 0, first.stderr
    assert set(fake.secrets) == {"minio-root", "aws-connection-data", "aws-connection-models"}
    root, connection = fake.values("minio-root"), fake.values("aws-connection-data")
    assert len(root["user"]) == 16 and len(root["password"]) == 40
    assert set(connection) == set(CONNECTION_KEYS)
    assert connection["AWS_SECRET_ACCESS_KEY"] == root["password"] and connection["AWS_S3_BUCKET"] == "data"
    metadata = fake.secrets["aws-connection-data"]["metadata"]
    assert metadata["labels"] == {"opendatahub.io/dashboard": "true", "opendatahub.io/managed": "true"}
    assert metadata["annotations"]["opendatahub.io/connection-type"] == "s3"
    assert metadata["annotations"]["openshift.io/display-name"] == "aws-connection-data"
    assert root["password"] not in first.stdout + first.stderr

    again = make(ENDPOINT="http://elsewhere:9000")
    assert again.returncode == 0 and fake.values("minio-root") == root
    assert fake.values("aws-connection-models")["AWS_S3_ENDPOINT"] == "http://elsewhere:9000"
    assert fake.values("aws-connection-models")["AWS_SECRET_ACCESS_KEY"] == root["password"]


def test_another_password_for_another_cluster(fake, make):
    make()
    first = fake.values("minio-root")
    fake.secrets.clear()
    make()
    assert fake.values("minio-root") != first


def test_the_webhooks_secret_needs_no_bucket(fake, make):
    done = make(GENERATE='{"ct-pipeline-webhook": {"secret": 20}}', BUCKETS="[]")
    assert done.returncode == 0 and list(fake.secrets) == ["ct-pipeline-webhook"]
    assert {verb for verb, _ in fake.requests} == {"create"}
    assert (KIT / "charts" / "ct-pipeline" / "files" / "credentials.py").resolve() == CREDENTIALS


@pytest.mark.parametrize("why", ["forbidden", "another token", "another authority", "no server"])
def test_credentials_that_cannot_be_made_fail_the_job(account, fake, make, tmp_path, why):
    if why == "forbidden":
        fake.allowed = {("create", "user1-toolings/*")}
    if why == "another token":
        (account[0] / "token").write_text("x")
    if why == "another authority":
        make_certificate(tmp_path)
        shutil.copy(tmp_path / "ca.pem", account[0] / "ca.crt")
    done = make(**({"KUBERNETES_API": "https://localhost:1"} if why == "no server" else {}))
    assert done.returncode == 1 and "Next: look at the Role" in done.stderr
    said = {"forbidden": "403 to GET secrets minio-root in user1-toolings", "another token": "401"}.get(
        why, "cannot be asked"
    )
    assert said in done.stderr and "Traceback" not in done.stderr


def test_buckets_are_made_in_a_real_s3_server(sandbox):
    connection = sandbox.secret("sandbox") | sandbox.secret("aws-connection-models")
    names = ["made-by-the-chart", "made.by-the.chart"]
    settings = {
        "ENDPOINT": connection["AWS_S3_ENDPOINT"],
        "MINIO_USER": connection["AWS_ACCESS_KEY_ID"],
        "MINIO_PASSWORD": connection["AWS_SECRET_ACCESS_KEY"],
        "BUCKETS": json.dumps(names),
    }
    first, again = run(BUCKETS, **settings), run(BUCKETS, **settings)
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert first.stdout.count("is made") == again.stdout.count("was there") == 2
    client = s3.s3_client(connection)
    assert set(names) <= set(s3.list_buckets(client))
    for name in names:
        client.delete_bucket(Bucket=name)
    wrong = run(BUCKETS, **{**settings, "MINIO_PASSWORD": "x" * 40})
    assert wrong.returncode == 1 and "answers 403" in wrong.stderr
    nobody = run(BUCKETS, **{**settings, "ENDPOINT": "http://127.0.0.1:1"})
    assert nobody.returncode == 1 and "cannot be reached" in nobody.stderr


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("script", [CLONE, TRAIN], ids=lambda script: script.name)
def test_scripts_are_shell(shell, script):
    assert subprocess.run([shell, "-n", script], capture_output=True, text=True).stderr == ""
