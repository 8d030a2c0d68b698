"""Import, schedule and run against the sandbox's pipeline server, behind a proxy that says no."""

import itertools
import json
import shutil
import socket
from datetime import timedelta

import pytest
from kfp import dsl
from loopback import make_certificate
from platform_server import PlatformServer
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from waiting import DEADLINE, eventually

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import compile, connection, following, read
from jukebox_helpers.pipelines import server as server_module
from jukebox_helpers.pipelines.actions import version_name
from jukebox_helpers.pipelines.following import find_run, follow, logs, nobody, start_run
from jukebox_helpers.pipelines.runs import RunFailed
from jukebox_helpers.pipelines.server import PipelineServer
from jukebox_helpers.settings import DATA_PIPELINE_YAML, KIT
from jukebox_helpers.steps.git import git
from jukebox_sandbox.pipeline_server import tables

NAME, DAILY = "data-pipeline-with-dvc", "data-pipeline-with-dvc-daily"
YAML = KIT / DATA_PIPELINE_YAML
ARGUMENTS = {"dataset_url": "https://example.com/songs.parquet", "repo_url": "https://example.com/user1/jukebox.git"}
STEPS = ["check-access", "extract", "validate", "transform", "load", "version-and-commit"]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(connection, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(following, "PAUSE", 0.01)
    monkeypatch.setattr(server_module, "PAGE", 2)


@pytest.fixture
def platform():
    platform = PlatformServer()
    yield platform
    platform.close()


def connected(platform, timeout=DEADLINE):
    return PipelineServer(platform.url, "user1-toolings", platform.token_file, timeout=timeout)


@pytest.fixture
def server(platform):
    return connected(platform)


@pytest.fixture
def imported(server):
    server.import_pipeline(YAML, "0123456789")
    return server.latest(NAME)


def run(server, imported, arguments=ARGUMENTS, on_change=nobody, **options):
    """Start a run of the imported version, and follow it."""
    return follow(server, start_run(server, imported, arguments, "a-run"), on_change, **options)


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


def test_import_makes_a_pipeline_whose_version_is_named_by_the_revision(platform, server):
    imported = server.import_pipeline(YAML, "0123456789")
    assert imported.new and (imported.pipeline, imported.version) == (NAME, "0123456789")
    assert [pipeline.display_name for pipeline in platform.pipelines] == [NAME]
    assert [version.id for version in platform.versions] == [imported.version_id]


def test_import_again_adds_a_version_or_finds_it(platform, server, tmp_path):
    other_pipelines(server, tmp_path, 3)
    first = server.import_pipeline(YAML, "0123456789")
    second = server.import_pipeline(YAML, "abcdef0123")
    again = server.import_pipeline(YAML, "0123456789")
    assert second.new and second.pipeline_id == first.pipeline_id
    assert not again.new and again.version_id == first.version_id
    assert len(platform.versions) == 5 and len(platform.pipelines) == 4
    assert server.latest(NAME).version == "abcdef0123"


def test_a_pipeline_that_the_dashboard_shows_under_another_name_gets_the_version(platform, server):
    """Where pipelines are Kubernetes resources, the resource's name is what must differ."""
    with Session(platform.engine) as session, session.begin():
        session.add(tables.Pipeline(id="a", name=NAME, display_name="Songs, daily"))
    assert server.import_pipeline(YAML, "0123456789").pipeline_id == "a"
    assert [pipeline.id for pipeline in platform.pipelines] == ["a"]


def test_a_name_that_is_taken_by_what_cannot_be_seen(platform, server):
    platform.proxy.fail("POST .*/pipelines", 409)
    with pytest.raises(JukeboxError, match=r"has this already.*\nNext: Run this again"):
        server.import_pipeline(YAML, "0123456789")


def test_what_the_server_holds_is_what_was_imported(imported):
    local = read.read_pipeline(YAML.read_text())
    assert imported.compiled == local


@pytest.mark.parametrize("path", ["pipelines", "pipelines/upload_version"])
def test_an_import_that_lost_a_race_takes_what_won(platform, server, path, monkeypatch):
    """Somebody else makes the same between our question and our answer."""
    winner = connected(platform)
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
    assert not imported.new and imported.version_id in {version.id for version in platform.versions}
    assert len(platform.pipelines) == 1


@pytest.mark.parametrize("failing", ["POST .*/pipelines", "GET .*/versions", "POST .*/upload_version"])
@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_failed_import_leaves_nothing(platform, server, failing, status):
    platform.proxy.fail(failing, status, times=4)
    with pytest.raises(JukeboxError, match=f"{status}: told to fail"):
        server.import_pipeline(YAML, "0123456789")
    assert platform.pipelines == platform.versions == []


def test_an_import_that_cannot_be_undone_says_so_and_is_completed_by_the_next(platform, server):
    """A token that expires half way leaves a pipeline without a version."""
    platform.proxy.fail("POST .*/upload_version", 401)
    platform.proxy.fail("DELETE .*", 401)
    with pytest.raises(JukeboxError, match=r"has no version yet: .*401.*\nNext: .*Running this again completes it"):
        server.import_pipeline(YAML, "0123456789")
    assert server.import_pipeline(YAML, "0123456789").new
    assert len(platform.pipelines) == len(platform.versions) == 1


def test_a_file_is_sent_again_whole(platform, server):
    platform.proxy.fail("POST .*/upload_version", 503)
    platform.proxy.fail("POST .*/upload_version", 429)
    assert server.import_pipeline(YAML, "0123456789").new
    assert server.latest(NAME).compiled.spec == read.read_pipeline(YAML.read_text()).spec


def test_two_pipelines_of_one_revision_where_versions_share_one_space_of_names(platform, server, tmp_path):
    other_pipelines(server, tmp_path, 1, version="0123456789")
    platform.proxy.fail("POST .*/upload_version", 409)
    imported = server.import_pipeline(YAML, "0123456789")
    assert imported.new and imported.version == f"{NAME}-0123456789"
    assert server.import_pipeline(YAML, "0123456789").version_id == imported.version_id
    assert server.latest(NAME).version_id == imported.version_id


def test_another_file_under_the_name_of_a_version_gets_a_name_of_its_own(platform, server, tmp_path):
    """A revision that is compiled again by another kit is another file; what runs is what was just compiled."""
    first = server.import_pipeline(YAML, "0123456789")
    changed = tmp_path / "changed.yaml"
    changed.write_text(YAML.read_text().replace("Fetches the songs", "Brings the songs"))
    second = server.import_pipeline(changed, "0123456789")
    assert second.new and second.version.startswith("0123456789-") and len(second.version) == 19
    assert server.import_pipeline(changed, "0123456789") == type(second)(**vars(second) | {"new": False})
    assert server.import_pipeline(YAML, "0123456789").version_id == first.version_id


def test_a_failed_new_version_leaves_the_pipeline_as_it_was(platform, server):
    server.import_pipeline(YAML, "0123456789")
    platform.proxy.fail("POST .*/upload_version", 500)
    with pytest.raises(JukeboxError, match="500"):
        server.import_pipeline(YAML, "abcdef0123")
    assert len(platform.pipelines) == len(platform.versions) == 1


def test_what_is_no_pipeline_is_refused_before_anything_is_sent(platform, server, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("name: x")
    with pytest.raises(JukeboxError, match="not a compiled pipeline"):
        server.import_pipeline(file, "1")
    assert not [request for request in platform.proxy.requests if request.startswith("POST")]


def test_a_field_that_the_api_does_not_know_is_refused(platform, server, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(YAML.read_text().replace("sdkVersion:", "notAField: 1\nsdkVersion:"))
    with pytest.raises(JukeboxError, match="(?s)400: .*notAField"):
        server.import_pipeline(file, "1")
    assert platform.pipelines == []


def test_the_latest_of_two_versions_made_within_a_second(platform, server):
    """A real server knows whole seconds; among those its own order decides, and the sandbox's is that of arrival."""
    for version in ("b", "a", "c"):
        server.import_pipeline(YAML, version)
    with Session(platform.engine) as session, session.begin():
        session.execute(update(tables.PipelineVersion).values(created_at=tables.now().replace(microsecond=0)))
        [first] = session.scalars(select(tables.PipelineVersion).filter_by(name="b"))
        first.created_at += timedelta(milliseconds=900)  # which no client can see
    assert server.latest(NAME).version == "c"


def test_of_many_versions_only_what_is_asked_for_is_read(platform, server, monkeypatch):
    """Each comes with its whole spec: a hundred took seconds."""
    for number in range(4):
        server.import_pipeline(YAML, f"version-{number}")
    listed, ask = [], server.client.list_pipeline_versions

    def counting(*arguments, **options):
        answer = ask(*arguments, **options)
        listed.extend(version.display_name for version in answer.pipeline_versions or [])
        return answer

    monkeypatch.setattr(server.client, "list_pipeline_versions", counting)
    assert server.latest(NAME).version == "version-3"
    assert not server.import_pipeline(YAML, "version-1").new
    assert server.import_pipeline(YAML, "version-4").new
    assert listed == ["version-3", "version-1"]


def test_an_import_reads_its_file_once(platform, server, monkeypatch):
    reads, read_text = [], server_module.read_pipeline
    monkeypatch.setattr(server_module, "read_pipeline", lambda text: reads.append(text) or read_text(text))
    imported = server.import_pipeline(YAML, "0123456789")
    assert len(reads) == 1 and imported.compiled == read.read_pipeline(YAML.read_text())
    assert "compiled" not in imported.as_json() and imported.as_json()["version"] == "0123456789"


def test_the_schedule_is_daily_one_at_a_time_and_without_catching_up(platform, server, imported):
    schedule = server.schedule(imported, ARGUMENTS, DAILY)
    [known] = platform.recurring
    assert schedule.new and known.id == schedule.id
    assert known.display_name == DAILY and known.enabled
    assert known.interval_second == 86_400 and not known.cron
    assert known.max_concurrency == 1 and known.no_catchup
    assert known.parameters == ARGUMENTS
    assert known.pipeline_version_id == imported.version_id


def ids(platform):
    """The schedules, and whether each is on."""
    return {known.id: known.enabled for known in platform.recurring}


def test_the_same_schedule_again_changes_nothing(platform, server, imported):
    first = server.schedule(imported, ARGUMENTS, DAILY)
    assert server.schedule(imported, ARGUMENTS, DAILY) == type(first)(**{**vars(first), "new": False})
    assert ids(platform) == {first.id: True}


def test_changing_a_schedule_replaces_it(platform, server, imported):
    for number in range(3):
        server.schedule(imported, ARGUMENTS, f"other-{number}")
    server.schedule(imported, ARGUMENTS, DAILY)
    changed = server.schedule(imported, ARGUMENTS | {"dataset_url": "https://example.com/new"}, DAILY)
    server.import_pipeline(YAML, "abcdef0123")
    newer = server.schedule(server.latest(NAME), changed.arguments, DAILY)
    [daily] = [known for known in platform.recurring if known.display_name == DAILY]
    assert daily.id == newer.id and daily.parameters == changed.arguments
    assert len(platform.recurring) == 4


@pytest.mark.parametrize("failing", ["POST .*/recurringruns", "GET .*/recurringruns", "DELETE .*/recurringruns/.*"])
def test_a_failed_change_leaves_the_old_schedule(platform, server, imported, failing):
    before = server.schedule(imported, ARGUMENTS, DAILY)
    if failing.startswith("GET"):
        # The list is asked for before and after the new one is made; only the second time fails.
        create = server.client.create_recurring_run

        def then_fail(**arguments):
            server.client.create_recurring_run = create
            platform.proxy.fail(failing, 500, times=4)
            return create(**arguments)

        server.client.create_recurring_run = then_fail
    else:
        platform.proxy.fail(failing, 500, times=4)
    with pytest.raises(JukeboxError, match="500"):
        server.schedule(imported, {**ARGUMENTS, "repo_url": "https://example.com/x.git"}, DAILY)
    assert [key for key, enabled in ids(platform).items() if enabled] == [before.id]
    platform.proxy.failures.clear()
    server.schedule(imported, ARGUMENTS | {"repo_url": "https://example.com/y.git"}, DAILY)
    assert len(platform.recurring) == 1


def test_a_change_that_cannot_be_undone_says_so_and_is_completed_by_the_next(platform, server, imported):
    before = server.schedule(imported, ARGUMENTS, DAILY)
    changed = ARGUMENTS | {"dataset_url": "https://example.com/new"}
    platform.proxy.fail("DELETE .*", 401, times=2)
    with pytest.raises(JukeboxError, match=r"is as before; a new one is left beside it, off: .*401"):
        server.schedule(imported, changed, DAILY)
    left = ids(platform)
    assert left.pop(before.id) is True and list(left.values()) == [False]
    made = server.schedule(imported, changed, DAILY)
    assert ids(platform) == {made.id: True}


def test_a_replacement_that_stays_off_is_turned_on_by_the_next_call(platform, server, imported):
    server.schedule(imported, ARGUMENTS, DAILY)
    changed = ARGUMENTS | {"dataset_url": "https://example.com/new"}
    platform.proxy.fail("POST .*:enable", 500)
    with pytest.raises(JukeboxError, match="still off"):
        server.schedule(imported, changed, DAILY)
    assert list(ids(platform).values()) == [False]
    server.schedule(imported, changed, DAILY)
    assert list(ids(platform).values()) == [True]


def test_a_run_shows_its_steps_live(platform, server, imported):
    seen = []

    def see(run):
        seen.append([run.state, *(step.state for step in run.steps)])

    def until_asked(run_id):
        asked = f"GET /apis/v2beta1/runs/{run_id}"
        before = platform.proxy.requests.count(asked)
        eventually(lambda: platform.proxy.requests.count(asked) > before + 1)

    platform.runner.before = until_asked
    finished = run(server, imported, on_change=see)
    assert finished.state == "succeeded" and [step.name for step in finished.steps] == STEPS
    assert {step.state for step in finished.steps} == {"succeeded"}
    assert ["running", "running", *["pending"] * 5] in seen
    assert ["running", "succeeded", "running", *["pending"] * 4] in seen
    assert all(earlier != later for earlier, later in itertools.pairwise(seen))


def test_a_failed_run_says_which_step_and_why(platform, server, imported):
    platform.runner.states = ["SUCCEEDED", "FAILED"]
    with pytest.raises(RunFailed) as caught:
        run(server, imported)
    assert caught.value.what == f"Step 'extract' of '{NAME}' failed: the step's own words."
    assert caught.value.next_action == f"fix it. (The log: ./jukebox log {caught.value.run.id})"
    assert [step.state for step in caught.value.run.steps] == ["succeeded", "failed", *["skipped"] * 4]
    found = find_run(server, "a-run")
    assert (found.state, found.error, found.next_action) == ("failed", "the step's own words.", "fix it.")
    printed = logs(server, found.id)
    assert list(printed) == ["check-access", "extract"] and printed["check-access"] == "check-access is done\n"


def test_a_package_that_a_step_does_not_declare_says_what_to_do(platform, server, imported, monkeypatch):
    words = {"what": "ModuleNotFoundError: No module named 'requests'", "next": ""}
    monkeypatch.setattr("platform_server.WHY", json.dumps(words))
    platform.runner.states = ["FAILED"]
    with pytest.raises(RunFailed, match=r"named 'requests'\nNext: Declare the package in the step, as the others are"):
        run(server, imported)


def test_an_unknown_run_has_no_log_and_nothing_to_import(server):
    with pytest.raises(JukeboxError, match=r"has no run 'no-such'") as failed:
        logs(server, "no-such")
    assert "./jukebox runs" in failed.value.next_action and "import" not in failed.value.next_action


def test_where_the_log_cannot_be_had_the_dashboard_is_named(platform, server, imported):
    platform.runner.states = ["FAILED"]
    platform.runner.write = False
    with pytest.raises(
        RunFailed, match=r"Step 'check-access' .* does not say why.*\nNext: Read the step's log in the"
    ) as caught:
        run(server, imported)
    assert logs(server, caught.value.run.id) == {}


def test_a_cancelled_run_ends(platform, server, imported):
    platform.runner.states = ["CANCELED"]
    with pytest.raises(RunFailed, match="It was cancelled"):
        run(server, imported)


def test_the_newest_run_of_a_name_is_found(platform, server, imported):
    assert find_run(server, "a-run") is None
    run(server, imported)
    newest = run(server, imported)
    assert find_run(server, "a-run").id == newest.id and len(platform.runs) == 2


def test_a_run_that_cannot_be_followed_goes_on(platform, server, imported):
    platform.proxy.fail("GET .*/runs/.*", 401)
    with pytest.raises(JukeboxError, match=r"'a-run' .* goes on, but cannot be followed any more: .*401"):
        run(server, imported)
    assert len(platform.runs) == 1


def test_a_run_that_hangs_is_left_after_a_time(platform, server, imported):
    platform.runner.states = ["hang"]
    with pytest.raises(JukeboxError, match=r"did not end within 0 s"):
        run(server, imported, timeout=0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"dataset_url": "x"}, "needs repo_url"), (ARGUMENTS | {"url": "x"}, "does not know url")],
)
def test_wrong_arguments_start_nothing(platform, server, imported, arguments, message):
    with pytest.raises(JukeboxError, match=message):
        run(server, imported, arguments)
    with pytest.raises(JukeboxError, match=message):
        server.schedule(imported, arguments, DAILY)
    assert platform.runs == platform.recurring == []


