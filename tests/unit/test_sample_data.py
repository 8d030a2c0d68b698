"""Sample data: the same bytes for the same seed, shaped like real charts, and drifting when fresh."""

import pandas
import pyarrow.parquet
import pytest

from jukebox_helpers.steps.constants import FEATURES
from jukebox_helpers.steps.sample_data import change_songs, make_fresh_songs, make_songs
from jukebox_helpers.steps.sample_rankings import country_codes, make_rankings
from jukebox_helpers.steps.tables import transform_songs, validate_rankings, validate_songs


@pytest.fixture(scope="module")
def charts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("charts")
    make_songs(str(folder / "songs.parquet"), songs=1500)
    make_rankings(str(folder / "rankings.parquet"), str(folder / "songs.parquet"), rows=60_000, countries=11)
    return folder


def test_same_seed_same_bytes_another_seed_others(charts, tmp_path):
    make_songs(str(tmp_path / "songs.parquet"), songs=1500)
    make_rankings(str(tmp_path / "rankings.parquet"), str(tmp_path / "songs.parquet"), rows=60_000, countries=11)
    for name in ("songs.parquet", "rankings.parquet"):
        assert (tmp_path / name).read_bytes() == (charts / name).read_bytes()
    make_songs(str(tmp_path / "songs.parquet"), songs=1500, seed=1)
    make_rankings(str(tmp_path / "rankings.parquet"), str(charts / "songs.parquet"), 60_000, seed=1, countries=11)
    for name in ("songs.parquet", "rankings.parquet"):
        assert (tmp_path / name).read_bytes() != (charts / name).read_bytes()


def test_both_tables_are_valid(charts):
    assert validate_songs(str(charts / "songs.parquet"))["rows"] == 1500
    assert validate_rankings(str(charts / "rankings.parquet"))["rows"] == 60_000


def test_some_songs_sound_exactly_like_another(charts):
    songs = pandas.read_parquet(charts / "songs.parquet")
    assert 0.01 < songs[FEATURES].duplicated(keep=False).mean() < 0.06


def test_a_chart_is_fifty_places_a_day_and_no_song_twice(charts):
    rankings = pandas.read_parquet(charts / "rankings.parquet")
    lists = rankings.fillna({"country": "global"}).groupby(["snapshot_date", "country"])
    assert (lists["daily_rank"].apply(sorted).map(tuple) == tuple(range(1, 51))).all()
    assert (lists["spotify_id"].nunique() == 50).all()
    assert rankings["country"].nunique() == 11 and rankings["country"].isna().sum() == 60_000 / 12


def test_movements_are_differences_of_ranks(charts):
    rankings = pandas.read_parquet(charts / "rankings.parquet").fillna({"country": "global"})
    key = ["spotify_id", "country", "snapshot_date"]
    for column, days in {"daily_movement": 1, "weekly_movement": 7}.items():
        before = rankings[[*key, "daily_rank"]].copy()
        before["snapshot_date"] += pandas.Timedelta(days=days)
        both = rankings.merge(before, on=key, suffixes=("", "_before"))
        assert len(both) > 10_000
        assert (both["daily_rank_before"] - both["daily_rank"] == both[column]).all()


def test_songs_stay_for_weeks_and_most_chart_in_one_country(charts):
    rankings = pandas.read_parquet(charts / "rankings.parquet").dropna(subset="country")
    days = rankings.groupby(["spotify_id", "country"]).size()
    assert 7 < days.median() < 60
    assert 0.5 < (days.groupby("spotify_id").size() == 1).mean() < 0.8


@pytest.mark.parametrize("rows", [1, 1000, 12_345])
def test_the_rows_that_were_asked_for(charts, tmp_path, rows):
    made = make_rankings(str(tmp_path / "rankings.parquet"), str(charts / "songs.parquet"), rows=rows)
    assert made["rows"] == rows == pyarrow.parquet.ParquetFile(tmp_path / "rankings.parquet").metadata.num_rows
    assert validate_rankings(str(tmp_path / "rankings.parquet"))["rows"] == rows


def test_rankings_of_given_songs_as_pandas_writes_them(charts, tmp_path):
    songs = pandas.read_parquet(charts / "songs.parquet").sample(200, random_state=0)
    songs.astype({"event_timestamp": "datetime64[ns]"}).to_parquet(tmp_path / "given.parquet", index=True)
    make_rankings(str(tmp_path / "rankings.parquet"), str(tmp_path / "given.parquet"), rows=20_000)
    rankings = pandas.read_parquet(tmp_path / "rankings.parquet")
    assert set(rankings["spotify_id"]) <= set(songs["spotify_id"])
    names = dict(zip(songs["spotify_id"], songs["name"], strict=True))
    assert (rankings["name"].fillna("") == rankings["spotify_id"].map(names).fillna("")).all()


