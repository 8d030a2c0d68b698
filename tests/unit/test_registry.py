"""The registry adapter on the sandbox's own registry: what is kept, found and refused."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from registry_server import TOKEN, RegistryServer

from jukebox_helpers.pipelines.lineage import trace
from jukebox_helpers.steps.registry import open_registry

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
def registry():
    server = RegistryServer()
    yield server.open()
    server.close()


@pytest.fixture
def name():
    return f"model-{uuid.uuid4().hex[:8]}"


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
    assert [record["production"] for record in registry.versions(name)] == [False, True, False]
    assert name in registry.models()


def test_what_is_unknown_is_none(registry, name):
    assert registry.find(name, "0123456789") is None
    assert registry.latest(name) is None
    assert registry.versions(name) == registry.versions('we\'re "odd"') == []
    register(registry, name)
    assert registry.find(name, "9876543210") is None


def test_an_archived_model_is_nobodys_answer_until_something_is_registered(registry, name):
    for version in ("0000", "1111"):
        register(registry, name, version)
    registry.archive(name)
    registry.archive("nobody")
    assert name not in registry.models()
    assert registry.versions(name) == [] and registry.latest(name) is None
    assert registry.find(name, "0000")["version"] == "0000"  # who names it finds it
    record = register(registry, name, "2222")
    assert name in registry.models() and registry.versions(name) == [record]
    # The version of an archived one is taken: it never changes.
    with pytest.raises(ValueError, match=f"{name} 0000 already exists"):
        register(registry, name, "0000", **{"model sha256": "b" * 64})


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
    found = registry.find(name, "0123456789")
    assert found == register(registry, name, production=False) and found["production"]
    assert found["metadata"] == METADATA
    assert type(found["metadata"]["metric.accuracy"]) is float


@pytest.mark.parametrize("first", ["like_a", "likexa"])
def test_an_underscore_is_no_wildcard(registry, name, first):
    """The server looks names up with LIKE; neither order of registration may give the other one's record."""
    names = [f"{name}{first}", f"{name}{'likexa' if first == 'like_a' else 'like_a'}"]
    register(registry, names[0], "v_1")
    assert registry.find(names[1], "v_1") is None and registry.versions(names[1]) == []
    register(registry, names[1], "vx1")
    for one, version, other in ((names[0], "v_1", "vx1"), (names[1], "vx1", "v_1")):
        assert registry.find(one, version)["name"] == one
        assert registry.find(one, other) is None
        register(registry, one, other)
        found = [(record["name"], record["version"]) for record in registry.versions(one)]
        assert found == [(one, version), (one, other)]
        assert [registry.find(one, each)["version"] for each in (version, other)] == [version, other]


def test_a_name_that_differs_in_case_only_is_refused_in_words(registry, name, monkeypatch):
    register(registry, name)
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert registry.find(name.upper(), "0123456789") is None
    with pytest.raises(FileExistsError, match=f"answered 409: .* {name.upper()} already exists.* Next: choose a name"):
        register(registry, name.upper())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model sha256": ""}, "no 'model sha256'"),
        ({"metric.f1": None}, "'metric.f1' .* is a NoneType"),
        ({"packages": {"pandas": "2"}}, "'packages' .* is a dict.* JSON text"),
        ({"metric.f1": float("nan")}, "'metric.f1' .* is nan"),
        ({"note": "x" * 5001}, "'note' .* is 5001 characters long"),
        ({"rows": 1_000_000_000}, "'rows' .* takes nine digits"),
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


def test_its_record_gives_the_whole_lineage(registry, name):
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


# Finding the registry


@pytest.mark.parametrize(
    ("prod_flag", "address"),
    [
        (False, "https://user1-registry-rest.apps.c.invalid "),
        (True, "https://user1-prod-registry-rest.apps.c.invalid "),
    ],
)
def test_the_cluster_s_registry_is_derived_from_domain_and_namespace(prod_flag, address):
    with pytest.raises(RuntimeError, match=f"at {address}cannot be reached"):
        open_registry("apps.c.invalid", "user1-toolings", prod_flag)


@pytest.mark.parametrize("prod_flag", [False, True])
@pytest.mark.parametrize("end", ["", "/"])
def test_the_sandbox_s_registry_is_at_its_base_url(registry, prod_flag, end):
    assert open_registry(registry.url + end, "user1-toolings", prod_flag, TOKEN).versions("nobody") == []


@pytest.mark.parametrize("arguments", [("", "user1-toolings"), ("apps.c", ""), ("ftp://localhost:1", "user1-x")])
def test_without_an_address_there_is_no_registry(arguments):
    with pytest.raises(ValueError, match=r"No model registry follows .* Next: "):
        open_registry(*arguments)
