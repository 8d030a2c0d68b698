"""Import, schedule and run against a server that speaks KFP's API and says no."""

import itertools
import shutil
import socket

import pytest
from fake_pipelines_server import FakePipelines
from kfp import dsl
from loopback import make_certificate
from waiting import DEADLINE

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import compile, connection, read
from jukebox_helpers.pipelines.actions import version_name
from jukebox_helpers.pipelines.runs import RunFailed
from jukebox_helpers.pipelines.server import PipelineServer, connect
from jukebox_helpers.settings import DATA_PIPELINE_YAML, KIT, Settings
from jukebox_helpers.steps.git import git

NAME, DAILY = "data-pipeline-with-dvc", "data-pipeline-with-dvc-daily"
YAML = KIT / DATA_PIPELINE_YAML
ARGUMENTS = {"dataset_url": "https://example.com/songs.parquet", "repo_url": "https://example.com/user1/jukebox.git"}
STEPS = ["check-access", "extract", "validate", "transform", "load", "version-and-commit"]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(connection, "PAUSES", (0.01, 0.01, 0.01))


@pytest.fixture
def fake():
    fake = FakePipelines()
    yield fake
    fake.close()


@pytest.fixture
def server(fake):
    return PipelineServer(fake.url, "user1-toolings", timeout=DEADLINE)


@pytest.fixture
def imported(server):
    server.import_pipeline(YAML, "0123456789")
    return server.latest(NAME)


def other_pipelines(server, tmp_path, number, version="1"):
    """Fill the server with pipelines of others, more than a page of them."""
    for index in range(number):

        @dsl.component(base_image="python:3.12")
        def nothing():
            pass

        @dsl.pipeline(name=f"other-{index}")
        def other():
            nothing()

        file = compile.compile_pipeline(other, tmp_path / f"{index}.yaml")
        server.import_pipeline(file, version)


def test_import_makes_a_pipeline_whose_version_is_named_by_the_revision(fake, server):
    imported = server.import_pipeline(YAML, "0123456789")
    assert imported.new and (imported.pipeline, imported.version) == (NAME, "0123456789")
    assert [pipeline["display_name"] for pipeline in fake.pipelines.values()] == [NAME]
    assert list(fake.versions) == [imported.version_id]


def test_import_again_adds_a_version_or_finds_it(fake, server, tmp_path):
    other_pipelines(server, tmp_path, 3)
    first = server.import_pipeline(YAML, "0123456789")
    second = server.import_pipeline(YAML, "abcdef0123")
    again = server.import_pipeline(YAML, "0123456789")
    assert second.new and second.pipeline_id == first.pipeline_id
    assert not again.new and again.version_id == first.version_id
    assert len(fake.versions) == 5 and len(fake.pipelines) == 4
    assert server.latest(NAME)[0].version == "abcdef0123"


def test_a_pipeline_that_the_dashboard_shows_under_another_name_gets_the_version(fake, server):
    """Where pipelines are Kubernetes resources, the resource's name is what must differ."""
    fake.kubernetes_store = True
    shown = {"pipeline_id": "a", "name": NAME, "display_name": "Songs, daily", "created_at": "2026-11-01T00:00:00Z"}
    fake.pipelines["a"] = shown
    assert server.import_pipeline(YAML, "0123456789").pipeline_id == "a"
    assert list(fake.pipelines) == ["a"]


def test_a_name_that_is_taken_by_what_cannot_be_seen(fake, server):
    fake.failures["POST .*/pipelines"] = [409]
    with pytest.raises(JukeboxError, match=r"has this already.*\nNext: Run this again"):
        server.import_pipeline(YAML, "0123456789")


def test_what_the_server_holds_is_what_was_imported(imported):
    local = read.read_pipeline(YAML.read_text())
    assert imported[1].spec == local.spec and imported[1].platform == local.platform


