"""Every notebook: solved in order on one sandbox, untouched in order on another, and alone after catching up."""

import dataclasses
import json
import multiprocessing
import re
import shutil
from concurrent.futures import ProcessPoolExecutor

import nbformat
import pytest
from quick_model import register_quick_model

from jukebox_helpers import sandbox as laptop
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.settings import TRAINING_PIPELINE
from jukebox_helpers.steps.constants import NOTEBOOK_COUNT, VERSION_FILE
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.workshop.buckets import CONFIG
from jukebox_helpers.workshop.doctor import Finding
from jukebox_helpers.workshop.notebooks import notebook_files, run_notebook, run_notebooks
from jukebox_helpers.workshop.place import Workplace
from jukebox_helpers.workshop.report import report_page

FILES = notebook_files()
EXERCISES = (
    ("two-models",), ("buckets",), ("remotes", "first-version"), ("second-version", "restore"), ("fetch", "push"),
    ("import", "first-model"), ("daily", "second-model", "own-commit"), ("reproduce",), ("hit",), ("unbroken",),
)  # fmt: skip
COMPARED = (6, 7)
EARLY = "0000000000"
"""A model version that an early push has registered."""

ALONE = (4, 9)
"""Solved alone, too. For 6 and 7, which come after trainings, the start is compared with the one in order."""


def start_of(place):
    """All that a notebook finds when it starts: code and buckets on main, buckets of the server, models."""
    records = place.versioned_models()
    place.fetch("mlops-gitops")
    return {
        "config": place.git("show", f"origin/main:{CONFIG}", folder=place.gitops),
        "training": place.on_main(str(TRAINING_PIPELINE)),
        "version file": "md5: " in place.on_main(VERSION_FILE),
        "buckets": place.buckets(),
        "models": [{key: record["metadata"].get(key) for key in
                    ("DVC training data hash", "rankings sha256", "songs rows", "parameters")} for record in records],
    }  # fmt: skip


def run_all_solved(folder):
    """In order on one sandbox, with the solutions."""
    state, starts, runs = folder / "in-order", {}, []
    settings = laptop.up(state, lifeline=True)
    # As after a push before the first data version, for which the training makes its own data.
    register_quick_model(Workplace(settings), EARLY, data_version="")
    for number, file in enumerate(FILES):
        if number in COMPARED:
            starts[number] = start_of(Workplace(settings))
        runs.append(run(file, folder / "solved", settings, True))
    versions = Workplace(settings).versions()
    laptop.down(state)
    return settings, runs, starts, versions


def run_all_untouched(folder):
    """In order on another; some are then solved, too, and the state of before is put back."""
    state, aside, starts, runs, alone = folder / "untouched-state", folder / "aside", {}, [], {}
    settings = laptop.up(state, lifeline=True)
    for number, file in enumerate(FILES):
        runs.append(run(file, folder / "untouched", settings, False))
        if number in COMPARED:
            starts[number] = start_of(Workplace(settings))
        if number in ALONE:
            laptop.down(state)
            shutil.copytree(state, aside, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
            settings = laptop.up(state, lifeline=True)
            alone[number] = run(file, folder / "alone", settings, True)
            laptop.down(state)
            shutil.rmtree(state)
            aside.rename(state)
            settings = laptop.up(state, lifeline=True)
    laptop.down(state)
    return runs, alone, starts


def run(file, folder, settings, solve):
    folder.mkdir(exist_ok=True)
    return run_notebook(file, folder, settings, solve)


class Story:
    """What happened on the two sandboxes, told once for all tests of this file, side by side."""

    def __init__(self, folder):
        self.folder = folder
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            in_order, untouched = pool.submit(run_all_solved, folder), pool.submit(run_all_untouched, folder)
            self.settings, self.solved, self.starts, self.versions = in_order.result()
            self.untouched, self.alone, self.caught_up = untouched.result()
        # Its sandbox is down; what its files say is still there.
        self.place = Workplace(self.settings)


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    return Story(tmp_path_factory.mktemp("notebooks"))


def text_of(run):
    cells = nbformat.read(run.file, as_version=4).cells
    return "\n".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for cell in cells
        for output in cell.get("outputs", [])
    )


