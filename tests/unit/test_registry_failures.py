"""The registry adapter and a server that says no: tokens, TLS, login pages, other versions, half answers."""

import logging
import uuid

import model_registry
import pytest
from loopback import make_certificate
from registry_server import TOKEN, RegistryServer

from jukebox_helpers.pipelines.lineage import trace
from jukebox_helpers.steps.registry import ModelRegistry, Unavailable

ROOT = "/api/model_registry/v1alpha3"
METADATA = {"model sha256": "a" * 64, "metric.accuracy": 1.0, "rankings rows": 1_130_000, "converged": True}


def uri(name, version):
    return f"s3://models/{name}/{version}/model.onnx"


def register(registry, name, version="0123456789", **changes):
    return registry.register(name, version, uri(name, version), METADATA | changes)


@pytest.fixture
def name():
    return f"model-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def server(monkeypatch):
    server = RegistryServer()
    monkeypatch.setattr("time.sleep", lambda _: None)  # between two attempts of a registration
    yield server
    server.close()


def size(server, kind):
    """How many resources of a kind the server has."""
    return server.client.get(f"{ROOT}/{kind}", headers={"Authorization": f"Bearer {TOKEN}"}).get_json()["size"]


def test_sends_the_token_and_never_shows_it(server):
    assert ModelRegistry(server.url, "sesame\n").versions("x") == []
    with pytest.raises(PermissionError, match=r"refused the token, which may have expired \(401\)") as error:
        ModelRegistry(server.url, "stale-token")
    assert "stale-token" not in str(error.value)
    with pytest.raises(PermissionError, match="refused a request without a token"):
        ModelRegistry(server.url)


def test_finds_the_service_accounts_token(server, tmp_path, monkeypatch):
    (tmp_path / "token").write_text("sesame\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert ModelRegistry(server.url).versions("x") == []


def test_a_token_that_expires_between_two_calls(server, name):
    registry = server.open()
    server.proxy.fail(".*", 401, times=None)
    with pytest.raises(PermissionError, match="Next: get a fresh token"):
        register(registry, name)
    assert size(server, "registered_models") == 0


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (200, RuntimeError, r"a login page. Next: check the cluster domain"),
        (403, PermissionError, r"refused the token, which may have expired \(403\)"),
        (404, RuntimeError, r"no model registry with API v1alpha3 at .* \(404\).* Next: "),
        (503, RuntimeError, r"There is no model registry at .* \(503\). Next: check the cluster domain"),
    ],
)
def test_a_page_is_not_a_registry(server, status, error, message):
    """A login page, that of an OAuth proxy, another API, and OpenShift's router for a host without a route."""
    server.proxy.fail(".*", status, page=True)
    with pytest.raises(error, match=message):
        server.open()


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500, 503])
def test_a_refusal_in_the_registry_s_own_words_is_no_page(server, name, status):
    registry = server.open()
    server.proxy.fail(f"POST {ROOT}/registered_models", status, times=None)
    with pytest.raises((RuntimeError, FileExistsError), match=rf"answered {status}: told to fail. Next: ") as error:
        register(registry, name)
    assert "page" not in str(error.value) and "cluster domain" not in str(error.value)


def test_a_server_that_does_not_answer(server, name):
    registry = server.open()
    server.proxy.fail(".*", 0, times=None)
    for ask in (registry.models, lambda: register(registry, name), server.open):
        with pytest.raises(Unavailable, match=f"{server.url} cannot be reached .* Next: check the cluster domain"):
            ask()


@pytest.mark.parametrize("part", ["registered_models", "model_versions", "model_versions/[0-9]+/artifacts"])
@pytest.mark.parametrize(
    "failure",
    [{"status": 503}, {"status": 0}, {"status": 502, "done": True}, {"status": 502, "done": True, "page": True},
     {"status": 0, "done": True}],
)  # fmt: skip
def test_a_moment_s_failure_leaves_one_whole_version(server, name, part, failure):
    registry = server.open()
    server.proxy.fail(f"POST {ROOT}/{part}", **failure)
    record = register(registry, name)
    assert server.proxy.failures[0].times == 0
    assert registry.versions(name) == [record] and record["metadata"] == METADATA
    assert [size(server, kind) for kind in ("registered_models", "model_versions", "artifacts")] == [1, 1, 1]