def test_fresh_songs_are_the_old_ones_some_corrected_and_new_ones_that_drift(charts, tmp_path):
    made = make_fresh_songs(str(charts / "songs.parquet"), str(tmp_path / "fresh.parquet"), new=400, corrected=12)
    assert validate_songs(str(tmp_path / "fresh.parquet"))["rows"] == made["rows"] == 1900
    old, fresh = (pandas.read_parquet(p) for p in (charts / "songs.parquet", tmp_path / "fresh.parquet"))
    changed = (old != fresh.head(1500)) & old.notna()
    assert changed.any(axis=1).sum() == 12 and set(changed.columns[changed.any()]) == {"tempo", "is_explicit"}
    new = fresh.tail(400)
    assert new["event_timestamp"].min() > old["event_timestamp"].max()
    assert new["event_timestamp"].max() - old["event_timestamp"].max() <= pandas.Timedelta(days=7)
    for column in ("danceability", "valence", "energy"):
        assert new[column].mean() - old[column].mean() > 0.2 * old[column].std()
    make_fresh_songs(str(charts / "songs.parquet"), str(tmp_path / "again.parquet"), new=400, corrected=12)
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "fresh.parquet").read_bytes()


def test_rankings_of_fresh_songs_cover_the_new_ones(charts, tmp_path):
    since = make_fresh_songs(str(charts / "songs.parquet"), str(tmp_path / "fresh.parquet"), new=100)["since"]
    make_rankings(str(tmp_path / "rankings.parquet"), str(tmp_path / "fresh.parquet"), rows=62_000, countries=11)
    charted = set(pandas.read_parquet(tmp_path / "rankings.parquet", columns=["spotify_id"])["spotify_id"])
    fresh = pandas.read_parquet(tmp_path / "fresh.parquet")
    new = fresh[fresh["event_timestamp"] >= since]
    assert len(new) == 100 and new["spotify_id"].isin(charted).mean() > 0.5


def test_country_codes_are_distinct():
    codes = country_codes(676)
    assert len(set(codes)) == 676 and country_codes(72) == codes[:72]


def changed(charts, tmp_path, kind):
    """The songs of another day, and what was said of them; the same bytes twice."""
    target, again = tmp_path / f"{kind}.parquet", tmp_path / "again.parquet"
    facts = change_songs(str(charts / "songs.parquet"), str(target), kind)
    assert change_songs(str(charts / "songs.parquet"), str(again), kind) == facts
    assert target.read_bytes() == again.read_bytes()
    return target, facts


def rows_that_differ(charts, target):
    """How many rows have another value, by id."""
    old, new = (pandas.read_parquet(file).set_index("spotify_id") for file in (charts / "songs.parquet", target))
    return int((old.fillna("") != new.loc[old.index].fillna("")).any(axis=1).sum())


def test_the_same_songs_in_another_order_and_encoding_are_the_same_version(charts, tmp_path):
    target, facts = changed(charts, tmp_path, "same")
    assert facts == {"rows": 1500, "changed": 0} and rows_that_differ(charts, target) == 0
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    assert transform_songs(str(charts / "songs.parquet"), str(one)) == transform_songs(str(target), str(other))
    assert target.read_bytes() != (charts / "songs.parquet").read_bytes()
    ids = [pandas.read_parquet(file)["spotify_id"].tolist() for file in (charts / "songs.parquet", target)]
    assert ids[0] != ids[1] and sorted(ids[0]) == sorted(ids[1])


def test_a_correction_is_a_few_rows_and_valid(charts, tmp_path):
    target, facts = changed(charts, tmp_path, "corrected")
    assert facts == {"rows": 1500, "changed": 25} and rows_that_differ(charts, target) == 25
    assert validate_songs(str(target))["unusual"] == validate_songs(str(charts / "songs.parquet"))["unusual"]


def test_broken_songs_are_refused(charts, tmp_path):
    target, facts = changed(charts, tmp_path, "broken")
    assert facts == {"rows": 1500, "changed": 25} and rows_that_differ(charts, target) == 25
    with pytest.raises(ValueError, match=r"(?s)'energy' must be between.*'tempo' must be"):
        validate_songs(str(target))


def test_a_drift_is_unusual_and_valid(charts, tmp_path):
    target, facts = changed(charts, tmp_path, "drift")
    assert facts == {"rows": 1500, "changed": 1500} and rows_that_differ(charts, target) == 1500
    assert validate_songs(str(target))["unusual"] >= 50


def test_a_day_of_another_kind_is_refused(charts, tmp_path):
    with pytest.raises(ValueError, match="no kind 'late' of songs. Next: name same, "):
        change_songs(str(charts / "songs.parquet"), str(tmp_path / "late.parquet"), "late")
