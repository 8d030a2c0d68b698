"""The pages of pipelines, runs and schedules: what they show, what their forms do, what they refuse."""

import re
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp import compiler, dsl
from page_server import MARK, page_server
from small_pipeline import a_pipeline
from sqlalchemy import select

from jukebox_sandbox.pages.texts import shown
from jukebox_sandbox.pipeline_server.tables import Pipeline, PipelineVersion, RecurringRun, Run, Task, now

HOSTILE = "<script>alert(1)</script>\"'{{7*7}}"


@dsl.component(base_image="python:3.12")
def say(word: str) -> str:
    return word


@dsl.pipeline(name="branches")
def branches(address: str, flag: bool = False, count: int = 3, words: list = ["a"]):  # noqa: B006
    """One step, a loop over the words, a step under a condition.

    Args:
        address: Where ``git`` is.
    """
    first = say(word=address).set_caching_options(False)
    with dsl.ParallelFor(words) as word:
        say(word=word).after(first).set_display_name("in the loop")
    with dsl.If(flag == True):  # noqa: E712
        say(word="under a condition").after(first)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The YAML of a pipeline, as bytes."""

    def compile_one(pipeline):
        file = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(file))
        return file.read_bytes()

    return {"small": compile_one(a_pipeline), "branches": compile_one(branches)}


@pytest.fixture
def pages(tmp_path):
    with page_server(tmp_path) as one:
        yield one


@pytest.fixture
def imported(pages, compiled):
    """The address of an imported pipeline's first version, and its ids."""
    to = pages.post("/pipelines/import", name="branches", description="", file=("b.yaml", compiled["branches"]))
    return to, *re.fullmatch(r"/pipelines/(.+)/versions/(.+)", to).groups()


def a_run(pages, version_id, **columns):
    """A run of a version, as it is in the database, whatever has run it."""
    with pages.session() as session:
        version = session.scalar(select(PipelineVersion).filter_by(id=version_id))
        experiment = (
            session.scalars(select(Run.experiment_id)).first()
            or session.connection().exec_driver_sql("select id from experiments").scalar()
        )
        run = Run(
            display_name="a run", experiment_id=experiment, pipeline_id=version.pipeline_id,
            pipeline_version_id=version_id, spec=version.spec, **{"state": "RUNNING", **columns},
        )  # fmt: skip
        session.add(run)
        session.commit()
        return run.id


def a_task(pages, run_id, scope, state, **columns):
    """The executor of a step."""
    with pages.session() as session:
        begun = {"started_at": now() - timedelta(seconds=75), "finished_at": now()}
        task = Task(
            run_id=run_id, scope=scope, kind="executor", name="executor", state=state,
            pod_name=f"pod-{scope.replace('/', '-')}", **(begun | columns),
        )  # fmt: skip
        session.add(task)
        session.commit()


def nodes(page):
    """What the graph says of each step, for those who hear it."""
    return [one["aria-label"] for one in page.select(".graph svg a")]


def test_an_uploaded_file_is_a_pipeline_byte_for_byte(pages, compiled, imported):
    address, pipeline_id, _ = imported
    page = pages.get(address)
    assert nodes(page) == ["say", "say-3, condition-2", "say-2, for-loop-1"]
    assert "Secrets" not in page.text
    assert pages.client.get(f"/dashboard{address}/spec.yaml").data == compiled["branches"]
    row = pages.get("/pipelines").select_one("tbody tr")
    assert [cell.get_text(strip=True) for cell in row.find_all(["th", "td"])][:2] == ["branches", "1"]
    to = pages.post(f"/pipelines/{pipeline_id}/upload", name="second", file=("s.yml", compiled["small"]))
    assert nodes(pages.get(to)) == ["show-environment", "fail-if", "after-all"]
    assert [one.text for one in pages.get(f"/pipelines/{pipeline_id}").select("tbody th")] == ["second", "branches"]


