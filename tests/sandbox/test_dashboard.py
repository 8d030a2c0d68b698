"""The chapter in the dashboard, walked in a real browser: import, schedule, run, watch, look at what came of it."""

import hashlib
import os
import time
from pathlib import Path

import pytest
from dashboard_browser import check_accessibility, go, open_dashboard
from kfp import compiler, dsl
from lab_browser import need_chromium, page_of
from waiting import eventually

from jukebox_helpers import sandbox as laptop
from jukebox_helpers.workshop.catching_up import catch_up


@dsl.component(base_image="python:3.12")
def wait(seconds: float):
    """Take some time."""
    import time

    print("waiting", flush=True)
    time.sleep(seconds)


@dsl.pipeline(name="waiting")
def waiting(seconds: float = 600.0):
    first = wait(seconds=3.0).set_caching_options(False)
    wait(seconds=seconds).set_caching_options(False).after(first)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    need_chromium()
    state = tmp_path_factory.mktemp("dashboard") / "state"
    before = dict(os.environ)
    os.environ["JUKEBOX_STATE"] = str(state)
    laptop.up(state, lifeline=True)
    try:
        place = catch_up(5, lambda line: None)
        place.publish("fresh")
        yield place
    finally:
        laptop.down(state)
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def page(place, tmp_path):
    with page_of(tmp_path / "chromium", 1280, 800) as one:
        one.problems = []
        one.on("pageerror", lambda error: one.problems.append(str(error)))
        one.dashboard = open_dashboard(one, laptop.status(place.settings.state)["dashboard"])
        yield one
        assert not one.problems


def choose_pipeline(page, name):
    """Choose a pipeline, wait for its parameters, and type what stands beside each."""
    from playwright.sync_api import expect

    with page.expect_response("**/runs/parameters**"):
        page.get_by_label("Pipeline", exact=True).select_option(name)
    expect(page.locator(".htmx-request, .htmx-swapping, .htmx-settling")).to_have_count(0)
    for hint in page.locator("p.hint[id^='h-'] code").all():
        name = hint.locator("..").get_attribute("id").removeprefix("h-")
        page.locator(f"#p-{name}").fill(hint.inner_text())


