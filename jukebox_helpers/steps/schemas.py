"""What the two tables must look like: columns, types and rules, stated here only. All of it travels."""

import datetime
import re
from dataclasses import dataclass, field

from jukebox_helpers.steps.constants import OTHER_NAMES, RANKING_COLUMNS, SONG_COLUMNS
from jukebox_helpers.steps.messages import shown


@dataclass(frozen=True)
class Schema:
    """What a table must look like.

    Attributes:
        name: What messages call the table.
        columns: Arrow types by column, in order.
        ranges: Least and greatest value by column; outside of them a value is impossible.
        patterns: A regular expression by column, and what it asks for in words.
        optional: Columns whose values may be missing.
        untyped: Columns that may be of any type, because nothing is computed from them.
        unique: The column in which no value comes twice.
        usual: As `ranges`; outside of them a value is reported, and stops nothing.
    """

    name: str
    columns: dict[str, str]
    ranges: dict[str, tuple]
    patterns: dict[str, tuple[str, str]]
    optional: tuple[str, ...]
    untyped: tuple[str, ...] = ()
    unique: str = ""
    usual: dict[str, tuple] = field(default_factory=dict)


SONG_ID = (r"^[0-9A-Za-z]{22}$", "22 letters or digits")
SHARES = ("danceability", "energy", "speechiness", "acousticness", "instrumentalness", "liveness", "valence")


def days() -> tuple[datetime.datetime, datetime.datetime]:
    """The first and the last day that a time can be of."""
    return datetime.datetime(2000, 1, 1), datetime.datetime(2199, 12, 31)


def songs_schema() -> Schema:
    """The schema of the songs table."""
    return Schema(
        name="song_properties",
        columns=SONG_COLUMNS,
        ranges={
            "event_timestamp": days(),
            "duration_ms": (0, 86_400_000),
            "key": (-1, 11),
            "loudness": (-100.0, 20.0),
            "mode": (0, 1),
            "tempo": (0.0, 1_000.0),
            "time_signature": (0, 32),
            **dict.fromkeys(SHARES, (0.0, 1.0)),
        },
        patterns={"spotify_id": SONG_ID},
        optional=("name", "artists"),
        unique="spotify_id",
        usual={
            "duration_ms": (0, 3_600_000),
            "key": (0, 11),
            "loudness": (-60.0, 4.0),
            "tempo": (30.0, 250.0),
            "time_signature": (1, 7),
        },
    )


def rankings_schema() -> Schema:
    """The schema of the rankings table; no country means the global list, and a release date may be text ("1995")."""
    return Schema(
        name="song_rankings",
        columns=RANKING_COLUMNS,
        ranges={
            "daily_rank": (1, 50),
            "daily_movement": (-50, 50),
            "weekly_movement": (-50, 50),
            "popularity": (0, 100),
            "snapshot_date": days(),
        },
        patterns={"spotify_id": SONG_ID, "country": (r"^[A-Z]{2}$", "a code of two capital letters")},
        optional=("name", "artists", "country", "album_name", "album_release_date"),
        untyped=("album_release_date",),
    )


def column_faults(found: list[str], wanted: list[str]) -> list[str]:
    """Say which columns of those that a table has are missing, unexpected, or look renamed.

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