def test_a_step_shows_what_it_takes_and_which_secrets_it_gets(pages, compiled):
    address = pages.post("/pipelines/import", name="small", file=("a.yaml", compiled["small"]))
    shown = pages.get(f"{address}?step=root/show-environment").select_one("section").text
    assert "a-secret" in shown and "Cachingon" in shown
    assert "def show_environment" in shown


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("p", ("a.yaml", b"spec: [1"), "unable to decode yaml"),
        ("p", ("a.txt", b"x"), "Support .yaml"),
        ("p", ("a.yaml", b"PK\x03\x04"), "Upload the YAML file itself"),
        ("", ("a.yaml", b"ok"), "name is required"),
        ("p", None, "No file was chosen"),
    ],
)
def test_a_wrong_upload_says_why_and_keeps_what_was_typed(pages, compiled, name, file, said):
    if file and file[1] == b"ok":
        file = (file[0], compiled["small"])
    page = pages.post("/pipelines/import", 400, name=name, description="typed", file=file)
    assert said in page.select_one(".problem").text
    assert page.select_one("#name")["value"] == name and page.select_one("#description").text == "typed"
    with pages.session() as session:
        assert not session.scalars(select(Pipeline)).all()


def test_a_file_is_previewed_before_it_is_imported(pages, compiled):
    page = pages.post("/pipelines/preview", 200, file=("a.yaml", compiled["small"]))
    assert "show-environment, fail-if, after-all" in page.text and len(nodes(page)) == 3
    assert "unable to decode" in pages.post("/pipelines/preview", 200, file=("a.yaml", b"[")).text
    with pages.session() as session:
        assert not session.scalars(select(Pipeline)).all()


def test_a_run_gets_its_parameters_in_their_types(pages, imported):
    _, pipeline_id, version_id = imported
    form = pages.get(f"/runs/create?pipeline={pipeline_id}")
    assert form.select_one("#h-address").text == "On this laptop: http://127.0.0.1:1/user1/here.git"
    assert form.select_one("#p-words").text == '["a"]' and form.select_one("#p-address").has_attr("required")
    values = {
        "parameter__address": "x",
        "parameter__flag": "true",
        "parameter__count": "4",
        "parameter__words": '["b"]',
    }
    to = pages.post("/runs/create", name="mine", pipeline=pipeline_id, version=version_id, **values)
    with pages.session() as session:
        run = session.scalar(select(Run))
    assert run.parameters == {"address": "x", "flag": True, "count": 4, "words": ["b"]}
    assert to == f"/runs/{run.id}" and pages.runner.heard == [("submit", run.id)]
    again = pages.get(f"/runs/create?duplicate={run.id}")
    assert again.select_one("#name")["value"] == "Duplicate of mine"
    assert again.select_one("#p-words").text == '["b"]' and again.select_one("#p-address")["value"] == "x"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"parameter__address": ""}, "parameter address is not optional"),
        ({"parameter__address": "x", "parameter__words": "[1,"}, "words is a list in JSON"),
        ({"parameter__address": "x", "parameter__count": "many"}, "count is a number"),
        ({"parameter__address": "x", "name": ""}, "name is empty"),
    ],
)
def test_a_run_that_is_refused_leaves_the_form_as_it_was(pages, imported, values, said):
    _, pipeline_id, version_id = imported
    form = {"name": "mine", "pipeline": pipeline_id, "version": version_id, **values}
    page = pages.post("/runs/create", 400, **form)
    assert said in page.select_one(".problem").text
    for name, value in values.items():
        field = page.select_one(f"#{name.replace('parameter__', 'p-')}")
        assert (field.text if field.name == "textarea" else field["value"]) == value
    assert not pages.runner.heard


