"""From two tables to what a model is trained on: a row a song, and how often each song charted where.

Every ranking row of a song has the same 13 features, so rows and counts teach the same; counts are 35 times fewer.

All of it travels into pipeline steps (package: duckdb).
"""

import datetime
import itertools
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jukebox_helpers.steps.constants import FEATURES
from jukebox_helpers.steps.messages import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb


@contextmanager
def small_database(memory_mb: int = 128, threads: int = 1) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A database in memory; what needs more goes to a temporary folder."""
    import duckdb

    with tempfile.TemporaryDirectory() as spill:
        limits: Any = {"memory_limit": f"{memory_mb}MB", "threads": threads, "temp_directory": spill}
        with duckdb.connect(config={**limits, "preserve_insertion_order": "false"}) as database:
            # Days are those of UTC, whatever the zone of the machine.
            database.execute("SET TimeZone = 'UTC'")
            yield database


def load_songs(database: "duckdb.DuckDBPyConnection", songs_path: str, test_share: float) -> int:
    """Make the table ``songs``: id, features as float32, and the part, which is decided by a hash of the features.

    Songs that sound the same are in the same part, and a song is in the same part in every data version, so two
    models of two data versions can be compared on songs that neither has seen.

    Args:
        database: An open connection.
        songs_path: The songs, Parquet.
        test_share: About this share of the songs is held out, from 0 to less than 1.

    Returns:
        The number of songs.

    Raises:
        ValueError: If an id comes twice or a feature is not finite.
    """
    columns = ", ".join(f"{name}::FLOAT AS {name}" for name in FEATURES)
    # Whole numbers, because every version of every database writes those alike.
    sound = ", ".join(f"floor({name}::DOUBLE * 1048576)::BIGINT" for name in FEATURES)
    database.execute(f"CREATE TABLE sounds AS SELECT spotify_id, {columns} FROM read_parquet(?)", [songs_path])
    validate = "Next: validate the songs before preparing them."
    for name in FEATURES:
        bad = f"{name} IS NULL OR NOT isfinite({name})"
        count, first = database.execute(f"SELECT count(*), min(spotify_id) FROM sounds WHERE {bad}").fetchall()[0]
        if count:
            raise ValueError(f"{count} songs have no finite {name!r}, the first is {shown(first)}. {validate}")
    songs, distinct = database.execute("SELECT count(*), count(DISTINCT spotify_id) FROM sounds").fetchall()[0]
    if songs != distinct:
        raise ValueError(f"{songs - distinct} songs of {songs_path} have a spotify_id twice, or none. {validate}")
    database.execute(
        "CREATE TABLE songs AS "
        f"SELECT *, CASE WHEN substr(md5(concat_ws(',', {sound})), 1, 8) < ? THEN 'test' ELSE 'train' END AS part "
        "FROM sounds",
        [f"{min(round(test_share * 2**32), 2**32 - 1):08x}"],
    )
    database.execute("DROP TABLE sounds")
    return songs


def load_pairs(database: "duckdb.DuckDBPyConnection", rankings_path: str, future_share: float) -> str:
    """Make the table ``pairs``: how many rows each song has in each list, before and after the time cut.

    The cut is at the first day of the future: from it on, about a given share of the countries' rows were made. If
    all rows are of one day, it is the day after: then there is no future.

    Args:
        database: An open connection.
        rankings_path: The rankings, Parquet; streamed twice.
        future_share: Share of rows that are in the future, 0 to 1.

    Returns:
        The time cut, an ISO date.

    Raises:
        ValueError: If no row has a country.
    """
    days = database.execute(
        "SELECT snapshot_date::DATE AS day, count(*) FROM read_parquet(?) "
        "WHERE country IS NOT NULL GROUP BY day ORDER BY day",
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
    cut = min(cuts, key=lambda day: (cuts[day], day)) if cuts else tomorrow
    database.execute(
        "CREATE TABLE pairs AS SELECT spotify_id, country, "
        "count(*) FILTER (snapshot_date < $cut::TIMESTAMP)::INTEGER AS past, "
        "count(*) FILTER (snapshot_date >= $cut::TIMESTAMP)::INTEGER AS future "
        "FROM read_parquet($path) GROUP BY ALL",
        {"cut": cut, "path": rankings_path},
    )
    return cut


# Long: one script of SQL, in the order in which its tables come about.
def prepare(
    songs_path: str,
    rankings_path: str,
    features_path: str,
    counts_path: str,
    test_share: float = 0.2,
    future_share: float = 0.2,
    min_songs: int = 10,
    memory_mb: int = 128,
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
    with small_database(memory_mb, threads) as database:
        songs = load_songs(database, songs_path, test_share)
        cut = load_pairs(database, rankings_path, future_share)
        total, worldwide, unknown_rows, unknown_songs = database.execute(
            "SELECT coalesce(sum(rows), 0)::BIGINT, coalesce(sum(rows) FILTER (country IS NULL), 0)::BIGINT, "
            "coalesce(sum(rows) FILTER (unknown), 0)::BIGINT, count(DISTINCT spotify_id) FILTER (unknown) "
            "FROM (SELECT *, past + future AS rows, country IS NOT NULL AND part IS NULL AS unknown "
            "FROM pairs LEFT JOIN songs USING (spotify_id))"
        ).fetchall()[0]
        if unknown_rows + worldwide == total:
            raise ValueError(
                f"None of the songs in the rankings ({unknown_songs}) has properties. "
                "Next: check that the songs and the rankings are of the same data set."
            )
        small = dict(
            database.execute(
                "SELECT country, count(*) FILTER (part = 'train') AS charted FROM pairs JOIN songs USING (spotify_id) "
                "WHERE country IS NOT NULL GROUP BY country HAVING charted < $least ORDER BY country",
                {"least": min_songs},
            ).fetchall()
        )
        database.execute(
            "CREATE TABLE counts AS SELECT spotify_id, country, past, future FROM pairs SEMI JOIN songs "
            "USING (spotify_id) WHERE country IS NOT NULL AND NOT list_contains($small::VARCHAR[], country)",
            {"small": list(small)},
        )
        pairs, countries, train, test, past, future = database.execute(
            "SELECT count(*), count(DISTINCT country), count(DISTINCT spotify_id) FILTER (part = 'train'), "
            "count(DISTINCT spotify_id) FILTER (part = 'test'), "
            "coalesce(sum(past), 0)::BIGINT, coalesce(sum(future), 0)::BIGINT "
            "FROM counts JOIN songs USING (spotify_id)"
        ).fetchall()[0]
        if countries < 2:
            raise ValueError(
                f"{countries} countries have at least {min_songs} training songs, and a choice needs two"
                f"{f'; too few songs have: {small}' if small else ''}. "
                "Next: give rankings of more countries or days."
            )
        if not test:
            raise ValueError(
                f"No song that charted is held out ({train} are for training): too few songs for a split. "
                "Next: give more songs, or a larger test_share."
            )
        # One thread and one order: the same tables are the same bytes.
        database.execute("SET threads = 1")
        database.sql("FROM songs ORDER BY spotify_id").write_parquet(features_path, compression="zstd")
        database.sql("FROM counts ORDER BY spotify_id, country").write_parquet(counts_path, compression="zstd")
    return {
        "songs": songs,
        "songs without rankings": songs - train - test,
        "training songs": train,
        "held-out songs": test,
        "countries": countries,
        "pairs": pairs,
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
