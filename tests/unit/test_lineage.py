import contextlib
import json
import re

import pytest
from recorded import MD5, MODEL, PACKAGES, RANKINGS, WHOLE, register
from registry_server import RegistryServer
from rich.console import Console

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import reproduction
from jukebox_helpers.pipelines.lineage import compare_digests, trace
from jukebox_helpers.pipelines.read import CompiledPipeline
from jukebox_helpers.settings import TRAINING_PIPELINE_YAML
from jukebox_helpers.show.lineage import compare, lineage_tree


@pytest.fixture
def registry():
    server = RegistryServer()
    yield server.open()
    server.close()


def printed(renderable):
    console = Console(width=100, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert max(len(line) for line in lines) <= 100
    return lines


def compared(a, b):
    """A printed comparison: for each mark and label the lines that follow, columns parted by one space."""
    rows = []
    for line in printed(compare(a, b))[1:]:
        if line[:1] in "≠=" and line:
            rows.append([])
        if rows and line:
            rows[-1].append(re.sub(r"  +", "  ", line.strip()))
    return rows


def test_lineage_leads_from_the_version_to_bytes_and_code(registry):
    lineage = register(registry)
    assert json.loads(json.dumps(lineage)) == lineage
    assert lineage.pop("registered at").endswith("+00:00")
    assert lineage == {
        "model": "jukebox",
        "version": "0123456789",
        "production": False,
        "file": {"uri": "s3://models/jukebox/0123456789/model.onnx", "sha256": MODEL},
        "code": {"repository": WHOLE["git repository"], "revision": WHOLE["git revision"]},
        "data": {
            "file": "song_properties.parquet",
            "md5": MD5,
            "remotes": {"data-source": "s3://data", "s3-version": "s3://data-cache"},
            "rows": 14_245,
            "object": f"s3://data-cache/files/md5/0b/{MD5[2:]}",
        },
        "rankings": {
            "sha256": RANKINGS,
            "rows": 1_130_000,
            "source": "made up (sample)",
            "object": f"s3://data-cache/rankings/{RANKINGS}.parquet",
        },
        "preparation": {"songs": 14_000, "countries left out": {}, "time cut": "2023-12-01"},
        "parameters": {"C": 1.5, "[/odd]": None},
        "metrics": {"accuracy": 0.125, "log_loss": 3.25, "top1": 0.0715},
        "packages": PACKAGES,
        "run": {"python": "3.12.9", "pipeline run": "run-1", "kit version": "0.1.0"},
        "other": {"countries": 72},
        "missing": {},
    }


def test_without_a_version_the_latest_is_traced(registry):
    register(registry, "first00000")
    register(registry, "second0000")
    assert trace(registry, "jukebox")["version"] == "second0000"


def test_unversioned_data_is_said_and_never_blank(registry):
    lineage = register(registry, without=["DVC", "run", "metric", "packages"])
    assert lineage["data"]["md5"] is lineage["data"]["object"] is None
    assert lineage["missing"] == {
        "data.file": "not recorded",
        "data.md5": "not versioned: nobody can say which bytes",
        "data.remotes": "not recorded",
        "run.pipeline run": "not recorded",
        "metrics": "not recorded",
        "packages": "not recorded",
    }
    text = "\n".join(printed(lineage_tree(lineage)))
    assert "md5: not versioned: nobody can say which bytes" in text
    assert "pipeline run: not recorded" in text
    assert "None" not in text


def test_metadata_that_a_person_typed_is_kept_as_it_is(registry):
    lineage = register(registry, parameters="C=1", packages="[1]")
    assert lineage["parameters"] == {"text": "C=1"}
    assert lineage["packages"] == {"text": [1]}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            ("jukebox", "nope"),
            ["no version 'nope'", "newest first: second0000, first00000", "trace jukebox second0000"],
        ),
        (("radio", None), ["model 'radio'", "Its models: jukebox.", "Name one of them"]),
        (("radio", "1"), ["model 'radio'", "Its models: jukebox."]),
    ],
)
def test_what_is_unknown_is_answered_with_what_there_is(registry, asked, said):
    register(registry, "first00000")
    register(registry, "second0000")
    with pytest.raises(JukeboxError) as error:
        trace(registry, *asked)
    assert all(words in str(error.value) for words in said), str(error.value)


def test_an_empty_registry_says_how_to_fill_it(registry):
    with pytest.raises(JukeboxError, match=r"It is empty.\nNext: Train one: ./jukebox run training-pipeline"):
        trace(registry, "jukebox")