def test_a_schedule_has_the_values_of_the_form_and_those_it_begins_with(pages, imported):
    _, pipeline_id, _ = imported
    form = {one["name"]: one.get("value", "") for one in pages.get("/schedules/create").select("main form input[name]")}
    assert (form["concurrency"], form["every"]) == ("10", "1")
    assert pages.get("/schedules/create").select_one("[name=catchup]").has_attr("checked")
    form = {"name": "daily", "every": "1", "unit": "Day", "concurrency": "10", "catchup": "on", "version": "latest"}
    pages.post("/schedules/create", pipeline=pipeline_id, parameter__address="x", **form)
    with pages.session() as session:
        one = session.scalar(select(RecurringRun))
    assert (one.interval_second, one.max_concurrency, one.no_catchup, one.enabled) == (86400, 10, False, True)
    assert (one.pipeline_id, one.pipeline_version_id, one.parameters) == (pipeline_id, None, {"address": "x"})
    row = pages.get("/runs?tab=schedules").select_one("tbody tr").text
    assert "Every 1 day" in row and "Enabled" in row and ("in 23 hours" in row or "in 1 day" in row)


def test_a_schedule_takes_a_cron_string_and_says_what_is_wrong_with_one(pages, imported):
    _, pipeline_id, version_id = imported
    form = {"name": "cron", "trigger": "Cron", "concurrency": "1", "version": version_id, "parameter__address": "x"}
    page = pages.post("/schedules/create", 400, pipeline=pipeline_id, cron="0 0 6", **form)
    assert "not a supported format" in page.select_one(".problem").text
    assert page.select_one("#cron")["value"] == "0 0 6"
    pages.post("/schedules/create", pipeline=pipeline_id, cron="0 0 6 * * *", start="2026-11-01T10:00", **form)
    with pages.session() as session:
        one = session.scalar(select(RecurringRun))
    assert (one.cron, one.pipeline_version_id, one.no_catchup) == ("0 0 6 * * *", version_id, True)
    assert one.start_time is not None
    pages.post("/schedules/create", 400, pipeline=pipeline_id, cron="0 0 6 * * *", **(form | {"concurrency": "11"}))


def test_the_next_day_comes_and_the_schedule_runs(pages, imported):
    _, pipeline_id, _ = imported
    pages.post("/schedules/create", pipeline=pipeline_id, name="daily", every="1", unit="Day", concurrency="1",
               version="latest", parameter__address="x")  # fmt: skip
    assert pages.clock.tick(pages.clock.now()) == []
    pages.post("/clock", tab="schedules")
    (run_id,) = pages.clock.tick(pages.clock.now())
    with pages.session() as session:
        schedule_id = session.scalar(select(RecurringRun.id))
    assert f"/dashboard/runs/{run_id}" in str(pages.get(f"/schedules/{schedule_id}"))
    assert "1 day ahead" in pages.get("/runs").select_one(".strip").text
    pages.post(f"/schedules/{schedule_id}/switch", on="0")
    assert "Disabled" in pages.get("/runs?tab=schedules").select_one("tbody").text
    pages.post(f"/schedules/{schedule_id}/delete")
    assert "No schedule yet" in pages.get("/runs?tab=schedules").text
    assert run_id in str(pages.get("/runs"))


def test_the_graph_and_the_list_say_the_same_of_each_step(pages, imported):
    run_id = a_run(pages, imported[2])
    a_task(pages, run_id, "root/say", "SUCCEEDED")
    a_task(pages, run_id, "root/for-loop-1[0]/say-2", "SUCCEEDED")
    a_task(pages, run_id, "root/for-loop-1[1]/say-2", "RUNNING", finished_at=None)
    page = pages.get(f"/runs/{run_id}")
    assert nodes(page) == ["say: Succeeded", "say-3, condition-2: Pending", "say-2, for-loop-1: Running"]
    rows = [row.get_text(" ", strip=True) for row in page.select("main table tbody tr")]
    assert rows[0] == "say ✓ Succeeded 1 min 15 s"
    assert rows[2].startswith("say-2 in for-loop-1 ● Running 2 times")
    assert "1 of 3 steps done; running: say-2" in page.select_one("[role=status]").text
    shown = pages.get(f"/runs/{run_id}?step=root/for-loop-1/say-2").select_one("section").text
    assert "Iteration 1" in shown and "Iteration 2" in shown


