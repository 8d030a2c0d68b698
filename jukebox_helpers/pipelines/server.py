"""The platform's pipeline server: pipelines imported and scheduled as the dashboard's buttons do, with KFP's client.

Every function can be called again: what is there already is a normal answer, and a call that died half way is
completed by the next one.
"""

import contextlib
import io
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines.connection import AlreadyThere, NotThere, explained, polite
from jukebox_helpers.pipelines.read import CompiledPipeline, check_arguments, documents, read_pipeline
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.workbench import certificate_authority

PAGE = 100
"""How many items are asked for at once."""

EVERY_DAY = 86_400
"""Seconds."""


@dataclass(frozen=True)
class Imported:
    """A pipeline version on the server, and what it holds; ``new`` says whether this call made it."""

    pipeline: str
    pipeline_id: str
    version: str
    version_id: str
    new: bool
    compiled: CompiledPipeline = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """What a program would read of it."""
        return {key: value for key, value in vars(self).items() if key != "compiled"}


@dataclass(frozen=True)
class Schedule:
    """A recurring run on the server; ``new`` says whether this call made it."""

    name: str
    id: str
    version: str
    arguments: dict[str, Any]
    new: bool


class PipelineServer:
    """The pipeline server of a data science project, at the address of its API; messages name the project.

    The service account's token is read again for every request, because it is replaced every hour. The certificate
    authority is a PEM file, and ``timeout`` is how long to wait for an answer, in seconds.
    """

    def __init__(
        self,
        host: str,
        namespace: str,
        token_file: Path | None = None,
        certificate_authority: Path | None = None,
        timeout: float = 60.0,
    ) -> None:
        self.host, self.namespace = host, namespace
        from kfp.client import Client, ServiceAccountTokenVolumeCredentials

        with warnings.catch_warnings(), self.asking():
            warnings.simplefilter("ignore", FutureWarning)
            self.client = Client(
                host=host,
                namespace=namespace,  # without one, the constructor asks the server
                credentials=ServiceAccountTokenVolumeCredentials(str(token_file)) if token_file else None,
                ssl_ca_cert=str(certificate_authority) if certificate_authority else None,
            )
        polite(self.client.runs.api_client.rest_client, timeout)

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Ask inside this block: KFP's links go nowhere here, and what fails is one clear message."""
        from kfp.client import auth

        in_notebook, auth.is_ipython = auth.is_ipython, lambda: False
        try:
            with contextlib.redirect_stdout(io.StringIO()), explained(self.host, self.namespace):
                yield
        finally:
            auth.is_ipython = in_notebook

    def all(self, page: Callable[..., Any], items: str, **arguments: Any) -> list[Any]:
        """Every item of a list that comes in pages."""
        found: list[Any] = []
        token = ""
        while True:
            with self.asking():
                answer = page(page_token=token, page_size=PAGE, **arguments)
            found += getattr(answer, items) or []
            token = answer.next_page_token
            if not token:
                return found

    def find_pipeline(self, name: str) -> Any:
        """The pipeline of that name, or None; the dashboard may show it under another one."""
        found = self.all(self.client.list_pipelines, "pipelines")
        return next((pipeline for pipeline in found if name in (pipeline.display_name, pipeline.name)), None)

    def versions(self, pipeline_id: str, names: tuple[str, ...]) -> list[Any]:
        """The versions of a pipeline that have one of some names; each comes with its whole spec, so never all."""
        wanted = {"operation": "IN", "key": "display_name", "stringValues": {"values": names}}
        found = self.all(
            self.client.list_pipeline_versions,
            "pipeline_versions",
            pipeline_id=pipeline_id,
            filter=json.dumps({"predicates": [wanted]}),
        )
        return [version for version in found if version.display_name in names]  # a server may ignore their case

    def latest(self, name: str) -> Imported:
        """The latest version of an imported pipeline; none of that name is a JukeboxError.

        It is the first in the server's own order, newest first, as the dashboard lists them. A real server knows whole
        seconds: of two versions made in one, that with the greater id is first, every time. The sandbox's server has
        the one that came later.
        """
        pipeline, newest = self.find_pipeline(name), None
        if pipeline:
            with self.asking():
                newest = self.client.list_pipeline_versions(
                    pipeline.pipeline_id, page_size=1, sort_by="created_at desc"
                ).pipeline_versions
        if not newest:
            raise JukeboxError(
                f"The project {self.namespace!r} has no pipeline {name!r}.", "Import it first: ./jukebox import"
            )
        return imported(name, newest[0])

    def import_pipeline(self, file: Path, version: str) -> Imported:
        """Import a compiled pipeline: a new one, or a new version of the one that is there, made now or found.

        The version's name is the revision that the file comes from. A file that is not a pipeline, or that the server
        refuses, is a JukeboxError, and nothing is left half made.
        """
        import kfp_server_api

        compiled = read_pipeline(file.read_text())
        pipeline = self.find_pipeline(compiled.name)
        made = pipeline is None
        if made:
            description = compiled.spec["pipelineInfo"].get("description", "")
            new = kfp_server_api.V2beta1Pipeline(
                display_name=compiled.name, name=compiled.name, description=description
            )
            try:
                with self.asking():
                    pipeline = self.client.pipelines.pipeline_service_create_pipeline(new)
            except AlreadyThere:
                pipeline, made = self.find_pipeline(compiled.name), False
                if not pipeline:
                    raise
        try:
            return self.add_version(pipeline.pipeline_id, file, compiled, version)
        except JukeboxError as error:
            if made:
                undo = f"The pipeline {compiled.name!r} was made, but has no version yet: {error.what}"
                with self.undoing(undo):
                    self.remove(self.client.delete_pipeline, pipeline.pipeline_id)
            raise

    def add_version(self, pipeline_id: str, file: Path, compiled: CompiledPipeline, version: str) -> Imported:
        """Make a version of a pipeline, unless it is there; another file of that name gets a name of its own."""
        digest = file_digest(str(file), "sha256")[:8]
        # A server that keeps pipelines as Kubernetes resources refuses a name that any pipeline's version has:
        # https://github.com/kubeflow/pipelines/issues/13534
        names = (version, f"{compiled.name}-{version}")
        for name in names:
            for known in self.versions(pipeline_id, names):
                found = imported(compiled.name, known)
                if found.compiled == compiled or version.endswith(digest):
                    return found
                return self.add_version(pipeline_id, file, compiled, f"{version}-{digest}")
            with contextlib.suppress(AlreadyThere), self.asking():
                made = self.client.upload_pipeline_version(str(file), name, pipeline_id)
                return Imported(compiled.name, pipeline_id, name, made.pipeline_version_id, True, compiled)
        raise JukeboxError(f"Other pipelines have versions named {' and '.join(names)}.", "Commit, then import again.")

    def remove(self, delete: Callable[[str], Any], key: str) -> None:
        """Delete something, unless it is gone already, e.g. by an attempt whose answer was lost."""
        with contextlib.suppress(NotThere), self.asking():
            delete(key)

    @contextlib.contextmanager
    def undoing(self, what: str) -> Iterator[None]:
        """Take something back inside this block; where that fails too, say what is left, and that a rerun helps."""
        try:
            yield
        except JukeboxError as error:
            raise JukeboxError(what, f"{error.next_action} Running this again completes it.") from None

    def schedule(self, pipeline: Imported, arguments: dict[str, Any], name: str, every: int = EVERY_DAY) -> Schedule:
        """Run a pipeline version again and again: one run at a time, and none for a time that was missed.

        A schedule of that name is replaced. The new one waits, disabled, until the old one is gone, so there are
        never two that run, and a failure leaves the old one as it was. ``every`` is the time from one run to the next,
        in seconds. A missing or unknown argument is a JukeboxError.
        """
        check_arguments(pipeline.compiled, arguments)
        before = self.schedules(name)
        if len(before) == 1 and same_schedule(before[0], pipeline, arguments, every):
            return Schedule(name, before[0].recurring_run_id, pipeline.version, arguments, new=False)
        with self.asking():
            made = self.client.create_recurring_run(
                experiment_id=None,  # the project's default experiment
                job_name=name,
                interval_second=every,
                max_concurrency=1,
                no_catchup=True,
                params=arguments,
                pipeline_id=pipeline.pipeline_id,
                version_id=pipeline.version_id,
                enabled=False,
            )
        gone: list[str] = []
        try:
            for old in self.schedules(name):
                if old.recurring_run_id != made.recurring_run_id:
                    self.remove(self.client.delete_recurring_run, old.recurring_run_id)
                    gone.append(old.recurring_run_id)
            with self.asking():
                self.client.enable_recurring_run(made.recurring_run_id)
        except JukeboxError as error:
            if gone:
                raise JukeboxError(
                    f"The schedule {name!r} was replaced, but the new one is still off: {error.what}",
                    "Run this again: it turns it on.",
                ) from None
            with self.undoing(f"The schedule {name!r} is as before; a new one is left beside it, off: {error.what}"):
                self.remove(self.client.delete_recurring_run, made.recurring_run_id)
            raise
        return Schedule(name, made.recurring_run_id, pipeline.version, arguments, new=True)

    def schedules(self, name: str) -> list[Any]:
        """The recurring runs of that name; the server lets there be several."""
        found = self.all(self.client.list_recurring_runs, "recurring_runs")
        return [recurring for recurring in found if recurring.display_name == name]


def imported(pipeline: str, version: Any) -> Imported:
    """A version that the server has, from what it says of it: a ``V2beta1PipelineVersion`` of KFP's client."""
    key, compiled = version.pipeline_version_id, documents(version.pipeline_spec)
    return Imported(pipeline, version.pipeline_id, version.display_name, key, False, compiled)


def same_schedule(recurring: Any, pipeline: Imported, arguments: dict[str, Any], every: int) -> bool:
    """Whether a recurring run of the server is what is wanted already."""
    reference = recurring.pipeline_version_reference
    periodic = recurring.trigger and recurring.trigger.periodic_schedule
    return bool(
        recurring.status == "ENABLED"
        and reference
        and reference.pipeline_version_id == pipeline.version_id
        and periodic
        and int(periodic.interval_second) == every
        and int(recurring.max_concurrency) == 1
        and recurring.no_catchup
        and (recurring.runtime_config.parameters or {}) == arguments
    )


def connect(settings: Settings) -> PipelineServer:
    """Connect to the pipeline server of this project, with the token of the pod's service account."""
    host = settings.pipeline_server
    return PipelineServer(host, settings.namespace, settings.token_file, certificate_authority(host))
