"""The schemas say everything that is wrong at once, and equal songs have equal bytes."""

import gc
import hashlib

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from jukebox_helpers.steps import sample_data, sample_rankings
from jukebox_helpers.steps.constants import FEATURES, SONG_COLUMNS
from jukebox_helpers.steps.schemas import rankings_schema, songs_schema
from jukebox_helpers.steps.tables import transform_songs, validate_rankings, validate_songs, validate_table


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    sample_data.make_songs(str(folder / "songs.parquet"), songs=300)
    sample_rankings.make_rankings(str(folder / "rankings.parquet"), str(folder / "songs.parquet"), rows=6000)
    return folder


@pytest.fixture
def songs(tables):
    return pandas.read_parquet(tables / "songs.parquet")


@pytest.fixture
def rankings(tables):
    return pandas.read_parquet(tables / "rankings.parquet")


def complaint(validate, frame, folder):
    frame.to_parquet(folder / "bad.parquet")
    with pytest.raises(ValueError) as caught:
        validate(str(folder / "bad.parquet"))
    return str(caught.value)


def test_features_are_columns_of_the_songs():
    assert len(FEATURES) == 13
    assert set(FEATURES) < set(SONG_COLUMNS)


def test_good_tables_pass(tables):
    nothing = {"unusual": 0, "remarks": []}
    assert validate_songs(str(tables / "songs.parquet")) == {"rows": 300, "columns": 18, **nothing}
    assert validate_rankings(str(tables / "rankings.parquet")) == {"rows": 6000, "columns": 11, **nothing}


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*nothing\.parquet.*Next:"):
        validate_songs(str(tmp_path / "nothing.parquet"))


def test_a_web_page_is_no_parquet_file(tmp_path):
    (tmp_path / "page.parquet").write_text("<html>Please log in</html>")
    with pytest.raises(ValueError, match=r"not a readable Parquet file.*Next:"):
        validate_songs(str(tmp_path / "page.parquet"))


def test_empty_table(songs, tmp_path):
    assert "without rows" in complaint(validate_songs, songs.head(0), tmp_path)


def test_every_fault_in_one_message(songs, tmp_path):
    songs.loc[3, "tempo"] = float("inf")
    songs.loc[6:20, "valence"] = 2.0
    songs.loc[9, "spotify_id"] = songs.loc[8, "spotify_id"]
    songs["loudness"] = songs["loudness"].astype(str)
    songs = songs.rename(columns={"danceability": "Dance Ability"}).drop(columns="speechiness").assign(extra=1)
    message = complaint(validate_songs, songs, tmp_path)
    assert "breaks 7 rules" in message
    assert "'danceability' is missing; 'Dance Ability' looks like it, renamed" in message
    assert "column 'speechiness' is missing\n" in message
    assert "column 'extra' is unexpected" in message
    assert "column 'loudness' must be of type double, found string" in message
    assert (
        f"'spotify_id' must be unique: 2 of 300 rows do not comply; first: row 8, spotify_id '{songs.spotify_id[8]}'"
        in (message)
    )
    assert "'valence' must be between 0.0 and 1.0: 15 of 300 rows" in message
    assert f"row 6, spotify_id '{songs.spotify_id[6]}', value 2.0" in message
    assert "'tempo' must be between 0.0 and 1000.0: 1 of 300 rows" in message
    assert "Next:" in message


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("key", 12, "between -1 and 11"),
        ("key", -2, "between -1 and 11"),
        ("mode", -1, "between 0 and 1"),
        ("duration_ms", -5, "between 0 and"),
        ("duration_ms", 86_400_001, "between 0 and 86400000"),
        ("loudness", 20.1, "between -100.0 and 20.0"),
        ("loudness", -100.1, "between -100.0 and 20.0"),
        ("tempo", 1000.5, "between 0.0 and 1000.0"),
        ("energy", float("nan"), "must not be missing"),
        ("energy", float("-inf"), "between 0.0 and 1.0"),
        ("time_signature", 33, "between 0 and 32"),
        ("spotify_id", "short", "22 letters or digits"),
        ("spotify_id", "0123456789abcdefghijkl\n", "22 letters or digits"),
        ("event_timestamp", pandas.NaT, "must not be missing"),
        ("event_timestamp", pandas.Timestamp("1970-01-01"), "between 2000-01-01"),
    ],
)
def test_one_bad_song_is_named(songs, tmp_path, column, value, rule):
    songs.loc[17, column] = value
    message = complaint(validate_songs, songs, tmp_path)
    assert "breaks 1 rule " in message
    assert f"column {column!r}" in message and rule in message and "1 of 300 rows" in message and "row 17," in message


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("daily_rank", 51, "between 1 and 50"),
        ("popularity", 101, "between 0 and 100"),
        ("country", "usa", "two capital letters"),
        ("snapshot_date", pandas.NaT, "must not be missing"),
        ("spotify_id", None, "must not be missing"),
    ],
)
def test_one_bad_ranking_is_named(rankings, tmp_path, column, value, rule):
    rankings.loc[4000, column] = value
    message = complaint(validate_rankings, rankings, tmp_path)
    assert (
        f"column {column!r}" in message and rule in message and "1 of 6000 rows" in message and "row 4000," in message
    )


def test_faults_are_counted_over_all_blocks(rankings, tmp_path):
    rankings.loc[[10, 2500, 5999], "daily_rank"] = 0
    rankings.to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match=r"3 of 6000 rows .*row 10,.*row 2500,.*row 5999,"):
        validate_table(str(tmp_path / "bad.parquet"), rankings_schema(), batch_rows=1000)