def test_the_tree_says_every_byte_and_address_whole(registry):
    lines = printed(lineage_tree(register(registry)))
    assert re.fullmatch(r"jukebox 0123456789, registered 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", lines[0])
    for line in (
        "├── ONNX file",
        "│   ├── uri: s3://models/jukebox/0123456789/model.onnx",
        f"│   └── sha256: {MODEL}",
        f"│   └── revision: {WHOLE['git revision']}",
        f"│   └── object: s3://data-cache/files/md5/0b/{MD5[2:]}",
        "│   └── object: s3://data-cache/rankings/",
        f"│       {RANKINGS}.parquet",
        "│   ├── rows: 1,130,000",
        "│   ├── source: made up (sample)",
        "├── data used",
        "│   ├── songs: 14,000",
        "│   ├── countries left out: none",
        "│   └── [/odd]: none",
        "    └── countries: 72",
    ):
        assert line in lines, "\n".join(lines)


def test_a_version_in_production_says_so(registry):
    lineage = register(registry) | {"production": True}
    assert printed(lineage_tree(lineage))[0].endswith(" UTC, in production")


def scores_in_tree(lineage):
    """The rows of the tree's table of scores, by label."""
    rows = [re.split(r"  +", line.strip("│ ")) for line in printed(lineage_tree(lineage))]
    return {cells[0]: cells[1:] for cells in rows if len(cells) == 5}


def test_the_tree_has_a_row_of_scores_for_each_predictor(registry):
    names = ("forward_known_memorised", "forward", "previous", "memorised", "prior", "seen", "memorised_seen", "a_new")
    metrics = {f"metric.{name}_log_loss": 4.0 for name in names} | {"metric.prior_ece": 0.00634}
    lineage = register(registry, **metrics)
    assert list(scores_in_tree(lineage).items()) == [
        ("this model", ["3.2500", "7.15%", "–", "–"]),
        ("prior: how often each country occurs", ["4.0000", "–", "–", "0.0063"]),
        ("table of memorised songs", ["4.0000", "–", "–", "–"]),
        ("previous version", ["4.0000", "–", "–", "–"]),
        ("forward in time: model", ["4.0000", "–", "–", "–"]),
        ("forward in time, known songs: table", ["4.0000", "–", "–", "–"]),
        ("a new", ["4.0000", "–", "–", "–"]),
    ]
    text = "\n".join(printed(lineage_tree(lineage)))
    assert "│   └── accuracy: 0.125" in text
    assert "scored on those after it" in text
    assert lineage["metrics"]["memorised_seen_log_loss"] == 4.0


def test_a_metric_that_is_no_number_is_shown_as_it_is(registry):
    lineage = register(registry, **{"metric.top1": "high", "metric.prior_top5": "low"})
    text = "\n".join(printed(lineage_tree(lineage)))
    assert "top1: high" in text and "prior_top5: low" in text
    assert scores_in_tree(lineage) == {"this model": ["3.2500", "–", "–", "–"]}
    assert "scored on those after it" not in text


def test_a_comparison_says_what_differs_on_two_lines_and_the_rest_on_one(registry):
    a = register(registry, "first00000", without=["DVC"], **{"metric.accuracy": 0.12500001, "songs rows": 14_300})
    changes = {"git revision": "f" * 40, "packages": json.dumps(PACKAGES | {"skl2onnx": "1.20.0"})}
    rows = compared(a, register(registry, **changes))
    for expected in (
        ["≠  data: md5  first00000  not versioned: nobody can say which bytes", f"0123456789  {MD5}"],
        ["≠  data: rows  first00000  14,300", "0123456789  14,245  (-55)"],
        [f"=  rankings: sha256  {RANKINGS}"],
        ["=  rankings: rows  1,130,000"],
        [f"≠  code: revision  first00000  {WHOLE['git revision']}", f"0123456789  {'f' * 40}"],
        [
            "≠  ONNX file: uri  first00000  s3://models/jukebox/first00000/model.onnx",
            "0123456789  s3://models/jukebox/0123456789/model.onnx",
        ],
        ["=  this model  both  3.2500  7.15%  –  –"],
        ["≠  scores: accuracy  first00000  0.12500001", "0123456789  0.125"],
        ["=  data used  songs 14,000, countries left out none, time cut 2023-12-01"],
        ["≠  packages: skl2onnx  first00000  1.19.1", "0123456789  1.20.0"],
        ["=  packages  scikit-learn 1.7.2"],
    ):
        assert expected in rows, "\n".join(map(str, rows))


