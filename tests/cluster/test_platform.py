"""A workbench of OpenShift AI, made of the files and variables that it would have."""

import base64
import json
import shutil
import socket
import subprocess
import time

import pytest
from click.testing import CliRunner
from loopback import make_certificate, page_server
from platform_server import PlatformServer
from registry_server import RegistryServer
from sqlalchemy import delete
from sqlalchemy.orm import Session

from jukebox_helpers import settings
from jukebox_helpers import workbench as workbench_module
from jukebox_helpers.cli import cli
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import connection, following
from jukebox_helpers.pipelines import registry as models_registry
from jukebox_helpers.settings import find_settings
from jukebox_helpers.steps import git_password
from jukebox_helpers.workshop import ask_cluster_domain, doctor
from jukebox_sandbox.pipeline_server import tables

DOMAIN = "apps.cluster-x7.example.com"
SONGS = "https://example.com/songs.parquet"


def token(seconds_left):
    """A service account's token: three words, the second one with the time of its end."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": int(time.time() + seconds_left)}).encode()).decode()
    return f"head.{claims.rstrip('=')}.signature"


@pytest.fixture
def workbench(tmp_path, monkeypatch):
    """The files of a service account, and a clone without an origin; returns the folder."""
    account = tmp_path / "serviceaccount"
    account.mkdir()
    (account / "namespace").write_text("user7-toolings")
    (account / "token").write_text(token(3600))
    (tmp_path / "clone").mkdir()
    subprocess.run(["git", "init", "--quiet", tmp_path / "clone"], check=True)
    monkeypatch.setattr(workbench_module, "NAMESPACE_FILE", account / "namespace")
    monkeypatch.setattr(settings, "KIT", tmp_path / "clone")
    monkeypatch.setenv("JUKEBOX_STATE", str(tmp_path / "state"))
    for name in ("cluster_domain", "NOTEBOOK_ARGS", "KF_PIPELINES_ENDPOINT", "AWS_S3_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def server(monkeypatch, workbench):
    platform = PlatformServer(token=(workbench / "serviceaccount" / "token").read_text())
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", platform.url)
    monkeypatch.setattr(following, "PAUSE", 0.05)
    yield platform
    platform.close()


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        (DOMAIN, DOMAIN),
        (f"https://gitea-gitea.{DOMAIN}/user7/jukebox.git", DOMAIN),
        (f"https://user7:secret@gitea-gitea.{DOMAIN}/user7/jukebox.git", DOMAIN),
        (f'--ServerApp.tornado_settings={{"user":"user7","hub_host":"https://rhods-dashboard.{DOMAIN}"}}', DOMAIN),
        (f"https://RHODS-dashboard.{DOMAIN.upper()}:443/projects", DOMAIN),
        ("https://rhods-dashboard.apps-crc.testing/", "apps-crc.testing"),
        ("http://minio.apps.svc.cluster.local:9000", ""),
        ("http://minio.user7-toolings.svc:9000", ""),
        ("https://github.com/apps.git", ""),
        ("https://example.com/apps", ""),
        ("apps", ""),
        ("", ""),
    ],
)
def test_a_cluster_domain_is_found_in_an_address(text, domain):
    assert git_password.domain_in(text) == domain


def test_project_and_user_come_from_the_service_account(workbench):
    found = find_settings()
    assert (found.platform, found.namespace, found.user) == ("rhoai", "user7-toolings", "user7")


def test_the_cluster_domain_comes_from_what_is_nearest(workbench, monkeypatch):
    assert find_settings().cluster_domain == ""
    monkeypatch.setenv("AWS_S3_ENDPOINT", "https://minio-s3.apps.s3.example.com")
    assert find_settings().cluster_domain == "apps.s3.example.com"
    monkeypatch.setenv("NOTEBOOK_ARGS", '{"hub_host":"https://rhods-dashboard.apps.dashboard.example.com"}')
    assert find_settings().cluster_domain == "apps.dashboard.example.com"
    origin = "https://gitea-gitea.apps.git.example.com/user7/jukebox.git"
    subprocess.run(["git", "-C", workbench / "clone", "remote", "add", "origin", origin], check=True)
    assert find_settings().cluster_domain == "apps.git.example.com"
    workbench_module.remember_cluster_domain("https://x.apps.answer.example.com/page", workbench / "state")
    assert find_settings().cluster_domain == "apps.answer.example.com"
    for given in (f"https://console-openshift-console.{DOMAIN}/", DOMAIN):
        monkeypatch.setenv("cluster_domain", given)
        assert find_settings().cluster_domain == DOMAIN
    assert find_settings().repository_url() == f"https://gitea-gitea.{DOMAIN}/user7/jukebox.git"


def test_without_a_domain_and_a_person_the_next_step_is_named(workbench):
    with pytest.raises(JukeboxError, match=r"does not know its cluster domain.*\n.*doctor.*ask_cluster_domain"):
        find_settings().repository_url()


def test_a_person_at_the_terminal_is_asked_once(workbench, monkeypatch):
    questions = []

    def prompt(text, **options):
        questions.append(text)
        return f"https://console-openshift-console.{DOMAIN}/"

    monkeypatch.setattr(workbench_module.click, "prompt", prompt)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert find_settings().cluster_domain == find_settings().cluster_domain == DOMAIN
    assert len(questions) == 1


def test_the_answer_is_remembered_without_secrets(workbench):
    workbench_module.remember_cluster_domain(f"https://user7:secret@gitea-gitea.{DOMAIN}/", workbench / "state")
    assert (workbench / "state" / "workbench.json").read_text() == f'{{"cluster_domain": "{DOMAIN}"}}\n'
    with pytest.raises(JukeboxError, match=r"no cluster domain in 'example\.com'"):
        workbench_module.remember_cluster_domain("example.com", workbench / "state")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cluster_domain": 1}', '{"cluster_domain": "'])
def test_a_spoilt_answer_is_as_good_as_none(workbench, text):
    (workbench / "state").mkdir()
    (workbench / "state" / "workbench.json").write_text(text)
    assert find_settings().cluster_domain == ""


def test_a_notebook_asks_with_a_widget(workbench):
    box = ask_cluster_domain()
    (field, button), said = box.children[0].children, box.children[1]
    field.value = "no domain"
    button.click()
    assert "There is no cluster domain" in said.value and find_settings().cluster_domain == ""
    field.value = DOMAIN
    button.click()
    assert DOMAIN in said.value and find_settings().cluster_domain == DOMAIN


def test_a_workbench_without_a_connection_says_so_when_it_is_needed(workbench):
    with pytest.raises(JukeboxError, match=r"no S3 connection.*\nNext: .*attach the connection aws-connection-data"):
        find_settings().secret("aws-connection-data")


def findings():
    return {finding.what: finding for finding in doctor.examine()}


def test_doctor_in_an_empty_workbench_names_every_next_step(workbench):
    found = findings()
    assert found["token"].good and found["platform"].good
    assert "no S3 connection" in found["S3"].found and "attach" in found["S3"].next_action
    assert "does not know its cluster domain" in found["cluster domain"].found
    for what in ("git repository", "model registry"):
        assert "follows from the cluster domain" in found[what].found
    assert "has no pipeline server" in found["pipeline server"].found
    assert "Configure pipeline server" in found["pipeline server"].next_action


def test_doctor_sees_a_token_that_has_expired(workbench):
    (workbench / "serviceaccount" / "token").write_text(token(-600))
    expired = doctor.look_at_token(find_settings())
    assert (expired.good, expired.found) == (False, "expired 10 minutes ago")
    assert not findings()["token"].good
    for text in ("", "x", "a.b.c", "a.!.c"):
        (workbench / "serviceaccount" / "token").write_text(text)
        assert not doctor.look_at_token(find_settings()).good


def test_doctor_sees_a_wrong_domain(workbench, monkeypatch):
    monkeypatch.setenv("cluster_domain", "apps.no-such-cluster.invalid")
    found = findings()
    assert "Check the cluster domain" in found["git repository"].next_action
    assert "cannot be reached" in found["model registry"].found
    assert "Check the cluster domain" in found["model registry"].next_action


@pytest.fixture
def models(monkeypatch, workbench):
    """A model registry at the address that follows from the domain."""
    server = RegistryServer()
    monkeypatch.setattr(models_registry, "PlatformRegistry", lambda *_, **__: server.open())
    monkeypatch.setenv("cluster_domain", "apps.no-such-cluster.invalid")
    yield server
    server.close()


@pytest.mark.parametrize(
    ("failure", "found", "next_action"),
    [
        (
            {"status": 503, "page": True},
            "There is no model registry at",
            "Check the cluster domain; if it is right, ask for a model",
        ),
        (
            {"status": 200, "page": True},
            "e.g. a login page",
            "Check the cluster domain, and that the address is the registry's",
        ),
        ({"status": 401}, "refused the token, which may have expired", "Get a fresh token"),
        ({"status": 404, "page": True}, "no model registry with API v1alpha3", "install the model-registry client"),
    ],
)
def test_doctor_explains_a_registry_that_is_none_or_refuses(models, failure, found, next_action):
    models.proxy.fail(".*", times=None, **failure)
    finding = doctor.look_at_registry(find_settings())
    assert not finding.good and found in finding.found and next_action in finding.next_action


@pytest.mark.parametrize(
    ("page", "found", "next_action"),
    [
        (None, "answers 401", "The token may have expired: restart the workbench"),
        (403, "does not accept the token", "The token may have expired: restart the workbench"),
        (200, "e.g. a login page", "check the variable KF_PIPELINES_ENDPOINT"),
        (503, "there is none at", "Configure pipeline server"),
    ],
)
def test_doctor_explains_a_pipeline_server_that_is_none_or_refuses(server, page, found, next_action, monkeypatch):
    monkeypatch.setattr(connection, "PAUSES", (0.01,))
    if page:
        server.proxy.fail(".*", page, times=None, page=True)
    else:
        workbench_module.service_account("token").write_text("another")
    finding = doctor.look_at_pipeline_server(find_settings())
    assert not finding.good and found in finding.found and next_action in finding.next_action


@pytest.mark.parametrize("status", [200, 503])
def test_doctor_explains_pages_where_git_and_s3_should_be(workbench, monkeypatch, status):
    with page_server(status) as address:
        for key, value in (("AWS_S3_ENDPOINT", address), ("cluster_domain", address)):
            monkeypatch.setenv(key, value)
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_S3_BUCKET"):
            monkeypatch.setenv(key, "x")
        s3, repository = doctor.look_at_s3(find_settings()), doctor.look_at_repository(find_settings())
    assert not s3.good and "answers with a page" in s3.found and "Check AWS_S3_ENDPOINT" in s3.next_action
    assert not repository.good and "Check the cluster domain" in repository.next_action


def test_doctor_names_the_variable_of_each_certificate(workbench, monkeypatch):
    certificate, token = make_certificate(workbench), workbench_module.service_account("token").read_text()
    pipelines, models = PlatformServer(certificate, token), RegistryServer(certificate)
    monkeypatch.setattr(models_registry, "PlatformRegistry", lambda *_, **__: models.open())
    monkeypatch.setattr(settings, "repository_url", lambda *_: f"{models.url}/user7/jukebox.git")
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_S3_BUCKET", "cluster_domain"):
        monkeypatch.setenv(key, "x")
    monkeypatch.setenv("AWS_S3_ENDPOINT", models.url)
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", pipelines.url)
    variables = {
        "S3": "AWS_CA_BUNDLE",
        "git repository": "GIT_SSL_CAINFO",
        "pipeline server": "SSL_CERT_FILE",
        "model registry": "SSL_CERT_FILE",
    }
    try:
        found = findings()
        assert {what for what, finding in found.items() if not finding.good} == set(variables)
        assert [what for what, name in variables.items() if name not in found[what].next_action] == []
        for name in variables.values():
            monkeypatch.setenv(name, str(workbench / "ca.pem"))
        found = findings()
    finally:
        pipelines.close()
        models.close()
    assert found["pipeline server"].good and found["model registry"].good
    assert not [finding for finding in found.values() if "certificate" in finding.found]


def test_inside_the_cluster_the_service_ca_is_trusted(workbench, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/bundle.pem")
    inside = "https://ds-pipeline-dspa.user7-toolings.svc:8443"
    assert str(workbench_module.certificate_authority(inside)) == "/etc/bundle.pem"
    authority = workbench / "serviceaccount" / "service-ca.crt"
    authority.write_text("PEM")
    assert workbench_module.certificate_authority(inside) == authority
    assert str(workbench_module.certificate_authority(f"https://ds-pipeline.{DOMAIN}")) == "/etc/bundle.pem"
    monkeypatch.delenv("SSL_CERT_FILE")
    assert workbench_module.certificate_authority(f"https://ds-pipeline.{DOMAIN}") is None


def test_doctor_shows_addresses_whole(workbench):
    output = jukebox("doctor")[1]
    assert "…" not in output and "svc:8443" in output.replace("\n", "").replace(" ", "")


def test_doctor_is_content_when_all_is_there(server, models, sandbox, monkeypatch):
    monkeypatch.setenv("cluster_domain", sandbox.cluster_domain)
    workbench_module.NAMESPACE_FILE.write_text(sandbox.namespace)
    for key, value in {**sandbox.secret("aws-connection-models"), **sandbox.secret("git-auth")}.items():
        monkeypatch.setenv(key, value)
    found = findings()
    assert [what for what, finding in found.items() if not finding.good] in ([], ["S3"])  # the shared sandbox's buckets
    assert "models" in found["S3"].found
    assert found["pipeline server"].found == "pipelines: none yet"
    assert found["model registry"].found == "models: none yet"


def jukebox(*arguments):
    result = CliRunner().invoke(cli, arguments, catch_exceptions=True)
    return result.exit_code, result.output, result.exception


def test_import_schedule_and_run_as_the_dashboard_does(server, workbench, monkeypatch):
    monkeypatch.setenv("cluster_domain", DOMAIN)
    assert jukebox("import")[1].startswith("Imported: data-pipeline-with-dvc ")
    assert jukebox("import")[1].startswith("Already there: ")
    assert jukebox("schedule", "--dataset-url", SONGS)[1].startswith("Scheduled: data-pipeline-with-dvc-daily, ")
    assert jukebox("schedule", "--dataset-url", SONGS)[1].startswith("Unchanged: ")
    status, output, error = jukebox("run", "data-pipeline", "--dataset-url", SONGS)
    assert status == 0, error
    assert "succeeded" in output
    [run], [recurring] = server.runs, server.recurring
    expected = {"dataset_url": SONGS, "repo_url": f"https://gitea-gitea.{DOMAIN}/user7/jukebox.git"}
    assert run.parameters == recurring.parameters == expected
    assert run.display_name == "data-pipeline-with-dvc-adhoc-run"
    assert "No news" not in output  # nobody has asked the git server of that domain


def test_what_was_not_imported_is_not_scheduled_and_a_run_imports_it(server, workbench, monkeypatch):
    monkeypatch.setenv("cluster_domain", DOMAIN)
    error = jukebox("schedule", "--dataset-url", SONGS)[2]
    assert "has no pipeline 'data-pipeline-with-dvc'" in str(error) and "./jukebox import" in str(error)
    assert jukebox("run", "data-pipeline", "--dataset-url", SONGS)[0] == 0
    assert [version.spec for version in server.versions] == [settings.DATA_PIPELINE_YAML.read_text()]


def test_training_in_the_cluster_runs_a_revisions_own_pipeline(server, sandbox, monkeypatch):
    workbench_module.NAMESPACE_FILE.write_text(sandbox.namespace)
    monkeypatch.setenv("cluster_domain", sandbox.cluster_domain)
    for key, value in sandbox.secret("git-auth").items():
        monkeypatch.setenv(key, value)
    status, output, error = jukebox("run", "training-pipeline", "--json")
    assert status == 0, error
    run = json.loads(output[output.index("{") :])
    [version], [known] = server.versions, server.runs
    assert version.display_name == run["arguments"]["version"] and len(version.display_name) == 10
    assert known.display_name == f"training-pipeline-{version.display_name}"
    assert known.parameters["cluster_domain"] == sandbox.cluster_domain
    assert known.parameters["model_name"] == "jukebox"
    assert jukebox("import", "training-pipeline")[1] == f"Already there: training-pipeline {version.display_name}\n"


def test_doctor_looks_at_the_same_things_on_a_laptop(sandbox, monkeypatch):
    monkeypatch.setenv("JUKEBOX_STATE", str(sandbox.state))
    found = findings()
    assert {"S3", "git repository", "pipeline server", "model registry"} <= set(found)
    assert not {"token", "cluster domain"} & set(found)
    assert found["pipeline server"].good and found["model registry"].good


def test_doctor_on_a_laptop_says_what_does_not_answer(sandbox, tmp_path, monkeypatch):
    """As after a power cut: the addresses are there, and nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    description = (sandbox.state / "platform.json").read_text()
    (tmp_path / "platform.json").write_text(description.replace(sandbox.cluster_domain, nobody))
    shutil.copytree(sandbox.secrets, tmp_path / "secrets")
    monkeypatch.setenv("JUKEBOX_STATE", str(tmp_path))
    monkeypatch.setattr(connection, "PAUSES", (0.01,))
    found = findings()
    assert not any(found[what].good for what in ("git repository", "pipeline server", "model registry"))
    server = found["pipeline server"]
    assert "cannot be reached" in server.found and "./jukebox up starts it" in server.next_action
    assert not any("cluster domain" in one.next_action or "workbench" in one.next_action for one in found.values())
    assert found["git repository"].next_action == found["model registry"].next_action == connection.RESTART


