"""Bytes in and out of a pipeline: from any source to a file, from a file to the bucket.

All functions travel: their source is part of compiled pipelines, so they import what they need inside.
"""


def s3_from_environment() -> "tuple":
    """The S3 client of the connection that stands in the environment.

    Returns:
        The boto3 client, and the name of the connection's bucket.

    Raises:
        ValueError: If the connection is not there.
    """
    import os

    import boto3
    from botocore.config import Config

    keys = ("AWS_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_S3_BUCKET")
    missing = [key for key in keys if not os.environ.get(key)]
    if missing:
        raise ValueError(
            f"The S3 connection lacks {', '.join(missing)}. Next: give the step the Secret aws-connection-<bucket>."
        )
    client = boto3.client(
        "s3",
        endpoint_url=os.environ["AWS_S3_ENDPOINT"],
        region_name=os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        config=Config(connect_timeout=10, retries={"max_attempts": 3}, s3={"addressing_style": "path"}),
    )
    return client, os.environ["AWS_S3_BUCKET"]


def s3_errors() -> "tuple":
    """The exceptions of boto3 and what is below it: an answer of the server, no answer, an answer that breaks off.

    Returns:
        Exception classes, for an ``except`` clause.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from s3transfer.exceptions import S3DownloadFailedError

    return (Boto3Error, BotoCoreError, ClientError, S3DownloadFailedError)


def unwrapped(error: Exception) -> Exception:
    """What happened, where boto3 wraps the error of an upload or the last one of several attempts.

    Args:
        error: What boto3 raised.

    Returns:
        The error inside; the error itself where it wraps nothing of the S3 client.
    """
    inside = getattr(error, "last_exception", None) or error.__context__
    wraps = type(error).__name__ in ("RetriesExceededError", "S3UploadFailedError")
    return inside if wraps and isinstance(inside, s3_errors()) else error


def error_code(error: Exception) -> str:
    """The code with which an S3 server answered.

    Args:
        error: What boto3 raised.

    Returns:
        The code, e.g. ``NoSuchKey``; empty if there was no answer: such errors of botocore have a ``response`` too,
        which is None.
    """
    response = getattr(error, "response", None)
    return response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""


def s3_problem(error: Exception, bucket: str, key: str = "") -> "Exception":
    """Say an S3 error in the words of somebody who can fix it.

    Args:
        error: What boto3 raised.
        bucket: The bucket that was asked.
        key: The object that was asked, if any.

    Returns:
        The exception to raise instead.
    """
    import os

    error = unwrapped(error)
    code = error_code(error)
    place = f"s3://{bucket}/{key}" if key else f"s3://{bucket}"
    endpoint = os.environ.get("AWS_S3_ENDPOINT", "")
    if code in ("403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        return PermissionError(
            f"The S3 server {endpoint} refuses the credentials for {place} ({code}). "
            "Next: check the keys in the Secret aws-connection-<bucket>."
        )
    if code in ("404", "NoSuchBucket", "NoSuchKey"):
        missing = "object" if key and code != "NoSuchBucket" else "bucket"
        return FileNotFoundError(
            f"There is no {missing} {place} on {endpoint}. Next: "
            + (
                "check its name."
                if missing == "object"
                else f"add {bucket!r} to mlops-gitops/toolings/minio/config.yaml, commit and push."
            )
        )
    return ConnectionError(
        f"The S3 server {endpoint} did not answer for {place}, or broke off: {error}. "
        "Next: check that it is running and reachable, then run again."
    )


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
        try:
            s3_from_environment()[0].download_file(address.netloc, key, target)
        except s3_errors() as error:
            raise s3_problem(error, address.netloc, key) from None
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
    client, own = s3_from_environment()
    bucket = bucket or own
    try:
        client.upload_file(path, bucket, key)
    except s3_errors() as error:
        raise s3_problem(error, bucket) from None
    return f"s3://{bucket}/{key}"
