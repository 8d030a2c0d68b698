"""Comparing data versions: every row and value that differs is counted, and a drift is told from chance."""

import hashlib
import json

import numpy
import pandas
import pytest

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.show.data_comparison import compare_data_versions, stability_index
from jukebox_helpers.steps import sample_data
from jukebox_helpers.steps.constants import FEATURES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("versions")
    sample_data.make_songs(str(path / "old.parquet"))
    sample_data.make_fresh_songs(str(path / "old.parquet"), str(path / "fresh.parquet"))
    return path


@pytest.fixture(scope="module")
def fresh(folder):
    return compare_data_versions(folder / "old.parquet", folder / "fresh.parquet")


@pytest.fixture
def versions(tmp_path):
    """Writes two small versions: the songs, and what is made of them."""
    sample_data.make_songs(str(tmp_path / "old.parquet"), songs=200)

    def write(change, first=lambda songs: songs):
        songs = first(pandas.read_parquet(tmp_path / "old.parquet"))
        songs.to_parquet(tmp_path / "first.parquet")
        change(songs.copy()).to_parquet(tmp_path / "new.parquet")
        return tmp_path / "first.parquet", tmp_path / "new.parquet"

    return write


def test_rows_that_came_went_and_changed_are_counted(versions):
    def change(songs):
        songs.loc[0, "tempo"] += 1
        songs.loc[[0, 3], "is_explicit"] = ~songs.loc[[0, 3], "is_explicit"]
        songs.loc[5, "name"] = None
        newcomers = songs.iloc[:4].assign(spotify_id=[f"{number:022}" for number in range(4)])
        return pandas.concat([newcomers, songs.iloc[::-1].iloc[:-1], songs.iloc[:1]])[lambda all: all.index != 9]

    found = compare_data_versions(*versions(change))
    assert {name: found.summary[name] for name in ("added", "removed", "changed", "unchanged")} == {
        "added": 4,
        "removed": 1,
        "changed": 3,
        "unchanged": 196,
    }
    assert found.summary["changed columns"] == {"name": 1, "is_explicit": 2, "tempo": 1}
    tempo = found.changes[found.changes["column"] == "tempo"].iloc[0]
    assert tempo["new"] == pytest.approx(tempo["old"] + 1)
    assert "4 added, 1 removed, 3 changed (name 1, is_explicit 2, tempo 1), 196 unchanged" in repr(found)


def test_the_same_songs_in_another_order_are_no_change(versions):
    paths = versions(lambda songs: songs.sample(frac=1, random_state=1), lambda songs: songs.assign(artists=None))
    found = compare_data_versions(*paths)
    assert [found.summary[name] for name in ("added", "removed", "changed", "unchanged")] == [0, 0, 0, 200]
    assert found.summary["drifting"] == []
    assert found.table["psi"].max() == 0
    assert "sound as before" in repr(found)


def test_columns_that_differ_are_named(versions):
    def change(songs):
        return songs.drop(columns="time_signature").assign(key=songs["key"].astype("float64"), mood=1)

    summary = compare_data_versions(*versions(change)).summary
    assert summary["columns added"] == ["mood"]
    assert summary["columns removed"] == ["time_signature"]
    assert summary["columns of another type"] == ["key (int64[pyarrow] → double[pyarrow])"]
    assert summary["changed"] == 0


def test_versions_are_named_by_the_hash_that_dvc_records(folder, fresh):
    for name, file in {"old": "old.parquet", "new": "fresh.parquet"}.items():
        assert fresh.summary[name]["md5"] == hashlib.md5((folder / file).read_bytes()).hexdigest()
    assert json.loads(json.dumps(fresh.summary)) == fresh.summary


def test_the_slow_drift_of_fresh_songs_is_seen(fresh):
    assert [fresh.summary[name] for name in ("added", "removed", "changed")] == [320, 0, 25]
    assert fresh.summary["changed columns"] == {"is_explicit": 9, "tempo": 25}
    assert fresh.summary["drifting"] == ["energy", "loudness", "acousticness", "valence"]
    assert list(fresh.table.index) == FEATURES
    energy = fresh.table.loc["energy"]
    assert energy["shift"] == pytest.approx(0.269, abs=0.001)
    # In the whole table the drift is all but gone.
    assert energy["new mean"] - energy["old mean"] == pytest.approx(0.001, abs=0.0005)
    assert energy["added mean"] - energy["old mean"] > 0.04


def test_songs_of_the_same_taste_do_not_drift(folder, tmp_path):
    old = pandas.read_parquet(folder / "old.parquet")
    for seed in range(5):
        later = old.sample(320, random_state=seed)
        old.drop(later.index).to_parquet(tmp_path / "a.parquet")
        old.to_parquet(tmp_path / "b.parquet")
        assert compare_data_versions(tmp_path / "a.parquet", tmp_path / "b.parquet").summary["drifting"] == []