@pytest.mark.parametrize("number", range(NOTEBOOK_COUNT))
def test_solved_in_order(story, number):
    run = story.solved[number]
    assert run.error == ""
    assert run.outcomes == dict.fromkeys(EXERCISES[number], "passed")


@pytest.mark.parametrize("number", range(NOTEBOOK_COUNT))
def test_untouched_in_order(story, number):
    run = story.untouched[number]
    assert run.error == ""
    # Only the exercises of this notebook: catching up does those of earlier ones.
    assert run.outcomes == dict.fromkeys(EXERCISES[number], "not attempted")


@pytest.mark.parametrize("number", ALONE)
def test_solved_alone_after_catching_up(story, number):
    run = story.alone[number]
    assert run.error == ""
    assert run.outcomes == dict.fromkeys(EXERCISES[number], "passed")


@pytest.mark.parametrize("number", COMPARED)
def test_catching_up_leads_to_the_same_start(story, number):
    # A week brings more models than catching up; what it begins with is the same.
    models = story.starts[number].pop("models")[: number - 5]
    assert story.caught_up[number].pop("models") == models and len(models) == number - 5
    assert story.caught_up[number] == story.starts[number]


def test_the_data_versions_are_those_of_the_bytes(story):
    first, second = story.solved[3].values["data versions"]
    assert story.solved[2].values["data version"] == first != second
    assert story.solved[3].values["data version"] == first and story.solved[3].values["commits"] == 3
    restored = story.place.practice / VERSION_FILE.removesuffix(".dvc")
    assert file_digest(str(restored), "md5") == first
    # By hand, by pipeline, on another sandbox: the same songs are the same version.
    assert story.solved[5].values["data version"] == first
    assert story.alone[9].values["data version"] == first
    assert first in text_of(story.solved[5])


def test_the_models_are_those_of_the_registry(story):
    assert [record["version"] for record in story.versions[:2]] == [EARLY, story.solved[0].values["revision"]]
    records = [record for record in story.versions if record["metadata"].get("DVC training data hash")]
    assert EARLY in text_of(story.solved[7])
    assert f"{records[0]['version']} and " in text_of(story.solved[7])
    assert EARLY not in text_of(story.solved[8])
    assert story.solved[5].values["model version"] == records[0]["version"]
    # The week's: fresh, corrected, and the correction again after the drift.
    assert story.solved[6].values["model versions"] == [record["version"] for record in records[:4]]
    assert story.solved[6].values["songs"] == [2000, 2320]
    assert story.solved[7].values["model sha256"] == records[0]["metadata"]["model sha256"]
    hashes = [record["metadata"]["DVC training data hash"] for record in records]
    assert hashes[:2] == story.solved[3].values["data versions"] and hashes[2] == hashes[3]


def test_one_revision_gave_two_models_and_nobody_can_say_which_bytes(story):
    first, second = story.solved[0].values["models"]
    assert first != second
    said = text_of(story.solved[0])
    assert first in said and second in said and "not versioned: nobody can say which bytes" in said


def test_a_week_ends_as_it_should_and_the_cache_hides_fresh_songs(story):
    said = text_of(story.solved[6])
    outcomes = re.findall(r"^day \d of \d: (\w+: [a-z ]+)", said, re.MULTILINE)
    assert outcomes == ["same: no news", "fresh: new model", "same: no news", "corrected: new model",
                        "broken: data refused", "drift: model refused", "corrected: new model",
                        "same: no news"]  # fmt: skip
    assert re.search(r"that arrived, at their address +2,320", said)
    assert re.search(r"in the data version on main, .* +2,000", said)


