"""Rankings that nobody owns: who charts where and when, made up for given songs."""

from typing import TYPE_CHECKING

from jukebox_helpers.steps.constants import RANKING_COLUMNS
from jukebox_helpers.steps.memory import give_memory_back

if TYPE_CHECKING:
    import numpy as np
    import pyarrow


def country_codes(countries: int) -> list[str]:
    """Two-letter codes, none twice: those of the real charts, then made-up ones; at most 676."""
    real = (
        "AE AR AT AU BE BG BO BR BY CA CH CL CO CR CZ DE DK DO EC EE EG ES FI FR GB GR GT HK HN HU ID IE IL IN IS IT "
        "JP KR KZ LT LU LV MA MX MY NG NI NL NO NZ PA PE PH PK PL PT PY RO SA SE SG SK SV TH TR TW UA US UY VE VN ZA"
    )
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return [*real.split(), *(a + b for a in letters for b in letters if a + b not in real)][:countries]


# fmt: off
SCALES = {
    "is_explicit": (0.33, 0.47), "duration_ms": (190e3, 60e3), "danceability": (0.68, 0.14), "energy": (0.65, 0.17),
    "key": (5.35, 3.6), "loudness": (-7.1, 3.3), "mode": (0.5, 0.5), "speechiness": (0.12, 0.11),
    "acousticness": (0.28, 0.25), "instrumentalness": (0.03, 0.14), "liveness": (0.18, 0.14),
    "valence": (0.54, 0.23), "tempo": (122.0, 28.0),
}
# fmt: on
"""About the mean and the standard deviation of real charts: fixed, so that new songs change nothing of the old."""


