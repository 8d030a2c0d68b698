"""Cleaning the buckets: what no version file, model or run names is removed; what one of them names never is.

Names come from public protocols only: all objects of the repositories, the model registry, the pipeline server. Where
one of them does not answer, nothing is removed. An object of another shape than the kit's own stays, and so does one
that is younger than a day: its name may be on the way.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.pipelines.registry import model_registry
from jukebox_helpers.pipelines.revisions import git_credentials
from jukebox_helpers.pipelines.server import connect
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps.constants import CACHE_BUCKET, CONNECTION, DATA_BUCKET, GIT_REPOSITORY, PIPELINE_BUCKET
from jukebox_helpers.steps.git import git, texts_of_all_revisions
from jukebox_helpers.steps.git_password import check_repository_address
from jukebox_helpers.steps.registry import ModelRegistry, open_registry
from jukebox_helpers.steps.s3 import explained, list_buckets, s3_client

YOUNG = timedelta(days=1)
"""How long an object stays that nobody names."""

NAME = r"[0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""What names an object: a SHA-256, an md5, the id of a run."""

SHAPES = {
    CACHE_BUCKET: r"files/md5/(..)/([0-9a-f]{30})(?:\.dir)?|rankings/([0-9a-f]{64})\.parquet",
    DATA_BUCKET: r"incoming/([0-9a-f]{64})\.parquet",
    # Pipelines without KFP's cache, which would give the artifacts of one run to another.
    PIPELINE_BUCKET: r"(?:training|grid|data)-pipeline[a-z0-9-]*/([0-9a-f-]{36})/.+",
    "models": r"(.+/.+/[0-9a-f]{10}/model\.onnx)",
}  # fmt: skip
"""What may be removed from each bucket; the groups are the name that keeps it, of a model the key itself."""

ASIDE = "aside/"
"""Where what is to be removed from the cache waits until all have been asked once more."""


@dataclass(frozen=True)
class Stored:
    """An object of a bucket."""

    bucket: str
    key: str
    size: int
    modified: datetime

    @property
    def name(self) -> str:
        """What names it, if anything does; empty where it is not the kit's."""
        return name_of(self.key, self.bucket)


def name_of(key: str, bucket: str = CACHE_BUCKET) -> str:
    """What names an object; see `Stored.name`."""
    found = re.fullmatch(SHAPES.get(bucket, ""), key)
    return "".join(group or "" for group in found.groups()) if found else ""


def unnamed(objects: Iterable[Stored], names: set[str], now: datetime) -> list[Stored]:
    """The objects that may go."""
    return [one for one in objects if one.name and one.name not in names and now - one.modified > YOUNG]


def names_in(text: str) -> set[str]:
    """Whatever in a text could name an object."""
    return set(re.findall(rf"(?<![0-9a-f])(?:{NAME})(?![0-9a-f])", text))


def names_in_git(folder: Path) -> set[str]:
    """What the files of all revisions name, of every branch, tag and stash, whatever the files are called."""
    # A version file is small; a picture is not, and names nothing.
    return names_in(texts_of_all_revisions(str(folder), most=1 << 20))