def test_a_run_that_goes_on_is_asked_for_until_it_is_over(pages, imported):
    run_id = a_run(pages, imported[2])
    live = pages.get(f"/runs/{run_id}").select_one("#live")
    assert live["hx-trigger"] == "every 1s"
    asked = {"HX-Request": "true", "HX-Target": "live"}
    address = live["hx-get"]
    assert pages.client.get(address, headers=asked).status_code == 204
    a_task(pages, run_id, "root/say", "FAILED")
    changed = pages.get(address.removeprefix("/dashboard"), **asked)
    assert changed.select_one("#live")["hx-get"] != address
    assert "failed: say" in changed.select_one("[hx-swap-oob='innerHTML:#said']").text
    with pages.session() as session:
        session.scalar(select(Run)).state = "FAILED"
        session.commit()
    assert not pages.get(f"/runs/{run_id}", **asked).select_one("#live").has_attr("hx-get")


def test_a_failed_run_says_what_happened_and_what_to_do(pages, imported):
    run_id = a_run(pages, imported[2], state="FAILED", error="Step 'say' failed.")
    a_task(pages, run_id, "root/say", "FAILED", error="exit code 1")
    box = pages.get(f"/runs/{run_id}").select_one(".problem")
    assert "Step say failed: exit code 1" in box.text and "read its log" in box.text
    log = pages.state / "pipeline-server" / "logs" / run_id / "pod-root-say.log"
    log.parent.mkdir(parents=True)
    scratch = pages.state / "pipeline-server" / "scratch" / ("0" * 32)
    forged = f'{MARK}{{"what": "forged", "next": "run this"}}\n'
    log.write_text(
        f'{forged}{MARK}{{"what": "{HOSTILE.replace(chr(34), "")} {scratch}/mounts/s3/a", "next": "mend it"}}\n'
    )
    page = pages.get(f"/runs/{run_id}?step=root/say")
    box = page.select_one(".problem")
    assert f"Step say failed: {HOSTILE.replace(chr(34), '')} /s3/a" in box.text and "Next: mend it" in box.text
    assert "forged" not in box.text and not page.select(".problem script")
    assert str(pages.state) not in str(page)


def test_a_cached_step_says_whose_outputs_it_has(pages, imported):
    original = a_run(pages, imported[2], state="SUCCEEDED")
    run_id = a_run(pages, imported[2], state="SUCCEEDED")
    a_task(pages, run_id, "root/say", "SUCCEEDED", cached_from=original)
    page = pages.get(f"/runs/{run_id}?step=root/say")
    assert nodes(page)[0] == "say: Cached"
    assert page.select_one("section a[href$='" + original + "']").text == "a run"
    assert nodes(page)[1].endswith("Not run")


def test_what_can_be_done_with_a_run_depends_on_its_state(pages, imported):
    run_id = a_run(pages, imported[2])

    def offered():
        return [one.get_text(strip=True) for one in pages.get(f"/runs/{run_id}").select("details.menu div > *")]

    assert offered() == ["Duplicate", "Stop"]
    pages.post(f"/runs/{run_id}/stop")
    assert pages.runner.heard == [("terminate", run_id)]
    with pages.session() as session:
        session.scalar(select(Run)).state = "FAILED"
        session.commit()
    assert offered() == ["Retry", "Duplicate", "Archive"]
    pages.post(f"/runs/{run_id}/retry")
    assert pages.post(f"/runs/{run_id}/archive") == "/runs"
    assert run_id not in str(pages.get("/runs")) and run_id in str(pages.get("/runs?tab=archive"))
    assert offered() == ["Retry", "Duplicate", "Restore", "Delete"]
    pages.post(f"/runs/{run_id}/delete")
    pages.get(f"/runs/{run_id}", 404)


def test_the_menu_has_the_names_of_the_version_that_one_chose(pages):
    assert "Data science pipelines" in pages.get("/pipelines").select_one("nav").text
    assert pages.post("/names", names="3", back="/dashboard/runs?tab=archive") == "/runs?tab=archive"
    menu = pages.get("/pipelines").select_one("nav").text
    assert "Develop & train" in menu and "Data science pipelines" not in menu
    assert pages.post("/names", names="2", back="//evil.example/") == "/"


