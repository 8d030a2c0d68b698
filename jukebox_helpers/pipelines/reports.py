"""What the steps of a run wrote, read as bytes from the bucket ``pipeline``: the same on both platforms."""

import hashlib
from urllib.parse import urlsplit

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.pipelines.runs import Run
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps.constants import CONNECTION, PIPELINE_BUCKET
from jukebox_helpers.steps.s3 import explained, s3_client


@as_jukebox_error()
def artifacts(settings: Settings, run: Run, step: str, name: str) -> list[bytes]:
    """The bytes of a step's output, one for each task that wrote it: a step in a loop has several.

    KFP 2.2 keeps it as ``<pipeline>/<run>/<task>/<artifact>``, later versions put a unique folder in between. An S3
    server that does not answer is a JukeboxError.
    """
    root = urlsplit(run.root or f"s3://{PIPELINE_BUCKET}")
    prefix = f"{root.path.strip('/')}/{run.pipeline}/{run.id}/{step}/".lstrip("/")
    client = s3_client(settings.secret(CONNECTION + PIPELINE_BUCKET))
    with explained(client, f"s3://{root.netloc}/{prefix}"):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=root.netloc, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return [
            client.get_object(Bucket=root.netloc, Key=key)["Body"].read()
            for key in sorted(keys)
            if key.rpartition("/")[2] == name
        ]


def digest(settings: Settings, run: Run, step: str, name: str, algorithm: str) -> str:
    """The md5 or sha256 of an output that one task wrote, in hexadecimal digits; see `artifacts`.

    Where there is none, that is a JukeboxError.
    """
    found = artifacts(settings, run, step, name)
    if not found:
        raise JukeboxError(
            f"The run {run.name!r} has left no artifact {name!r} of its step {step!r}.",
            f"Look at the bucket {PIPELINE_BUCKET}, then run it again.",
        )
    return hashlib.new(algorithm, found[0], usedforsecurity=False).hexdigest()
