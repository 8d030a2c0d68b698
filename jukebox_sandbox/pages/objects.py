"""Objects of the S3 server, as pages ask for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from jukebox_sandbox import s3
from jukebox_sandbox.pages.site import site
from jukebox_sandbox.pipeline_server.errors import not_found

MISSING = ("404", "NoSuchKey", "NoSuchBucket", "InvalidBucketName")
"""What an S3 server answers where something is not there."""


@contextmanager
def asking(kind: str = "", name: str = "") -> Iterator[Any]:
    """Ask the sandbox's S3 server for something.

    Args:
        kind: What is asked for, ``Bucket`` or ``Object``; empty if the server has it in any case.
        name: Its name.

    Yields:
        A boto3 client.

    Raises:
        RequestError: If it is not there.
        SandboxError: If the server cannot be reached, or answers with another error.
    """
    client = s3.client(site().sandbox.secret("s3"))
    with s3.explained(client):
        try:
            yield client
        except ClientError as error:
            if kind and error.response.get("Error", {}).get("Code", "") in MISSING:
                raise not_found(kind, name) from None
            raise


def bucket_and_key(address: str) -> tuple[str, str]:
    """The two parts of ``s3://bucket/key``."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return bucket, key


def read_object(address: str) -> bytes:
    """The bytes of an object.

    Args:
        address: ``s3://bucket/key``.

    Returns:
        Its bytes.

    Raises:
        SandboxError: If the server does not give them.
    """
    bucket, key = bucket_and_key(address)
    with asking() as client:
        content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content