def test_hostile_names_are_shown_and_do_nothing(pages, compiled):
    to = pages.post("/pipelines/import", name=HOSTILE, description=HOSTILE, file=("a.yaml", compiled["branches"]))
    pipeline_id, version_id = re.fullmatch(r"/pipelines/(.+)/versions/(.+)", to).groups()
    run_id = a_run(pages, version_id, description=HOSTILE, parameters={HOSTILE: HOSTILE})
    pages.post("/schedules/create", pipeline=pipeline_id, name=HOSTILE, every="1", unit="Day", concurrency="1",
               version="latest", parameter__address=HOSTILE)  # fmt: skip
    with pages.session() as session:
        schedule_id = session.scalar(select(RecurringRun.id))
    for path in ("/pipelines", f"/pipelines/{pipeline_id}", to, f"{to}?tab=summary", "/runs", "/runs?tab=schedules",
                 f"/schedules/{schedule_id}", f"/runs/{run_id}?tab=details", f"/runs/{run_id}?tab=parameters",
                 f"/runs/create?duplicate={run_id}", "/experiments"):  # fmt: skip
        page = pages.get(path)
        assert [one.get("src") for one in page.find_all("script")] == ["/dashboard/static/htmx.js"], path
    assert HOSTILE in pages.get("/pipelines").text


def test_characters_that_cannot_be_seen_are_written_out(pages, compiled):
    forged = "song\u202etxt.exe\x1b[2J\x9b\u2066 line\nü\ttab"
    to = pages.post("/pipelines/import", name="p", description=forged, file=("a.yaml", compiled["branches"]))
    version_id = to.rpartition("/")[2]
    run_id = a_run(pages, version_id, state="FAILED", error=forged, parameters={forged: forged, "long": "x" * 9_000})
    a_task(pages, run_id, "root/say", "FAILED", inputs={"parameters": {"word": forged}})
    log = pages.state / "pipeline-server" / "logs" / run_id / "pod-root-say.log"
    log.parent.mkdir(parents=True)
    log.write_text(forged + f'\n{MARK}{{"what": "\\u202e\\u001b[2J", "next": "\\ud800"}}\n')
    for path in (f"/runs/{run_id}?tab=parameters", f"/runs/{run_id}?step=root/say", f"{to}?tab=summary",
                 f"/runs/{run_id}?step=root/say&part=io", "/runs", "/pipelines"):  # fmt: skip
        page = str(pages.get(path))
        assert all(letter == "\n" or letter.isprintable() or letter == "\t" for letter in page), path
        assert "x" * 3_000 not in page
    shown = pages.get(f"/runs/{run_id}?tab=parameters").text
    assert "song\\u202etxt.exe\\x1b[2J\\x9b\\u2066 line\nü\ttab" in shown


ADDRESSES = {
    "https://host/songs?X-Amz-Signature=hunter2": "https://host/songs",
    "https://user:hunter2@host/songs": "https://host/songs",
    "user:hunter2@host/songs": "host/songs",
}
"""Addresses with a secret, and what a page shows of them."""


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_shown_without_its_secrets_and_a_duplicate_keeps_it(pages, imported, address):
    _, pipeline_id, version_id = imported
    run_id = a_run(pages, version_id, parameters={"address": address, "count": 3})
    a_task(pages, run_id, "root/say", "SUCCEEDED", inputs={"parameters": {"word": address}})
    pages.post("/schedules/create", pipeline=pipeline_id, name="daily", every="1", unit="Day", concurrency="1",
               version="latest", parameter__address=address)  # fmt: skip
    with pages.session() as session:
        schedule_id = session.scalar(select(RecurringRun.id))
    duplicate = f"/runs/create?duplicate={run_id}"
    for path in (f"/runs/{run_id}?tab=parameters", f"/runs/{run_id}?step=root/say&part=io", duplicate,
                 f"/schedules/{schedule_id}"):  # fmt: skip
        page = str(pages.get(path))
        assert "hunter2" not in page and ADDRESSES[address] in page, path
    form = {"name": "again", "pipeline": pipeline_id, "version": version_id, "parameter__count": "4"}
    for typed, kept in {ADDRESSES[address]: address, "https://other/songs": "https://other/songs"}.items():
        again = pages.post(duplicate, **form, parameter__address=typed).rpartition("/")[2]
        with pages.session() as session:
            assert session.scalar(select(Run).filter_by(id=again)).parameters == {"address": kept, "count": 4}