@pytest.fixture
def failed_run(server, workbench, monkeypatch):
    """The id of a run whose second step has failed."""
    monkeypatch.setenv("cluster_domain", DOMAIN)
    server.runner.states = ["SUCCEEDED", "FAILED"]
    assert "the step's own words" in str(jukebox("run", "data-pipeline", "--dataset-url", SONGS)[2])
    [run] = server.runs
    return run.id


def test_the_log_of_a_run_is_that_of_each_step_or_of_one(server, failed_run):
    status, whole, _ = jukebox("log", failed_run)
    assert status == 0
    assert whole.startswith("── check-access\ncheck-access is done\n") and "── extract\nTraceback …" in whole
    assert jukebox("log", failed_run, "check-access") == (0, "── check-access\ncheck-access is done\n\n", None)


def test_the_runs_are_listed_the_newest_first_with_why_one_failed(server, failed_run):
    assert jukebox("run", "data-pipeline", "--dataset-url", SONGS)[0] == 0
    status, printed, _ = jukebox("runs", "--json")
    newest, failed = json.loads(printed)
    assert status == 0 and newest["state"] == "succeeded" and newest["why"] == ""
    assert failed["id"] == failed_run and failed["state"] == "failed" and "the step's own words" in failed["why"]
    assert {newest["pipeline"], failed["pipeline"]} == {"data-pipeline-with-dvc"}
    assert newest["name"] == "data-pipeline-with-dvc-adhoc-run" and newest["when"] >= failed["when"]
    table = jukebox("runs")[1]
    assert failed_run in table and table.index("succeeded") < table.index("failed")
    assert table.count("data-pipeline-with-dvc: data-pipeline-with-dvc-adhoc-run\n") == 2
    assert table.endswith("the step's own words.\n")
    assert [one["id"] for one in json.loads(jukebox("runs", "--number", "1", "--json")[1])] == [newest["id"]]