@pytest.mark.parametrize("path", ["pipelines", "pipelines/upload_version"])
def test_an_import_that_lost_a_race_takes_what_won(fake, server, path, monkeypatch):
    """Somebody else makes the same between our question and our answer."""
    winner = PipelineServer(fake.url, "user1-toolings", timeout=DEADLINE)
    name, nothing = ("find_pipeline", None) if path == "pipelines" else ("versions", [])
    ask, asked = getattr(server, name), []

    def blind_at_first(*arguments):
        asked.append(arguments)
        if len(asked) == 1:
            winner.import_pipeline(YAML, "0123456789")
            return nothing
        return ask(*arguments)

    if path != "pipelines":
        server.import_pipeline(YAML, "earlier")
    monkeypatch.setattr(server, name, blind_at_first)
    imported = server.import_pipeline(YAML, "0123456789")
    assert not imported.new and imported.version_id in fake.versions
    assert len(fake.pipelines) == 1


@pytest.mark.parametrize("failing", ["POST .*/pipelines", "GET .*/versions", "POST .*/upload_version"])
@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_failed_import_leaves_nothing(fake, server, failing, status):
    fake.failures[failing] = [status] * 4
    with pytest.raises(JukeboxError, match=f"{status}: told to fail"):
        server.import_pipeline(YAML, "0123456789")
    assert fake.pipelines == fake.versions == {}


def test_an_import_that_cannot_be_undone_says_so_and_is_completed_by_the_next(fake, server):
    """A token that expires half way leaves a pipeline without a version."""
    fake.failures = {"POST .*/upload_version": [401], "DELETE .*": [401]}
    with pytest.raises(JukeboxError, match=r"has no version yet: .*401.*\nNext: .*Running this again completes it"):
        server.import_pipeline(YAML, "0123456789")
    assert server.import_pipeline(YAML, "0123456789").new
    assert len(fake.pipelines) == len(fake.versions) == 1


def test_a_file_is_sent_again_whole(fake, server):
    fake.failures["POST .*/upload_version"] = [503, 429]
    assert server.import_pipeline(YAML, "0123456789").new
    assert server.latest(NAME)[1].spec == read.read_pipeline(YAML.read_text()).spec


def test_two_pipelines_of_one_revision_where_versions_share_one_space_of_names(fake, server, tmp_path):
    fake.kubernetes_store = True
    other_pipelines(server, tmp_path, 2, version="0123456789")
    assert sorted(version["display_name"] for version in fake.versions.values()) == ["0123456789", "other-1-0123456789"]
    imported = server.import_pipeline(YAML, "0123456789")
    assert imported.new and imported.version == f"{NAME}-0123456789"
    assert server.import_pipeline(YAML, "0123456789").version_id == imported.version_id
    assert server.latest(NAME)[0].version_id == imported.version_id


def test_a_failed_new_version_leaves_the_pipeline_as_it_was(fake, server):
    server.import_pipeline(YAML, "0123456789")
    fake.failures["POST .*/upload_version"] = [500]
    with pytest.raises(JukeboxError, match="500"):
        server.import_pipeline(YAML, "abcdef0123")
    assert len(fake.pipelines) == len(fake.versions) == 1