@pytest.mark.parametrize("batch_rows", [7, 100, 299])
def test_blocks_find_what_the_whole_has(songs, tmp_path, batch_rows):
    songs.loc[[2, 150, 298], "spotify_id"] = songs.loc[40, "spotify_id"]
    songs.loc[[5, 205], "spotify_id"] = None
    songs.loc[3:90, "tempo"] = -1.0
    songs.loc[77, "valence"] = float("inf")
    songs["mode"] = songs["mode"].astype(str)
    whole = complaint(validate_songs, songs, tmp_path)
    with pytest.raises(ValueError) as caught:
        validate_table(str(tmp_path / "bad.parquet"), songs_schema(), batch_rows)
    assert sorted(str(caught.value).splitlines()) == sorted(whole.splitlines())
    twice = songs.spotify_id[40]
    assert (
        f"'spotify_id' must be unique: 4 of 300 rows do not comply; first: row 2, spotify_id '{twice}'; row 40,"
        in whole
    )
    assert "'spotify_id' must not be missing: 2 of 300 rows do not comply; first: row 5," in whole
    assert "'mode' must be of type int64, found string" in whole


def test_blocks_do_not_pile_up(tables):
    table = pyarrow.parquet.read_table(tables / "rankings.parquet")
    schema = rankings_schema()
    # Only what is collected on purpose is collected.
    gc.disable()
    try:
        before = pyarrow.total_allocated_bytes()
        validate_table(str(tables / "rankings.parquet"), schema, batch_rows=300)
        left = pyarrow.total_allocated_bytes() - before
    finally:
        gc.enable()
    assert left < table.nbytes / 4


def test_what_is_no_number_is_named(tables, tmp_path):
    table = pyarrow.parquet.read_table(tables / "songs.parquet")
    tempo = table["tempo"].to_numpy().copy()
    # As Arrow keeps it, not as pandas writes it: a value, and none of the missing ones.
    tempo[[11, 12, 13]] = float("nan"), float("inf"), float("-inf")
    table = table.set_column(table.schema.names.index("tempo"), "tempo", pyarrow.array(tempo))
    pyarrow.parquet.write_table(table, tmp_path / "nan.parquet")
    assert table["tempo"].null_count == 0
    with pytest.raises(ValueError, match=r"'tempo' must be between 0.0 and 1000.0: 3 of 300 rows .* row 11,.* row 13,"):
        validate_songs(str(tmp_path / "nan.parquet"))


def test_release_dates_may_be_text_and_the_global_list_has_no_country(rankings, tmp_path):
    assert rankings["country"].isna().any()
    rankings["album_release_date"] = "1995"
    rankings.to_parquet(tmp_path / "text.parquet")
    assert validate_rankings(str(tmp_path / "text.parquet"))["rows"] == 6000


def test_equal_songs_have_equal_bytes_however_they_come(tables, songs, tmp_path):
    first = transform_songs(str(tables / "songs.parquet"), str(tmp_path / "first.parquet"))
    other = songs.sample(frac=1, random_state=0).astype({"key": "int32", "event_timestamp": "datetime64[ns]"})
    other[list(reversed(other.columns))].to_parquet(tmp_path / "other.parquet", compression="gzip", index=True)
    assert validate_songs(str(tmp_path / "other.parquet"))["rows"] == 300
    assert transform_songs(str(tmp_path / "other.parquet"), str(tmp_path / "second.parquet")) == first
    content = (tmp_path / "second.parquet").read_bytes()
    assert content == (tmp_path / "first.parquet").read_bytes()
    assert first == {"rows": 300, "md5": hashlib.md5(content).hexdigest()}


def test_a_changed_value_changes_the_bytes_and_nothing_else(songs, tmp_path):
    before = transform_songs(_write(songs, tmp_path / "a.parquet"), str(tmp_path / "1.parquet"))
    songs.loc[5, "tempo"] += 0.001
    assert transform_songs(_write(songs, tmp_path / "b.parquet"), str(tmp_path / "2.parquet")) != before
    table = pyarrow.parquet.read_table(tmp_path / "2.parquet")
    assert table.schema.names == list(SONG_COLUMNS)
    assert [str(kind) for kind in table.schema.types] == list(SONG_COLUMNS.values())
    expected = songs.sort_values("spotify_id").reset_index(drop=True)
    pandas.testing.assert_frame_equal(table.to_pandas(), expected, check_dtype=False)


def _write(frame, path):
    frame.to_parquet(path)
    return str(path)


def test_text_that_is_no_text_is_named(tables, tmp_path):
    table = pyarrow.parquet.read_table(tables / "songs.parquet")
    broken = pyarrow.array([b"\xff\xfe"] + [b"x"] * (table.num_rows - 1), pyarrow.binary()).view(pyarrow.string())
    table = table.set_column(table.schema.get_field_index("name"), "name", broken)
    pyarrow.parquet.write_table(table, tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match="name.*must be UTF-8 text"):
        validate_songs(str(tmp_path / "bad.parquet"))


def test_a_column_that_is_there_twice_is_named(tables, tmp_path):
    table = pyarrow.parquet.read_table(tables / "songs.parquet")
    pyarrow.parquet.write_table(table.append_column("tempo", table["tempo"]), tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match="more than one column 'tempo'.*Next:"):
        validate_songs(str(tmp_path / "bad.parquet"))