def test_the_chapter_is_walked_in_the_dashboard(place, page):
    from playwright.sync_api import expect

    go(page, "Pipelines")
    check_accessibility(page)
    page.get_by_role("link", name="Import pipeline").click()
    page.get_by_label("Pipeline name").fill("data-pipeline-with-dvc")
    page.get_by_label("Upload a file").set_input_files(place.clone / "5-data-versioning" / "song-properties-etl.yaml")
    expect(page.locator("#preview")).to_contain_text("version-and-commit")
    check_accessibility(page)
    page.get_by_role("button", name="Import pipeline").click()
    expect(page.locator(".graph svg a")).to_have_count(6)
    check_accessibility(page)

    go(page, "Runs")
    page.get_by_role("link", name="Schedules").click()
    page.get_by_role("link", name="Create schedule").click()
    page.get_by_label("Name", exact=True).fill("data-pipeline-with-dvc-daily")
    choose_pipeline(page, "data-pipeline-with-dvc")
    check_accessibility(page)
    page.get_by_role("button", name="Create schedule").click()
    expect(page.locator("tbody tr")).to_contain_text("Every 1 day")
    check_accessibility(page)

    go(page, "Runs")
    page.get_by_role("link", name="Create run").click()
    page.get_by_label("Name", exact=True).fill("data-pipeline-with-dvc-adhoc-run")
    choose_pipeline(page, "data-pipeline-with-dvc")
    check_accessibility(page)
    page.get_by_role("button", name="Create run").click()
    expect(page.locator("#said")).to_contain_text("6 of 6 steps done")
    expect(page.locator(".note")).to_contain_text("This run made the commit")
    check_accessibility(page)
    page.locator(".graph svg a", has_text="extract").click()
    expect(page.get_by_role("region", name="Step")).to_contain_text("s3://data/incoming/song_properties.parquet")
    check_accessibility(page)
    for part in ("Task details", "Logs"):
        page.get_by_role("link", name=part).click()
        check_accessibility(page)
    for tab in ("Details", "Input parameters", "Pipeline spec", "Graph"):
        page.get_by_role("link", name=tab, exact=True).click()
        check_accessibility(page)

    run = page.url
    page.locator(".note a").first.click()
    expect(page.locator("body")).to_contain_text("song_properties.parquet.dvc")
    page.goto(f"{page.dashboard.removesuffix('/dashboard')}/user1/jukebox/blob/main/.dvc/config")
    expect(page.locator("body")).to_contain_text("s3://data-cache")
    page.get_by_role("link", name="Jukebox sandbox of").click()
    expect(page.locator("h1")).to_have_text("Pipelines")

    page.goto(run)
    page.locator(".note").get_by_role("link", name="ct-pipeline").click()
    expect(page.locator("#live .bar .state")).to_contain_text("Succeeded")
    expect(page.locator("tbody tr").first).to_contain_text("song_properties.parquet.dvc")
    check_accessibility(page)
    page.get_by_role("navigation", name="Dashboard").get_by_role("link", name="Pipelines", exact=True).last.click()
    expect(page.locator("h1")).to_have_text("PipelineRuns")
    check_accessibility(page)

    go(page, "Model registry")
    check_accessibility(page)
    page.locator("main").get_by_role("link", name="jukebox", exact=True).click()
    page.locator("tbody th a").first.click()
    details = page.locator("main")
    expect(details).to_contain_text("DVC remotes")
    expect(details).to_contain_text("s3://data-cache")
    expect(page.frame_locator("iframe.picture").first.locator("svg")).to_be_visible()
    check_accessibility(page)
    page.get_by_role("link", name="Lineage").click()
    expect(page.locator(".graph svg a")).to_have_count(5)
    for node in page.locator(".graph svg a").all():  # no name runs over the edge of its node
        inside, text = node.locator("rect").bounding_box(), node.locator("text").first.bounding_box()
        assert text["x"] + text["width"] <= inside["x"] + inside["width"], node.inner_text()
    check_accessibility(page)
    page.locator("#links a").last.click()
    expect(page.locator("main")).to_contain_text("song_properties.parquet.dvc on main of jukebox")
    check_accessibility(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert hashlib.md5(Path(download.value.path()).read_bytes()).hexdigest() in page.url.replace("/", "").replace(
        "%2F", ""
    )
    go(page, "Buckets")
    check_accessibility(page)
    page.get_by_role("link", name="data-cache").click()
    check_accessibility(page)


def test_a_wrong_upload_and_a_failed_run_say_what_to_do(place, page):
    from playwright.sync_api import expect

    page.goto(f"{page.dashboard}/pipelines/import")
    page.get_by_label("Pipeline name").fill("not-a-pipeline")
    page.get_by_label("Upload a file").set_input_files(place.clone / "5-data-versioning" / "song-properties-etl.yaml")
    page.get_by_label("Upload a file").set_input_files(place.clone / "sandbox.toml")
    expect(page.locator("#preview .problem")).to_contain_text("Support .yaml")
    page.get_by_role("button", name="Import pipeline").click()
    expect(page.locator("main > .problem")).to_contain_text("Support .yaml")
    expect(page.get_by_label("Pipeline name")).to_have_value("not-a-pipeline")
    check_accessibility(page)

    page.goto(f"{page.dashboard}/runs/create")
    page.get_by_label("Name", exact=True).fill("from nowhere")
    choose_pipeline(page, "data-pipeline-with-dvc")
    page.locator("#p-dataset_url").fill("s3://data/incoming/nothing.parquet")
    page.get_by_role("button", name="Create run").click()
    box = page.locator(".problem")
    expect(box).to_contain_text("Step extract failed")
    expect(box).to_contain_text("Next:")
    check_accessibility(page)


def test_a_run_is_stopped_and_one_that_a_restart_cut_short_says_so(place, page, tmp_path):
    from playwright.sync_api import expect

    file = tmp_path / "waiting.yaml"
    compiler.Compiler().compile(waiting, str(file))
    page.goto(f"{page.dashboard}/pipelines/import")
    page.get_by_label("Pipeline name").fill("waiting")
    page.get_by_label("Upload a file").set_input_files(file)
    page.get_by_role("button", name="Import pipeline").click()

    def run(name):
        page.locator("summary", has_text="Actions").click()
        page.get_by_role("link", name="Create run").click()
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_role("button", name="Create run").click()
        expect(page.locator("#said")).to_contain_text("running: wait")

    version = page.url
    run("stopped")
    page.locator("summary", has_text="Actions").click()
    expect(page.locator("#said")).to_contain_text("1 of 2 steps done; running: wait-2")
    expect(page.locator("summary", has_text="Actions")).to_be_focused()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#live .bar .state")).to_contain_text("Canceled")

    page.goto(version)
    run("cut short")
    laptop.down(place.settings.state)
    time.sleep(2)  # the page asks meanwhile, and gets no answer
    laptop.up(place.settings.state, lifeline=True)
    expect(page.locator("#live .bar .state")).to_contain_text("Failed")
    expect(page.locator(".problem")).to_contain_text("wait")


@pytest.mark.parametrize("width", [800, 1280])
def test_nothing_is_cut_off_or_out_of_sight_at_the_widths_of_a_projector(place, page, width):
    from playwright.sync_api import expect

    page.set_viewport_size({"width": width, "height": 600})
    lists = [
        "/pipelines",
        "/runs",
        "/runs?tab=schedules",
        "/experiments",
        "/pipeline-runs",
        "/buckets",
        "/model-registry",
    ]
    for path in (*lists, "/runs/create", "/schedules/create", "/buckets/data-cache", "/model-registry/1"):
        page.goto(page.dashboard + path)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
    training = page.locator("tbody th a", has_text="training-pipeline").first
    assert eventually(lambda: page.goto(page.dashboard + "/runs") and training.count())  # a push starts it
    training.click()
    step = page.get_by_role("region", name="Step")
    page.locator(".graph svg a").first.click()
    expect(step.get_by_role("link", name="Logs")).to_be_in_viewport()
    page.get_by_role("link", name="Task details").click()
    expect(step.get_by_role("link", name="Task details")).to_be_in_viewport()
    page.locator(".skip").focus()
    assert page.locator(".skip").is_visible()
