"""Training: reproducible bits, only training songs, honoured hyperparameters, and an ONNX file that says the same."""

import json
import shutil

import joblib
import numpy
import onnx
import pandas
import pytest
from trained import Room, digest, train_in

from jukebox_helpers.steps.constants import FEATURES
from jukebox_helpers.steps.export import check_onnx, export_onnx, predict_held_out
from jukebox_helpers.steps.model import check_hyperparameters, fit, forward_scores, train, versions
from jukebox_helpers.steps.network import teach
from jukebox_helpers.steps.pairs import Pairs, read_pairs
from jukebox_helpers.steps.scoring import onnx_probabilities


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_in(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def room(trained, tmp_path):
    """A copy, to be changed."""
    shutil.copytree(trained.folder, tmp_path, dirs_exist_ok=True)
    return Room(tmp_path)


def test_the_same_bytes_again(trained, room):
    train(room.features, room.counts, {}, room.model)
    export_onnx(room.model, room.onnx, {"kit version": 1.5, "git revision": "abc"})
    assert digest(room.model) == digest(trained.model) and digest(room.onnx) == digest(trained.onnx)


def test_sums_are_made_by_one_thread_whatever_the_machine_offers(room, monkeypatch):
    """Several threads add in an order of their own, and the last bits of a model would depend on the machine."""
    import threadpoolctl

    def threads():
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}

    seen, real = [], numpy.tanh  # what a network of tanh units cannot learn without

    def listening(*arguments, **options):
        seen.append(threads())
        return real(*arguments, **options)

    with threadpoolctl.threadpool_limits(2):
        assert 2 in threads()
        monkeypatch.setattr(numpy, "tanh", listening)
        train(room.features, room.counts, {"epochs": 1}, room.model)
        monkeypatch.undo()
        assert 2 in threads()  # as it was
    assert seen and set().union(*seen) == {1}


def test_the_order_of_the_files_does_not_matter(trained, room):
    for path in (room.features, room.counts):
        pandas.read_parquet(path).sample(frac=1, random_state=0).to_parquet(path)
    train(room.features, room.counts, {}, room.model)
    assert digest(room.model) == digest(trained.model)


def test_another_seed_is_another_model(trained, room):
    train(room.features, room.counts, {"seed": 1}, room.model)
    assert digest(room.model) != digest(trained.model)


def test_held_out_songs_have_no_influence(trained, room):
    parts = pandas.read_parquet(room.features).set_index("spotify_id")["part"]
    counts = pandas.read_parquet(room.counts)
    held_out = counts["spotify_id"].map(parts) == "test"
    assert held_out.any()
    counts.loc[held_out, ["past", "future"]] *= 50
    counts.to_parquet(room.counts)
    train(room.features, room.counts, {}, room.model)
    assert digest(room.model) == digest(trained.model)


def test_only_the_proportions_of_the_counts_matter(trained, room):
    counts = pandas.read_parquet(room.counts)
    counts[["past", "future"]] *= 4
    counts.to_parquet(room.counts)
    train(room.features, room.counts, {}, room.model)
    assert digest(room.model) == digest(trained.model)


def test_hyperparameters_are_honoured(room):
    report = train(room.features, room.counts, {"epochs": 3.0, "hidden_units": 5.0, "batch_size": 64}, room.model)
    network = joblib.load(room.model).named_steps["network"]
    assert network.n_iter_ == 3 and network.coefs_[0].shape == (13, 5) and network.batch_size == 64
    assert report["hyperparameters"] == check_hyperparameters({"epochs": 3, "hidden_units": 5, "batch_size": 64})
    assert report["countries"] == 9


def test_songs_as_rows_are_taught_what_scikit_learn_teaches_by_pairs():
    import copy

    from sklearn.neural_network import MLPClassifier

    random = numpy.random.default_rng(0)
    for countries in (2, 6):
        counts = random.integers(0, 9, (300, countries)) * (random.random((300, countries)) < 0.5)
        counts[:, 0] += 1
        song, country = numpy.nonzero(counts)
        weight = counts[song, country].astype("float64")
        inputs = random.standard_normal((300, 4)).astype("float32")
        given = check_hyperparameters({"epochs": 12, "batch_size": 300, "regularisation": 0.01, "learning_rate": 0.05})
        network = MLPClassifier(
            (5,),
            activation="tanh",
            alpha=0.01 * weight.sum(),
            batch_size=len(song),
            learning_rate_init=0.05,
            random_state=0,
        )
        network.partial_fit(inputs[song], country, weight.astype("float32"), classes=range(countries))
        del network._optimizer
        taught = copy.deepcopy(network)
        teach(taught, inputs, numpy.flatnonzero(numpy.diff(song, prepend=-1)), country, weight, given)
        for _ in range(12):
            network.partial_fit(inputs[song], country, weight.astype("float32"))
        for mine, theirs in zip(taught.coefs_ + taught.intercepts_, network.coefs_ + network.intercepts_, strict=True):
            assert numpy.abs(mine - theirs).max() < 1e-3 < numpy.abs(theirs).max()
        assert taught.loss_ == pytest.approx(network.loss_, abs=1e-4)