def test_what_is_no_pipeline_is_refused_before_anything_is_sent(fake, server, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("name: x")
    with pytest.raises(JukeboxError, match="not a compiled pipeline"):
        server.import_pipeline(file, "1")
    assert not [request for request in fake.requests if request.startswith("POST")]


def test_a_field_that_the_api_does_not_know_is_refused(fake, server, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(YAML.read_text().replace("sdkVersion:", "notAField: 1\nsdkVersion:"))
    with pytest.raises(JukeboxError, match="400: invalid pipeline spec.*notAField"):
        server.import_pipeline(file, "1")
    assert fake.pipelines == {}


def test_the_schedule_is_daily_one_at_a_time_and_without_catching_up(fake, server, imported):
    schedule = server.schedule(*imported, ARGUMENTS, DAILY)
    [known] = fake.recurring.values()
    assert schedule.new and known["recurring_run_id"] == schedule.id
    assert known["display_name"] == DAILY and known["status"] == "ENABLED"
    assert known["trigger"] == {"periodic_schedule": {"interval_second": "86400"}}
    assert known["max_concurrency"] == "1" and known["no_catchup"] is True
    assert known["runtime_config"]["parameters"] == ARGUMENTS
    assert known["pipeline_version_reference"]["pipeline_version_id"] == imported[0].version_id


def test_the_same_schedule_again_changes_nothing(fake, server, imported):
    first = server.schedule(*imported, ARGUMENTS, DAILY)
    assert server.schedule(*imported, ARGUMENTS, DAILY) == type(first)(**{**vars(first), "new": False})
    assert list(fake.recurring) == [first.id]


def test_changing_a_schedule_replaces_it(fake, server, imported):
    for number in range(3):
        server.schedule(*imported, ARGUMENTS, f"other-{number}")
    server.schedule(*imported, ARGUMENTS, DAILY)
    changed = server.schedule(*imported, ARGUMENTS | {"dataset_url": "https://example.com/new"}, DAILY)
    server.import_pipeline(YAML, "abcdef0123")
    newer = server.schedule(*server.latest(NAME), changed.arguments, DAILY)
    daily = [known for known in fake.recurring.values() if known["display_name"] == DAILY]
    assert [known["recurring_run_id"] for known in daily] == [newer.id]
    assert daily[0]["runtime_config"]["parameters"] == changed.arguments
    assert len(fake.recurring) == 4


@pytest.mark.parametrize("failing", ["POST .*/recurringruns", "GET .*/recurringruns", "DELETE .*/recurringruns/.*"])
def test_a_failed_change_leaves_the_old_schedule(fake, server, imported, failing):
    before = server.schedule(*imported, ARGUMENTS, DAILY)
    # The list is asked for before and after the new one is made; only the second time fails.
    fake.failures[failing] = [500] * 4 if not failing.startswith("GET") else []
    if failing.startswith("GET"):
        create = server.client.create_recurring_run

        def then_fail(**arguments):
            server.client.create_recurring_run = create
            fake.failures[failing] = [500] * 4
            return create(**arguments)

        server.client.create_recurring_run = then_fail
    with pytest.raises(JukeboxError, match="500"):
        server.schedule(*imported, {**ARGUMENTS, "repo_url": "https://example.com/x.git"}, DAILY)
    enabled = [known["recurring_run_id"] for known in fake.recurring.values() if known["status"] == "ENABLED"]
    assert enabled == [before.id]
    fake.failures.clear()
    server.schedule(*imported, ARGUMENTS | {"repo_url": "https://example.com/y.git"}, DAILY)
    assert len(fake.recurring) == 1


def test_a_change_that_cannot_be_undone_says_so_and_is_completed_by_the_next(fake, server, imported):
    before = server.schedule(*imported, ARGUMENTS, DAILY)
    changed = ARGUMENTS | {"dataset_url": "https://example.com/new"}
    fake.failures["DELETE .*"] = [401] * 2
    with pytest.raises(JukeboxError, match=r"is as before; a new one is left beside it, off: .*401"):
        server.schedule(*imported, changed, DAILY)
    assert {known["recurring_run_id"]: known["status"] for known in fake.recurring.values()} == {
        before.id: "ENABLED",
        next(key for key in fake.recurring if key != before.id): "DISABLED",
    }
    made = server.schedule(*imported, changed, DAILY)
    assert list(fake.recurring) == [made.id] and fake.recurring[made.id]["status"] == "ENABLED"


def test_a_replacement_that_stays_off_is_turned_on_by_the_next_call(fake, server, imported):
    server.schedule(*imported, ARGUMENTS, DAILY)
    changed = ARGUMENTS | {"dataset_url": "https://example.com/new"}
    fake.failures["POST .*:enable"] = [500]
    with pytest.raises(JukeboxError, match="still off"):
        server.schedule(*imported, changed, DAILY)
    assert [known["status"] for known in fake.recurring.values()] == ["DISABLED"]
    server.schedule(*imported, changed, DAILY)
    assert [known["status"] for known in fake.recurring.values()] == ["ENABLED"]


def test_a_run_shows_its_steps_live(server, imported, tmp_path):
    seen = []

    def see(run):
        seen.append([run.state, *(step.state for step in run.steps)])

    run = server.run(*imported, ARGUMENTS, f"{NAME}-adhoc-run", tmp_path, see, pause=0.001)
    assert run.state == "succeeded" and [step.name for step in run.steps] == STEPS
    assert {step.state for step in run.steps} == {"succeeded"} and run.steps[0].seconds > 0
    assert ["running", "running", *["pending"] * 5] in seen
    assert ["running", "succeeded", "running", *["pending"] * 4] in seen
    assert all(earlier != later for earlier, later in itertools.pairwise(seen))


def test_a_failed_run_says_which_step_and_why(fake, server, imported, tmp_path):
    fake.states = ["SUCCEEDED", "FAILED"]
    with pytest.raises(RunFailed) as caught:
        server.run(*imported, ARGUMENTS, "a-run", tmp_path, pause=0.001)
    assert caught.value.what == f"Step 'extract' of '{NAME}' failed: the step's own words."
    assert caught.value.next_action.startswith("mend it.")
    assert [step.state for step in caught.value.run.steps] == ["succeeded", "failed", *["skipped"] * 4]
    assert "the step's own words" in next(tmp_path.glob("*/log.txt")).read_text()


def test_a_cancelled_run_ends(fake, server, imported, tmp_path):
    fake.states = ["CANCELED"]
    with pytest.raises(RunFailed, match="It was cancelled"):
        server.run(*imported, ARGUMENTS, "a-run", tmp_path, timeout=DEADLINE, pause=0.001)


def test_a_run_that_cannot_be_followed_goes_on(fake, server, imported, tmp_path):
    fake.failures["GET .*/runs/.*"] = [401]
    with pytest.raises(JukeboxError, match=r"'a-run' .* goes on, but cannot be followed any more: .*401"):
        server.run(*imported, ARGUMENTS, "a-run", tmp_path)
    assert len(fake.runs) == 1


def test_a_run_that_hangs_is_left_after_a_time(fake, server, imported, tmp_path):
    fake.states = ["hang"]
    with pytest.raises(JukeboxError, match=r"did not end within 0 s; it is RUNNING"):
        server.run(*imported, ARGUMENTS, "a-run", tmp_path, timeout=0.2, pause=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"dataset_url": "x"}, "needs repo_url"), (ARGUMENTS | {"url": "x"}, "does not know url")],
)
def test_wrong_arguments_start_nothing(fake, server, imported, tmp_path, arguments, message):
    with pytest.raises(JukeboxError, match=message):
        server.run(*imported, arguments, "a-run", tmp_path)
    with pytest.raises(JukeboxError, match=message):
        server.schedule(*imported, arguments, DAILY)
    assert fake.runs == fake.recurring == {}


