"""The API of Kubeflow Pipelines, through kfp's own clients."""

from types import SimpleNamespace

import pytest
import yaml
from kfp import Client, compiler
from pipeline_servers import TOKEN, pipeline_server
from small_pipeline import a_pipeline

from jukebox_sandbox.pipeline_server import tables


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pipeline_server(tmp_path_factory.mktemp("state")) as one:
        yield one


@pytest.fixture(scope="module")
def client(server):
    return Client(host=server.url, existing_token=TOKEN)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    file = tmp_path_factory.mktemp("compiled") / "a-pipeline.yaml"
    compiler.Compiler().compile(a_pipeline, str(file))
    return file


@pytest.fixture(scope="module")
def imported(client, package):
    pipeline = client.upload_pipeline(str(package), pipeline_name="imported")
    (version,) = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
    return SimpleNamespace(id=pipeline.pipeline_id, version=version.pipeline_version_id)


def test_an_uploaded_pipeline_has_a_version_with_both_documents(client, imported, package):
    version = client.get_pipeline_version(imported.id, imported.version)
    pipeline_spec, platform_spec = yaml.safe_load_all(package.read_text())
    assert version.pipeline_spec == {"pipeline_spec": pipeline_spec, "platform_spec": platform_spec}
    assert client.get_pipeline_id("imported") == imported.id
    assert version.created_at.microsecond == 0


def test_a_run_of_a_version_waits_for_the_runner(server, client, imported):
    run = client.run_pipeline(
        client.get_experiment(experiment_name="Default").experiment_id,
        "by version",
        pipeline_id=imported.id,
        version_id=imported.version,
        params={"text": "said"},
    )
    assert ("submit", run.run_id) in server.runner.heard
    found = client.get_run(run.run_id)
    assert (found.state, [one.state for one in found.state_history]) == ("PENDING", ["PENDING"])
    assert found.runtime_config.parameters == {"text": "said"}
    assert found.pipeline_version_reference.pipeline_version_id == imported.version
    assert found.pipeline_spec is None and found.finished_at.timestamp() == 0
    with server.session() as session:
        kept = session.query(tables.Run).filter_by(id=run.run_id).one()
        assert "secretAsEnv" in kept.spec