def test_a_comparison_begins_with_what_differs_of_the_data_then_the_code_and_the_file(registry):
    rows = compared(register(registry, "first00000"), register(registry, **{"songs rows": 14_565}))
    labels = [re.split("  +", row[0])[1] for row in rows]
    order = [
        "data: rows",
        "data: md5",
        "rankings: sha256",
        "code: revision",
        "ONNX file: uri",
        "this model",
        "data used",
        "packages",
    ]
    assert sorted(order, key=labels.index) == order
    assert labels[0] == "data: rows"


def test_a_comparison_has_the_scores_of_both_and_of_the_prior_with_the_difference(registry):
    scores = {"metric.log_loss": 3.9238, "metric.prior_ece": 0.00576, "metric.previous_log_loss": 4.0}
    a = register(registry, "first00000", **scores)
    b = register(registry, **{"metric.log_loss": 3.9256, "metric.prior_ece": 0.00575, "metric.top1": 0.0683})
    rows = compared(a, b)
    assert [
        "≠  this model  first00000  3.9238  7.15%  –  –",
        "0123456789  3.9256  6.83%  –  –",
        "difference  +0.0018  -0.32%  –  –",
    ] in rows
    assert [
        "≠  prior  first00000  –  –  –  0.0058",
        "0123456789  –  –  –  0.0057",
        "difference  –  –  –  +0.0000",
    ] in rows
    assert "previous" not in str(rows)


def test_a_version_is_the_same_as_itself(registry):
    lineage = register(registry)
    lines = printed(compare(lineage, lineage))
    assert not [line for line in lines[1:] if "≠" in line]
    assert sum(line.startswith("=") for line in lines) > 10


def test_a_version_without_scores_or_packages_can_be_compared(registry):
    bare = register(registry, "first00000", without=["metric", "packages"])
    without_accuracy = register(registry, without=["metric.accuracy"])
    rows = compared(bare, without_accuracy)
    assert [
        "≠  this model  first00000  –  –  –  –",
        "0123456789  3.2500  7.15%  –  –",
        "difference  –  –  –  –",
    ] in rows
    assert "≠  scores" not in str(rows)
    packages = "scikit-learn 1.7.2, skl2onnx 1.19.1"
    assert ["≠  packages  first00000  not recorded", f"0123456789  {packages}"] in rows
    assert ["=  scores  not recorded"] in compared(bare, bare)


def test_digests_are_the_same_only_where_both_are_there():
    digests = compare_digests(
        {"model": "a", "features": "b", "counts": None}, {"model": "a", "features": "x", "new": "y"}
    )
    assert {each["what"]: each["same"] for each in digests} == {
        "model": True,
        "features": False,
        "counts": False,
        "new": False,
    }
    assert digests[1] == {"what": "features", "expected": "b", "found": "x", "same": False}


def test_a_version_that_is_not_registered_cannot_be_reproduced(registry, monkeypatch):
    monkeypatch.setattr(reproduction, "model_registry", lambda settings: registry)
    with pytest.raises(JukeboxError, match=r"no version of a model 'nothing'.*\nNext: Train one"):
        reproduction.reproduce(None, "nothing", "1")


@pytest.fixture
def without_dvc(registry, monkeypatch, tmp_path):
    """A registry, and a revision whose training pipeline makes up its songs, as it is shipped."""
    tasks = {name: {"componentRef": {"name": name}} for name in ("fetch-data", "train-model")}
    components = {name: {"executorLabel": name} for name in tasks}
    pipeline = CompiledPipeline({"root": {"dag": {"tasks": tasks}}, "components": components}, {})
    file = tmp_path / TRAINING_PIPELINE_YAML
    file.parent.mkdir()
    file.write_text("")
    monkeypatch.setattr(reproduction, "model_registry", lambda settings: registry)
    monkeypatch.setattr(reproduction, "read_pipeline", lambda text: pipeline)
    monkeypatch.setattr(reproduction, "compiled_revision", lambda *_: contextlib.nullcontext((tmp_path, "")))
    return registry


def test_a_revision_without_the_fetch_that_the_record_names_is_said(without_dvc):
    register(without_dvc)
    match = r"pipeline of revision 0123456789 has no step fetch-data-from-dvc: .* from a data version\.\nNext: Push"
    with pytest.raises(JukeboxError, match=match):
        reproduction.reproduce(None, "jukebox", "0123456789")


@pytest.mark.parametrize("name", ["parameters", "rankings sha256"])
def test_a_record_that_names_too_little_is_said(without_dvc, name):
    register(without_dvc, without=[name])
    with pytest.raises(JukeboxError, match=rf"record of version 0123456789 has no {name}\.\nNext: Reproduce a version"):
        reproduction.reproduce(None, "jukebox", "0123456789")
