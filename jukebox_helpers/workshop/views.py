"""What the notebooks show: tables of what is really there, each with a plain-text form."""

import io
import re
from pathlib import Path
from typing import Any

import pandas
from rich.console import Console

from jukebox_helpers.pipelines import lineage
from jukebox_helpers.pipelines.reproduction import models_of
from jukebox_helpers.pipelines.statuses import read_statuses
from jukebox_helpers.settings import GITOPS_REPOSITORY, REPOSITORY
from jukebox_helpers.show import lineage as lineage_module
from jukebox_helpers.show.notes import Note
from jukebox_helpers.steps.constants import DATA_HASH, MODEL
from jukebox_helpers.steps.registry import registry_address
from jukebox_helpers.workshop.doctor import examine
from jukebox_helpers.workshop.place import Workplace


class Table:
    """A table, styled by JupyterLab in the colours of its theme; where there are no rows, it says ``empty``."""

    def __init__(self, rows: list[dict[str, Any]], empty: str = "Nothing yet.") -> None:
        self.frame = pandas.DataFrame(rows)
        self.empty = empty

    def __repr__(self) -> str:
        return self.frame.to_string(index=False) if len(self.frame) else self.empty

    def _repr_html_(self) -> str:
        if not len(self.frame):
            return self.empty
        with pandas.option_context("display.max_colwidth", None):
            table = self.frame.to_html(index=False, border=0, render_links=True)
        # JupyterLab sets tables to the right, as numbers want it, and never breaks a hash.
        return re.sub(r"<(t[hd])>([^<]*(?:<a[^>]*>[^<]*</a>)?)", to_the_left, table)


def to_the_left(cell: re.Match[str]) -> str:
    """A cell of a table, set to the left; a word that is too long for a column may be broken anywhere."""
    long = max(map(len, re.sub("<[^>]*>", "", cell[2]).split()), default=0) > 30
    return f'<{cell[1]} style="text-align: left{"; overflow-wrap: anywhere" * long}">{cell[2]}'


def doctor_table() -> Table:
    """What is here, what is missing, and how to get it."""
    return Table(
        [
            {"": "✓" if one.good else "✗", "what": one.what, "found": one.found,
             "next": "" if one.good else one.next_action}
            for one in examine()
        ]
    )  # fmt: skip


def links(place: Workplace) -> Table:
    """The addresses of this platform."""
    settings = place.settings
    pages = settings.repository_url().removesuffix(f"{settings.user}/{REPOSITORY}.git")
    rows = {
        "dashboard": place.dashboard,
        "git, to look at": pages,
        "your repository": settings.repository_url(),
        "buckets as code": settings.repository_url(GITOPS_REPOSITORY),
        "S3": settings.s3_endpoint,
        "model registry": registry_address(settings.known_cluster_domain(), settings.namespace, prod_flag=False),
        "pipeline server": settings.pipeline_server,
        "your clone": str(place.clone),
    }
    return Table([{"what": what, "where": where} for what, where in rows.items()])


def show_file(file: str | Path) -> Note:
    """A text file."""
    file = Path(file)
    if not file.is_file():
        return Note(f"{file.name} is not there yet", (f"Its place is {file.parent}.",))
    return Note(file.name, code=file.read_text().rstrip())


def show_file_on_main(place: Workplace, path: str) -> Note:
    """A text file at the head of main on the git server."""
    text = place.on_main(path).rstrip()
    return Note(f"{path} on main", code=text) if text else Note(f"{path} is not on main yet")


def show_pushes(place: Workplace) -> Table:
    """What became of the newest push to each branch: its commit statuses on the git server."""
    rows = []
    for repository in (REPOSITORY, GITOPS_REPOSITORY):
        heads = place.git("ls-remote", "--heads", place.settings.repository_url(repository)).splitlines()
        for revision, ref in (head.split("\t") for head in heads):
            row = {"repository": repository, "branch": ref.removeprefix("refs/heads/"), "revision": revision[:10]}
            statuses = read_statuses(place.settings, revision, repository)
            rows += [row | {"state": one.state, "why": one.description} for one in statuses] or [
                row | {"state": "", "why": "no status: a push to main starts something, no other does"}
            ]
    return Table(rows, "No push so far.")


