"""Preparation: the right counts, no leak between the parts, the same bytes whatever the order and the threads."""

import hashlib
import time

import pandas
import pytest

from jukebox_helpers.steps import sample_data, sample_rankings
from jukebox_helpers.steps.constants import FEATURES
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.preparation import prepare


@pytest.fixture(scope="module")
def charts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("charts")
    sample_data.make_songs(str(folder / "songs.parquet"), songs=900)
    sample_rankings.make_rankings(
        str(folder / "rankings.parquet"), str(folder / "songs.parquet"), rows=40_000, countries=9
    )
    return folder


class Prepared:
    """Prepares tables and reads the result."""

    def __init__(self, folder, songs, rankings, **options):
        songs.to_parquet(folder / "in_songs.parquet")
        rankings.to_parquet(folder / "in_rankings.parquet")
        self.paths = [str(folder / name) for name in ("features.parquet", "counts.parquet")]
        self.summary = prepare(
            str(folder / "in_songs.parquet"), str(folder / "in_rankings.parquet"), *self.paths, **options
        )
        self.features, self.counts = (pandas.read_parquet(path) for path in self.paths)
        self.digests = [file_digest(path, "sha256") for path in self.paths]


@pytest.fixture
def songs(charts):
    return pandas.read_parquet(charts / "songs.parquet")


@pytest.fixture
def rankings(charts):
    return pandas.read_parquet(charts / "rankings.parquet")


def test_counts_are_those_of_the_rows(songs, rankings, tmp_path):
    made = Prepared(tmp_path, songs, rankings)
    rows = rankings.dropna(subset="country")
    expected = rows.groupby(["spotify_id", "country"]).size()
    found = made.counts.set_index(["spotify_id", "country"])
    assert (found["past"] + found["future"]).sort_index().tolist() == expected.sort_index().tolist()
    past = rows[rows["snapshot_date"] < made.summary["time cut"]].groupby(["spotify_id", "country"]).size()
    assert found["past"][found["past"] > 0].to_dict() == past.to_dict()
    assert made.summary["rows of the global list"] == rankings["country"].isna().sum()
    assert 0.15 < made.summary["rows after the time cut"] / len(rows) < 0.25


def test_the_files_are_as_agreed(songs, rankings, tmp_path):
    made = Prepared(tmp_path, songs, rankings)
    assert list(made.features.columns) == ["spotify_id", *FEATURES, "part"]
    assert (made.features[FEATURES].dtypes == "float32").all()
    assert made.counts.dtypes[["past", "future"]].tolist() == ["int32", "int32"]
    assert made.features["spotify_id"].is_monotonic_increasing and set(made.features["part"]) == {"train", "test"}


def test_order_of_rows_and_threads_do_not_matter(songs, rankings, tmp_path):
    first = Prepared(tmp_path, songs, rankings, threads=1)
    shuffled = Prepared(
        tmp_path, songs.sample(frac=1, random_state=1), rankings.sample(frac=1, random_state=1), threads=4
    )
    assert shuffled.digests == first.digests and shuffled.summary == first.summary


def test_days_are_those_of_utc_whatever_the_zone_of_the_machine(songs, rankings, tmp_path, monkeypatch):
    """With a time zone in the file, and most of a day away from it."""
    late = rankings["snapshot_date"] + pandas.Timedelta(hours=20)
    first = Prepared(tmp_path, songs, rankings.assign(snapshot_date=late))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        elsewhere = Prepared(tmp_path, songs, rankings.assign(snapshot_date=late.dt.tz_localize("UTC")))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert elsewhere.summary == first.summary and elsewhere.digests == first.digests


def test_no_sound_is_in_both_parts(songs, rankings, tmp_path):
    made = Prepared(tmp_path, songs, rankings).features
    assert made[FEATURES].duplicated().sum() > 5
    assert made.groupby(FEATURES)["part"].nunique().max() == 1
    assert 0.15 < (made["part"] == "test").mean() < 0.25


