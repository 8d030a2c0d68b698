"""The S3 server: one client, and one explanation of its errors, for steps and library alike.

All of it travels.
"""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def check_connection(connection: "Mapping[str, str]", *keys: str) -> "list[str]":
    """The values of an S3 connection, which is refused where it is incomplete.

    Args:
        connection: The values of a Secret ``aws-connection-<bucket>``, or the environment that has them.
        keys: The keys that are needed.

    Returns:
        Their values.

    Raises:
        ValueError: If one is missing or empty, or has a blank or a line break in it.
    """
    # A Secret made with echo ends with a line break.
    if wrong := [key for key in keys if connection.get(key, "").split() != [connection.get(key)]]:
        raise ValueError(
            f"The S3 connection has no {' and no '.join(wrong)}, or one with a blank or a line break. "
            "Next: set it in the Secret aws-connection-<bucket>, and attach that."
        )
    return [connection[key] for key in keys]


def s3_client(connection: "Mapping[str, str]") -> "Any":
    """Make an S3 client from a connection.

    Args:
        connection: The values of a Secret ``aws-connection-<bucket>``, or the environment that has them.

    Returns:
        A boto3 S3 client: path-style addresses, 10 s to connect, 60 s for an answer, three attempts.

    Raises:
        ConnectionError: If boto3 cannot be set up with it, e.g. because the endpoint is not a URL.
        ValueError: If the connection lacks the endpoint or the credentials.
    """
    import boto3
    from botocore.config import Config

    keys = ("AWS_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    endpoint, key, secret = check_connection(connection, *keys)

    def refuse_page(response_dict: dict, **_: object) -> None:
        # A client would read a page as a list without buckets, or as the object's bytes.
        if "html" in response_dict["headers"].get("Content-Type", ""):
            raise ConnectionError(
                f"{endpoint} answers with a page, not as an S3 server does. "
                "Next: check AWS_S3_ENDPOINT: the server's address, not its console's."
            )

    try:
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name=connection.get("AWS_DEFAULT_REGION") or "us-east-1",
            config=Config(
                s3={"addressing_style": "path"},
                connect_timeout=10,
                read_timeout=60,
                retries={"mode": "standard", "total_max_attempts": 3},
            ),
        )
    except Exception as error:
        raise s3_problem(error, endpoint) from None
    client.meta.events.register("before-parse.s3", refuse_page)
    return client


@contextmanager
def explained(client: "Any", address: str = "") -> "Iterator[None]":
    """Turn what boto3 raises inside the block into one clear message.

    Args:
        client: The S3 client that is used in the block.
        address: The bucket or object that is asked for, ``s3://<bucket>[/<key>]``.

    Yields:
        Nothing.

    Raises:
        ConnectionError: If the server cannot be reached, is not trusted, breaks off, or answers with an error.
        FileNotFoundError: If the bucket or object is missing.
        PermissionError: If the server refuses the credentials, or what they may do.
    """
    try:
        yield
    except Exception as error:
        if not is_s3_error(error):
            raise
        raise s3_problem(error, client.meta.endpoint_url, address) from None


def list_buckets(client: "Any") -> "list[str]":
    """The names of the server's buckets, sorted."""
    return sorted(bucket["Name"] for bucket in client.list_buckets().get("Buckets", []))


def is_s3_error(error: "BaseException | None") -> bool:
    """Whether an exception is one of boto3's, or of what is below it.

    Those of botocore alone have three roots, and its parsers' has none of them.
    """
    return type(error).__module__.startswith(("boto", "s3transfer"))


def error_code(error: Exception) -> str:
    """The code with which an S3 server answered, e.g. ``NoSuchKey``; empty if there was no answer.

    Such errors of botocore have a ``response`` too, which is None.
    """
    response = getattr(error, "response", None) or {}
    return response.get("Error", {}).get("Code") or ""


def s3_problem(error: "Any", endpoint: str, address: str = "") -> "Exception":
    """Say an S3 error in the words of somebody who can fix it.

    Args:
        error: What boto3 raised.
        endpoint: The S3 server.
        address: The bucket or object that was asked for, ``s3://<bucket>[/<key>]``; empty for neither.

    Returns:
        The exception to raise instead.
    """
    # boto3 wraps the error of an upload, and the last one of several attempts.
    inside = getattr(error, "last_exception", None) or error.__context__
    if type(error).__name__ in ("RetriesExceededError", "S3UploadFailedError") and is_s3_error(inside):
        error = inside
    code = error_code(error)
    bucket, _, key = address.removeprefix("s3://").partition("/")
    server, asked = f"The S3 server {endpoint}", f" for {address}" if address else ""
    kind: type[Exception] = ConnectionError
    what = f"The request to the S3 server {endpoint}{asked} failed: {error}"
    then = "check AWS_S3_ENDPOINT and the other variables AWS_*, and that the server runs"
    if code in ("AccessDenied", "403"):  # the keys are right; or the answer to a HEAD, which does not say
        kind, then = PermissionError, "allow it in the user's policy, or use other keys"
        what = f"{server} does not let this user do {error.operation_name}{asked} ({code})"
    elif code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"):
        kind, then = PermissionError, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        what = f"{server} refuses these credentials{asked} ({code})"
    elif "Quota" in code or "Full" in code:
        then = "delete what is not needed (./jukebox clean), or raise the quota"
    elif key and code in ("404", "NoSuchKey"):
        kind, what, then = FileNotFoundError, f"There is no object {address} on {endpoint}", "check its name"
    elif bucket and code in ("404", "NoSuchBucket"):
        kind, what = FileNotFoundError, f"There is no bucket s3://{bucket} on {endpoint}"
        then = f"add {bucket!r} to mlops-gitops/toolings/minio/config.yaml, commit and push"
    elif "WRONG_VERSION" in str(error) or not endpoint.startswith("http"):
        then = "begin AWS_S3_ENDPOINT with http://, or with https:// where the server speaks it"
    elif type(error).__name__ == "SSLError":
        what = f"The certificate of the S3 server {endpoint} is not trusted: {error}"
        then = "name the file with the cluster's CA in AWS_CA_BUNDLE"
    return kind(f"{what}. Next: {then}.")