def test_what_passes_is_tried_again(fake, server, imported, tmp_path):
    fake.failures = {"GET .*/runs/.*": [503, 500, 502], "POST .*/runs": [503, 503]}
    assert server.run(*imported, ARGUMENTS, "a-run", tmp_path, pause=0.001).state == "succeeded"
    assert len(fake.runs) == 1 and fake.requests.count("POST /apis/v2beta1/runs") == 3


def test_a_deletion_whose_answer_was_lost_is_a_deletion(fake, server, imported):
    server.schedule(*imported, ARGUMENTS, DAILY)
    fake.failures["DELETE .*"] = [-502]
    made = server.schedule(*imported, ARGUMENTS | {"dataset_url": "https://example.com/new"}, DAILY)
    assert list(fake.recurring) == [made.id] and fake.recurring[made.id]["status"] == "ENABLED"
    assert sum(request.startswith("DELETE") for request in fake.requests) == 2


def test_a_run_that_may_have_started_is_not_started_twice(fake, server, imported, tmp_path):
    fake.failures["POST .*/runs"] = [500]
    with pytest.raises(JukeboxError, match="500"):
        server.run(*imported, ARGUMENTS, "a-run", tmp_path)
    assert fake.requests.count("POST /apis/v2beta1/runs") == 1


def test_an_outage_ends_with_a_message(fake, server):
    fake.failures["GET .*"] = [503] * 4
    with pytest.raises(JukeboxError, match=r"answers 503.*\nNext: Look at the pipeline server's pods"):
        server.find_pipeline(NAME)


