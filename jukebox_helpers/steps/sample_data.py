"""Songs and rankings that nobody owns: made up, the same bytes for the same seed, at any size.

Songs are drawn around three moods (intensity, brightness, rap), with distributions like those of real charts. Each
country's taste is a hidden direction in the space of the features; songs chart where they are liked, for weeks, and
most of them in one country only. So there is something to learn, and no more than that.

Every function here travels into pipeline steps (packages: numpy, pyarrow).
"""

from typing import TYPE_CHECKING

from jukebox_helpers.steps.constants import FEATURES

if TYPE_CHECKING:
    import numpy as np
    import pyarrow


# Long: one draw, whose order makes the bytes the same.
def draw_songs(songs: int, seed: int, start: str, days: int, drift: float) -> "pyarrow.Table":
    """Draw songs.

    Args:
        songs: Number of rows.
        seed: Same seed, same songs.
        start: The first day that a song may be seen in charts, ISO 8601.
        days: Over how many days they appear.
        drift: How far tastes of the time have moved, in standard deviations: faster, brighter, more danceable.

    Returns:
        The table, in order of appearance.
    """
    import numpy as np
    import pyarrow

    random = np.random.default_rng([seed, 1])
    # What songs look like at these standard deviations from the median, and how three moods move it.
    at = [-3.5, -2.33, -1.64, -0.67, 0.0, 0.67, 1.64, 2.33, 3.5]
    shapes: dict[str, tuple[list[float], tuple[float, float, float]]] = {
        "duration_ms": ([3e4, 8e4, 118e3, 155e3, 181e3, 215e3, 285e3, 4e5, 8e5], (0.0, -0.15, -0.25)),
        "danceability": ([0.1, 0.29, 0.42, 0.59, 0.7, 0.78, 0.88, 0.93, 0.98], (0.1, 0.5, 0.25)),
        "energy": ([0.01, 0.16, 0.33, 0.54, 0.67, 0.78, 0.9, 0.96, 0.998], (0.9, 0.1, 0.0)),
        "loudness": ([-35, -19, -12.6, -8.4, -6.6, -5.1, -3.3, -1.9, 2], (0.8, 0.1, 0.0)),
        "speechiness": ([0.023, 0.026, 0.03, 0.043, 0.07, 0.16, 0.35, 0.48, 0.9], (0.0, 0.0, 0.6)),
        "acousticness": ([2e-5, 1e-3, 6e-3, 0.07, 0.2, 0.44, 0.8, 0.94, 0.99], (-0.6, 0.0, -0.1)),
        "instrumentalness": ([0, 0, 0, 0, 1e-6, 2e-4, 0.13, 0.87, 0.95], (-0.25, -0.1, -0.1)),
        "liveness": ([0.02, 0.04, 0.06, 0.1, 0.13, 0.22, 0.45, 0.73, 0.97], (0.15, 0.0, 0.0)),
        "valence": ([0.02, 0.08, 0.17, 0.36, 0.54, 0.72, 0.92, 0.97, 0.99], (0.15, 0.75, 0.0)),
        "tempo": ([50, 73, 81, 100, 122, 140, 172, 194, 220], (0.12, -0.1, 0.05)),
        "is_explicit": ([0, 0, 0, 0, 0, 1, 1, 1, 1], (0.0, -0.1, 0.6)),
    }
    decimals = {"loudness": 3, "tempo": 3, "danceability": 3, "energy": 3, "valence": 3, "instrumentalness": 6}
    moods = random.standard_normal((3, songs)) + drift * np.array([[0.5], [0.7], [0.2]])
    columns = {}
    for name, (values, loadings) in shapes.items():
        own = (1 - sum(x * x for x in loadings)) ** 0.5
        latent = own * random.standard_normal(songs)
        for mood, loading in zip(moods, loadings, strict=True):
            latent = latent + loading * mood
        columns[name] = np.interp(latent, at, values).round(decimals.get(name, 4))
    columns["is_explicit"] = columns["is_explicit"] > 0.65
    columns["duration_ms"] = columns["duration_ms"].astype("int64")
    keys = np.array([10, 13, 8, 3, 7, 9, 8, 9, 8, 9, 7, 9])
    columns["key"] = random.choice(12, songs, p=keys / keys.sum())
    columns["mode"] = random.integers(0, 2, songs)
    columns["time_signature"] = random.choice([4, 3, 5, 1], songs, p=[0.915, 0.06, 0.02, 0.005])

    # One song in sixty is out a second time, with the same sound and another id: so it is with the real ones.
    again = np.flatnonzero(random.random(songs) < 1 / 60)
    original = random.integers(0, songs, len(again))
    twin = np.arange(songs)
    twin[again] = original
    firsts = ["Blue", "Late", "Golden", "Broken", "Silver", "Wild", "Quiet", "Neon", "Lost", "Paper", "Velvet", "Last"]
    seconds = ["River", "Night", "Heart", "City", "Letter", "Fire"]
    seconds += ["Rain", "Dancer", "Mirror", "Road", "Signal", "Tiger"]
    words = np.array([f"{a} {b}" for a in firsts for b in seconds])
    bands = np.array([f"The {b}s" for b in seconds] + [f"{a} & {b}" for a in firsts for b in seconds])
    title = words[random.integers(0, len(words), songs)][twin]
    band = bands[random.integers(0, len(bands), songs)][twin]
    letters = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "S1")
    ids = letters[random.integers(0, 62, (songs, 22))].view("S22").ravel().astype("U22")
    # One song in eight is in the charts when they begin.
    seen = np.sort((random.random(songs) * 1.14 - 0.14).clip(0) * days).astype("int64")
    missing = random.random(songs) < 4e-4
    order = ["is_explicit", "duration_ms", "danceability", "energy", "key", "loudness", "mode", "speechiness"]
    order += ["acousticness", "instrumentalness", "liveness", "valence", "tempo", "time_signature"]
    return pyarrow.table(
        {
            "spotify_id": ids,
            "name": pyarrow.array(title, mask=missing),
            "artists": pyarrow.array(band, mask=missing),
            "event_timestamp": np.datetime64(start, "D").astype("M8[us]") + seen * np.timedelta64(1, "D"),
            **{feature: columns[feature][twin] for feature in order},
        }
    )


