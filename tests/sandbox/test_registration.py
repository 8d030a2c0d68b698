import hashlib
import json
import os
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from registry_server import RegistryServer
from waiting import DEADLINE, eventually

from jukebox_helpers.pipelines.carry import carried
from jukebox_helpers.steps import s3
from jukebox_helpers.steps.registration import fetch_previous_version, register_model_version
from jukebox_helpers.steps.registry import Unavailable

VERSION = "0123456789"
PLACE = {"cluster_domain": "", "namespace": "user1-toolings", "prod_flag": False}
METRICS = {"log_loss": 3.0, "top1": 0.07}
FACTS = {
    "git revision": "0123456789" * 4,
    "DVC training data hash": "a" * 32,
    "songs rows": 14245,
    "run": "run-1",
    "parameters": '{"epochs": 20, "learning_rate": 0.003}',
    "preparation": '{"songs": 14245, "time cut": "2023-12-01"}',
    "DVC remotes": '{"s3-version": "s3://data-cache"}',
    "converged": True,
}


@pytest.fixture(scope="module")
def server():
    server = RegistryServer()
    yield server
    server.close()


@pytest.fixture
def registry(server, sandbox, monkeypatch):
    """The registry, and around it what a step has: its address, a token, and the connection of the bucket."""
    for key, value in sandbox.secret("aws-connection-models").items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(server.token_file))
    monkeypatch.setitem(PLACE, "cluster_domain", server.url)
    return server.open()


@pytest.fixture
def name():
    return f"model-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def onnx(tmp_path):
    """Makes a file of given bytes; to those who only carry it, it is a model."""

    def make(content=b"a model"):
        path = tmp_path / f"{hashlib.sha256(content).hexdigest()[:10]}.onnx"
        path.write_bytes(content)
        return str(path)

    return make


@pytest.fixture
def stored(sandbox, name):
    """The objects of this test's model by version."""
    client = s3.s3_client(sandbox.secret("aws-connection-models"))

    def read():
        found = client.list_objects_v2(Bucket="models", Prefix=f"{name}/").get("Contents", [])
        keys = [each["Key"] for each in found]
        return {key: client.get_object(Bucket="models", Key=key)["Body"].read() for key in keys}

    return read


def key(name, content=b"a model", version=VERSION):
    return f"{name}/{version}/{hashlib.sha256(content).hexdigest()[:10]}/model.onnx"


def register(path, name, version=VERSION, facts=FACTS, metrics=METRICS, **place):
    return register_model_version(path, name, version, facts, metrics, **(PLACE | place))


def previous(name, tmp_path, version=VERSION):
    """Which version a new one is measured against, and its bytes."""
    target = tmp_path / "previous.onnx"
    target.unlink(missing_ok=True)
    record = fetch_previous_version(name, version, **PLACE, target=str(target))
    return record and record["version"], target.read_bytes() if target.exists() else None


# Registering


def test_the_file_is_in_the_bucket_and_the_record_says_what_it_is(registry, name, onnx, stored):
    record = register(onnx(), name)
    assert record == registry.find(name, VERSION)
    assert record["uri"] == f"s3://models/{key(name)}"
    assert stored() == {key(name): b"a model"}
    assert record["metadata"]["model sha256"] == hashlib.sha256(b"a model").hexdigest()
    assert not record["production"]


def test_a_record_holds_the_facts_and_the_metrics(registry, name, onnx):
    metadata = register(onnx(), name)["metadata"]
    assert metadata.pop("model sha256")
    assert metadata == FACTS | {"metric.log_loss": 3.0, "metric.top1": 0.07}


def test_the_digest_is_that_of_the_file_whatever_the_facts_say(registry, name, onnx):
    record = register(onnx(), name, facts=FACTS | {"model sha256": "f" * 64})
    assert record["metadata"]["model sha256"] == hashlib.sha256(b"a model").hexdigest()


def test_another_model_under_the_same_version_overwrites_nothing(registry, name, onnx, stored):
    record = register(onnx(), name)
    with pytest.raises(ValueError, match=f"{name} {VERSION} already exists .* Next: commit"):
        register(onnx(b"another model"), name)
    assert stored() == {key(name): b"a model"}
    assert registry.versions(name) == [record]


