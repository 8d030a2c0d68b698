"""From two tables to what a model is trained on: a row a song, and how often each song charted where.

Every ranking row of a song has the same 13 features, so rows and counts teach the same; counts are 35 times fewer.

Every function here travels into pipeline steps (packages: duckdb, numpy, pyarrow), together with
``song_schemas.features``.
"""

from typing import TYPE_CHECKING

from jukebox_helpers.song_schemas import features

if TYPE_CHECKING:
    import duckdb
    import pyarrow


def rankings_digest(path: str) -> str:
    """The sha256 of a file, read in blocks: what the lineage records of the rankings."""
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def split_songs(songs_path: str, test_share: float) -> "pyarrow.Table":
    """Read the songs' features and part them into train and test by a hash of the features.

    Songs that sound the same are in the same part, and a song is in the same part in every data version, so two
    models of two data versions can be compared on songs that neither has seen.

    Args:
        songs_path: The songs, Parquet.
        test_share: About this share of the songs is held out, 0 to 1.

    Returns:
        spotify_id, the features as float32, part; sorted by spotify_id.

    Raises:
        ValueError: If an id comes twice or a feature is not finite.
    """
    import hashlib

    import numpy
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(songs_path) as file:
        songs = file.read(["spotify_id", *features()]).sort_by("spotify_id")
    ids = songs["spotify_id"].combine_chunks().cast("string")
    if pyarrow.compute.count_distinct(ids, mode="all").as_py() != len(ids):
        raise ValueError(f"{songs_path} has a spotify_id twice. Next: validate the songs before preparing them.")
    inputs = {
        # The zero added turns -0.0 into 0.0: the same number must have the same bytes.
        name: songs[name].to_numpy().astype("float64").astype("<f4") + numpy.float32(0)
        for name in features()
    }
    for name, column in inputs.items():
        bad = numpy.flatnonzero(~numpy.isfinite(column))
        if len(bad):
            raise ValueError(
                f"{len(bad)} songs have no finite {name!r}, the first is {ids[int(bad[0])]}. "
                "Next: validate the songs before preparing them."
            )
    matrix = numpy.stack(list(inputs.values()), axis=1)
    limit = round(test_share * 2**64)
    held_out = [int.from_bytes(hashlib.md5(row, usedforsecurity=False).digest()[:8], "big") < limit for row in matrix]
    return pyarrow.table({"spotify_id": ids, **inputs, "part": numpy.where(held_out, "test", "train")})


def find_time_cut(database: "duckdb.DuckDBPyConnection", rankings_path: str, future_share: float) -> str:
    """Find the first day of the future: from it on, about a given share of the countries' rows were made.

    Args:
        database: An open connection.
        rankings_path: The rankings, Parquet.
        future_share: Share of rows that lie in the future, 0 to 1.

    Returns:
        An ISO date. If all rows are of one day, the day after it: then there is no future.
    """
    import datetime
    import itertools

    days = database.execute(
        """SELECT snapshot_date::DATE AS day, count(*) FROM read_parquet(?)
        WHERE country IS NOT NULL GROUP BY day ORDER BY day""",
        [rankings_path],
    ).fetchall()
    if not days:
        raise ValueError(
            f"{rankings_path} has no row with a country, so there is no target to learn. "
            "Next: check that the rankings hold countries, not only the global list."
        )
    total, so_far, cuts = sum(rows for _, rows in days), 0, {}
    for (_, rows), (next_day, _) in itertools.pairwise(days):
        so_far += rows
        cuts[next_day.isoformat()] = abs(1 - so_far / total - future_share)
    tomorrow = (days[-1][0] + datetime.timedelta(days=1)).isoformat()
    return min(cuts, key=lambda day: (cuts[day], day)) if cuts else tomorrow


