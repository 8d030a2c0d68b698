"""The bytes of the data versions: the bucket ``data-cache``, where DVC keeps them under their md5. All of it travels.

What asks the S3 server raises what `s3.explained` says.
"""

import hashlib
import os

from jukebox_helpers.steps.s3 import error_code, explained, s3_client


def cache_key(md5: str) -> str:
    """The object that holds the bytes of an md5 (https://doc.dvc.org/user-guide/project-structure/internal-files)."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def cached_size(md5: str) -> int:
    """How many bytes the cache holds under an md5; -1 if there is no such object."""
    client, key = s3_client(os.environ), cache_key(md5)
    with explained(client, f"s3://data-cache/{key}"):
        try:
            return client.head_object(Bucket="data-cache", Key=key)["ContentLength"]
        except Exception as error:
            if error_code(error) != "404":
                raise
    return -1


def copy_to_cache(md5: str) -> dict:
    """Copy the loaded songs into the cache, inside the S3 server.

    No object of the cache ever has other bytes than its name says: the source is read and its md5 compared, then S3
    copies it on the condition that it is still the object that was read
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html, x-amz-copy-source-if-match).

    Args:
        md5: The md5 that the bytes of ``s3://data/song_properties.parquet`` must have.

    Returns:
        What DVC records of the source: its ``etag``, its ``size`` in bytes, its ``version_id`` (None without one).

    Raises:
        ValueError: If the source has other bytes, or was overwritten meanwhile.
    """
    from s3transfer.exceptions import S3CopyFailedError

    client, found = s3_client(os.environ), "another by now"
    source, key = {"Bucket": "data", "Key": "song_properties.parquet"}, cache_key(md5)
    with explained(client, f"s3://data/{source['Key']}"):
        answer = client.get_object(**source)
        digest = hashlib.file_digest(answer["Body"], "md5").hexdigest()
    if digest != md5:
        found = digest
    else:
        with explained(client, f"s3://data-cache/{key}"):
            try:
                # In parts, side by side; objects above 5 GB cannot be copied otherwise.
                client.copy(source, "data-cache", key, ExtraArgs={"CopySourceIfMatch": answer["ETag"]})
                version = answer.get("VersionId")  # of a bucket that keeps versions
                return {"etag": answer["ETag"].strip('"'), "size": answer["ContentLength"], "version_id": version}
            except S3CopyFailedError:
                pass
            except Exception as error:
                # 404: the source is gone, as the copy asks for its size first.
                if error_code(error) not in ("404", "412", "PreconditionFailed"):
                    raise
    raise ValueError(
        f"s3://data/{source['Key']} is not what this run loaded (its md5 is {found}, not {md5}): another run "
        "has loaded its own data meanwhile, and commits it. Next: run this pipeline again if its data is newer."
    )