def test_the_training_without_a_version_failed_and_said_why(story):
    assert story.solved[4].values["state"] == "failed"
    assert "has no song_properties.parquet.dvc" in text_of(story.solved[4])


def test_the_notebooks_show_what_they_promise(story):
    for number, word in {1: "data-cache", 2: "deps:", 3: "320 added", 5: "version-and-commit", 7: "≠", 8: "Austria",
                         9: "After 1 stopped run"}.items():  # fmt: skip
        assert word in text_of(story.solved[number]), number
    assert "Ready for notebook" in text_of(story.untouched[4])
    assert "\x1b" not in text_of(story.solved[7])  # words, not what only a terminal understands


def test_no_secret_is_in_an_executed_notebook(story):
    files = [file for kind in ("solved", "untouched", "alone") for file in (story.folder / kind).glob("*.ipynb")]
    assert len(files) == 20 + len(ALONE)
    secrets = [file.read_text() for state in ("in-order", "untouched-state")
               for name in ("git-auth/password", "aws-connection-data/AWS_SECRET_ACCESS_KEY")
               for file in (story.folder / state / "secrets").glob(name)]  # fmt: skip
    assert len(secrets) == 4
    assert not any(secret in file.read_text() for secret in secrets for file in files)


def test_the_report_shows_every_notebook_and_its_checks(story):
    page = report_page(story.solved)
    for run in story.solved:
        assert f"<td>{run.name}</td><td>✓ passed</td>" in page
    assert page.count("<details>") == 10 and "second-model" in page
    # Graphs and quizzes, which are drawn in JupyterLab, are told in words.
    assert "✓ version-and-commit" in page and "What if Kubeflow" in page
    assert story.untouched[1].passed and "<th>untouched</th>" in report_page([story.untouched[1]])
    worse = report_page([dataclasses.replace(story.untouched[1], solved=True)])
    assert "<td>✗ failed</td>" in worse and "○ buckets" in worse and "<details open>" in worse
    assert "revision " in page and "Python <b>3." in page and "kfp <b>2." in page


def test_a_broken_notebook_is_reported_and_not_raised(story, tmp_path, monkeypatch):
    for name in ("JUKEBOX_STATE", "PYTHONPATH"):
        monkeypatch.setenv(name, "")  # put back what the runner sets
    notebook = nbformat.read(FILES[0], as_version=4)
    notebook.cells = [nbformat.v4.new_code_cell("solve = False", metadata={"tags": ["parameters"]}),
                      nbformat.v4.new_code_cell("1 / 0")]  # fmt: skip
    broken = tmp_path / "9-broken.ipynb"
    nbformat.write(notebook, broken)
    (tmp_path / "out").mkdir()
    run = run_notebook(broken, tmp_path / "out", story.settings)
    assert run.error.startswith("ZeroDivisionError") and not run.passed
    cell = nbformat.read(run.file, as_version=4).cells[-1].id
    page = report_page([run], [Finding("S3", False, "no answer <here>", "Start it.")])
    assert f'<a href="#cell-id={cell}">ZeroDivisionError' in page and f'id="cell-id={cell}"' in page
    assert "<details open>" in page and "✗ S3</td><td>no answer &lt;here&gt;</td><td>Start it." in page
    json.dumps(run.values)


def test_a_report_is_written_also_where_nothing_can_run(tmp_path, monkeypatch):
    monkeypatch.setattr(laptop, "up", refuse_to_start)
    told = []
    runs = run_notebooks(tmp_path / "report.html", tell=told.append)
    assert [run.name for run in runs] == [file.stem for file in FILES] and told == runs
    page = (tmp_path / "report.html").read_text()
    assert page.count("<td>✗ failed</td>") == len(FILES) and page.count("The sandbox does not start.") == len(FILES)
    with pytest.raises(JukeboxError, match="does not start"):
        run_notebooks(None)


def refuse_to_start(*_, **__):
    raise JukeboxError("The sandbox does not start.", "Read its log.")