def prepare(
    songs_path: str,
    rankings_path: str,
    features_path: str,
    counts_path: str,
    test_share: float = 0.2,
    future_share: float = 0.2,
    min_songs: int = 10,
    memory_mb: int = 160,
    threads: int = 2,
) -> dict:
    """Aggregate the rankings and split the songs.

    Rules: rows of the global list (no country) say nothing about a country and are left out. Rows of songs without
    properties are left out. A country in which fewer than ``min_songs`` training songs charted is left out. Each is
    counted in the result.

    Args:
        songs_path: The songs, Parquet.
        rankings_path: The rankings, Parquet; streamed.
        features_path: Parquet file to write: spotify_id, 13 float32 features, part ("train" or "test").
        counts_path: Parquet file to write: spotify_id, country, past, future (rows before and from the time cut).
        test_share: About this share of the songs is held out.
        future_share: About this share of the rows is after the time cut.
        min_songs: The fewest training songs that a country needs.
        memory_mb: Memory for the database, in MB; what needs more goes to a temporary folder.
        threads: Threads of the database; the result does not depend on them.

    Returns:
        The counts of songs, rows and countries, used and left out, and the time cut.

    Raises:
        ValueError: If nothing, or only one country, is left to learn from, or no song to test on.
    """
    import tempfile

    import duckdb
    import pyarrow
    import pyarrow.parquet

    songs = split_songs(songs_path, test_share)
    with tempfile.TemporaryDirectory() as spill, duckdb.connect() as database:
        database.execute(f"SET memory_limit = '{int(memory_mb)}MB'")
        database.execute(f"SET threads = {int(threads)}")
        database.execute("SET preserve_insertion_order = false")
        database.execute("SET temp_directory = $spill", {"spill": spill})
        database.register("songs", songs.select(["spotify_id", "part"]))
        cut = find_time_cut(database, rankings_path, future_share)
        database.execute(
            """CREATE TABLE pairs AS
            SELECT spotify_id, country,
                   count(*) FILTER (snapshot_date < $cut::TIMESTAMP)::INT AS past,
                   count(*) FILTER (snapshot_date >= $cut::TIMESTAMP)::INT AS future
            FROM read_parquet($path) GROUP BY ALL""",
            {"cut": cut, "path": rankings_path},
        )
        total, worldwide = database.execute(
            """SELECT sum(past + future)::BIGINT, coalesce(sum(past + future) FILTER (country IS NULL), 0)::BIGINT
            FROM pairs"""
        ).fetchall()[0]
        unknown_rows, unknown_songs = database.execute(
            """SELECT coalesce(sum(past + future), 0)::BIGINT, count(DISTINCT spotify_id)
            FROM pairs ANTI JOIN songs USING (spotify_id) WHERE country IS NOT NULL"""
        ).fetchall()[0]
        small = dict(
            database.execute(
                """SELECT country, count(*) FILTER (part = 'train') AS songs
                FROM pairs JOIN songs USING (spotify_id) WHERE country IS NOT NULL
                GROUP BY country HAVING songs < $least ORDER BY country""",
                {"least": min_songs},
            ).fetchall()
        )
        counts = database.sql(
            """SELECT spotify_id, country, past, future
            FROM pairs SEMI JOIN songs USING (spotify_id)
            WHERE country IS NOT NULL AND NOT list_contains($small::VARCHAR[], country)
            ORDER BY spotify_id, country""",
            params={"small": list(small)},
        ).to_arrow_table()
        countries, train, test, past, future = database.execute(
            """SELECT count(DISTINCT country), count(DISTINCT spotify_id) FILTER (part = 'train'),
                   count(DISTINCT spotify_id) FILTER (part = 'test'),
                   coalesce(sum(past), 0)::BIGINT, coalesce(sum(future), 0)::BIGINT
            FROM counts JOIN songs USING (spotify_id)"""
        ).fetchall()[0]
    if unknown_rows + worldwide == total:
        raise ValueError(
            f"None of the songs in the rankings ({unknown_songs}) has properties. "
            "Next: check that the songs and the rankings are of the same data set."
        )
    if countries < 2:
        raise ValueError(
            f"{countries} countries have at least {min_songs} training songs, and a choice needs two"
            f"{f'; too few songs have: {small}' if small else ''}. Next: give rankings of more countries or days."
        )
    if not test:
        raise ValueError(
            f"No song that charted is held out ({train} are for training): too few songs for a split. "
            "Next: give more songs, or a larger test_share."
        )
    schema = pyarrow.schema(
        {
            "spotify_id": pyarrow.string(),
            "country": pyarrow.string(),
            "past": pyarrow.int32(),
            "future": pyarrow.int32(),
        }
    )
    for table, path in ((songs, features_path), (counts.cast(schema), counts_path)):
        pyarrow.parquet.write_table(table.combine_chunks(), path, compression="zstd", store_schema=False)
    return {
        "songs": songs.num_rows,
        "songs without rankings": songs.num_rows - train - test,
        "training songs": train,
        "held-out songs": test,
        "countries": countries,
        "pairs": counts.num_rows,
        "rows": total,
        "rows before the time cut": past,
        "rows after the time cut": future,
        "rows of the global list": worldwide,
        "rows of songs without properties": unknown_rows,
        "songs without properties": unknown_songs,
        "rows of countries left out": total - worldwide - unknown_rows - past - future,
        "countries left out": small,
        "time cut": cut,
    }


def read_pairs(features_path: str, counts_path: str, labels: list[str]) -> dict:
    """Read what was prepared, as arrays.

    Args:
        features_path: The prepared songs, Parquet.
        counts_path: The prepared counts, Parquet.
        labels: The countries, in the model's order.

    Returns:
        inputs (float32 arrays by feature), test (a flag a song), ids; and for each pair: song, country (places),
        past, future (rows); unknown: rows of countries that are not among the labels, which are left out.
    """
    import numpy
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet

    # ParquetFile, not read_table: the latter takes "part=..." in a path for a column.
    songs, counts = (pyarrow.parquet.ParquetFile(path).read() for path in (features_path, counts_path))
    song, country = (
        pyarrow.compute.fill_null(pyarrow.compute.index_in(counts[column], value_set=values), -1).to_numpy()
        for column, values in (
            ("spotify_id", songs["spotify_id"].combine_chunks()),
            ("country", pyarrow.array(labels, pyarrow.string())),
        )
    )
    known = (song >= 0) & (country >= 0)
    past, future = (counts[column].to_numpy().astype("float64") for column in ("past", "future"))
    return {
        "inputs": {name: songs[name].to_numpy() for name in features()},
        "ids": songs["spotify_id"].to_numpy(),
        "test": songs["part"].to_numpy() == "test",
        "song": song[known],
        "country": country[known],
        "past": past[known],
        "future": future[known],
        "unknown": int((past + future)[~known].sum()),
        "labels": numpy.array(labels),
    }
