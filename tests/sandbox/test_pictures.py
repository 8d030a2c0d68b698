"""Pictures: every step and every arrow of the compiled pipeline, the states of a real run, and honest lineage."""

import itertools
import re

import pytest
from fake_model_registry import FakeModelRegistry
from kfp import dsl
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from jukebox_helpers import settings as settings_module
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import compile
from jukebox_helpers.pipelines.lineage import trace
from jukebox_helpers.pipelines.runs import Run, Step
from jukebox_helpers.settings import KIT, Settings
from jukebox_helpers.show.graphs import COLOURS, live_graph, pipeline_graph, quoted
from jukebox_helpers.show.lineage_picture import lineage_picture
from jukebox_helpers.steps.registry_kubeflow import kubeflow_registry
from jukebox_sandbox import runner


@dsl.component(base_image="python:3.12")
def flip(side: str) -> str:
    """Say which side."""
    return side


@dsl.component(base_image="python:3.12")
def say(text: str):
    """Say it, or fail."""
    if text == "fail":
        raise ValueError("no words. Next: give some.")


@dsl.pipeline(name="nested")
def nested(side: str = "heads", words: list = ["a", "b"]):  # noqa: B006
    """Conditions, loops and an exit handler, in each other."""
    last = say(text="end")
    with dsl.ExitHandler(last):
        coin = flip(side=side)
        with dsl.If(coin.output == "heads"), dsl.ParallelFor(words) as word:
            say(text=word)
        with dsl.Else():
            say(text="lost")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return compile.compile_pipeline(nested, tmp_path_factory.mktemp("yaml") / "nested.yaml")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    state = tmp_path_factory.mktemp("state")
    return Settings("sandbox", state, "user1-toolings", "http://127.0.0.1:1", "http://127.0.0.1:2", "sqlite:///x")


@pytest.fixture(scope="module")
def run(compiled, settings):
    return runner.run_pipeline(compiled, {}, settings)


def boxes(mermaid):
    """Of a graph: label and style of each step by its id, and the arrows between labels."""
    nodes = {found[1]: (found[2], found[3]) for found in re.finditer(r'^ *(t\w*)\("(.*)"\):::(\w+)$', mermaid, re.M)}
    around = {found[1]: found[2] for found in re.finditer(r'^ *subgraph (t\w*)\["(.*)"\]$', mermaid, re.M)}
    names = {key: label for key, (label, _) in nodes.items()} | around
    arrows = {(names[a], names[b]) for a, b in re.findall(r"^ *(t\w*) --> (t\w*)$", mermaid, re.M)}
    return dict(nodes.values()), list(around.values()), arrows


def test_the_data_pipeline_is_drawn_step_by_step():
    graph = pipeline_graph(KIT / settings_module.DATA_PIPELINE_YAML)
    steps, around, arrows = boxes(graph.mermaid)
    names = ["check-access", "extract", "validate", "transform", "load", "version-and-commit"]
    assert steps == dict.fromkeys(names, "pending")
    assert around == []
    # That transform waits for extract, too, is said by the way over validate.
    assert arrows == set(itertools.pairwise(names))
    assert "flowchart LR" in graph.mermaid
    assert repr(graph).splitlines() == [
        "data-pipeline-with-dvc",
        "  check-access",
        "  extract             after check-access",
        "  validate            after extract",
        "  transform           after validate",
        "  load                after transform",
        "  version-and-commit  after load",
    ]


def test_conditions_loops_and_exit_handlers_are_drawn_around_their_steps(compiled):
    graph = pipeline_graph(compiled)
    steps, around, arrows = boxes(graph.mermaid)
    assert set(steps) == {"flip", "say-2", "say-3", "say<br/>always, even after a failure"}
    assert around == [
        "exit-handler-1",
        "condition-branches-2",
        "condition-4: if flip == #39;heads#39;",
        "for-loop-3: for each of words",
        "condition-5: if not (flip == #39;heads#39;)",
    ]
    assert arrows == {("flip", around[1]), (around[0], "say<br/>always, even after a failure")}
    assert "flowchart TB" in graph.mermaid
    assert graph.mermaid.count("subgraph") == len(re.findall(r"^ *end$", graph.mermaid, re.M)) == 5
    text = repr(graph).splitlines()
    assert text[1:4] == ["  exit-handler-1", "      flip", "      condition-branches-2  after flip"]
    assert "          condition-4  if flip == 'heads'" in text
    assert "                  say-2" in text


