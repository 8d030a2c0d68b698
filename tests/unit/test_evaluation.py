"""Evaluation: scores that can be checked by hand, a leak that shows, and a gate that says by how much and where."""

import json
import shutil

import joblib
import numpy
import onnx
import pandas
import pytest

from jukebox_helpers.steps import sample_data, sample_rankings
from jukebox_helpers.steps.evaluation import evaluate
from jukebox_helpers.steps.evaluation_picture import evaluation_picture
from jukebox_helpers.steps.export import export_onnx
from jukebox_helpers.steps.gate import refuse_if_failed
from jukebox_helpers.steps.model import forward_scores, train
from jukebox_helpers.steps.preparation import prepare
from jukebox_helpers.steps.scoring import calibration, judge, memorise, score


class Room:
    """A folder with prepared data and a model of it."""

    def __init__(self, folder):
        self.folder = folder
        self.features, self.counts = str(folder / "features.parquet"), str(folder / "counts.parquet")
        self.model, self.onnx = str(folder / "model.joblib"), str(folder / "model.onnx")
        self.report = str(folder / "evaluation.json")

    def evaluate(self, previous=None, tolerances=None, forward=None):
        return evaluate(self.onnx, self.features, self.counts, previous, tolerances, self.report, forward)

    def another_model(self, name, **hyperparameters):
        train(self.features, self.counts, hyperparameters, self.model)
        export_onnx(self.model, str(self.folder / name), {})
        return str(self.folder / name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    room = Room(tmp_path_factory.mktemp("trained"))
    songs, rankings = str(room.folder / "songs.parquet"), str(room.folder / "rankings.parquet")
    sample_data.make_songs(songs, songs=900)
    sample_rankings.make_rankings(rankings, songs, rows=40_000, countries=9)
    prepare(songs, rankings, room.features, room.counts)
    room.another_model("model.onnx")
    return room


@pytest.fixture
def room(trained, tmp_path):
    """A copy, to be changed."""
    shutil.copytree(trained.folder, tmp_path, dirs_exist_ok=True)
    return Room(tmp_path)


def test_scores_by_hand():
    probabilities = numpy.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    song, country, weight = numpy.array([0, 0, 1]), numpy.array([0, 1, 0]), numpy.array([2.0, 1.0, 1.0])
    judged = judge(lambda songs: probabilities[songs], song, country, weight)
    found = score(judged)
    expected = -(2 * numpy.log(0.5) + numpy.log(0.3) + numpy.log(0.1)) / 4
    assert found["log_loss"] == pytest.approx(expected)
    assert found["top1"] == 0.5 and found["top5"] == 1.0
    # Of the first song's three rows two are right, where half were promised; of the second's one none is.
    assert found["ece"] == pytest.approx(abs(0.5 * 3 - 2) / 4 + 0.8 / 4)
    assert calibration(judged) == [
        {"share": 0.75, "confidence": 0.5, "right": pytest.approx(2 / 3)},
        {"share": 0.25, "confidence": 0.8, "right": 0.0},
    ]


def test_a_table_remembers_what_it_saw_and_knows_the_prior_of_the_rest():
    # The pairs of song 2 do not stand together.
    song, country = numpy.array([2, 0, 2]), numpy.array([0, 1, 1])
    prior, table = memorise(song, country, numpy.array([2.0, 1.0, 1.0]), 3)
    assert prior(numpy.array([0, 1])).tolist() == [[0.5, 0.5, 0.0]] * 2
    assert table(numpy.array([2, 1, 0])) == pytest.approx(
        numpy.array([[2.5 / 4, 1.5 / 4, 0], [0.5, 0.5, 0], [0.25, 0.75, 0]])
    )


def test_songs_are_judged_in_blocks_as_they_would_be_at_once():
    random = numpy.random.default_rng(0)
    probabilities = random.dirichlet(numpy.ones(7), 2500)
    # Every song but the first, in no order, some of them in many countries.
    song = random.permutation(numpy.concatenate([numpy.arange(1, 2500), random.integers(1100, 1200, 3000)]))
    country, weight = random.integers(0, 7, len(song)), random.random(len(song))
    asked = []

    def predict(songs):
        asked.extend(songs)
        return probabilities[songs]

    judged = judge(predict, song, country, weight)
    assert asked == list(range(1, 2500))
    given = probabilities[song, country]
    assert (judged.place == (probabilities[song] > given[:, None]).sum(axis=1)).all()
    assert judged.loss == pytest.approx(-numpy.log(given))
    assert (judged.choice[judged.row] == probabilities[song].argmax(axis=1)).all()
    assert (judged.confidence[judged.row] == probabilities[song].max(axis=1)).all()


def test_judging_needs_no_matrix_of_songs_and_countries():
    import tracemalloc

    songs, countries = 40_000, 400
    even = numpy.full(countries, 1 / countries, "float32")
    tracemalloc.start()
    song = numpy.arange(songs)
    judge(lambda rows: numpy.tile(even, (len(rows), 1)), song, song % countries, numpy.ones(songs))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The matrix alone is 64 MB.
    assert peak < 20e6


def test_the_model_beats_the_prior_where_the_memorising_table_does_not(room):
    metrics = room.evaluate()["metrics"]
    assert metrics["log_loss"] < metrics["prior_log_loss"] - 0.05
    assert metrics["top1"] > 1.5 * metrics["prior_top1"]
    # The table is the better one on songs that it has seen, and worth no more than the prior on others.
    assert metrics["memorised_seen_top1"] > metrics["seen_top1"] + 0.1
    assert metrics["memorised_log_loss"] == metrics["prior_log_loss"]


def test_the_report_is_the_file_and_the_same_again(room):
    report = room.evaluate()
    assert json.loads((room.folder / "evaluation.json").read_text()) == report == room.evaluate()
    assert report["gate"] == {"passed": True, "reasons": []}
    assert report["notes"] == ["There is no previous version to compare with."]
    assert report["tolerances"] == {"prior_margin": 0.02, "previous_log_loss": 0.02}
    refuse_if_failed(report)


def test_countries_add_up_to_the_whole(room):
    report = room.evaluate()
    rows = sum(one["rows"] for one in report["per_country"].values())
    assert rows == report["held-out rows"]
    mean = sum(one["rows"] * one["log_loss"] for one in report["per_country"].values()) / rows
    assert mean == pytest.approx(report["metrics"]["log_loss"], abs=1e-5)
    matrix = numpy.array(report["confusion"]["matrix"])
    assert matrix.shape == (9, 9) and matrix.sum() == rows
    assert matrix.trace() / rows == pytest.approx(report["metrics"]["top1"], abs=1e-5)


def test_worse_than_the_prior_is_refused_with_by_how_much(room):
    report = room.evaluate(tolerances={"prior_margin": 5})
    assert not report["gate"]["passed"]
    with pytest.raises(ValueError, match=r"(?s)refuses.*better than the prior's.*at least 5 better.*Next:"):
        refuse_if_failed(report)


def test_worse_than_the_previous_version_is_refused_with_where(room):
    good = str(room.folder / "good.onnx")
    shutil.copy(room.onnx, good)
    room.another_model("model.onnx", epochs=1)
    report = room.evaluate(good, {"prior_margin": -1})
    worst = max(report["per_country"].items(), key=lambda one: one[1]["log_loss"] - one[1]["previous_log_loss"])[0]
    assert len(report["gate"]["reasons"]) == 1
    with pytest.raises(ValueError, match=rf"worse than the previous version's .*most is lost in {worst} \(\+"):
        refuse_if_failed(report)
    assert room.evaluate(good, {"prior_margin": -1, "previous_log_loss": 2})["gate"]["passed"]


def test_a_model_whose_answers_are_no_numbers_is_refused(room):
    """By both rules, whatever is tolerated: nothing is worse than a number that is none."""
    good = str(room.folder / "good.onnx")
    shutil.copy(room.onnx, good)
    model = joblib.load(room.model)
    model.named_steps["network"].coefs_[0][0, 0] = numpy.nan
    joblib.dump(model, room.model)
    export_onnx(room.model, room.onnx, {})
    report = room.evaluate(good, {"prior_margin": -1000, "previous_log_loss": 1000})
    assert numpy.isnan(report["metrics"]["log_loss"]) and numpy.isfinite(report["metrics"]["previous_log_loss"])
    assert not report["gate"]["passed"]
    assert ["prior" in reason for reason in report["gate"]["reasons"]] == [True, False]
    with pytest.raises(ValueError, match="The gate refuses this model"):
        refuse_if_failed(json.loads((room.folder / "evaluation.json").read_text()))


def test_the_same_model_as_before_passes_with_the_same_scores(room):
    report = room.evaluate(room.onnx, {"previous_log_loss": 0})
    assert report["gate"]["passed"] and report["notes"] == []
    assert report["metrics"]["previous_log_loss"] == report["metrics"]["log_loss"]


def test_a_previous_version_of_fewer_countries_is_compared_on_the_common_ones(room, tmp_path):
    counts = pandas.read_parquet(room.counts)
    every = sorted(counts["country"].unique())
    counts[counts["country"].isin(every[:5])].to_parquet(tmp_path / "fewer.parquet")
    train(room.features, str(tmp_path / "fewer.parquet"), {}, room.model)
    export_onnx(room.model, str(tmp_path / "fewer.onnx"), {})
    report = room.evaluate(str(tmp_path / "fewer.onnx"), {"previous_log_loss": 1})
    assert report["notes"] == ["Compared with the previous version over the 5 countries both know."]
    assert report["metrics"]["common_log_loss"] < report["metrics"]["log_loss"]
    assert [c for c, one in report["per_country"].items() if "previous_log_loss" in one] == every[:5]

    # The other way round: rows of countries that the new model does not know are not scored, and it says so.
    shutil.copy(tmp_path / "fewer.onnx", room.onnx)
    report = room.evaluate()
    assert "ranking rows are of countries that the model does not know" in report["notes"][0]
    assert list(report["per_country"]) == every[:5]


@pytest.mark.parametrize("kind", ["text", "other inputs", "other countries"])
def test_a_previous_version_that_cannot_be_compared_is_noted(room, tmp_path, kind):
    previous = tmp_path / "previous.onnx"
    if kind == "text":
        previous.write_text("moved")
    else:
        model = onnx.load(room.onnx)
        if kind == "other inputs":
            model = onnx.compose.add_prefix(model, "v1_")
        else:
            onnx.helper.set_model_props(model, {"labels": json.dumps(["Q" + chr(65 + n) for n in range(9)])})
        onnx.save(model, previous)
    report = room.evaluate(str(previous))
    assert report["gate"]["passed"] and "previous_log_loss" not in report["metrics"]
    assert len(report["notes"]) == 1 and report["notes"][0].startswith("Not compared with the previous version: ")


@pytest.mark.parametrize(
    "tolerances", [{"margin": 1}, {"prior_margin": "1"}, {"prior_margin": None}, {"prior_margin": True}]
)
def test_unknown_tolerances_are_refused(room, tolerances):
    name = next(iter(tolerances))
    with pytest.raises(ValueError, match=rf"'{name}': .* is not a tolerance\. Next: .*previous_log_loss"):
        room.evaluate(tolerances=tolerances)


def test_nothing_held_out_is_an_error(room):
    songs = pandas.read_parquet(room.features)
    songs.assign(part="train").to_parquet(room.features)
    with pytest.raises(ValueError, match=r"no song that is held out.*Next:"):
        room.evaluate()


def test_forward_scores_stand_beside_the_others(room):
    forward = str(room.folder / "forward.json")
    scores = forward_scores(room.features, room.counts, {}, forward)
    assert scores and scores.items() <= room.evaluate(forward=forward)["metrics"].items()


@pytest.mark.parametrize(("name", "start"), [("p.svg", b"<?xml"), ("p.png", b"\x89PNG"), ("p", b"<!DOCTYPE html>")])
def test_the_picture_is_the_same_for_the_same_report(room, name, start):
    room.evaluate(room.onnx)
    pictures = []
    for _ in range(2):
        evaluation_picture(room.report, str(room.folder / name))
        pictures.append((room.folder / name).read_bytes())
    assert pictures[0] == pictures[1] and pictures[0].startswith(start)
    if name != "p.png":
        assert b"This model passes the gate" in pictures[0] and b"previous version" in pictures[0]