def test_what_passes_is_tried_again(platform, server, imported):
    for status in (503, 500, 502):
        platform.proxy.fail("GET .*/runs/.*", status)
    platform.proxy.fail("POST .*/runs", 503, times=2)
    assert run(server, imported).state == "succeeded"
    assert len(platform.runs) == 1 and platform.proxy.requests.count("POST /apis/v2beta1/runs") == 3


def test_a_deletion_whose_answer_was_lost_is_a_deletion(platform, server, imported):
    server.schedule(imported, ARGUMENTS, DAILY)
    platform.proxy.fail("DELETE .*", 502, done=True)
    made = server.schedule(imported, ARGUMENTS | {"dataset_url": "https://example.com/new"}, DAILY)
    assert ids(platform) == {made.id: True}
    assert sum(request.startswith("DELETE") for request in platform.proxy.requests) == 2


def test_a_run_that_may_have_started_is_not_started_twice(platform, server, imported):
    platform.proxy.fail("POST .*/runs", 500)
    with pytest.raises(JukeboxError, match="500"):
        run(server, imported)
    assert platform.proxy.requests.count("POST /apis/v2beta1/runs") == 1


def test_an_outage_ends_with_a_message(platform, server):
    platform.proxy.fail("GET .*", 503, times=4)
    with pytest.raises(JukeboxError, match=r"answers 503.*\nNext: Look at the pipeline server's pods"):
        server.find_pipeline(NAME)


