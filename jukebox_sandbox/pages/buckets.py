"""Buckets: their objects, and who names each: a version file, a model version, or nobody."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from jukebox_sandbox import s3
from jukebox_sandbox.pages.commits import MAIN, git, history, version_files
from jukebox_sandbox.pages.objects import asking
from jukebox_sandbox.pages.site import site
from jukebox_sandbox.pipeline_server.api.service import open_session
from jukebox_sandbox.pipeline_server.registry.resources import ARTIFACTS, MODEL_VERSION, Resource

blueprint = Blueprint("buckets", __name__)

PAGE_SIZE = 200
HASH = re.compile(r"\b[0-9a-f]{32,64}\b")
CHUNK = 1 << 20
"""Bytes that a download reads at once."""


@dataclass(frozen=True)
class Name:
    """Something that names an object.

    Attributes:
        said: What names it, in words.
        address: The path of its page.
    """

    said: str
    address: str


class Names:
    """Who names which object.

    Args:
        session: An open session.
    """

    def __init__(self, session: Session) -> None:
        self._by_hash: dict[str, list[Name]] = {}
        self._by_address: dict[str, list[Name]] = {}
        for repository in site().configuration.repositories:
            on_main = version_files(repository, git(repository, "rev-parse", "--verify", "--quiet", MAIN) or MAIN)
            for one in on_main:
                name = Name(f"{one.path} on main of {repository}", one.address)
                self._by_hash.setdefault(one.md5, []).append(name)
                for source in one.sources:
                    self._by_address.setdefault(source, []).append(name)
            for md5, one in history(repository).items():
                earlier = Name(f"{one.path} at {one.revision[:10]} of {repository}", one.address)
                self._by_hash.setdefault(md5, [earlier])
        for version in session.scalars(select(Resource).filter_by(kind=MODEL_VERSION)):
            for hash in set(HASH.findall(str(version.content.get("customProperties", "")))):
                self._by_hash.setdefault(hash, []).append(_of_version(version))
        for artifact, version in session.execute(_artifacts()).all():
            self._by_address.setdefault(str(artifact.content.get("uri", "")), []).append(_of_version(version))

    def of(self, bucket: str, key: str) -> list[Name]:
        """Who names an object: by its address, by a hash in its key, as a cache of DVC has it or as it is."""
        parts = key.split("/")
        hashes = ["".join(parts[2:])] if parts[:2] == ["files", "md5"] and len(parts) == 4 else HASH.findall(key)
        found = list(self._by_address.get(f"s3://{bucket}/{key}", []))
        return list(dict.fromkeys(found + [name for hash in hashes for name in self._by_hash.get(hash, [])]))


def _of_version(version: Resource) -> Name:
    return Name(f"model version {version.own_name}", url_for("registry.show_version", version_id=version.id))


def _artifacts() -> Any:
    version = aliased(Resource)
    query = select(Resource, version).join(version, version.id == Resource.parent_id)
    return query.where(Resource.kind.in_(ARTIFACTS))


@blueprint.get("/buckets")
def show_all() -> str:
    """The buckets, with how much each holds."""
    rows = []
    with asking() as client:
        for bucket in s3.list_buckets(client):
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            sizes = [one["Size"] for page in pages for one in page.get("Contents", [])]
            rows.append((bucket, len(sizes), sum(sizes)))
    return render_template("buckets.html", rows=rows)


@blueprint.get("/buckets/<bucket>")
def show(bucket: str) -> str:
    """The objects of a bucket, some hundred on a page."""
    wanted = {"Bucket": bucket, "MaxKeys": PAGE_SIZE, "Prefix": request.args.get("prefix", "")}
    if after := request.args.get("after"):
        wanted["StartAfter"] = after
    with asking("Bucket", bucket) as client:
        listed = client.list_objects_v2(**wanted)
    objects = listed.get("Contents", [])
    with open_session() as session:
        names = Names(session)
    rows = [(one["Key"], one["Size"], _utc(one["LastModified"]), names.of(bucket, one["Key"])) for one in objects]
    after = objects[-1]["Key"] if listed.get("IsTruncated") else ""
    return render_template("bucket.html", bucket=bucket, rows=rows, after=after, prefix=wanted["Prefix"])


@blueprint.get("/buckets/<bucket>/object")
def show_object(bucket: str) -> str:
    """An object: its facts, and who names it."""
    key = request.args.get("key", "")
    with asking("Object", f"s3://{bucket}/{key}") as client:
        head = client.head_object(Bucket=bucket, Key=key or "?")
    with open_session() as session:
        named = Names(session).of(bucket, key)
    facts = {"size": head["ContentLength"], "time": _utc(head["LastModified"]), "etag": head["ETag"].strip('"')}
    return render_template("object.html", bucket=bucket, key=key, named=named, **facts)


@blueprint.get("/buckets/<bucket>/download")
def download(bucket: str) -> Response:
    """The bytes of an object, as they come."""
    key = request.args.get("key", "")
    with asking("Object", f"s3://{bucket}/{key}") as client:
        found = client.get_object(Bucket=bucket, Key=key or "?")
    content: Iterator[bytes] = found["Body"].iter_chunks(CHUNK)
    answer = Response(content, mimetype="application/octet-stream")
    answer.content_length = found["ContentLength"]
    answer.headers.set("Content-Disposition", "attachment", filename=key.rpartition("/")[2])
    return answer


def _utc(time: Any) -> Any:
    return time.replace(tzinfo=None)
