"""Versioning data with DVC, against the bare upload of the same bytes to the same S3."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.fresh_sandbox import fresh_sandbox
from benchmarks.measure import measure
from benchmarks.results import Figure, Result
from jukebox_helpers import buckets, data_versions, transfer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEGABYTES = (1, 10, 100, 1000)
OBJECT = "song_properties.parquet"


def write_bytes(path: Path, size: int) -> None:
    """Write bytes that nothing can compress."""
    with path.open("wb") as file:
        for start in range(0, size, 1 << 24):
            file.write(os.urandom(min(1 << 24, size - start)))


def version_twice(size: int, folder: str) -> dict:
    """Upload and version one file, then another as its next version, and time each part.

    Args:
        size: Bytes of each.
        folder: For the files and the repository.

    Returns:
        Seconds: upload (the mean of both), first, update.
    """
    repository = Path(folder, "repository")
    repository.mkdir()
    data_versions.git("init", "--quiet", "--initial-branch=main", folder=str(repository))
    seconds: dict[str, list[float]] = {"upload": [], "version": []}
    client, bucket = transfer.s3_from_environment()
    for name in ("first", "second"):
        path = Path(folder, name)
        write_bytes(path, size)
        md5 = data_versions.file_md5(str(path))
        started = time.perf_counter()
        client.upload_file(str(path), bucket, OBJECT)
        uploaded = time.perf_counter()
        data_versions.version_songs(str(repository), md5)
        seconds["upload"].append(uploaded - started)
        seconds["version"].append(time.perf_counter() - uploaded)
        path.unlink()
    first, update = seconds["version"]
    return {"upload": sum(seconds["upload"]) / 2, "first": first, "update": update}


def run(scale: float, folder: Path, say: Callable[[str], None]) -> Result:
    """Measure each size.

    Args:
        scale: Share of the sizes.
        folder: For data and scratch.
        say: Told what is being measured.

    Returns:
        The result.
    """
    # A small run only shows that all works; every size starts DVC five times over.
    sizes = MEGABYTES if scale >= 1 else MEGABYTES[2:3]
    rows = []
    with fresh_sandbox(folder) as settings:
        connection = {**settings.secret("aws-connection-models"), "AWS_S3_BUCKET": "data"}
        buckets.apply(["data", "data-cache"], buckets.s3_client(connection))
        for megabytes in sizes:
            say(f"{megabytes * scale:g} MB")
            size = round(megabytes * scale * 1e6)
            taken = measure(version_twice, folder, size=size, environment=connection).result
            rows.append({"MB": megabytes * scale} | {name: round(value, 3) for name, value in taken.items()})
            for name in ("first", "update"):
                rows[-1][f"{name} / upload"] = taken[name] / taken["upload"]
    figures = [
        Figure(
            f"{name} at {row['MB']:g} MB / bare upload",
            row[f"{name} / upload"],
            "x",
            "lower",
            2.5 if megabytes >= 100 else None,
        )
        for megabytes, row in zip(sizes, rows, strict=True)
        for name in ("first", "update")
    ]
    return Result(
        name="versioning",
        title="A data version against the bare upload of its bytes",
        scale=scale,
        figures=figures,
        rows=rows,
        notes=[
            "upload: boto3's upload_file to the bucket data, without making the client. first, update: the bytes are "
            "in data; DVC's import-url or update --to-remote brings them to data-cache, with all its own start-up.",
            "Random bytes, new ones each time.",
        ],
    )


def draw(result: Result, axes: "Axes") -> None:
    """Seconds over megabytes, both logarithmic."""
    sizes = [row["MB"] for row in result.rows]
    for name in ("upload", "first", "update"):
        axes.plot(sizes, [row[name] for row in result.rows], marker="o", label=name)
    axes.plot(sizes, [2.5 * row["upload"] for row in result.rows], linestyle=":", color="grey", label="2.5 × upload")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("MB")
    axes.set_ylabel("seconds")
    axes.legend(frameon=False, fontsize=8)
