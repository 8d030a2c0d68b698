"""The Kubeflow adapter against a server that says no: tokens, TLS, login pages, other versions, half answers."""

import logging
import uuid

import model_registry
import pytest
from fake_model_registry import FakeModelRegistry
from loopback import make_certificate

from jukebox_helpers.pipelines.lineage import trace
from jukebox_helpers.steps.registry_kubeflow import KubeflowRegistry

METADATA = {"model sha256": "a" * 64, "metric.accuracy": 1.0, "rankings rows": 1_130_000, "converged": True}


def uri(name, version):
    return f"s3://models/{name}/{version}/model.onnx"


def register(registry, name, version="0123456789", **changes):
    return registry.register(name, version, uri(name, version), METADATA | changes)


@pytest.fixture
def name():
    return f"model-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def fake():
    fake = FakeModelRegistry()
    yield fake
    fake.close()


def test_sends_the_token_and_never_shows_it(fake):
    fake.token = "sesame"
    assert KubeflowRegistry(fake.url, token="sesame\n").models() == []
    with pytest.raises(PermissionError, match=r"refused the token, which may have expired \(401\)") as error:
        KubeflowRegistry(fake.url, token="stale-token")
    assert "stale-token" not in str(error.value)
    with pytest.raises(PermissionError, match="refused a request without a token"):
        KubeflowRegistry(fake.url)


def test_finds_the_service_accounts_token(fake, tmp_path, monkeypatch):
    fake.token = "sesame"
    (tmp_path / "token").write_text("sesame\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert KubeflowRegistry(fake.url).models() == []


def test_a_token_that_expires_between_two_calls(fake, name):
    registry = KubeflowRegistry(fake.url, token="sesame")
    fake.token = "another"
    with pytest.raises(PermissionError, match="Next: get a fresh token"):
        register(registry, name)
    assert fake.models == {}


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (200, RuntimeError, r"a login page. Next: check the cluster domain"),
        (403, PermissionError, r"refused the token, which may have expired \(403\)"),
        (503, RuntimeError, r"There is no model registry at .* \(503\). Next: check the cluster domain"),
    ],
)
def test_a_page_is_not_a_registry(fake, status, error, message):
    """A login page, that of an OAuth proxy, and what OpenShift's router says for a host without a route."""
    fake.page = status
    with pytest.raises(error, match=message):
        KubeflowRegistry(fake.url, token="sesame")


def test_another_api_version_is_named(fake):
    fake.api = "v1"
    with pytest.raises(RuntimeError, match=r"no model registry with API v1alpha3 at .* \(404\).* Next: "):
        KubeflowRegistry(fake.url)


def test_a_server_that_does_not_answer(fake):
    fake.close()
    with pytest.raises(RuntimeError, match=f"{fake.url} cannot be reached .* Next: check the cluster domain"):
        KubeflowRegistry(fake.url)


def test_says_what_a_failing_server_said(fake, name):
    registry = KubeflowRegistry(fake.url)
    fake.failures["POST .*/registered_models"] = 500
    with pytest.raises(RuntimeError, match=r"answered 500: told to fail. Next: "):
        register(registry, name)


def test_half_a_registration_is_invisible_until_it_is_completed(fake, name):
    registry = KubeflowRegistry(fake.url)
    fake.failures["POST .*/artifacts"] = 503
    with pytest.raises(RuntimeError, match="answered 503"):
        register(registry, name)
    assert len(fake.versions) == 1
    assert registry.find(name, "0123456789") is registry.latest(name) is None
    assert registry.versions(name) == []
    with pytest.raises(ValueError, match="another model"):
        register(registry, name, **{"model sha256": "b" * 64})
    record = register(registry, name)
    assert registry.versions(name) == [record]
    assert record["metadata"] == METADATA
    assert record["uri"] == uri(name, "0123456789")


