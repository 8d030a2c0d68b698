"""Schedules of the pipeline server, through kfp's own clients, with the clock that fires them."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click.testing
import kfp_server_api
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp import Client, compiler
from kfp.cli.cli import cli as kfp_command
from pipeline_servers import TOKEN, PipelineServer, pipeline_server
from small_pipeline import a_pipeline
from waiting import eventually

from jukebox_sandbox.pipeline_server import tables
from jukebox_sandbox.pipeline_server.api.recurring_runs import add_schedules
from jukebox_sandbox.pipeline_server.schedules import Clock, run_maker

DAY = timedelta(days=1)


class Place:
    """A server with a clock, a client of it, and an imported pipeline."""

    def __init__(self, server: PipelineServer, package: Path) -> None:
        self.server, self.package = server, package
        self.clock = Clock(server.engine, run_maker(server.runner))
        add_schedules(server.application, self.clock)
        self.client = Client(host=server.url, existing_token=TOKEN)
        self.experiment = self.client.get_experiment(experiment_name="Default").experiment_id
        self.pipeline = self.client.upload_pipeline(str(package), pipeline_name="imported").pipeline_id
        (version,) = self.client.list_pipeline_versions(self.pipeline).pipeline_versions
        self.version = version.pipeline_version_id

    def schedule(self, name: str, **values: Any) -> Any:
        known = {"interval_second": 86400, "pipeline_id": self.pipeline, "version_id": self.version}
        return self.client.create_recurring_run(self.experiment, name, **known | {"params": {"text": "a"}} | values)

    def tick(self, days: float) -> list[tables.Run]:
        """What runs at a time after now; all that ran before is over."""
        with self.server.session() as session:
            session.query(tables.Run).update({"state": "SUCCEEDED"})
            session.commit()
        made = self.clock.tick(tables.now() + days * DAY)
        with self.server.session() as session:
            return session.query(tables.Run).filter(tables.Run.id.in_(made)).order_by(tables.Run.number).all()

    def ask(self, path: str, body: Any = None, method: str | None = None) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(self.server.url + path, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def create(self, **values: Any) -> tuple[int, dict[str, Any]]:
        reference = {"pipeline_id": self.pipeline, "pipeline_version_id": self.version}
        known = {
            "display_name": "raw",
            "max_concurrency": "1",
            "trigger": {"periodic_schedule": {"interval_second": "60"}},
        }
        known |= {"pipeline_version_reference": reference, "runtime_config": {"parameters": {"text": "a"}}}
        chosen = {key: value for key, value in (known | values).items() if value is not None}
        return self.ask("/apis/v2beta1/recurringruns", chosen)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("compiled") / "a-pipeline.yaml"
    compiler.Compiler().compile(a_pipeline, str(file))
    return file


@pytest.fixture
def place(tmp_path: Path, package: Path) -> Iterator[Place]:
    with pipeline_server(tmp_path) as server:
        yield Place(server, package)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Iterator[Place]:
    with pipeline_server(tmp_path_factory.mktemp("shared")) as server:
        yield Place(server, package)


def test_a_daily_schedule_is_read_back_as_it_was_made_and_fires(place: Place) -> None:
    made = place.schedule("daily", description="each day", no_catchup=True, service_account="robot")
    found = place.client.get_recurring_run(made.recurring_run_id)
    assert found == made
    assert (found.display_name, found.description, found.service_account) == ("daily", "each day", "robot")
    assert (found.status, found.mode, found.max_concurrency, found.no_catchup) == ("ENABLED", "ENABLE", "1", True)
    assert found.trigger.periodic_schedule.interval_second == "86400" and found.trigger.cron_schedule is None
    assert found.pipeline_version_reference.pipeline_version_id == place.version and found.pipeline_spec is None
    assert (found.runtime_config.parameters, found.experiment_id) == ({"text": "a"}, place.experiment)

    (run,) = place.tick(1.01)
    assert ("submit", run.id) in place.server.runner.heard
    shown = place.client.get_run(run.id)
    assert shown.recurring_run_id == made.recurring_run_id and shown.display_name.startswith("daily")
    assert shown.runtime_config.parameters == {"text": "a"}
    assert timedelta() <= shown.scheduled_at - made.created_at - DAY < timedelta(seconds=1)
    assert place.tick(1.02) == []


def test_a_cron_schedule_has_its_expression_and_its_bounds(place: Place) -> None:
    made = place.schedule(
        "nights", interval_second=None, cron_expression="0 0 3 * * Mon-Fri",
        start_time="2100-01-01T01:00:00+01:00", end_time="2100-02-01T00:00:00Z",
    )  # fmt: skip
    cron = made.trigger.cron_schedule
    assert cron.cron == "0 0 3 * * Mon-Fri" and made.trigger.periodic_schedule is None
    assert (cron.start_time.isoformat(), cron.end_time.isoformat()) == (
        "2100-01-01T00:00:00+00:00",
        "2100-02-01T00:00:00+00:00",
    )
    assert place.tick(366) == []


def test_a_schedule_is_disabled_enabled_and_deleted(place: Place) -> None:
    id = place.schedule("one", enabled=False).recurring_run_id
    assert place.client.get_recurring_run(id).status == "DISABLED"
    assert place.tick(1.5) == []
    place.client.enable_recurring_run(id)
    place.client.enable_recurring_run(id)
    assert place.client.get_recurring_run(id).mode == "ENABLE"
    assert len(place.tick(1.5)) == 1
    place.client.disable_recurring_run(id)
    assert place.tick(2.5) == []
    place.client.delete_recurring_run(id)
    for call in ("get", "enable", "disable", "delete"):
        with pytest.raises(kfp_server_api.ApiException) as refused:
            getattr(place.client, f"{call}_recurring_run")(id)
        assert refused.value.status == 404 and f"Job {id} not found" in json.loads(refused.value.body)["message"]
    assert len(place.client.list_runs().runs) == 1


NEWEST = {"display_name": "newest", "mode": "ENABLE", "trigger": {"periodic_schedule": {"interval_second": "86400"}}}


def test_a_schedule_without_a_version_runs_the_newest_one_at_its_time(place: Place) -> None:
    code, made = place.create(**NEWEST | {"pipeline_version_reference": {"pipeline_id": place.pipeline}})
    assert (code, made["pipeline_version_reference"]) == (200, {"pipeline_id": place.pipeline})
    assert [run.pipeline_version_id for run in place.tick(1.1)] == [place.version]
    newer = place.client.upload_pipeline_version(str(place.package), "second", pipeline_id=place.pipeline)
    assert [run.pipeline_version_id for run in place.tick(2.1)] == [newer.pipeline_version_id]


def test_a_schedule_outlives_the_version_that_it_names(place: Place) -> None:
    made = place.schedule("pinned")
    place.client.delete_pipeline_version(place.pipeline, place.version)
    (run,) = place.tick(1.1)
    assert run.spec == place.package.read_text() and run.pipeline_version_id is None
    reference = place.client.get_recurring_run(made.recurring_run_id).pipeline_version_reference
    assert reference.pipeline_version_id == place.version


def test_a_schedule_whose_pipeline_has_no_version_left_waits_for_one(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.create(**NEWEST | {"pipeline_version_reference": {"pipeline_id": place.pipeline}})
    place.schedule("pinned")
    place.client.delete_pipeline_version(place.pipeline, place.version)
    assert [run.display_name[:6] for run in place.tick(1.1)] == ["pinned"]
    assert "could not make its run" in capsys.readouterr().err
    place.client.upload_pipeline_version(str(place.package), "second", pipeline_id=place.pipeline)
    place.clock.wake()
    assert [run.display_name[:6] for run in place.tick(1.2)] == ["newest"]


def test_a_pipeline_that_comes_with_the_request_is_scheduled(place: Place) -> None:
    made = place.client.create_recurring_run(
        place.experiment, "inline", interval_second=60, pipeline_package_path=str(place.package), params={"text": "b"}
    )
    pipeline_spec, platform_spec = yaml.safe_load_all(place.package.read_text())
    assert made.pipeline_spec == {"pipeline_spec": pipeline_spec, "platform_spec": platform_spec}
    assert len(place.tick(0.1)) == 1


def test_schedules_are_listed_in_pages_sorted_and_filtered(place: Place) -> None:
    names = [f"schedule-{number}" for number in range(5)]
    for name in names:
        place.schedule(name)
    first = place.client.list_recurring_runs(page_size=3, sort_by="display_name desc")
    assert ([one.display_name for one in first.recurring_runs], first.total_size) == (names[:1:-1], 5)
    rest = place.client.list_recurring_runs(
        page_size=3, sort_by="display_name desc", page_token=first.next_page_token, experiment_id=place.experiment
    )
    assert [one.display_name for one in rest.recurring_runs] == names[1::-1] and not rest.next_page_token
    wanted = {"predicates": [{"operation": 1, "key": "display_name", "stringValue": "schedule-2"}]}
    (found,) = place.client.list_recurring_runs(filter=json.dumps(wanted)).recurring_runs
    assert found.display_name == "schedule-2"
    with pytest.raises(kfp_server_api.ApiException, match="Invalid sorting field"):
        place.client.list_recurring_runs(sort_by="status")


PERIODIC = {"periodic_schedule": {"interval_second": "60"}}

REFUSED = [
    ({"display_name": ""}, 400, "name cannot be empty"),
    ({"display_name": "x" * 129}, 400, "more than 128 characters"),
    ({"max_concurrency": None}, 400, "at least 1 and at most 10. Received 0"),
    ({"max_concurrency": "11"}, 400, "Received 11"),
    ({"max_concurrency": -1}, 400, "Received -1"),
    ({"max_concurrency": True}, 400, "not an integer of 64 bits"),
    ({"max_concurrency": "1" * 30}, 400, "not an integer of 64 bits"),
    ({"trigger": {"periodic_schedule": {"interval_second": 0}}}, 400, "invalid period schedule interval 0"),
    ({"trigger": {"periodic_schedule": {}}}, 400, "invalid period schedule interval 0"),
    ({"trigger": {"periodic_schedule": {"interval_second": 1 << 62}}}, 400, "100 years"),
    (
        {"trigger": {"cron_schedule": {"cron": "1 * *"}}},
        400,
        "godoc.org/github.com/robfig/cron). Error: Expected 5 to 6",
    ),
    ({"trigger": {"cron_schedule": {}}}, 400, "Error: Empty spec string"),
    ({"trigger": {"cron_schedule": {"cron": "0 0 0 * * 7"}}}, 400, "End of range (7) above maximum (6): 7"),
    ({"trigger": PERIODIC | {"cron_schedule": {"cron": "@daily"}}}, 400, "both are given"),
    ({"runtime_config": {"parameters": {}}}, 400, "parameter text is not optional"),
    ({"runtime_config": {"parameters": {"text": 1}}}, 400, "requires type string"),
    ({"runtime_config": {"parameters": {"text": "a", "more": 1}}}, 400, "not required by pipeline: more"),
    ({"pipeline_version_reference": None}, 400, "Cannot create a job with an empty pipeline ID"),
    ({"pipeline_version_reference": {"pipeline_id": "x"}}, 404, "Pipeline x not found"),
    ({"pipeline_version_reference": {"pipeline_id": "x", "pipeline_version_id": "y"}}, 404, "Version y not found"),
    ({"pipeline_spec": {"a": 1}}, 400, "both are given"),
    ({"pipeline_version_reference": None, "pipeline_spec": {"a": 1}}, 400, "pipeline spec is invalid"),
    ({"experiment_id": "x"}, 404, "Experiment x not found"),
    ({"mode": "ON"}, 400, "invalid value for enum field mode"),
    ({"cron": "@daily"}, 400, 'unknown field "cron"'),
]


@pytest.mark.parametrize(("values", "status", "words"), REFUSED)
def test_what_is_no_schedule_is_refused_and_nothing_is_kept(
    shared: Place, values: dict[str, Any], status: int, words: str
) -> None:
    before = shared.client.list_recurring_runs().total_size
    code, answer = shared.create(**values)
    assert code == status and words in answer["message"]
    assert shared.client.list_recurring_runs().total_size == before


def test_a_pipeline_that_cannot_run_here_is_refused_before_it_is_scheduled(shared: Place) -> None:
    spec = yaml.safe_load(shared.package.read_text().split("---")[0])
    spec["pipelineInfo"]["description"] = "cannot-run-here"
    code, answer = shared.create(pipeline_version_reference=None, pipeline_spec=spec)
    assert code == 400 and "The step 'importer' is an importer." in answer["message"]


def test_a_schedule_without_a_trigger_runs_once_and_without_a_mode_is_disabled(place: Place) -> None:
    code, made = place.create(trigger=None)
    assert (code, made["status"], made["mode"]) == (200, "DISABLED", "DISABLE")
    place.client.enable_recurring_run(made["recurring_run_id"])
    assert len(place.tick(0)) == 1
    assert place.tick(10) == []


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["display_name", "max_concurrency", "trigger", "mode", "runtime_config", "no_catchup", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.floats(allow_nan=False),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(
                    st.sampled_from(["periodic_schedule", "cron_schedule", "interval_second", "cron", "start_time"]),
                    inner,
                )
            ),
            max_leaves=4,
        ),
    )
)
def test_no_request_is_answered_with_a_failure_of_the_server(shared: Place, values: dict[str, Any]) -> None:
    code, answer = shared.create(**values)
    assert code in (200, 400, 404) and "Traceback" not in json.dumps(answer)
    if code == 200:
        shared.client.delete_recurring_run(answer["recurring_run_id"])


def test_the_kfp_command_makes_lists_and_switches_a_schedule(place: Place) -> None:
    def kfp(*arguments: str) -> Any:
        options = ["--endpoint", place.server.url, "--existing-token", TOKEN, "--output", "json", "recurring-run"]
        done = click.testing.CliRunner().invoke(kfp_command, [*options, *arguments], obj={}, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout[done.stdout.index("{" if arguments[0] != "list" else "[") :])

    made = kfp(
        "create", "--job-name", "daily", "--experiment-id", place.experiment, "--interval-second", "86400",
        "--pipeline-id", place.pipeline, "--version-id", place.version, "--no-catchup", "--enabled", "text=a",
    )  # fmt: skip
    id = next(value for key, value in made.items() if key in ("Recurring Run ID", "recurring_run_id"))
    assert [one["display_name"] for one in kfp("list")] == ["daily"]
    kfp("disable", id)
    assert place.client.get_recurring_run(id).status == "DISABLED"
    kfp("enable", id)
    assert place.client.get_recurring_run(id).status == "ENABLED"
    assert place.tick(1.1)[0].parameters == {"text": "a"}


def test_the_clock_is_read_and_moved_by_days_and_what_is_due_runs(place: Place) -> None:
    assert place.ask("/sandbox/clock")[1]["days"] == 0
    id = place.schedule("daily").recurring_run_id
    place.clock.start()
    try:
        code, moved = place.ask("/sandbox/clock", {"days": 1})
        assert (code, moved["days"]) == (200, 1)
        assert (
            datetime.fromisoformat(moved["now"]) - datetime.fromisoformat(place.ask("/sandbox/clock")[1]["now"]) < DAY
        )
        (run,) = eventually(lambda: place.client.list_runs().runs)
        assert run.recurring_run_id == id
        later = place.schedule("later")
        assert later.created_at - place.client.get_recurring_run(id).created_at >= DAY
    finally:
        place.clock.stop()
    for wrong in (
        {},
        [],
        {"days": 0},
        {"days": -1},
        {"days": 1.0},
        {"days": True},
        {"days": "1"},
        {"days": 40000},
        b"{",
    ):
        code, answer = place.ask("/sandbox/clock", wrong)
        assert (code, answer["code"]) == (400, 3)
    assert place.ask("/sandbox/clock")[1]["days"] == 1