def test_a_server_that_is_silent(platform, server, imported):
    """A request that makes something is not sent twice: nobody knows whether it was heard."""
    platform.proxy.fail("GET .*/pipelines|POST .*", 0, seconds=30, times=None)
    impatient = connected(platform, timeout=0.1)
    before = len(platform.proxy.requests)
    for ask in (
        lambda: impatient.find_pipeline(NAME),
        lambda: run(impatient, imported),
        lambda: impatient.schedule(imported, ARGUMENTS, DAILY),
    ):
        with pytest.raises(JukeboxError, match="did not answer in time; what was asked may still be done"):
            ask()
    assert [request for request in platform.proxy.requests[before:] if request.startswith("POST")] == [
        "POST /apis/v2beta1/runs",
        "POST /apis/v2beta1/recurringruns",
    ]


def test_an_expired_token_is_said_and_never_shown_and_a_fresh_one_is_read(platform, tmp_path):
    (tmp_path / "token").write_text("stale-token\n")
    server = PipelineServer(platform.url, "user1-toolings", tmp_path / "token", timeout=DEADLINE)
    with pytest.raises(JukeboxError, match="token may have expired: restart the workbench") as caught:
        server.find_pipeline(NAME)
    assert "stale-token" not in str(caught.value)
    (tmp_path / "token").write_text(f"{platform.token_file.read_text()}\n")
    assert server.find_pipeline(NAME) is None


