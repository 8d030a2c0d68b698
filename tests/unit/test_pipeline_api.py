"""The API of Kubeflow Pipelines, through kfp's own clients.

This module asks nothing but the clients and the server's address, so that it runs with another version of kfp as well.
"""

import json
from types import SimpleNamespace

import kfp_server_api
import pytest
import requests
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp import Client, compiler
from pipeline_servers import TOKEN, pipeline_server
from small_pipeline import a_pipeline
from sqlalchemy import event

from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server import tables
from jukebox_sandbox.pipeline_server.specs import check_parameters, read_spec

OPERATIONS = ("EQUALS", "NOT_EQUALS", "GREATER_THAN", "LESS_THAN_EQUALS", "IN", "IS_SUBSTRING", "", 1, 4, None)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pipeline_server(tmp_path_factory.mktemp("state")) as one:
        yield one


@pytest.fixture(scope="module")
def client(server):
    return Client(host=server.url, existing_token=TOKEN)


@pytest.fixture(scope="module")
def experiment(client):
    return client.get_experiment(experiment_name="Default").experiment_id


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


@pytest.fixture
def ask(server):
    """Sends a request that no client would; gives status and body."""

    def send(method, path, **arguments):
        headers = {"Authorization": f"Bearer {TOKEN}"} | arguments.pop("headers", {})
        answer = requests.request(method, f"{server.url}/apis/{path}", headers=headers, timeout=30, **arguments)
        return answer.status_code, answer.json()

    return send


def upload(ask, content, name="a.yaml", **query):
    return ask("POST", "v2beta1/pipelines/upload", files={"uploadfile": (name, content)}, params=query)


def refusal(code, status):
    """What a client raises for a code: the body holds it, and the sentence three times."""

    def fits(error):
        body = json.loads(error.body)
        detail = {"@type": "type.googleapis.com/google.rpc.Status", "code": code, "message": body["message"]}
        return (
            error.status == status
            and set(body) == {"code", "message", "details", "error"}
            and body["code"] == code
            and body["error"] == body["message"]
            and body["details"] == [detail]
        )

    return fits


INVALID, NOT_FOUND, PRECONDITION = refusal(3, 400), refusal(5, 404), refusal(9, 400)


def refused_upload(error):
    """What a client raises where a name is given twice: the errors of uploads have a form of their own."""
    body = json.loads(error.body)
    return error.status == 409 and set(body) == {"error_message", "error_details"}


def run_of(client, experiment, imported, name="a run", **parameters):
    return client.run_pipeline(
        experiment, name, pipeline_id=imported.id, version_id=imported.version, params={"text": "said"} | parameters
    )


# --- pipelines and versions


def test_an_uploaded_pipeline_has_a_version_with_both_documents(client, imported, package):
    version = client.get_pipeline_version(imported.id, imported.version)
    pipeline_spec, platform_spec = yaml.safe_load_all(package.read_text())
    assert version.pipeline_spec == {"pipeline_spec": pipeline_spec, "platform_spec": platform_spec}
    assert client.get_pipeline_id("imported") == imported.id
    assert client.get_pipeline(imported.id).display_name == "imported"


def test_a_pipeline_without_a_platform_spec_has_no_wrapper(client, package, tmp_path):
    pipeline_spec, _ = yaml.safe_load_all(package.read_text())
    alone = tmp_path / "alone.yaml"
    alone.write_text(yaml.safe_dump(pipeline_spec))
    pipeline = client.upload_pipeline(str(alone), pipeline_name="alone")
    (version,) = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
    assert version.pipeline_spec == pipeline_spec


def test_what_was_uploaded_is_kept_byte_for_byte(server, imported, package):
    with server.session() as session:
        kept = session.query(tables.PipelineVersion).filter_by(id=imported.version).one()
    assert kept.spec.encode() == package.read_bytes()


def test_a_name_is_given_once(client, imported, package):
    with pytest.raises(kfp_server_api.ApiException, check=refused_upload, match="imported already exists"):
        client.upload_pipeline(str(package), pipeline_name="imported")
    client.upload_pipeline_version(str(package), "second", pipeline_id=imported.id)
    with pytest.raises(kfp_server_api.ApiException, check=refused_upload, match="second already exist"):
        client.upload_pipeline_version(str(package), "second", pipeline_id=imported.id)