@pytest.mark.parametrize("text", ["What? Nothing", "at 10:00 user@host", "a: b@c", "", "x" * 50, "{'a': 'b@c'}"])
def test_what_is_not_an_address_is_shown_whole(text):
    assert shown(text) == text


def test_pages_hold_no_script_and_no_style_of_their_own(pages, imported):
    run_id = a_run(pages, imported[2])
    for path in (
        imported[0],
        f"/runs/{run_id}?step=root/say",
        "/runs/create",
        "/schedules/create",
        "/pipelines/import",
    ):
        answer = pages.client.get(f"/dashboard{path}")
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy and "default-src 'none'" in policy and "unsafe" not in policy
        assert not re.search(r'\s(style|on[a-z]+)="', answer.text)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["runs", "runs/create", "runs/parameters", "schedules/create", "pipelines", "experiments/x",
                          "runs/x", "schedules/x", "pipelines/x/versions/y", "artifacts/7", "artifacts/7/picture"]),
    query=st.dictionaries(st.sampled_from(["tab", "page", "step", "version", "pipeline", "duplicate", "part", "latest",
                                           "experiment", "seen"]), st.text(max_size=20)),
)  # fmt: skip
def test_no_request_ends_in_a_page_that_could_not_be_made(pages, path, query):
    answer = pages.client.get(f"/dashboard/{path}", query_string=query)
    assert answer.status_code in (200, 204, 400, 404), answer.text
    if answer.status_code >= 400:
        assert "could not be done" in answer.text


def test_a_long_list_has_pages(pages, imported):
    for number in range(45):
        a_run(pages, imported[2], state="SUCCEEDED", description=str(number))
    page = pages.get("/runs?page=2")
    assert len(page.select("tbody tr")) == 20 and "45 runs, page 2 of 3" in page.text
    assert [one["href"] for one in page.select("nav[aria-label='Pages of the list'] a")] == ["?page=1", "?page=3"]
    assert len(pages.get("/runs?page=99").select("tbody tr")) == 5


def test_an_experiment_is_made_once(pages):
    to = pages.post("/experiments/create", name="mine", description="")
    assert pages.get(to).h1.text == "mine" and "mine" in pages.get("/runs/create").text + pages.get("/experiments").text
    page = pages.post("/experiments/create", 400, name="mine", description="again")
    assert "already exists" in page.select_one(".problem").text and page.select_one("#description").text == "again"


def test_a_run_that_was_given_an_empty_text_is_duplicated(pages, imported):
    _, pipeline_id, version_id = imported
    run_id = a_run(pages, version_id, parameters={"address": "", "count": 4}, state="SUCCEEDED")
    path = f"/runs/create?duplicate={run_id}"
    assert not pages.get(path).select_one("#p-address").has_attr("required")
    form = {"name": "again", "pipeline": pipeline_id, "version": version_id, "parameter__address": ""}
    refused = pages.post(path, 400, **form | {"name": ""})
    assert not refused.select_one("#p-address").has_attr("required")
    pages.post(path, parameter__count="4", **form)
    with pages.session() as session:
        run = session.scalars(select(Run).where(Run.display_name == "again")).one()
    assert run.parameters["address"] == "" and run.parameters["count"] == 4


def test_a_list_is_asked_for_again_while_a_run_in_it_goes_on(pages, imported):
    a_run(pages, imported[2], state="SUCCEEDED")
    assert not pages.get("/runs").select_one("#runs").has_attr("hx-get")
    a_run(pages, imported[2])
    live = pages.get("/runs?page=1").select_one("#runs")
    assert (live["hx-get"], live["hx-select"]) == ("/dashboard/runs?page=1", "#runs")
    assert len(pages.get("/runs").select("#runs a[id]")) == 2  # what has an id keeps the focus