def show_log(place: Workplace, folder: str | Path, path: str = ".") -> Note:
    """The commits of a clone that touched a file, newest first."""
    folder = Path(folder)
    commits = place.git("log", "--format=%h  %s", "-8", "--", path, folder=folder) if _has_commits(folder) else ""
    return Note(f"Commits in {folder.name}", code=commits or "none yet")


def show_objects(place: Workplace, bucket: str) -> Table:
    """The objects of a bucket."""
    objects = place.objects(bucket) if bucket in place.buckets() else {}
    rows = [{"object": f"s3://{bucket}/{key}", "bytes": f"{size:,}"} for key, size in sorted(objects.items())]
    return Table(rows, f"The bucket {bucket} is empty, or not there yet.")


def show_versions(place: Workplace) -> Table:
    """The registered versions of the model, oldest first."""
    return Table(
        [
            {
                "version": record["version"],
                "registered": record["created_at"][:19],
                "data version": str(record["metadata"].get(DATA_HASH, "none"))[:10],
                "songs": record["metadata"].get("songs rows"),
                "log-loss": record["metadata"].get("metric.log_loss"),
            }
            for record in place.versions()
        ],
        "No model is registered yet.",
    )


def models_of_one_revision(place: Workplace, revision: str) -> Table:
    """The training runs of a revision, the oldest first, and what each says of its data."""
    return Table(
        [
            {"revision": revision[:10], "run": run.id, "state": run.state, "model sha256": sha256 or "none yet",
             "trained on": "nobody can say" if "fetch-data" in [step.name for step in run.steps] else "a data version"}
            for run, sha256 in models_of(place.settings, revision)
        ],
        f"No run has trained {revision[:10]}.",
    )  # fmt: skip


def freshness(place: Workplace) -> Table:
    """How many songs have arrived at their address, and how many the data version on main has."""
    from pyarrow.parquet import read_metadata

    place.tables.mkdir(parents=True, exist_ok=True)
    arrived = place.tables / "arrived.parquet"
    place.download(place.songs_url, str(arrived))
    rows = [{"songs": "that arrived, at their address", "rows": f"{read_metadata(arrived).num_rows:,}"}]
    if md5 := place.version_on_main():
        known = read_metadata(place.restore(md5)).num_rows
        rows.append({"songs": f"in the data version on main, {md5[:10]}…", "rows": f"{known:,}"})
    return Table(rows)


def verification(place: Workplace, version: str) -> Table:
    """Whether everything that a model version names is still there, byte for byte: a row for each thing."""

    def has_revision(repository: str, revision: str) -> bool:
        return revision in place.git("rev-list", "origin/main").split()

    place.fetch()
    checks = lineage.verify(lineage.trace(place.registry, MODEL, version), place.s3, has_revision)
    return Table(
        [
            {"": "✓" if one["same"] else "✗", "what": one["what"], "where": one["where"],
             "found": one["found"], "expected": "the same" if one["same"] else one["expected"]}
            for one in checks
        ]
    )  # fmt: skip


def comparison(place: Workplace) -> Note:
    """The first and the newest model version that know their data, side by side: what differs, what is the same."""
    versions = [record["version"] for record in place.versioned_models()]
    if len(versions) < 2:
        words = "There is one version so far" if versions else "No model is registered yet"
        return Note(f"{words} that was trained on a data version")
    first, newest = (lineage.trace(place.registry, MODEL, version) for version in (versions[0], versions[-1]))
    page = io.StringIO()
    Console(width=100, file=page, force_terminal=False, force_jupyter=False).print(
        lineage_module.compare(first, newest)
    )
    return Note(f"{versions[0]} and {versions[-1]}", code=page.getvalue().rstrip())


def restored_tables(place: Workplace) -> tuple[Path, Path] | None:
    """The practice repository's first and newest data version, brought from ``data-cache``; None if there is one."""
    versions = list(dict.fromkeys(place.practised_versions()))
    if len(versions) < 2:
        return None
    first, newest = versions[-1], versions[0]
    return place.restore(first), place.restore(newest)


def _has_commits(folder: Path) -> bool:
    return any((folder / ".git" / "refs" / "heads").glob("**/*")) or (folder / ".git" / "packed-refs").is_file()
