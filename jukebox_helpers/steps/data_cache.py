"""The bytes of the data versions: the bucket ``data-cache``, where DVC keeps them under their md5. All of it travels.

What asks the S3 server raises what `s3.explained` says.
"""

import hashlib
import os
from typing import TYPE_CHECKING

from jukebox_helpers.steps.constants import CACHE_BUCKET, DATA_BUCKET, SONGS_OBJECT
from jukebox_helpers.steps.files import file_digest
from jukebox_helpers.steps.s3 import error_code, explained, s3_client

if TYPE_CHECKING:
    from typing import Any


def cache_key(md5: str) -> str:
    """The object that holds the bytes of an md5 (https://doc.dvc.org/user-guide/project-structure/internal-files)."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def cached_md5(md5: str) -> str:
    """The md5 of the bytes that the cache holds under an md5, all of them read; empty if there is no such object."""
    client, key = s3_client(os.environ), cache_key(md5)
    with explained(client, f"s3://{CACHE_BUCKET}/{key}"):
        try:
            answer = client.get_object(Bucket=CACHE_BUCKET, Key=key)
        except Exception as error:
            if error_code(error) != "NoSuchKey":
                raise
            return ""
        return hashlib.file_digest(answer["Body"], "md5").hexdigest()


def in_one_part() -> "Any":
    """How boto3 sends and copies an object: as one part below 1 GiB, because the ETag of several is not that of a copy.

    See https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html (ETag).
    """
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(multipart_threshold=1 << 30)


def load_to_cache(path: str) -> str:
    """Bring a file into the cache, under its md5: one object for each content, so no other run can overwrite it.

    An object that is there and whole stays as it is; one that is torn or has other bytes is replaced.

    Returns:
        The md5.
    """
    md5 = file_digest(path, "md5")
    if cached_md5(md5) != md5:
        client, key = s3_client(os.environ), cache_key(md5)
        with explained(client, f"s3://{CACHE_BUCKET}/{key}"):
            client.upload_file(path, CACHE_BUCKET, key, Config=in_one_part())
    return md5


def facts_of(bucket: str, key: str) -> dict:
    """What DVC records of an object: its ``etag``, its ``size`` in bytes, its ``version_id`` (None without one)."""
    client = s3_client(os.environ)
    with explained(client, f"s3://{bucket}/{key}"):
        answer = client.head_object(Bucket=bucket, Key=key)
        size, version = answer["ContentLength"], answer.get("VersionId")
        return {"etag": answer["ETag"].strip('"'), "size": size, "version_id": version}


def source_facts(md5: str) -> dict:
    """What DVC records of ``s3://data/song_properties.parquet`` where it has the bytes of an md5.

    Where it has not yet, it is going to be a copy of the object in the cache, with its ETag.
    """
    cached = facts_of(CACHE_BUCKET, cache_key(md5)) | {"version_id": None}
    try:
        found = facts_of(DATA_BUCKET, SONGS_OBJECT)
    except FileNotFoundError:
        return cached
    return found if found["etag"] == cached["etag"] else cached


def copy_from_cache(md5: str) -> None:
    """Let ``s3://data/song_properties.parquet`` have the cached bytes of an md5: copied by S3, whole or not at all."""
    client, key = s3_client(os.environ), cache_key(md5)
    cached = facts_of(CACHE_BUCKET, key)
    try:
        if facts_of(DATA_BUCKET, SONGS_OBJECT)["etag"] == cached["etag"]:
            return
    except FileNotFoundError:
        pass
    with explained(client, f"s3://{DATA_BUCKET}/{SONGS_OBJECT}"):
        client.copy({"Bucket": CACHE_BUCKET, "Key": key}, DATA_BUCKET, SONGS_OBJECT, Config=in_one_part())
