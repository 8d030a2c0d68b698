"""Bytes in and out of a pipeline: from any source to a file, from a file to the bucket.

All functions travel: their source is part of compiled pipelines, so they import what they need inside.
"""

from jukebox_helpers.steps.s3 import check_connection, explained, s3_client


# Long: a branch for each kind of address.
def fetch(source: str, target: str, named_by: str = "the pipeline's parameter dataset_url") -> int:
    """Copy a source of data to a file.

    Args:
        source: ``http://``, ``https://``, ``s3://bucket/key``, ``file://`` or a path.
        target: The file to write.
        named_by: What names the source, so that a message can say what to check.

    Returns:
        The number of bytes.

    Raises:
        ConnectionError: If the source cannot be reached or breaks off.
        FileNotFoundError: If there is no such object or file.
        PermissionError: If the S3 server refuses the credentials.
        ValueError: If the kind of address is unknown.
    """
    import http.client
    import os
    import shutil
    import urllib.error
    import urllib.parse
    import urllib.request

    address = urllib.parse.urlsplit(source)
    # A query may hold a signature, a host part a password: neither is ever said.
    shown = address._replace(netloc=address.netloc.split("@")[-1], query="", fragment="").geturl()
    if "@" in address.netloc:
        raise ValueError(
            f"The source {shown} was given with a user name or a password in its address. "
            "Next: load it to the bucket data by other means, and give its s3:// address."
        )
    if address.scheme in ("http", "https"):
        try:
            with urllib.request.urlopen(source, timeout=60) as answer, open(target, "wb") as file:
                shutil.copyfileobj(answer, file, 1 << 20)
                expected = answer.headers.get("Content-Length")
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            raise ConnectionError(f"The source {shown} cannot be read: {error}. Next: check {named_by}.") from None
        if expected and int(expected) != os.path.getsize(target):
            raise ConnectionError(
                f"The source {shown} broke off after {os.path.getsize(target):,} of {int(expected):,} bytes. "
                "Next: run the pipeline again."
            )
    elif address.scheme == "s3":
        key = address.path.lstrip("/")
        if not (address.netloc and key):
            raise ValueError(f"The source {shown} names no object. Next: give s3://<bucket>/<object>.")
        client = s3_client(os.environ)
        with explained(client, f"s3://{address.netloc}/{key}"):
            client.download_file(address.netloc, key, target)
    elif address.scheme in ("", "file"):
        path = urllib.request.url2pathname(address.path) if address.scheme else source
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f"There is no file {path}. Next: check {named_by}; a path is a path of the machine that runs the step."
            )
        shutil.copyfile(path, target)
    else:
        raise ValueError(
            f"The source {shown} is of a kind that is not known. Next: give an http(s)://, s3:// or file:// address."
        )
    return os.path.getsize(target)


def load_object(path: str, key: str, bucket: str = "") -> str:
    """Put a file into a bucket, whole or not at all.

    Args:
        path: The file.
        key: The object's name.
        bucket: The bucket; empty means the connection's own.

    Returns:
        The object's address, ``s3://bucket/key``.

    Raises:
        ConnectionError: If the S3 server does not answer.
        FileNotFoundError: If there is no such bucket.
        PermissionError: If the S3 server refuses the credentials.
    """
    import os

    if not bucket:
        check_connection(os.environ, "AWS_S3_BUCKET")
        bucket = os.environ["AWS_S3_BUCKET"]
    client = s3_client(os.environ)
    with explained(client, f"s3://{bucket}/{key}"):
        client.upload_file(path, bucket, key)
    return f"s3://{bucket}/{key}"


def remove_object(address: str) -> None:
    """Delete an object of the bucket; one that is gone already is fine.

    Args:
        address: The object, ``s3://bucket/key``.

    Raises:
        ConnectionError: If the S3 server does not answer.
        PermissionError: If the S3 server refuses the credentials.
    """
    import os

    bucket, _, key = address.removeprefix("s3://").partition("/")
    client = s3_client(os.environ)
    with explained(client, address):
        client.delete_object(Bucket=bucket, Key=key)
