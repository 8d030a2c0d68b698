"""Pictures: every step and every arrow of the compiled pipeline, and honest lineage."""

import itertools
import re

import pytest
from nested import boxes, nested
from registry_server import RegistryServer

from jukebox_helpers import settings as settings_module
from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import compile
from jukebox_helpers.pipelines.lineage import trace
from jukebox_helpers.pipelines.runs import Run, Step
from jukebox_helpers.settings import KIT
from jukebox_helpers.show.graphs import pipeline_graph, quoted
from jukebox_helpers.show.lineage_picture import lineage_picture
from jukebox_helpers.show.week_picture import Day, week_chart


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return compile.compile_pipeline(nested, tmp_path_factory.mktemp("yaml") / "nested.yaml")


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


def test_labels_cannot_leave_their_box():
    label = quoted('a"]; click x "javascript:1" <b>&`', "", "ü ✓ 1,5")
    assert label == '"a#34;#93;#59; click x #34;javascript:1#34; #60;b#62;#38;#96;<br/>ü ✓ 1,5"'


def test_nothing_to_draw_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing to draw"):
        pipeline_graph()
    (tmp_path / "no.yaml").write_text("a: 1")
    with pytest.raises(JukeboxError, match="not a compiled pipeline"):
        pipeline_graph(tmp_path / "no.yaml")


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
    server = RegistryServer()
    yield server.open()
    server.close()


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


def test_a_week_keeps_the_letter_of_a_data_version_that_comes_back():
    days = [
        Day("fresh", "1", "aa" * 16, "r1", "m1", 3.9),
        Day("same", "2", "aa" * 16),
        Day("broken", "3", "aa" * 16, refused="energy is 2.1"),
        Day("drift", "4", "bb" * 16, "r2", refused="no better than the prior"),
        Day("fresh", "5", "aa" * 16, "r3", "m3", 3.9),
    ]
    chart = week_chart(days)
    assert chart.words == (
        "A week of arriving data. day 1, fresh: new model; day 2, same: no news; day 3, broken: data refused; "
        "day 4, drift: model refused; day 5, fresh: new model."
    )
    above, below = chart.axes
    assert [text.get_text() for text in above.texts] == ["A", "A", "A", "B", "A"]
    assert [label.get_text() for label in above.get_yticklabels()] == ["A aaaaaaaa…", "B bbbbbbbb…"]
    crosses = [[line.get_xdata()[0] for line in axes.lines if line.get_marker() == "x"] for axes in (above, below)]
    assert crosses == [[3], [4]]  # the file that was refused, and the model
    assert list(below.lines[0].get_xdata()) == [1, 5]
    assert len(week_chart(days[1:3]).axes) == 2  # also where no model was registered