def test_a_pipeline_with_versions_is_deleted_with_cascade_only(client, package):
    pipeline = client.upload_pipeline(str(package), pipeline_name="to delete").pipeline_id
    with pytest.raises(kfp_server_api.ApiException, check=INVALID, match="it has existing pipeline versions"):
        client._pipelines_api.pipeline_service_delete_pipeline(pipeline)
    (version,) = client.list_pipeline_versions(pipeline).pipeline_versions
    client.delete_pipeline_version(pipeline, version.pipeline_version_id)
    assert client.list_pipeline_versions(pipeline).pipeline_versions is None
    client.delete_pipeline(pipeline)
    with pytest.raises(kfp_server_api.ApiException, check=NOT_FOUND):
        client.get_pipeline(pipeline)
    assert client.get_pipeline_id("to delete") is None


def test_cascade_takes_the_versions_along(server, client, package, ask):
    pipeline = client.upload_pipeline(str(package), pipeline_name="to cascade").pipeline_id
    assert ask("DELETE", f"v2beta1/pipelines/{pipeline}", params={"cascade": "true"}) == (200, {})
    with server.session() as session:
        assert session.query(tables.PipelineVersion).filter_by(pipeline_id=pipeline).count() == 0


def test_what_is_shown_of_a_name_can_be_changed(client, imported, ask):
    status, pipeline = ask("PATCH", f"v2beta1/pipelines/{imported.id}", json={"display_name": "Imported"})
    assert (status, pipeline["name"], pipeline["display_name"]) == (200, "imported", "Imported")
    path = f"v2beta1/pipelines/{imported.id}/versions/{imported.version}"
    assert ask("PATCH", path, json={"display_name": "First"})[1]["display_name"] == "First"
    assert client.get_pipeline_version(imported.id, imported.version).display_name == "First"


def test_nothing_is_fetched_from_an_address(client, imported, ask):
    wanted = {"display_name": "far", "pipeline_id": imported.id, "package_url": {"pipeline_url": "https://a.test/p"}}
    status, said = ask("POST", f"v2beta1/pipelines/{imported.id}/versions", json=wanted)
    assert status == 400 and "this server fetches nothing" in said["message"]
    created = client._pipelines_api.pipeline_service_create_pipeline(
        kfp_server_api.V2beta1Pipeline(display_name="empty", description="Nothing in it.")
    )
    assert (created.name, created.description) == ("empty", "Nothing in it.")


def test_a_version_of_no_pipeline_is_refused(client, package):
    with pytest.raises(kfp_server_api.ApiException, match="Pipeline nothing not found") as refused:
        client.upload_pipeline_version(str(package), "lost", pipeline_id="nothing")
    assert refused.value.status == 400


def test_an_experiment_has_a_name_of_its_own(client):
    client.create_experiment("twice")
    with pytest.raises(kfp_server_api.ApiException, check=refusal(6, 409), match="twice already exists"):
        wanted = kfp_server_api.V2beta1Experiment(display_name="twice")
        client._experiment_api.experiment_service_create_experiment(wanted)


# --- runs


def test_a_run_of_a_version_waits_for_the_runner(server, client, experiment, imported):
    run = run_of(client, experiment, imported)
    assert ("submit", run.run_id) in server.runner.heard
    found = client.get_run(run.run_id)
    assert (found.state, [one.state for one in found.state_history]) == ("PENDING", ["PENDING"])
    assert found.runtime_config.parameters == {"text": "said"}
    assert found.pipeline_version_reference.pipeline_version_id == imported.version
    assert found.pipeline_spec is None and found.finished_at.timestamp() == 0
    assert found.scheduled_at == found.created_at and found.created_at.microsecond == 0
    with server.session() as session:
        kept = session.query(tables.Run).filter_by(id=run.run_id).one()
    assert "secretAsEnv" in kept.spec