def test_a_token_that_is_not_there(platform, tmp_path):
    with pytest.raises(JukeboxError, match="token cannot be read"):
        PipelineServer(platform.url, "user1-toolings", tmp_path / "none", timeout=DEADLINE).find_pipeline(NAME)


def test_a_missing_role_is_named(platform, server):
    platform.proxy.fail("GET .*", 403)
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
def test_a_page_is_no_pipeline_server(platform, server, status, message):
    """A login page, that of an OAuth proxy, and what OpenShift's router says for a host without a route."""
    platform.proxy.fail(".*", status, times=None, page=True)
    with pytest.raises(JukeboxError, match=message):
        server.import_pipeline(YAML, "0123456789")
    assert platform.pipelines == []


def test_a_project_without_a_pipeline_server():
    server = PipelineServer(
        "https://ds-pipeline-dspa.user1-toolings.svc.invalid:8443", "user1-toolings", timeout=DEADLINE
    )
    with pytest.raises(JukeboxError, match=r"has no pipeline server.*\nNext: .*Configure pipeline server"):
        server.find_pipeline(NAME)


def test_a_server_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(
        JukeboxError, match=r"cannot be reached.*\nNext: Run ./jukebox status: the sandbox may have stopped"
    ):
        PipelineServer(address, "user1-toolings", timeout=DEADLINE).find_pipeline(NAME)


def test_a_certificate_needs_its_authority(tmp_path):
    platform = PlatformServer(make_certificate(tmp_path))
    try:
        authority, known = tmp_path / "ca.pem", (platform.url, "user1-toolings", platform.token_file)
        trusting = PipelineServer(*known, certificate_authority=authority, timeout=DEADLINE)
        assert trusting.find_pipeline(NAME) is None
        with pytest.raises(JukeboxError, match="is not trusted"):
            PipelineServer(*known, timeout=DEADLINE).find_pipeline(NAME)
    finally:
        platform.close()


def test_an_unknown_pipeline_names_the_next_step(server):
    with pytest.raises(JukeboxError, match=r"has no pipeline 'nothing'.*\nNext: .*\./jukebox import"):
        server.latest("nothing")


def test_what_was_deleted_is_said(server, imported):
    gone = type(imported)(**vars(imported) | {"version_id": "no-such-id"})
    with pytest.raises(JukeboxError, match=r"404: .*not found\nNext: See in the dashboard whether it was deleted"):
        server.schedule(gone, ARGUMENTS, DAILY)


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
