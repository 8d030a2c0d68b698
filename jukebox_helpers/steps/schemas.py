"""What the two tables must look like: columns, types and rules, each stated here and nowhere else.

Every function here travels into pipeline steps (packages: pandas, pandera, pyarrow).
"""

import re
from typing import TYPE_CHECKING

from jukebox_helpers.steps.constants import OTHER_NAMES, RANKING_COLUMNS, SONG_COLUMNS
from jukebox_helpers.steps.messages import shown

if TYPE_CHECKING:
    import pandera.pandas as pandera


def range_checks(ranges: dict) -> "dict[str, pandera.Check]":
    """A check for each column: its least and its greatest value."""
    import pandera.pandas as pandera

    return {
        name: pandera.Check.in_range(low, high, error=f"between {low} and {high}")
        for name, (low, high) in ranges.items()
    }


def usual_songs() -> "pandera.DataFrameSchema":
    """What songs usually are; another one is reported, and stops nothing."""
    import pandera.pandas as pandera

    ranges = {
        "duration_ms": (0, 3_600_000),
        "key": (0, 11),
        "loudness": (-60.0, 4.0),
        "tempo": (30.0, 250.0),
        "time_signature": (1, 7),
    }
    checks = range_checks(ranges)
    return pandera.DataFrameSchema({name: pandera.Column(None, checks[name], nullable=True) for name in checks})


def songs_schema() -> "pandera.DataFrameSchema":
    """The schema of the songs table: types, unique ids, and the ranges outside of which no song can be."""
    import pandas
    import pandera.pandas as pandera
    import pyarrow

    ranges: dict[str, tuple] = {
        "event_timestamp": (pandas.Timestamp("2000-01-01"), pandas.Timestamp("2199-12-31")),
        "duration_ms": (0, 86_400_000),
        "key": (-1, 11),
        "loudness": (-100.0, 20.0),
        "mode": (0, 1),
        "tempo": (0.0, 1_000.0),
        "time_signature": (0, 32),
        **dict.fromkeys(
            ("danceability", "energy", "speechiness", "acousticness", "instrumentalness", "liveness", "valence"),
            (0.0, 1.0),
        ),
    }
    checks = range_checks(ranges)
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
            for name, kind in SONG_COLUMNS.items()
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
    checks = range_checks(ranges)
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
            for name, kind in RANKING_COLUMNS.items()
        },
        strict=True,
        name="song_rankings",
    )


def column_faults(found: list[str], wanted: list[str]) -> list[str]:
    """Say which columns are missing, unexpected, or look renamed.

    Args:
        found: Column names of the table.
        wanted: Column names of the contract.

    Returns:
        A line for each missing column, and for each of the first ten that are unexpected.
    """
    import difflib

    def plain(name: str) -> str:
        return name.lower().replace("_", "").replace(" ", "")[:100]

    # The index of pandas is not a column of the source.
    found = [name for name in found if not re.fullmatch(r"__index_level_\d+__", name)]
    missing = [name for name in wanted if name not in found]
    unexpected = {plain(name): name for name in found if name not in wanted}
    renamed: dict[str, str] = {}
    for name in missing:
        close = [plain(other) for other in OTHER_NAMES.get(name, []) if plain(other) in unexpected]
        if close := close or difflib.get_close_matches(plain(name), list(unexpected)[:200], n=1):
            renamed[name] = unexpected.pop(close[0])
    faults = [
        f"column {name!r} is missing" + (f"; {shown(renamed[name])} looks like it, renamed" if name in renamed else "")
        for name in missing
    ]
    others = [name for name in found if name not in wanted and name not in renamed.values()]
    faults += [f"column {shown(name)} is unexpected" for name in others[:10]]
    return faults + [f"{len(others) - 10:,} more columns are unexpected"] * (len(others) > 10)
