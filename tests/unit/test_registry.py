"""One set of tests for both registry adapters, then what is particular to each."""

import json
import sqlite3
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from fake_model_registry import FakeModelRegistry

from jukebox_helpers.pipelines.lineage import trace
from jukebox_helpers.steps.registry import open_registry
from jukebox_helpers.steps.registry_kubeflow import KubeflowRegistry
from jukebox_helpers.steps.registry_mlflow import MlflowRegistry, mlflow_client

METADATA = {
    "model sha256": "a" * 64,
    "git revision": "12345e6789" * 4,
    "parameters": '{"C": 0.5}',
    "metric.accuracy": 1.0,
    "metric.top five": 0.25,
    "rankings rows": 1_130_000,
    "converged": True,
    "note": "Größe µ",
}


EXPECTED_LINEAGE = json.dumps(
    {
        "model": "NAME",
        "version": "0123456789",
        "production": False,
        "file": {"uri": "s3://models/NAME/0123456789/model.onnx", "sha256": "a" * 64},
        "code": {"repository": None, "revision": "12345e6789" * 4},
        "data": {"file": None, "md5": None, "remotes": None, "rows": None, "object": None},
        "rankings": {"sha256": None, "rows": 1_130_000, "source": None, "object": None},
        "preparation": None,
        "parameters": {"C": 0.5},
        "metrics": {"accuracy": 1.0, "top five": 0.25},
        "packages": {"numpy": "2.4.6"},
        "run": {"python": "3.12.9", "pipeline run": "run-1", "kit version": None},
        "other": {"converged": True, "note": "Größe µ"},
        "missing": {
            "code.repository": "not recorded",
            "data.file": "not recorded",
            "data.md5": "not versioned: nobody can say which bytes",
            "data.remotes": "not recorded",
            "data.rows": "not recorded",
            "preparation": "not recorded",
            "rankings.sha256": "not recorded",
            "rankings.source": "not recorded",
            "run.kit version": "not recorded",
        },
    },
    sort_keys=True,
)


def uri(name, version):
    return f"s3://models/{name}/{version}/model.onnx"


def register(registry, name, version="0123456789", production=False, **changes):
    return registry.register(name, version, uri(name, version), METADATA | changes, production)


@pytest.fixture(scope="module")
def server():
    fake = FakeModelRegistry()
    yield fake
    fake.close()


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return tmp_path_factory.mktemp("mlflow") / "registry.db"


@pytest.fixture(scope="module", params=["mlflow", "kubeflow"])
def registry(request):
    if request.param == "mlflow":
        return MlflowRegistry(f"sqlite:///{request.getfixturevalue('database')}")
    return KubeflowRegistry(request.getfixturevalue("server").url)


@pytest.fixture
def name():
    return f"model-{uuid.uuid4().hex[:8]}"


# Both adapters


def test_a_version_reads_back_as_it_was_registered(registry, name):
    before = datetime.now(UTC) - timedelta(seconds=1)
    record = register(registry, name)
    assert record == registry.find(name, "0123456789") == registry.latest(name)
    assert before.replace(microsecond=0) <= datetime.fromisoformat(record.pop("created_at")) <= datetime.now(UTC)
    assert record == {
        "name": name,
        "version": "0123456789",
        "uri": f"s3://models/{name}/0123456789/model.onnx",
        "metadata": METADATA,
        "production": False,
    }
    assert {key: type(value) for key, value in record["metadata"].items()} == {
        key: type(value) for key, value in METADATA.items()
    }


def test_versions_are_listed_in_the_order_of_registration(registry, name):
    for version in ("ffff", "0000", "aaaa"):
        register(registry, name, version, production=version == "0000")
    assert [record["version"] for record in registry.versions(name)] == ["ffff", "0000", "aaaa"]
    assert registry.latest(name)["version"] == "aaaa"
    assert registry.production(name)["version"] == "0000"
    assert name in registry.models()


def test_what_is_unknown_is_none(registry, name):
    assert registry.find(name, "0123456789") is None
    assert registry.latest(name) is registry.production(name) is None
    assert registry.versions(name) == registry.versions('we\'re "odd"') == []
    register(registry, name)
    assert registry.find(name, "9876543210") is None
    assert registry.production(name) is None


def test_the_same_model_again_gives_the_existing_record(registry, name):
    first = register(registry, name, run="run 1")
    assert register(registry, name, run="run 2") == first
    assert registry.versions(name) == [first]


def test_another_model_under_the_same_version_is_refused(registry, name):
    first = register(registry, name)
    with pytest.raises(ValueError, match=f"{name} 0123456789 already exists .* is {'b' * 64}.* Next: commit"):
        register(registry, name, **{"model sha256": "b" * 64})
    assert registry.versions(name) == [first]