def test_of_two_models_that_race_for_a_version_one_is_registered_with_its_own_file(
    server, registry, name, onnx, stored
):
    contents = [b"one model", b"another model"]
    with ThreadPoolExecutor(2) as threads:
        with server.proxy.holding("POST .*"):  # both upload, and wait for the registry
            attempts = [threads.submit(register, onnx(content), name) for content in contents]
            eventually(lambda: len(stored()) == 2 or any(attempt.done() for attempt in attempts))
        refused = [attempt.exception() for attempt in attempts if attempt.exception()]
    assert [type(error) for error in refused] == [ValueError]
    assert "already exists" in str(refused[0])
    [record] = registry.versions(name)
    [won] = [content for content in contents if record["uri"] == f"s3://models/{key(name, content)}"]
    assert record["metadata"]["model sha256"] == hashlib.sha256(won).hexdigest()
    assert stored() == {key(name, won): won}


def test_the_same_model_again_gives_the_record_that_is_there(registry, name, onnx, stored):
    first = register(onnx(), name)
    assert register(onnx(), name, facts=FACTS | {"run": "run-2"}) == first
    assert registry.versions(name) == [first]
    assert list(stored().values()) == [b"a model"]


def test_the_same_model_again_brings_a_lost_file_back(registry, sandbox, name, onnx, stored):
    register(onnx(), name)
    client = s3.s3_client(sandbox.secret("aws-connection-models"))
    client.delete_object(Bucket="models", Key=key(name))
    register(onnx(), name)
    assert list(stored().values()) == [b"a model"]


def test_a_file_that_is_not_the_registered_one_is_no_measure(registry, sandbox, name, onnx, tmp_path):
    register(onnx(), name, version="1111111111")
    assert previous(name, tmp_path) == ("1111111111", b"a model")
    client = s3.s3_client(sandbox.secret("aws-connection-models"))
    client.put_object(Bucket="models", Key=key(name, version="1111111111"), Body=b"garbage")
    with pytest.raises(ValueError, match=f"not the file that was registered as {name} 1111111111.*Next: restore"):
        previous(name, tmp_path)


def test_the_same_model_again_can_go_to_production(registry, name, onnx):
    register(onnx(), name)
    assert register(onnx(), name, prod_flag=True)["production"]
    assert registry.find(name, VERSION)["production"]


@pytest.mark.parametrize(
    ("facts", "metrics", "problem"),
    [
        ({"git repository": "http://user1:hunter2@git/jukebox.git"}, {}, "'git repository' .* password"),
        ({"packages": "2" * 5001}, {}, "'packages' .* characters long"),
        ({"packages": {"pandas": "2"}}, {}, "'packages' .* is a dict"),
        ({}, {"log_loss": float("nan")}, "'metric.log_loss' .* is nan"),
    ],
)
def test_what_a_registry_would_refuse_leaves_no_file(registry, name, onnx, stored, facts, metrics, problem):
    with pytest.raises(ValueError, match=f"{problem}.*Next: "):
        register(onnx(), name, facts=FACTS | facts, metrics=METRICS | metrics)
    assert stored() == {}
    assert name not in registry.models()


def test_what_a_registry_would_refuse_takes_no_registered_file_away(registry, name, onnx, stored):
    record = register(onnx(), name)
    with pytest.raises(ValueError, match="'note' .* characters long"):
        register(onnx(), name, facts=FACTS | {"note": "x" * 5001})
    assert stored() == {key(name): b"a model"} and registry.versions(name) == [record]


def test_a_failing_registry_leaves_no_record_and_the_next_attempt_completes(
    server, registry, name, onnx, stored, monkeypatch
):
    monkeypatch.setattr("time.sleep", lambda _: None)
    server.proxy.fail("POST .*/artifacts", 500, times=4)
    with pytest.raises(Unavailable, match="answered 500: told to fail. Next: look at the registry's log"):
        register(onnx(), name)
    assert registry.versions(name) == []
    assert list(stored().values()) == [b"a model"]  # the file comes first
    assert register(onnx(), name) == registry.find(name, VERSION)
    assert list(stored().values()) == [b"a model"]


