"""A real browser: JupyterLab opens the last notebook, runs it, a quiz is answered, a slider is moved."""

import os

import pytest
from lab_browser import jupyterlab, need_chromium, open_notebook, page_of, run_all
from quick_model import register_quick_model
from stand_in import stand_in_configuration

from jukebox_helpers import sandbox as laptop
from jukebox_helpers.workshop.catching_up import catch_up


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    need_chromium()
    state = tmp_path_factory.mktemp("browser") / "state"
    before = dict(os.environ)
    os.environ["JUKEBOX_STATE"] = str(state)
    laptop.up(state, lifeline=True, configuration=stand_in_configuration(state.parent))
    try:
        place = catch_up(5, lambda line: None)
        register_quick_model(place)
        register_quick_model(place, "1111111111", data_version="b" * 32)
        yield place
    finally:
        laptop.down(state)
        os.environ.clear()
        os.environ.update(before)


def test_a_notebook_runs_a_quiz_answers_and_a_slider_moves(place, tmp_path):
    from playwright.sync_api import expect

    with jupyterlab(place.settings, tmp_path / "lab") as (address, token), page_of(tmp_path / "chromium") as page:
        open_notebook(page, address, token, "8-play-the-jukebox.ipynb")
        run_all(page)
        notebook = page.locator(".jp-Notebook")
        expect(notebook).to_contain_text("Ready for notebook 8")
        expect(notebook).to_contain_text("hit: not attempted")

        quiz = page.locator(".jp-OutputArea", has_text="Why are scaler and encoder inside the ONNX file?").last
        quiz.scroll_into_view_if_needed()
        quiz.get_by_label("To make the file smaller.").click()
        expect(quiz).to_contain_text("Not quite")
        quiz.get_by_label("So that model and preparation can never be of two versions.").click()
        expect(quiz).to_contain_text("Right")

        picture = page.locator(".jp-OutputArea img.widget-image")
        picture.scroll_into_view_if_needed()
        before = picture.get_attribute("src")
        slider = page.locator(".widget-slider", has_text="tempo").locator(".noUi-handle")
        slider.focus()
        for _ in range(8):
            slider.press("PageUp")
        page.wait_for_function("before => document.querySelector('img.widget-image').src != before", arg=before)
        assert page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']").count() == 0


def test_the_launcher_opens_the_dashboard(place, tmp_path):
    from playwright.sync_api import expect

    with jupyterlab(place.settings, tmp_path / "lab") as (address, token), page_of(tmp_path / "chromium") as page:
        page.goto(f"{address}/lab/tree/jukebox?token={token}")
        page.locator(".lm-MenuBar-item", has_text="File").first.click()
        page.locator("li[data-command='launcher:create']").first.click()
        with page.context.expect_page() as opened:
            page.locator(".jp-LauncherCard", has_text="Dashboard").click()
        dashboard = opened.value
        expect(dashboard.locator("h1")).to_have_text("Pipelines")
        assert dashboard.url == f"{place.settings.cluster_domain}/dashboard/pipelines"