def test_a_server_that_is_silent(fake, server, imported, tmp_path):
    """A request that makes something is not sent twice: nobody knows whether it was heard."""
    fake.failures = {"GET .*/pipelines": [0] * 9, "POST .*": [0] * 9}
    impatient = PipelineServer(fake.url, "user1-toolings", timeout=0.1)
    before = len(fake.requests)
    for ask in (
        lambda: impatient.find_pipeline(NAME),
        lambda: impatient.run(*imported, ARGUMENTS, "a-run", tmp_path),
        lambda: impatient.schedule(*imported, ARGUMENTS, DAILY),
    ):
        with pytest.raises(JukeboxError, match="did not answer in time; what was asked may still be done"):
            ask()
    assert [request for request in fake.requests[before:] if request.startswith("POST")] == [
        "POST /apis/v2beta1/runs",
        "POST /apis/v2beta1/recurringruns",
    ]


def test_an_expired_token_is_said_and_never_shown_and_a_fresh_one_is_read(fake, tmp_path):
    fake.token = "fresh-token"
    (tmp_path / "token").write_text("stale-token\n")
    server = PipelineServer(fake.url, "user1-toolings", tmp_path / "token", timeout=DEADLINE)
    with pytest.raises(JukeboxError, match="token may have expired: restart the workbench") as caught:
        server.find_pipeline(NAME)
    assert "stale-token" not in str(caught.value)
    (tmp_path / "token").write_text("fresh-token\n")
    assert server.find_pipeline(NAME) is None


def test_a_token_that_is_not_there(fake, tmp_path):
    with pytest.raises(JukeboxError, match="token cannot be read"):
        PipelineServer(fake.url, "user1-toolings", tmp_path / "none", timeout=DEADLINE).find_pipeline(NAME)


def test_a_missing_role_is_named(fake, server):
    fake.failures["GET .*"] = [403]
    with pytest.raises(JukeboxError, match="ds-pipeline-user-access-dspa"):
        server.find_pipeline(NAME)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (200, r"a login page.*\nNext: .*KF_PIPELINES_ENDPOINT"),
        (403, r"answers 403 with a login page.*\nNext: The token may have expired.*ds-pipeline-user-access-dspa"),
        (503, r"answers 503 with a page: there is none at .*\nNext: .*Configure pipeline server"),
    ],
)
def test_a_page_is_no_pipeline_server(fake, server, status, message):
    """A login page, that of an OAuth proxy, and what OpenShift's router says for a host without a route."""
    fake.page = status
    with pytest.raises(JukeboxError, match=message):
        server.import_pipeline(YAML, "0123456789")
    assert fake.pipelines == {}


def test_a_project_without_a_pipeline_server():
    server = PipelineServer(
        "https://ds-pipeline-dspa.user1-toolings.svc.invalid:8443", "user1-toolings", timeout=DEADLINE
    )
    with pytest.raises(JukeboxError, match=r"has no pipeline server.*\nNext: .*Configure pipeline server"):
        server.find_pipeline(NAME)


def test_a_server_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(JukeboxError, match="cannot be reached"):
        PipelineServer(address, "user1-toolings", timeout=DEADLINE).find_pipeline(NAME)


def test_a_certificate_needs_its_authority(tmp_path):
    fake = FakePipelines(make_certificate(tmp_path))
    try:
        authority = tmp_path / "ca.pem"
        trusting = PipelineServer(fake.url, "user1-toolings", certificate_authority=authority, timeout=DEADLINE)
        assert trusting.find_pipeline(NAME) is None
        with pytest.raises(JukeboxError, match="is not trusted"):
            PipelineServer(fake.url, "user1-toolings", timeout=DEADLINE).find_pipeline(NAME)
    finally:
        fake.close()


def test_an_unknown_pipeline_names_the_next_step(server):
    with pytest.raises(JukeboxError, match=r"has no pipeline 'nothing'.*\nNext: .*\./jukebox import"):
        server.latest("nothing")