def test_without_a_run_the_list_says_so(server, workbench):
    assert jukebox("runs") == (0, "No run so far.\n", None)


def test_a_run_whose_pipeline_is_gone_is_listed(server, failed_run):
    with Session(server.engine) as session, session.begin():
        session.execute(delete(tables.PipelineVersion))
        session.execute(delete(tables.Pipeline))
    [known] = json.loads(jukebox("runs", "--json")[1])
    assert (known["id"], known["state"]) == (failed_run, "failed")


def test_a_log_is_printed_whole_and_no_terminal_obeys_it(server, failed_run):
    for file in server.runner.logs.glob("*/*.log"):
        file.write_text("\x1b[2J\t" * 3_000 + "the end")
    printed = jukebox("log", failed_run, "extract")[1]
    assert printed == "── extract\n" + "\\x1b[2J\\t" * 3_000 + "the end\n"


def test_a_log_that_is_not_there_is_said(server, failed_run):
    unknown = jukebox("log", failed_run, "load")
    assert unknown[0] == 1
    assert str(unknown[2]) == "There is no log of a step 'load'.\nNext: There are: check-access, extract."
    missing = jukebox("log", "no-such-run")
    assert missing[0] == 1 and "has no run 'no-such-run'" in str(missing[2])
    shutil.rmtree(server.runner.logs / failed_run)
    gone = jukebox("log", failed_run)
    assert gone[0] == 1 and gone[1] == "" and f"has no log of the run {failed_run}" in str(gone[2])


def test_a_log_that_cannot_be_had_now_is_not_called_missing(server, failed_run, monkeypatch):
    monkeypatch.setattr(connection, "PAUSES", (0.01,))
    server.proxy.fail("GET .*/nodes/.*/log", 503, times=None)
    status, printed, error = jukebox("log", failed_run)
    assert status == 1 and printed == "" and "no log" not in str(error) and "503" in str(error)
