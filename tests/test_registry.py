"""One set of tests for both registry adapters, then what is particular to each."""

import inspect
import logging
import os
import sqlite3
import ssl
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import model_registry
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fake_model_registry import FakeModelRegistry

from jukebox_helpers.pipelines import travelling
from jukebox_helpers.registry import kubeflow_registry, mlflow_registry, open_registry

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
        return mlflow_registry(f"sqlite:///{request.getfixturevalue('database')}")
    return kubeflow_registry(request.getfixturevalue("server").url)


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


def test_racing_registrations_make_one_version_each(registry, name):
    versions = ["one", "two", "one", "two", "one", "two"]
    with ThreadPoolExecutor(6) as threads:
        records = list(threads.map(lambda version: register(registry, name, version), versions))
    assert [record["version"] for record in records] == versions
    assert sorted(record["version"] for record in registry.versions(name)) == ["one", "two"]


# MLflow


def test_mlflow_keeps_no_version_without_its_metadata(database, name):
    registry = mlflow_registry(f"sqlite:///{database}")
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


def test_mlflow_needs_a_file_in_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing does not exist. Next: run ./jukebox up"):
        mlflow_registry(f"sqlite:///{tmp_path}/missing/registry.db")
    with pytest.raises(ValueError, match="Next: set it to sqlite:///"):
        mlflow_registry("http://localhost:5000")


STEP = """
registry = open_registry(cluster_domain="http://localhost:1", namespace="user1-toolings")
uri = "s3://models/jukebox/0123456789/model.onnx"
print(registry.register("jukebox", "0123456789", uri, {"model sha256": "a" * 64})["version"])
"""


def test_two_steps_with_nothing_but_the_travelling_source_share_a_new_database(tmp_path):
    sources = [inspect.getsource(function) for function in [*travelling(open_registry), open_registry]]
    step = tmp_path / "step.py"
    step.write_text("\n".join(sources) + STEP)
    database = tmp_path / "registry.db"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MLFLOW_TRACKING_URI": f"sqlite:///{database}"}
    steps = [
        subprocess.Popen(
            [sys.executable, "-I", str(step)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [(*process.communicate(timeout=60), process.returncode) for process in steps]
    assert answers == [("0123456789\n", "", 0)] * 2
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM model_versions").fetchone() == (1,)


# Kubeflow


@pytest.fixture
def fake():
    fake = FakeModelRegistry()
    yield fake
    fake.close()


def test_kubeflow_sends_the_token_and_never_shows_it(fake):
    fake.token = "sesame"
    assert kubeflow_registry(fake.url, token="sesame\n").models() == []
    with pytest.raises(PermissionError, match=r"refused the token, which may have expired \(401\)") as error:
        kubeflow_registry(fake.url, token="stale-token")
    assert "stale-token" not in str(error.value)
    with pytest.raises(PermissionError, match="refused a request without a token"):
        kubeflow_registry(fake.url)


def test_kubeflow_finds_the_service_accounts_token(fake, tmp_path, monkeypatch):
    fake.token = "sesame"
    (tmp_path / "token").write_text("sesame\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert kubeflow_registry(fake.url).models() == []


def test_kubeflow_a_token_that_expires_between_two_calls(fake, name):
    registry = kubeflow_registry(fake.url, token="sesame")
    fake.token = "another"
    with pytest.raises(PermissionError, match="Next: get a fresh token"):
        register(registry, name)
    assert fake.models == {}


def test_kubeflow_a_login_page_is_not_a_registry(fake):
    fake.login_page = True
    with pytest.raises(RuntimeError, match=r"a login page. Next: check the cluster domain"):
        kubeflow_registry(fake.url)


def test_kubeflow_another_api_version_is_named(fake):
    fake.api = "v1"
    with pytest.raises(RuntimeError, match=r"no model registry with API v1alpha3 at .* \(404\).* Next: "):
        kubeflow_registry(fake.url)


def test_kubeflow_a_server_that_does_not_answer(fake):
    fake.close()
    with pytest.raises(RuntimeError, match=f"{fake.url} cannot be reached .* Next: check the cluster domain"):
        kubeflow_registry(fake.url)


def test_kubeflow_says_what_a_failing_server_said(fake, name):
    registry = kubeflow_registry(fake.url)
    fake.failures["POST .*/registered_models"] = 500
    with pytest.raises(RuntimeError, match=r"answered 500: told to fail. Next: "):
        register(registry, name)


def test_kubeflow_half_a_registration_is_invisible_until_it_is_completed(fake, name):
    registry = kubeflow_registry(fake.url)
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


def test_kubeflow_reads_what_others_registered_without_metadata(fake, name):
    registry = kubeflow_registry(fake.url)
    other = model_registry.ModelRegistry(fake.url, author="somebody", user_token="none", log_level=logging.ERROR)
    other.register_model(name, "s3://models/x", version="1", model_format_name="x", model_format_version="1")
    record = registry.latest(name)
    assert (record["metadata"], record["production"], record["uri"]) == ({}, False, "s3://models/x")


def test_kubeflow_lists_more_versions_than_a_page_holds(fake, name):
    registry = kubeflow_registry(fake.url)
    register(registry, name, "v1")
    for number in range(2, 61):
        fake.versions[str(number)] = fake.versions["1"] | {"id": str(number), "name": f"v{number}"}
        fake.artifacts[str(number)] = fake.artifacts["1"] | {"modelVersionId": str(number)}
    assert [record["version"] for record in registry.versions(name)] == [f"v{number}" for number in range(1, 61)]


def test_kubeflow_requests_are_held_to_the_published_definition(fake):
    path = "/api/model_registry/v1alpha3/registered_models"
    assert fake.handle("POST", path, {}, b'{"name": "m", "colour": "red"}')[0] == 400
    assert fake.handle("POST", path, {}, b'{"owner": "me"}')[0] == 400
    assert fake.handle("POST", path, {}, b'{"name": "m", "customProperties": {"a": 1}}')[0] == 400
    assert fake.handle("POST", path, {}, b'{"name": "m"}')[0] == 201
    assert fake.handle("POST", path, {}, b'{"name": "m"}')[0] == 409
    assert fake.handle("GET", path + "?pageSize=many", {}, b"")[0] == 400
    assert fake.handle("GET", path + "?colour=red", {}, b"")[0] == 400


def make_certificate(folder: Path) -> ssl.SSLContext:
    """A certificate for localhost that is its own authority, as ``ca.pem`` in a folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


def test_kubeflow_trusts_the_given_authority_and_no_other(tmp_path, name):
    fake = FakeModelRegistry(make_certificate(tmp_path))
    try:
        with pytest.raises(RuntimeError, match=r"certificate .* is not trusted .* Next: give the PEM file"):
            kubeflow_registry(fake.url, token="sesame")
        assert fake.requests == []
        registry = kubeflow_registry(fake.url, certificate_authority=str(tmp_path / "ca.pem"))
        assert register(registry, name)["metadata"] == METADATA
    finally:
        fake.close()
    with pytest.raises(FileNotFoundError, match=r"nowhere.pem does not exist. Next: "):
        kubeflow_registry(fake.url, certificate_authority="nowhere.pem")


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