# Long: one draw, whose order makes the bytes the same.
def draw_stays(songs: "pyarrow.Table", countries: int, days: int, seed: int) -> "dict[str, np.ndarray]":
    """Draw who charts where and when: each stay is one song in one list for some days.

    Args:
        songs: The songs, in order of appearance.
        countries: Number of countries; the list after them is the global one.
        days: Length of the charts.
        seed: Same seed and songs, same stays.

    Returns:
        Columns by name: song, list, slot, start, end (days, the first included, the last not), strength.
    """
    import numpy as np

    scaled = [(songs[name].to_numpy().astype(float) - mean) / deviation for name, (mean, deviation) in SCALES.items()]
    sound = np.stack(scaled, axis=1).clip(-3, 3)

    def stream(*purpose: int) -> "np.random.Generator":
        # One for each purpose: songs that come later leave the draws of the earlier ones as they were.
        return np.random.default_rng([seed, 3, *purpose])

    random = stream(0)
    # Neighbours share a part of their taste; the key of a song is nobody's.
    region = random.standard_normal((max(2, countries // 9), 13))
    taste = 0.6 * region[random.integers(0, len(region), countries)] + 0.8 * random.standard_normal((countries, 13))
    taste *= np.where(np.array(list(SCALES)) == "key", 0.0, 0.4)

    count, slots = len(sound), min(50, len(sound))
    pairs: list[list[np.ndarray]] = [[] for _ in range(countries)]
    spread = np.minimum(countries, (1 - stream(1).random(count)) ** (-1 / 1.55)).astype("int64")
    fame = np.log(spread) + 0.5 * stream(2).standard_normal(count)
    enough = max(slots, round(2.25 * count / countries))
    chance = stream(3)
    for first in range(0, count, 2_000):
        block = slice(first, first + 2_000)
        liking = (sound[block] @ taste.T).round(6) + chance.gumbel(size=(len(sound[block]), countries))
        least = np.take_along_axis(np.sort(liking, axis=1), countries - spread[block, None], axis=1)
        for country in range(countries):
            pairs[country].append(first + np.flatnonzero(liking[:, country] >= least[:, 0]))
    # The last list is the global one.
    pairs.append([np.sort(np.argsort(-fame, kind="stable")[:enough])])
    stays = []
    for country, parts in enumerate(pairs):
        random, members = stream(4, country), np.concatenate(parts)
        if len(members) < slots:
            others = np.setdiff1d(np.arange(count), members)
            liked = (sound[others] @ taste[country].T).round(6) + random.gumbel(size=len(others))
            best = others[np.argsort(-liked, kind="stable")[: slots - len(members)]]
            members = np.sort(np.concatenate([members, best]))
        # A slot of the chart is handed from song to song, roughly in the order in which they came out.
        members = members[np.argsort(members + random.normal(0, 0.03 * count, len(members)), kind="stable")]
        weight = np.exp(0.8 * random.standard_normal(len(members)) + 0.3 * fame[members])
        for slot in range(slots):
            length = weight[slot::slots]
            until = (np.cumsum(length) / length.sum() * (days + 7)).round().astype("int64") - 7
            until[-1] = days
            begin = np.concatenate([[-7], until[:-1]])
            stay = (part.astype("int32") for part in (members[slot::slots], begin, until))
            stays.append((*stay, np.full((len(length), 2), (country, slot), "int16"), np.log(length)))
    song, start, end, where, strength = (np.concatenate(part) for part in zip(*stays, strict=True))
    return {"song": song, "start": start, "end": end, "list": where[:, 0], "slot": where[:, 1], "strength": strength}


# Long: one stream of blocks, which share a dozen arrays.
def make_rankings(path: str, songs_path: str, rows: int = 0, seed: int = 7, countries: int = 0) -> dict:
    """Write daily rankings of given songs, in blocks of days, in memory that does not grow with the rows.

    Args:
        path: The Parquet file to write.
        songs_path: The songs that chart, Parquet: made-up or real.
        rows: Number of rows; 0: as many for each song as in the real charts, about 79.
        seed: Same seed and songs, same bytes.
        countries: Number of countries; 0: the 72 of the real charts, fewer if that leaves less than four weeks.

    Returns:
        ``{"rows": int, "countries": int, "days": int}``.
    """
    give_memory_back()
    import numpy as np
    import pyarrow.compute
    import pyarrow.parquet

    songs = pyarrow.parquet.ParquetFile(songs_path).read(use_threads=False)
    songs = songs.sort_by([("event_timestamp", "ascending"), ("spotify_id", "ascending")]).combine_chunks()
    slots = min(50, songs.num_rows)
    rows = left = rows or 79 * songs.num_rows
    countries = countries or min(72, max(3, rows // (slots * 28) - 1))
    lists = countries + 1
    days = -(-rows // (lists * slots))
    stays = draw_stays(songs, countries, days, seed)
    songs = songs.select(["spotify_id", "name", "artists", "event_timestamp"])
    random, day_long = np.random.default_rng([seed, 4]), np.timedelta64(1, "D")
    fame = random.integers(30, 80, songs.num_rows)
    album = pyarrow.compute.binary_join_element_wise(songs["name"], "Single", " - ").cast("string")
    texts = {name: songs[name].combine_chunks().cast("string") for name in ("spotify_id", "name", "artists")}
    texts["album_name"] = album.combine_chunks()
    released = songs["event_timestamp"].to_numpy().astype("M8[us]")
    first_day = released.min().astype("M8[D]").astype("M8[us]")
    released = released - random.integers(0, 60, songs.num_rows) * day_long
    codes = pyarrow.array([*country_codes(countries), None], "string")
    coded = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    schema = pyarrow.schema({name: coded if kind == "string" else kind for name, kind in RANKING_COLUMNS.items()})

    def encoded(values: "pyarrow.Array", index: "np.ndarray") -> "pyarrow.DictionaryArray":
        # A dictionary with the same text twice would be written in an order that is not always the same.
        found = values.dictionary_encode()
        return pyarrow.DictionaryArray.from_arrays(found.indices.take(pyarrow.array(index)), found.dictionary)

    step = max(1, 250_000 // (lists * slots))
    past = np.full((7, lists, slots), slots)
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd", store_schema=False) as writer:
        for first in range(-7, days, step):
            last = min(first + step, days)
            here = np.flatnonzero((stays["start"] < last) & (stays["end"] > first))
            begin, end = stays["start"][here].clip(first), stays["end"][here].clip(None, last)
            length = end - begin
            stay = np.repeat(here, length)
            day = np.arange(len(stay)) - np.repeat(np.cumsum(length) - length + first - begin, length)
            occupant = np.empty((last - first, lists, slots), "int64")
            occupant[day, stays["list"][stay], stays["slot"][stay]] = stay
            days_here = np.arange(first, last)[:, None, None]
            start = stays["start"][occupant]
            age = (days_here - start) / (stays["end"][occupant] - start)
            score = stays["strength"][occupant] - 2 * np.abs(age - 0.3)
            score += 0.1 * np.random.default_rng([seed, 5, first + 7]).standard_normal(score.shape)
            # The places of the stays in the order of the charts.
            places = np.arange(0, score.size, slots)[:, None] + np.argsort(
                -score.reshape(-1, slots), axis=1, kind="stable"
            )
            rank = np.empty_like(occupant)
            np.put(rank, places, np.arange(1, slots + 1))
            known = np.concatenate([past, rank])
            past = known[-7:]

            skip = max(0, -first) * lists * slots
            kept = places.ravel()[skip : skip + left]
            song = stays["song"][occupant.ravel()[kept]]
            if not len(song):
                continue
            left -= len(song)
            present, index = np.unique(song, return_inverse=True)
            when, where = first + kept // (lists * slots), kept // slots % lists
            data = {name: encoded(values.take(present), index) for name, values in texts.items()}
            for name, back in (("daily_movement", 1), ("weekly_movement", 7)):
                before = np.where(start <= days_here - back, known[7 - back : 7 - back + len(rank)], slots)
                data[name] = (before - rank).ravel()[kept]
            data["daily_rank"] = rank.ravel()[kept]
            data["country"] = encoded(codes, where)
            data["snapshot_date"] = first_day + when * day_long
            data["popularity"] = (fame[song] + (song + when // 7) % 5 * 3 + 6).clip(0, 100)
            data["album_release_date"] = released[song]
            writer.write_table(pyarrow.table({name: data[name] for name in schema.names}, schema))
    return {"rows": rows, "countries": countries, "days": days}