def test_half_a_registration_is_invisible_until_it_is_completed(server, name):
    registry = server.open()
    server.proxy.fail("POST .*/artifacts", 503, times=4)
    with pytest.raises(RuntimeError, match="answered 503"):
        register(registry, name)
    assert size(server, "model_versions") == 1
    assert registry.find(name, "0123456789") is registry.latest(name) is None
    assert registry.versions(name) == []
    with pytest.raises(ValueError, match="another model"):
        register(registry, name, **{"model sha256": "b" * 64})
    record = register(registry, name)
    assert registry.versions(name) == [record]
    assert record["metadata"] == METADATA
    assert record["uri"] == uri(name, "0123456789")


def other_client(server):
    """The client's own front end, as another team uses it."""
    return model_registry.ModelRegistry(server.url, author="somebody", user_token=TOKEN, log_level=logging.ERROR)


def test_reads_what_others_registered_without_metadata(server, name):
    registry = server.open()
    others = other_client(server)
    others.register_model(name, "s3://models/x", version="1", model_format_name="x", model_format_version="1")
    record = registry.latest(name)
    assert (record["metadata"], record["production"], record["uri"]) == ({}, False, "s3://models/x")
    # Nobody knows which model that is, so it is not taken for ours.
    with pytest.raises(ValueError, match="exists with another model: its SHA-256 is not recorded"):
        register(registry, name, "1")
    assert registry.latest(name) == record
    assert others.get_model_version(name, "1").name == "1"
    assert [one.name for one in others.get_registered_models()] == [name]


def change(server, properties):
    path = f"{ROOT}/model_versions/2"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert server.client.patch(path, json={"customProperties": properties}, headers=headers).status_code == 200


def test_reads_what_others_keep_that_is_no_scalar(server, name):
    """Our own metadata is scalar; somebody else's model version may have more, and a label without a value."""
    registry = server.open()
    register(registry, name)
    struct = {"struct_value": "eyJhIjogMX0=", "metadataType": "MetadataStructValue"}
    change(server, {"struct": struct, "label": {"string_value": "", "metadataType": "MetadataStringValue"}})
    assert registry.find(name, "0123456789")["metadata"] == {"struct": '{"a":1}', "label": ""}
    change(server, {})
    assert registry.latest(name)["metadata"] == {}
    assert trace(registry, name)["missing"]["data.md5"]


def test_what_the_client_cannot_read_is_no_login_page(server, name):
    """The server keeps integers of 32 bits, its client reads nine digits."""
    registry = server.open()
    register(registry, name)
    change(server, {"rows": {"int_value": "2147483647", "metadataType": "MetadataIntValue"}})
    with pytest.raises(RuntimeError, match=r"holds something that its client cannot read: .*int_value") as error:
        registry.latest(name)
    assert "login" not in str(error.value)


def test_reads_every_page_and_the_newest_comes_last(server, name):
    registry = server.open()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    register(registry, name, "v0")
    for number in range(1, 102):
        server.client.post(f"{ROOT}/registered_models", json={"name": f"another {number:03}"}, headers=headers)
        made = {"name": f"v{number}", "registeredModelId": "1"}
        version = server.client.post(f"{ROOT}/model_versions", json=made, headers=headers).get_json()["id"]
    file = {"name": name, "uri": "s3://m/k", "artifactType": "model-artifact"}
    server.client.post(f"{ROOT}/model_versions/{version}/artifacts", json=file, headers=headers)
    assert registry.models() == [f"another {number:03}" for number in range(1, 102)] + [name]
    assert [record["version"] for record in registry.versions(name)] == ["v0", "v101"]
    assert registry.latest(name)["version"] == "v101"


def test_trusts_the_named_authority_and_no_other(tmp_path, name, monkeypatch):
    server = RegistryServer(make_certificate(tmp_path))
    try:
        with pytest.raises(RuntimeError, match=r"certificate .* is not trusted .* Next: name the file"):
            server.open()
        assert server.proxy.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert register(server.open(), name)["metadata"] == METADATA
    finally:
        server.close()