def test_a_change_of_shape_is_a_drift_even_where_the_mean_stays(folder, tmp_path):
    old = pandas.read_parquet(folder / "old.parquet")
    odd = old.iloc[:400].assign(spotify_id=[f"{number:022}" for number in range(400)])
    odd["tempo"] = old["tempo"].mean() + numpy.where(numpy.arange(400) % 2, 40, -40)
    pandas.concat([old, odd]).to_parquet(tmp_path / "new.parquet")
    found = compare_data_versions(folder / "old.parquet", tmp_path / "new.parquet")
    assert abs(found.table.loc["tempo", "shift"]) < 0.05
    assert found.summary["drifting"] == ["tempo"]


def test_stability_index_by_hand():

    assert stability_index(numpy.array([50, 50]), numpy.array([100, 100])) == pytest.approx(0)
    shares = numpy.array([49.5, 49.5]), numpy.array([74.5, 24.5])
    p, q = (0.5, 0.5), (0.75, 0.25)
    by_hand = sum((b - a) * numpy.log(b / a) for a, b in zip(p, q, strict=True))
    assert stability_index(*shares) == pytest.approx(by_hand)
    assert numpy.isfinite(stability_index(numpy.array([10, 0]), numpy.array([0, 10])))


@pytest.mark.parametrize(("old", "added", "shift", "psi"), [(200, 40, 0.5699, 0.8363), (4_000, 4_000, 0.1, 0.1)])
def test_the_limits_are_what_chance_stays_below_and_at_least_a_tenth(tmp_path, old, added, shift, psi):
    """By hand: 3.2905 standard errors of a mean; 27.877, chi-square's 99.9 % with 9 degrees of freedom."""
    sample_data.make_songs(str(tmp_path / "new.parquet"), songs=old + added)
    pandas.read_parquet(tmp_path / "new.parquet").iloc[:old].to_parquet(tmp_path / "old.parquet")
    tempo = compare_data_versions(tmp_path / "old.parquet", tmp_path / "new.parquet").table.loc["tempo"]
    assert tempo["shift limit"] == pytest.approx(shift, abs=1e-4)
    assert tempo["psi limit"] == pytest.approx(psi, abs=1e-4)


def test_the_plot_shows_the_shares_of_every_feature(fresh):
    chart = fresh.plot()
    fields = {axes.get_title(loc="left").split("  ")[0]: axes for axes in chart.axes[:13]}
    assert list(fields) == FEATURES
    marked = [name for name, axes in fields.items() if "drift" in axes.get_title(loc="left")]
    assert marked == fresh.summary["drifting"]
    for axes in fields.values():
        assert [patch.get_label() for patch in axes.patches] == ["old (14,245)", "new (14,565)", "added (320)"]
        assert all(patch.get_data().values.sum() == pytest.approx(100) for patch in axes.patches)
    explicit = fresh.songs["added"]["is_explicit"].mean()
    assert fields["is_explicit"].patches[2].get_data().values[1] == pytest.approx(100 * explicit)
    assert chart.png().startswith(b"\x89PNG")
    assert repr(chart) in repr(fresh)


def test_a_version_that_only_lost_songs_can_be_compared_and_drawn(versions):
    found = compare_data_versions(*versions(lambda songs: songs[songs["energy"] < 0.6]))
    assert found.summary["added"] == 0
    assert "energy" in found.summary["drifting"]
    assert "added mean" not in found.table
    assert len(found.plot().axes[0].patches) == 2
    assert "The new version's songs differ" in found._repr_html_()


def test_a_version_without_songs_can_be_compared(versions):
    found = compare_data_versions(*versions(lambda songs: songs.iloc[:0]))
    assert [found.summary[name] for name in ("added", "removed", "unchanged")] == [0, 200, 0]
    assert found.plot().png()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda songs: pandas.concat([songs, songs.iloc[:2]]), "2 rows whose spotify_id is missing or there twice"),
        (lambda songs: songs.drop(columns=["tempo", "key"]), "has no column key, tempo"),
    ],
)
def test_a_table_that_cannot_be_compared_is_refused(versions, change, message):
    with pytest.raises(JukeboxError, match=message):
        compare_data_versions(*versions(change))


def test_a_file_that_is_not_there_or_no_table_is_named(folder, tmp_path):
    with pytest.raises(JukeboxError, match=r"There is no file .*nowhere.parquet"):
        compare_data_versions(folder / "old.parquet", tmp_path / "nowhere.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(JukeboxError, match=r"text.parquet is not a Parquet file"):
        compare_data_versions(tmp_path / "text.parquet", folder / "old.parquet")
