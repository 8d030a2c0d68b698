import numpy
import pandas
import pytest

from jukebox_helpers.steps import cross_validation, preparation, sample_data, sample_rankings
from jukebox_helpers.steps.constants import FEATURES

BY_HEART = {"epochs": 100, "hidden_units": 64, "learning_rate": 0.01, "batch_size": 32}
"""Enough to learn by heart which countries play a sound."""

SOUNDS, SONGS_EACH = 90, 6
HALVES = (["AA", "AB", "AC", "AD"], ["BA", "BB", "BC", "BD"])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    songs, rankings, features, counts = (str(folder / name) for name in ("songs", "rankings", "features", "counts"))
    sample_data.make_songs(songs, songs=800)
    sample_rankings.make_rankings(rankings, songs, rows=20_000)
    preparation.prepare(songs, rankings, features, counts)
    return features, counts


def test_scores_tell_good_hyperparameters_from_bad_ones(prepared):
    good = cross_validation.cross_validate(*prepared, {"epochs": 20})
    bad = cross_validation.cross_validate(*prepared, {"epochs": 1, "learning_rate": 1e-6})
    assert good["log_loss"] < bad["log_loss"] and good["top5"] > bad["top5"]
    assert cross_validation.cross_validate(*prepared, {"epochs": 20}) == good


def test_bad_input_is_refused(prepared):
    with pytest.raises(ValueError, match="'depth'"):
        cross_validation.cross_validate(*prepared, {"depth": 3})
    for folds in (1, 100_000):
        with pytest.raises(ValueError, match=f"{folds} folds"):
            cross_validation.cross_validate(*prepared, {}, folds=folds)


@pytest.fixture(scope="module")
def tossed(tmp_path_factory):
    """Songs of which six sound the same each; a toss of a coin says which half of the countries plays a sound."""
    folder = tmp_path_factory.mktemp("tossed")
    random = numpy.random.default_rng(0)
    inputs = random.standard_normal((SOUNDS, len(FEATURES))).astype("float32")
    coin = random.integers(0, 2, SOUNDS)
    sound = numpy.arange(SOUNDS * SONGS_EACH) % SOUNDS
    songs = pandas.DataFrame(inputs[sound], columns=FEATURES)
    songs.insert(0, "spotify_id", [f"{number:022}" for number in range(len(sound))])
    songs["part"] = "train"
    songs.to_parquet(folder / "features.parquet")
    pairs = [(song, country) for song in range(len(sound)) for country in HALVES[coin[sound[song]]]]
    counts = pandas.DataFrame(pairs, columns=["spotify_id", "country"]).assign(past=1, future=0)
    counts["spotify_id"] = songs["spotify_id"].to_numpy()[counts["spotify_id"]]
    counts.astype({"past": "int32", "future": "int32"}).to_parquet(folder / "counts.parquet")
    return folder


def test_no_sound_is_in_two_folds(tossed):
    scores = cross_validation.cross_validate(str(tossed / "features.parquet"), str(tossed / "counts.parquet"), BY_HEART)
    # Four countries play a sound: log 4 to those who have heard it, log 8 or worse to those who must guess the coin.
    assert scores["log_loss"] > numpy.log(8)
    assert scores["top5"] < 0.75


def test_held_out_songs_take_no_part(tossed, tmp_path):
    """Whatever the charts say of them, the scores stay the same."""
    songs = pandas.read_parquet(tossed / "features.parquet")
    songs.loc[songs.index % SOUNDS < SOUNDS // 5, "part"] = "test"
    songs.to_parquet(tmp_path / "features.parquet")
    counts = pandas.read_parquet(tossed / "counts.parquet")
    held_out = counts["spotify_id"].isin(songs["spotify_id"][songs["part"] == "test"])
    scores = []
    for rows in (1, 50):
        counts.loc[held_out & counts["country"].isin(HALVES[0]), "past"] = rows
        counts.to_parquet(tmp_path / "counts.parquet")
        scores.append(
            cross_validation.cross_validate(
                str(tmp_path / "features.parquet"), str(tmp_path / "counts.parquet"), {"epochs": 2}
            )
        )
    assert scores[0] == scores[1]