def test_a_version_can_be_promoted_and_stays_promoted(registry, name):
    register(registry, name)
    assert register(registry, name, production=True)["production"]
    assert registry.production(name) == register(registry, name, production=False)
    assert registry.production(name)["metadata"] == METADATA
    assert type(registry.production(name)["metadata"]["metric.accuracy"]) is float


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model sha256": ""}, "no 'model sha256'"),
        ({"metric.f1": None}, "'metric.f1' .* is a NoneType"),
        ({"packages": {"pandas": "2"}}, "'packages' .* is a dict.* JSON text"),
        ({"metric.f1": float("nan")}, "'metric.f1' .* is nan"),
        ({"note": "x" * 5001}, "'note' .* is 5001 characters long"),
        ({"prod": True}, "'prod' .* is reserved"),
        ({"a:b": 1}, "'a:b' .* has a name that a registry refuses"),
        ({"git repository": "http://user1:hunter2@git/user1/jukebox.git"}, "'git repository' .* password"),
    ],
)
def test_metadata_that_cannot_be_kept_is_refused_by_its_key(registry, name, changes, problem):
    with pytest.raises(ValueError, match=problem) as error:
        register(registry, name, **changes)
    assert "Next: " in str(error.value)
    assert "hunter2" not in str(error.value)
    assert name not in registry.models()


@pytest.mark.parametrize("arguments", [("a/b", "1", "s3://m/k"), ("m", "", "s3://m/k"), ("m", "1", "/tmp/model.onnx")])
def test_a_name_version_or_address_of_another_shape_is_refused(registry, arguments):
    with pytest.raises(ValueError, match="Next: "):
        registry.register(*arguments, METADATA)


def test_a_version_without_metadata_is_refused(registry, name):
    with pytest.raises(ValueError, match="no 'model sha256'.* Next: add"):
        registry.register(name, "1", uri(name, "1"), {})
    assert name not in registry.models()


def test_both_adapters_give_the_same_lineage(registry, name):
    register(registry, name, python="3.12.9", run="run-1", packages='{"numpy": "2.4.6"}')
    lineage = trace(registry, name)
    del lineage["registered at"]
    assert json.dumps(lineage, sort_keys=True).replace(name, "NAME") == EXPECTED_LINEAGE


def test_racing_registrations_make_one_version_each(registry, name):
    versions = ["one", "two", "one", "two", "one", "two"]
    with ThreadPoolExecutor(6) as threads:
        records = list(threads.map(lambda version: register(registry, name, version), versions))
    assert [record["version"] for record in records] == versions
    assert sorted(record["version"] for record in registry.versions(name)) == ["one", "two"]


# MLflow


@pytest.fixture
def client(database):
    """MLflow's own client of the same database."""
    return mlflow_client(f"sqlite:///{database}")


def test_mlflow_keeps_no_version_without_its_metadata(database, client, name):
    registry = MlflowRegistry(f"sqlite:///{database}")
    with sqlite3.connect(database) as connection:
        connection.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON model_version_tags WHEN NEW.key = 'parameters' "
            "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    try:
        with pytest.raises(RuntimeError, match=f"MLflow did not register {name} .* Next: see that the disk"):
            register(registry, name)
    finally:
        with sqlite3.connect(database) as connection:
            connection.execute("DROP TRIGGER broken")
    assert registry.versions(name) == []
    assert register(registry, name) == registry.latest(name)


def test_what_mlflow_has_of_others_or_has_deleted_is_not_ours(database, client, name):
    registry = MlflowRegistry(f"sqlite:///{database}")
    client.create_registered_model(name)
    client.create_model_version(name, "s3://elsewhere/model", tags={"of": "others"})
    assert (registry.versions(name), registry.latest(name)) == ([], None)
    register(registry, name, "first")
    second = register(registry, name, "second")
    deleted = next(v for v in client.search_model_versions(f"name='{name}'") if v.tags.get("version") == "first")
    client.delete_model_version(name, deleted.version)
    assert registry.versions(name) == [second]
    assert register(registry, name, "first") == registry.latest(name)


def test_mlflow_knows_what_was_registered(database, client, name):
    register(MlflowRegistry(f"sqlite:///{database}"), name, production=True)
    [found] = client.search_model_versions(f"name='{name}'")
    assert (found.source, found.tags["version"], found.tags["prod"]) == (uri(name, "0123456789"), "0123456789", "true")
    assert {key: json.loads(found.tags[key]) for key in METADATA} == METADATA


def test_mlflow_needs_a_file_in_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing does not exist. Next: run ./jukebox up"):
        MlflowRegistry(f"sqlite:///{tmp_path}/missing/registry.db")
    with pytest.raises(ValueError, match="Next: set it to sqlite:///"):
        MlflowRegistry("http://localhost:5000")


# Finding the registry


@pytest.mark.parametrize(
    ("prod_flag", "address"),
    [
        (False, "https://user1-registry-rest.apps.c.invalid "),
        (True, "https://user1-prod-registry-rest.apps.c.invalid "),
    ],
)
def test_the_cluster_s_registry_is_derived_from_domain_and_namespace(monkeypatch, prod_flag, address):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(RuntimeError, match=f"at {address}cannot be reached"):
        open_registry("apps.c.invalid", "user1-toolings", prod_flag)


@pytest.mark.parametrize("arguments", [("", "user1-toolings"), ("apps.c", ""), ("http://localhost:1", "user1-x")])
def test_without_an_address_there_is_no_registry(monkeypatch, arguments):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ValueError, match=r"No model registry follows .* Next: "):
        open_registry(*arguments)
