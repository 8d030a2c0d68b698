"""What the two tables must look like: columns, types and rules, each stated here and nowhere else.

Every function here travels into pipeline steps (packages: pandas, pandera, pyarrow).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandera.pandas as pandera


def features() -> list[str]:
    """The 13 raw inputs of the model, in order."""
    return [
        "is_explicit",
        "duration_ms",
        "danceability",
        "energy",
        "key",
        "loudness",
        "mode",
        "speechiness",
        "acousticness",
        "instrumentalness",
        "liveness",
        "valence",
        "tempo",
    ]


def song_columns() -> dict[str, str]:
    """The columns of the songs table in order, with their Arrow types."""
    return {
        "spotify_id": "string",
        "name": "string",
        "artists": "string",
        "event_timestamp": "timestamp[us]",
        "is_explicit": "bool",
        "duration_ms": "int64",
        "danceability": "double",
        "energy": "double",
        "key": "int64",
        "loudness": "double",
        "mode": "int64",
        "speechiness": "double",
        "acousticness": "double",
        "instrumentalness": "double",
        "liveness": "double",
        "valence": "double",
        "tempo": "double",
        "time_signature": "int64",
    }


def ranking_columns() -> dict[str, str]:
    """The columns of the rankings table in order, with their Arrow types."""
    return {
        "spotify_id": "string",
        "name": "string",
        "artists": "string",
        "daily_rank": "int64",
        "daily_movement": "int64",
        "weekly_movement": "int64",
        "country": "string",
        "snapshot_date": "timestamp[us]",
        "popularity": "int64",
        "album_name": "string",
        "album_release_date": "timestamp[us]",
    }


def songs_schema() -> "pandera.DataFrameSchema":
    """The schema of the songs table: types, ranges, unique ids."""
    import pandas
    import pandera.pandas as pandera
    import pyarrow

    ranges: dict[str, tuple] = {
        "event_timestamp": (pandas.Timestamp("2000-01-01"), pandas.Timestamp("2199-12-31")),
        "duration_ms": (0, 939_666),
        "key": (0, 11),
        "loudness": (-37.5, 3.3),
        "mode": (0, 1),
        "tempo": (0.0, 236.0),
        "time_signature": (0, 5),
        **dict.fromkeys(
            ("danceability", "energy", "speechiness", "acousticness", "instrumentalness", "liveness", "valence"),
            (0.0, 1.0),
        ),
    }
    checks = {
        name: pandera.Check.in_range(low, high, error=f"between {low} and {high}")
        for name, (low, high) in ranges.items()
    }
    checks["spotify_id"] = pandera.Check.str_matches(r"^[0-9A-Za-z]{22}$", error="22 letters or digits")
    return pandera.DataFrameSchema(
        {
            name: pandera.Column(
                pandas.ArrowDtype(pyarrow.type_for_alias(kind)),
                checks.get(name),
                nullable=name in ("name", "artists"),
                unique=name == "spotify_id",
                report_duplicates="all",
            )
            for name, kind in song_columns().items()
        },
        strict=True,
        name="song_properties",
    )


def rankings_schema() -> "pandera.DataFrameSchema":
    """The schema of the rankings table: types and ranges; no country means the global list."""
    import pandas
    import pandera.pandas as pandera
    import pyarrow

    ranges: dict[str, tuple] = {
        "daily_rank": (1, 50),
        "daily_movement": (-50, 50),
        "weekly_movement": (-50, 50),
        "popularity": (0, 100),
        "snapshot_date": (pandas.Timestamp("2000-01-01"), pandas.Timestamp("2199-12-31")),
    }
    checks = {
        name: pandera.Check.in_range(low, high, error=f"between {low} and {high}")
        for name, (low, high) in ranges.items()
    }
    checks["spotify_id"] = pandera.Check.str_matches(r"^[0-9A-Za-z]{22}$", error="22 letters or digits")
    checks["country"] = pandera.Check.str_matches(r"^[A-Z]{2}$", error="a code of two capital letters")
    optional = ("name", "artists", "country", "album_name", "album_release_date")
    return pandera.DataFrameSchema(
        {
            name: pandera.Column(
                # Release dates may be text ("1995"): nothing is computed from them, so nothing is refused.
                None if name == "album_release_date" else pandas.ArrowDtype(pyarrow.type_for_alias(kind)),
                checks.get(name),
                nullable=name in optional,
            )
            for name, kind in ranking_columns().items()
        },
        strict=True,
        name="song_rankings",
    )
