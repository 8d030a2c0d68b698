import pytest

from jukebox_helpers.steps import cross_validation, preparation, sample_data, sample_rankings


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