def test_the_fake_refuses_what_the_api_refuses(fake, server, imported):
    """The server of these tests can say no: that is what makes the others mean something."""
    from kfp_server_api import ApiException, V2beta1RecurringRun, V2beta1Trigger

    pipeline, _ = imported
    ids = {"pipeline_id": pipeline.pipeline_id, "version_id": pipeline.version_id}
    with pytest.raises(ApiException, match="404"):
        server.client.run_pipeline("", "x", params=ARGUMENTS, pipeline_id=pipeline.pipeline_id, version_id="no-such")
    with pytest.raises(ApiException, match="400"):
        server.client.run_pipeline("", "x", params={}, **ids)
    with pytest.raises(ApiException, match="404"):
        server.client.run_pipeline("no-such-experiment", "x", params=ARGUMENTS, **ids)
    daily = V2beta1Trigger(periodic_schedule={"interval_second": "86400"})
    good = {
        "display_name": "x",
        "trigger": daily,
        "mode": "ENABLE",
        "max_concurrency": 1,
        "pipeline_version_reference": {
            "pipeline_id": pipeline.pipeline_id,
            "pipeline_version_id": pipeline.version_id,
        },
        "runtime_config": {"parameters": ARGUMENTS},
    }
    both = V2beta1Trigger(cron_schedule={"cron": "0 0 * * * *"}, periodic_schedule={"interval_second": "86400"})
    for wrong, message in (
        ({"trigger": V2beta1Trigger()}, "exactly one of"),
        ({"trigger": both}, "exactly one of"),
        ({"trigger": {"daily": True}}, "unknown field 'daily' in V2beta1Trigger"),
        ({"mode": "ON"}, "'ON' is no RecurringRunMode"),
        ({"max_concurrency": 11}, "from 1 to 10"),
        ({"no_catchup": "yes"}, "'yes' is no bool"),
        ({"display_name": ["x"]}, "is no str"),
        ({"runtime_config": {"parameters": []}}, r"is no dict\(str, object\)"),
        ({"runtime_config": {"parameters": {}}}, "requires input parameters"),
        ({"pipeline_version_reference": {"pipeline_id": pipeline.pipeline_id}}, "404"),
    ):
        with pytest.raises(ApiException, match=message):
            server.client.recurring_runs.recurring_run_service_create_recurring_run(V2beta1RecurringRun(**good | wrong))
    for ask in (
        lambda: server.client.get_run("no-such-id"),
        lambda: server.client.list_pipeline_versions("no-such-id"),
        lambda: server.client.delete_pipeline("no-such-id"),
        lambda: server.client.delete_recurring_run("no-such-id"),
        lambda: server.client.enable_recurring_run("no-such-id"),
        lambda: server.client.upload_pipeline_version(str(YAML), "x", "no-such-id"),
    ):
        with pytest.raises(ApiException, match=r"no-such-id not found"):
            ask()
    assert fake.runs == fake.recurring == {} and len(fake.versions) == 1


def test_what_was_deleted_is_said(server, imported):
    gone = type(imported[0])(**vars(imported[0]) | {"version_id": "no-such-id"})
    with pytest.raises(JukeboxError, match=r"404: .*not found\nNext: See in the dashboard whether it was deleted"):
        server.schedule(gone, imported[1], ARGUMENTS, DAILY)


def test_the_sandbox_says_what_to_do_instead(tmp_path):
    with pytest.raises(JukeboxError, match=r"no pipeline server.*\nNext: .*\./jukebox run data-pipeline"):
        connect(Settings("sandbox", tmp_path, "user1-toolings", "http://127.0.0.1:1", "http://127.0.0.1:2"))


def test_a_version_is_named_by_its_revision_and_a_change_shows(tmp_path):
    file = tmp_path / "song-properties-etl.yaml"
    shutil.copy(YAML, file)
    with pytest.raises(JukeboxError, match="no git repository"):
        version_name(file)
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    git("init", "--quiet", folder=str(tmp_path))
    git("add", file.name, folder=str(tmp_path))
    git(*who, "commit", "--quiet", "--message", "A pipeline", folder=str(tmp_path))
    revision = git("rev-parse", "HEAD", folder=str(tmp_path))
    assert version_name(file) == revision[:10]
    file.write_text(file.read_text() + "\n")
    changed = version_name(file)
    assert changed.startswith(f"{revision[:10]}-") and len(changed) == 19