def make_songs(path: str, songs: int = 14_245, seed: int = 7) -> dict:
    """Write a table of made-up songs, Parquet; the same seed gives the same bytes.

    Returns:
        ``{"rows": int}``.
    """
    import pyarrow.parquet

    table = draw_songs(songs, seed, start="2023-10-18", days=314, drift=0.0)
    pyarrow.parquet.write_table(table, path, compression="zstd", store_schema=False)
    return {"rows": songs}


def make_fresh_songs(source: str, target: str, seed: int = 8, new: int = 320, corrected: int = 25) -> dict:
    """Write the songs of a week later: new ones, of a slowly changing taste, and some old ones corrected.

    Args:
        source: The songs so far, Parquet.
        target: The Parquet file to write.
        seed: Same seed and source, same bytes.
        new: How many songs came in.
        corrected: How many songs the source corrected: a tempo that was counted double or half, a wrong flag.

    Returns:
        ``{"rows": int, "new": int, "corrected": int, "since": ISO date}``.
    """
    import numpy as np
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet

    random = np.random.default_rng([seed, 2])
    old = pyarrow.parquet.ParquetFile(source).read()
    last = np.datetime64(pyarrow.compute.max(old["event_timestamp"]).as_py(), "D")
    since = str(last + np.timedelta64(1, "D"))
    arrived = draw_songs(new, seed, start=since, days=7, drift=0.6)

    rows = random.permutation(old.num_rows)[:corrected]
    old = corrected_songs(old, rows).select(arrived.schema.names).cast(arrived.schema)
    table = pyarrow.concat_tables([old, arrived]).combine_chunks()
    pyarrow.parquet.write_table(table, target, compression="zstd", store_schema=False)
    return {"rows": table.num_rows, "new": new, "corrected": len(rows), "since": since}


def corrected_songs(songs: "pyarrow.Table", rows: "np.ndarray") -> "pyarrow.Table":
    """All songs, some rows corrected as their source does: a tempo that was counted double or half, a wrong flag.

    Every third of ``rows`` gets the other flag, too.
    """
    import numpy as np

    tempo = songs["tempo"].to_numpy().copy()
    tempo[rows] = np.where(tempo[rows] > 118, tempo[rows] / 2, tempo[rows] * 2)
    explicit = songs["is_explicit"].to_numpy().copy()
    explicit[rows[::3]] = ~explicit[rows[::3]]
    return with_columns(songs, {"tempo": tempo, "is_explicit": explicit})


def with_columns(songs: "pyarrow.Table", columns: "dict[str, np.ndarray]") -> "pyarrow.Table":
    """The same songs with other values in some columns, of the types that these have."""
    import pyarrow

    for name, column in columns.items():
        place = songs.schema.names.index(name)
        songs = songs.set_column(place, name, pyarrow.array(column).cast(songs.schema.field(place).type))
    return songs


def change_songs(source: str, target: str, kind: str, seed: int = 9) -> dict:
    """Write the songs of another day: the same ones, changed in the way that a lesson or a test wants.

    Args:
        source: The songs so far, Parquet.
        target: The Parquet file to write.
        kind: ``same``: no value differs, but order and encoding of the rows do; ``corrected``: some features are;
            ``broken``: some values are impossible; ``drift``: as if the source had stopped measuring: all songs are
            quieter and faster, some beyond what is usual, and alike in everything else, so nothing can be learned.
        seed: Same seed and source, same bytes.

    Returns:
        ``{"rows": int, "changed": int}``: rows in all, and rows with another value.

    Raises:
        ValueError: If the kind is not known.
    """
    import numpy as np
    import pyarrow.parquet

    random = np.random.default_rng([seed, 3])
    table = pyarrow.parquet.ParquetFile(source).read().combine_chunks()
    order = random.permutation(table.num_rows)
    few = np.sort(order[: max(1, min(25, table.num_rows // 10))])
    options = {"compression": "zstd", "store_schema": False}
    if kind == "same":
        table, few = table.take(order), few[:0]
        options = {"compression": "gzip", "use_dictionary": False, "row_group_size": 500}
    elif kind == "corrected":
        table = corrected_songs(table, few)
    elif kind == "broken":
        energy, tempo = (table[name].to_numpy().astype(float) for name in ("energy", "tempo"))
        energy[few], tempo[few] = energy[few] + 1.5, -1.0
        table = with_columns(table, {"energy": energy, "tempo": tempo})
    elif kind == "drift":
        values = {name: table[name].to_numpy().astype(float) for name in FEATURES}
        middle = {name: np.sort(column)[table.num_rows // 2] for name, column in values.items()}
        alike = {name: np.full_like(column, middle[name]) for name, column in values.items()}
        for name, moved in (("loudness", middle["loudness"] - 6), ("tempo", 1.15 * middle["tempo"])):
            alike[name] = (moved + 0.1 * (values[name] - middle[name])).round(3)
        alike["loudness"][few], alike["tempo"][few] = -70.0, 400.0
        table, few = with_columns(table, alike), order
    else:
        raise ValueError(f"There is no kind {kind!r} of songs. Next: name same, corrected, broken or drift.")
    pyarrow.parquet.write_table(table, target, **options)
    return {"rows": table.num_rows, "changed": len(few)}