def test_a_run_puts_states_and_times_on_every_box(compiled, run):
    graph = pipeline_graph(compiled, run)
    steps, around, _ = boxes(graph.mermaid)
    found = {re.split("  |<br/>", label)[0]: style for label, style in steps.items()}
    assert found == {"✓ flip": "succeeded", "✓ say-2": "succeeded", "– say-3": "skipped", "✓ say": "succeeded"}
    assert [title.split()[0] for title in around] == ["✓", "✓", "✓", "✓", "–"]
    assert f"✓ flip  {run.step('flip').seconds:.1f} s" in repr(graph)
    assert repr(graph).startswith(f"nested: succeeded after {run.seconds:.1f} s")


def test_a_run_is_drawn_from_the_yaml_that_it_kept(compiled, run, tmp_path):
    assert pipeline_graph(run=run) == pipeline_graph(compiled, run)
    bare = Run("r", "p", str(tmp_path), {}, [Step("one", "succeeded", 1.25), Step("two", "running")])
    assert repr(pipeline_graph(run=bare)) == "p: running\n  ✓ one  1.2 s\n  ▶ two"


@pytest.mark.parametrize(
    ("states", "whole", "expected"),
    [
        (["pending", "pending"], "running", "pending"),
        (["running", "pending"], "running", "running"),
        (["succeeded", "pending"], "running", "running"),
        (["succeeded", "failed"], "running", "failed"),
        (["succeeded", "skipped"], "succeeded", "succeeded"),
        (["skipped", "skipped"], "succeeded", "skipped"),
    ],
)
def test_what_holds_steps_stands_as_they_do(compiled, tmp_path, states, whole, expected):
    steps = [Step(name, state) for name, state in zip(("say-2", "say-3"), states, strict=True)]
    graph = pipeline_graph(compiled, Run("r", "nested", str(tmp_path), {}, steps, whole))
    handler = graph.tasks[0]
    branches = next(task for task in handler.inside if task.inside)
    assert branches.state == expected


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


def test_labels_cannot_leave_their_box():
    label = quoted('a"]; click x "javascript:1" <b>&`', "", "ü ✓ 1,5")
    assert label == '"a#34;#93;#59; click x #34;javascript:1#34; #60;b#62;#38;#96;<br/>ü ✓ 1,5"'


def test_nothing_to_draw_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing to draw"):
        pipeline_graph()
    (tmp_path / "no.yaml").write_text("a: 1")
    with pytest.raises(JukeboxError, match="not a compiled pipeline"):
        pipeline_graph(tmp_path / "no.yaml")


def test_a_notebook_shows_one_picture_that_changes_in_place_until_a_step_fails(compiled, tmp_path):
    source = f"""
from pathlib import Path
from jukebox_helpers.pipelines.runs import RunFailed
from jukebox_sandbox.runner import run_pipeline
from jukebox_helpers.show.graphs import live_graph
from jukebox_helpers.settings import Settings
here = Settings("sandbox", Path({str(tmp_path)!r}), "user1-toolings", "http://127.0.0.1:1", "http://127.0.0.1:2", "")
show = live_graph(Path({str(compiled)!r}))
states = []
def follow(run):
    show(run)
    states.append(run.state)
try:
    run_pipeline(Path({str(compiled)!r}), {{"words": ["fail"]}}, here, on_change=follow)
except RunFailed as failure:
    show(failure.run)
assert len(states) > 4"""
    book = new_notebook(cells=[new_code_cell(source)])
    NotebookClient(book, kernel_name="python3").execute()
    (output,) = book.cells[0].outputs
    assert set(output["data"]) == {"text/vnd.mermaid", "text/plain"}
    graph = output["data"]["text/vnd.mermaid"]
    assert "Pipeline nested: failed after" in graph
    styles = {label.split()[1]: style for label, style in boxes(graph)[0].items()}
    assert (styles["flip"], styles["say-2"]) == ("succeeded", "failed")
    assert styles["say-3"] == "skipped"
    assert "✓ flip" in output["data"]["text/plain"]
    assert len(str(output)) < 5000


