"""How much data there is at a scale, and making it once for every benchmark that needs it."""

from pathlib import Path

from jukebox_helpers.steps.sample_data import make_songs
from jukebox_helpers.steps.sample_rankings import make_rankings

SONGS, ROWS, COUNTRIES = 14_245, 1_130_000, 72
"""The size of the real tables."""


def make_tables(folder: Path, scale: float) -> tuple[Path, Path]:
    """Make songs and rankings, unless they are there.

    Args:
        folder: Where to put them.
        scale: Share of the full size.

    Returns:
        The two Parquet files.
    """
    songs, rankings = folder / f"songs-{scale:g}.parquet", folder / f"rankings-{scale:g}.parquet"
    if not songs.is_file():
        make_songs(str(songs), songs=songs_at(scale))
    if not rankings.is_file():
        make_rankings(str(rankings), str(songs), rows=rows_at(scale))
    return songs, rankings


def songs_at(scale: float) -> int:
    """Songs at a scale; enough of them for a split, however small the scale."""
    return max(500, round(SONGS * scale))


def rows_at(scale: float) -> int:
    """Ranking rows at a scale."""
    return max(5_000, round(ROWS * scale))


def repeats(scale: float) -> int:
    """How often a short measurement is made, for a median; small runs only show that all works."""
    return 3 if scale >= 1 else 1
