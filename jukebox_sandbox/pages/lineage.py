"""Where a model version comes from: the chain from the version to the bytes, link by link."""

import re
from dataclasses import dataclass

from flask import url_for
from sqlalchemy import select
from sqlalchemy.orm import Session

from jukebox_sandbox.pages.commits import Commit, VersionFile, find_commits, version_files
from jukebox_sandbox.pages.graph import Picture, Step, draw
from jukebox_sandbox.pages.properties import Property, data_version_of
from jukebox_sandbox.pages.site import site
from jukebox_sandbox.pipeline_server.registry.resources import Resource
from jukebox_sandbox.pipeline_server.tables import Run


@dataclass(frozen=True)
class Link:
    """A link of the chain.

    Attributes:
        kind: What it is: model version, run, commit, version file, object.
        name: Its name; what is missing where it is not there.
        address: Its page; empty where it is not there.
    """

    kind: str
    name: str
    address: str


@dataclass(frozen=True)
class Lineage:
    """Where a model version comes from.

    Attributes:
        links: The chain, from the version to the bytes.
        run_id: The run that trained it; empty where it is not known.
    """

    links: list[Link]
    run_id: str

    @property
    def picture(self) -> Picture:
        """The chain as a graph."""
        steps: list[Step] = []
        before: tuple[str, ...] = ()
        for link in self.links:
            steps.append(Step(link.kind, link.name, link.kind, {}, {}, before))
            before = (link.kind,)
        addresses = {one.kind: one.address for one in self.links}
        states = {one.kind: "FOUND" if one.address else "MISSING" for one in self.links}
        return draw(steps, lambda step: addresses[step.scope] or "#links", states)


def lineage(session: Session, model: Resource, version: Resource, known: list[Property]) -> Lineage:
    """Follow a version back to the bytes that it was trained on.

    Args:
        session: An open session.
        model: The registered model.
        version: Its version.
        known: The version's properties: one is the id of a run, one the id of a commit, one names the data.

    Returns:
        The chain; a link that nothing names is in it, and says so.
    """
    values = [str(one.value) for one in known]
    run = session.scalar(select(Run).where(Run.id.in_([one for one in values if re.fullmatch("[0-9a-f-]{36}", one)])))
    commits = [one for name in site().configuration.repositories for one in find_commits(name, values).values()]
    commit = commits[0] if commits else None
    data = data_version_of(known)
    file = _version_file(commit, str(data.value)) if commit and data else None
    address = url_for("registry.show_version", version_id=version.id)
    links = [
        Link("Model version", f"{model.own_name} {version.own_name}", address),
        Link("Run", run.display_name, url_for("run.show", run_id=run.id)) if run else Link("Run", "not known", ""),
        Link("Commit", f"{commit.revision[:10]} {commit.subject}", commit.address)
        if commit
        else Link("Commit", "not known", ""),
        Link("Version file", file.path, file.address) if file else Link("Version file", "none", ""),
        Link("Object", str(data.value), data.address) if data else Link("Object", "nobody can say", ""),
    ]
    return Lineage(links, run.id if run else "")


def _version_file(commit: Commit, data: str) -> VersionFile | None:
    return next((one for one in version_files(commit.repository, commit.revision) if one.md5 == data), None)
