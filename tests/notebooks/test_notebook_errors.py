"""What a notebook shows when something goes wrong: what happened, why, what next; in a real kernel, no traceback."""

import os
import subprocess

import nbclient
import nbformat
import pytest
from stand_in import stand_in_configuration

from jukebox_helpers import sandbox as laptop
from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.settings import KIT
from jukebox_helpers.workshop.catching_up import catch_up
from jukebox_helpers.workshop.songs import songs_argument

CELLS = {
    "enter": "from jukebox_helpers.workshop.catching_up import catch_up; place = catch_up(2, lambda line: None)",
    "restore": "place.restore('f' * 32)",
    "missing": "place.train_on('nothing.parquet')",
    "broken": "from jukebox_helpers.workshop.place import load_songs\nplace.publish('broken'); load_songs(place)",
    "git": "place.git('no-such-command')",
    "fault": "1 / 0",
    "delete": "import shutil; shutil.rmtree(place.clone)",
    "gone": "place.fetch()",
    "again": "place = catch_up(2, print)",
    "shell": "!git status --short --branch",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workplace with buckets on a sandbox of its own."""
    state = tmp_path_factory.mktemp("errors") / "state"
    before = dict(os.environ)
    os.environ |= {"JUKEBOX_STATE": str(state), "PYTHONPATH": str(KIT)}
    laptop.up(state, lifeline=True, configuration=stand_in_configuration(state.parent))
    try:
        yield catch_up(2, lambda line: None)
    finally:
        laptop.down(state)
        os.environ.clear()
        os.environ.update(before)


def execute(place, cells, **options):
    """Execute cells in a real kernel that works in the clone's notebooks, and give each one's outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(place.clone / "notebooks")}}
    client = nbclient.NotebookClient(notebook, kernel_name="python3", resources=resources, **options)
    client.execute()
    return [cell.outputs for cell in notebook.cells]


@pytest.fixture(scope="module")
def shown(place):
    return dict(zip(CELLS, execute(place, CELLS.values(), allow_errors=True), strict=True))


@pytest.mark.parametrize(
    ("cell", "what", "next_action"),
    [
        ("restore", "ffff is not in the bucket data-cache: it was never pushed there", "place.practised_versions()"),
        ("missing", "There is no file ", "https:// or s3://"),
        ("broken", "'energy' must be between 0.0 and 1.0", ""),
        ("git", "git no-such-command failed", "./jukebox status"),
        ("gone", "is not a git repository any more: the folder was moved, deleted", "catch-up 0"),
    ],
)
def test_an_error_of_ours_is_one_box(shown, cell, what, next_action):
    (output,) = shown[cell]
    assert output.output_type == "error" and output.ename == "JukeboxError"
    first, second = output.traceback
    assert first.startswith("✗ ") and what in first and second.startswith("→ Next: ") and next_action in second
    assert "\x1b" not in first + second and "File " not in first


def test_a_fault_of_ours_or_of_the_attendee_keeps_its_traceback(shown):
    (output,) = shown["fault"]
    assert output.ename == "ZeroDivisionError" and len(output.traceback) > 2


def test_a_clone_that_was_deleted_under_the_kernel_comes_back(shown, place):
    said = "".join(output.text for output in shown["again"])
    assert "cloned jukebox again" in said and "Ready for notebook 2" in said
    assert "## main...origin/main" in "".join(output.text for output in shown["shell"])
    assert place.git("log", "-1", "--format=%H") == place.head()


def test_the_cell_of_an_error_has_failed(place):
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="never pushed"):
        execute(place, [CELLS["enter"], CELLS["restore"], "print('not reached')"])


def test_a_clone_without_git_is_not_taken_for_the_repository_around_it(place, tmp_path):
    kept = (place.clone / ".git").rename(tmp_path / "git")
    try:
        with pytest.raises(JukeboxError, match="emptied") as refused:
            place.fetch()
        assert refused.value.next_action.startswith("Move the rest of it away")
    finally:
        kept.rename(place.clone / ".git")


def test_a_path_may_be_a_text(place):
    assert songs_argument(place.settings, str(place.songs)) == songs_argument(place.settings, place.songs)
    assert place.git("rev-parse", "HEAD", folder=str(place.clone)) == place.head()


def test_only_an_error_with_a_next_action_is_turned_into_ours():
    @as_jukebox_error()
    def fail(error):
        raise error

    with pytest.raises(JukeboxError) as refused:
        fail(ValueError("Row 3 has no name. Next: give it one."))
    assert (refused.value.what, refused.value.next_action) == ("Row 3 has no name.", "Give it one.")
    with pytest.raises(JukeboxError, match="^Two rules"):
        fail(ValueError("Two rules are broken.\nNext: correct the source."))
    with pytest.raises(ValueError, match="^Row 3$"):
        fail(ValueError("Row 3"))
    ours = JukeboxError("a", "b")
    with pytest.raises(JukeboxError) as refused:
        fail(ours)
    assert refused.value is ours
    assert JukeboxError("a")._render_traceback_() == ["✗ a"]


def test_a_notebook_runs_without_a_home_and_in_a_locale_without_utf_8(tmp_path):
    """Through the launcher, as a person starts it; git, DVC, Matplotlib and the kernel all want a home."""
    odd = {"HOME": "/dev/null/home", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = {key: value for key, value in os.environ.items() if key not in ("JUKEBOX_STATE", "PYTHONPATH")} | odd
    report = tmp_path / "report.html"
    command = [str(KIT / "jukebox"), "notebooks", "--only", "3", "--report", str(report)]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ 3-change-and-restore-data" in done.stdout and "Traceback" not in done.stdout + done.stderr
    assert "✓" in report.read_text(encoding="utf-8")