def test_without_a_registry_nothing_is_uploaded(registry, name, onnx, stored):
    with pytest.raises(Unavailable, match="cannot be reached .* Next: "):
        register(onnx(), name, cluster_domain="http://127.0.0.1:1")
    assert stored() == {}


def test_a_bucket_that_refuses_the_file_leaves_no_record(registry, name, onnx, monkeypatch):
    monkeypatch.setenv("AWS_S3_BUCKET", "no-such-bucket")
    with pytest.raises(FileNotFoundError, match="no bucket s3://no-such-bucket .*Next: "):
        register(onnx(), name)
    assert name not in registry.models()


STEP = """
print(register_model_version(**arguments)["uri"])
name, place = arguments["name"], arguments["cluster_domain"]
print(fetch_previous_version(name, "another", place, "user1-x", False, target)["version"])
"""


def test_registering_and_fetching_travel_into_a_step(registry, name, onnx, tmp_path):
    def a_step():
        return register_model_version, fetch_previous_version

    arguments = {"onnx_path": onnx(), "name": name, "version": VERSION, "facts": FACTS, "metrics": METRICS, **PLACE}
    target = tmp_path / "previous.onnx"
    step = tmp_path / "step.py"
    step.write_text("\n".join([carried(a_step), f"{arguments = }", f"target = {str(target)!r}", STEP]))
    environment = {key: value for key, value in os.environ.items() if key.startswith(("AWS_", "KF_", "PATH"))}
    answer = subprocess.run(
        [sys.executable, "-I", str(step)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (answer.stdout, answer.stderr) == (f"s3://models/{key(name)}\n{VERSION}\n", "")
    assert target.read_bytes() == b"a model"
    assert json.loads(registry.latest(name)["metadata"]["parameters"])["epochs"] == 20


# The previous model


def test_the_first_version_has_no_previous_one(registry, name, onnx, tmp_path):
    assert previous(name, tmp_path) == (None, None)
    register(onnx(), name)
    assert previous(name, tmp_path) == (None, None)


def test_the_latest_is_the_previous_one_where_none_is_in_production(registry, name, onnx, tmp_path):
    register(onnx(b"one"), name, "first00000")
    register(onnx(b"two"), name, "second0000")
    assert previous(name, tmp_path) == ("second0000", b"two")


def test_a_version_that_does_not_know_its_data_is_no_measure(registry, name, onnx, tmp_path):
    register(onnx(b"one"), name, "first00000")
    unknown = {key: value for key, value in FACTS.items() if key != "DVC training data hash"}
    register(onnx(b"two"), name, "second0000", facts=unknown)
    register(onnx(b"three"), name, "third00000", facts=unknown, prod_flag=True)
    assert previous(name, tmp_path) == ("first00000", b"one")


def test_production_comes_before_the_latest(registry, name, onnx, tmp_path):
    register(onnx(b"one"), name, "first00000", prod_flag=True)
    register(onnx(b"two"), name, "second0000", prod_flag=True)
    register(onnx(b"three"), name, "third00000")
    assert previous(name, tmp_path) == ("second0000", b"two")


def test_a_version_that_is_made_again_is_not_measured_against_itself(registry, name, onnx, tmp_path):
    register(onnx(b"one"), name, "first00000", prod_flag=True)
    register(onnx(b"two"), name, "second0000")
    register(onnx(b"three"), name, "third00000", prod_flag=True)
    assert previous(name, tmp_path, "third00000") == ("first00000", b"one")
    assert previous(name, tmp_path, "second0000") == ("third00000", b"three")


def test_the_latest_made_again_is_measured_against_the_one_before(registry, name, onnx, tmp_path):
    register(onnx(b"one"), name, "first00000")
    register(onnx(b"two"), name, "second0000")
    assert previous(name, tmp_path, "second0000") == ("first00000", b"one")


def test_a_previous_model_without_its_file_is_said(registry, sandbox, name, onnx, tmp_path):
    register(onnx(), name, "first00000")
    client = s3.s3_client(sandbox.secret("aws-connection-models"))
    client.delete_object(Bucket="models", Key=key(name, version="first00000"))
    with pytest.raises(FileNotFoundError, match=f"no object s3://models/{key(name, version='first00000')}"):
        previous(name, tmp_path)