class Cleaning:
    """One look at who names what, and then the cleaning.

    Args:
        settings: The platform.
        gone: Addresses of repositories that are gone for good; another one that cannot be read stops everything.
        production: Whether the cluster has a registry of production.
    """

    def __init__(self, settings: Settings, gone: Iterable[str] = (), production: bool = True) -> None:
        self.settings, self.production = settings, production
        self.gone = {urlsplit(url).path for url in gone}
        self.forgotten: set[str] = set()
        self.server = connect(settings)
        self.client = s3_client(settings.secret(CONNECTION + PIPELINE_BUCKET))

    def names(self) -> set[str]:
        """All that is named now, by anybody; a JukeboxError if somebody cannot be asked, or a run is not over."""
        by_runs, repositories = self._named_by_runs()
        by_models, more = self._named_by_models()
        names = by_runs | by_models | self._named_in_clone()
        for path in {urlsplit(url).path for url in repositories | more} - self.gone:
            names |= self._named_in_repository(f"{self.settings.git_server}{path}")
        return names

    def _named_by_models(self) -> tuple[set[str], set[str]]:
        """The files of registered models and all that their records say, also of one half registered; repositories."""
        settings, names, repositories = self.settings, set(), {self.settings.repository_url()}
        registries: list[ModelRegistry] = [model_registry(settings)]
        if self.production and not settings.is_sandbox:
            domain = settings.known_cluster_domain()
            registries.append(open_registry(domain, settings.namespace, prod_flag=True, token=settings.token))
        for registry in registries:
            for model in registry.all(registry.api.get_registered_models):
                for version in registry.model_versions(model):
                    known = version.custom_properties or {}
                    names |= names_in(json.dumps(known, default=str))
                    repositories.add(str(known.get(GIT_REPOSITORY) or settings.repository_url()))
                    files = registry.all(partial(registry.api.get_model_artifacts, str(version.id)))
                    names |= {file.uri.removeprefix("s3://models/") for file in files if file.uri}
        return names, repositories

    def _runs(self) -> list[Any]:
        return self.server.all(self.server.client.list_runs, "runs", namespace=self.server.namespace)

    def old_runs(self, days: int) -> list[Any]:
        """The runs that ended so many days ago, and that no model names."""
        names, before = self._named_by_models()[0], datetime.now(UTC) - timedelta(days=days)
        return [one for one in self._runs() if one.finished_at and one.finished_at < before and one.run_id not in names]

    def forget(self, run_id: str) -> None:
        """Delete a run."""
        with self.server.asking():
            self.server.client.delete_run(run_id)

    def _named_by_runs(self) -> tuple[set[str], set[str]]:
        """The ids of runs and what their parameters, and those of schedules, name; their repositories."""
        names, repositories = set(), set()
        runs = [one for one in self._runs() if one.run_id not in self.forgotten]
        if going_on := [one for one in runs if one.state in ("PENDING", "RUNNING", "CANCELING", "PAUSED")]:
            raise JukeboxError(f"The run {going_on[0].display_name!r:.80} is not over.", "Clean when no run goes on.")
        listed = self.server.client.list_recurring_runs
        for one in runs + self.server.all(listed, "recurring_runs", namespace=self.server.namespace):
            parameters = (one.runtime_config.parameters if one.runtime_config else None) or {}
            names |= {getattr(one, "run_id", "")} | names_in(json.dumps(parameters, default=str))
            if url := parameters.get("repo_url"):
                repositories.add(str(url))
        return names, repositories

    def _named_in_repository(self, url: str) -> set[str]:
        with tempfile.TemporaryDirectory(prefix="jukebox-clean-") as folder:
            try:
                with git_credentials(self.settings):
                    check_repository_address(url)
                    git("clone", "--quiet", "--mirror", url, folder)
            except (OSError, RuntimeError, ValueError) as error:
                what = f"The repository {url!r:.200} cannot be read, and may name data: {JukeboxError.told(error).what}"
                raise JukeboxError(what, f"If it is gone for good, say so: --gone {url!r:.200}") from None
            return names_in_git(Path(folder))

    def _named_in_clone(self) -> set[str]:
        """What the attendee's clone names beyond that: in commits that are not pushed, and in files not committed."""
        clone = self.settings.clone()
        if not (clone / ".git").is_dir():
            return set()
        return names_in_git(clone).union(*(names_in(file.read_text(errors="replace")) for file in clone.rglob("*.dvc")))

    def objects(self) -> list[Stored]:
        """The objects that could be cleaned."""
        with explained(self.client):
            return [
                Stored(bucket, item["Key"], item["Size"], item["LastModified"])
                for bucket in set(SHAPES) & set(list_buckets(self.client))
                for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
                for item in page.get("Contents", [])
            ]

    def listed(self, names: set[str]) -> set[str]:
        """What the folders list that a version file names: DVC keeps a folder as a list of md5s."""
        found: set[str] = set()
        for one in self.objects():
            if one.key.endswith(".dir") and one.name in names:
                with explained(self.client, f"s3://{one.bucket}/{one.key}"):
                    found |= names_in(self.client.get_object(Bucket=one.bucket, Key=one.key)["Body"].read().decode())
        return found

    def unnamed(self) -> list[Stored]:
        """What may go, as things are now."""
        objects, names = self.objects(), self.names()  # in this order: what comes meanwhile is young
        return unnamed(objects, names | self.listed(names), datetime.now(UTC))

    def remove(self, going: list[Stored], told: Callable[[Stored], None]) -> None:
        """Remove what may go.

        A pipeline that meets its bytes in the cache does not load them again, and commits. So those wait aside until
        all have been asked once more, and come back if somebody names them now. Cut short, the next cleaning begins
        with that.
        """
        with explained(self.client):
            for one in going:
                if one.bucket == CACHE_BUCKET:
                    self._move(one.key, ASIDE + one.key)
                else:
                    self.client.delete_object(Bucket=one.bucket, Key=one.key)
                told(one)
            self.settle()

    def settle(self) -> None:
        """Bring back what waits aside and is named, remove the rest; all of it comes back where that is not known."""
        page = self.client.get_paginator("list_objects_v2").paginate(Bucket=CACHE_BUCKET, Prefix=ASIDE)
        waiting = {item["Key"].removeprefix(ASIDE) for part in page for item in part.get("Contents", [])}
        if not waiting:
            return
        try:
            names = self.names()
            self._bring_back(waiting, names)
            self._bring_back(waiting, self.listed(names))  # the lists of folders are in their place by now
        except Exception:
            self._bring_back(waiting, {name_of(key) for key in waiting})
            raise
        for key in waiting:
            self.client.delete_object(Bucket=CACHE_BUCKET, Key=ASIDE + key)

    def _bring_back(self, waiting: set[str], names: set[str]) -> None:
        anew = {one.key for one in self.objects() if one.bucket == CACHE_BUCKET}  # loaded once more meanwhile
        for key in sorted(waiting - anew):
            if name_of(key) in names:
                self._move(ASIDE + key, key)
                waiting.remove(key)

    def _move(self, key: str, to: str) -> None:
        self.client.copy({"Bucket": CACHE_BUCKET, "Key": key}, CACHE_BUCKET, to)
        self.client.delete_object(Bucket=CACHE_BUCKET, Key=key)


@as_jukebox_error()
def clean(
    settings: Settings,
    *,
    dry_run: bool = False,
    gone: Iterable[str] = (),
    production: bool = True,
    days: int | None = None,
    told: Callable[[Stored], None] = lambda _: None,
) -> list[Stored]:
    """Remove from the platform's buckets what nobody names.

    Args:
        settings: The platform.
        dry_run: Only say what would go.
        gone: Addresses of repositories that are gone for good.
        production: Whether the cluster has a registry of production.
        days: Delete runs, too, that ended longer ago and that no model names; none where it is None.
        told: Hears of each object as it goes.

    Returns:
        What went, or would go.

    Raises:
        JukeboxError: If somebody who may name something cannot be asked, or a run is not over; nothing is removed then.
    """
    cleaning = Cleaning(settings, gone, production)
    if not dry_run:
        with explained(cleaning.client):
            cleaning.settle()
    for run in cleaning.old_runs(days) if days else []:
        cleaning.forgotten.add(run.run_id)
        if not dry_run:
            cleaning.forget(run.run_id)
    going = cleaning.unnamed()
    if not dry_run:
        cleaning.remove(going, told)
    return going
