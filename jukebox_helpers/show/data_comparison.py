"""Two versions of the songs side by side: which rows came, went and changed, and whether taste is drifting.

A week's arrivals are a few hundred among many thousand songs, so a drift hardly moves the whole table. It shows at
once in the arrivals, which is why they are measured on their own, against the old songs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from matplotlib.ticker import MaxNLocator

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.show.charts import NEW, OLD, SECOND, Chart, tidy
from jukebox_helpers.steps.constants import FEATURES
from jukebox_helpers.steps.files import file_digest

KEY = "spotify_id"
CLASSES = ("is_explicit", "key", "mode")
"""Features that are no quantities: each value is a class of its own."""

NOTEWORTHY = 0.1
"""Below this nobody who uses either measure speaks of a shift, however sure it is."""

IN_TABLES: dict[str, Any] = {
    "float_format": lambda value: f"{value:,.3f}",
    "na_rep": "–",
    "formatters": {"drift": lambda drifts: "▲" if drifts else ""},
}


@dataclass(frozen=True, repr=False)
class Comparison:
    """What differs between two data versions.

    ``summary`` is fit for JSON: both versions (``md5`` as DVC records it, ``rows``), ``added``, ``removed``,
    ``changed`` and ``unchanged`` rows, ``changed columns`` (how often each), ``columns added``, ``columns removed``,
    ``columns of another type`` and ``drifting`` features. ``table`` has a row for each feature, see `drift_table`;
    ``changes`` a row for each changed value: spotify_id, column, old, new. ``songs`` are the features of the old, the
    new and the added.
    """

    summary: dict[str, Any]
    table: pd.DataFrame
    changes: pd.DataFrame
    songs: dict[str, pd.DataFrame]

    @property
    def compared(self) -> str:
        """Whose drift is measured: the added songs where there are any, else all new ones."""
        return "added" if len(self.songs["added"]) else "new"

    def sentences(self) -> list[str]:
        """The comparison in words."""
        one = self.summary
        columns = ", ".join(f"{name} {count:,}" for name, count in one["changed columns"].items())
        lines = [
            f"Data version {one['old']['md5'][:10]}… ({one['old']['rows']:,} songs) → "
            f"{one['new']['md5'][:10]}… ({one['new']['rows']:,} songs)",
            f"{one['added']:,} added, {one['removed']:,} removed, {one['changed']:,} changed"
            f"{f' ({columns})' if columns else ''}, {one['unchanged']:,} unchanged",
        ]
        for what in ("columns added", "columns removed", "columns of another type"):
            if one[what]:
                lines.append(f"{what}: {', '.join(one[what])}")
        whose = "The added songs" if self.compared == "added" else "The new version's songs"
        drifting = f"differ from the old ones in {', '.join(one['drifting'])}" if one["drifting"] else "sound as before"
        return [*lines, f"{whose} {drifting}."]

    def __repr__(self) -> str:
        return "\n".join([*self.sentences(), "", self.table.to_string(**IN_TABLES)])

    def _repr_html_(self) -> str:
        # JupyterLab styles tables in the colours of its theme.
        sentences = "".join(f"<p>{sentence}</p>" for sentence in self.sentences())
        return sentences + self.table.to_html(border=0, **IN_TABLES)

    def plot(self) -> Chart:
        """Draw the distributions of the features: old version, new version, and the added songs if there are any.

        One field a feature, a drifting one marked by its title.
        """
        chart = Chart(10, 8.4, "\n".join(self.sentences()))
        fields = chart.subplots(4, 4).ravel()
        for field, (feature, row) in zip(fields, self.table.iterrows(), strict=False):
            self.draw(field, str(feature))
            drifts = bool(row["drift"])
            title = f"{feature}{'  ▲ drift' if drifts else ''}"
            field.set_title(title, fontsize=9, color=SECOND if drifts else "black", loc="left")
        handles, labels = fields[0].get_legend_handles_labels()
        for field in fields[len(self.table) :]:
            field.axis("off")
        fields[len(self.table)].legend(handles, labels, loc="upper left", fontsize=9, frameon=False)
        fields[len(self.table)].text(0, 0.3, "share of the songs, in %", fontsize=8, transform=fields[13].transAxes)
        return chart

    def draw(self, axes: Any, feature: str) -> None:
        """Draw one feature: the old songs as bars, the others as outlines."""
        edges = bins_to_draw(feature, pd.concat([songs[feature] for songs in self.songs.values()]))
        for name, colour in {"old": OLD, "new": NEW, "added": SECOND}.items():
            values = self.songs[name][feature].dropna()
            if not len(values):
                continue
            # The rare songs beyond the edges count in the outermost bins.
            share = 100 * np.histogram(values.clip(edges[0], edges[-1]), edges)[0] / len(values)
            look: dict[str, Any] = {"fill": True} if name == "old" else {"linewidth": 1.5 if name == "added" else 1}
            axes.stairs(share, edges, color=colour, label=f"{name} ({len(values):,})", **look)
        tidy(axes)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        if feature in CLASSES:
            classes = sorted(self.songs["old"][feature].unique())
            axes.set_xticks(classes, [f"{value:g}" for value in classes])


def compare_data_versions(old_path: str | Path, new_path: str | Path) -> Comparison:
    """Compare two versions of the songs table, Parquet files, the older one first.

    A file that is missing, is not Parquet, lacks a feature, or has a song twice is a JukeboxError.
    """
    tables = {name: read_songs(Path(path)) for name, path in {"old": old_path, "new": new_path}.items()}
    old, new = tables["old"].set_index(KEY), tables["new"].set_index(KEY)
    kept = old.index.intersection(new.index, sort=False)
    added = new[~new.index.isin(old.index)]
    changes = changed_values(old.loc[kept], new.loc[kept])
    changed = changes[KEY].nunique()
    counts = changes["column"].value_counts(sort=False)
    songs = {
        name: frame[FEATURES].astype("float64") for name, frame in {"old": old, "new": new, "added": added}.items()
    }
    table = drift_table(songs)
    summary = {
        "old": {"md5": file_digest(str(old_path), "md5"), "rows": len(old)},
        "new": {"md5": file_digest(str(new_path), "md5"), "rows": len(new)},
        "added": len(added),
        "removed": len(old) - len(kept),
        "changed": changed,
        "unchanged": len(kept) - changed,
        "changed columns": {str(name): int(count) for name, count in counts.items()},
        "columns added": [name for name in new.columns if name not in old.columns],
        "columns removed": [name for name in old.columns if name not in new.columns],
        "columns of another type": [
            f"{name} ({old[name].dtype} → {new[name].dtype})"
            for name in old.columns
            if name in new.columns and old[name].dtype != new[name].dtype
        ],
        "drifting": [str(name) for name in table.index[table["drift"]]],
    }
    return Comparison(summary, table, changes, songs)


def read_songs(path: Path) -> pd.DataFrame:
    """Read a songs table that can be compared by its ids."""
    try:
        frame = pa.parquet.ParquetFile(path).read().to_pandas(types_mapper=pd.ArrowDtype)
    except FileNotFoundError:
        raise JukeboxError(
            f"There is no file {path}.", "Bring that data version here, e.g. with dvc pull or dvc get."
        ) from None
    except pa.ArrowInvalid as error:
        raise JukeboxError(
            f"{path} is not a Parquet file: {error}", "Name the songs, song_properties.parquet."
        ) from None
    if missing := [name for name in (KEY, *FEATURES) if name not in frame.columns]:
        raise JukeboxError(f"{path} has no column {', '.join(missing)}.", "Name the songs, song_properties.parquet.")
    frame[KEY] = frame[KEY].astype(pd.ArrowDtype(pa.string()))
    twice = frame[KEY].duplicated() | frame[KEY].isna()
    if twice.any():
        raise JukeboxError(
            f"{path} has {twice.sum():,} rows whose {KEY} is missing or there twice, "
            f"e.g. {frame.loc[twice, KEY].iloc[0]}.",
            "Validate the songs first: the data pipeline refuses such a table.",
        )
    return frame


def changed_values(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The values that differ between two tables of the same songs: spotify_id, column, old, new."""
    found = []
    for name in [column for column in old.columns if column in new.columns]:
        before, after = old[name].astype(object), new[name].astype(object)
        differs = (before != after) & ~(before.isna() & after.isna())
        found.append(pd.DataFrame({"column": name, "old": before[differs], "new": after[differs]}))
    return pd.concat(found).rename_axis(KEY).reset_index()


