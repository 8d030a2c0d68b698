"""Artifacts: where they are, how they get to a step and back to S3, and what ML Metadata makes of their facts."""

import json
from pathlib import Path
from typing import Any

from jukebox_sandbox import s3
from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.pipeline_server.runner.values import WrongValue, kind_of, normal

BUCKET = "pipeline"
SESSION = json.dumps({"Provider": "s3", "Params": {"fromEnv": "false", "secretName": "s3"}}, separators=(",", ":"))
"""What the launcher adds to each artifact: where its store's credentials are, by name."""


def root_of(pipeline_root: str, pipeline: str, run_id: str) -> str:
    """Where the artifacts of a run are.

    Args:
        pipeline_root: What the run asks for; empty for the platform's place.
        pipeline: The pipeline's name.
        run_id: The run.

    Returns:
        An address without a slash at its end.

    Raises:
        SandboxError: If it is not in an S3 bucket.
    """
    root = (pipeline_root or f"s3://{BUCKET}").split("?")[0].rstrip("/")
    if not root.startswith(("s3://", "minio://")) or not root.partition("://")[2]:
        raise SandboxError(
            f"The artifacts of this run would be under {root!r}: this machine keeps them in S3 only.",
            "Name a pipeline root that begins with s3://, or none.",
        )
    return f"{root}/{pipeline}/{run_id}"


def local_path(uri: str, mounts: Path) -> Path:
    """Where a step finds an artifact: under the folder of its scheme, as in a container."""
    scheme, _, rest = uri.partition("://")
    if scheme not in ("s3", "minio", "gs") or ".." in rest.split("/"):
        raise SandboxError(f"The address {uri!r} of an artifact has no place on this machine.", "Use an s3:// address.")
    return mounts / {"gs": "gcs"}.get(scheme, scheme) / rest


def as_ml_metadata_returns(name: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """The facts of an artifact as the next step gets them.

    See backend/src/v2/metadata/converter.go: a truth value is stored as an integer, a number as a double, a list and
    a struct inside a struct, and nothing cannot be stored.

    Args:
        name: The artifact's name in its step.
        metadata: The facts as the step wrote them.

    Returns:
        The facts, with those that the launcher adds.

    Raises:
        WrongValue: If one is null.
    """
    found = {}
    for key, value in metadata.items():
        kind = kind_of(value)
        if kind == "null":
            raise WrongValue(f"the fact {key!r} of artifact {name!r} is null, which ML Metadata cannot keep")
        if kind in ("list", "struct"):
            value = {kind: value}
        found[key] = normal(int(value) if kind == "bool" else value)
    return {"display_name": name, "store_session_info": SESSION} | found


class Store:
    """The sandbox's S3 server, with its own credentials.

    Args:
        connection: The values of Secret ``s3``.
    """

    def __init__(self, connection: dict[str, str]) -> None:
        self._client = s3.client(connection)

    def upload(self, path: Path, uri: str) -> bool:
        """Store a file, or a folder with all that is in it.

        Args:
            path: The file or folder.
            uri: Its address.

        Returns:
            Whether there was anything: a step need not write what it declares.
        """
        bucket, key = _parts(uri)
        with s3.explained(self._client):
            if path.is_dir():
                for file in sorted(one for one in path.rglob("*") if one.is_file()):
                    self._client.upload_file(str(file), bucket, f"{key}/{file.relative_to(path).as_posix()}")
            elif path.is_file():
                self._client.upload_file(str(path), bucket, key)
            else:
                return False
        return True

    def download(self, uri: str, path: Path) -> None:
        """Fetch what is stored at an address, a file or a folder; nothing where there is nothing.

        Args:
            uri: The address.
            path: Where to put it.
        """
        bucket, key = _parts(uri)
        with s3.explained(self._client):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
            for found in (one["Key"] for page in pages for one in page.get("Contents", [])):
                below = found[len(key) :]
                if below and not below.startswith("/"):
                    continue  # another artifact, whose name begins with this one's
                target = path / below.lstrip("/") if below else path
                if path.resolve() not in (target.resolve(), *target.resolve().parents):
                    raise SandboxError(f"The object {found!r} leads out of its artifact.", "Remove it.")
                target.parent.mkdir(parents=True, exist_ok=True)
                self._client.download_file(bucket, found, str(target))


def _parts(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key