def test_a_run_of_an_inline_pipeline_has_its_spec(server, client, package):
    run = client.create_run_from_pipeline_package(
        str(package), {"text": "inline", "numbers": {"epochs": 3}}, run_name="inline"
    )
    found = client.get_run(run.run_id)
    pipeline_spec, platform_spec = yaml.safe_load_all(package.read_text())
    assert found.pipeline_spec["platform_spec"] == platform_spec
    assert found.pipeline_spec["pipeline_spec"]["root"] == pipeline_spec["root"]
    with server.session() as session:
        kept = session.query(tables.Run).filter_by(id=run.run_id).one()
    assert list(yaml.safe_load_all(kept.spec))[1] == platform_spec
    assert kept.parameters == {"text": "inline", "numbers": {"epochs": 3}}


def test_a_pipeline_without_a_version_runs_the_newest(client, experiment, package, ask):
    pipeline = client.upload_pipeline(str(package), pipeline_name="two versions").pipeline_id
    newest = client.upload_pipeline_version(str(package), "newest", pipeline_id=pipeline)
    wanted = {
        "display_name": "latest",
        "pipeline_version_reference": {"pipeline_id": pipeline},
        "runtime_config": {"parameters": {"text": ""}},
    }
    status, run = ask("POST", "v2beta1/runs", json=wanted)
    assert status == 200 and run["experiment_id"] == experiment
    assert run["pipeline_version_reference"]["pipeline_version_id"] == newest.pipeline_version_id


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"unknown": 1}, "parameter(s) provided are not required by pipeline: unknown"),
        ({"text": 1}, "input parameter text requires type string"),
        ({"numbers": [1]}, "input parameter numbers requires type struct"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(client, experiment, imported, parameters, said):
    with pytest.raises(kfp_server_api.ApiException, check=INVALID) as refused:
        run_of(client, experiment, imported, **parameters)
    assert said in json.loads(refused.value.body)["message"]


def test_a_parameter_that_is_missing_is_refused(client, experiment, imported):
    with pytest.raises(kfp_server_api.ApiException, check=INVALID, match="parameter text is not optional"):
        client.run_pipeline(experiment, "missing", pipeline_id=imported.id, version_id=imported.version)


def test_of_missing_parameters_the_first_is_named(package):
    (document, *_) = yaml.safe_load_all(package.read_text())
    letters = "hgfedcba"
    document["root"]["inputDefinitions"] = {"parameters": {one: {"parameterType": "STRING"} for one in letters}}
    with pytest.raises(SandboxError, match="parameter a is not optional"):
        check_parameters(read_spec(yaml.safe_dump(document)), {})


def test_true_is_no_number(package, client, tmp_path):
    spec, _ = yaml.safe_load_all(package.read_text())
    spec["root"]["inputDefinitions"]["parameters"] = {"text": {"parameterType": "NUMBER_INTEGER"}}
    file = tmp_path / "number.yaml"
    file.write_text(yaml.safe_dump(spec))
    with pytest.raises(kfp_server_api.ApiException, check=INVALID, match="requires type double or integer"):
        client.create_run_from_pipeline_package(str(file), {"text": True}, run_name="true")
    client.create_run_from_pipeline_package(str(file), {"text": 2}, run_name="two")


def test_a_date_in_a_spec_is_text(package, client, tmp_path):
    text = yaml.safe_dump(next(yaml.safe_load_all(package.read_text())))
    file = tmp_path / "date.yaml"
    file.write_text(text.replace("image: python:3.12", "image: 2026-11-01"))
    pipeline = client.upload_pipeline(str(file), pipeline_name="dated").pipeline_id
    (version,) = client.list_pipeline_versions(pipeline).pipeline_versions
    assert "2026-11-01" in json.dumps(version.pipeline_spec)


def test_a_version_of_another_pipeline_is_refused(client, experiment, imported, package):
    other = client.upload_pipeline(str(package), pipeline_name="another").pipeline_id
    with pytest.raises(kfp_server_api.ApiException, check=INVALID, match="belongs to pipeline"):
        client.run_pipeline(experiment, "x", pipeline_id=other, version_id=imported.version, params={"text": ""})


def test_tags_are_refused(ask):
    status, said = ask("POST", "v2beta1/pipelines", json={"name": "tagged", "tags": {"a": "b"}})
    assert status == 400 and "Tags of pipelines are not kept here" in said["message"]


def test_what_cannot_run_here_is_refused_before_there_is_a_run(server, client, package, tmp_path):
    file = tmp_path / "importer.yaml"
    file.write_text(package.read_text().replace("a-pipeline", server.runner.refused))
    with pytest.raises(kfp_server_api.ApiException, check=INVALID, match="The step 'importer' is an importer"):
        client.create_run_from_pipeline_package(str(file), {"text": ""}, run_name="refused")
    assert "refused" not in {run.display_name for run in client.list_runs(page_size=200).runs}


def test_a_run_is_terminated_retried_archived_and_deleted(server, client, experiment, imported):
    run = run_of(client, experiment, imported).run_id
    with pytest.raises(kfp_server_api.ApiException, check=PRECONDITION, match="PENDING"):
        client._run_api.run_service_retry_run(run)
    client.terminate_run(run)
    assert server.runner.heard[-1] == ("terminate", run)
    with server.session() as session:
        session.query(tables.Run).filter_by(id=run).update({"state": "CANCELED"})
        session.commit()
    with pytest.raises(kfp_server_api.ApiException, check=INVALID, match="CANCELED"):
        client.terminate_run(run)
    client._run_api.run_service_retry_run(run)
    assert server.runner.heard[-1] == ("retry", run)
    client.archive_run(run)
    assert client.get_run(run).storage_state == "ARCHIVED"
    client.unarchive_run(run)
    assert client.get_run(run).storage_state == "AVAILABLE"
    (server.logs / run).mkdir(parents=True)
    client.delete_run(run)
    assert not (server.logs / run).exists()
    with pytest.raises(kfp_server_api.ApiException, check=NOT_FOUND):
        client.get_run(run)


def test_an_experiment_is_deleted_after_its_runs(client, imported):
    experiment = client.create_experiment("to be deleted").experiment_id
    run = run_of(client, experiment, imported).run_id
    with pytest.raises(kfp_server_api.ApiException, check=PRECONDITION, match="Delete them first"):
        client.delete_experiment(experiment)
    client.delete_run(run)
    client.delete_experiment(experiment)
    with pytest.raises(kfp_server_api.ApiException, check=NOT_FOUND):
        client.get_experiment(experiment)


def test_a_runs_tasks_have_states_and_times_and_no_values(server, client, experiment, imported):
    run = run_of(client, experiment, imported).run_id
    states = [{"update_time": "2026-11-01T10:00:00.123456Z", "state": "FAILED"}]
    with server.session() as session:
        dag = tables.Task(run_id=run, name="root", scope="root", kind="dag", state="FAILED", state_history=states)
        session.add(dag)
        session.flush()
        known = {"run_id": run, "parent_id": dag.id, "state": "FAILED", "outputs": {"parameters": {"found": 1}}}
        session.add(tables.Task(**known, name="executor", scope="root.x", kind="executor", pod_name="pod-1", error="x"))
        session.commit()
    root, executor = client.get_run(run).run_details.task_details
    assert (root.display_name, executor.display_name, executor.state) == ("root", "executor", "FAILED")
    assert [child.pod_name for child in root.child_tasks] == ["pod-1"]
    assert [(one.state, one.error) for one in root.state_history] == [("FAILED", None)]
    assert root.state_history[0].update_time.microsecond == 0
    assert executor.inputs is executor.outputs is executor.error is None
    (listed,) = [one for one in client.list_runs(page_size=200).runs if one.run_id == run]
    assert len(listed.run_details.task_details) == 2


def test_a_run_that_was_cut_short_says_so(server, client, experiment, imported):
    run = run_of(client, experiment, imported).run_id
    history = [
        {"update_time": f"2026-11-01T10:00:0{n}.5Z", "state": state} for n, state in enumerate(("RUNNING", "FAILED"))
    ]
    with server.session() as session:
        cut = {"state": "FAILED", "error": "The server stopped.", "state_history": history}
        session.query(tables.Run).filter_by(id=run).update(cut)
        session.commit()
    found = client.get_run(run)
    assert [(one.state, one.error and one.error.message) for one in found.state_history] == [
        ("RUNNING", None),
        ("FAILED", "The server stopped."),
    ]
    assert found.state_history[1].update_time.microsecond == 0 and found.error is None


def test_a_run_under_way_is_ended_before_it_is_deleted(server, client, experiment, imported):
    run = run_of(client, experiment, imported).run_id
    client.delete_run(run)
    assert server.runner.heard[-1] == ("terminate", run)


def test_a_run_that_ends_while_it_is_deleted_is_deleted(server, client, experiment, imported, monkeypatch):
    def has_ended(run_id):
        raise SandboxError(f"Run {run_id} has ended already: it is SUCCEEDED.")

    monkeypatch.setattr(server.runner, "terminate", has_ended)
    run = run_of(client, experiment, imported).run_id
    client.delete_run(run)
    with pytest.raises(kfp_server_api.ApiException, check=NOT_FOUND):
        client.get_run(run)


def test_the_log_of_a_step_is_read_and_nothing_beside_it(server, client, experiment, imported, ask):
    run = run_of(client, experiment, imported).run_id
    (server.logs / run).mkdir(parents=True)
    (server.logs / run / "pod-1.log").write_text("line 1\nline 2\n")
    (server.logs / "other.log").write_text("not this one")
    address = f"{server.url}/apis/v1alpha1/runs/{run}/nodes/pod-1/log"
    log = requests.get(address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
    assert (log.text, log.headers["Content-Type"].split(";")[0]) == ("line 1\nline 2\n", "text/plain")
    for pod in ("pod-2", "..%2Fother", "%2e%2e%2fother", ".."):
        address = f"{server.url}/apis/v1alpha1/runs/{run}/nodes/{pod}/log"
        log = requests.get(address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
        assert "not found" in log.text.lower() and "not this one" not in log.text
        # The real server says 200 before it looks.
        assert log.status_code == (200 if pod == "pod-2" else 404)


def test_a_disk_that_is_full_is_said(server, client, experiment, imported):
    with server.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    full = event.listens_for(server.engine, "checkout")(
        lambda connection, *_: connection.execute(f"PRAGMA max_page_count = {pages}")
    )
    try:
        with pytest.raises(kfp_server_api.ApiException, check=refusal(14, 503), match="database or disk is full"):
            for number in range(100):
                run_of(client, experiment, imported, name=f"too much {number}", text="x" * 10000)
    finally:
        event.remove(server.engine, "checkout", full)
        server.engine.dispose()
    run_of(client, experiment, imported)


# --- lists


@pytest.fixture(scope="module")
def listed(server, client, experiment, imported):
    """Runs of an experiment of their own; in pairs they have one second."""
    group = client.create_experiment("listed").experiment_id
    runs = [run_of(client, group, imported, name=f"run {number}") for number in range(7)]
    with server.session() as session:
        for number, run in enumerate(runs):
            moment = tables.datetime(2026, 11, 1, 10, 0, number // 2, 1000 * (7 - number))
            session.query(tables.Run).filter_by(id=run.run_id).update({"created_at": moment})
        session.commit()
    return group


@pytest.mark.parametrize("sort_by", ["", "created_at desc", "display_name", "name DESC", "state", "recurring_run_id"])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_pages_hold_every_run_once_in_order(client, listed, sort_by, size):
    names, token = [], ""
    while True:
        page = client.list_runs(page_token=token, page_size=size, sort_by=sort_by, experiment_id=listed)
        assert len(page.runs) <= size and page.total_size == 7
        names += [run.display_name for run in page.runs]
        if not (token := page.next_page_token):
            break
    expected = [f"run {number}" for number in range(7)]
    assert names == (expected[::-1] if sort_by.lower().endswith("desc") else expected)


def test_a_page_is_no_larger_than_the_real_servers(client, server, listed, ask):
    assert len(ask("GET", "v2beta1/runs", params={"page_size": 100000, "experiment_id": listed})[1]["runs"]) == 7
    for number in range(23):
        client.create_experiment(f"one of many {number}")
    assert len(ask("GET", "v2beta1/experiments")[1]["experiments"]) == 20
    with server.session() as session:
        session.add_all(tables.Experiment(display_name=f"more {number}") for number in range(200))
        session.commit()
    assert len(ask("GET", "v2beta1/experiments", params={"page_size": 1000})[1]["experiments"]) == 200


@pytest.mark.parametrize(
    ("predicate", "numbers"),
    [
        ({"operation": "EQUALS", "key": "display_name", "string_value": "run 3"}, [3]),
        ({"operation": 1, "key": "name", "stringValue": "run 3"}, [3]),
        ({"operation": "NOT_EQUALS", "key": "display_name", "string_value": "run 3"}, [0, 1, 2, 4, 5, 6]),
        ({"operation": "IN", "key": "name", "string_values": {"values": ["run 1", "run 5", "run 9"]}}, [1, 5]),
        ({"operation": "IN", "key": "name", "string_values": {}}, []),
        ({"operation": "IS_SUBSTRING", "key": "name", "string_value": "n 2"}, [2]),
        ({"operation": "EQUALS", "key": "created_at", "timestamp_value": "2026-11-01T10:00:01Z"}, [2, 3]),
        ({"operation": "LESS_THAN", "key": "created_at", "timestamp_value": "2026-11-01T11:00:01+01:00"}, [0, 1]),
        ({"operation": "GREATER_THAN_EQUALS", "key": "created_at", "long_value": 1793527203}, [6]),
        ({"operation": "EQUALS", "key": "state", "string_value": "RUNNING"}, []),
    ],
)
def test_a_filter_finds_what_it_names(client, listed, predicate, numbers):
    text = json.dumps({"predicates": [predicate]})
    page = client.list_runs(filter=text, experiment_id=listed)
    assert [run.display_name for run in page.runs or []] == [f"run {number}" for number in numbers]
    assert (page.total_size or 0) == len(numbers)


def test_a_token_goes_with_its_filter(ask, listed):
    text = json.dumps({"predicates": [{"operation": "IS_SUBSTRING", "key": "name", "string_value": "run"}]})
    first = ask("GET", "v2beta1/runs", params={"experiment_id": listed, "filter": text, "page_size": 5})[1]
    follow = {"experiment_id": listed, "page_token": first["next_page_token"]}
    assert len(ask("GET", "v2beta1/runs", params=follow)[1]["runs"]) == 2
    status, said = ask("GET", "v2beta1/runs", params=follow | {"sort_by": "name"})
    assert status == 400 and "page token does not match" in said["message"]


@pytest.mark.parametrize(
    "query",
    [
        {"page_size": "-1"},
        {"page_size": "many"},
        {"page_token": "no token"},
        {"page_token": "WzEsMiwzLDRd"},
        {"sort_by": "colour"},
        {"sort_by": "name up"},
        {"filter": "{"},
        {"filter": '{"predicates": [{"operation": "EQUALS", "key": "colour", "string_value": "red"}]}'},
        {"filter": '{"predicates": [{"operation": "EQUALS", "key": "name"}]}'},
        {"filter": '{"predicates": [{"operation": "IN", "key": "name", "string_value": "x"}]}'},
        {"filter": '{"predicates": [{"operation": "EQUALS", "key": "name", "string_values": {"values": ["x"]}}]}'},
        {"filter": '{"predicates": [{"operation": "IS_SUBSTRING", "key": "name", "int_value": 1}]}'},
        {"filter": '{"predicates": [{"op": "EQUALS", "key": "name", "string_value": "x"}]}'},
        {"filter": '{"predicates": [{"operation": "EQUALS", "key": "name", "long_value": 1e99}]}'},
    ],
)
@pytest.mark.parametrize("kind", ["runs", "pipelines", "experiments"])
def test_a_list_that_makes_no_sense_is_refused(ask, kind, query):
    status, said = ask("GET", f"v2beta1/{kind}", params=query)
    assert (status, said["code"]) == (400, 3) and said["message"]


# --- who asks, and what is sent


@pytest.mark.parametrize("header", [{}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer x"}])
@pytest.mark.parametrize("path", ["v2beta1/healthz", "v2beta1/runs", "v1alpha1/runs/x/nodes/y/log", "nothing"])
def test_who_has_no_token_learns_nothing(server, header, path):
    answer = requests.get(f"{server.url}/apis/{path}", headers=header, timeout=30)
    assert (answer.status_code, answer.text) == (401, "Unauthorized\n")


def test_the_server_is_healthy_and_serves_one_user(client):
    assert client.get_kfp_healthz().multi_user is None or not client.get_kfp_healthz().multi_user


BOMB = "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))])
MERGE_BOMB = "\n".join(["b0: &b0 {x: 1}", *(f"b{n}: &b{n} {{<<: [*b{n - 1}, *b{n - 1}]}}" for n in range(1, 40))])
ARGO = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: {}\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no pipeline spec is provided"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"a: [1, 2", "unable to decode yaml document"),
        (b"a: \x00", "unable to decode yaml document"),
        (b"just text", "a document is not a mapping"),
        (b"- a\n- b\n", "a document is not a mapping"),
        (b"a: 1\n", "invalid v2 pipeline spec"),
        (ARGO.encode(), "Argo Workflow"),
        (BOMB.encode(), "aliases"),
        (MERGE_BOMB.encode(), "merge keys"),
        (b"a: &a [*a]\n", "aliases"),
        (b"[" * 50000, "nested too deeply"),
        (b"a: !!python/object/apply:os.system [id]\n", "unable to decode yaml document"),
        (b"PK\x03\x04", "Archives"),
        (b"\x1f\x8b\x08", "Archives"),
    ],
)
def test_a_file_that_is_no_pipeline_is_refused_in_a_sentence(ask, content, said):
    status, body = upload(ask, content, name_="x")
    assert status == 400 and said in body["error_message"] and "Traceback" not in body["error_message"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "red"}, 'no field named "colour"'),
        ({"schemaVersion": "2.0.0"}, "only supports schema version 2.1.0"),
        ({"pipelineInfo": {"name": "Not_a name"}}, "lowercase"),
        ({"pipelineInfo": {}}, "name is empty"),
        ({"root": None}, "root component is empty"),
        ({"root": {"dag": {"tasks": {"a": {"colour": 1}}}}}, 'no field named "colour"'),
        ({"root": "text"}, "invalid v2 pipeline spec"),
        ({"components": [1]}, "invalid v2 pipeline spec"),
    ],
)
def test_a_spec_with_a_fault_is_refused(ask, package, change, said):
    spec, _ = yaml.safe_load_all(package.read_text())
    status, body = upload(ask, yaml.safe_dump(spec | change), name="x.yaml")
    assert status == 400 and said in body["error_message"]


def test_one_pipeline_a_file(ask, package):
    status, body = upload(ask, package.read_text() + "\n---\n" + package.read_text())
    assert status == 400 and "multiple p" in body["error_message"]


def test_a_file_above_the_bound_is_refused(ask):
    status, body = upload(ask, b"#" * ((32 << 20) + 1))
    assert status == 400 and "File size too large" in body["error_message"]
    status, body = upload(ask, b"#" * (34 << 20))
    assert status == 400 and "File size too large" in body["error_message"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "not valid JSON"),
        ("[]", "is not of type V2beta1Run"),
        ('{"display_name": 1}', "display_name"),
        ('{"display_name": "x", "colour": 1}', 'unknown field "colour"'),
        ('{"display_name": "x", "runtime_config": {"colour": 1}}', 'unknown field "colour" in runtime_config'),
        ('{"display_name": "x", "state": "HAPPY"}', "enum field state"),
        ('{"display_name": "x", "created_at": "today"}', "created_at"),
        ('{"display_name": "\\ud800"}', "not valid JSON"),
        ('{"display_name": NaN}', "not valid JSON"),
        ('{"display_name": 1e999}', "not valid JSON"),
        ("[" * 100000, "not valid JSON"),
        ('{"plugins_input": {"a": ' + "[" * 300 + "]" * 300 + "}}", "The request is nested too deeply"),
        ('{"display_name": "x", "pipeline_spec": {"a": ' + "[" * 300 + "]" * 300 + "}}", "nested too deeply"),
        ('{"display_name": "x"}', "empty pipeline spec"),
        ('{"display_name": ""}', "name cannot be empty"),
        ('{"display_name": "x", "pipeline_spec": 1}', "pipeline_spec"),
        ('{"display_name": "' + "x" * 129 + '"}', "more than 128 characters"),
        ('{"display_name": "x", "pipeline_spec": {"a": 1}, "pipeline_version_reference": {}}', "both are given"),
        ('{"display_name": "x", "pipeline_spec": {"pipeline_spec": 1}}', "no pipeline spec"),
        (
            '{"display_name": "x", "pipeline_spec": {}, "pipeline_version_reference": {"pipeline_id": "y"}}',
            "Pipeline y",
        ),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(ask, body, said):
    status, answer = ask("POST", "v2beta1/runs", data=body)
    assert status in (400, 404) and said in answer["message"]


@pytest.mark.parametrize("path", ["runs/x", "pipelines/x", "pipelines/names/x", "experiments/x", "nothing/x"])
def test_what_is_not_there_is_not_found(ask, path):
    status, answer = ask("GET", f"v2beta1/{path}")
    assert (status, answer["code"]) == (404, 5)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
RUN = st.fixed_dictionaries(
    {},
    optional={
        name: JSON
        for name in (
            "display_name", "pipeline_spec", "pipeline_version_reference", "runtime_config", "experiment_id",
            "description", "state", "created_at", "service_account", "run_details", "state_history",
        )
    },
)  # fmt: skip
PREDICATE = st.fixed_dictionaries(
    {"operation": st.sampled_from(OPERATIONS), "key": st.sampled_from(["name", "created_at", "state", "x"])},
    optional={
        name: JSON
        for name in ("string_value", "int_value", "longValue", "timestamp_value", "int_values", "string_values")
    },
)
FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def inside(server):
    """Asks the application without a socket: property-based tests ask often."""
    return server.application.test_client()


def never_fails(answer):
    assert answer.status_code < 500, answer.text
    assert b"Traceback" not in answer.data
    return answer


HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@FEW
@given(RUN | JSON)
def test_no_run_breaks_the_server(inside, wanted):
    never_fails(inside.post("/apis/v2beta1/runs", json=wanted, headers=HEADERS))


@FEW
@given(st.sampled_from(["runs", "pipelines", "experiments"]), st.lists(PREDICATE, max_size=2), st.text(max_size=9))
def test_no_list_breaks_the_server(inside, kind, predicates, text):
    query = {"filter": json.dumps({"predicates": predicates}), "sort_by": text, "page_token": text}
    for one in ({"filter": query["filter"]}, {"sort_by": text}, {"page_token": text}, {"page_size": text}, query):
        never_fails(inside.get(f"/apis/v2beta1/{kind}", query_string=one, headers=HEADERS))


@FEW
@given(JSON, JSON, JSON)
def test_no_page_token_breaks_the_server(inside, value, key, more):
    import base64

    for known in ([value, "", key, more], ["name", "", value, key], ["created_at", "", value, key], value):
        token = base64.b64encode(json.dumps(known).encode()).decode()
        never_fails(inside.get("/apis/v2beta1/runs", query_string={"page_token": token}, headers=HEADERS))


@FEW
@given(st.dictionaries(st.sampled_from(["pipelineInfo", "root", "schemaVersion", "components", "x"]), JSON) | JSON)
def test_no_upload_breaks_the_server(inside, document):
    import io

    for content in (yaml.safe_dump(document).encode(), json.dumps({"platforms": document}).encode()):
        form = {"uploadfile": (io.BytesIO(content), "x.yaml")}
        never_fails(inside.post("/apis/v2beta1/pipelines/upload", data=form, headers=HEADERS))


@FEW
@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT"]))
def test_no_path_breaks_the_server(inside, first, second, method):
    for path in (f"pipelines/{first}/versions/{second}", f"runs/{first}", f"pipelines/names/{first}", first):
        never_fails(inside.open(f"/apis/v2beta1/{path}", method=method, json={}, headers=HEADERS))