def drift_table(songs: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Measure for each feature how far the ``new`` or the ``added`` songs are from the ``old`` ones: a row for each.

    ``shift`` is the standardised mean difference: mean of the compared songs minus mean of the old, in standard
    deviations of the old. ``psi`` is the population stability index over ten bins of the old songs. A limit is what
    samples of this size stay below 999 times in 1,000 without any drift, and at least 0.1. A key has no mean: it goes
    round.

    Source of the index's distribution: Yurdakul, Statistical Properties of Population Stability Index, 2018,
    https://scholarworks.wmich.edu/dissertations/3208
    """
    from scipy.stats import chi2, norm

    whose = "added" if len(songs["added"]) else "new"
    rows = {}
    for name in FEATURES:
        old, other = songs["old"][name].dropna(), songs[whose][name].dropna()
        edges = bins_to_measure(name, old, other)
        size = 1 / max(len(old), 1) + 1 / max(len(other), 1)
        row: dict[str, Any] = {f"{one} mean": frame[name].mean() for one, frame in songs.items() if len(frame)}
        if name == "key":
            row = dict.fromkeys(row, np.nan)
        else:
            row["shift"] = (other.mean() - old.mean()) / (old.std(ddof=0) or 1.0)
            row["shift limit"] = max(float(norm.ppf(0.9995)) * size**0.5, NOTEWORTHY)
        row["psi"] = stability_index(np.histogram(old, edges)[0], np.histogram(other, edges)[0])
        row["psi limit"] = max(float(chi2.ppf(0.999, max(len(edges) - 2, 1))) * size, NOTEWORTHY)
        row["drift"] = bool(abs(row.get("shift", 0)) > row.get("shift limit", 0) or row["psi"] > row["psi limit"])
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def stability_index(old: np.ndarray, new: np.ndarray) -> float:
    """The population stability index of two histograms: the sum of (p - q) ln(p / q) over the bins' shares.

    Both are counts by the same bins, and 0 means the same shares. Half a song is added to each bin, so that it is
    finite.
    """
    p, q = ((counts + 0.5) / (counts + 0.5).sum() for counts in (old, new))
    return float(((q - p) * np.log(q / p)).sum())


def bins_to_measure(feature: str, old: pd.Series, new: pd.Series) -> np.ndarray:
    """Edges of bins that hold a tenth of the old songs each, or one value of a class."""
    if feature in CLASSES:
        values = np.unique(np.concatenate([old, new]))
        return np.append(values - 0.5, values[-1:] + 0.5)
    inner = np.unique(np.quantile(old, np.linspace(0.1, 0.9, 9))) if len(old) else np.array([0.0])
    return np.concatenate([[-np.inf], inner, [np.inf]])


def bins_to_draw(feature: str, values: pd.Series) -> np.ndarray:
    """Edges of equally wide bins over all but one song in a hundred, or one bin for each value of a class."""
    if feature in CLASSES:
        return np.arange(values.min() - 0.5, values.max() + 1)
    low, high = values.quantile([0.005, 0.995])
    return np.linspace(low, max(high, low + 1e-9), 19)