def test_two_countries_are_enough_and_one_is_not(room):
    counts = pandas.read_parquet(room.counts)
    names = sorted(counts["country"].unique())
    for kept in (2, 1):
        counts[counts["country"].isin(names[:kept])].to_parquet(room.counts)
        if kept == 2:
            train(room.features, room.counts, {}, room.model)
            export_onnx(room.model, room.onnx, {})
            predict_held_out(room.model, room.features, room.expected)
            assert check_onnx(room.expected, room.onnx)["largest difference"] < 1e-5
            songs = pandas.read_parquet(room.features)
            labels, found = onnx_probabilities(room.onnx, {name: songs[name].to_numpy() for name in FEATURES})
            assert labels == names[:2] and numpy.allclose(found.sum(axis=1), 1, atol=1e-5) and found.std() > 0.05
        else:
            with pytest.raises(ValueError, match=r"charted in 1 countries, and a choice needs two\. Next:"):
                train(room.features, room.counts, {}, room.model)


def test_training_needs_no_matrix_of_pairs_and_countries():
    import tracemalloc

    random = numpy.random.default_rng(0)
    songs, countries = 20_000, 400
    data = Pairs(
        inputs={name: random.random(songs, dtype="float32") for name in FEATURES},
        test=numpy.zeros(songs, bool),
        song=numpy.arange(songs).repeat(2),
        country=random.integers(0, countries // 2, 2 * songs) * 2 + numpy.tile([0, 1], songs),
        past=numpy.ones(2 * songs),
        future=numpy.zeros(2 * songs),
        labels=numpy.array([f"{number:03}" for number in range(countries)]),
    )
    fit(data, numpy.ones(2 * songs), check_hyperparameters({"epochs": 1}))
    tracemalloc.start()
    fit(data, numpy.ones(2 * songs), check_hyperparameters({"epochs": 1}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The labels as ones and zeros are 128 MB.
    assert peak < 20e6


def test_more_epochs_fit_better(room):
    losses = [train(room.features, room.counts, {"epochs": epochs}, room.model)["loss"] for epochs in (1, 20)]
    assert losses[1] < losses[0] - 0.02


def test_unknown_hyperparameters_are_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'depth', 'epoch'.*Next: use only epochs, hidden_units"):
        check_hyperparameters({"epoch": 3, "depth": 2, "epochs": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 2.5),
        ("epochs", "10"),
        ("epochs", True),
        ("epochs", None),
        ("hidden_units", -1),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("regularisation", -0.1),
        ("seed", -1),
    ],
)
def test_bad_hyperparameters_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"Hyperparameter '{name}' is .*Next: give a .*number from"):
        check_hyperparameters({name: value})


def test_onnx_takes_thirteen_raw_inputs_and_says_what_it_is(trained):
    model = onnx.load(trained.onnx)
    onnx.checker.check_model(model)
    assert [one.name for one in model.graph.input] == FEATURES
    assert [one.name for one in model.graph.output] == ["label", "probabilities"]
    metadata = {one.key: one.value for one in model.metadata_props}
    assert metadata["git revision"] == "abc" and metadata["kit version"] == "1.5"
    assert json.loads(metadata["labels"]) == sorted(pandas.read_parquet(trained.counts)["country"].unique())
    assert json.loads(metadata["features"]) == FEATURES
    assert len(model.SerializeToString()) < 100_000


def test_onnx_agrees_with_scikit_learn_on_held_out_songs(trained):
    songs = pandas.read_parquet(trained.features).query("part == 'test'").sort_values("spotify_id")
    model = joblib.load(trained.model)
    with open(trained.expected, "rb") as file:
        assert numpy.load(file).tolist() == list(model.classes_)
        blocks = []
        while file.peek(1):
            blocks.append([numpy.load(file) for _ in range(3)])
    ids, inputs, said = (numpy.concatenate(part) for part in zip(*blocks, strict=True))
    numpy.testing.assert_array_equal(ids, songs["spotify_id"])
    numpy.testing.assert_array_equal(inputs, songs[FEATURES])
    numpy.testing.assert_array_equal(said, model.predict_proba(songs[FEATURES]))
    result = check_onnx(trained.expected, trained.onnx)
    assert result["songs"] == (pandas.read_parquet(trained.features)["part"] == "test").sum()
    assert result["largest difference"] < 1e-5


def test_a_model_that_says_something_else_is_refused(trained, room):
    train(room.features, room.counts, {"seed": 1}, room.model)
    predict_held_out(room.model, room.features, room.expected)
    with pytest.raises(ValueError, match=r"differ by .* songs are beyond it\. Next:"):
        check_onnx(room.expected, trained.onnx)


def test_a_model_that_names_its_answers_otherwise_is_refused(room):
    model = onnx.load(room.onnx)
    labels = sorted(pandas.read_parquet(room.counts)["country"].unique(), reverse=True)
    onnx.helper.set_model_props(model, {"labels": json.dumps(labels), "features": json.dumps(FEATURES)})
    onnx.save(model, room.onnx)
    with pytest.raises(ValueError, match=r"names other countries than the fitted model\. Next:"):
        check_onnx(room.expected, room.onnx)


def test_a_model_that_cannot_be_checked_on_any_song_is_refused(room):
    pandas.read_parquet(room.features).assign(part="train").to_parquet(room.features)
    predict_held_out(room.model, room.features, room.expected)
    with pytest.raises(ValueError, match=r"There is no held-out song to check on\. Next:"):
        check_onnx(room.expected, room.onnx)


def test_a_model_whose_answer_is_no_number_is_refused(room):
    model = joblib.load(room.model)
    model.named_steps["network"].coefs_[0][0, 0] = numpy.nan
    joblib.dump(model, room.model)
    export_onnx(room.model, room.onnx, {})
    predict_held_out(room.model, room.features, room.expected)
    songs = (pandas.read_parquet(room.features)["part"] == "test").sum()
    with pytest.raises(ValueError, match=rf"differ by nan .*; {songs} of {songs} songs are beyond it\. Next:"):
        check_onnx(room.expected, room.onnx)


def test_the_name_of_a_folder_is_no_column(trained, tmp_path):
    """An artifact's path may hold an equals sign, and readers of Parquet take ``part=…`` for a column of the table."""
    folder = tmp_path / "part=train"
    shutil.copytree(trained.folder, folder)
    there, here = (read_pairs(room.features, room.counts) for room in (Room(folder), trained))
    assert there.test.any() and (there.test == here.test).all()
    predict_held_out(trained.model, Room(folder).features, str(tmp_path / "expected"))
    assert digest(tmp_path / "expected") == digest(trained.expected)


def test_the_label_is_the_most_probable_country(trained):
    import onnxruntime

    songs = pandas.read_parquet(trained.features)
    columns = {name: songs[[name]].to_numpy() for name in FEATURES}
    found, _ = onnxruntime.InferenceSession(trained.onnx).run(["label", "probabilities"], columns)
    labels, probabilities = onnx_probabilities(trained.onnx, {name: songs[name].to_numpy() for name in FEATURES})
    assert found.tolist() == [labels[place] for place in probabilities.argmax(axis=1)]
    assert numpy.allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_a_model_without_converter_is_refused(room):
    from sklearn.isotonic import IsotonicRegression

    joblib.dump(IsotonicRegression(), room.model)
    with pytest.raises(ValueError, match=r"cannot be exported to ONNX.*Next:"):
        export_onnx(room.model, room.onnx, {})


def test_forward_scores_learn_from_the_past_only(trained, room):
    scores = forward_scores(room.features, room.counts, {}, str(room.folder / "forward.json"))
    assert json.loads((room.folder / "forward.json").read_text()) == scores
    assert scores["forward_log_loss"] < scores["forward_prior_log_loss"]
    assert scores["forward_known_memorised_top1"] > scores["forward_known_top1"]
    counts = pandas.read_parquet(room.counts)
    parts = pandas.read_parquet(room.features).set_index("spotify_id")["part"]
    counts.loc[counts["spotify_id"].map(parts) == "train", "future"] *= 3
    counts.to_parquet(room.counts)
    again = forward_scores(room.features, room.counts, {}, str(room.folder / "forward.json"))
    assert again["forward_log_loss"] == scores["forward_log_loss"]


def test_without_a_future_there_are_no_forward_scores(room):
    counts = pandas.read_parquet(room.counts)
    counts.assign(future=0).to_parquet(room.counts)
    assert forward_scores(room.features, room.counts, {}, str(room.folder / "forward.json")) == {}


def test_versions_name_what_makes_a_model():
    import sklearn

    assert versions()["scikit-learn"] == sklearn.__version__
    assert {"python", "numpy", "onnxruntime", "skl2onnx"} <= set(versions())
