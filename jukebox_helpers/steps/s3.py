"""The S3 server: one client, and one explanation of its errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jukebox_helpers.errors import JukeboxError

WRONG_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "AuthorizationHeaderMalformed"}


def s3_client(connection: dict[str, str]) -> Any:
    """Make an S3 client from a connection.

    Args:
        connection: The values of a Secret ``aws-connection-<bucket>``.

    Returns:
        A boto3 S3 client: path-style addresses, short timeouts, few retries.

    Raises:
        JukeboxError: If the connection lacks the endpoint or the credentials, or the endpoint is no URL.
    """
    import boto3
    from botocore.config import Config

    def refuse_page(response_dict: dict[str, Any], **_: Any) -> None:
        # The client would read a page as a list without buckets.
        if "html" in response_dict["headers"].get("Content-Type", ""):
            raise JukeboxError(
                f"{connection['AWS_S3_ENDPOINT']} answers with a page, and not as an S3 server does.",
                "Check AWS_S3_ENDPOINT: it is the address of the server, not that of its console.",
            )

    wanted = ("AWS_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    if missing := [key for key in wanted if not connection.get(key)]:
        raise JukeboxError(f"The S3 connection has no {' and no '.join(missing)}.", "Set it in the connection.")
    try:
        client = boto3.client(
            "s3",
            endpoint_url=connection["AWS_S3_ENDPOINT"],
            aws_access_key_id=connection["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=connection["AWS_SECRET_ACCESS_KEY"],
            region_name=connection.get("AWS_DEFAULT_REGION") or "us-east-1",
            config=Config(
                s3={"addressing_style": "path"},
                connect_timeout=3,
                read_timeout=30,
                retries={"mode": "standard", "total_max_attempts": 2},
            ),
        )
    except ValueError as error:
        raise JukeboxError(f"AWS_S3_ENDPOINT is no address: {error}.", "It begins with http:// or https://.") from None
    client.meta.events.register("before-parse.s3", refuse_page)
    return client


@contextmanager
def explained(client: Any) -> Iterator[None]:
    """Turn what boto3 raises inside the block into one clear message.

    Args:
        client: The S3 client that is used in the block.

    Yields:
        Nothing.

    Raises:
        JukeboxError: If the server cannot be reached, refuses the credentials, or answers with an error.
    """
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, SSLError

    endpoint = client.meta.endpoint_url
    try:
        try:
            yield
        except s3_errors() as error:
            raise unwrapped(error) from None
    except SSLError as error:
        raise JukeboxError(
            f"The certificate of the S3 server {endpoint} is not trusted: {error}",
            "Name the PEM file with the cluster's CA in the variable AWS_CA_BUNDLE.",
        ) from error
    except (ConnectionError, HTTPClientError) as error:
        raise JukeboxError(
            f"The S3 server {endpoint} cannot be reached: {error}",
            "Check AWS_S3_ENDPOINT, and that the server runs (in the sandbox: ./jukebox status).",
        ) from error
    except ClientError as error:
        code = error_code(error)
        if code in WRONG_CREDENTIALS:
            raise JukeboxError(
                f"The S3 server {endpoint} refuses these credentials ({code}) for {error.operation_name}.",
                "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the connection.",
            ) from error
        raise JukeboxError(
            f"The S3 server {endpoint} answers: {error}", "Check AWS_S3_ENDPOINT, and the server itself."
        ) from error
    except s3_errors() as error:
        raise JukeboxError(
            f"{endpoint} does not answer as an S3 server does: {error}", "Check AWS_S3_ENDPOINT."
        ) from error


def list_buckets(client: Any) -> list[str]:
    """The names of the server's buckets, sorted."""
    return sorted(bucket["Name"] for bucket in client.list_buckets().get("Buckets", []))


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