def test_where_nothing_can_change_in_place_each_finished_step_gets_a_line(compiled, run, capsys):
    show = live_graph(compiled)
    show(Run("r", "nested", run.folder, {}, [Step("flip", "running")]))
    first = Run("r", "nested", run.folder, {}, [Step("flip", "succeeded", 1.0), Step("say-3", "running")])
    for news in (first, first):
        show(news)
    first.steps[1].state = "failed"
    show(first)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["✓", "flip", "1.0", "s"], ["✗", "say-3", "0.0", "s"]]


METADATA = {
    "model sha256": "a1" * 32,
    "git repository": 'http://127.0.0.1:1/user1/"jukebox".git',
    "git revision": "0123456789" * 4,
    "DVC training data hash": "0bcc" * 8,
    "songs rows": 14_245,
    "rankings sha256": "c3" * 32,
    "rankings rows": 1_130_000,
    "rankings source": "made up (sample)",
    "metric.log_loss": 3.25,
    "metric.top1": 0.0715,
    "metric.prior_log_loss": 4.125,
    "run": "training-pipeline-1",
}


@pytest.fixture
def registry():
    fake = FakeModelRegistry()
    yield kubeflow_registry(fake.url)
    fake.close()


def lineage(registry, without=()):
    metadata = {key: value for key, value in METADATA.items() if not key.startswith(tuple(without))}
    registry.register("jukebox", "0123456789", "s3://models/jukebox/0123456789/model.onnx", metadata, production=True)
    return trace(registry, "jukebox")


def test_lineage_is_drawn_from_bytes_and_code_to_the_scores(registry):
    picture = lineage_picture(lineage(registry))
    assert repr(picture).splitlines() == [
        "Lineage of jukebox 0123456789",
        '  revision                      0123456789, user1/"jukebox".git',
        "  data version                  0bcc0bcc0b…, 14,245 songs",
        "  rankings                      c3c3c3c3c3…, 1,130,000 rows, made up (sample)",
        "  run                           training-pipeline-1",
        "  model version, in production  jukebox 0123456789, sha256 a1a1a1a1a1…",
        "  scores                        log-loss ↓ 3.2500, top-1 ↑ 7.15%, prior: log-loss ↓ 4.1250",
    ]
    lines = picture.mermaid.splitlines()
    assert '  data[("data version<br/>0bcc0bcc0b…<br/>14,245 songs")]:::data' in lines
    assert '  code("revision<br/>0123456789<br/>user1/#34;jukebox#34;.git"):::code' in lines
    arrows = {tuple(re.split(r" -+[.>-]* ", line.strip())) for line in lines if "->" in line}
    assert arrows == {
        ("code", "data"),
        ("code", "run"),
        ("data", "run"),
        ("rankings", "run"),
        ("run", "model"),
        ("model", "metrics"),
    }
    assert "missing" not in re.findall(r":::(\w+)", picture.mermaid)


def test_a_hole_in_the_lineage_is_seen(registry):
    picture = lineage_picture(lineage(registry, without=("DVC", "metric", "songs", "run")))
    marked = re.findall(r"^  (\w+)\W.*:::missing$", picture.mermaid, re.M)
    assert marked == ["data", "run", "metrics"]
    assert "not versioned: nobody can say which bytes, not recorded" in repr(picture)