def test_reads_what_others_registered_without_metadata(fake, name):
    registry = KubeflowRegistry(fake.url)
    other = model_registry.ModelRegistry(fake.url, author="somebody", user_token="none", log_level=logging.ERROR)
    other.register_model(name, "s3://models/x", version="1", model_format_name="x", model_format_version="1")
    record = registry.latest(name)
    assert (record["metadata"], record["production"], record["uri"]) == ({}, False, "s3://models/x")
    # Nobody knows which model that is, so it is not taken for ours.
    with pytest.raises(ValueError, match="exists in the registry with another model: its SHA-256 is not recorded"):
        register(registry, name, "1")
    assert registry.latest(name) == record


def test_reads_what_others_keep_that_is_no_scalar(fake, name):
    """Our own metadata is scalar; somebody else's model version may have more, and a label without a value."""
    registry = KubeflowRegistry(fake.url)
    ours = register(registry, name)
    fake.versions["1"]["customProperties"] |= {
        "struct": {"struct_value": "eyJhIjogMX0=", "metadataType": "MetadataStructValue"},
        "proto": {"proto_value": "AA==", "type": "x", "metadataType": "MetadataProtoValue"},
        "label": {"string_value": "", "metadataType": "MetadataStringValue"},
    }
    theirs = registry.find(name, "0123456789")
    assert theirs["metadata"] == ours["metadata"] | {"struct": "eyJhIjogMX0=", "proto": "AA==", "label": ""}
    fake.versions["1"]["customProperties"] = {}
    assert registry.latest(name)["metadata"] == {}
    assert trace(registry, name)["missing"]["data.md5"]


def test_reads_every_page_and_the_newest_comes_last(fake, name):
    registry = KubeflowRegistry(fake.url)
    register(registry, name, "v1")
    for number in range(2, 103):
        fake.models[str(number)] = fake.models["1"] | {"id": str(number), "name": f"another {number:03}"}
        fake.versions[str(number)] = fake.versions["1"] | {"id": str(number), "name": f"v{number}"}
        fake.artifacts[str(number)] = fake.artifacts["1"] | {"modelVersionId": str(number)}
    assert registry.models() == [f"another {number:03}" for number in range(2, 103)] + [name]
    assert registry.latest(name)["version"] == "v102"


def test_requests_are_held_to_the_published_definition(fake):
    path = "/api/model_registry/v1alpha3/registered_models"
    assert fake.handle("POST", path, {}, b'{"name": "m", "colour": "red"}')[0] == 400
    assert fake.handle("POST", path, {}, b'{"owner": "me"}')[0] == 400
    assert fake.handle("POST", path, {}, b'{"name": "m", "customProperties": {"a": 1}}')[0] == 400
    for wrong in ('"int_value": 1', '"int_value": "1", "colour": "red"', '"float_value": 1.5'):
        value = f'{{"a": {{{wrong}, "metadataType": "MetadataIntValue"}}}}'
        assert fake.handle("POST", path, {}, f'{{"name": "m", "customProperties": {value}}}'.encode())[0] == 400
    assert fake.handle("POST", path, {}, b'{"name": "m"}')[0] == 201
    assert fake.handle("POST", path, {}, b'{"name": "m"}')[0] == 409
    assert fake.handle("GET", path + "?pageSize=many", {}, b"")[0] == 400
    assert fake.handle("GET", path + "?colour=red", {}, b"")[0] == 400


def test_trusts_the_given_authority_and_no_other(tmp_path, name, monkeypatch):
    fake = FakeModelRegistry(make_certificate(tmp_path))
    try:
        with pytest.raises(RuntimeError, match=r"certificate .* is not trusted .* Next: name the PEM file"):
            KubeflowRegistry(fake.url, token="sesame")
        assert fake.requests == []
        registry = KubeflowRegistry(fake.url, certificate_authority=str(tmp_path / "ca.pem"))
        assert register(registry, name)["metadata"] == METADATA
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert KubeflowRegistry(fake.url).models() == [name]
    finally:
        fake.close()
    with pytest.raises(FileNotFoundError, match=r"nowhere.pem does not exist. Next: "):
        KubeflowRegistry(fake.url, certificate_authority="nowhere.pem")
