"""Pictures of a real run: states and times on every box, while it runs and afterwards."""

import re

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from nested import boxes, nested

from jukebox_helpers.pipelines import compile
from jukebox_helpers.pipelines.following import run_pipeline
from jukebox_helpers.pipelines.runs import Run, Step
from jukebox_helpers.show.graphs import COLOURS, live_graph, pipeline_graph
from jukebox_helpers.show.progress import in_seconds


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return compile.compile_pipeline(nested, tmp_path_factory.mktemp("yaml") / "nested.yaml")


@pytest.fixture(scope="module")
def run(compiled, sandbox):
    return run_pipeline(compiled, {}, sandbox)


def test_a_run_puts_states_and_times_on_every_box(compiled, run):
    graph = pipeline_graph(compiled, run)
    seconds = {step.name: step.seconds for step in run.steps}
    steps, around, _ = boxes(graph.mermaid)
    found = {re.split("  |<br/>", label)[0]: style for label, style in steps.items()}
    assert found == {"✓ flip": "succeeded", "✓ say-2": "succeeded", "– say-3": "skipped", "✓ say": "succeeded"}
    assert [title.split()[0] for title in around] == ["✓", "✓", "✓", "✓", "–"]
    took = f"  {in_seconds(seconds['flip'])}" if seconds["flip"] >= 1 else ""
    assert f"✓ flip{took}" in repr(graph)
    assert repr(graph).startswith("nested: succeeded")


def test_a_run_is_drawn_from_what_it_runs(compiled, run):
    assert pipeline_graph(run=run) == pipeline_graph(compiled, run)
    bare = Run("r", "r", "p", {}, [Step("one", "succeeded", 1.25), Step("two", "running")])
    assert repr(pipeline_graph(run=bare)) == "p: running\n  ✓ one  1 s\n  ▶ two"


def test_every_style_that_is_used_is_defined_and_brings_its_own_colours(compiled, run):
    mermaid = pipeline_graph(compiled, run).mermaid
    assert set(re.findall(r":::(\w+)", mermaid)) <= set(re.findall(r"classDef (\w+)", mermaid)) == set(COLOURS)
    for style in COLOURS.values():
        back, front = (re.search(rf"{what}:#(\w{{6}})", style)[1] for what in ("fill", "color"))
        assert contrast(back, front) >= 4.5


def contrast(one, other):
    """The contrast of two colours: https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio."""

    def luminance(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_a_notebook_shows_one_picture_that_changes_in_place_until_a_step_fails(compiled, sandbox):
    source = f"""
from pathlib import Path
from jukebox_helpers.pipelines.runs import RunFailed
from jukebox_helpers.pipelines.following import follow, start_run
from jukebox_helpers.pipelines.read import read_pipeline
from jukebox_helpers.pipelines.server import connect
from jukebox_helpers.settings import find_settings
from jukebox_helpers.show.progress import in_seconds
from jukebox_helpers.show.graphs import live_graph
server, compiled = connect(find_settings()), read_pipeline(Path({str(compiled)!r}).read_text())
show = live_graph(Path({str(compiled)!r}))
states = []
def see(run):
    show(run)
    states.append(run.state)
try:
    follow(server, start_run(server, compiled, {{"words": ["fail"]}}, "a-run"), see)
except RunFailed as failure:
    show(failure.run)
assert len(states) > 1"""
    book = new_notebook(cells=[new_code_cell(source)])
    NotebookClient(book, kernel_name="python3").execute()
    assert len(book.cells[0].outputs) == 1, book.cells[0].outputs
    (output,) = book.cells[0].outputs
    assert set(output["data"]) == {"text/vnd.mermaid", "text/plain"}
    graph = output["data"]["text/vnd.mermaid"]
    assert "Pipeline nested: failed" in graph
    styles = {label.split()[1]: style for label, style in boxes(graph)[0].items()}
    assert (styles["flip"], styles["say-2"]) == ("succeeded", "failed")
    assert styles["say-3"] == "skipped"
    assert "✓ flip" in output["data"]["text/plain"]
    assert len(str(output)) < 5000


def test_where_nothing_can_change_in_place_each_finished_step_gets_a_line(compiled, run, capsys):
    show = live_graph(compiled)
    show(Run("r", "r", "nested", {}, [Step("flip", "running")]))
    first = Run("r", "r", "nested", {}, [Step("flip", "succeeded", 1.0), Step("say-3", "running")])
    for news in (first, first):
        show(news)
    first.steps[1].state = "failed"
    show(first)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["✓", "flip", "1", "s"], ["✗", "say-3", "under", "1", "s"]]
