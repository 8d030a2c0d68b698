"""Bytes in and out of a pipeline: from any source to a file, from a file to the bucket. All of it travels.

What asks the S3 server raises what `s3.explained` says.
"""

import os
import urllib.parse

from jukebox_helpers.steps.s3 import check_connection, explained, s3_client


def fetch(source: str, target: str, named_by: str = "the pipeline's parameter dataset_url") -> int:
    """Copy a source of data to a file.

    Args:
        source: ``https://…`` or ``s3://bucket/key``: what a pod can read, wherever it runs. ``http://`` on loopback
            only, where nobody else can change the bytes on their way, and tests have a server without a certificate.
        target: The file to write.
        named_by: What names the source, so that a message can say what to check.

    Returns:
        The number of bytes.

    Raises:
        ConnectionError: If the source cannot be reached or breaks off.
        ValueError: If the kind of address is unknown.
    """
    address = urllib.parse.urlsplit(source)
    # A query may hold a signature, a host part a password: neither is ever said.
    shown = address._replace(netloc=address.netloc.split("@")[-1], query="", fragment="").geturl()
    if "@" in address.netloc:
        raise ValueError(
            f"The address of {shown} holds a user name or a password. "
            "Next: load it to the bucket data by other means, and give its s3:// address."
        )
    local = address.scheme == "http" and address.hostname in ("127.0.0.1", "localhost", "::1")
    if address.scheme == "https" or local:
        download(source, target, f"The source {shown}", named_by)
    elif address.scheme == "s3":
        fetch_object(shown, target)
    else:
        raise ValueError(
            f"The source {shown} is neither an https:// nor an s3:// address. "
            f"Next: check {named_by}; ./jukebox publish puts songs at an address."
        )
    return os.path.getsize(target)


def fetch_object(address: str, target: str) -> None:
    """Copy the object at ``s3://bucket/key`` to a file."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not (bucket and key):
        raise ValueError(f"The address {address} names no object. Next: give s3://<bucket>/<object>.")
    client = s3_client(os.environ)
    with explained(client, address):
        client.download_file(bucket, key, target)


def download(source: str, target: str, shown: str, named_by: str) -> None:
    """Bring what a web server has, all of it; the rest is as in `fetch`.

    Args:
        source: The address.
        target: The file to write.
        shown: The source as messages say it.
        named_by: What names the source.
    """
    import http.client
    import shutil
    import urllib.request

    try:
        with urllib.request.urlopen(source, timeout=60) as answer, open(target, "wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
            expected = answer.headers.get("Content-Length")
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(f"{shown} cannot be read: {error}. Next: check {named_by}.") from None
    size = os.path.getsize(target)
    if expected and int(expected) != size:
        raise ConnectionError(
            f"{shown} broke off after {size:,} of {int(expected):,} bytes. Next: run the pipeline again."
        )


def own_bucket() -> str:
    """The connection's own bucket."""
    check_connection(os.environ, "AWS_S3_BUCKET")
    return os.environ["AWS_S3_BUCKET"]


def load_object(path: str, key: str, bucket: str) -> str:
    """Put a file into a bucket, whole or not at all.

    Returns:
        The object's address, ``s3://bucket/key``.
    """
    client, address = s3_client(os.environ), f"s3://{bucket}/{key}"
    with explained(client, address):
        client.upload_file(path, bucket, key)
    return address


def remove_object(address: str) -> None:
    """Delete the object at ``s3://bucket/key``; one that is gone already is fine."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    client = s3_client(os.environ)
    with explained(client, address):
        client.delete_object(Bucket=bucket, Key=key)
