"""Versioning data with DVC, against the bare upload of the same bytes to the same S3."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.fresh_sandbox import fresh_sandbox
from benchmarks.measure import measure
from benchmarks.results import Figure, Result
from jukebox_helpers.steps import data_cache, dvc, files, git, s3
from jukebox_sandbox import buckets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEGABYTES = (1, 10, 100, 1000)
OBJECT = "song_properties.parquet"
WAYS = {"first": "import-url --to-remote", "update": "update --to-remote"}
"""What is measured, and the command of DVC that does the same."""
STEP = (
    "import sys; from jukebox_helpers.steps.data_versions import version_songs; "
    "from jukebox_helpers.steps.data_cache import load_to_cache; version_songs(sys.argv[1], load_to_cache(sys.argv[2]))"
)
"""What the pipeline's steps do, as a program."""


def write_bytes(path: Path, size: int) -> None:
    """Write bytes that nothing can compress."""
    with path.open("wb") as file:
        for start in range(0, size, 1 << 24):
            file.write(os.urandom(min(1 << 24, size - start)))


def version_twice(size: int, folder: str) -> dict:
    """Upload and version one file, then another as its next version, and time each part.

    Args:
        size: Bytes of each.
        folder: For the files and the repositories.

    Returns:
        Seconds: upload (the mean of both), and what ``WAYS`` names.
    """
    ours, by_hand = Path(folder, "ours"), Path(folder, "by-hand")
    for repository in (ours, by_hand):
        repository.mkdir()
        git.git("init", "--quiet", "--initial-branch=main", folder=str(repository))
    client, bucket = s3.s3_client(os.environ), os.environ["AWS_S3_BUCKET"]
    uploads, seconds = [], {}
    for version, command in WAYS.items():
        path = Path(folder, version)
        write_bytes(path, size)
        md5 = files.file_digest(str(path), "md5")
        uploads.append(timed(client.upload_file, str(path), bucket, OBJECT))
        seconds[version] = timed(subprocess.run, [sys.executable, "-c", STEP, str(ours), str(path)], check=True)
        path.unlink()
        # DVC leaves out its last copy when the cache has the bytes.
        client.delete_object(Bucket="data-cache", Key=data_cache.cache_key(md5))
        seconds[command] = timed(version_by_hand, str(by_hand), command)
        found = {dvc.read_version_file(str(place / f"{OBJECT}.dvc"))["md5"] for place in (ours, by_hand)}
        if found != {md5}:
            raise ValueError(f"The version files name {found}, the data has md5 {md5}.")
    return {"upload": sum(uploads) / 2, **seconds}


def timed(call: Callable[..., Any], *arguments: Any, **options: Any) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    call(*arguments, **options)
    return time.perf_counter() - started


def version_by_hand(repository: str, command: str) -> None:
    """What notebooks 2 and 3 teach: DVC's own commands, each a process.

    Args:
        repository: The repository, not yet DVC's before the first version.
        command: One of ``WAYS``.
    """
    target = f"{OBJECT}.dvc"
    if command.startswith("import-url"):
        dvc.dvc("init", "--quiet", folder=repository)
        for remote, bucket in (("s3-version", "data-cache"), ("data-source", "data")):
            dvc.dvc("remote", "add", "--quiet", remote, f"s3://{bucket}", folder=repository)
        target = f"remote://data-source/{OBJECT}"
    dvc.dvc(*command.split(), "--quiet", "--remote", "s3-version", target, folder=repository)


def run(scale: float, folder: Path, say: Callable[[str], None]) -> Result:
    """Measure each size.

    Args:
        scale: Share of the sizes.
        folder: For data and scratch.
        say: Told what is being measured.

    Returns:
        The result.
    """
    # A small run only shows that all works; every size starts DVC seven times over.
    sizes = MEGABYTES if scale >= 1 else MEGABYTES[2:3]
    rows = []
    with fresh_sandbox(folder) as settings:
        connection = {**settings.secret("aws-connection-models"), "AWS_S3_BUCKET": "data"}
        buckets.apply(["data", "data-cache"], s3.s3_client(connection))
        environment = connection | {"DVC_SITE_CACHE_DIR": str(folder / "dvc"), "DVC_NO_ANALYTICS": "1"}
        for megabytes in sizes:
            say(f"{megabytes * scale:g} MB")
            size = round(megabytes * scale * 1e6)
            taken = measure(version_twice, folder, size=size, environment=environment).result
            rows.append({"MB": megabytes * scale} | {name: round(value, 3) for name, value in taken.items()})
            rows[-1] |= {f"{name} / upload": taken[name] / taken["upload"] for name in WAYS}
            rows[-1] |= {f"{command} / {name}": taken[command] / taken[name] for name, command in WAYS.items()}
    figures = []
    for megabytes, row in zip(sizes, rows, strict=True):
        place = f"at {row['MB']:g} MB"
        target = 2.5 if megabytes >= 100 else None
        for name, command in WAYS.items():
            figures.append(Figure(f"{name} {place} / bare upload", row[f"{name} / upload"], "x", "lower", target))
            figures.append(Figure(f"{command} {place} / {name}", row[f"{command} / {name}"], "x", "higher"))
    return Result(
        name="versioning",
        title="A data version against the bare upload of its bytes",
        scale=scale,
        figures=figures,
        rows=rows,
        notes=[
            "upload: boto3's upload_file to the bucket data, without making the client.",
            "first, update: what the pipeline's steps load and version-and-commit do, as a program of its own with all "
            "its start-up: at its end the bytes are in data-cache, the version file is written, and a fetch gave them.",
            "import-url, update --to-remote: DVC's own commands with the same result, as notebooks 2 and 3 teach them; "
            "the first with the commands that set DVC up.",
            "Random bytes, new ones each time.",
        ],
    )


def draw(result: Result, axes: "Axes") -> None:
    """Seconds over megabytes, both logarithmic."""
    sizes = [row["MB"] for row in result.rows]
    for name in ("upload", *WAYS):
        axes.plot(sizes, [row[name] for row in result.rows], marker="o", label=name)
    for command in WAYS.values():
        axes.plot(sizes, [row[command] for row in result.rows], marker=".", linewidth=0.8, label=command)
    axes.plot(sizes, [2.5 * row["upload"] for row in result.rows], linestyle=":", color="grey", label="2.5 × upload")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("MB")
    axes.set_ylabel("seconds")
    axes.legend(frameon=False, fontsize=8)