def test_a_song_keeps_its_part_in_a_later_data_version(charts, songs, rankings, tmp_path):
    sample_data.make_fresh_songs(str(charts / "songs.parquet"), str(tmp_path / "fresh.parquet"), corrected=0)
    before = Prepared(tmp_path, songs, rankings).features.set_index("spotify_id")["part"]
    after = Prepared(tmp_path, pandas.read_parquet(tmp_path / "fresh.parquet"), rankings).features
    after = after.set_index("spotify_id")["part"]
    assert len(after) > len(before) and (after[before.index] == before).all()


def test_rankings_without_properties_are_counted_and_left_out(songs, rankings, tmp_path):
    known = songs.iloc[100:]
    made = Prepared(tmp_path, known, rankings)
    lost = rankings[~rankings["spotify_id"].isin(known["spotify_id"])].dropna(subset="country")
    assert made.summary["rows of songs without properties"] == len(lost) > 0
    assert made.summary["songs without properties"] == lost["spotify_id"].nunique()
    assert set(made.counts["spotify_id"]) <= set(known["spotify_id"])
    total = ("before the time cut", "after the time cut", "of the global list", "of songs without properties")
    assert sum(made.summary[f"rows {part}"] for part in total) == made.summary["rows"] == len(rankings)


def test_a_country_with_too_few_songs_is_left_out_and_named(songs, rankings, tmp_path):
    last = sorted(rankings["country"].dropna().unique())[-1]
    few = rankings[rankings["country"] == last]["spotify_id"].unique()[:5]
    rankings = rankings[(rankings["country"] != last) | rankings["spotify_id"].isin(few)]
    made = Prepared(tmp_path, songs, rankings)
    assert list(made.summary["countries left out"]) == [last] and last not in set(made.counts["country"])
    assert made.summary["rows of countries left out"] == (rankings["country"] == last).sum()


def test_ten_training_songs_are_enough_for_a_country_and_nine_are_not(songs, rankings, tmp_path):
    parts = Prepared(tmp_path, songs, rankings).features.set_index("spotify_id")["part"]
    last = sorted(rankings["country"].dropna().unique())[-1]
    there = rankings["country"] == last
    charted = rankings[there]["spotify_id"].unique()
    train, test = (charted[(parts[charted] == part).to_numpy()] for part in ("train", "test"))
    assert len(train) > 10 and len(test) > 1  # songs that are held out do not count
    for enough, left_out in ((10, {}), (9, {last: 9})):
        kept = rankings["spotify_id"].isin([*train[:enough], *test])
        made = Prepared(tmp_path, songs, rankings[~there | kept])
        assert made.summary["countries left out"] == left_out
        assert (last in set(made.counts["country"])) == (not left_out)


def test_a_single_day_has_no_future(songs, rankings, tmp_path):
    made = Prepared(tmp_path, songs, rankings[rankings["snapshot_date"] == rankings["snapshot_date"].min()])
    assert made.counts["future"].sum() == 0 < made.counts["past"].sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda songs, rankings: (songs, rankings[rankings["country"] == "AE"]), r"1 countries.*a choice needs two"),
        (lambda songs, rankings: (songs, rankings[rankings["country"].isna()]), r"no row with a country"),
        (lambda songs, rankings: (songs.head(0), rankings), r"None of the songs in the rankings"),
        (lambda songs, rankings: (pandas.concat([songs, songs.head(1)]), rankings), r"a spotify_id twice"),
        (lambda songs, rankings: (songs.assign(tempo=float("nan")), rankings), r"900 songs have no finite 'tempo'"),
        (lambda songs, rankings: (songs.assign(energy=float("inf")), rankings), r"no finite 'energy'"),
    ],
)
def test_bad_input_is_refused_with_a_next_step(songs, rankings, tmp_path, change, message):
    with pytest.raises(ValueError, match=rf"(?s){message}.*Next:"):
        Prepared(tmp_path, *change(songs, rankings))


def test_too_few_songs_for_a_split(songs, rankings, tmp_path):
    with pytest.raises(ValueError, match=r"No song that charted is held out.*Next:"):
        Prepared(tmp_path, songs, rankings, test_share=0.0)


def test_digest_is_the_sha256_of_the_file(charts):
    content = (charts / "rankings.parquet").read_bytes()
    assert file_digest(str(charts / "rankings.parquet"), "sha256") == hashlib.sha256(content).hexdigest()
