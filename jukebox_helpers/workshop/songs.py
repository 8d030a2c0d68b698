"""The songs' address: each day's table arrives in the bucket ``data`` under one name, where every step can read it."""

import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from rich.console import Console

from jukebox_helpers.errors import JukeboxError, as_jukebox_error
from jukebox_helpers.settings import Settings
from jukebox_helpers.show.progress import upload_progress
from jukebox_helpers.steps.constants import DATA_BUCKET, INCOMING_ADDRESS, INCOMING_OBJECT
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.s3 import error_code, explained, s3_client


def upload(settings: Settings, file: Path, key: str, week: str = "") -> str:
    """Put a file into the bucket ``data``, with the platform's own connection, and return the object's address.

    ``week``, ``first`` or ``fresh``, is noted beside the object. The lack of the bucket is a JukeboxError.
    """
    client, address = s3_client(settings.secret("aws-connection-data")), f"s3://{DATA_BUCKET}/{key}"
    console, size = Console(stderr=True), file.stat().st_size
    with explained(client, address), upload_progress(file.name, size, console) as sent:
        metadata = {"Metadata": {"week": week}} if week else {}
        client.upload_file(str(file), DATA_BUCKET, key, ExtraArgs=metadata, Callback=sent)
    return address


def arrived(settings: Settings) -> dict[str, str] | None:
    """What is noted beside the songs at their address; None where none have arrived."""
    client = s3_client(settings.secret("aws-connection-data"))
    with explained(client, f"s3://{DATA_BUCKET}"):
        try:
            return dict(client.head_object(Bucket=DATA_BUCKET, Key=INCOMING_OBJECT)["Metadata"])
        except Exception as error:
            # HeadObject has no body, so it cannot say which is missing; the bucket's own answer can.
            if error_code(error) != "404":
                raise
            client.head_bucket(Bucket=DATA_BUCKET)
    return None


@as_jukebox_error()
def songs_argument(settings: Settings, given: "str | Path | None" = None, now: bool = True) -> str:
    """The pipelines' argument ``dataset_url``: an address, because a step can read nothing of this machine.

    Given is an address, or a file of this machine, which is uploaded to ``s3://data/incoming/<sha256>.parquet``; None
    means the songs' address. A schedule may wait for songs: ``now`` says whether they must be there already. No such
    file, no songs, or an address that no step can read is a JukeboxError.
    """
    source = str(given or INCOMING_ADDRESS)
    scheme = urlsplit(source).scheme if "://" in source else "file"
    if scheme == "file":
        file = existing_file(url2pathname(urlsplit(source).path) if "://" in source else source)
        return upload(settings, file, f"incoming/{file_digest(str(file), 'sha256')}.parquet")
    if source == INCOMING_ADDRESS and now and arrived(settings) is None:
        raise JukeboxError(
            f"No songs have arrived at {INCOMING_ADDRESS} yet.",
            'Put some there: ./jukebox publish first, or place.publish("first").',
        )
    return source


def existing_file(file: str | Path) -> Path:
    """The whole path of a file, or a `JukeboxError` that says where it was looked for."""
    path = Path(os.path.abspath(Path(file).expanduser()))
    if not path.is_file():
        raise JukeboxError(
            f"There is no file {path}.", "Give the path of a Parquet file, or an address: https:// or s3://."
        )
    return path
